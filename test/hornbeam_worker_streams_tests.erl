%%% hornbeam_worker_streams without a worker: what a WebSocket may send, and what is kept of a read.
%%% (HTTP streams, and frames that may not come: hornbeam_broken_worker_tests.)
-module(hornbeam_worker_streams_tests).

-include_lib("eunit/include/eunit.hrl").

-define(WINDOW, 1000).
-define(OWNER, {self(), tag}).

opened(Frame) ->
    Streams = hornbeam_worker_streams:new(self(), ?WINDOW),
    ok = hornbeam_worker_streams:open(1, ?OWNER, Frame, Streams),
    Streams.

websocket() ->
    Streams = opened(hornbeam_frame:encode(ws_open, 1, <<16#90>>)),
    Accept = iolist_to_binary([0 | hornbeam_msgpack:encode([none, {bytes, <<16#90>>}])]),
    {pass, _, _} = hornbeam_worker_streams:frame(ws_accept, 1, Accept, Streams),
    true = hornbeam_worker_streams:adopt(1, {self(), websocket}, Streams),
    Streams.

message(Size, Streams) ->
    hornbeam_worker_streams:frame(ws_send_bytes, 1, <<0, (binary:copy(<<"x">>, Size))/binary>>, Streams).

credit(Count, Streams) ->
    ok = hornbeam_worker_streams:sent(hornbeam_frame:encode(credit, 1, <<Count:32>>), Streams).

%% A message counts 64 besides its bytes; one more may be sent while less than a window is not credited.
messages_test() ->
    [begin
        Streams = websocket(),
        ?assertMatch({pass, {_, websocket}, _}, message(First - 64, Streams)),
        Second = message(100000, Streams),
        ?assertEqual(Passes, element(1, Second) =:= pass)
     end || {First, Passes} <- [{?WINDOW - 1, true}, {?WINDOW, false}, {?WINDOW + 1, false}, {64, true}]].

credit_makes_room_test() ->
    Streams = websocket(),
    {pass, _, _} = message(2 * ?WINDOW - 64, Streams),
    credit(?WINDOW, Streams),
    ?assertEqual({broken, window_exceeded}, message(0, Streams)),
    credit(1, Streams),
    ?assertMatch({pass, _, _}, message(0, Streams)).

%% A WSGI application's request that nobody waits for is kept until its thread says that it is over, whatever else it says before.
kept_test() ->
    Request = hornbeam_frame:request(1, 1, <<16#90>>, [], 0),
    Threads = hornbeam_worker_streams:told(#{<<"interface">> => <<"wsgi">>}, opened(Request)),
    false = hornbeam_worker_streams:release(1, Threads),
    false = hornbeam_worker_streams:release(1, Threads),
    ?assertEqual([], hornbeam_worker_streams:abandoned(Threads)),
    ok = hornbeam_worker_streams:tell(drain, Threads),
    ?assertEqual(nothing, hornbeam_worker_streams:frame(response, 1, <<0, 200:16, 1:32, 16#90, "body">>, Threads)),
    ?assertEqual(nothing, hornbeam_worker_streams:frame(data, 1, <<0, "body">>, Threads)),
    ?assertEqual(gone, hornbeam_worker_streams:frame(abort, 1, <<1, 1>>, Threads)),
    ?assertEqual(late, hornbeam_worker_streams:frame(abort, 1, <<1, 1>>, Threads)),
    receive {{_, tag}, drain} -> ?assert(false) after 0 -> ok end,
    Tasks = hornbeam_worker_streams:told(#{}, opened(Request)),
    ?assert(hornbeam_worker_streams:release(1, Tasks)),
    ?assertEqual(late, hornbeam_worker_streams:frame(abort, 1, <<1, 1>>, Tasks)).

%% A call has a thread of its own, a WebSocket none.
not_kept_test() ->
    [begin
        Streams = hornbeam_worker_streams:told(#{<<"interface">> => <<"wsgi">>}, opened(Frame)),
        ?assert(hornbeam_worker_streams:release(1, Streams)),
        ?assertNot(hornbeam_worker_streams:release(1, Streams))
     end || Frame <- [hornbeam_frame:encode(invoke, 1, <<16#90>>), hornbeam_frame:encode(ws_open, 1, <<16#90>>)]].

%% Subscriptions are answered by credit for nothing.
subscriptions_test() ->
    Streams = websocket(),
    Ask = fun() -> hornbeam_worker_streams:frame(ws_subscribe, 1, <<0, "topic">>, Streams) end,
    [{pass, _, _} = Ask() || _ <- lists:seq(1, 9999)],
    ?assertMatch({pass, _, _}, Ask()),
    ?assertEqual({broken, too_many_subscriptions}, Ask()),
    credit(0, Streams),
    ?assertMatch({pass, _, _}, Ask()),
    ?assertEqual({broken, too_many_subscriptions}, Ask()).

topics_test() ->
    Streams = websocket(),
    Passes = fun(Topic) ->
        element(1, hornbeam_worker_streams:frame(ws_subscribe, 1, <<0, Topic/binary>>, Streams)) =:= pass
    end,
    Xs = fun(Count) -> binary:copy(<<"x">>, Count) end,
    ?assertEqual([false, true, true, false], [Passes(Xs(Size)) || Size <- [0, 1, 1024, 1025]]).

%% demand: of the bytes of messages, and 64 for each.
consumption_test() ->
    Streams = websocket(),
    Demand = fun(Count) -> hornbeam_worker_streams:frame(demand, 1, <<0, Count:32>>, Streams) end,
    ?assertMatch({broken, _}, Demand(1)),
    ok = hornbeam_worker_streams:sent([hornbeam_frame:encode(ws_text, 1, <<"12345">>),
                                       hornbeam_frame:encode(ws_binary, 1, <<>>)], Streams),
    ?assertMatch({broken, _}, Demand(134)),
    ?assertMatch({pass, _, _}, Demand(33)),
    ?assertMatch({pass, _, _}, Demand(100)),
    ?assertMatch({broken, _}, Demand(1)).

%% The same for a request's body: what came with the head, and what comes later.
body_test() ->
    Streams = opened(hornbeam_frame:request(1, 0, <<16#90>>, <<"123">>, 3)),
    Demand = fun(Count) -> hornbeam_worker_streams:frame(demand, 1, <<0, Count:32>>, Streams) end,
    ok = hornbeam_worker_streams:sent(hornbeam_frame:encode(body, 1, <<"4567">>), Streams),
    ?assertMatch({broken, _}, Demand(8)),
    ?assertMatch({pass, _, _}, Demand(7)).

a_stream_that_has_ended_takes_nothing_test() ->
    Streams = websocket(),
    {ends, _, _} = hornbeam_worker_streams:frame(ws_end, 1, <<1, 1000:16>>, Streams),
    ok = hornbeam_worker_streams:sent(hornbeam_frame:encode(ws_text, 1, <<"12345">>), Streams),
    credit(1, Streams),
    ?assertEqual(late, message(1, Streams)),
    ?assertNot(hornbeam_worker_streams:adopt(1, ?OWNER, Streams)).

%% A frame that was refused has not ended its stream: its owner hears of the worker's end.
a_broken_last_frame_leaves_the_owner_test() ->
    Streams = opened(hornbeam_frame:request(1, 1, <<16#90>>, <<>>, 0)),
    ?assertMatch({broken, _}, hornbeam_worker_streams:frame(ws_end, 1, <<1, 1000:16>>, Streams)),
    ?assertEqual(1, hornbeam_worker_streams:clear(Streams, died)),
    receive {{_, tag}, {worker_lost, died}} -> ok after 0 -> ?assert(false) end.

%% A piece of 100 bytes does not keep the 64 KiB that it came in; a large one may.
what_is_kept_of_a_read_test() ->
    Streams = websocket(),
    Kept = fun(Size) ->
        <<Payload:Size/binary, _/binary>> = binary:copy(<<0>>, 65536),
        {pass, _, Passed} = hornbeam_worker_streams:frame(ws_send_bytes, 1, Payload, Streams),
        credit(100000, Streams),
        binary:referenced_byte_size(Passed)
    end,
    ?assertEqual([100, 4095, 65536], [Kept(Size) || Size <- [100, 4095, 4096]]).

%%% Values of a call

value(Bytes, Streams) ->
    hornbeam_worker_streams:frame(result, 1, <<0, Bytes/binary>>, Streams).

%% They count like messages, whatever their size, and stop without credit.
values_test() ->
    Streams = opened(hornbeam_frame:perform(1, {1, 0}, <<"m">>, <<0:32, 16#c0>>)),
    ?assertMatch({pass, {_, tag}, _}, value(binary:copy(<<"x">>, 2 * ?WINDOW - 64), Streams)),
    ?assertEqual({broken, window_exceeded}, value(<<>>, Streams)),
    credit(?WINDOW + 1, Streams),
    ?assertMatch({pass, {_, tag}, _}, value(<<>>, Streams)),
    ?assertMatch({ends, {_, tag}, _}, hornbeam_worker_streams:frame(result, 1, <<1, 16#c0>>, Streams)).

%% Only where a stream was asked for, and nothing else of other kinds.
one_value_test() ->
    [begin
        Streams = opened(Frame),
        ?assertMatch({broken, {unexpected_frame, result, called}}, value(<<16#c0>>, Streams)),
        ?assertMatch({ends, {_, tag}, _}, hornbeam_worker_streams:frame(result, 1, <<1, 16#c0>>, Streams))
     end || Frame <- [hornbeam_frame:perform(1, {0, 0}, <<"m">>, <<0:32, 16#c0>>), hornbeam_frame:encode(invoke, 1, <<16#c0>>)]],
    Streams = opened(hornbeam_frame:perform(1, {1, 0}, <<"m">>, <<0:32, 16#c0>>)),
    ?assertMatch({broken, _}, hornbeam_worker_streams:frame(data, 1, <<0, "x">>, Streams)),
    ?assertMatch({broken, _}, hornbeam_worker_streams:frame(demand, 1, <<0, 1:32>>, Streams)),
    ?assertMatch({broken, _}, hornbeam_worker_streams:frame(abort, 1, <<1, 1>>, Streams)).
