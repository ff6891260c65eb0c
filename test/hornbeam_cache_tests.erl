%%% Computed results without Python: the rows and their eviction, who computes and who waits, what the end of a process means.
-module(hornbeam_cache_tests).

-include_lib("eunit/include/eunit.hrl").

cache_test_() ->
    {foreach,
     fun() ->
         {ok, Started} = application:ensure_all_started(hornbeam),
         ok = hornbeam_cache:configure(#{cache_max_bytes => 100000}),
         Started
     end,
     fun(Started) -> [ok = application:stop(App) || App <- lists:reverse(Started)] end,
     [{timeout, 60, Test}
      || Test <- [fun by_default/0, fun one_computes_and_all_get_it/0, fun an_error_is_for_all/0, fun a_leader_that_leaves/0,
                  fun a_python_process_that_ends/0, fun a_worker_that_is_killed/0, fun a_waiter_that_gives_up/0, fun a_late_answer/0,
                  fun cleared_while_it_is_computed/0, fun too_large_is_told/0, fun least_recently_used_goes/0, fun bytes_are_exact/0,
                  fun expiry/0, fun namespaces_are_bounded/0, fun its_own_end/0, fun the_limit_is_lowered/0,
                  fun answers_of_another_session_are_dropped/0, fun wrong_arguments/0, fun rows_take_what_is_counted/0]]}.

by_default() ->
    {ok, Settings} = hornbeam_options:resolve(#{}),
    ?assertMatch(#{cache_max_bytes := auto}, Settings),
    ?assertEqual(134217728, hornbeam_cache_store:bytes(unknown)),
    ?assertEqual(50000000, hornbeam_cache_store:bytes(1000000000)).

%%% Callers: {Session, Token}, as workers are

session() ->
    make_ref().

ask(Who, Name) ->
    ask(Who, Name, none).

ask({_, Token} = Who, Name, Wait) ->
    ok = hornbeam_cache:ask(Who, Token, key(Name), thread, Wait, self()).

key(Name) ->
    {<<"n">>, Name}.

%% What a caller is told; `nothing' when everything that was sent before has been dealt with.
told({Session, Token}) ->
    _ = sys:get_state(hornbeam_cache),
    receive {hornbeam_later, Session, Token, Answer} -> Answer
    after 0 -> nothing
    end.

figures() ->
    maps:with([hits, misses, waits, evictions, entries], hornbeam_cache_store:stats()).

one_computes_and_all_get_it() ->
    [Leader | Waiters] = Callers = [{session(), N} || N <- lists:seq(1, 5)],
    [ask(Caller, <<"k">>) || Caller <- Callers],
    ?assertEqual([absent, nothing, nothing, nothing, nothing], [told(Caller) || Caller <- Callers]),
    ok = hornbeam_cache:put(Leader, <<"v">>, infinity),
    ?assertEqual(lists:duplicate(4, {packed, <<"v">>}), [told(Caller) || Caller <- Waiters]),
    ?assertEqual({ok, <<"v">>}, hornbeam_cache_store:read(key(<<"k">>))),
    %% A value of a leader that is none.
    ok = hornbeam_cache:put(Leader, <<"w">>, infinity),
    Late = {session(), 1},
    ask(Late, <<"k">>),
    ?assertEqual({packed, <<"v">>}, told(Late)),
    ?assertEqual(#{hits => 2, misses => 1, waits => 4, evictions => 0, entries => 1}, figures()).

an_error_is_for_all() ->
    {One, Two} = {{session(), 1}, {session(), 1}},
    [ask(Who, <<"k">>) || Who <- [One, Two]],
    ok = hornbeam_cache:fail(One, [<<"what">>]),
    ?assertEqual({error, computation_error, [<<"what">>]}, told(Two)),
    ?assertEqual(error, hornbeam_cache_store:read(key(<<"k">>))),
    Again = {session(), 1},
    ask(Again, <<"k">>),
    ?assertEqual(absent, told(Again)).

a_leader_that_leaves() ->
    Callers = [One, Two, Three] = [{session(), N} || N <- [1, 2, 3]],
    [ask(Who, <<"k">>) || Who <- Callers],
    ok = hornbeam_cache:leave(One),
    ?assertEqual([absent, absent, nothing], [told(Who) || Who <- Callers]),
    ok = hornbeam_cache:put(Two, <<"v">>, infinity),
    ?assertEqual({packed, <<"v">>}, told(Three)).

a_python_process_that_ends() ->
    {Ends, Stays} = {session(), session()},
    [ask(Who, <<"k">>) || Who <- [{Ends, 1}, {Ends, 2}, {Stays, 1}, {Stays, 2}]],
    ok = hornbeam_cache:left(Ends),
    %% 2 of the same process is forgotten first, and not told to compute.
    ?assertEqual([absent, nothing, absent, nothing], [told(Who) || Who <- [{Ends, 1}, {Ends, 2}, {Stays, 1}, {Stays, 2}]]),
    ?assertEqual(1, ets:info(hornbeam_cache_asks, size)).

a_worker_that_is_killed() ->
    {Leader, Waiter} = {{session(), 1}, {session(), 1}},
    {Worker, Monitor} = spawn_monitor(fun() -> receive stop -> ok end end),
    ok = hornbeam_cache:ask(Leader, 1, key(<<"k">>), thread, none, Worker),
    ask(Waiter, <<"k">>),
    ?assertEqual(nothing, told(Waiter)),
    exit(Worker, kill),
    receive {'DOWN', Monitor, process, _, _} -> ok end,
    await:until(fun() -> told(Waiter) =:= absent end),
    %% One that is dead already when it asks.
    ok = hornbeam_cache:ask({session(), 1}, 1, key(<<"other">>), thread, none, Worker),
    Next = {session(), 1},
    ask(Next, <<"other">>),
    await:until(fun() -> told(Next) =:= absent end).

a_waiter_that_gives_up() ->
    {Leader, Waiter} = {{session(), 1}, {session(), 1}},
    [ask(Who, <<"k">>) || Who <- [Leader, Waiter]],
    ok = hornbeam_cache:leave(Waiter),
    ok = hornbeam_cache:put(Leader, <<"v">>, infinity),
    ?assertEqual(nothing, told(Waiter)),
    ?assertEqual(0, ets:info(hornbeam_cache_asks, size)).

a_late_answer() ->
    {Leader, Waiter} = {{session(), 1}, {session(), 1}},
    ask(Leader, <<"k">>),
    ask(Waiter, <<"k">>, 1),
    receive {hornbeam_later, _, 1, {error, timeout, _}} -> ok end,
    ok = hornbeam_cache:put(Leader, <<"v">>, infinity),
    ?assertEqual([absent, nothing], [told(Who) || Who <- [Leader, Waiter]]).

cleared_while_it_is_computed() ->
    Callers = [One, Two, Three] = [{session(), N} || N <- [1, 2, 3]],
    [ask(Who, <<"k">>) || Who <- [One, Two]],
    ?assertEqual(0, hornbeam_cache:clear(<<"n">>)),
    ask(Three, <<"k">>),
    ?assertEqual([absent, nothing, absent], [told(Who) || Who <- Callers]),
    ok = hornbeam_cache:put(One, <<"old">>, infinity),
    ?assertEqual({packed, <<"old">>}, told(Two)),
    ?assertEqual(error, hornbeam_cache_store:read(key(<<"k">>))),
    ok = hornbeam_cache:put(Three, <<"new">>, infinity),
    _ = sys:get_state(hornbeam_cache),
    ?assertEqual({ok, <<"new">>}, hornbeam_cache_store:read(key(<<"k">>))),
    ?assertEqual(0, hornbeam_cache:clear(<<"other">>)),
    ?assertEqual(1, hornbeam_cache:clear(all)).

too_large_is_told() ->
    {Leader, Waiter} = {{session(), 1}, {session(), 1}},
    [ask(Who, <<"k">>) || Who <- [Leader, Waiter]],
    Value = binary:copy(<<"x">>, 100001),
    ok = hornbeam_cache:put(Leader, Value, infinity),
    ?assertEqual({packed, Value}, told(Waiter)),
    ?assertMatch(#{entries := 0}, figures()).

%%% Rows

write(Name, Size) ->
    hornbeam_cache_store:write(key(Name), binary:copy(<<"x">>, Size), infinity).

kept(Names) ->
    [Name || Name <- Names, hornbeam_cache_store:peek(key(Name)) =/= error].

least_recently_used_goes() ->
    [ok = write(Name, 24000) || Name <- [<<"a">>, <<"b">>, <<"c">>, <<"d">>]],
    [{ok, _} = hornbeam_cache_store:read(key(<<"a">>)) || _ <- lists:seq(1, 3)],
    ok = write(<<"e">>, 24000),
    ?assertEqual([<<"a">>, <<"c">>, <<"d">>, <<"e">>], kept([<<"a">>, <<"b">>, <<"c">>, <<"d">>, <<"e">>])),
    {ok, _} = hornbeam_cache_store:read(key(<<"c">>)),
    %% Read in this order: d, a, e, c.
    ok = write(<<"f">>, 60000),
    ?assertEqual([<<"c">>, <<"f">>], kept([<<"a">>, <<"c">>, <<"d">>, <<"e">>, <<"f">>])),
    ?assertMatch(#{evictions := 4, entries := 2}, figures()).

%% Whatever is written, replaced, read and removed, the figures are those of the rows, and the tables are as long as one another.
bytes_are_exact() ->
    _ = rand:seed(exsss, {1, 2, 3}),
    lists:foreach(fun(_) ->
        Name = integer_to_binary(rand:uniform(60)),
        _ = hornbeam_cache_store:read(key(integer_to_binary(rand:uniform(60)))),
        Ttl = case rand:uniform(2) of 1 -> infinity; 2 -> 1000000 end,
        _ = hornbeam_cache_store:write(key(Name), binary:copy(<<"x">>, rand:uniform(9000)), Ttl)
    end, lists:seq(1, 2000)),
    Rows = ets:tab2list(hornbeam_cache),
    #{bytes := Bytes, entries := Entries, evictions := Evictions} = hornbeam_cache_store:stats(),
    ?assertEqual({lists:sum([element(6, Row) || Row <- Rows]), length(Rows)}, {Bytes, Entries}),
    ?assert(Bytes =< 100000 andalso Bytes > 80000 andalso Evictions > 0),
    ?assertEqual(lists:sort([{{element(5, Row), element(1, Row)}} || Row <- Rows]), ets:tab2list(hornbeam_cache_order)),
    ?assertEqual(length([Row || Row <- Rows, element(3, Row) =/= infinity]), ets:info(hornbeam_cache_expiry, size)),
    ?assertEqual(length(Rows), hornbeam_cache:clear(all)),
    ?assertMatch(#{bytes := 0, entries := 0}, hornbeam_cache_store:stats()),
    ?assertEqual({0, 0}, {ets:info(hornbeam_cache_order, size), ets:info(hornbeam_cache_expiry, size)}).

expiry() ->
    ok = hornbeam_cache_store:write(key(<<"k">>), <<"v">>, 1),
    ok = hornbeam_cache_store:write(key(<<"stays">>), <<"v">>, 100000),
    await:until(fun() -> hornbeam_cache_store:read(key(<<"k">>)) =:= error end),
    %% The sweeper may have been there already.
    ok = gen_server:cast(hornbeam_cache, sweep),
    ok = hornbeam_cache:sweep(),
    _ = sys:get_state(hornbeam_cache),
    ?assertMatch(#{entries := 1}, figures()),
    ?assertNot(hornbeam_cache_store:has_expired()).

namespaces_are_bounded() ->
    [ok = hornbeam_cache_store:count(misses, integer_to_binary(N)) || N <- lists:seq(1, 1100)],
    #{namespaces := Each, misses := 1100} = hornbeam_cache_store:stats(),
    ?assertEqual({1001, 100}, {map_size(Each), maps:get(misses, maps:get(<<"*">>, Each))}).

%% Who waits computes for itself; the limit stays.
its_own_end() ->
    {Leader, Waiter} = {{session(), 1}, {session(), 1}},
    [ask(Who, <<"k">>) || Who <- [Leader, Waiter]],
    ?assertEqual([absent, nothing], [told(Who) || Who <- [Leader, Waiter]]),
    Before = whereis(hornbeam_cache),
    exit(Before, kill),
    await:until(fun() -> is_pid(whereis(hornbeam_cache)) andalso whereis(hornbeam_cache) =/= Before end),
    ?assertEqual(absent, told(Waiter)),
    ?assertMatch(#{max_bytes := 100000, entries := 0}, hornbeam_cache_store:stats()),
    ok = hornbeam_cache:put(Leader, <<"v">>, infinity),
    ?assertEqual(nothing, told(Leader)).

the_limit_is_lowered() ->
    [ok = write(Name, 20000) || Name <- [<<"a">>, <<"b">>, <<"c">>]],
    ok = hornbeam_cache:configure(#{cache_max_bytes => 25000}),
    ok = write(<<"d">>, 20000),
    ?assertEqual([<<"d">>], kept([<<"a">>, <<"b">>, <<"c">>, <<"d">>])),
    ok = hornbeam_cache:configure(#{cache_max_bytes => 0}),
    ?assertEqual(too_large, write(<<"e">>, 1)),
    ok = hornbeam_cache:configure(#{cache_max_bytes => infinity}),
    ?assertMatch(#{max_bytes := none}, hornbeam_cache_store:stats()).

%%% What a worker's process sees of it

answers_of_another_session_are_dropped() ->
    Services = hornbeam_services:new(1, #{rpc_allow => [], cluster_nodes => []}),
    Get = <<50, (iolist_to_binary(hornbeam_msgpack:encode([<<"n">>, {bytes, <<"d">>}, 1, 0, none])))/binary>>,
    {noreply, Asked} = hornbeam_services:call(7, Get, Services),
    Message = receive {hornbeam_later, _, 7, absent} = Later -> Later end,
    {[Frame], _} = hornbeam_services:handle_info(Message, Asked),
    ?assertEqual(iolist_to_binary(hornbeam_answer:reply(7, absent)), iolist_to_binary(Frame)),
    ?assertEqual([], element(1, hornbeam_services:handle_info({hornbeam_later, make_ref(), 7, absent}, Asked))),
    %% A question without a number has nobody to be answered.
    ?assertMatch({noreply, _}, hornbeam_services:call(0, Get, Services)),
    ok = hornbeam_services:stop(Asked),
    Other = {session(), 1},
    ok = hornbeam_cache:ask(Other, 1, {<<"n">>, <<"d">>}, thread, none, self()),
    ?assertEqual(absent, told(Other)),
    Refused = hornbeam_answer:refusal(hornbeam_answer:reply(3, {packed, <<"x">>})),
    ?assertMatch(<<_:32, _, 3:32, _/binary>>, iolist_to_binary(Refused)).

wrong_arguments() ->
    Settings = #{session => make_ref()},
    [?assertMatch({error, type_error, _}, hornbeam_service_cache:handle(Operation, Arguments, Settings))
     || {Operation, Arguments} <- [{cache_get, []}, {cache_get, [binary:copy(<<"n">>, 256), {bytes, <<>>}, 1, 0, none]},
                                   {cache_get, [<<"n">>, {bytes, binary:copy(<<"d">>, 65)}, 1, 0, none]},
                                   {cache_get, [<<"n">>, {bytes, <<>>}, 1, 3, none]}, {cache_get, [<<"n">>, {bytes, <<>>}, 1, 0, 0]},
                                   {cache_get, [[], {bytes, <<>>}, 1, 0, none]}, {cache_put, [1, <<"text">>, none]},
                                   {cache_put, [1, {bytes, <<>>}, -1]}, {cache_fail, [1, <<>>]}, {cache_leave, [none]},
                                   {cache_clear, [1]}, {cache_stats, [1]}]],
    ?assertMatch({error, value_error, _}, hornbeam_service_cache:handle(cache_fail, [1, [binary:copy(<<"x">>, 300000)]], Settings)).

%% What the tables take besides keys and values is no more than is counted for it.
rows_take_what_is_counted() ->
    ok = hornbeam_cache:configure(#{cache_max_bytes => infinity}),
    Tables = [hornbeam_cache, hornbeam_cache_order, hornbeam_cache_expiry],
    Taken = fun() -> lists:sum([ets:info(Table, memory) || Table <- Tables]) * erlang:system_info(wordsize) end,
    Before = Taken(),
    [ok = hornbeam_cache_store:write({<<"module.function">>, <<N:256>>}, <<N:512>>, 1000000) || N <- lists:seq(1, 10000)],
    #{bytes := Counted} = hornbeam_cache_store:stats(),
    ?assert(Taken() - Before =< Counted).
