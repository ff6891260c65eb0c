%%% One HTTP/2 connection: the process that holds the client's socket (RFC 9113).
%%%
%%% Called by: hornbeam_connection (start/1), when HTTP/2 is what was agreed on (ALPN) or what the client's preface says. Calls: cow_http2
%%% (frames), hornbeam_http2_fields (sections of fields), hornbeam_http2_head (fields to requests), hornbeam_http2_stream (a request to its
%%% response), hornbeam_http2_body (windows), hornbeam_http2_output (whose turn it is to be sent), hornbeam_http2_rate (floods), hornbeam_deadline.
%%%
%%% Phases
%%%
%%%     preface ──24 octets──▶ settings ──SETTINGS──▶ open ──stop, max_keepalive──▶ leaving ──?LEAVE_MS──▶ closing
%%%        │                      │                     │                              │   ──nothing is in progress──▶ closed
%%%        └──────────────────────┴──an error of the client's: GOAWAY──▶ linger ──?LINGER_MS, its end──▶ closed
%%%
%%%   open     a stream is in the table until both sides are done with it, or one of them has reset it
%%%   leaving  a GOAWAY without a number has been sent; requests that were on their way then are still served (6.8)
%%%   closing  a GOAWAY with the last stream has been sent; what is in progress is finished
%%%   linger   all is said; what the client still sends is read and dropped, because a reset would take the GOAWAY from it
%%%
%%% Messages: from the socket; {{self(), Id}, Event} of a stream (hornbeam_http2_stream; those of streams that have ended are late and
%%% dropped); {timeout, _, deadline}; {'EXIT', _, _} of a WebSocket's process; {system, _, {terminate, _}} from hornbeam_listener.
%%%
%%% Writing. What there is to say is gathered while messages wait, ?BATCH of them at most, and leaves in one write with up to ?TURN octets of
%%% the streams' output, each in turn. A write waits for the client, for send_timeout at most (an option of the listening socket).
%%%
%%% Reading goes on all the time: what a client may send of bodies is bounded by the windows of the streams (body_prefetch). That of the
%%% connection is as large as can be, so that bodies that nobody reads take nothing from the others. Reads are small, for the driver
%%% holds a buffer of that size ready also for an idle connection, and large while a large body is on its way.
%%%
%%% Floods (max_frame_rate, max_empty_frame_rate, max_reset_rate; a head as it comes: max_head_size) end the connection with
%%% ENHANCE_YOUR_CALM. A reset counts whoever's it is, if it is for something that the client did: it can make the server send one, too.
%%%
%%% Times are one timer (hornbeam_deadline), that fires every ?AWAKE ms while anything happens; then all that is in progress is looked at. When
%%% nothing has happened for so long the process hibernates until the next of its limits. header_timeout: the preface and the first
%%% SETTINGS, and any other frame or head that has begun. send_timeout: a stream whose output waits and of which no octet could be sent is reset.
%%%
%%% Failure: a crash here is one client's: one line in the log, without what may be secret, and a GOAWAY. The worker's sweep tells the application.
-module(hornbeam_http2).

-export([start/1, wake/1]).
-export([system_continue/3, system_terminate/4, system_code_change/4, system_get_state/1]).
-export_type([settings/0]).

-include("hornbeam_head.hrl").

-type settings() :: #{keepalive_timeout := timeout(), header_timeout := timeout(), body_timeout := timeout(), send_timeout := timeout(),
                      max_keepalive := pos_integer() | infinity, max_streams := pos_integer(), body_prefetch := non_neg_integer(),
                      max_frame_rate := pos_integer(), max_empty_frame_rate := pos_integer(), max_reset_rate := pos_integer(),
                      max_request_line := pos_integer(), max_headers := pos_integer(), max_header_size := pos_integer(),
                      max_head_size := pos_integer(), strict_target := boolean()}.
-type id() :: pos_integer().
%% How a stream has ended: reset from here, so that more may be on its way; or for both sides.
-type how() :: #{id() => reset | ended}.

