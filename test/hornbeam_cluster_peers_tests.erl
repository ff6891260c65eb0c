%%% hornbeam_cluster_peers: which node is tried when. Times are given, chance is 0.0 (the longest wait) or 1.0 (half of it).
-module(hornbeam_cluster_peers_tests).

-include_lib("eunit/include/eunit.hrl").

-define(A, 'n@127.0.0.1').
-define(B, 'n@127.0.0.2').
-define(HELLO, #{protocol => 1, oldest => 1, name => <<"n">>, machine => 1, version => <<"1">>, otp => <<"25">>}).

wanted(Nodes) -> hornbeam_cluster_peers:wanted(Nodes, 0, hornbeam_cluster_peers:new()).

state(Node, Peers) ->
    case [State || #{node := N, state := State} <- hornbeam_cluster_peers:describe(0, Peers), N =:= Node] of
        [State] -> State;
        [] -> unknown
    end.

%% A node fails again and again: how long each wait is.
waits(Cause, Peers) -> waits(Cause, 0, Peers, []).

waits(_, _, _, Waits) when length(Waits) =:= 12 -> lists:reverse(Waits);
waits(Cause, Now, Peers, Waits) ->
    {[?A], Tried} = hornbeam_cluster_peers:due(Now, 1, Peers),
    {_, Failed} = hornbeam_cluster_peers:failed(?A, Cause, Now, 0.0, Tried),
    Wait = hornbeam_cluster_peers:next(Now, Failed),
    waits(Cause, Now + Wait, Failed, [Wait | Waits]).

a_new_node_is_tried_at_once_and_only_once_at_a_time_test() ->
    {Nodes, Peers} = hornbeam_cluster_peers:due(0, 10, wanted([?A, ?B])),
    ?assertEqual([?A, ?B], Nodes),
    ?assertEqual({[], Peers}, hornbeam_cluster_peers:due(100000, 10, Peers)),
    ?assertEqual(infinity, hornbeam_cluster_peers:next(0, Peers)).

no_more_are_tried_than_there_is_room_for_test() ->
    Nodes = [list_to_atom("n@10.0.0." ++ integer_to_list(N)) || N <- lists:seq(1, 100)],
    {First, Peers} = hornbeam_cluster_peers:due(0, 32, wanted(Nodes)),
    ?assertEqual(32, length(First)),
    {Second, _} = hornbeam_cluster_peers:due(0, 32, Peers),
    ?assertEqual(32, length(Second)),
    ?assertEqual([], [Node || Node <- Second, lists:member(Node, First)]),
    ?assertMatch({[], _}, hornbeam_cluster_peers:due(0, -3, Peers)).

waits_grow_up_to_a_limit_test() ->
    ?assertEqual(5000, lists:last(waits(refused, wanted([?A])))),
    ?assertEqual(30000, lists:last(waits(not_let_in, wanted([?A])))),
    ?assertEqual(lists:sort(waits(timeout, wanted([?A]))), waits(timeout, wanted([?A]))).

one_that_was_up_is_tried_every_second_test() ->
    {true, Up} = hornbeam_cluster_peers:welcome(?A, ?HELLO, 0, wanted([?A])),
    {true, Down} = hornbeam_cluster_peers:unlinked(?A, connection_closed, 0, 0.0, Up),
    Wait = hornbeam_cluster_peers:next(0, Down),
    ?assert(Wait =< 1000),
    {[?A], Tried} = hornbeam_cluster_peers:due(Wait, 1, Down),
    {false, Failed} = hornbeam_cluster_peers:failed(?A, timeout, Wait, 0.0, Tried),
    Later = Wait + hornbeam_cluster_peers:next(Wait, Failed),
    {[?A], _} = hornbeam_cluster_peers:due(Later, 1, Failed),
    [?assert(W =< 1000) || W <- waits(timeout, element(2, hornbeam_cluster_peers:failed(?A, timeout, -5000, 0.0, Down)))].

chance_shortens_a_wait_by_up_to_half_test() ->
    {[?A], Tried} = hornbeam_cluster_peers:due(0, 1, wanted([?A])),
    {_, Long} = hornbeam_cluster_peers:failed(?A, refused, 0, 0.0, Tried),
    {_, Short} = hornbeam_cluster_peers:failed(?A, refused, 0, 1.0, Tried),
    ?assertEqual(hornbeam_cluster_peers:next(0, Long), 2 * hornbeam_cluster_peers:next(0, Short)).

a_cause_is_told_once_test() ->
    Tell = fun({Now, Cause}, {Told, Peers}) ->
        {T, After} = hornbeam_cluster_peers:failed(?A, Cause, Now, 0.0, Peers),
        {Told ++ [T], After}
    end,
    %% One that is just being started is no news; one that lets nobody in is. What is new may be chance.
    {Told, _} = lists:foldl(Tell, {[], wanted([?A])}, [{0, refused}, {4999, refused}, {5000, refused}, {6000, refused}, {7000, timeout}, {8000, timeout}, {9000, refused}, {9001, refused}]),
    ?assertEqual([false, false, true, false, false, true, false, true], Told),
    {false, Once} = hornbeam_cluster_peers:failed(?A, not_let_in, 0, 0.0, wanted([?A])),
    ?assertMatch({true, _}, hornbeam_cluster_peers:failed(?A, not_let_in, 0, 0.0, Once)).

a_node_of_another_cluster_is_refused_and_tried_seldom_test() ->
    {true, Refused} = hornbeam_cluster_peers:refused(?A, {other_cluster, <<"x">>}, 0, 0.0, wanted([?A])),
    ?assertEqual(refused, state(?A, Refused)),
    {false, Again} = hornbeam_cluster_peers:refused(?A, {other_cluster, <<"x">>}, 0, 0.0, Refused),
    {_, Failed} = hornbeam_cluster_peers:failed(?A, not_let_in, 0, 0.0, Again),
    ?assertEqual(refused, state(?A, Failed)),
    ?assertEqual(#{other_cluster => 2, not_let_in => 1}, maps:get(failures, hornbeam_cluster_peers:figures(Failed))),
    {true, Up} = hornbeam_cluster_peers:welcome(?A, ?HELLO, 0, Failed),
    ?assertEqual(up, state(?A, Up)).

who_says_goodbye_has_not_failed_test() ->
    {true, Up} = hornbeam_cluster_peers:welcome(?A, ?HELLO, 0, wanted([?A])),
    {true, Stopping} = hornbeam_cluster_peers:goodbye(?A, 0, Up),
    {false, Stopped} = hornbeam_cluster_peers:unlinked(?A, connection_closed, 0, 0.0, Stopping),
    ?assertEqual(stopped, state(?A, Stopped)),
    {[?A], Tried} = hornbeam_cluster_peers:due(1000, 1, Stopped),
    Fail = fun(_, {Told, Peers}) -> {T, After} = hornbeam_cluster_peers:failed(?A, refused, 9000, 0.0, Peers), {Told orelse T, After} end,
    {false, Away} = lists:foldl(Fail, {false, Tried}, lists:seq(1, 10)),
    {true, Back} = hornbeam_cluster_peers:welcome(?A, ?HELLO, 0, Away),
    ?assertMatch(#{connects := 2, reconnects := 1}, hornbeam_cluster_peers:figures(Back)).

a_link_that_the_other_side_makes_is_greeted_test() ->
    Linked = hornbeam_cluster_peers:linked(?B, 5, hornbeam_cluster_peers:new()),
    {[?B], Tried} = hornbeam_cluster_peers:due(5, 1, Linked),
    {true, Up} = hornbeam_cluster_peers:welcome(?B, ?HELLO, 5, Tried),
    ?assertEqual([?B], hornbeam_cluster_peers:up(Up)),
    %% The end of the try that was under way says nothing.
    ?assertEqual({false, Up}, hornbeam_cluster_peers:failed(?B, silent, 6, 0.0, Up)).

a_strange_node_without_a_cluster_is_left_alone_test() ->
    {[?B], Tried} = hornbeam_cluster_peers:due(5, 1, hornbeam_cluster_peers:linked(?B, 5, hornbeam_cluster_peers:new())),
    {false, Left} = hornbeam_cluster_peers:failed(?B, not_there, 5, 0.0, Tried),
    ?assertEqual(infinity, hornbeam_cluster_peers:next(5, Left)),
    ?assertEqual([], hornbeam_cluster_peers:describe(5, Left)).

what_is_discovered_no_more_is_forgotten_test() ->
    ?assertEqual([], hornbeam_cluster_peers:describe(0, hornbeam_cluster_peers:wanted([], 0, wanted([?A])))),
    {true, Up} = hornbeam_cluster_peers:welcome(?A, ?HELLO, 0, wanted([?A])),
    Unwanted = hornbeam_cluster_peers:wanted([], 1, Up),
    ?assertEqual(up, state(?A, Unwanted)),
    {true, Down} = hornbeam_cluster_peers:unlinked(?A, net_tick_timeout, 2, 0.0, Unwanted),
    ?assertEqual(down, state(?A, hornbeam_cluster_peers:wanted([], 600000, Down))),
    ?assertEqual(unknown, state(?A, hornbeam_cluster_peers:wanted([], 600002, Down))).

found_again_it_is_tried_at_once_test() ->
    {true, Up} = hornbeam_cluster_peers:welcome(?A, ?HELLO, 0, wanted([?A])),
    {true, Down} = hornbeam_cluster_peers:unlinked(?A, connection_closed, 2, 0.0, hornbeam_cluster_peers:wanted([], 1, Up)),
    ?assertMatch({[?A], _}, hornbeam_cluster_peers:due(3, 1, hornbeam_cluster_peers:wanted([?A], 3, Down))).
