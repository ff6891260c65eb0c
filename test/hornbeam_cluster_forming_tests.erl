%%% What a node does next to become a member, by what it is and what the others say.
-module(hornbeam_cluster_forming_tests).

-include_lib("eunit/include/eunit.hrl").

-define(F, hornbeam_cluster_forming).
-define(FIRST, '!first').
-define(LAST, '~last').

founding(Size, Discovered) -> #{is_over => false, size => Size, discovered => Discovered}.

%% Nodes without data found a cluster when there are enough of them, and the one with the smallest name asks.
founding_test() ->
    All = [node(), a, b],
    ?assertEqual({found, [node(), ?LAST]}, ?F:next([{?LAST, empty}], empty, founding(2, [node(), ?LAST]))),
    ?assertEqual(wait, ?F:next([{?FIRST, empty}], empty, founding(2, [node(), ?FIRST]))),
    ?assertEqual(wait, ?F:next([], empty, founding(2, All))),
    ?assertEqual({found, [node()]}, ?F:next([], empty, founding(1, [node()]))),
    %% Half of those that are discovered are not enough: the others could do the same.
    ?assertEqual(wait, ?F:next([{?LAST, empty}], empty, founding(2, [node(), ?LAST, a, b]))),
    ?assertEqual(wait, ?F:next([{?LAST, {promised, <<"1">>, ?LAST}}], empty, founding(2, [node(), ?LAST]))).

joining_test() ->
    Founding = founding(3, [node(), a, b]),
    ?assertEqual({join, <<"1">>, [a, b]}, ?F:next([{b, empty}, {a, {member, <<"1">>, [a, b]}}], empty, Founding)),
    ?assertEqual({ask_removal, a}, ?F:next([{a, {member, <<"1">>, [a, b, node()]}}], empty, Founding)),
    ?assertEqual(wait, ?F:next([{a, {member, <<"1">>, [a]}}], left, Founding)),
    ?assertEqual(wait, ?F:next([{a, {member, <<"1">>, [a]}}], {joining, <<"1">>, <<"U">>, [a]}, Founding)).

promised_test() ->
    Phase = {promised, <<"1">>, a, [a, b, node()]},
    Founding = founding(3, [node(), a, b]),
    ?assertEqual(wait, ?F:next([{a, {promised, <<"1">>, a}}], Phase, Founding)),
    ?assertEqual({begin_as, <<"1">>, a, [a, b, node()]}, ?F:next([{b, {member, <<"1">>, [a, b]}}], Phase, Founding#{is_over := true})),
    ?assertEqual(unpromise, ?F:next([], Phase, Founding#{is_over := true})),
    ?assertEqual(unpromise, ?F:next([{b, {member, <<"2">>, [b]}}], Phase, Founding)).

%% Only a majority can say that a node was forgotten.
forgotten_test() ->
    Phase = {joined, <<"1">>, <<"U">>, [a, b, node()]},
    Founding = founding(3, [node(), a, b]),
    Without = {member, <<"1">>, [a, b, c]},
    ?assertEqual(wait, ?F:next([], Phase, Founding)),
    ?assertEqual(wait, ?F:next([{a, Without}], Phase, Founding)),
    ?assertEqual(begin_anew, ?F:next([{a, Without}, {b, Without}], Phase, Founding)),
    ?assertEqual(wait, ?F:next([{a, Without}, {b, Without}, {c, {member, <<"1">>, [c, node()]}}], Phase, Founding)),
    ?assertEqual(wait, ?F:next([{a, {member, <<"2">>, [a]}}], Phase, Founding)),
    %% One that has not heard of a leader yet has not been away.
    ?assertEqual(wait, ?F:next([{a, Without}, {b, Without}], {settled, <<"1">>, a, [a, b, node()]}, Founding)).

%% Without its log it begins again only where it cannot have voted.
without_a_log_test() ->
    ?assertEqual({promised, <<"1">>, a, [a, b]}, ?F:resumed({founded, <<"1">>, a, [a, b]})),
    ?assertEqual(empty, ?F:resumed({settled, <<"1">>, a, [a, b]})),
    ?assertEqual(empty, ?F:resumed({joined, <<"1">>, <<>>, [a, b]})),
    ?assertEqual(empty, ?F:resumed({joining, <<"1">>, <<"U">>, [a, b]})).

sayings_test() ->
    Members = fun(<<"1">>) -> [a, b] end,
    ?assertEqual({promised, <<"1">>, a}, ?F:who({promised, <<"1">>, a, [a, b]}, Members)),
    ?assertEqual({member, <<"1">>, [a, b]}, ?F:who({founded, <<"1">>, a, [a, b]}, Members)),
    ?assertEqual({member, <<"1">>, [a, b]}, ?F:who({joined, <<"1">>, <<>>, [a, b]}, Members)),
    ?assertEqual(joining, ?F:who({joining, <<"1">>, <<"U">>, [a, b]}, Members)),
    ?assertEqual(empty, ?F:who(empty, Members)),
    ?assertEqual([false, false, true, true], [?F:is_settled(<<"1">>, Phase) || Phase <- [{founded, <<"1">>, a, [a]}, {settled, <<"2">>, a, [a]},
                                                                                        {settled, <<"1">>, a, [a]}, {joined, <<"1">>, <<>>, [a]}]]),
    ?assertEqual([false, false, false, true, true], [?F:is_member(Phase) || Phase <- [left, {promised, <<"1">>, a, [a]}, {joining, <<"1">>, <<>>, [a]},
                                                                                    {founded, <<"1">>, a, [a]}, {joined, <<"1">>, <<>>, [a]}]]).
