%%% The limits of the shared state: watched while they are far, exact when they are near, and what a table takes besides.
-module(hornbeam_state_limits_tests).

-include_lib("eunit/include/eunit.hrl").

limits_test_() ->
    {foreach,
     fun() -> {ok, Started} = application:ensure_all_started(hornbeam), Started end,
     fun(Started) ->
         _ = persistent_term:erase(hornbeam_state_limits),
         [ok = application:stop(App) || App <- lists:reverse(Started)]
     end,
     [{timeout, 120, Test}
      || Test <- [fun by_default/0, fun exact_from_half_on/0, fun oldest_first_also_of_before/0, fun overwriting_is_not_filling/0,
                  fun heavy_terms/0, fun many_entries/0, fun entries_are_exact_at_once/0]]}.

by_default() ->
    {ok, Settings} = hornbeam_options:resolve(#{}),
    ?assertMatch(#{state_max_bytes := auto}, Settings),
    ok = hornbeam_state:configure(Settings),
    ok = hornbeam_state:set(k, 1),
    ?assertEqual(#{entries => 1}, hornbeam_state:info()).

auto_fits_the_machine_test() ->
    MiB = 1048576,
    Half = 512 * MiB,
    ?assertEqual(Half, hornbeam_state_limits:bytes(unknown)),
    ?assertEqual(Half, hornbeam_state_limits:bytes(10 * Half + 10)),
    ?assertEqual(Half, hornbeam_state_limits:bytes(10 * Half)),
    ?assertEqual(Half - 1, hornbeam_state_limits:bytes(10 * Half - 1)),
    ?assertEqual(25 * MiB, hornbeam_state_limits:bytes(250 * MiB)),
    %% Below the default of max_memory_percent, with the tables, however small the machine.
    {ok, #{max_memory_percent := Percent}} = hornbeam_options:resolve(#{}),
    [?assert(3 * hornbeam_state_limits:bytes(Memory * MiB) < Memory * MiB * Percent div 100) || Memory <- [64, 256, 512, 1024, 4096, 65536]].

watch(Bytes) ->
    ok = hornbeam_state:configure(#{state_max_entries => infinity, state_max_bytes => Bytes}).

%% Entries of 1000 bytes in the external term format.
put_entries(Numbers) ->
    [begin
        Value = binary:copy(<<0>>, 1000 - erlang:external_size(N) - erlang:external_size(<<>>)),
        ok = hornbeam_state:set(N, Value)
     end || N <- Numbers].

is_exact() ->
    is_map_key(bytes, hornbeam_state:info()).

exact_from_half_on() ->
    watch(100000),
    put_entries(lists:seq(1, 49)),
    ?assertNot(is_exact()),
    put_entries([50]),
    ?assertNot(is_exact()),
    put_entries([51]),
    ?assertMatch(#{entries := 51, bytes := 51000}, hornbeam_state:info()),
    put_entries(lists:seq(52, 100)),
    ?assertMatch(#{entries := 100, bytes := 100000, evicted := 0}, hornbeam_state:info()),
    put_entries([101]),
    ?assertMatch(#{entries := 100, bytes := 100000, evicted := 1}, hornbeam_state:info()).

oldest_first_also_of_before() ->
    watch(100000),
    put_entries(lists:seq(1, 40)),
    put_entries([3, 1]),
    put_entries(lists:seq(41, 60)),
    ?assert(is_exact()),
    put_entries(lists:seq(61, 103)),
    Left = lists:sort(hornbeam_state:keys(none)),
    ?assertEqual(lists:sort([1, 3] ++ lists:seq(6, 103)), Left).

overwriting_is_not_filling() ->
    watch(100000),
    [put_entries([N rem 10]) || N <- lists:seq(1, 5000)],
    ?assertNot(is_exact()),
    ?assertEqual(10, maps:get(entries, hornbeam_state:info())).

%% A list of small numbers takes sixteen times what its external form does.
heavy_terms() ->
    watch(1000000),
    %% It looks of its own accord, too.
    ok = sys:suspend(hornbeam_state_sweeper),
    Value = lists:duplicate(1000, 1),
    [ok = hornbeam_state:set(N, Value) || N <- lists:seq(1, 150)],
    ?assertNot(is_exact()),
    ok = hornbeam_state_limits:look(),
    ?assert(is_exact()),
    [ok = hornbeam_state:set(N, Value) || N <- lists:seq(151, 400)],
    Memory = lists:sum([ets:info(T, memory) || T <- [hornbeam_state, hornbeam_state_expiry, hornbeam_state_order]]) * 8,
    ?assert(Memory =< 2000000 + 1048576),
    ?assert(Memory > 2500000),
    ?assertEqual({ok, Value}, hornbeam_state:get(400)),
    ?assertEqual(error, hornbeam_state:get(1)).

%% Too many to be counted by the writer: the sweeper does, while it writes on.
many_entries() ->
    watch(4000000),
    [ok = hornbeam_state:set({k, N}, N, 3600000) || N <- lists:seq(1, 150000)],
    await:until(fun is_exact/0),
    #{entries := Entries, bytes := Bytes} = hornbeam_state:info(),
    ?assert(Bytes =< 4000000),
    ?assertEqual(Entries, ets:info(hornbeam_state_order, size)),
    [_ = hornbeam_state:delete(Key) || Key <- hornbeam_state:keys(none)],
    ?assertMatch(#{entries := 0, bytes := 0}, hornbeam_state:info()),
    ?assertEqual(0, ets:info(hornbeam_state_order, size)),
    ?assertEqual(0, ets:info(hornbeam_state_expiry, size)).

entries_are_exact_at_once() ->
    [ok = hornbeam_state:set({before, N}, N) || N <- [1, 2]],
    ok = hornbeam_state:configure(#{state_max_entries => 3, state_max_bytes => 1000000}),
    [ok = hornbeam_state:set({later, N}, N) || N <- [1]],
    ?assertMatch(#{entries := 3, evicted := 0}, hornbeam_state:info()),
    ok = hornbeam_state:set({later, 2}, 2),
    ?assertMatch(#{entries := 3, evicted := 1}, hornbeam_state:info()).
