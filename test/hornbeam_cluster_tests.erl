%%% The cluster's machine by itself: incarnations of clients, the clock, what listeners are told, when snapshots are due. Any operations in any
%%% order are prop_hornbeam_cluster's; several nodes hornbeam_cluster_SUITE's.
-module(hornbeam_cluster_tests).

-include_lib("eunit/include/eunit.hrl").

-define(MAX, 1 bsl 30).

incarnations_test() ->
    M0 = hornbeam_cluster_machine:init(#{}),
    {M1, {ok, 1}} = incr({a, 5}, 1, 1, M0),
    {M2, {ok, 2}} = incr({a, 6}, 1, 1, M1),
    %% Of one that is gone nothing is applied any more, of another node's all.
    {M3, {error, gone}} = incr({a, 5}, 1, 2, M2),
    {M4, {ok, 3}} = incr({b, 1}, 1, 1, M3),
    %% What nobody waits for any more is not applied when it comes late.
    {M5, {ok, 4}} = incr({a, 6}, 5, 5, M4),
    {M6, {error, gone}} = incr({a, 6}, 5, 4, M5),
    {M7, {ok, 4}} = incr({a, 6}, 5, 5, M6),
    %% A member that has left for good leaves nothing.
    {M8, ok, _} = with_effects(hornbeam_cluster_machine:apply(#{index => 9}, hornbeam_cluster_machine:forget(a), M7)),
    ?assertMatch(#{sessions := 1}, hornbeam_cluster_machine:overview(M8)).

%% What only a later version knows is refused and not applied, and all else in the same batch is; a later version has all that this one has.
versions_test() ->
    M0 = hornbeam_cluster_machine:init(#{}),
    Numbered = [{1, {kv, {incr, <<"n">>, 1, infinity, ?MAX}}}, {2, {of_tomorrow, anything}}, {3, {kv, {incr, <<"n">>, 1, infinity, ?MAX}}}],
    {M1, Replies, _} = with_effects(hornbeam_cluster_machine:apply(#{index => 1}, hornbeam_cluster_machine:command({a, 1}, 1, Numbered), M0)),
    ?assertEqual([{1, {ok, 1}}, {2, {error, unknown}}, {3, {ok, 2}}], Replies),
    ?assertMatch([unknown, {ok, 2, _}], hornbeam_cluster_machine:ask([{of_tomorrow, anything}, {kv, {get, <<"n">>}}], M1)),
    Version = hornbeam_cluster_machine:version(),
    ?assertEqual([hornbeam_cluster_machine], lists:usort([hornbeam_cluster_machine:which_module(V) || V <- lists:seq(0, Version)])),
    {M2, ok, []} = with_effects(hornbeam_cluster_machine:apply(#{index => 2}, {machine_version, 0, Version}, M1)),
    ?assertEqual(M1, M2).

the_clock_runs_while_something_ends_test() ->
    M0 = hornbeam_cluster_machine:init(#{}),
    {M1, ok, Effects} = do({put, <<"k">>, 1, 300, ?MAX}, 1, M0),
    ?assertMatch([{timer, clock, 250}], timers(Effects)),
    {M2, ok, None} = do({put, <<"l">>, 1, 300, ?MAX}, 2, M1),
    ?assertEqual([], timers(None)),
    ?assertEqual([{timer, clock, 250}], timers(hornbeam_cluster_machine:state_enter(leader, M2))),
    %% 300 ms end with the third step: two may be over after 251 ms.
    {M3, E3} = tick(3, M2),
    {M4, E4} = tick(4, M3),
    ?assertMatch([{ok, 1, 1}], hornbeam_cluster_machine:ask([{kv, {get, <<"k">>}}], M4)),
    {M5, E5} = tick(5, M4),
    ?assertEqual([error, error], hornbeam_cluster_machine:ask([{kv, {get, <<"k">>}}, {kv, {get, <<"l">>}}], M5)),
    ?assertEqual([1, 1, 0], [length(timers(E)) || E <- [E3, E4, E5]]),
    ?assertEqual([{{hornbeam_cluster_watch, node()}, {hornbeam_cluster, kv, 5, [{delete, <<"k">>, 5}, {delete, <<"l">>, 5}]}}], told(E5)),
    ?assertEqual([], timers(hornbeam_cluster_machine:state_enter(leader, M5))).

listeners_are_told_test() ->
    M0 = hornbeam_cluster_machine:init(#{}),
    {M1, ok, Effects} = do({put, <<"k">>, 1, infinity, ?MAX}, 1, M0),
    ?assertEqual([{{hornbeam_cluster_watch, node()}, {hornbeam_cluster, kv, 1, [{put, <<"k">>, 1, 1}]}}], told(Effects)),
    ?assertMatch([{send_msg, {hornbeam_cluster_watch, _}, {hornbeam_cluster, kv, 0, resync}} | _], hornbeam_cluster_machine:state_enter(recovered, M1)),
    ?assertMatch([{send_msg, {hornbeam_cluster_watch, _}, {hornbeam_cluster, kv, 0, resync}} | _],
                 hornbeam_cluster_machine:snapshot_installed(#{}, M1, #{}, M0)).

%% Each of a batch has a number of its own, and what is known of it is answered as before; listeners get one message.
a_batch_is_its_operations_test() ->
    Put = fun(Key) -> {put, Key, 1, infinity, ?MAX} end,
    {M1, [ok, {ok, 1}, {ok, 3}, ok], Effects} =
        all([Put(<<"a">>), {incr, <<"n">>, 1, infinity, ?MAX}, {incr, <<"n">>, 2, infinity, ?MAX}, Put(<<"a">>)], 1, 7, hornbeam_cluster_machine:init(#{})),
    Events = [{put, <<"a">>, 1, 1}, {put, <<"n">>, 1, 2}, {put, <<"n">>, 3, 3}, {put, <<"a">>, 1, 4}],
    ?assertEqual([{{hornbeam_cluster_watch, node()}, {hornbeam_cluster, kv, 7, Events}}], told(Effects)),
    {M2, [{ok, 3}, ok, {ok, 4}], Again} =
        all([{incr, <<"n">>, 2, infinity, ?MAX}, Put(<<"a">>), {incr, <<"n">>, 1, infinity, ?MAX}], 3, 8, M1),
    ?assertMatch([{_, {hornbeam_cluster, kv, 8, [{put, <<"n">>, 4, 5}]}}], told(Again)),
    ?assertMatch([{ok, 1, 4}, {ok, 4, 5}], hornbeam_cluster_machine:ask([{kv, {get, <<"a">>}}, {kv, {get, <<"n">>}}], M2)).

%% As much is written between two snapshots as one holds.
snapshots_test() ->
    ?assertEqual([8192, 16384, 24576], snapshots(25000, fun(I) -> integer_to_binary(I rem 10) end)),
    ?assertEqual([8192, 16384, 32768], snapshots(40000, fun integer_to_binary/1)).

snapshots(Number, Key) ->
    {_, Indexes} = lists:foldl(fun(I, {Machine, Acc}) ->
        {Next, ok, Effects} = do({put, Key(I), 1, infinity, ?MAX}, I, Machine),
        {Next, [Index || {release_cursor, Index, _} <- Effects] ++ Acc}
    end, {hornbeam_cluster_machine:init(#{}), []}, lists:seq(1, Number)),
    lists:reverse(Indexes).

unknown_operations_are_answered_test() ->
    M0 = hornbeam_cluster_machine:init(#{}),
    {M1, {error, unknown}, _} = do({of_a_later_version, 1}, 1, M0),
    ?assertEqual([unknown], hornbeam_cluster_machine:ask([{kv, {of_a_later_version, 1}}], M1)).

incr(Session, Low, Seq, Machine) ->
    Command = hornbeam_cluster_machine:command(Session, Low, [{Seq, {kv, {incr, <<"n">>, 1, infinity, ?MAX}}}]),
    {Next, [{Seq, Reply}], _} = with_effects(hornbeam_cluster_machine:apply(#{index => Seq}, Command, Machine)),
    {Next, Reply}.

do(Operation, Index, Machine) ->
    {Next, [Reply], Effects} = all([Operation], Index, Index, Machine),
    {Next, Reply, Effects}.

%% Of one batch.
all(Operations, Seq, Index, Machine) ->
    Numbered = lists:zip(lists:seq(Seq, Seq + length(Operations) - 1), [{kv, Operation} || Operation <- Operations]),
    Command = hornbeam_cluster_machine:command({n, 1}, Seq, Numbered),
    {Next, Replies, Effects} = with_effects(hornbeam_cluster_machine:apply(#{index => Index}, Command, Machine)),
    {Seqs, Values} = lists:unzip(Replies),
    ?assertEqual([Each || {Each, _} <- Numbered], Seqs),
    {Next, Values, Effects}.

tick(Index, Machine) ->
    {Next, ok, Effects} = with_effects(hornbeam_cluster_machine:apply(#{index => Index}, {timeout, clock}, Machine)),
    {Next, Effects}.

with_effects({Machine, Reply}) -> {Machine, Reply, []};
with_effects(All) -> All.

timers(Effects) -> [Effect || {timer, _, _} = Effect <- Effects].

told(Effects) -> [{To, Message} || {send_msg, To, Message, [local]} <- Effects].
