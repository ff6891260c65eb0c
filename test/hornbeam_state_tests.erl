%%% The shared state from Erlang, without Python.
-module(hornbeam_state_tests).

-include_lib("eunit/include/eunit.hrl").

state_test_() ->
    {setup,
     fun() -> {ok, Started} = application:ensure_all_started(hornbeam), Started end,
     fun(Started) -> [ok = application:stop(App) || App <- lists:reverse(Started)] end,
     [{timeout, 120, Test}
      || Test <- [fun values/0, fun keys_that_look_like_patterns/0, fun add_and_cas/0, fun numbers/0, fun expiry/0,
                  fun keys_and_items/0, fun exactness/0, fun swept/0, fun limits_under_load/0]]}.

values() ->
    ?assertEqual(error, hornbeam_state:get(v)),
    ok = hornbeam_state:set(v, #{a => [1, {b}]}),
    ?assertEqual({ok, #{a => [1, {b}]}}, hornbeam_state:get(v)),
    ?assertEqual([{ok, #{a => [1, {b}]}}, error], hornbeam_state:get_multi([v, w])),
    ?assertEqual({ok, #{a => [1, {b}]}}, hornbeam_state:pop(v)),
    ?assertEqual(error, hornbeam_state:pop(v)),
    ?assertNot(hornbeam_state:delete(v)).

keys_that_look_like_patterns() ->
    Keys = [#{}, #{a => 1}, #{a => 1, b => 2}, '_', '$1', {'_'}, ['$1'], {a, #{}}, 1, 1.0, true, <<"1">>],
    [ok = hornbeam_state:set(Key, Key, 60000) || Key <- Keys],
    [?assertEqual({ok, Key}, hornbeam_state:get(Key)) || Key <- Keys],
    [?assert(hornbeam_state:cas(Key, Key, {was, Key})) || Key <- Keys],
    ?assertEqual(length(Keys), length([K || {K, {was, K}} <- hornbeam_state:items(none)])),
    [?assertEqual({ok, {was, Key}}, hornbeam_state:pop(Key)) || Key <- Keys],
    ?assertEqual([], hornbeam_state:keys(none)).

add_and_cas() ->
    ?assert(hornbeam_state:add(a, '_')),
    ?assertNot(hornbeam_state:add(a, 2)),
    ?assertNot(hornbeam_state:cas(a, '$1', 3)),
    ?assert(hornbeam_state:cas(a, '_', 1)),
    ?assertNot(hornbeam_state:cas(a, 1.0, 3)),
    ?assertNot(hornbeam_state:cas(missing, undefined, 3)),
    ?assertEqual({ok, 1}, hornbeam_state:pop(a)).

numbers() ->
    ?assertEqual({ok, 5}, hornbeam_state:incr(n, 5)),
    ?assertEqual({ok, 4.5}, hornbeam_state:incr(n, -0.5)),
    ?assertEqual({ok, 5.5}, hornbeam_state:incr(n, 1)),
    ok = hornbeam_state:set(n, 1.0e308),
    ?assertEqual({error, out_of_range}, hornbeam_state:incr(n, 1.0e308)),
    ok = hornbeam_state:set(n, text),
    ?assertEqual({error, not_a_number}, hornbeam_state:incr(n, 1)),
    ?assertEqual({ok, text}, hornbeam_state:pop(n)).

expiry() ->
    Before = erlang:monotonic_time(millisecond),
    ok = hornbeam_state:set(e, 1, 20),
    await:until(fun() -> hornbeam_state:get(e) =:= error end),
    ?assert(erlang:monotonic_time(millisecond) - Before >= 20),
    ?assertEqual([], hornbeam_state:keys(none)),
    ?assert(hornbeam_state:add(e, 2, 20)),
    await:until(fun() -> hornbeam_state:add(e, 3) end),
    ok = hornbeam_state:set(e, 4, 20),
    ok = hornbeam_state:set(e, 5),
    ok = timer:sleep(40),
    _ = hornbeam_state_store:remove_expired(),
    ?assertEqual({ok, 5}, hornbeam_state:pop(e)).

%% What has expired is removed, and nothing of it is left in the table of times either.
swept() ->
    [ok = hornbeam_state:set({s, N}, N, 60000) || N <- lists:seq(1, 100)],
    [true = hornbeam_state:delete({s, N}) || N <- lists:seq(1, 10)],
    [ok = hornbeam_state:set({s, N}, N, 20) || N <- lists:seq(11, 100)],
    [ok = hornbeam_state:set({t, N}, N, 30) || N <- lists:seq(1, 50)],
    [{ok, 1} = hornbeam_state:incr({c, N}, 1, 30) || N <- lists:seq(1, 50)],
    await:until(fun() -> ets:info(hornbeam_state, size) =:= 0 end),
    ?assertEqual(0, ets:info(hornbeam_state_expiry, size)).

keys_and_items() ->
    Keys = [<<"p:1">>, <<"p:2">>, <<"q">>, {bytes, <<"p:3">>}, 7],
    [ok = hornbeam_state:set(Key, 1) || Key <- Keys],
    ?assertEqual([<<"p:1">>, <<"p:2">>], lists:sort(hornbeam_state:keys(<<"p:">>))),
    ?assertEqual([{bytes, <<"p:3">>}], hornbeam_state:keys({bytes, <<"p">>})),
    ?assertEqual([{<<"q">>, 1}], hornbeam_state:items(<<"q">>)),
    ?assertEqual(lists:sort(Keys), lists:sort(hornbeam_state:keys(none))),
    [true = hornbeam_state:delete(Key) || Key <- Keys].

exactness() ->
    _ = parallel(20, fun(_) -> [hornbeam_state:incr(x, 1) || _ <- lists:seq(1, 1000)] end),
    ?assertEqual({ok, 20000}, hornbeam_state:pop(x)),
    _ = parallel(20, fun(_) -> [hornbeam_state:incr(x, 0.5) || _ <- lists:seq(1, 200)] end),
    ?assertEqual({ok, 2000.0}, hornbeam_state:pop(x)),
    Added = parallel(50, fun(N) -> hornbeam_state:add(x, N) end),
    ?assertEqual(1, length([true || true <- Added])),
    ok = hornbeam_state:set(x, 0),
    Swapped = parallel(50, fun(N) -> hornbeam_state:cas(x, 0, N) end),
    ?assertEqual(1, length([true || true <- Swapped])),
    Taken = parallel(50, fun(_) -> hornbeam_state:pop(x) end),
    ?assertEqual(1, length([1 || {ok, _} <- Taken])).

%% The books are right after many processes have done everything at once. Last: limits stay set.
limits_under_load() ->
    ok = hornbeam_state:set(before, 1),
    ok = hornbeam_state:configure(#{state_max_entries => 50, state_max_bytes => 100000}),
    ?assertMatch(#{entries := 1, bytes := Bytes} when Bytes > 0, hornbeam_state:info()),
    _ = parallel(20, fun(N) -> [operation(rand:uniform(7), {k, rand:uniform(100)}, N)
                                || _ <- lists:seq(1, 500)] end),
    #{entries := Entries, evicted := Evicted} = hornbeam_state:info(),
    ?assert(Entries =< 50),
    ?assert(Evicted > 0),
    [_ = hornbeam_state:delete(Key) || Key <- hornbeam_state:keys(none)],
    await:until(fun() -> maps:with([entries, bytes], hornbeam_state:info()) =:= #{entries => 0, bytes => 0} end),
    ?assertEqual({error, too_large}, hornbeam_state:set(k, binary:copy(<<"x">>, 100001))),
    persistent_term:erase(hornbeam_state_limits).

operation(1, Key, N) -> hornbeam_state:set(Key, N);
operation(2, Key, N) -> hornbeam_state:set(Key, binary:copy(<<"x">>, N), 1000);
operation(3, Key, N) -> hornbeam_state:add(Key, N);
operation(4, Key, _) -> hornbeam_state:incr(Key, 1);
operation(5, Key, N) -> hornbeam_state:cas(Key, N, #{n => N});
operation(6, Key, _) -> hornbeam_state:delete(Key);
operation(7, Key, _) -> hornbeam_state:incr(Key, 0.5, 5).

parallel(Count, Fun) ->
    Self = self(),
    Pids = [spawn_link(fun() -> Self ! {self(), Fun(N)} end) || N <- lists:seq(1, Count)],
    [receive {Pid, Result} -> Result end || Pid <- Pids].
