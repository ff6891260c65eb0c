%%% Hooks by name without Python: who may handle one, calls of Erlang's, values that are fetched later, streams and their bounds.
-module(hornbeam_hooks_tests).

-include_lib("eunit/include/eunit.hrl").
-include("../src/hornbeam.hrl").

-export([handle/3]).

hooks_test_() ->
    {setup,
     fun() -> {ok, Started} = application:ensure_all_started(hornbeam), Started end,
     fun(Started) -> [ok = application:stop(App) || App <- lists:reverse(Started)] end,
     [{timeout, 60, Test}
      || Test <- [fun names/0, fun owners/0, fun there_are_so_many/0, fun the_dead_handle_nothing/0, fun calls/0, fun exceptions/0,
                  fun streams/0, fun a_stream_waits/0, fun a_stream_ends_with_its_consumer/0, fun nobody_is_there/0, fun later/0,
                  fun a_task_that_is_killed/0, fun tasks_are_bounded/0]]}.

names() ->
    [?assertEqual(ok, hornbeam_hooks:reg(Name, fun handle/3)) || Name <- [<<"a">>, "b", c, binary:copy(<<"n">>, 512), <<"é:x.y"/utf8>>]],
    ?assertEqual([<<"a">>, <<"b">>, <<"c">>, binary:copy(<<"n">>, 512), <<"é:x.y"/utf8>>], hornbeam_hooks:all()),
    [?assertEqual({error, bad_name}, hornbeam_hooks:reg(Name, fun handle/3)) || Name <- [<<>>, <<"a", 0>>, <<255>>, binary:copy(<<"n">>, 513)]],
    ok = hornbeam_hooks:reg(<<"a">>, ?MODULE, handle),
    ?assertEqual({ok, {erlang, {?MODULE, handle}}}, hornbeam_hooks:find(a)),
    [ok = hornbeam_hooks:unreg(Name) || Name <- hornbeam_hooks:all()],
    ?assertEqual(not_found, hornbeam_hooks:find(a)),
    ?assertEqual(ok, hornbeam_hooks:unreg(a)).

