%%% Erlang functions for python_tests/services; compiled by the fixture and started in the server's VM.
-module(services_functions).

-export([start/0, double/1, hook/3]).

start() ->
    Functions = #{
        "echo" => fun(Value) -> Value end,
        "add" => fun(A, B) -> {ok, A + B} end,
        "refuse" => fun(Reason) -> {error, Reason} end,
        "crash" => fun(Value) -> error({crashed, Value}) end,
        "throw" => fun(Value) -> throw(Value) end,
        "exit" => fun(Value) -> exit(Value) end,
        "killed" => fun() -> exit(self(), kill), timer:sleep(infinity) end,
        "a_pid" => fun() -> #{who => [self()]} end,
        "huge" => fun(Size) -> binary:copy(<<"x">>, Size) end,
        "sleep" => fun(Ms) -> timer:sleep(Ms), slept end,
        "sleep_and_set" => fun(Ms, Mark) -> hornbeam_state:set(Mark, true), timer:sleep(Ms) end,
        "call_back" => fun(Target, Arguments) -> result(hornbeam:call(Target, Arguments)) end,
        "call_back_in" => fun(Target, Arguments, Ms) -> result(hornbeam:call(Target, Arguments, Ms)) end,
        "call_with" => fun(Target, Keywords) ->
            result(hornbeam:call(Target, [1], 5000, #{kwargs => Keywords})) end,
        "call_mount" => fun(Target, Mount) ->
            result(hornbeam:call(Target, [], 5000, #{mount => Mount})) end,
        "left" => fun() -> [hornbeam_call_sup:count(), hornbeam_pubsub:subscriptions(),
                            length(processes())] end,
        "flood" => fun flood/3,
        "get" => fun(Key) -> found(hornbeam_state:get(Key)) end,
        "kind" => fun(Value) -> iolist_to_binary(io_lib:format("~0tp", [Value])) end,
        "kill_worker_process" => fun() -> kill_worker_process() end,
        "hooks" => fun hooks/2
    },
    maps:foreach(fun hornbeam:register_function/2, Functions),
    hornbeam:register_function(double, ?MODULE, double),
    ok = hornbeam_hooks:reg(<<"erlang">>, fun hook/3),
    ok = hornbeam_hooks:reg("erlang.module", ?MODULE, hook, 3),
    hornbeam:register_function("ready", fun() -> true end).

double(X) -> 2 * X.

result({ok, Value}) -> [<<"ok">>, Value];
result({error, Reason}) when is_tuple(Reason) -> [<<"error">> | tuple_to_list(Reason)];
result({error, Reason}) -> [<<"error">>, Reason].

found({ok, Value}) -> Value;
found(error) -> missing.

flood(OsPid, Topic, Count) ->
    signal("-STOP", OsPid),
    Reached = lists:usort([hornbeam_pubsub:publish(Topic, N) || N <- lists:seq(1, Count)]),
    signal("-CONT", OsPid),
    Reached.

signal(Signal, OsPid) ->
    os:cmd("kill " ++ Signal ++ " " ++ integer_to_list(OsPid)).

%% Not the Python process: the Erlang one that keeps it.
kill_worker_process() ->
    [#{workers := [_ | _]} | _] = maps:get(applications, hornbeam:info()),
    [Pid | _] = [P || P <- processes(),
                      {dictionary, D} <- [process_info(P, dictionary)],
                      proplists:get_value('$initial_call', D) =:= {hornbeam_worker, init, 1}],
    exit(Pid, kill).

%% A hook of Erlang's.
hook(<<"add">>, [A, B], Keywords) -> {ok, A + B + maps:get(<<"more">>, Keywords, 0)};
hook(<<"echo">>, Arguments, Keywords) -> [Arguments, Keywords];
hook(<<"kind">>, [Value], _) -> iolist_to_binary(io_lib:format("~0tP", [Value, 12]));
hook(<<"refuse">>, [Reason], _) -> hornbeam_hooks:error(Reason);
hook(<<"crash">>, [Value], _) -> error({crashed, Value});
hook(<<"sleep">>, [Ms], _) -> timer:sleep(Ms);
hook(<<"python">>, [Name, Action | Arguments], Keywords) -> hornbeam_hooks:execute(Name, Action, Arguments, Keywords);
hook(<<"list">>, [List], _) -> hornbeam_hooks:stream_from_list(List);
hook(<<"count">>, [Key, Limit], _) ->
    hornbeam_hooks:stream_from_fun(fun() ->
        case hornbeam_state:incr(Key, 1) of
            {ok, N} when N > Limit -> hornbeam_hooks:stream_done();
            {ok, N} -> hornbeam_hooks:stream_chunk({N, binary:copy(<<"x">>, 10000)})
        end
    end);
hook(<<"broken">>, [], _) -> fun() -> error(broken) end.

%% What Erlang does with hooks, for Python to see.
hooks(<<"all">>, []) -> hornbeam_hooks:all();
hooks(<<"find">>, [Name]) ->
    case hornbeam_hooks:find(Name) of
        {ok, {python, _Pool, Workers}} -> [<<"python">>, length(Workers)];
        {ok, {erlang, _}} -> [<<"erlang">>];
        not_found -> [<<"not_found">>]
    end;
hooks(<<"reg">>, [Name]) -> result_of(hornbeam_hooks:reg(Name, fun(Action, _, _) -> Action end));
hooks(<<"unreg">>, [Name]) -> result_of(hornbeam_hooks:unreg(Name));
hooks(<<"execute">>, [Name, Action, Arguments, Keywords]) -> result_of(hornbeam_hooks:execute(Name, Action, Arguments, Keywords));
hooks(<<"execute">>, [Name, Action, Arguments, Keywords, Ms]) ->
    result_of(hornbeam_hooks:execute(Name, Action, Arguments, Keywords, #{timeout => Ms}));
hooks(<<"at">>, [Node, Name, Action, Arguments]) ->
    result_of(hornbeam_hooks:execute(Name, Action, Arguments, #{}, #{node => binary_to_existing_atom(Node)}));
hooks(<<"later">>, [Name, Action, Arguments]) ->
    {ok, Id} = hornbeam_hooks:execute_async(Name, Action, Arguments, #{}),
    [result_of(hornbeam_hooks:await_result(Id)), result_of(hornbeam_hooks:await_result(Id, 10))];
hooks(<<"stream">>, [Name, Action, Arguments, Count]) ->
    hooks(<<"stream">>, [atom_to_binary(node()), Name, Action, Arguments, Count]);
hooks(<<"stream">>, [Node, Name, Action, Arguments, Count]) ->
    case hornbeam_hooks:stream(Name, Action, Arguments, #{}, #{node => binary_to_existing_atom(Node)}) of
        {ok, Next} -> take(Next, Count, []);
        Error -> result_of(Error)
    end.

take(Next, 0, Values) ->
    ok = hornbeam_hooks:stop(Next),
    lists:reverse([Next() | Values]);
take(Next, Count, Values) ->
    case Next() of
        {value, Value} -> take(Next, Count - 1, [Value | Values]);
        done -> lists:reverse([done | Values]);
        Error -> lists:reverse([result_of(Error) | Values])
    end.

result_of(ok) -> [<<"ok">>];
result_of({ok, Value}) -> [<<"ok">>, Value];
result_of({error, {python, Class, Message, Traceback}}) -> [<<"python">>, Class, Message, Traceback];
result_of({error, {raised, Class, Reason, _}}) -> [<<"raised">>, Class, Reason];
result_of({error, Reason}) -> [<<"error">>, Reason].
