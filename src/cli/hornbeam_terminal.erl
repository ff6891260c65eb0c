%%% The terminal of a command that draws on it: whether there is one, its size, keys as they are typed.
%%%
%%% Called by: hornbeam_top. Calls nothing; runs stty and dd, by way of /proc (Linux), because OTP has no raw mode before release 28 and this VM has no controlling
%%% terminal. While it is raw a read ends after a second at the latest, so nobody is left that takes what is typed for the shell. The launcher puts the
%%% terminal back as well, when this VM ends in any way (priv/python/hornbeam/launcher.py).
-module(hornbeam_terminal).

-export([raw/1, restore/1, size/0, keys/0]).
-export_type([saved/0]).

-opaque saved() :: string().

%% @doc From now on keys come one by one, and are not shown. `none' where standard input or output is no terminal, `unknown' on a system
%% (os:type/0) that has no /proc.
-spec raw({unix | win32, atom()}) -> {ok, saved()} | none | unknown.
raw({unix, linux}) ->
    case {stty("-g", 0), stty("size", 1)} of
        {{ok, Saved}, {ok, _}} -> {ok, _} = stty("-icanon -echo -isig min 0 time 10", 0), {ok, Saved};
        _ -> none
    end;
raw(_) ->
    unknown.

-spec restore(saved()) -> ok.
restore(Saved) -> _ = stty(Saved, 0), ok.

%% @doc Rows and columns; it may be another one each time.
-spec size() -> {pos_integer(), pos_integer()}.
size() ->
    case stty("size", 1) of
        {ok, Text} ->
            case [string:to_integer(Word) || Word <- string:lexemes(Text, " ")] of
                [{Rows, ""}, {Columns, ""}] when Rows > 0, Columns > 0 -> {Rows, Columns};
                _ -> {24, 80}
            end;
        error -> {24, 80}
    end.

%% @doc What has been typed; waits for a second where nothing was. `closed': there is no terminal any more.
-spec keys() -> string() | closed.
keys() ->
    case string:split(os:cmd("dd if=" ++ file(0) ++ " bs=64 count=1 2>/dev/null && echo :ok"), ":ok", trailing) of
        [Keys, _] -> Keys;
        _ -> closed
    end.

stty(What, Descriptor) ->
    case string:split(os:cmd("stty -F " ++ file(Descriptor) ++ " " ++ What ++ " 2>/dev/null && echo :ok"), ":ok", trailing) of
        [Text, _] -> {ok, string:trim(Text)};
        _ -> error
    end.

file(Descriptor) -> lists:concat(["/proc/", os:getpid(), "/fd/", Descriptor]).
