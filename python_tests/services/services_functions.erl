%%% Erlang functions for python_tests/services; compiled by the fixture and started in the server's VM.
-module(services_functions).

-export([start/0, double/1]).

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
        "kill_worker_process" => fun() -> kill_worker_process() end
    },
    maps:foreach(fun hornbeam:register_function/2, Functions),
    hornbeam:register_function(double, ?MODULE, double),
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
