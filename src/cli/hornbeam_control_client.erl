%%% The commands that speak with a running server: `hornbeam status', `reload', `mount', `unmount', `stop', `tasks', `cluster'.
%%%
%%% Called by: hornbeam_cli, hornbeam_diagnose_client (`hornbeam stack', `profile', `memory', `requests'), hornbeam_top. Calls: hornbeam_control_path, hornbeam_options; hornbeam_control at the other end.
-module(hornbeam_control_client).

-export([run/2, locate/1, running/1, data/2]).

%% A reload takes as long as the application's start.
-define(PATIENCE, 600000).
-define(POLL, 100).

%% @doc Arguments: `--control PATH', or a server's name or process id where several run; for reload and mount also options. What is mounted, and
%% where it is unmounted, comes first; so does what is to be done with tasks and the cluster, and a worker, whose server is said by `--name'.
-spec run(Command :: string(), Arguments :: [string()]) ->
    {ok, unicode:chardata()} | {error, unicode:chardata()} | {usage, unicode:chardata()}.
run(Command, Arguments) when Command =:= "tasks"; Command =:= "cluster"; Command =:= "stack"; Command =:= "profile"; Command =:= "memory"; Command =:= "requests" ->
    case hornbeam_options:from_args(Arguments) of
        {ok, Action, Given} ->
            case find([atom_to_list(Name) || #{name := Name} <- [Given]], Given) of
                {ok, Path} -> ask(Command, Action, Path);
                {error, Text} -> {error, Text}
            end;
        Error ->
            wrong(Error)
    end;
run(Command, Arguments) ->
    case hornbeam_options:from_args(Arguments) of
        {ok, [_ | Server], Given} when (Command =:= "mount" orelse Command =:= "unmount"), length(Server) =< 1 ->
            find_and_ask(Command, Server, Arguments, Given);
        {ok, _, _} when Command =:= "mount" ->
            {usage, "mount takes an application, such as /api=api:app, and one server at most"};
        {ok, _, _} when Command =:= "unmount" ->
            {usage, "unmount takes a place, such as /api, and one server at most"};
        {ok, Server, Given} when length(Server) =< 1 ->
            find_and_ask(Command, Server, Arguments, Given);
        {ok, _, _} ->
            {usage, [Command, " takes one server at most"]};
        Error ->
            wrong(Error)
    end.

%% @doc The control socket of the server that these arguments name.
-spec locate(Arguments :: [string()]) -> {ok, file:name_all()} | {error, unicode:chardata()} | {usage, unicode:chardata()}.
locate(Arguments) ->
    case hornbeam_options:from_args(Arguments) of
        {ok, Server, Given} when length(Server) =< 1 -> find(Server ++ [atom_to_list(Name) || #{name := Name} <- [Given], Server =:= []], Given);
        {ok, _, _} -> {usage, "one server at most"};
        Error -> wrong(Error)
    end.

%% @doc The control socket of the server that runs with these options, where one does.
-spec running(Options :: map()) -> {ok, file:name_all()} | none.
running(#{control := Path}) when Path =/= <<"auto">>, Path =/= <<"off">> ->
    case answers(Path) of
        true -> {ok, Path};
        false -> none
    end;
running(#{name := Name}) ->
    case find([atom_to_list(Name)], #{}) of
        {ok, Path} -> {ok, Path};
        {error, _} -> none
    end.

%% @doc What a server answers that is for a program.
-spec data(Command :: string(), file:name_all()) -> {ok, map()} | {error, unicode:chardata()}.
data(Command, Path) ->
    case exchange(Command, [], Path) of
        {ok, Packet} ->
            case hornbeam_msgpack:decode(Packet) of
                {ok, #{<<"ok">> := true, <<"data">> := Data}} when is_map(Data) -> {ok, Data};
                _ -> answered(Command, {ok, Packet})
            end;
        Error -> answered(Command, Error)
    end.

find_and_ask(Command, Server, Arguments, Given) ->
    case find(Server, Given) of
        {ok, Path} -> ask(Command, Arguments -- Server, Path);
        {error, Text} -> {error, Text}
    end.

wrong({error, {usage, Text}}) -> {usage, Text};
wrong({error, Reason}) -> {error, hornbeam_options:format_error(Reason)}.

find([], #{control := Path}) when Path =/= <<"auto">>, Path =/= <<"off">> ->
    {ok, Path};
find(Wanted, _Given) ->
    case [Path || {Name, Pid, Path} <- hornbeam_control_path:running(),
                  Wanted =:= [] orelse Wanted =:= [Name] orelse Wanted =:= [Pid], answers(Path)] of
        [Path] -> {ok, Path};
        [] when Wanted =:= [] -> {error, "no server of this user is running here (or its control is off)"};
        [] -> {error, ["no server ", Wanted, " is running here"]};
        Several -> {error, ["several servers are running; say which by its process id, or --control:\n",
                            lists:join("\n", Several)]}
    end.

answers(Path) ->
    case connect(Path) of
        {ok, Socket} -> gen_tcp:close(Socket), true;
        {error, _} -> false
    end.

connect(Path) ->
    gen_tcp:connect({local, Path}, 0, [local, binary, {packet, 4}, {packet_size, hornbeam_control:max_answer()},
                                       {active, false}], 5000).

ask(Command, Arguments, Path) ->
    answered(Command, exchange(Command, Arguments, Path)).

exchange(Command, Arguments, Path) ->
    Request = #{command => list_to_binary(Command),
                arguments => [unicode:characters_to_binary(A) || A <- Arguments]},
    case connect(Path) of
        {ok, Socket} ->
            ok = gen_tcp:send(Socket, hornbeam_msgpack:encode(Request)),
            Answer = gen_tcp:recv(Socket, 0, ?PATIENCE),
            ok = gen_tcp:close(Socket),
            Answer;
        {error, Reason} ->
            {error, {Path, Reason}}
    end.

answered(Command, {ok, Packet}) ->
    case hornbeam_msgpack:decode(Packet) of
        {ok, #{<<"ok">> := true, <<"pid">> := Pid}} when Command =:= "stop" -> gone(Pid), {ok, "stopped\n"};
        {ok, #{<<"ok">> := true, <<"text">> := Text}} -> {ok, [string:trim(Text, trailing), "\n"]};
        {ok, #{<<"ok">> := false, <<"text">> := Text}} -> {error, Text};
        _ -> {error, "the server's answer is not understood"}
    end;
answered(_Command, {error, {Path, Reason}}) ->
    {error, [Path, ": ", inet:format_error(Reason)]};
answered(_Command, {error, Reason}) ->
    {error, ["the server did not answer: ", inet:format_error(Reason)]}.

%% The server itself bounds how long a stop takes. Another user's process cannot be signalled but is there.
gone(Pid) ->
    case os:cmd("kill -0 " ++ integer_to_list(Pid) ++ " 2>&1") of
        "" -> timer:sleep(?POLL), gone(Pid);
        Text ->
            case string:find(Text, "ermitted") of
                nomatch -> ok;
                _ -> timer:sleep(?POLL), gone(Pid)
            end
    end.
