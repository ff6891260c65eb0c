%%% A worker whose Erlang process does not get to its messages: what the log, hornbeam:info/0 and `status' say, and who gets the
%%% requests. The process is suspended, which is the same to everybody else.
-module(hornbeam_pool_watch_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hornbeam.hrl").

-export([log/2]).

-define(POOL, {default, <<>>}).

watch_test_() ->
    {setup, fun setup/0, fun cleanup/1,
     [{Name, {timeout, 300, Test}}
      || {Name, Test} <- [{"a worker that is behind", fun behind/0}, {"one that keeps up", fun keeps_up/0},
                          {"late is not behind", fun late_stays_late/0}]]}.

setup() ->
    ok = logger:set_primary_config(level, none),
    {ok, _} = application:ensure_all_started(hornbeam),
    {ok, _} = fake_worker:start("answer", #{workers => 2}),
    ok.

cleanup(_) ->
    ok = hornbeam:stop(),
    ok = application:stop(hornbeam),
    ok = logger:set_primary_config(level, notice).

%% What is logged of worker 1 comes to the process that asked; the other may be behind because the machine is busy.
log(#{msg := {Format, Arguments}, meta := #{hornbeam_worker := 1}}, #{config := Pid}) ->
    Pid ! {logged, unicode:characters_to_binary(io_lib:format(Format, Arguments))};
log(_Event, _Config) ->
    ok.

behind() ->
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => self()}),
    ok = logger:set_primary_config(level, warning),
    [#{os_pid := OsPid} = Before, _] = ready(),
    Keys = lists:sort([state, lag, behind, queue, memory, os_pid, python, interface, in_flight, requests, restarts, age, number, role]),
    ?assertEqual(Keys, lists:sort(maps:keys(Before)) -- [running, threads, collections, last_end]),
    [One, Two] = slots(),
    true = erlang:suspend_process(One#slot.worker),
    await:until(fun() -> atomics:get(One#slot.counters, ?SLOT_OPEN) =:= ?BEHIND end),
    ?assertMatch(<<"worker 1: its Erlang process (", _/binary>>, logged()),
    ?assert(atomics:get(One#slot.counters, ?SLOT_BEHIND) >= hornbeam_pool_watch:interval()),
    %% What is known of it without its answer.
    await:until(fun() ->
        case hornbeam_pool:info(?POOL) of
            [#{number := 1, state := busy, os_pid := OsPid, in_flight := 0, behind := Time, queue := Waiting} = Busy,
             #{number := 2, state := ready, queue := 0}] -> Time >= 1000 andalso Waiting > 0 andalso not is_map_key(lag, Busy);
            _ -> false
        end
    end),
    shown(fun() -> hornbeam_status:text(hornbeam:info()) end,
          [["^  1 +busy +", integer_to_list(OsPid), " +0 .* - +[0-9]+ ms +[1-9]"], "^  2 +ready "]),
    shown(fun() -> hornbeam_metrics_text:render(default, text) end,
          ["hornbeam_workers.mount=\"/\",state=\"busy\". 1\n",
           "hornbeam_worker_behind_seconds.mount=\"/\",worker=\"1\",[^}]*. [1-9]",
           "hornbeam_worker_queue_messages.mount=\"/\",worker=\"1\",[^}]*. [1-9]"]),
    %% The other one gets the requests; when it is full this one still takes some.
    await:until(fun() -> lists:usort(taken(20)) =:= [Two] end),
    atomics:put(Two#slot.counters, ?SLOT_OPEN, ?CLOSED),
    ?assertEqual([One], lists:usort(taken(2))),
    atomics:put(Two#slot.counters, ?SLOT_OPEN, ?OPEN),
    true = erlang:resume_process(One#slot.worker),
    await:until(fun() -> atomics:get(One#slot.counters, ?SLOT_OPEN) =:= ?OPEN end),
    ?assertMatch(<<"worker 1: its Erlang process was behind by ", _/binary>>, logged()),
    ok = logger:remove_handler(?MODULE),
    ok = logger:set_primary_config(level, none),
    ?assertEqual(nothing, receive {logged, More} -> More after 0 -> nothing end),
    await:until(fun() -> atomics:get(One#slot.counters, ?SLOT_BEHIND) < hornbeam_pool_watch:interval() end),
    ?assertMatch([#{restarts := 0, os_pid := OsPid}, _], ready()).

%% On a busy machine one or the other may be behind for a moment.
ready() ->
    case hornbeam_pool:info(?POOL) of
        [#{state := ready}, #{state := ready}] = Both -> Both;
        _ -> ready()
    end.

shown(Text, Patterns) ->
    await:until(fun() ->
        Shown = unicode:characters_to_binary(Text()),
        lists:all(fun(Pattern) -> re:run(Shown, Pattern, [multiline, {capture, none}]) =:= match end, Patterns)
    end).

keeps_up() ->
    [#slot{worker = Worker} | _] = slots(),
    %% With counters of its own, which the pool does not look at.
    One = #slot{worker = Worker, counters = atomics:new(?SLOT_SIZE, [])},
    atomics:put(One#slot.counters, ?SLOT_OPEN, ?OPEN),
    Watch = look([{1, One}], hornbeam_pool_watch:new()),
    Answer = receive {echo, _, At} -> At end,
    Answered = hornbeam_pool_watch:answered(One#slot.worker, Answer, Watch),
    _ = look([{1, One}], Answered),
    receive {echo, _, _} -> ok end,
    ?assertEqual(?OPEN, atomics:get(One#slot.counters, ?SLOT_OPEN)),
    %% One that has gone is forgotten, and its answer with it.
    Nobody = look([], Answered),
    ?assertEqual(Nobody, hornbeam_pool_watch:answered(One#slot.worker, Answer, Nobody)).

late_stays_late() ->
    Slot = #slot{worker = spawn(fun() -> receive stop -> ok end end), counters = atomics:new(?SLOT_SIZE, [])},
    [begin
        atomics:put(Slot#slot.counters, ?SLOT_OPEN, State),
        Behind = look([{1, Slot}], look([{1, Slot}], hornbeam_pool_watch:new())),
        ?assertEqual(Then, atomics:get(Slot#slot.counters, ?SLOT_OPEN)),
        _ = hornbeam_pool_watch:answered(Slot#slot.worker, erlang:monotonic_time(millisecond), Behind),
        ?assertEqual(State, atomics:get(Slot#slot.counters, ?SLOT_OPEN))
     end || {State, Then} <- [{?OPEN, ?BEHIND}, {?LATE, ?LATE}, {?CLOSED, ?CLOSED}]].

look(Workers, Watch) -> hornbeam_pool_watch:look(Workers, Watch).

slots() ->
    [#slot{}, #slot{}] = Slots = tuple_to_list(element(7, hd(ets:lookup(hornbeam_pools, ?POOL)))),
    Numbers = [{Number, Worker} || #{number := Number, os_pid := OsPid} <- hornbeam_pool:info(?POOL),
                                   #slot{worker = Worker, counters = C} <- Slots,
                                   atomics:get(C, ?SLOT_OS_PID) =:= OsPid],
    [Slot || {_, Worker} <- lists:sort(Numbers), #slot{worker = W} = Slot <- Slots, W =:= Worker].

%% Takes places and gives them back.
taken(Count) ->
    [begin
        {ok, #slot{counters = Counters} = Slot, _, _} = hornbeam_pool:checkout(?POOL),
        atomics:sub(Counters, ?SLOT_LOAD, 1),
        Slot
     end || _ <- lists:seq(1, Count)].

logged() -> receive {logged, Text} -> Text after 100000 -> silence end.
