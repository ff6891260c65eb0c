%%% hornbeam_cache_flights: the rule of one computation at a time. Its property: prop_hornbeam_cache.
-module(hornbeam_cache_flights_tests).

-include_lib("eunit/include/eunit.hrl").

-import(hornbeam_cache_flights, [new/0, ask/4, finish/2, leave/2, left/2, clear/2, counts/1]).

-define(K, {<<"n">>, <<"d">>}).

a_blocked_caller_does_not_wait_for_a_coroutine_test() ->
    [S, T] = [make_ref(), make_ref()],
    {lead, A} = ask({S, 1}, ?K, coroutine, new()),
    {alone, A} = ask({T, 1}, ?K, blocked, A),
    {wait, B} = ask({T, 1}, ?K, thread, A),
    {wait, _} = ask({T, 2}, ?K, coroutine, B),
    {lead, C} = ask({S, 1}, ?K, thread, new()),
    {wait, D} = ask({T, 1}, ?K, coroutine, C),
    {wait, E} = ask({T, 2}, ?K, blocked, D),
    {wait, F} = ask({T, 3}, ?K, thread, E),
    %% The coroutine leads on: who is blocked computes alone.
    {[{{T, 1}, lead}, {{T, 2}, alone}], G} = leave({S, 1}, F),
    ?assertMatch({{open, ?K, [{T, 3}]}, _}, finish({T, 1}, G)).

a_session_is_bounded_test() ->
    S = make_ref(),
    Full = lists:foldl(fun(N, Flights) -> {_, More} = ask({S, N}, ?K, thread, Flights), More end, new(), lists:seq(1, 10000)),
    ?assertEqual({1, 10000}, counts(Full)),
    ?assertMatch({alone, Full}, ask({S, 10001}, ?K, thread, Full)),
    ?assertMatch({wait, _}, ask({make_ref(), 1}, ?K, thread, Full)),
    {[], Empty} = left(S, Full),
    ?assertEqual({0, 0}, counts(Empty)).

a_closed_flight_with_a_new_leader_is_opened_again_test() ->
    [S, T] = [make_ref(), make_ref()],
    {lead, A} = ask({S, 1}, ?K, thread, new()),
    {wait, B} = ask({T, 1}, ?K, thread, A),
    {[{{T, 1}, lead}], C} = leave({S, 1}, clear(all, B)),
    ?assertMatch({{open, ?K, []}, _}, finish({T, 1}, C)),
    %% Not where another one is open.
    {lead, D} = ask({S, 2}, ?K, thread, clear(<<"n">>, B)),
    {[{{T, 1}, lead}], E} = leave({S, 1}, D),
    ?assertMatch({{closed, ?K, []}, _}, finish({T, 1}, E)),
    ?assertMatch({{open, ?K, []}, _}, finish({S, 2}, E)).
