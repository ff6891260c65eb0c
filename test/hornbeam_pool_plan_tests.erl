%%% The plan of a pool, step by step: who is started, who is drained, and what a failure leaves.
-module(hornbeam_pool_plan_tests).

-include_lib("eunit/include/eunit.hrl").

-import(hornbeam_pool_plan, [event/2, serving/1]).

running(Size) ->
    {_, Plan0} = event({prepare, Size}, hornbeam_pool_plan:new()),
    Keys = [{N, N} || N <- lists:seq(1, Size)],
    Plan = lists:foldl(fun(Key, Acc) -> element(2, event({ready, Key}, Acc)) end, Plan0, Keys),
    {[], Committed} = event(commit, Plan),
    Committed.

nobody_serves_before_all_are_ready_test() ->
    {[{start, {1, 1}, next}, {start, {2, 2}, next}], Plan0} = event({prepare, 2}, hornbeam_pool_plan:new()),
    {[], Plan1} = event({ready, {1, 1}}, Plan0),
    ?assertEqual([], serving(Plan1)),
    {[{prepared, ok}], Plan2} = event({ready, {2, 2}}, Plan1),
    {[], Plan3} = event(commit, Plan2),
    ?assertEqual([{1, 1}, {2, 2}], lists:sort(serving(Plan3))).

a_successor_is_ready_before_the_old_one_leaves_test() ->
    {[{start, {1, 3}, current}], Plan1} = event({retire, {1, 1}}, running(2)),
    ?assertEqual([{1, 1}, {2, 2}], lists:sort(serving(Plan1))),
    {[{drain, {1, 1}}], Plan2} = event({ready, {1, 3}}, Plan1),
    ?assertEqual([{1, 3}, {2, 2}], lists:sort(serving(Plan2))),
    ?assertMatch({[], _}, event({down, {1, 1}, normal}, Plan2)).

one_successor_at_a_time_test() ->
    {[{start, {1, 3}, current}], Plan1} = event({retire, {1, 1}}, running(2)),
    {[], Plan2} = event({retire, {2, 2}}, Plan1),
    ?assertMatch({[{drain, {1, 1}}, {start, {2, 4}, current}], _}, event({ready, {1, 3}}, Plan2)).

a_reload_that_fails_changes_nothing_test() ->
    Before = running(2),
    {[{start, {1, 3}, next}, {start, {2, 4}, next}], Plan1} = event({prepare, 2}, Before),
    {[], Plan2} = event({ready, {1, 3}}, Plan1),
    {Actions, Plan3} = event({lost, {2, 4}, broken}, Plan2),
    ?assertEqual([{drain, {1, 3}}, {stop, {2, 4}}, {prepared, {error, broken}}], Actions),
    ?assertEqual(serving(Before), serving(Plan3)),
    ?assertMatch({[], _}, event(commit, Plan3)).

a_reload_to_another_size_test() ->
    {[{start, New, next}], Plan1} = event({prepare, 1}, running(3)),
    {[{prepared, ok}], Plan2} = event({ready, New}, Plan1),
    {Actions, Plan3} = event(commit, Plan2),
    ?assertEqual([{drain, {1, 1}}, {drain, {2, 2}}, {drain, {3, 3}}], Actions),
    ?assertEqual([New], serving(Plan3)).

%% How a pool is emptied: it is ready at once, and its commit leaves nobody; and there may be another one later.
a_generation_of_none_test() ->
    {[{prepared, ok}], Plan1} = event({prepare, 0}, running(2)),
    {[{drain, {1, 1}}, {drain, {2, 2}}], Plan2} = event(commit, Plan1),
    ?assertEqual([], serving(Plan2)),
    {[], Plan3} = event({down, {1, 1}, normal}, Plan2),
    {[{start, New, next}], Plan4} = event({prepare, 1}, Plan3),
    {[{prepared, ok}], Plan5} = event({ready, New}, Plan4),
    {[], Plan6} = event(commit, Plan5),
    ?assertEqual([New], serving(Plan6)),
    ?assertEqual([], serving(element(2, event({restart, 0}, hornbeam_pool_plan:new())))).

a_second_reload_is_refused_test() ->
    {_, Plan} = event({prepare, 1}, running(1)),
    ?assertMatch({[{prepared, {error, reload_in_progress}}], Plan}, event({prepare, 1}, Plan)).

a_worker_that_crashes_is_replaced_test() ->
    {[{start, {1, 2}, current}], Plan} = event({down, {1, 1}, killed}, running(1)),
    ?assertEqual([], serving(Plan)).

%% After a crash of the pool nobody waits for an answer, and one member that fails does not end the others.
a_pool_that_was_restarted_serves_with_who_is_ready_test() ->
    {[{start, {1, 1}, current}, {start, {2, 2}, current}], Plan1} = event({restart, 2}, hornbeam_pool_plan:new()),
    {[], Plan2} = event({lost, {1, 1}, broken}, Plan1),
    {[], Plan3} = event({ready, {2, 2}}, Plan2),
    ?assertEqual([{2, 2}], serving(Plan3)),
    {[], Plan4} = event({ready, {1, 1}}, Plan3),
    ?assertEqual([{1, 1}, {2, 2}], lists:sort(serving(Plan4))),
    ?assertMatch({[{start, {1, 3}, next}], _}, event({prepare, 1}, Plan4)).
