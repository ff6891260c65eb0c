%%% hornbeam_cluster_rates: the replicated rows of rate limits, without a cluster. Its property: prop_hornbeam_rate_limit.
-module(hornbeam_cluster_rates_tests).

-include_lib("eunit/include/eunit.hrl").

-define(S, 1000000000).
%% Three at once, one more each second.
-define(THREE, [{?S, 3 * ?S}]).

hit(Row, Clock, Rates) -> hit(Row, 1, ?THREE, Clock, 0, Rates).

hit(Row, Cost, Windows, Clock, Now, Rates) ->
    {Reply, [], After} = hornbeam_cluster_rates:apply({hit, Row, Cost, Windows, Clock}, #{index => 1, now => Now}, Rates),
    {Reply, After}.

three_pass_and_one_each_second_test() ->
    {Replies, Rates} = lists:mapfoldl(fun(_, Before) -> hit(<<"a">>, 5 * ?S, Before) end, hornbeam_cluster_rates:new(), lists:seq(1, 4)),
    ?assertEqual([{true, 0, [?S]}, {true, 0, [2 * ?S]}, {true, 0, [3 * ?S]}, {false, ?S, [3 * ?S]}], Replies),
    ?assertMatch({{true, 0, _}, _}, hit(<<"b">>, 5 * ?S, Rates)),
    ?assertMatch({{true, 0, _}, _}, hit(<<"a">>, 6 * ?S, Rates)).

%% The clock of a row does not go back, and a clock that is behind does not lock its node out.
a_clock_that_is_ahead_test() ->
    {_, One} = hit(<<"a">>, 3, ?THREE, 100 * ?S, 0, hornbeam_cluster_rates:new()),
    {Behind, Two} = hit(<<"a">>, 50 * ?S, One),
    ?assertEqual({{false, ?S, [3 * ?S]}, {true, 0, [3 * ?S]}}, {Behind, element(1, hit(<<"a">>, 101 * ?S, Two))}).

rows_end_when_their_windows_are_whole_test() ->
    New = hornbeam_cluster_rates:new(),
    ?assertNot(hornbeam_cluster_rates:waits(New)),
    {_, One} = hit(<<"a">>, 1, ?THREE, 0, 1000, New),
    ?assertEqual({true, {1, 300}}, {hornbeam_cluster_rates:waits(One), hornbeam_cluster_rates:size(One)}),
    ?assertEqual({[], One}, hornbeam_cluster_rates:expire(#{index => 2, now => 2000}, One)),
    {[], Empty} = hornbeam_cluster_rates:expire(#{index => 2, now => 2251}, One),
    ?assertEqual({0, 0}, hornbeam_cluster_rates:size(Empty)),
    %% One that is written again ends later.
    {_, Two} = hit(<<"a">>, 2, ?THREE, 0, 1000, One),
    ?assertEqual({[], Two}, hornbeam_cluster_rates:expire(#{index => 2, now => 2251}, Two)).

what_changes_nothing_test() ->
    New = hornbeam_cluster_rates:new(),
    ?assertEqual({{true, 0, [0]}, New}, hit(<<"a">>, 0, ?THREE, 7, 0, New)),
    ?assertMatch({{false, _, _}, New}, hit(<<"a">>, 4, ?THREE, 7, 0, New)),
    {_, One} = hit(<<"a">>, 7, New),
    ?assertEqual({{error, not_a_rate_limit}, One}, hit(<<"a">>, 1, ?THREE ++ ?THREE, 7, 0, One)),
    ?assertMatch({true, [], New}, hornbeam_cluster_rates:apply({reset, <<"a">>}, #{index => 2, now => 0}, One)),
    ?assertMatch({false, [], New}, hornbeam_cluster_rates:apply({reset, <<"a">>}, #{index => 2, now => 0}, New)),
    ?assertMatch({{error, unknown}, [], New}, hornbeam_cluster_rates:apply(what, #{index => 2, now => 0}, New)).

%% 100,000 rows; the one that ends first gives way.
rows_are_bounded_test_() ->
    {timeout, 60, fun() ->
        Fill = fun(N, Before) -> element(2, hit(<<N:32>>, 1 + N rem 2, ?THREE, 0, 0, Before)) end,
        Full = lists:foldl(Fill, hornbeam_cluster_rates:new(), lists:seq(1, 100001)),
        ?assertMatch({100000, _}, hornbeam_cluster_rates:size(Full)),
        ?assertEqual([{true, 0, [?S]}, {true, 0, [3 * ?S]}], [element(1, hit(<<N:32>>, 0 + 1, ?THREE, 0, 0, Full)) || N <- [2, 1]])
    end}.
