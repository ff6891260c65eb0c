%%% A cluster's tasks without a cluster: who is given what, leases, retries, cancelling, bounds, schedules. Any order of it all: prop_hornbeam_task_part.
-module(hornbeam_task_part_tests).

-include_lib("eunit/include/eunit.hrl").

-define(S, web).
-define(LIMITS, #{queue => 100, bytes => 1 bsl 30}).
-define(TERMS, #{lease => 1000, kept => 1 bsl 30, queues => #{<<"serial">> => 1}}).

%% Operations one after the other, at a time: the last reply, all events, the state.
run(Operations, Part) -> run(Operations, 0, Part).

run(Operations, Now, Part0) ->
    lists:foldl(fun(Operation, {_, Events, Part}) ->
        {Reply, More, Next} = hornbeam_task_part:apply(Operation, #{index => 1, now => Now, time => 5}, Part),
        {Reply, Events ++ More, Next}
    end, {none, [], Part0}, Operations).

task(Id, Options) ->
    {ok, Task} = hornbeam_task:new(?S, <<"m:f">>, {bytes, <<"body">>}, Options),
    (hornbeam_task_cluster:operation(Task))#{id := Id}.

add(Id) -> add(Id, #{}).
add(Id, Options) -> {add, ?S, task(Id, Options), ?LIMITS}.
offer(Node, Places) -> {offer, ?S, {Node, 1}, Places, ?TERMS}.
done(Node, Id, Attempt) -> {ended, ?S, {Node, 1}, Id, Attempt, {final, done, {ok, <<"r">>}}, 1000}.

given(Events) -> [{Node, Id} || {run, ?S, {Node, _}, #{id := Id}} <- Events].

state(Id, Part) ->
    case hornbeam_task_part:query({task, ?S, Id}, 0, Part) of
        {ok, #{state := State}} -> State;
        error -> none
    end.

tick(Now, Part) -> hornbeam_task_part:expire(#{index => 1, now => Now, time => 5}, Part).

a_task_is_given_where_there_is_room_test() ->
    {{ok, <<"1">>}, [], P1} = run([add(<<"1">>)], hornbeam_task_part:new()),
    {ok, [{run, ?S, {a, 1}, #{id := <<"1">>, attempts := 1, body := <<"body">>}}], P2} = run([offer(a, 2)], P1),
    ?assertEqual(running, state(<<"1">>, P2)),
    %% The one with more room.
    {_, Events, P3} = run([offer(b, 3), add(<<"2">>), add(<<"3">>), add(<<"4">>)], P2),
    ?assertEqual([{b, <<"2">>}, {b, <<"3">>}], lists:sublist(given(Events), 2)),
    ?assertMatch(#{running := 4, pending := 0}, hornbeam_task_part:query({counts, ?S}, 0, P3)),
    {true, [{over, ?S, <<"1">>}], P4} = run([done(a, <<"1">>, 1)], P3),
    ?assertEqual(done, state(<<"1">>, P4)),
    %% Twice, or of an attempt that was before.
    {false, [], P4} = run([done(a, <<"1">>, 1)], P4),
    {false, [], P4} = run([done(a, <<"2">>, 1)], P4).

a_key_is_one_task_test() ->
    {{ok, <<"1">>}, _, P1} = run([add(<<"1">>, #{<<"unique">> => <<"k">>}), add(<<"2">>, #{<<"unique">> => <<"k">>})], hornbeam_task_part:new()),
    {{ok, <<"1">>}, _, P2} = run([offer(a, 1), done(a, <<"1">>, 1), add(<<"3">>, #{<<"unique">> => <<"k">>})], P1),
    {[], P3} = tick(1001, P2),
    ?assertEqual(none, state(<<"1">>, P3)),
    {{ok, <<"4">>}, _, P4} = run([add(<<"4">>, #{<<"unique">> => <<"k">>})], P3),
    {{true, _}, _, P5} = run([{cancel, ?S, <<"4">>, 1000}], P4),
    {{ok, <<"5">>}, _, _} = run([add(<<"5">>, #{<<"unique">> => <<"k">>})], P5).

whoever_is_silent_has_nothing_test() ->
    {_, _, P1} = run([offer(a, 1), add(<<"1">>)], hornbeam_task_part:new()),
    ?assert(hornbeam_task_part:waits(P1)),
    {{ok, 1, [<<"1">>]}, [], P2} = run([{renew, ?S, {a, 1}, #{<<"1">> => half, <<"2">> => no}}], 500, P1),
    ?assertMatch({ok, #{progress := half}}, hornbeam_task_part:query({task, ?S, <<"1">>}, 0, P2)),
    {_, [], P3} = run([offer(b, 1)], 500, P2),
    {[], P4} = tick(1749, P3),
    {Events, P5} = tick(1750, P4),
    ?assertMatch([{run, ?S, {b, 1}, #{id := <<"1">>, attempts := 1}}], Events),
    {gone, [], P5} = run([{renew, ?S, {a, 1}, #{}}], P5),
    {false, [], P5} = run([done(a, <<"1">>, 1)], P5),
    ?assertEqual(none, hornbeam_task_part:query({owner, ?S, {a, 1}}, 0, P5)),
    {true, _, P6} = run([{ended, ?S, {b, 1}, <<"1">>, 1, {final, done, {ok, <<>>}}, infinity}], P5),
    %% Nothing is to be done, so no time runs.
    ?assertNot(hornbeam_task_part:waits(P6)).

a_node_that_begins_anew_test() ->
    {_, _, P1} = run([offer(a, 1), add(<<"1">>)], hornbeam_task_part:new()),
    {ok, [{run, ?S, {a, 2}, #{id := <<"1">>, attempts := 1}}], P2} = run([{offer, ?S, {a, 2}, 1, ?TERMS}], P1),
    {ok, [], P3} = run([{leave, ?S, {a, 2}}, {leave, ?S, {a, 2}}], P2),
    ?assertEqual(pending, state(<<"1">>, P3)),
    %% What is down is given nothing until it offers.
    {_, [], P4} = run([{offer, ?S, {b, 1}, 0, ?TERMS}, offer(b, 0), {down, b}, {down, c}], P3),
    ?assertMatch({_, [_], _}, run([offer(b, 1)], P4)).

a_queue_of_one_keeps_its_order_test() ->
    Serial = #{<<"queue">> => <<"serial">>},
    {_, Events, P1} = run([offer(a, 5), offer(b, 5), add(<<"1">>, Serial), add(<<"2">>, Serial), add(<<"3">>)], hornbeam_task_part:new()),
    ?assertEqual([<<"1">>, <<"3">>], [Id || {_, Id} <- given(Events)]),
    [{Node, _} | _] = given(Events),
    {true, More, P2} = run([done(Node, <<"1">>, 1)], P1),
    ?assertMatch([{_, <<"2">>}], given(More)),
    %% One that is given back is before what came later.
    [{Other, _}] = given(More),
    {_, Again, _} = run([add(<<"4">>, Serial), {ended, ?S, {Other, 1}, <<"2">>, 1, {not_run, 0}, 1000}], P2),
    ?assertMatch([{_, <<"2">>}], given(Again)).

retries_and_delays_test() ->
    {_, [], P1} = run([offer(a, 1), add(<<"1">>, #{<<"delay">> => 100})], hornbeam_task_part:new()),
    {[], P2} = tick(250, P1),
    {[{run, _, _, _}], P3} = tick(500, P2),
    Failed = {error, <<"E">>, <<"text">>, <<>>},
    {true, [], P4} = run([{ended, ?S, {a, 1}, <<"1">>, 1, {retry, Failed, 100}, 1000}], 500, P3),
    ?assertEqual(retrying, state(<<"1">>, P4)),
    {[{run, _, _, #{attempts := 2}}], P5} = tick(1000, P4),
    {true, [{over, _, _}], P6} = run([{ended, ?S, {a, 1}, <<"1">>, 2, {final, failed, Failed}, 1000}], P5),
    %% A dead letter stays.
    {[], P7} = tick(1 bsl 40, P6),
    ?assertMatch([#{state := failed, result := Failed}], hornbeam_task_part:query({list, ?S, failed, none, 10}, 0, P7)),
    {{true, _}, [{run, _, _, #{attempts := 1, result := none}}], P8} = run([{retry, ?S, <<"1">>, 1000}], P7),
    {false, [], P8} = run([{retry, ?S, <<"1">>, 1000}], P8),
    {{true, _}, [{stop, ?S, {a, 1}, <<"1">>}, {over, ?S, <<"1">>}], P9} = run([{cancel, ?S, <<"1">>, 1000}], P8),
    {false, [], P9} = run([{cancel, ?S, <<"1">>, 1000}], P9),
    ?assertMatch([{<<"1">>, {ok, #{state := cancelled}}}, {<<"0">>, error}], hornbeam_task_part:query({over, ?S, [<<"1">>, <<"0">>]}, 0, P9)),
    {1, [], P10} = run([{purge, ?S, all}], P9),
    {not_found, [], P10} = run([{cancel, ?S, <<"1">>, 1000}], P10),
    ?assertEqual({0, 0}, hornbeam_task_part:size(P10)).

bounds_test() ->
    Part = hornbeam_task_part:new(),
    Add = fun(Id, Options, Limits) -> {add, ?S, task(Id, Options), maps:merge(?LIMITS, Limits)} end,
    {{error, queue}, _, _} = run([Add(<<"1">>, #{}, #{}), Add(<<"2">>, #{}, #{queue => 1})], Part),
    {{error, bytes}, _, _} = run([Add(<<"1">>, #{}, #{}), Add(<<"2">>, #{}, #{bytes => 1000})], Part),
    Many = [add(integer_to_binary(N), #{<<"queue">> => integer_to_binary(N)}) || N <- lists:seq(1, 1001)],
    {{error, queues}, _, _} = run([{add, ?S, Task, #{queue => 10000, bytes => 1 bsl 30}} || {add, _, Task, _} <- Many], Part),
    %% Of what is over the oldest is forgotten.
    {true, _, P} = run([{offer, ?S, {a, 1}, 5, maps:put(kept, 1000, ?TERMS)}, add(<<"1">>), add(<<"2">>), done(a, <<"1">>, 1), done(a, <<"2">>, 1)], Part),
    ?assertEqual([none, done], [state(Id, P) || Id <- [<<"1">>, <<"2">>]]),
    ?assertEqual({{error, unknown}, [], P}, run([{of_a_later_version, ?S}], P)).

each_time_of_a_schedule_is_begun_once_test() ->
    Fire = fun(After, Last, Node, Id) -> {fire, ?S, <<"s">>, {After, Last}, Node, [task(Id, #{<<"unique">> => Id})], ?LIMITS} end,
    {unknown, [], P0} = run([Fire(0, 10, a, <<"x">>)], hornbeam_task_part:new()),
    {{5, none}, [], P1} = run([{know, ?S, <<"s">>, 5}, {know, ?S, <<"s">>, 7}], P0),
    {{begun, []}, [{fired, ?S, <<"s">>, 10, a}], P2} = run([Fire(5, 10, a, <<"1">>)], P1),
    {{10, a}, [], P2} = run([Fire(5, 10, b, <<"2">>)], P2),
    {{10, a}, [], P2} = run([{know, ?S, <<"s">>, 50}], P2),
    {{begun, []}, _, P3} = run([Fire(10, 20, b, <<"3">>)], P2),
    ?assertMatch(#{pending := 2}, hornbeam_task_part:query({counts, ?S}, 0, P3)),
    Many = [{know, ?S, integer_to_binary(N), N} || N <- lists:seq(100, 10100)],
    {_, [], P4} = run(Many, P3),
    ?assertMatch({{99, none}, _, _}, run([{know, ?S, <<"s">>, 99}], P4)).
