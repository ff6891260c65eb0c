%%% hornbeam_worker_session without a worker: what a Python process may say of itself, and when. (Frames of streams:
%%% hornbeam_worker_streams_tests; a worker that breaks the protocol: hornbeam_broken_worker_tests.) And the small pure parts of a worker.
-module(hornbeam_worker_session_tests).

-include_lib("eunit/include/eunit.hrl").

new() ->
    Places = hornbeam_worker_places:new(1, self(), {atomics:new(1, []), 1}),
    %% A port that takes what it is given; what it gives back is not looked at.
    Port = erlang:open_port({spawn_executable, os:find_executable("cat")}, [binary, stream]),
    hornbeam_worker_session:new(Port, 1, self(), Places, #{window => 1000, call_poll_time => 0, max_worker_backlog => 100000}).

said(Frames, Session) ->
    hornbeam_worker_session:received(iolist_to_binary(Frames), Session).

frame(Type, Payload) -> hornbeam_frame:encode(Type, 0, Payload).

hello() -> frame(hello, [<<(hornbeam_frame:protocol_version()):16>>, 16#80]).

pong(Ping) -> frame(pong, [<<(byte_size(Ping)):16>>, Ping, 16#80]).

ready() ->
    {[{hello, #{}}, {ready, _}], Session} = said([hello(), frame(ready, [16#80])], new()),
    Session.

events_come_in_order_test() ->
    Session = hornbeam_worker_session:ping(<<1>>, hornbeam_worker_session:drain(ready())),
    ?assertMatch({[{pong, #{}}, drained], _}, said([pong(<<1>>), frame(drained, [])], Session)).

any_pieces_test() ->
    Bytes = iolist_to_binary([hello(), frame(ready, [16#80])]),
    Each = fun(Byte, {Events, Before}) ->
        {More, Session} = hornbeam_worker_session:received(<<Byte>>, Before),
        {Events ++ More, Session}
    end,
    ?assertMatch({[{hello, #{}}, {ready, #{}}], _}, lists:foldl(Each, {[], new()}, binary_to_list(Bytes))).

may_not_come_test_() ->
    Broken = fun(Frames, Session) -> ?_assertMatch({[{broken, {bad_frame, _}}], _}, said(Frames, Session())) end,
    [Broken(frame(ready, [16#80]), fun new/0),
     Broken(hornbeam_frame:encode(call, 1, [1, 16#90]), fun new/0),
     Broken(frame(hello, [<<65535:16>>, 16#80]), fun new/0),
     Broken(hello(), fun ready/0),
     Broken(frame(failed, [1, "why"]), fun ready/0),
     Broken(frame(drained, []), fun ready/0),
     Broken(pong(<<1>>), fun ready/0),
     Broken(pong(<<1>>), fun() -> hornbeam_worker_session:ping(<<2>>, ready()) end)].

each_ping_has_one_pong_test() ->
    Session = hornbeam_worker_session:ping(<<1>>, ready()),
    ?assertMatch({[{pong, _}, {broken, _}], _}, said([pong(<<1>>), pong(<<1>>)], Session)).

what_is_broken_is_not_looked_at_test() ->
    {[{broken, _}], Session} = said([hello(), hello()], ready()),
    ?assertEqual({[], Session}, said(hello(), Session)),
    ?assertEqual({[], Session}, hornbeam_worker_session:info(room, Session)).

a_frame_comes_to_its_owner_test() ->
    Session = ready(),
    Owner = {self(), make_ref()},
    Response = fun(Id) -> hornbeam_frame:encode(response, Id, [1, <<200:16, 1:32, 16#90>>]) end,
    ok = hornbeam_worker_session:open(1, Owner, hornbeam_frame:request(1, 1, <<"scope">>, <<>>, 0), Session),
    ?assertMatch({[], _}, said(Response(1), Session)),
    ?assertMatch({worker, response, _}, receive {Owner, Event} -> Event end),
    %% Nobody has been given this id.
    ?assertMatch({[{broken, _}], _}, said(Response(2), Session)).

%%% hornbeam_worker_retirement

settings(Changes) ->
    maps:merge(#{max_requests => infinity, max_requests_jitter => 0, max_worker_lifetime => infinity, max_worker_memory => infinity,
                 workers => 1}, Changes).

requests_test() ->
    Retirement = hornbeam_worker_retirement:new(10, settings(#{max_requests => 5})),
    ?assertEqual(ok, hornbeam_worker_retirement:opened(14, Retirement)),
    {due, max_requests, Due} = hornbeam_worker_retirement:opened(15, Retirement),
    ?assertEqual(ok, hornbeam_worker_retirement:opened(16, Due)).

jitter_test() ->
    At = fun(_) ->
        Retirement = hornbeam_worker_retirement:new(0, settings(#{max_requests => 5, max_requests_jitter => 2})),
        hd([Id || Id <- lists:seq(1, 10), hornbeam_worker_retirement:opened(Id, Retirement) =/= ok])
    end,
    ?assertEqual([5, 6, 7], lists:usort(lists:map(At, lists:seq(1, 200)))).

ids_are_not_used_up_test() ->
    Retirement = hornbeam_worker_retirement:new(0, settings(#{})),
    ?assertEqual(ok, hornbeam_worker_retirement:opened(16#7ffffffe, Retirement)),
    ?assertMatch({due, last_stream_id, _}, hornbeam_worker_retirement:opened(16#7fffffff, Retirement)).

lifetimes_test() ->
    ?assertEqual(infinity, hornbeam_worker_retirement:lifetime(settings(#{}))),
    Lifetimes = [hornbeam_worker_retirement:lifetime(settings(#{max_worker_lifetime => 20})) || _ <- lists:seq(1, 200)],
    ?assertEqual([19, 20], lists:usort(Lifetimes)),
    ?assertEqual(1, hornbeam_worker_retirement:lifetime(settings(#{max_worker_lifetime => 1}))).

%% A worker says once that all its threads hang.
hung_threads_test() ->
    Retirement = hornbeam_worker_retirement:new(0, settings(#{})),
    {ok, Well} = hornbeam_worker_retirement:look(undefined, #{<<"running">> => 4}, Retirement),
    {due, hung_threads, Due} = hornbeam_worker_retirement:look(undefined, #{<<"hung">> => 1}, Well),
    ?assertMatch({ok, _}, hornbeam_worker_retirement:look(undefined, #{<<"hung">> => 1}, Due)).

%%% hornbeam_worker_life

life_test_() ->
    {setup,
     fun() -> #{level := Level} = logger:get_primary_config(), ok = logger:set_primary_config(level, none), Level end,
     fun(Level) -> ok = logger:set_primary_config(level, Level) end,
     [fun waits/0, fun told_once/0]}.

%% Doubled with each start that fails, 30 s at most; none after it was ready.
waits() ->
    Fail = fun(_, Before) ->
        hornbeam_worker_life:ended(starting, why, report(), Before)
    end,
    {Waits, Life} = lists:mapfoldl(Fail, hornbeam_worker_life:new(1, true), lists:seq(1, 8)),
    ?assertEqual([500, 1000, 2000, 4000, 8000, 16000, 30000, 30000], Waits),
    {0, Again} = hornbeam_worker_life:ended(ready, why, report(), hornbeam_worker_life:ready(Life)),
    ?assertMatch({500, _}, Fail(1, Again)).

report() ->
    #{worker => <<"1">>, app => <<"a:b">>, pid => 4711, reason => <<"why">>, status => none, fatal => none, uptime => 1000, requests => 1, in_progress => [],
      max_memory => none, cpu => none, figures_age => none, core => none}.

told_once() ->
    {new, 500, Life} = hornbeam_worker_life:not_started(why, hornbeam_worker_life:new(1, true)),
    ?assertEqual({same, 500, Life}, hornbeam_worker_life:not_started(why, Life)),
    ?assertMatch({new, 500, _}, hornbeam_worker_life:not_started(other, Life)),
    ?assertMatch({new, 500, _}, hornbeam_worker_life:not_started(why, hornbeam_worker_life:started(Life))).
