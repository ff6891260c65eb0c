%%% hornbeam_worker and hornbeam_pool with test/fake_worker.py in Python's place: what a worker may do
%%% wrong, places, waiting, and deaths of every kind.
-module(hornbeam_worker_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hornbeam.hrl").

-define(POOL, {default, <<>>}).
-define(SCOPE, <<16#90>>).

worker_test_() ->
    {setup, fun setup/0, fun cleanup/1,
     [{Name, {timeout, 300, fun() -> try Test() after hornbeam:stop(), flush() end end}} || {Name, Test} <- tests()]}.

tests() ->
    [{"start failures", fun start_failures/0},
     {"a request is answered", fun answers/0},
     {"garbage costs its worker", fun garbage_costs_its_worker/0},
     {"an empty frame costs its worker", fun empty_frame_costs_its_worker/0},
     {"calls that make no sense are answered", fun senseless_calls/0},
     {"frames of a stream that nobody has been given cost their worker", fun nobodys_stream/0},
     {"places are given back", fun places_are_given_back/0},
     {"the queue", fun queue/0},
     {"the queue is bounded", fun queue_is_bounded/0},
     {"a waiter that leaves gives its turn on", fun leaving_waiters/0},
     {"dead waiters do not waste a place", fun dead_waiters/0},
     {"a killed Python process", fun killed_python/0},
     {"a killed worker process", fun killed_worker/0},
     {"a connection that is killed gives its place back", fun killed_connection/0}].

setup() ->
    ok = logger:set_primary_config(level, none),
    {ok, _} = application:ensure_all_started(hornbeam),
    ok.

cleanup(_) ->
    ok = application:stop(hornbeam),
    ok = logger:set_primary_config(level, notice).

start(Mode) -> fake_worker:start(Mode, #{}).

%%% Starting

start_failures() ->
    Expected = [{"exits", {python_exited, {exit_status, 3}}},
                {"failed", {lifespan_failed, <<"für dich"/utf8>>}},
                {"garbage", {bad_frame, {frame_size, 16#48545450}}},
                {"too_large", {bad_frame, {frame_size, 16#ffffffff}}}],
    [?assertEqual({Mode, {error, Reason}}, {Mode, start(Mode)}) || {Mode, Reason} <- Expected],
    [?assertEqual({Mode, {error, {startup_timeout, 300}}}, {Mode, fake_worker:start(Mode, #{startup_timeout => 300})})
     || Mode <- ["silent", "hello_only"]],
    [?assertMatch({Mode, {error, {bad_frame, _}}}, {Mode, start(Mode)})
     || Mode <- ["other_version", "failed_somehow"]],
    ?assertEqual(none, hornbeam_pool:checkout(?POOL)).

%%% Requests

%% Opens a stream as hornbeam_stream does; its messages come to the calling process under Tag.
open(Tag) ->
    {ok, Slot, Id, _} = hornbeam_pool:checkout(?POOL),
    ok = hornbeam_worker:open(Slot, Id, {self(), Tag}, hornbeam_frame:request(Id, 0, ?SCOPE, <<>>, 0)),
    {Slot, Id}.

finish({Slot, Id}, Text) ->
    ok = hornbeam_worker:send(Slot, hornbeam_frame:encode(body_end, Id, Text)).

heard(Tag) ->
    Self = self(),
    receive {{Self, Tag}, Event} -> Event after 100000 -> silence end.

text({worker, response, Payload}) ->
    {ok, {true, 200, _, Text}} = hornbeam_frame:parse(response, Payload),
    Text.

answers() ->
    {ok, _} = start("hold"),
    Stream = open(a),
    finish(Stream, <<"done">>),
    ?assertEqual(<<"done">>, text(heard(a))),
    await:until(fun() -> in_flight() =:= 0 end).

garbage_costs_its_worker() ->
    {ok, _} = start("garbage_later"),
    #{os_pid := Old} = fake_worker:info(),
    _ = open(a),
    ?assertEqual({worker_lost, died}, heard(a)),
    await:until(fun() -> case fake_worker:info() of #{state := ready, os_pid := New} -> New =/= Old; _ -> false end end),
    ?assertEqual(0, in_flight()).

empty_frame_costs_its_worker() ->
    {ok, _} = start("empty_frame"),
    _ = open(a),
    ?assertEqual({worker_lost, died}, heard(a)),
    ?assertEqual(error, hornbeam_frame:parse(data, <<>>)).

senseless_calls() ->
    {ok, _} = start("empty_call"),
    _ = open(a),
    ?assertEqual(<<"still here">>, text(heard(a))).

nobodys_stream() ->
    {ok, _} = start("nobodys_stream"),
    _ = open(a),
    ?assertEqual({worker_lost, died}, heard(a)).

%%% Places

places_are_given_back() ->
    {ok, _} = fake_worker:start("hold", #{max_concurrency => 2}),
    Streams = [One, _] = [open(Tag) || Tag <- [a, b]],
    ?assertEqual(none, hornbeam_pool:checkout(?POOL)),
    ?assertEqual(2, in_flight()),
    {Slot, Id} = One,
    %% One is closed from this side, the other ends by itself; closing twice gives back once.
    [ok = hornbeam_worker:close(Slot, Id, hornbeam_frame:encode(disconnect, Id, <<0>>)) || _ <- [1, 2]],
    finish(lists:last(Streams), <<>>),
    _ = heard(b),
    await:until(fun() -> in_flight() =:= 0 end),
    ?assertMatch({ok, _, _, _}, hornbeam_pool:checkout(?POOL)).

queue() ->
    {ok, _} = fake_worker:start("hold", #{max_concurrency => 1}),
    Stream = open(a),
    Owners = [{self(), {waiter, N}} || N <- [1, 2, 3]],
    [?assertEqual(ok, hornbeam_pool:wait(?POOL, Owner, back)) || Owner <- Owners],
    ?assertEqual(3, waiting()),
    finish(Stream, <<>>),
    %% First come, first served; one place wakes one waiter.
    ?assertEqual(try_again, heard({waiter, 1})),
    Second = open(b),
    finish(Second, <<>>),
    ?assertEqual(try_again, heard({waiter, 2})),
    %% It loses the race for the place and waits again, in front of the third.
    Third = open(c),
    ?assertEqual(none, hornbeam_pool:checkout(?POOL)),
    ?assertEqual(ok, hornbeam_pool:wait(?POOL, {self(), {waiter, 2}}, front)),
    finish(Third, <<>>),
    ?assertEqual(try_again, heard({waiter, 2})),
    ok = hornbeam_pool:cancel(?POOL, {self(), {waiter, 2}}),
    ?assertEqual(try_again, heard({waiter, 3})),
    await:until(fun() -> waiting() =:= 0 end).

queue_is_bounded() ->
    {ok, _} = fake_worker:start("hold", #{max_concurrency => 1, max_queue => 2}),
    _ = open(a),
    [?assertEqual(ok, hornbeam_pool:wait(?POOL, {self(), N}, back)) || N <- [1, 2]],
    ?assertEqual({error, queue_full}, hornbeam_pool:wait(?POOL, {self(), 3}, back)),
    ?assertEqual(2, waiting()),
    ok = hornbeam_pool:cancel(?POOL, {self(), 1}),
    await:until(fun() -> waiting() =:= 1 end),
    ?assertEqual(ok, hornbeam_pool:wait(?POOL, {self(), 4}, back)).

leaving_waiters() ->
    {ok, _} = fake_worker:start("hold", #{max_concurrency => 1}),
    Stream = open(a),
    [ok = hornbeam_pool:wait(?POOL, {self(), N}, back) || N <- [1, 2]],
    [ok = hornbeam_pool:cancel(?POOL, {self(), N}) || N <- [1, 1]],
    finish(Stream, <<>>),
    ?assertEqual(try_again, heard(2)),
    ?assertEqual(0, waiting()).

dead_waiters() ->
    {ok, _} = fake_worker:start("hold", #{max_concurrency => 1}),
    Stream = open(a),
    Self = self(),
    {Pid, Monitor} = spawn_monitor(fun() -> Self ! hornbeam_pool:wait(?POOL, {self(), 1}, back) end),
    receive ok -> ok end,
    receive {'DOWN', Monitor, process, Pid, _} -> ok end,
    ok = hornbeam_pool:wait(?POOL, {self(), 2}, back),
    finish(Stream, <<>>),
    ?assertEqual(try_again, heard(2)),
    await:until(fun() -> waiting() =:= 0 end).

%%% Deaths

killed_python() ->
    {ok, _} = start("hold"),
    #{os_pid := OsPid} = fake_worker:info(),
    _ = open(a),
    _ = open(b),
    ok = hornbeam_python:kill(OsPid),
    ?assertEqual([{worker_lost, died}, {worker_lost, died}], [heard(a), heard(b)]),
    await:until(fun() -> maps:get(state, fake_worker:info()) =:= ready end),
    ?assertMatch(#{restarts := 1, in_flight := 0}, fake_worker:info()),
    finish(open(c), <<"again">>),
    ?assertEqual(<<"again">>, text(heard(c))).

killed_worker() ->
    {ok, _} = start("hold"),
    {#slot{worker = Worker}, _} = open(a),
    %% What it has not read yet is lost with it: a request then ends by its timeout.
    #{in_flight := 1, os_pid := OsPid} = fake_worker:info(),
    exit(Worker, kill),
    ?assertEqual({worker_lost, died}, heard(a)),
    await:until(fun() -> case fake_worker:info() of #{state := ready, os_pid := New} -> New =/= OsPid; _ -> false end end),
    finish(open(b), <<"again">>),
    ?assertEqual(<<"again">>, text(heard(b))).

%% The sweep looks every ten seconds.
killed_connection() ->
    {ok, _} = fake_worker:start("hold", #{max_concurrency => 1}),
    {Pid, Monitor} = spawn_monitor(fun() -> open(a) end),
    receive {'DOWN', Monitor, process, Pid, _} -> ok end,
    ?assertEqual(1, in_flight()),
    await:until(fun() -> in_flight() =:= 0 end).

%%% Looking

flush() ->
    receive _ -> flush() after 0 -> ok end.

in_flight() -> maps:get(in_flight, hornbeam_pool:stats(?POOL)).

waiting() -> maps:get(waiting, hornbeam_pool:stats(?POOL)).