-define(PREFACE, <<"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n">>).
-define(FRAME, 16384).
-define(MAX_WINDOW, 16#7fffffff).
-define(DEFAULT_WINDOW, 65535).
%% Reads that may come before the socket is asked for more, and their sizes: 93 KiB and 640 KiB.
-define(SMALL, 1460).
-define(SMALL_READS, 64).
-define(LARGE, 65536).
-define(LARGE_READS, 10).
%% A body from which on it is read in larger pieces.
-define(LARGE_BODY, 16384).
-define(BATCH, 32).
-define(TURN, 65536).
-define(AWAKE, 250).
%% For requests that are on their way. (A PING would tell sooner, but some clients take nothing after a GOAWAY.)
-define(LEAVE_MS, 1000).
-define(LINGER_MS, 1000).
-define(MAX_LINGER, 64000000).
%% The streams that have ended are remembered for what was on its way (5.1): so many at least.
-define(REMEMBERED, 64).
%% Names and values of pseudo-headers other than the target.
-define(PSEUDO, 1024).

-record(conn, {
    parent :: pid(),
    transport :: module(),
    socket :: inet:socket() | ssl:sslsocket(),
    settings :: settings(),
    context :: hornbeam_exchange:context(),
    scheme :: binary(),
    phase = preface :: preface | settings | open | leaving | closing | linger,
    deadline = hornbeam_deadline:new() :: hornbeam_deadline:deadline(),
    until = infinity :: integer() | infinity,   % of the phase; while open, of an idle connection
    head_until = infinity :: integer() | infinity,  % when what has begun must be here
    quiet = false :: boolean(),             % nothing has come since the deadline was looked at
    %% From the client:
    buffer = <<>> :: binary(),              % the beginning of a frame
    block = none :: none | {id(), fin | nofin, binary()},   % the beginning of a head
    is_large = false :: boolean(),          % reads are
    window = ?MAX_WINDOW :: integer(),      % of the connection
    slack :: non_neg_integer(),             % hornbeam_http2_body
    frames :: hornbeam_http2_rate:rate(),
    empty :: hornbeam_http2_rate:rate(),
    resets :: hornbeam_http2_rate:rate(),
    dropped = 0 :: non_neg_integer(),       % in linger
    %% To the client:
    codec = hornbeam_http2_fields:new() :: hornbeam_http2_fields:codec(),
    output = hornbeam_http2_output:new() :: hornbeam_http2_output:output(),
    out = [] :: iodata(),                   % to be written
    batch = 0 :: non_neg_integer(),         % messages since the last write
    %% Streams:
    streams = #{} :: #{id() => hornbeam_http2_stream:stream()},
    fresh = [] :: [id()],                   % whose heads came with this read
    last = 0 :: non_neg_integer(),          % the highest that was opened
    served = 0 :: non_neg_integer(),
    ended = {#{}, #{}} :: {New :: how(), Old :: how()}  % streams, of late
}).

%% @doc Serves the connection until it ends; the calling process becomes it. What has been read of it already is a message of the socket's.
-spec start(#{parent := pid(), transport := module(), socket := term(), settings := settings(), context := hornbeam_exchange:context()}) ->
    no_return().
start(#{parent := Parent, transport := Transport, socket := Socket, context := Context,
        settings := #{body_prefetch := Prefetch, max_frame_rate := Frames, max_empty_frame_rate := Empty, max_reset_rate := Resets,
                      keepalive_timeout := Idle} = Settings}) ->
    Scheme = case Transport:secure() of true -> <<"https">>; false -> <<"http">> end,
    Now = now_ms(),
    Conn = #conn{parent = Parent, transport = Transport, socket = Socket, settings = Settings, context = Context, scheme = Scheme,
                 slack = max(0, ?DEFAULT_WINDOW - hornbeam_http2_body:window(Prefetch)), until = later(Now, Idle), out = hello(Settings),
                 frames = hornbeam_http2_rate:new(Frames), empty = hornbeam_http2_rate:new(Empty), resets = hornbeam_http2_rate:new(Resets)},
    enter(read(?SMALL_READS, [{buffer, ?SMALL}], awake(Now, Conn))).

%% RFC 9113, 3.4.
hello(#{body_prefetch := Prefetch, max_streams := Streams, max_head_size := HeadSize, max_headers := Headers}) ->
    [cow_http2:settings(#{initial_window_size => hornbeam_http2_body:window(Prefetch), max_concurrent_streams => Streams, enable_connect_protocol => true,
                          %% Which counts 32 octets for each field (6.5.2).
                          max_header_list_size => HeadSize + 32 * Headers}),
     cow_http2:window_update(?MAX_WINDOW - ?DEFAULT_WINDOW)].

%%% The loop

