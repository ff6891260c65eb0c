%%% Whether a majority is up: by links, by heartbeats that are late, by answers.
-module(hornbeam_cluster_majority_tests).

-include_lib("eunit/include/eunit.hrl").

-define(M, hornbeam_cluster_majority).
%% Longer than the doubt, however that is chosen.
-define(LONG, 60000).

links_test() ->
    Three = ?M:members([a, b, c], ?M:new()),
    ?assertEqual({false, never}, ?M:judge([a], 0, ?M:new())),
    ?assertEqual({true, never}, ?M:judge([a, b, c], 0, Three)),
    ?assertEqual({true, never}, ?M:judge([a, c, elsewhere], 0, Three)),
    ?assertEqual({false, never}, ?M:judge([a, elsewhere], 0, Three)),
    ?assertEqual({false, never}, ?M:judge([a, b], 0, ?M:members([a, b, c, d], Three))),
    ?assertEqual({true, never}, ?M:judge([a], 0, ?M:members([a], Three))).

%% What is said for a moment changes nothing; what is said for long does.
doubt_test() ->
    Three = ?M:members([a, b, c], ?M:new()),
    One = ?M:silent(b, -10, Three),
    ?assertEqual({true, never}, ?M:judge([a, b, c], -10 + ?LONG, One)),
    Both = ?M:silent(c, 0, One),
    {true, Left} = ?M:judge([a, b, c], 0, Both),
    ?assert(Left > 1000),
    ?assertEqual({true, Left - 500}, ?M:judge([a, b, c], 500, ?M:silent(c, 400, Both))),
    ?assertEqual({false, never}, ?M:judge([a, b, c], Left, Both)),
    ?assertEqual({true, never}, ?M:judge([a, b, c], Left, ?M:heard(c, Both))),
    ?assertEqual({true, Left}, ?M:judge([a, b, c], ?LONG, ?M:silent(c, ?LONG, ?M:heard(c, Both)))),
    ?assertEqual([b, c], ?M:describe(Both)),
    ?assertEqual([b], ?M:describe(?M:members([a, b], Both))).

%% Who is answered has a majority, whatever the heartbeats are like.
answers_test() ->
    Silent = ?M:silent(b, 0, ?M:members([a, b], ?M:new())),
    {true, Left} = ?M:judge([a, b], 0, Silent),
    Answered = ?M:answered(Left, Silent),
    ?assertEqual({true, Left}, ?M:judge([a, b], Left, Answered)),
    ?assertEqual({false, never}, ?M:judge([a, b], 2 * Left, Answered)),
    ?assertEqual({false, never}, ?M:judge([a], Left, Answered)).
