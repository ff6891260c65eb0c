%%% hornbeam_pool_choice and hornbeam_pool_affinity: which worker a request gets, without processes of workers.
-module(hornbeam_pool_choice_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hornbeam.hrl").

%% A pool of open workers with so many requests each, numbered from 1.
slots(Loads) ->
    list_to_tuple([slot(Number, Load) || {Number, Load} <- lists:enumerate(Loads)]).

slot(Number, Load) ->
    Counters = atomics:new(?SLOT_SIZE, []),
    ok = atomics:put(Counters, ?SLOT_OPEN, ?OPEN),
    ok = atomics:put(Counters, ?SLOT_LOAD, Load),
    #slot{worker = self(), number = Number, counters = Counters}.

put_slot(Number, Index, Value, Slots) ->
    atomics:put((element(Number, Slots))#slot.counters, Index, Value).

%% The number of the worker that a request gets; its place is given back.
taken(Slots) -> number(hornbeam_pool_choice:take(any, Slots, fun() -> 0 end, 100)).

taken_for(Belongs, Slots) -> number(hornbeam_pool_choice:take(Belongs, Slots, fun() -> 0 end, 100)).

number({ok, #slot{number = Number, counters = Counters}, _Id, _Load}) -> atomics:sub(Counters, ?SLOT_LOAD, 1), Number;
number({moved, Taken}) -> {moved, number(Taken)};
number(none) -> none.

forgotten(Test) ->
    ok = hornbeam_pool_choice:forget(),
    try Test()
    after hornbeam_pool_choice:forget()
    end.

a_process_stays_where_it_was_test() ->
    forgotten(fun() ->
        Turns = counters:new(1, []),
        Take = fun(Slots) -> number(hornbeam_pool_choice:take(any, Slots, fun() -> counters:add(Turns, 1, 1), counters:get(Turns, 1) end, 100)) end,
        Slots = slots([0, 0, 0]),
        First = Take(Slots),
        ?assertEqual(lists:duplicate(20, First), [Take(Slots) || _ <- lists:seq(1, 20)]),
        ok = hornbeam_pool_choice:forget(),
        ?assertNotEqual(First, Take(Slots))
    end).

it_stays_with_an_eighth_more_test() ->
    forgotten(fun() ->
        Then = fun(Loads) -> 1 = taken(slots([0, 1])), {Loads, taken(slots(Loads))} end,
        [?assertEqual({Loads, Expected}, Then(Loads))
         || {Loads, Expected} <- [{[1, 1], 1}, {[1, 0], 2}, {[7, 7], 1}, {[7, 6], 2}, {[8, 7], 1}, {[8, 6], 2}, {[32, 28], 1}, {[33, 28], 2}]]
    end).

a_new_one_takes_the_least_loaded_test() ->
    forgotten(fun() -> ?assertEqual(2, taken(slots([32, 31]))) end).

it_does_not_stay_where_it_must_not_test() ->
    forgotten(fun() ->
        Slots = slots([1, 0, 1]),
        ?assertEqual(2, taken(Slots)),
        [begin
             ok = put_slot(2, ?SLOT_OPEN, State, Slots),
             ?assertNotEqual(2, taken(Slots)),
             ok = hornbeam_pool_choice:forget(),
             ok = put_slot(2, ?SLOT_OPEN, ?OPEN, Slots),
             ?assertEqual(2, taken(Slots))
         end || State <- [?CLOSED, ?LATE, ?BEHIND]]
    end).

it_is_found_where_others_are_missing_test() ->
    forgotten(fun() ->
        {_, Second, Third} = slots([1, 1, 0]),
        ?assertEqual(3, taken({slot(1, 1), Second, Third})),
        ?assertEqual(3, taken({Second, Third})),
        ?assert(lists:member(taken({slot(1, 0), Second}), [1, 2]))
    end).

under_load_they_are_balanced_test() ->
    forgotten(fun() ->
        Slots = slots([0, 0, 0, 0]),
        [{ok, _, _, _} = hornbeam_pool_choice:take(any, Slots, fun() -> 0 end, 1000) || _ <- lists:seq(1, 400)],
        Loads = [atomics:get(C, ?SLOT_LOAD) || #slot{counters = C} <- tuple_to_list(Slots)],
        ?assert(lists:max(Loads) =< lists:min(Loads) + lists:max(Loads) div 8 + 1)
    end).

%%% Belonging to a worker

by_number_test() ->
    Slots = slots([50, 0, 0]),
    ?assertEqual(1, taken_for({worker, 1}, Slots)),
    ?assertMatch({moved, _}, taken_for({worker, 4}, Slots)),
    ok = put_slot(1, ?SLOT_OPEN, ?LATE, Slots),
    ?assertEqual(1, taken_for({worker, 1}, Slots)),
    ok = put_slot(1, ?SLOT_OPEN, ?CLOSED, Slots),
    ?assertMatch({moved, N} when N =/= 1, taken_for({worker, 1}, Slots)).

%% A worker that is full is somebody's still.
full_test() ->
    Slots = slots([100, 100, 0]),
    [?assertEqual(3, taken_for({worker, Number}, Slots)) || Number <- [1, 2, 3]],
    [?assertEqual(3, taken_for(hornbeam_pool_affinity:key(Key), Slots)) || Key <- lists:seq(1, 20)],
    ?assertEqual(none, taken_for({worker, 1}, slots([100, 100]))).

killed_test() ->
    {Pid, Monitor} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', Monitor, process, Pid, _} -> ok end,
    {First, Second} = slots([0, 0]),
    ?assertEqual({moved, 2}, taken_for({worker, 1}, {(First#slot{worker = Pid})#slot{counters = closed()}, Second})),
    [?assertEqual(2, taken_for(hornbeam_pool_affinity:key(Key), {First#slot{worker = Pid}, Second})) || Key <- lists:seq(1, 20)].

closed() -> (slot(1, 200))#slot.counters.

alone_test() ->
    ?assertEqual(1, taken_for(hornbeam_pool_affinity:key(<<"a">>), slots([0]))),
    ?assertEqual(none, taken_for(hornbeam_pool_affinity:key(<<"a">>), slots([100]))).

%%% Workers whose threads are their places

with_places(Number, Load, Places) -> (slot(Number, Load))#slot{places = Places}.

%% What is refused leaves no trace.
places_test() ->
    [begin
        #slot{counters = Counters} = Slot = with_places(1, Load, Places),
        ?assertEqual(Taken, taken({Slot}) =:= 1),
        ?assertEqual(Load, atomics:get(Counters, ?SLOT_LOAD))
     end || {Load, Places, Taken} <- [{3, 4, true}, {4, 4, false}, {99, infinity, true}, {100, infinity, false}, {99, 200, true}]].

a_full_one_is_left_for_another_test() ->
    forgotten(fun() ->
        ?assertEqual(1, taken({with_places(1, 0, 8), with_places(2, 1, 8)})),
        ?assertEqual(2, taken({with_places(1, 8, 8), with_places(2, 7, 8)})),
        ?assertEqual(none, taken({with_places(1, 8, 8), with_places(2, 8, 8)}))
    end).

%% A call has a thread of its own, or the request that waits for it could have taken its place.
calls_test() ->
    ?assertEqual(1, taken_for(call, {with_places(1, 4, 4)})),
    ?assertEqual(none, taken_for(call, {with_places(1, 100, 4)})).

free_places_test() ->
    ?assertEqual(1 + 0 + 97, hornbeam_pool_choice:free([with_places(1, 3, 4), with_places(2, 5, 4), with_places(3, 3, infinity)], 100)).