%% @doc After hibernation.
-spec wake(#conn{}) -> no_return().
wake(Conn) -> enter(Conn).

-spec enter(#conn{}) -> no_return().
enter(Conn) ->
    try loop(Conn)
    catch error:Reason:Stack -> crashed(Reason, Stack, Conn)
    end.

loop(#conn{batch = ?BATCH} = Conn) ->
    loop(flush(Conn));
loop(#conn{out = Out, output = Output} = Conn) ->
    case Out =/= [] orelse hornbeam_http2_output:is_ready(Output) of
        true ->
            receive Message -> loop(handle(Message, Conn))
            after 0 -> loop(flush(Conn))
            end;
        false ->
            receive Message -> loop(handle(Message, Conn#conn{batch = 0})) end
    end.

handle({{_, Id}, Event}, #conn{streams = Streams, batch = Batch} = Conn0) ->
    Conn = stir(Conn0#conn{batch = Batch + 1}),
    case Streams of
        #{Id := Stream} -> act(Id, hornbeam_http2_stream:event(Event, Stream), Conn);
        _ -> Conn
    end;
handle({tcp, _, Data}, #conn{batch = Batch} = Conn) -> received(Data, stir(Conn#conn{batch = Batch + 1}));
handle({ssl, _, Data}, #conn{batch = Batch} = Conn) -> received(Data, stir(Conn#conn{batch = Batch + 1}));
handle({Passive, _}, #conn{is_large = Large} = Conn) when Passive =:= tcp_passive; Passive =:= ssl_passive ->
    read(case Large of true -> ?LARGE_READS; false -> ?SMALL_READS end, [], Conn);
handle({timeout, Ref, deadline}, #conn{deadline = Deadline} = Conn) ->
    case hornbeam_deadline:fired(Ref, Deadline) of
        {ok, Next} -> look(now_ms(), Conn#conn{deadline = Next});
        stale -> Conn
    end;
handle({Closed, _}, Conn) when Closed =:= tcp_closed; Closed =:= ssl_closed -> gone(Conn);
handle({Error, _, _}, Conn) when Error =:= tcp_error; Error =:= ssl_error -> gone(Conn);
handle({system, _From, {terminate, _}}, Conn) -> stop(Conn);
handle({system, From, Request}, #conn{parent = Parent} = Conn) ->
    sys:handle_system_msg(Request, From, Parent, ?MODULE, [], Conn);
handle({'EXIT', Parent, Reason}, #conn{parent = Parent} = Conn) ->
    ok = all_gone(Conn),
    exit(Reason);
handle({'EXIT', Pid, Reason}, #conn{streams = Streams} = Conn) ->
    maps:fold(fun(Id, Stream, Acc) ->
                  case hornbeam_http2_stream:exit(Pid, Reason, Stream) of
                      false -> Acc;
                      Actions -> act(Id, Actions, Acc)
                  end
              end, Conn, Streams);
handle(_Late, Conn) ->
    Conn.

%% Something happens: the deadline is looked at soon.
stir(#conn{quiet = false} = Conn) -> Conn;
stir(Conn) -> awake(now_ms(), Conn#conn{quiet = false}).

awake(Now, #conn{deadline = Deadline} = Conn) ->
    Conn#conn{deadline = hornbeam_deadline:by(Now + ?AWAKE, Deadline)}.

%%% Reading

read(Count, Options, #conn{transport = Transport, socket = Socket} = Conn) ->
    case Transport:setopts(Socket, [{active, Count} | Options]) of
        ok -> Conn;
        %% It has been closed meanwhile, and perhaps nobody has been told.
        {error, _} -> self() ! {tcp_closed, Socket}, Conn
    end.

%% A change of the size leaves no more reads on their way than there may be.
large(Large, #conn{is_large = Large} = Conn) ->
    Conn;
large(Large, #conn{transport = Transport, socket = Socket} = Conn) ->
    _ = Transport:setopts(Socket, [{active, false}]),
    {Count, Buffer} = case Large of true -> {?LARGE_READS, ?LARGE}; false -> {?SMALL_READS, ?SMALL} end,
    read(Count, [{buffer, Buffer}], Conn#conn{is_large = Large}).

received(Data, #conn{phase = linger, dropped = Dropped} = Conn) when Dropped + byte_size(Data) =< ?MAX_LINGER ->
    Conn#conn{dropped = Dropped + byte_size(Data)};
received(_Data, #conn{phase = linger} = Conn) ->
    close(Conn);
received(Data, #conn{phase = preface, buffer = Buffer} = Conn) ->
    preface(<<Buffer/binary, Data/binary>>, Conn);
received(Data, #conn{buffer = <<>>} = Conn) ->
    frames(Data, now_ms(), Conn);
received(Data, #conn{buffer = Buffer} = Conn) ->
    frames(<<Buffer/binary, Data/binary>>, now_ms(), Conn).

preface(Data, Conn) ->
    Size = min(byte_size(Data), byte_size(?PREFACE)),
    <<Begin:Size/binary, Rest/binary>> = Data,
    case binary:part(?PREFACE, 0, Size) of
        Begin when Size =:= byte_size(?PREFACE) -> frames(Rest, now_ms(), Conn#conn{phase = settings, buffer = <<>>});
        Begin -> begun(now_ms(), Conn#conn{buffer = Data});
        _ -> fail(protocol_error, Conn)
    end.

%% A part of what must be here soon is here.
begun(_Now, #conn{head_until = Until} = Conn) when Until =/= infinity ->
    Conn;
begun(Now, #conn{settings = #{header_timeout := Time}} = Conn) ->
    by(later(Now, Time), Conn#conn{head_until = later(Now, Time)}).

%% All frames that are here.
frames(_Bytes, _Now, #conn{phase = linger} = Conn) ->
    Conn#conn{buffer = <<>>};
frames(<<Size:24, 7, _/bits>>, _Now, Conn) when Size < 8 ->
    fail(frame_size_error, Conn);
frames(Bytes, Now, Conn) ->
    case cow_http2:parse(Bytes, ?FRAME) of
        {ok, Frame, Rest} -> frames(Rest, Now, counted(Frame, byte_size(Bytes) - byte_size(Rest) - 9, Now, Conn));
        more -> rest(Bytes, Now, Conn);
        {ignore, Rest} -> frames(Rest, Now, counted(unknown, 0, Now, Conn));
        {stream_error, Id, Code, _, Rest} -> frames(Rest, Now, counted({broken, Id, Code}, 0, Now, Conn));
        {connection_error, Code, _} -> fail(Code, Conn)
    end.

%% The requests have what came of their bodies. What is left is the beginning of a frame: of DATA body_timeout speaks, and a part of it is
%% progress.
rest(Bytes, Now, #conn{fresh = Fresh} = Conn0) ->
    Conn = submit(lists:reverse(Fresh), Conn0#conn{buffer = Bytes, fresh = []}),
    case Conn of
        #conn{phase = Phase, block = none} when Bytes =:= <<>>, Phase =/= settings -> Conn#conn{head_until = infinity};
        #conn{block = none} ->
            case Bytes of
                <<_:24, 0, _:9, Id:31, _/bits>> -> heard(Id, Now, Conn#conn{head_until = infinity});
                _ -> begun(Now, Conn)
            end;
        _ -> begun(Now, Conn)
    end.

heard(Id, Now, #conn{streams = Streams} = Conn) ->
    case Streams of
        #{Id := Stream} -> Conn#conn{streams = Streams#{Id := hornbeam_http2_stream:heard(Now, Stream)}};
        _ -> Conn
    end.

submit([Id | Ids], #conn{streams = Streams} = Conn) ->
    case Streams of
        #{Id := Stream} -> submit(Ids, act(Id, hornbeam_http2_stream:submit(Stream), Conn));
        _ -> submit(Ids, Conn)
    end;
submit([], Conn) ->
    Conn.

counted(Frame, Size, Now, #conn{frames = Frames} = Conn) ->
    case hornbeam_http2_rate:count(Now, Frames) of
        over -> fail(enhance_your_calm, Conn);
        Counted -> ordered(Frame, Size, Now, ended(Conn#conn{frames = Counted}))
    end.

%% What has begun is here. What follows has its own time, but for the parts of a head.
ended(#conn{block = none, phase = Phase, head_until = Until} = Conn) when Until =/= infinity, Phase =/= settings ->
    Conn#conn{head_until = infinity};
ended(Conn) ->
    Conn.

%% RFC 9113, 3.4: SETTINGS come first; 6.10: a head is in one piece.
ordered({settings, Settings}, _Size, _Now, #conn{phase = settings} = Conn) ->
    settings(Settings, Conn#conn{phase = open});
ordered(_Frame, _Size, _Now, #conn{phase = settings} = Conn) ->
    fail(protocol_error, Conn);
ordered({continuation, Id, head_nofin, <<>>}, _Size, Now, #conn{block = {Id, _, _}} = Conn) ->
    empty(Now, Conn);
ordered({continuation, Id, IsLast, Part}, _Size, Now, #conn{block = {Id, IsFin, Before}} = Conn) ->
    block(Id, IsFin, IsLast, <<Before/binary, Part/binary>>, Now, Conn#conn{block = none});
ordered(_Frame, _Size, _Now, #conn{block = {_, _, _}} = Conn) ->
    fail(protocol_error, Conn);
ordered(Frame, Size, Now, Conn) ->
    frame(Frame, Size, Now, Conn).

frame({data, Id, IsFin, Data}, Size, Now, Conn) -> data(Id, IsFin, Data, Size, Now, window(Size, Conn));
frame({headers, Id, IsFin, IsLast, Block}, _Size, Now, Conn) -> block(Id, IsFin, IsLast, Block, Now, Conn);
frame({headers, Id, IsFin, IsLast, _, _, _, Block}, _Size, Now, Conn) -> block(Id, IsFin, IsLast, Block, Now, Conn);
frame({window_update, Increment}, _Size, _Now, Conn) -> credit(connection, Increment, Conn);
frame({window_update, Id, Increment}, _Size, _Now, Conn) -> opened(Id, fun() -> credit(Id, Increment, Conn) end, Conn);
frame({rst_stream, Id, _Code}, _Size, Now, Conn) -> opened(Id, fun() -> cancelled(Id, Now, Conn) end, Conn);
frame({settings, Settings}, _Size, Now, Conn) -> settings(Settings, empty(Now, Conn));
frame(settings_ack, _Size, _Now, Conn) -> Conn#conn{slack = 0};
frame({ping, Opaque}, _Size, Now, Conn) -> say(cow_http2:ping_ack(Opaque), empty(Now, Conn));
frame({goaway, _, _, _}, _Size, _Now, #conn{phase = open} = Conn) -> closing(Conn);
frame({broken, Id, Code}, _Size, Now, Conn) -> wrong(Id, Code, Now, Conn);
frame({push_promise, _, _, _, _}, _Size, _Now, Conn) -> fail(protocol_error, Conn);
frame({continuation, _, _, _}, _Size, _Now, Conn) -> fail(protocol_error, Conn);
%% Priorities (5.3.2), what is unknown (4.1), answers that nobody waits for.
frame(_Ignored, _Size, _Now, Conn) -> Conn.

%% What carries nothing costs the client nothing.
empty(Now, #conn{empty = Empty} = Conn) ->
    case hornbeam_http2_rate:count(Now, Empty) of
        over -> fail(enhance_your_calm, Conn);
        Counted -> Conn#conn{empty = Counted}
    end.

%% 5.1: of streams that have never been there only HEADERS and PRIORITY may speak.
opened(Id, Continue, #conn{last = Last}) when Id =< Last, Id rem 2 =:= 1 -> Continue();
opened(_Id, _Continue, Conn) -> fail(protocol_error, Conn).

settings(Settings, Conn) ->
    say(cow_http2:settings_ack(), maps:fold(fun setting/3, Conn, Settings)).

setting(header_table_size, Size, #conn{codec = Codec} = Conn) ->
    Conn#conn{codec = hornbeam_http2_fields:table_size(Size, Codec)};
setting(initial_window_size, Window, #conn{output = Output0} = Conn) ->
    case hornbeam_http2_output:initial(Window, Output0) of
        {ok, Output} -> Conn#conn{output = Output};
        error -> fail(flow_control_error, Conn)
    end;
setting(_Other, _Value, Conn) ->
    Conn.

%% 6.9.1.
credit(Which, Increment, #conn{output = Output0} = Conn) ->
    case hornbeam_http2_output:credit(Which, Increment, Output0) of
        {ok, Output} -> Conn#conn{output = Output};
        error when Which =:= connection -> fail(flow_control_error, Conn);
        error -> wrong(Which, flow_control_error, now_ms(), Conn)
    end.

cancelled(Id, Now, #conn{streams = Streams} = Conn0) ->
    case reset_counted(Now, Conn0) of
        #conn{phase = linger} = Conn -> Conn;
        Conn when is_map_key(Id, Streams) ->
            ok = hornbeam_http2_stream:gone(maps:get(Id, Streams)),
            drop(Id, ended, Conn);
        Conn -> Conn
    end.

%% The client has done something to a stream that it may not.
wrong(Id, Code, Now, Conn0) ->
    case reset_counted(Now, Conn0) of
        #conn{phase = linger} = Conn -> Conn;
        Conn -> reset(Id, Code, Conn)
    end.

reset_counted(Now, #conn{resets = Resets} = Conn) ->
    case hornbeam_http2_rate:count(Now, Resets) of
        over -> fail(enhance_your_calm, Conn);
        Counted -> Conn#conn{resets = Counted}
    end.

%%% DATA

%% That of the connection never closes.
window(Size, #conn{window = Window} = Conn) when Window - Size < ?MAX_WINDOW div 2 ->
    say(cow_http2:window_update(?MAX_WINDOW - Window + Size), Conn#conn{window = ?MAX_WINDOW});
window(Size, #conn{window = Window} = Conn) ->
    Conn#conn{window = Window - Size}.

data(Id, IsFin, Data, Size, Now, #conn{streams = Streams, slack = Slack} = Conn0) ->
    Conn = case IsFin =:= nofin andalso Data =:= <<>> of true -> empty(Now, Conn0); false -> Conn0 end,
    case Streams of
        _ when Conn#conn.phase =:= linger ->
            Conn;
        #{Id := Stream} ->
            case hornbeam_http2_stream:data(IsFin, Data, Size, Slack, Now, Stream) of
                {error, Code} -> wrong(Id, Code, Now, Conn);
                Actions -> act(Id, Actions, Conn)
            end;
        _ ->
            opened(Id, fun() -> late(Id, stream_closed, Conn) end, Conn)
    end.

%% 5.1: what comes for a stream that has ended was on its way when it was reset, or should not have been sent.
late(Id, Code, #conn{ended = {New, Old}} = Conn) ->
    case {New, Old} of
        {#{Id := reset}, _} -> Conn;
        {_, #{Id := reset}} -> Conn;
        {#{Id := ended}, _} -> fail(stream_closed, Conn);
        {_, #{Id := ended}} -> fail(stream_closed, Conn);
        _ -> fail(Code, Conn)
    end.

%%% HEADERS

block(_Id, _IsFin, _IsLast, Block, _Now, #conn{settings = #{max_head_size := Max}} = Conn) when byte_size(Block) > Max, byte_size(Block) > ?FRAME ->
    fail(enhance_your_calm, Conn);
block(Id, IsFin, head_nofin, Block, _Now, Conn) ->
    Conn#conn{block = {Id, IsFin, Block}};
block(Id, IsFin, head_fin, Block, Now, #conn{codec = Codec0, settings = #{max_head_size := Max, max_request_line := MaxLine}} = Conn) ->
    %% A copy: what of it stays in the table keeps no more alive than it.
    case hornbeam_http2_fields:decode(binary:copy(Block), Max + MaxLine + ?PSEUDO, Codec0) of
        {Result, Fields, Codec} -> fields(Id, IsFin, Result, Fields, Now, Conn#conn{codec = Codec, head_until = infinity});
        error -> fail(compression_error, Conn)
    end.

fields(Id, IsFin, Result, Fields, Now, #conn{streams = Streams, last = Last, phase = Phase, settings = #{max_streams := Max}} = Conn) ->
    case Streams of
        #{Id := Stream} -> trailers(Id, IsFin, Result, Fields, Stream, Now, Conn);
        _ when Id rem 2 =:= 0 -> fail(protocol_error, Conn);
        _ when Id =< Last -> late(Id, protocol_error, Conn);
        %% 6.8: nobody looks at it.
        _ when Phase =:= closing -> Conn;
        _ when map_size(Streams) >= Max -> wrong(Id, refused_stream, Now, Conn#conn{last = Id});
        _ -> request(Id, IsFin, Result, Fields, Now, Conn#conn{last = Id})
    end.

%% 8.1.
trailers(Id, IsFin, Result, Fields, Stream, Now, Conn) ->
    case hornbeam_http2_stream:is_read(Stream) of
        true -> wrong(Id, stream_closed, Now, Conn);
        false ->
            case IsFin =:= fin andalso Result =:= ok andalso hornbeam_http2_head:is_trailers(Fields) of
                true -> data(Id, fin, <<>>, 0, Now, Conn);
                false -> wrong(Id, protocol_error, Now, Conn)
            end
    end.

request(Id, IsFin, Result, Fields, Now, #conn{settings = Settings, scheme = Scheme, context = #{place := Place} = Context} = Conn) ->
    #{body_timeout := BodyTimeout, body_prefetch := Prefetch} = Settings,
    Window = hornbeam_http2_body:window(Prefetch),
    case hornbeam_http2_head:read(Fields, case IsFin of fin -> 0; nofin -> unknown end, Settings, Place) of
        {ok, Head} when Result =:= ok ->
            begin_stream(Id, Head, hornbeam_http2_stream:open(Id, IsFin, Head#head{scheme = Scheme}, Window, BodyTimeout, Now, Context), Conn);
        {ok, Head} -> begin_stream(Id, Head, hornbeam_http2_stream:refuse(Id, IsFin, header_too_large, Head, Window, Context), Conn);
        {refuse, Reason, Head} -> begin_stream(Id, Head, hornbeam_http2_stream:refuse(Id, IsFin, Reason, Head, Window, Context), Conn);
        malformed -> wrong(Id, protocol_error, Now, Conn)
    end.

begin_stream(Id, #head{length = Length, protocol = Protocol}, {Actions, Stream}, #conn{output = Output, served = Served, fresh = Fresh} = Conn0) ->
    %% `unknown' is more than any number; for a WebSocket it is no body.
    Conn = case Length > ?LARGE_BODY andalso Protocol =:= undefined of true -> large(true, Conn0); false -> Conn0 end,
    act(Id, {Actions, Stream}, Conn#conn{output = hornbeam_http2_output:open(Id, Output), served = Served + 1, until = idle_until(Conn),
                                         fresh = case Length of 0 -> Fresh; _ -> [Id | Fresh] end}).

%% A connection on which something is in progress is not idle; one that leaves has its time.
idle_until(#conn{phase = open}) -> infinity;
idle_until(#conn{until = Until}) -> Until.

%%% What the streams say

act(Id, {Actions, Stream}, #conn{streams = Streams} = Conn) ->
    carry_out(Actions, Id, Conn#conn{streams = Streams#{Id => Stream}}).

carry_out([], _Id, Conn) ->
    Conn;
carry_out([{head, IsFin, Fields} | Rest], Id, #conn{codec = Codec0} = Conn0) ->
    {Bytes, Codec} = hornbeam_http2_fields:encode(Id, IsFin, Fields, Codec0),
    Conn = say(Bytes, Conn0#conn{codec = Codec}),
    case IsFin of
        fin -> over(Id, Conn);
        nofin -> carry_out(Rest, Id, Conn)
    end;
carry_out([{data, Fin, Data} | Rest], Id, #conn{output = Output} = Conn) ->
    carry_out(Rest, Id, hold(Id, Conn#conn{output = hornbeam_http2_output:put(Id, Data, Fin, now_ms(), Output)}));
carry_out([{file, Size, Path} | Rest], Id, #conn{output = Output} = Conn) ->
    case file:open(Path, [read, raw, binary]) of
        {ok, Fd} -> carry_out(Rest, Id, Conn#conn{output = hornbeam_http2_output:put(Id, {file, Fd, 0, Size}, fin, now_ms(), Output)});
        {error, _} -> reset(Id, internal_error, Conn)
    end;
carry_out([{window, Octets} | Rest], Id, Conn) ->
    carry_out(Rest, Id, say(cow_http2:window_update(Id, Octets), Conn));
carry_out([{look, Time} | Rest], Id, Conn) ->
    carry_out(Rest, Id, by(Time, Conn));
carry_out([{reset, Code} | _], Id, Conn) ->
    reset(Id, Code, Conn).

hold(Id, #conn{output = Output, streams = Streams} = Conn) ->
    case hornbeam_http2_output:is_held(Id, Output) of
        true -> Conn#conn{streams = maps:update_with(Id, fun(Stream) -> hornbeam_http2_stream:held(true, Stream) end, Streams)};
        false -> Conn
    end.

%% The response has been sent. A client that has not sent all of its body is told that nobody wants the rest (8.1).
over(Id, #conn{streams = Streams} = Conn) ->
    #{Id := Stream} = Streams,
    ok = hornbeam_http2_stream:gone(Stream),
    case hornbeam_http2_stream:is_read(Stream) of
        true -> drop(Id, ended, Conn);
        false -> drop(Id, reset, say(cow_http2:rst_stream(Id, no_error), Conn))
    end.

reset(Id, Code, #conn{streams = Streams} = Conn0) ->
    Conn = say(cow_http2:rst_stream(Id, Code), Conn0),
    case Streams of
        #{Id := Stream} -> ok = hornbeam_http2_stream:gone(Stream), drop(Id, reset, Conn);
        _ -> remember(Id, reset, Conn)
    end.

drop(Id, How, #conn{streams = Streams, output = Output} = Conn0) ->
    ok = hornbeam_clients:leave(Id),
    Conn = remember(Id, How, Conn0#conn{streams = maps:remove(Id, Streams), output = hornbeam_http2_output:close(Id, Output)}),
    case map_size(Conn#conn.streams) of
        0 -> idle(How, Conn);
        _ -> Conn
    end.

remember(Id, How, #conn{ended = {New, _Old}} = Conn) when map_size(New) >= ?REMEMBERED -> Conn#conn{ended = {#{Id => How}, New}};
remember(Id, How, #conn{ended = {New, Old}} = Conn) -> Conn#conn{ended = {New#{Id => How}, Old}}.

%% Nothing is in progress any more. How: what was last.
idle(ended, #conn{phase = closing} = Conn) ->
    close(Conn);
idle(reset, #conn{phase = closing} = Conn) ->
    linger(Conn);
idle(_How, #conn{phase = open, served = Served, settings = #{max_keepalive := Max}} = Conn) when Served >= Max ->
    leave(large(false, Conn));
idle(_How, #conn{phase = open, settings = #{keepalive_timeout := Time}} = Conn) ->
    large(false, Conn#conn{until = later(now_ms(), Time)});
idle(_How, Conn) ->
    Conn.

%%% Writing

say(_Bytes, #conn{phase = linger} = Conn) -> Conn;
say(Bytes, #conn{out = []} = Conn) -> Conn#conn{out = Bytes};
say(Bytes, #conn{out = Out} = Conn) -> Conn#conn{out = [Out, Bytes]}.

flush(Conn) ->
    write(pump(?TURN, now_ms(), Conn#conn{batch = 0})).

write(#conn{out = []} = Conn) ->
    Conn;
write(#conn{transport = Transport, socket = Socket, out = Out} = Conn) ->
    case Transport:send(Socket, Out) of
        ok -> Conn#conn{out = []};
        {error, _} -> gone(Conn)
    end.

%% What of the streams' output may be sent, up to so many octets.
pump(Left, _Now, Conn) when Left =< 0 ->
    Conn;
pump(Left, Now, #conn{output = Output0} = Conn0) ->
    {Frame, Output} = hornbeam_http2_output:next(Now, Output0),
    Conn = Conn0#conn{output = Output},
    case Frame of
        none -> Conn;
        {data, Id, Bytes, Remains} -> pump(Left - iolist_size(Bytes), Now, sent(Id, Remains, say(Bytes, Conn)));
        {file, Id, IsFin, Fd, Offset, Size, Remains} ->
            case file:pread(Fd, Offset, Size) of
                {ok, Bytes} when byte_size(Bytes) =:= Size ->
                    pump(Left - Size, Now, sent(Id, Remains, say([cow_http2:data_header(Id, IsFin, Size) | Bytes], Conn)));
                %% It has become shorter: the response is not complete.
                _ -> pump(Left, Now, reset(Id, internal_error, Conn))
            end;
        {trailers, Id, Fields} ->
            {Bytes, Codec} = hornbeam_http2_fields:encode(Id, fin, Fields, Conn#conn.codec),
            pump(Left - 1, Now, over(Id, say(Bytes, Conn#conn{codec = Codec})))
    end.

sent(_Id, more, Conn) ->
    Conn;
sent(Id, none, #conn{streams = Streams} = Conn) ->
    Conn#conn{streams = maps:update_with(Id, fun(Stream) -> hornbeam_http2_stream:held(false, Stream) end, Streams)};
sent(Id, ended, Conn) ->
    over(Id, Conn).

%%% The end

%% The server stops.
stop(#conn{phase = linger} = Conn) ->
    Conn;
stop(#conn{streams = Streams, last = Last} = Conn) when map_size(Streams) =:= 0 ->
    close(say(cow_http2:goaway(Last, no_error, <<>>), Conn));
stop(#conn{phase = open} = Conn) ->
    leave(Conn);
stop(Conn) ->
    Conn.

leave(Conn) ->
    Until = now_ms() + ?LEAVE_MS,
    by(Until, say(cow_http2:goaway(?MAX_WINDOW, no_error, <<>>), Conn#conn{phase = leaving, until = Until})).

closing(#conn{last = Last, streams = Streams} = Conn0) ->
    Conn = say(cow_http2:goaway(Last, no_error, <<>>), Conn0#conn{phase = closing, until = infinity}),
    case map_size(Streams) of
        0 -> close(Conn);
        _ -> Conn
    end.

%% The client's fault, and the end of all its streams.
fail(_Code, #conn{phase = linger} = Conn) ->
    Conn;
fail(Code, #conn{last = Last, streams = Streams, output = Output} = Conn) ->
    ok = all_gone(Conn),
    ok = lists:foreach(fun hornbeam_clients:leave/1, maps:keys(Streams)),
    linger(say(cow_http2:goaway(Last, Code, <<>>),
               Conn#conn{streams = #{}, output = lists:foldl(fun hornbeam_http2_output:close/2, Output, maps:keys(Streams)),
                         block = none, head_until = infinity})).

%% Says the last, and waits for the client's end.
linger(Conn0) ->
    #conn{transport = Transport, socket = Socket} = Conn = write(Conn0),
    %% OTP's ssl shuts the sending side down without the alert that has to come first (RFC 8446, 6.1).
    _ = Transport:secure() orelse Transport:shutdown(Socket, write),
    Until = now_ms() + ?LINGER_MS,
    by(Until, Conn#conn{phase = linger, until = Until, buffer = <<>>}).

-spec close(#conn{}) -> no_return().
close(#conn{out = Out, transport = Transport, socket = Socket}) ->
    _ = Out =:= [] orelse Transport:send(Socket, Out),
    _ = Transport:close(Socket),
    exit(normal).

-spec gone(#conn{}) -> no_return().
gone(#conn{transport = Transport, socket = Socket} = Conn) ->
    ok = all_gone(Conn),
    _ = Transport:close(Socket),
    exit(normal).

all_gone(#conn{streams = Streams}) ->
    lists:foreach(fun hornbeam_http2_stream:gone/1, maps:values(Streams)).

%% Nothing of what the arguments of the functions were, which may be secret, is in the line.
-spec crashed(term(), list(), #conn{}) -> no_return().
crashed(Reason, Stack, #conn{transport = Transport, socket = Socket}) ->
    Kind = case is_tuple(Reason) andalso tuple_size(Reason) > 0 of true -> element(1, Reason); false -> Reason end,
    logger:error("an HTTP/2 connection has failed: ~0tP at ~0tp",
                 [Kind, 8, [{M, F, case is_list(A) of true -> length(A); false -> A end, proplists:get_value(line, Where)}
                            || {M, F, A, Where} <- Stack]]),
    _ = Transport:send(Socket, cow_http2:goaway(?MAX_WINDOW, internal_error, <<>>)),
    _ = Transport:close(Socket),
    exit(normal).

%%% Times

by(At, #conn{deadline = Deadline} = Conn) ->
    Conn#conn{deadline = hornbeam_deadline:by(At, Deadline)}.

look(Now, #conn{phase = linger, until = Until} = Conn) when Now >= Until ->
    close(Conn);
look(Now, #conn{phase = leaving, until = Until} = Conn) when Now >= Until ->
    again(Now, closing(Conn));
look(Now, #conn{head_until = Until} = Conn) when Now >= Until ->
    again(Now, fail(enhance_your_calm, Conn));
look(Now, #conn{phase = preface, buffer = <<>>, until = Until} = Conn) when Now >= Until ->
    close(Conn);
look(Now, #conn{last = Last, until = Until} = Conn) when Now >= Until ->
    close(say(cow_http2:goaway(Last, no_error, <<>>), Conn));
look(Now, #conn{streams = Streams} = Conn) ->
    again(Now, maps:fold(fun(Id, _, Acc) -> due(Id, Now, Acc) end, Conn, Streams)).

due(Id, Now, #conn{streams = Streams} = Conn) ->
    case Streams of
        #{Id := Stream} -> act(Id, hornbeam_http2_stream:due(Now, Stream), Conn);
        _ -> Conn
    end.

again(Now, #conn{settings = #{send_timeout := Time}, output = Output} = Conn0) ->
    {Stalled, Earliest} = case Time of
        infinity -> {[], infinity};
        _ -> hornbeam_http2_output:stalled(Now - Time, Output)
    end,
    Conn = lists:foldl(fun(Id, Acc) -> reset(Id, internal_error, Acc) end, Conn0, Stalled),
    Next = maps:fold(fun(_, Stream, Acc) -> min(Acc, hornbeam_http2_stream:next(Stream)) end,
                     min(min(Conn#conn.until, Conn#conn.head_until), later(Earliest, Time)), Conn#conn.streams),
    wait(Now, Next, Conn).

%% Hibernates when nothing has happened since the last time.
wait(Now, Next, #conn{quiet = Quiet, out = Out, output = Output} = Conn) ->
    case Quiet andalso Out =:= [] andalso not hornbeam_http2_output:is_ready(Output) of
        true -> proc_lib:hibernate(?MODULE, wake, [by(Next, Conn)]);
        false -> by(min(Next, Now + ?AWAKE), Conn#conn{quiet = true})
    end.

later(infinity, _Time) -> infinity;
later(_Now, infinity) -> infinity;
later(Now, Time) -> Now + Time.

now_ms() ->
    erlang:monotonic_time(millisecond).

%%% sys

-spec system_continue(pid(), [sys:dbg_opt()], #conn{}) -> no_return().
system_continue(_Parent, _Debug, Conn) -> enter(Conn).

-spec system_terminate(term(), pid(), [sys:dbg_opt()], #conn{}) -> no_return().
system_terminate(_Reason, _Parent, _Debug, Conn) -> enter(stop(Conn)).

-spec system_code_change(#conn{}, module(), term(), term()) -> {ok, #conn{}}.
system_code_change(Conn, _Module, _Old, _Extra) -> {ok, Conn}.

-spec system_get_state(#conn{}) -> {ok, #conn{}}.
system_get_state(Conn) -> {ok, Conn}.
