%%% Rate limits: the rule, without a clock; one row of the state, and many processes at it.
-module(hornbeam_rate_limit_tests).

-include_lib("eunit/include/eunit.hrl").

-define(S, 1000000000).

%% Three at once, one more each second after that.
-define(THREE, [{?S, 3 * ?S}]).

rule_test() ->
    {{true, 0, [A]}, U1} = hornbeam_gcra:decide(100, 1, ?THREE, [0]),
    {{true, 0, [_]}, U2} = hornbeam_gcra:decide(100, 1, ?THREE, U1),
    {{true, 0, [C]}, U3} = hornbeam_gcra:decide(100, 1, ?THREE, U2),
    ?assertEqual({?S, 3 * ?S}, {A, C}),
    ?assertEqual({{false, ?S, [3 * ?S]}, U3}, hornbeam_gcra:decide(100, 1, ?THREE, U3)),
    ?assertEqual({{false, 1, [2 * ?S + 1]}, U3}, hornbeam_gcra:decide(100 + ?S - 1, 1, ?THREE, U3)),
    ?assertMatch({{true, 0, [_]}, _}, hornbeam_gcra:decide(100 + ?S, 1, ?THREE, U3)).

%% All windows or none: the second refuses, and the first counts nothing.
windows_test() ->
    Windows = [{?S, 10 * ?S}, {10 * ?S, 20 * ?S}],
    {{true, 0, _}, Until} = hornbeam_gcra:decide(5, 2, Windows, [0, 0]),
    ?assertEqual({{false, 10 * ?S, [2 * ?S, 20 * ?S]}, Until}, hornbeam_gcra:decide(5, 1, Windows, Until)).

a_cost_of_nothing_changes_nothing_test() ->
    ?assertEqual({{true, 0, [0]}, [7]}, hornbeam_gcra:decide(7, 0, ?THREE, [0])).

state_test_() ->
    {foreach,
     fun() -> {ok, Started} = application:ensure_all_started(hornbeam), Started end,
     fun(Started) ->
         _ = persistent_term:erase(hornbeam_state_limits),
         [ok = application:stop(App) || App <- lists:reverse(Started)]
     end,
     [{timeout, 60, Test}
      || Test <- [fun exact/0, fun looks/0, fun expires/0, fun not_ours/0, fun too_large/0, fun forgotten/0]]}.

%% 40 processes, 400 requests, 100 pass.
exact() ->
    Windows = [{3600 * ?S, 3600 * ?S * 100}, {3600 * ?S, 3600 * ?S * 1000}],
    Self = self(),
    Pids = [spawn_link(fun() -> Self ! {self(), [passes(<<"exact">>, Windows) || _ <- lists:seq(1, 10)]} end)
            || _ <- lists:seq(1, 40)],
    Passed = [Passes || Pid <- Pids, Passes <- receive {Pid, All} -> All end],
    ?assertEqual({400, 100}, {length(Passed), length([true || true <- Passed])}),
    ?assertMatch({ok, {false, _, _}}, hornbeam_rate_limit:hit(<<"exact">>, 1, Windows)),
    ?assertMatch({ok, {true, 0, _}}, hornbeam_rate_limit:hit(<<"another">>, 1, Windows)).

passes(Key, Windows) ->
    {ok, {Passes, _, _}} = hornbeam_rate_limit:hit(Key, 1, Windows),
    Passes.

%% A cost of 0, and a request that is refused, leave no row and change none.
looks() ->
    Size = ets:info(hornbeam_state, size),
    ?assertEqual({ok, {true, 0, [0]}}, hornbeam_rate_limit:hit(<<"looks">>, 0, ?THREE)),
    ?assertMatch({ok, {false, _, [0]}}, hornbeam_rate_limit:hit(<<"looks">>, 4, ?THREE)),
    ?assertEqual(Size, ets:info(hornbeam_state, size)).

%% A row goes when its window is whole again, prolonged by each request that passes; nothing is left of it.
expires() ->
    Windows = [{20000000, 100000000}],
    [?assert(passes(<<"expires">>, Windows)) || _ <- lists:seq(1, 3)],
    ?assertEqual({1, 1}, {ets:info(hornbeam_state, size), ets:info(hornbeam_state_expiry, size)}),
    await:until(fun() -> ets:info(hornbeam_state, size) =:= 0 end),
    ?assertEqual(0, ets:info(hornbeam_state_expiry, size)),
    ?assertEqual({ok, {true, 0, [0]}}, hornbeam_rate_limit:hit(<<"expires">>, 0, Windows)).

not_ours() ->
    ok = hornbeam_state:set({<<"hornbeam.rate_limit">>, {bytes, <<"mine">>}}, 1),
    ?assertEqual({error, not_a_rate_limit}, hornbeam_rate_limit:hit(<<"mine">>, 1, ?THREE)),
    ok = hornbeam_state:set({<<"hornbeam.rate_limit">>, {bytes, <<"mine">>}}, [1, 2]),
    ?assertEqual({error, not_a_rate_limit}, hornbeam_rate_limit:hit(<<"mine">>, 1, ?THREE)).

too_large() ->
    ok = hornbeam_state:configure(#{state_max_bytes => 1024, state_max_entries => infinity}),
    ?assertEqual({error, too_large}, hornbeam_rate_limit:hit(binary:copy(<<"k">>, 2048), 1, ?THREE)).

%% What the state evicts has its window whole again; a key that is let through is written, and stays.
forgotten() ->
    ok = hornbeam_state:configure(#{state_max_bytes => infinity, state_max_entries => 2}),
    [?assert(passes(<<"old">>, ?THREE)) || _ <- lists:seq(1, 3)],
    ?assert(passes(<<"kept">>, ?THREE)),
    ?assertNot(passes(<<"old">>, ?THREE)),
    ?assert(passes(<<"kept">>, ?THREE)),
    ?assert(passes(<<"new">>, ?THREE)),
    ?assert(passes(<<"old">>, ?THREE)).
