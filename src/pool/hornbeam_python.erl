%%% The Python interpreter as an operating system process: which one, how it is started, how it is ended.
%%%
%%% Called by: hornbeam (to find out early whether the interpreter is there), hornbeam_worker and what it has of its own.
%%% Calls: hornbeam_signaller, hornbeam_option_env_file, hornbeam_account (where it runs as somebody else).
-module(hornbeam_python).

-export([check/1, interpreter/1, packages/0, open/2, write/2, kill/1, signal/2, stopped/1]).
-export_type([role/0]).

%% A worker; what forks workers and is found by this name; what asks that for a fork (hornbeam_preload).
-type role() :: worker | {preload, Name :: binary()} | {fork, Name :: binary()}.

%% @doc Whether a worker could be started: its interpreter is there, its account where one is given, and what `preload' needs.
-spec check(map()) -> ok | {error, {python_not_found, binary()} | {account, binary()} | {bad_option, preload, binary()}}.
check(#{preload := true} = Settings) ->
    %% Sockets without a file, descriptors through them, whose they are.
    case os:type() of
        {unix, linux} -> check(Settings#{preload := false});
        _ -> {error, {bad_option, preload, <<"needs Linux">>}}
    end;
check(Settings) ->
    case {interpreter(Settings), has_account(Settings)} of
        {{ok, Interpreter}, true} -> hornbeam_account:check(file("account.py"), {Interpreter, [main()]}, Settings);
        {{ok, _}, false} -> ok;
        {{error, Reason}, _} -> {error, Reason}
    end.

has_account(#{user := User, group := Group}) -> {User, Group} =/= {<<>>, <<>>}.

%% @doc The interpreter's path, from the options `python' and `venv'.
-spec interpreter(map()) -> {ok, file:filename()} | {error, {python_not_found, binary()}}.
interpreter(#{venv := Venv}) when Venv =/= <<>> ->
    executable(filename:join([Venv, "bin", "python"]));
interpreter(#{python := Python}) ->
    executable(Python).

executable(Name) ->
    case os:find_executable(unicode:characters_to_list(Name)) of
        false -> {error, {python_not_found, unicode:characters_to_binary(Name)}};
        Path -> {ok, filename:absname(Path)}
    end.

%% @doc The folder of hornbeam_worker and hornbeam_erlang: ours, or where pip has put a wheel (priv/python/hornbeam/vm.py).
-spec packages() -> file:filename().
packages() ->
    case os:getenv("HORNBEAM_PACKAGES") of
        false -> filename:join(code:priv_dir(hornbeam), "python");
        Folder -> Folder
    end.

main() ->
    file("__main__.py").

file(Name) ->
    filename:join([packages(), "hornbeam_worker", Name]).

arguments(worker) -> [main()];
arguments({preload, Name}) -> [main(), "preload", Name];
arguments({fork, Name}) -> ["-I", "-S", file("launch.py"), Name].

%% @doc Starts a worker process. Its descriptors 3 (read) and 4 (write) are the port; stdin, stdout and
%% stderr stay what the BEAM's are, so that the application's print goes where it always went.
%%
%% The port never reports itself busy (busy_limits_port): what is queued for Python is bounded by the
%% credit of each stream and the number of streams, and by hornbeam_worker_backlog; and a port that suspended its owner would stop
%% the heartbeat of the very worker that it should watch.
%%
%% An error is what may pass: the interpreter has vanished, or a file of variables; no descriptor, process or port is left.
-spec open(map(), role()) -> {ok, port()} | {error, {python_not_found, binary()} | {env_file, binary()} | {cannot_start, atom()}}.
open(Settings, Role) ->
    case interpreter(Settings) of
        {ok, Interpreter} ->
            case variables(Settings) of
                {ok, Variables} -> open({Interpreter, arguments(Role)}, Variables, Settings);
                {error, Reason} -> {error, Reason}
            end;
        {error, Reason} ->
            {error, Reason}
    end.

%% `env', and of the files what neither it nor the server's own environment has.
variables(#{env := Env, env_file := Files}) ->
    case files(Files, #{}) of
        {ok, Read} -> {ok, maps:merge(maps:filter(fun(Name, _) -> os:getenv(to_list(Name)) =:= false end, Read), Env)};
        {error, Reason} -> {error, Reason}
    end.

files([], Done) ->
    {ok, Done};
files([File | Rest], Done) ->
    case hornbeam_option_env_file:read(File) of
        {ok, Variables} -> files(Rest, maps:merge(Done, maps:from_list(Variables)));
        {error, Text} -> {error, {env_file, unicode:characters_to_binary([Text, ": ", File])}}
    end.

open(Command, Env, #{chdir := Chdir} = Settings) ->
    Given = [{to_list(K), to_list(V)} || {K, V} <- maps:to_list(Env)],
    {{Program, Arguments}, Variables} = case has_account(Settings) of
        false -> {Command, Given};
        true -> {hornbeam_account:command(file("account.py"), Command, Settings), hornbeam_account:variables(Given)}
    end,
    try erlang:open_port({spawn_executable, Program},
                         [{args, Arguments}, nouse_stdio, stream, binary, exit_status, hide,
                          {busy_limits_port, disabled}, {busy_limits_msgq, disabled}, {env, Variables}
                          | [{cd, to_list(Chdir)} || Chdir =/= <<>>]]) of
        Port -> {ok, Port}
    catch
        error:Reason when is_atom(Reason), Reason =/= badarg -> {error, {cannot_start, Reason}}
    end.

%% @doc Sends frames; never waits.
-spec write(port() | undefined, iodata()) -> ok.
write(_Port, []) ->
    ok;
write(undefined, _Frames) ->
    ok;
write(Port, Frames) ->
    try erlang:port_command(Port, Frames) of
        true -> ok
    catch
        %% Python has just ended; the exit status is in the owner's mailbox.
        error:badarg -> ok
    end.

to_list(Text) ->
    unicode:characters_to_list(Text).

%% @doc SIGKILL. Only for a process whose port has not reported its exit status: until then
%% the operating system cannot have given the number to anybody else.
-spec kill(OsPid :: pos_integer() | undefined) -> ok.
kill(undefined) ->
    ok;
kill(OsPid) ->
    signal(OsPid, 9).

%% @doc Sends a signal, under the same condition.
-spec signal(OsPid :: pos_integer(), Signal :: pos_integer()) -> ok.
signal(OsPid, Signal) ->
    case hornbeam_signaller:send(OsPid, Signal) of
        ok ->
            ok;
        {error, no_shell} ->
            logger:error("the process ~b cannot be sent signal ~b: there is no shell to send it, and none can be started",
                         [OsPid, Signal])
    end.

%% @doc Whether a process stands still, as /proc says it: `T', by SIGSTOP or its like, or `t', by a debugger. `no' where that is not known.
-spec stopped(OsPid :: pos_integer() | undefined) -> no | $T | $t.
stopped(undefined) ->
    no;
stopped(OsPid) ->
    case file:open(["/proc/", integer_to_list(OsPid), "/stat"], [raw, read, binary]) of
        {ok, File} ->
            Read = file:read(File, 1024),
            ok = file:close(File),
            state(Read);
        {error, _} ->
            no
    end.

%% Behind the name, which may hold anything.
state({ok, Text}) ->
    case string:split(Text, <<") ">>, trailing) of
        [_, <<State, _/binary>>] when State =:= $T; State =:= $t -> State;
        _ -> no
    end;
state(_) ->
    no.
