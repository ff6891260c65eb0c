%%% `hornbeam password': reads a password and prints the line that dashboard_password_file holds.
%%%
%%% Called by: hornbeam_cli. Calls: hornbeam_password. Reads standard input itself, because the VM was started without it (-noinput): on a terminal
%%% twice and without echo, whose modes the launcher puts back at the end; else one line.
-module(hornbeam_password_command).

-export([run/1]).

-define(SHORTEST, 8).
-define(LONGEST, 1024).

-spec run(Arguments :: [string()]) -> {ok, unicode:chardata()} | {error, unicode:chardata()} | {usage, unicode:chardata()}.
run([]) ->
    case file:open("/dev/stdin", [read, raw, binary, {read_ahead, ?LONGEST}]) of
        {ok, Input} -> checked(ask(Input, is_terminal()));
        {error, Reason} -> {error, ["the password cannot be read: ", file:format_error(Reason)]}
    end;
run(_) ->
    {usage, "password takes no arguments: it reads the password from the terminal or from standard input"}.

%% Of this process, whose number every shell that is started can look up.
stty(Arguments) ->
    os:cmd("stty -F /proc/" ++ os:getpid() ++ "/fd/0 " ++ Arguments ++ " >/dev/null 2>&1 && echo yes").

is_terminal() ->
    stty("-a") =/= "".

ask(Input, false) ->
    [line(Input)];
ask(Input, true) ->
    _ = stty("-echo"),
    Given = [prompted(Text, Input) || Text <- ["Password: ", "Again: "]],
    _ = stty("echo"),
    Given.

prompted(Text, Input) ->
    io:put_chars(standard_error, Text),
    Line = line(Input),
    io:put_chars(standard_error, "\n"),
    Line.

line(Input) ->
    case file:read_line(Input) of
        {ok, Line} -> string:trim(Line, trailing, "\r\n");
        _ -> <<>>
    end.

checked([One, Other]) when One =/= Other -> {error, "the passwords are not the same"};
checked([Password | _]) when byte_size(Password) < ?SHORTEST; byte_size(Password) > ?LONGEST ->
    {error, io_lib:format("a password has ~b to ~b bytes", [?SHORTEST, ?LONGEST])};
checked([Password | _]) -> {ok, [hornbeam_password:hash(Password), $\n]}.