owners() ->
    {One, Other} = {worker(), worker()},
    ?assertEqual(ok, join(<<"h">>, p, One)),
    ?assertEqual(ok, join(<<"h">>, p, Other)),
    ?assertEqual(ok, join(<<"h">>, p, Other)),
    ?assertMatch({ok, {python, p, [_, _]}}, hornbeam_hooks:find(h)),
    ?assertEqual({error, taken}, join(<<"h">>, q, worker())),
    ?assertEqual({error, taken}, hornbeam_hooks:reg(h, fun handle/3)),
    ?assert(hornbeam_hook_registry:leave(<<"h">>, One#slot.worker)),
    ?assertNot(hornbeam_hook_registry:leave(<<"h">>, One#slot.worker)),
    ?assertEqual({error, taken}, hornbeam_hooks:reg(h, fun handle/3)),
    ?assert(hornbeam_hook_registry:leave(<<"h">>, Other#slot.worker)),
    ?assertEqual(not_found, hornbeam_hooks:find(h)),
    ok = hornbeam_hooks:reg(h, fun handle/3),
    ?assertEqual({error, taken}, join(<<"h">>, p, One)),
    ok = hornbeam_hooks:unreg(h).

the_dead_handle_nothing() ->
    {One, Other} = {worker(), worker()},
    ok = join(<<"d">>, p, One),
    ok = join(<<"d">>, p, Other),
    ok = hornbeam_hook_registry:forget(One#slot.worker),
    ?assertMatch({ok, {python, p, [_]}}, hornbeam_hooks:find(d)),
    kill(Other#slot.worker),
    %% It is still theirs, until somebody else wants it.
    ?assertEqual({ok, {python, p, []}}, hornbeam_hooks:find(d)),
    ?assertEqual(ok, hornbeam_hooks:reg(d, fun handle/3)),
    %% With its pool all of it goes, and nothing else.
    [ok = join(Name, {server, <<>>}, worker()) || Name <- [<<"p1">>, <<"p2">>]],
    ok = join(<<"q">>, {server, <<"/q">>}, worker()),
    ok = hornbeam_hook_registry:close({server, <<>>}),
    ?assertEqual([<<"d">>, <<"q">>], hornbeam_hooks:all()),
    [ok = hornbeam_hooks:unreg(Name) || Name <- hornbeam_hooks:all()],
    ?assertEqual(0, ets:info(hornbeam_hooks, size)).

there_are_so_many() ->
    Dead = worker(),
    ok = join(<<"left">>, p, Dead),
    kill(Dead#slot.worker),
    [ok = hornbeam_hooks:reg(integer_to_binary(N), fun handle/3) || N <- lists:seq(1, 999)],
    %% What nobody handles any more makes room.
    ?assertEqual(ok, hornbeam_hooks:reg(<<"1000">>, fun handle/3)),
    ?assertEqual({error, too_many_hooks}, hornbeam_hooks:reg(<<"1001">>, fun handle/3)),
    ?assertEqual({error, too_many_hooks}, join(<<"1001">>, p, worker())),
    ?assertEqual(ok, hornbeam_hooks:reg(<<"7">>, fun handle/3)),
    [ok = hornbeam_hooks:unreg(Name) || Name <- hornbeam_hooks:all()],
    ?assertEqual(0, ets:info(hornbeam_hooks, size)).

calls() ->
    ok = hornbeam_hooks:reg(h, ?MODULE, handle, 3),
    ?assertEqual({ok, 3}, hornbeam_hooks:execute(h, add, [1, 2], #{})),
    ?assertEqual({ok, {self(), #{k => 1}}}, hornbeam_hooks:execute(h, <<"who">>, [], #{k => 1})),
    ?assertEqual({ok, raw}, hornbeam_hooks:execute(h, raw, [raw], #{})),
    ?assertEqual({error, why}, hornbeam_hooks:execute(h, refuse, [why], #{})),
    ?assertMatch({error, {wrong, _}}, hornbeam_hooks:execute(h, list, [[1]], #{})),
    ?assertEqual({error, not_found}, hornbeam_hooks:execute(nobody, add, [], #{})),
    ?assertEqual({ok, 3}, hornbeam_hooks:execute(h, add, [1, 2], #{}, #{node => node()})),
    ?assertError({badmatch, false}, hornbeam_hooks:execute(h, binary:copy(<<"a">>, 256), [], #{})),
    ?assertEqual({{ok, 1}, {error, 2}}, {hornbeam_hooks:ok(1), hornbeam_hooks:error(2)}).

exceptions() ->
    [?assertMatch({error, {raised, Class, oops, _}}, hornbeam_hooks:execute(h, raise, [Class, oops], #{}))
     || Class <- [error, exit, throw]],
    ?assertMatch({error, {raised, error, function_clause, _}}, hornbeam_hooks:execute(h, nothing, [], #{})).

streams() ->
    ?assertEqual([1, two, 3], taken(hornbeam_hooks:stream(h, list, [[1, two, 3]], #{}))),
    ?assertEqual([], taken(hornbeam_hooks:stream(h, list, [[]], #{}))),
    ?assertEqual([1, {error, bad}], taken(hornbeam_hooks:stream(h, breaks, [{error, bad}], #{}))),
    ?assertMatch([1, {error, {wrong, _}}], taken(hornbeam_hooks:stream(h, breaks, [nonsense], #{}))),
    ?assertMatch([{error, {wrong, _}}], taken(hornbeam_hooks:stream(h, add, [1, 2], #{}))),
    ?assertEqual({error, not_found}, hornbeam_hooks:stream(nobody, list, [[1]], #{})),
    {ok, Next} = hornbeam_hooks:stream(h, list, [lists:seq(1, 1000)], #{}),
    ?assertEqual({value, 1}, Next()),
    ok = hornbeam_hooks:stop(Next),
    ok = hornbeam_hooks:stop(Next),
    ?assertEqual(done, Next()),
    ?assertEqual({messages, []}, process_info(self(), messages)).

%% 10 KiB each: a window of them, and one more, are made before the first is taken.
a_stream_waits() ->
    Made = counters:new(1, []),
    {ok, Next} = hornbeam_hooks:stream(h, count, [Made], #{}),
    await:until(fun() -> counters:get(Made, 1) >= 20 end),
    {value, _} = Next(),
    ?assert(counters:get(Made, 1) =< 40),
    [{value, _} = Next() || _ <- lists:seq(1, 100)],
    ?assert(counters:get(Made, 1) =< 140),
    ok = hornbeam_hooks:stop(Next).

a_stream_ends_with_its_consumer() ->
    Made = counters:new(1, []),
    Calls = hornbeam_call_sup:count(),
    {Pid, Monitor} = spawn_monitor(fun() ->
        {ok, Next} = hornbeam_hooks:stream(h, count, [Made], #{}),
        {value, _} = Next()
    end),
    receive {'DOWN', Monitor, process, Pid, normal} -> ok end,
    await:until(fun() -> hornbeam_call_sup:count() =:= Calls end),
    ok = hornbeam_hooks:unreg(h).

%% Workers that have registered a hook and do not take calls.
nobody_is_there() ->
    #slot{counters = Counters} = Slot = worker(),
    ok = join(<<"full">>, {nobody, <<>>}, Slot),
    atomics:put(Counters, ?SLOT_OPEN, ?OPEN),
    atomics:put(Counters, ?SLOT_LOAD, 1001),
    ?assertEqual({error, overloaded}, hornbeam_hooks:execute(full, go, [], #{})),
    atomics:put(Counters, ?SLOT_OPEN, ?CLOSED),
    ?assertEqual({error, unavailable}, hornbeam_hooks:execute(full, go, [], #{})),
    ok = hornbeam_hooks:unreg(full).

later() ->
    ok = hornbeam_hooks:reg(h, fun handle/3),
    {ok, Id} = hornbeam_hooks:execute_async(h, add, [1, 2], #{}),
    ?assertEqual({error, not_found}, hornbeam_hook_tasks:await(python, Id, 0)),
    ?assertEqual({ok, 3}, hornbeam_hooks:await_result(Id)),
    ?assertEqual({error, not_found}, hornbeam_hooks:await_result(Id)),
    {ok, Failing} = hornbeam_hooks:execute_async(h, raise, [exit, oops], #{}),
    ?assertMatch({error, {raised, exit, oops, _}}, hornbeam_hooks:await_result(Failing, infinity)),
    %% Who has given up takes nothing with him.
    {ok, Waits} = hornbeam_hooks:execute_async(h, wait, [self()], #{}),
    Runs = receive {runs, Pid} -> Pid end,
    ?assertEqual({error, timeout}, hornbeam_hooks:await_result(Waits, 0)),
    Self = self(),
    spawn(fun() -> Self ! {other, hornbeam_hooks:await_result(Waits, 0)} end),
    receive {other, Other} -> ?assertEqual({error, timeout}, Other) end,
    Runs ! go,
    ?assertEqual({ok, gone}, hornbeam_hooks:await_result(Waits)),
    ?assertEqual({messages, []}, process_info(self(), messages)).

a_task_that_is_killed() ->
    {ok, Id} = hornbeam_hooks:execute_async(h, wait, [self()], #{}),
    Runs = receive {runs, Pid} -> Pid end,
    kill(Runs),
    ?assertEqual({error, not_found}, hornbeam_hooks:await_result(Id, infinity)),
    await:until(fun() -> [Id_ || {Id_, _, _, _} <- ets:tab2list(hornbeam_hook_tasks)] =:= [] end).

tasks_are_bounded() ->
    %% The same megabyte again and again: what it takes as a value.
    Much = lists:duplicate(200, binary:copy(<<"x">>, 1048576)),
    {ok, One} = hornbeam_hooks:execute_async(h, raw, [Much], #{}),
    await:until(fun() -> [S || {_, _, _, S} <- ets:tab2list(hornbeam_hook_tasks), S > 0] =/= [] end),
    {ok, Other} = hornbeam_hooks:execute_async(h, raw, [Much], #{}),
    await:until(fun() -> length([S || {_, _, _, S} <- ets:tab2list(hornbeam_hook_tasks)]) =:= 2 end),
    %% Whoever waits when the value comes is given it, and it is not kept.
    ?assert(lists:member(hornbeam_hooks:await_result(Other), [{error, overloaded}, {ok, Much}])),
    ?assertEqual({ok, Much}, hornbeam_hooks:await_result(One)),
    await:until(fun() -> ets:lookup(hornbeam_hook_tasks, bytes) =:= [{bytes, 0}] end),
    Ids = [begin {ok, Id} = hornbeam_hooks:execute_async(h, raw, [N], #{}), Id end || N <- lists:seq(1, 10000)],
    ?assertEqual({error, overloaded}, hornbeam_hooks:execute_async(h, raw, [1], #{})),
    [{_, _, Pid, _}] = ets:lookup(hornbeam_hook_tasks, hd(Ids)),
    kill(Pid),
    ?assertMatch({ok, _}, hornbeam_hooks:execute_async(h, raw, [1], #{})),
    [true = exit(Task, kill) || {_, _, Task, _} <- ets:tab2list(hornbeam_hook_tasks)],
    true = ets:delete_all_objects(hornbeam_hook_tasks),
    ok = hornbeam_hooks:unreg(h).

%%% A handler, and what stands for workers

handle(<<"add">>, [A, B], _) -> {ok, A + B};
handle(<<"who">>, [], Keywords) -> {self(), Keywords};
handle(<<"raw">>, [Value], _) -> Value;
handle(<<"refuse">>, [Reason], _) -> {error, Reason};
handle(<<"raise">>, [Class, Reason], _) -> erlang:raise(Class, Reason, []);
handle(<<"list">>, [List], _) -> hornbeam_hooks:stream_from_list(List);
handle(<<"wait">>, [Pid], _) -> Pid ! {runs, self()}, receive go -> gone end;
handle(<<"breaks">>, [How], _) ->
    fun() ->
        case put(?MODULE, again) of
            undefined -> {value, 1};
            again -> How
        end
    end;
handle(<<"count">>, [Made], _) ->
    hornbeam_hooks:stream_from_fun(fun() ->
        counters:add(Made, 1, 1),
        hornbeam_hooks:stream_chunk(binary:copy(<<"x">>, 10240))
    end).

taken({ok, Next}) ->
    case Next() of
        {value, Value} -> [Value | taken({ok, Next})];
        done -> [];
        Error -> [Error]
    end.

worker() ->
    #slot{worker = spawn(fun() -> receive stop -> ok end end), counters = atomics:new(?SLOT_SIZE, [])}.

join(Name, Pool, Slot) ->
    hornbeam_hook_registry:join(Name, {python, Pool, 262144, 1}, Slot).

kill(Pid) ->
    Monitor = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Monitor, process, _, _} -> ok end.
