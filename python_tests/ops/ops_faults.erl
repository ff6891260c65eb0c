%%% Evaluates Erlang expressions in the server's VM, one on each line of a TCP connection, for tests that kill its processes.
%%% Compiled and started by python_tests/ops/faults.py.
-module(ops_faults).

-export([start/0, end_server/0, helper/1, wait/1]).

start() ->
    spawn(fun() ->
        {ok, Listening} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}, binary, {packet, line}, {active, false}, {buffer, 65536}]),
        {ok, Port} = inet:port(Listening),
        io:format("faults on ~b~n", [Port]),
        accept(Listening)
    end).

accept(Listening) ->
    {ok, Socket} = gen_tcp:accept(Listening),
    serve(Socket),
    accept(Listening).

serve(Socket) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Line} ->
            {ok, Tokens, _} = erl_scan:string(binary_to_list(Line)),
            {ok, Expressions} = erl_parse:parse_exprs(Tokens),
            Answer = try erl_eval:exprs(Expressions, []) of
                {value, Value, _} -> io_lib:format("~0p~n", [Value])
            catch Class:Reason -> io_lib:format("~0p~n", [{Class, Reason}])
            end,
            ok = gen_tcp:send(Socket, Answer),
            serve(Socket);
        {error, _} ->
            gen_tcp:close(Socket)
    end.

%% Kills the server `default' as soon as it is open.
end_server() ->
    spawn(fun End() ->
        case hornbeam_servers:is_open(default) of
            true -> {ok, Server} = hornbeam_server_sup:find(default), exit(Server, kill);
            false -> timer:sleep(20), End()
        end
    end).

%% The process of a child of the server `default': the helper itself where a keeper stands for it.
helper(Id) ->
    {ok, Server} = hornbeam_server_sup:find(default),
    case lists:keyfind(Id, 1, supervisor:which_children(Server)) of
        {_, Pid, _, [hornbeam_keeper]} -> hornbeam_keeper:child(Pid);
        {_, Pid, _, _} -> Pid;
        false -> undefined
    end.

%% Kills a process and waits for its end.
wait(Pid) when is_pid(Pid) ->
    Monitor = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Monitor, process, _, _} -> ok end;
wait(_) ->
    none.
