%%% One HTTP/1 connection: the process that holds the client's socket (RFC 9112).
%%%
%%% Called by: hornbeam_connection (start/1), when the socket is there and HTTP/1 is what it speaks. Calls: hornbeam_http1_head and
%%% hornbeam_http1_body (bytes to requests), hornbeam_exchange (a request to its response), hornbeam_http1_response (responses to bytes),
%%% hornbeam_http1_socket, hornbeam_http1_times, hornbeam_http1_linger; hornbeam_websocket takes the process over after a handshake,
%%% hornbeam_http2 after its preface.
%%%
%%% Phases
%%%
%%%     idle ──first byte──▶ head ──complete──▶ request ──response complete──▶ idle, the next head,
%%%                           │  │                │    │                        drain or linger
%%%         HTTP/2 ◀──preface─┘  │ refused, 408   │    └──WebSocket──▶ hornbeam_websocket
%%%                              ▼                ▼
%%%                            linger            cut: closed in the middle
%%%
%%%   request  one at a time: what is pipelined behind it waits unread, so that answers come in order, methods that are not safe do not
%%%            overtake each other, and nothing piles up
%%%   drain    the response is complete; what is left of the request's body is read and dropped, up to ?MAX_DRAIN octets, so that
%%%            the connection can go on
%%%   linger   the last response is written (hornbeam_http1_linger). Not after a request that said "close", which nothing may follow
%%%
%%% Messages: from the socket; {{self(), N}, Event} of the Nth request (hornbeam_exchange; those of earlier ones are late and dropped);
%%% {timeout, _, deadline}; {system, _, {terminate, _}} from hornbeam_listener: end after the response in progress.
%%%
%%% Back-pressure is not reading. While a request is in progress the socket is left to report the client's end; the first octets that come
%%% make it passive (hornbeam_http1_socket says how much can have come by then), and from then on the end is asked for, each time that the
%%% timer fires. A body is read as the application takes it. Writing waits for the client, for send_timeout at most.
%%%
%%% Times. keepalive_timeout: idle, closed without a word. header_timeout: from the first octet of a head to its last, 408. body_timeout: no
%%% octet of a body that is being waited for, 408, or cut; not while the client itself waits for 100 (Continue). `timeout', queue_timeout:
%%% hornbeam_request's. All are one timer (hornbeam_http1_times), which fires while the connection is awake. One that has had no request since
%%% it fired last then hibernates, and each after its first response.
%%%
%%% Failure: a crash here is one client's; the worker's sweep tells the application.
-module(hornbeam_http1).

-export([start/1, loop/1]).
-export([system_continue/3, system_terminate/4, system_code_change/4, system_get_state/1]).
-export_type([settings/0]).

-include("hornbeam_head.hrl").

-type settings() :: #{keepalive_timeout := timeout(), header_timeout := timeout(), body_timeout := timeout(),
                      max_requests := pos_integer() | infinity, half_close := boolean(), parser := hornbeam_http1_head:parser()}.

-record(conn, {
    %% For the life of the connection:
    parent :: pid(),
    settings :: settings(),
    context :: hornbeam_exchange:context(),
    scheme :: binary(),
    times = hornbeam_http1_times:new() :: hornbeam_http1_times:times(),
    socket :: hornbeam_http1_socket:socket(),
    parser :: hornbeam_http1_head:parser(),
    buffer = <<>> :: binary(),              % read, and not looked at yet
    http2 = none :: none | fun(() -> no_return()),  % before the first request: what a preface begins
    served = 0 :: non_neg_integer(),
    looked = 0 :: non_neg_integer(),        % what had been served when the timer fired last, or it went to sleep
    stopping = false :: boolean(),          % no further request
    phase = idle :: idle | head | request | drain,
    %% The request in progress:
    exchange :: hornbeam_exchange:exchange() | undefined,
    response :: hornbeam_http1_response:response() | undefined,
    body = none :: none | hornbeam_http1_body:body(),
    expects = false :: boolean(),           % the client waits for 100 (Continue)
    last = false :: boolean(),              % the client has said that it is the last one
    flow = 0 :: non_neg_integer(),          % octets of the body that may be read
    dropped = 0 :: non_neg_integer()        % in drain
}).

-define(MAX_DRAIN, 1000000).
%% A connection that has so many requests between two looks of the timer gets a heap (words) in which several find room: each collection costs a
%% tenth of a request. Of thousands that share the processors none is that busy, and their heaps would not find room in the cache. While it
%% hibernates it has none. And of the others each collection is a whole one: what a request has left behind would else be kept with what has lived
%% longer, without end, 40 KB for each of 2,048 connections in place of 14. The heap is so small that it costs no more.
-define(BUSY, 16).
-define(BUSY_HEAP, 4000).
-define(HEAP, 233).
-define(SELDOM, 65535).
-define(TIDY, 1500).

%% @doc Serves the connection until it ends; the calling process becomes it.
-spec start(#{parent := pid(), transport := module(), socket := term(), settings := settings(), http2 := none | fun(() -> no_return()),
              context := hornbeam_exchange:context()}) -> no_return().
start(#{parent := Parent, transport := Transport, socket := Socket, settings := #{parser := Parser} = Settings, http2 := Http2,
        context := Context}) ->
    Scheme = case Transport:secure() of true -> <<"https">>; false -> <<"http">> end,
    Conn = #conn{parent = Parent, settings = Settings, context = Context, scheme = Scheme, parser = Parser, http2 = Http2,
                 socket = hornbeam_http1_socket:new(Transport, Socket)},
    ok = heap(?HEAP, 0),
    loop(await(within(keepalive_timeout, Conn))).

%% The least size, and how many collections look at new data alone before one looks at all.
heap(Words, Partly) ->
    _ = process_flag(min_heap_size, Words),
    _ = process_flag(fullsweep_after, Partly),
    ok.

%%% The loop

-spec loop(#conn{}) -> no_return().
loop(Conn) ->
    receive
        Message -> loop(handle(Message, Conn))
    end.

handle({tcp, _, Data}, Conn) -> received(Data, Conn);
handle({{_, N}, Event}, #conn{served = N, phase = request} = Conn) -> progress(event(Event, Conn));
handle({ssl, _, Data}, Conn) -> received(Data, Conn);
handle({timeout, Ref, deadline}, #conn{times = Times0} = Conn) ->
    case hornbeam_http1_times:fired(Ref, Times0) of
        {Over, Times} -> look(Over, Conn#conn{times = Times});
        stale -> Conn
    end;
handle({Closed, _}, Conn) when Closed =:= tcp_closed; Closed =:= ssl_closed -> closed(Conn);
handle({Error, _, _}, Conn) when Error =:= tcp_error; Error =:= ssl_error -> gone(Conn);
handle({system, _From, {terminate, _}}, Conn) -> stop(Conn);
handle({system, From, Request}, #conn{parent = Parent} = Conn) ->
    sys:handle_system_msg(Request, From, Parent, ?MODULE, [], Conn);
handle({'EXIT', Parent, Reason}, #conn{parent = Parent, exchange = Exchange}) ->
    _ = Exchange =:= undefined orelse hornbeam_exchange:gone(Exchange),
    exit(Reason);
handle(_Late, Conn) ->
    Conn.

%%% What the client sends

received(Data, #conn{socket = Socket} = Conn) ->
    took(Data, socket(hornbeam_http1_socket:received(byte_size(Data), Socket), Conn)).

took(Data, #conn{phase = idle} = Conn) -> head(Data, Conn);
took(Data, #conn{phase = head} = Conn) -> head(Data, Conn);
took(Data, #conn{phase = request, buffer = <<>>} = Conn) -> await(body(Conn#conn{buffer = Data}));
took(Data, #conn{phase = request, buffer = Buffer} = Conn) -> await(body(Conn#conn{buffer = <<Buffer/binary, Data/binary>>}));
took(Data, #conn{phase = drain} = Conn) -> drain(Data, Conn).

head(Data, #conn{parser = Parser0, phase = Phase} = Conn) ->
    case hornbeam_http1_head:feed(Data, Parser0) of
        {ok, Head, Rest, Parser} ->
            request(Head, Rest, Parser, Conn);
        {more, Parser} ->
            case hornbeam_http1_head:is_begun(Parser) of
                true when Phase =:= idle -> await(within(header_timeout, Conn#conn{parser = Parser, phase = head}));
                _ -> await(Conn#conn{parser = Parser})
            end;
        {http2, Bytes} ->
            http2(Bytes, Conn);
        {refuse, Reason} ->
            refuse(Reason, Conn)
    end.

http2(Bytes, #conn{http2 = Http2, socket = Socket, times = Times}) when Http2 =/= none ->
    ok = hornbeam_http1_times:cancel(Times),
    _ = hornbeam_http1_socket:hand_over(Bytes, Socket),
    ok = heap(?HEAP, ?SELDOM),
    Http2();
http2(_Bytes, Conn) ->
    refuse(http_version, Conn).

%% What follows a head that is not understood is nothing but octets without an end.
refuse(Reason, #conn{context = #{place := Place, defaults := Defaults} = Context} = Conn) ->
    {Peer, Sock} = hornbeam_scope:ends(Place),
    Head = #head{method = <<>>, path = <<>>, version = 'HTTP/1.1', peer = Peer, sock = Sock},
    commands(hornbeam_exchange:refuse(Reason, Head, Context),
             Conn#conn{phase = request, exchange = undefined, buffer = <<>>, body = hornbeam_http1_body:new(unknown),
                       response = hornbeam_http1_response:new(Head, false, Defaults)}).

%%% A request

request(Head0, Rest, Parser, #conn{settings = #{max_requests := Max}, context = #{place := Place, defaults := Defaults} = Context, served = Served0,
                                   scheme = Scheme, stopping = Stopping, socket = Socket, times = Times} = Conn0) ->
    Served = Served0 + 1,
    {Peer, Sock} = hornbeam_scope:ends(Place),
    #head{length = Length, persistent = Persistent, expect = Expect} = Head = Head0#head{peer = Peer, sock = Sock, scheme = Scheme},
    GoesOn = Persistent andalso Served < Max andalso not Stopping
             andalso (Rest =/= <<>> orelse not hornbeam_http1_socket:is_half_closed(Socket)),
    {Commands, Exchange} = hornbeam_exchange:open(Head, {self(), Served}, Context),
    Conn = Conn0#conn{parser = Parser, http2 = none, served = Served, phase = request, times = hornbeam_http1_times:no_limit(Times), buffer = Rest,
                      exchange = Exchange, last = not Persistent, response = hornbeam_http1_response:new(Head, GoesOn, Defaults)},
    case Length of
        0 -> await(commands(Commands, Conn));
        _ -> await(submit(body(commands(Commands, Conn#conn{body = hornbeam_http1_body:new(Length), flow = 0, dropped = 0,
                                                           expects = Expect =:= continue}))))
    end.

%% What of the body came together with the head has been given; the rest is not waited for.
submit(#conn{phase = request, exchange = Exchange} = Conn) ->
    case hornbeam_exchange:is_gathering(Exchange) of
        true -> event(submit, Conn);
        false -> Conn
    end;
submit(Conn) ->
    Conn.

%% Gives the application what has been read, if it may have more.
body(#conn{phase = request, body = Body0, buffer = Buffer, flow = Flow} = Conn0) when Body0 =/= none, Flow > 0, Buffer =/= <<>> ->
    Conn = Conn0#conn{expects = false},
    case hornbeam_http1_body:feed(Buffer, Body0) of
        {more, [], Body} ->
            Conn#conn{buffer = <<>>, body = Body};
        {more, Data, Body} ->
            event({body, nofin, Data}, Conn#conn{buffer = <<>>, body = Body, flow = max(0, Flow - iolist_size(Data))});
        {done, Data, Rest} ->
            event({body, fin, Data}, body_time(infinity, Conn#conn{buffer = Rest, body = none}));
        {refuse, Reason} ->
            event({body_failed, Reason}, Conn#conn{buffer = <<>>, flow = 0, response = hornbeam_http1_response:close(Conn#conn.response)})
    end;
body(Conn) ->
    Conn.

event(Event, #conn{exchange = Exchange0} = Conn) ->
    {Commands, Exchange} = hornbeam_exchange:event(Event, Exchange0),
    commands(Commands, Conn#conn{exchange = Exchange}).

%%% What the exchange says

commands(Commands, Conn) ->
    commands(Commands, [], Conn).

%% Out: what is to be written, in one write.
commands([], [], Conn) ->
    Conn;
commands([], Out, Conn) ->
    write(Out, Conn);
commands([done | Rest], Out, Conn) ->
    [] = Rest,
    complete(commands([], Out, Conn));
commands([{read, Octets} | Rest], Out, #conn{flow = Flow} = Conn) ->
    commands(Rest, Out, Conn#conn{flow = Flow + Octets});
commands([{timer, Name, Time} | Rest], Out, #conn{times = Times} = Conn) ->
    commands(Rest, Out, Conn#conn{times = hornbeam_http1_times:limit(Name, Time, Times)});
commands([cancel_timer | Rest], Out, #conn{times = Times} = Conn) ->
    commands(Rest, Out, Conn#conn{times = hornbeam_http1_times:no_limit(Times)});
commands([close | Rest], Out, #conn{response = Response} = Conn) ->
    commands(Rest, Out, Conn#conn{response = hornbeam_http1_response:close(Response)});
commands([cut | _], Out, Conn) ->
    cut(commands([], Out, Conn));
commands([{upgrade, Accepted} | _], Out, Conn) ->
    upgrade(Accepted, commands([], Out, Conn));
commands([Command | Rest], Out, Conn0) ->
    #conn{response = Response0} = Conn = before(Command, Conn0),
    case hornbeam_http1_response:encode(Command, Response0) of
        {{file, Head, Pieces}, Response} -> commands(Rest, [], file([Out | Head], Pieces, Conn#conn{response = Response}));
        {Bytes, Response} -> commands(Rest, join(Out, Bytes), Conn#conn{response = Response})
    end.

join([], Bytes) -> Bytes;
join(Out, Bytes) -> [Out | Bytes].

%% The head of a response says whether the connection goes on: not if the rest of the request's body would be too long to read, or
%% may never come because the client waits for 100 (RFC 9110, 10.1.1).
before({inform, 100, _}, Conn) ->
    Conn#conn{expects = false};
before({Head, _, _, _}, Conn) when Head =:= start -> before_head(Conn);
before({reply, _, _, _, _}, Conn) -> before_head(Conn);
before(_Command, Conn) -> Conn.

before_head(#conn{body = none} = Conn) ->
    Conn;
before_head(#conn{body = Body, expects = Expects, response = Response} = Conn) ->
    case not Expects andalso hornbeam_http1_body:left(Body) of
        unknown -> Conn;
        Left when is_integer(Left), Left =< ?MAX_DRAIN -> Conn;
        _ -> Conn#conn{response = hornbeam_http1_response:close(Response)}
    end.

write(Bytes, #conn{socket = Socket} = Conn) ->
    case hornbeam_http1_socket:send(Socket, Bytes) of
        ok -> Conn;
        {error, _} -> gone(Conn)
    end.

%% A file that has become shorter leaves a response that is not complete.
file(Head, Pieces, #conn{socket = Socket} = Conn0) ->
    Conn = write(Head, Conn0),
    case hornbeam_http1_socket:sendfile(Socket, Pieces) of
        ok -> Conn;
        {error, _} -> gone(Conn)
    end.

upgrade(Accepted, #conn{parent = Parent, socket = Socket, buffer = Buffer, times = Times, context = #{defaults := Defaults}} = Conn) ->
    {Headers, Handover} = hornbeam_websocket_handshake:handover(Accepted, self()),
    Own = [{<<"connection">>, <<"Upgrade">>}, {<<"upgrade">>, <<"websocket">>},
           {<<"sec-websocket-accept">>, hornbeam_websocket_handshake:key(Accepted)}],
    _ = write(hornbeam_http1_reply:switch(Own, Headers, Defaults), Conn),
    ok = hornbeam_http1_times:cancel(Times),
    ok = hornbeam_date:forget(),
    {Transport, Raw} = hornbeam_http1_socket:hand_over(Buffer, Socket),
    ok = heap(?HEAP, ?SELDOM),
    hornbeam_websocket:takeover(Parent, Raw, Transport, Handover).

%%% After a response

complete(#conn{body = none} = Conn) ->
    next(Conn);
complete(#conn{response = Response, buffer = Buffer} = Conn) ->
    case hornbeam_http1_response:is_persistent(Response) of
        true -> drain(Buffer, within(keepalive_timeout, body_time(infinity, Conn#conn{phase = drain, exchange = undefined, buffer = <<>>,
                                                                                      dropped = 0})));
        false -> linger(Conn)
    end.

drain(Data, #conn{body = Body0, dropped = Dropped} = Conn) ->
    case hornbeam_http1_body:feed(Data, Body0) of
        {more, _, Body} when Dropped + byte_size(Data) =< ?MAX_DRAIN ->
            await(Conn#conn{body = Body, dropped = Dropped + byte_size(Data)});
        {done, _, Rest} ->
            next(Conn#conn{body = none, buffer = Rest});
        _ ->
            linger(Conn)
    end.

next(#conn{response = Response, buffer = Buffer, stopping = Stopping, last = Last, served = Served} = Conn) ->
    case hornbeam_http1_response:is_persistent(Response) andalso not Stopping of
        false when Last, Buffer =:= <<>> -> close(Conn);
        false -> linger(Conn);
        true ->
            Idle = within(keepalive_timeout, Conn#conn{phase = idle, response = undefined, exchange = undefined, buffer = <<>>}),
            case Buffer of
                %% Many connections that open at once and have little to say: each gives back what it began with before the next comes.
                <<>> when Served =:= 1 -> sleep(await(Idle));
                <<>> -> await(Idle);
                _ -> head(Buffer, Idle)
            end
    end.

%% With TLS only close/1 tells the client of the end: where that is the end of the body, it comes at once.
-spec linger(#conn{}) -> no_return().
linger(#conn{parent = Parent, socket = Socket, response = Response, scheme = Scheme} = Conn) ->
    Waits = Scheme =:= <<"https">> andalso hornbeam_http1_response:is_close_delimited(Response),
    case Waits orelse hornbeam_http1_socket:is_half_closed(Socket) of
        true -> close(Conn);
        false -> hornbeam_http1_linger:start(Parent, Socket)
    end.

-spec close(#conn{}) -> no_return().
close(#conn{socket = Socket}) ->
    ok = hornbeam_http1_socket:close(Socket),
    exit(normal).

%% The client must see that the response is not complete: the end in the middle of a chunk or of the length says so; where the end of the
%% connection is the end of the body only a reset does.
-spec cut(#conn{}) -> no_return().
cut(#conn{socket = Socket, response = Response} = Conn) ->
    case hornbeam_http1_response:is_close_delimited(Response) of
        true ->
            ok = hornbeam_http1_socket:abort(Socket),
            exit(normal);
        false ->
            close(Conn)
    end.

-spec gone(#conn{}) -> no_return().
gone(#conn{exchange = Exchange} = Conn) ->
    _ = Exchange =:= undefined orelse hornbeam_exchange:gone(Exchange),
    close(Conn).

%% The client sends no more.
closed(#conn{phase = request, socket = Socket} = Conn) ->
    case may_half_close(Conn) of
        true -> await(socket(hornbeam_http1_socket:half_closed(Socket), Conn));
        false -> gone(Conn)
    end;
closed(Conn) ->
    gone(Conn).

%% Whether it may still wait for what it has asked for.
may_half_close(#conn{settings = #{half_close := HalfClose}, scheme = Scheme}) -> HalfClose andalso Scheme =:= <<"http">>.

%% The server stops.
stop(#conn{phase = request, response = Response} = Conn) ->
    Conn#conn{stopping = true, response = hornbeam_http1_response:close(Response)};
stop(Conn) ->
    close(Conn).

%%% Reading, and how long it may take

%% A client that may end its side is not listened to: OTP fails a write that waits when it hears of the end.
await(#conn{phase = request, body = none, buffer = <<>>, socket = Socket} = Conn) ->
    case may_half_close(Conn) of
        false -> socket(hornbeam_http1_socket:watch(Socket), Conn);
        true -> socket(hornbeam_http1_socket:pause(Socket), Conn)
    end;
await(#conn{phase = request, body = Body, flow = Flow, socket = Socket} = Conn) when Body =/= none, Flow > 0 ->
    case hornbeam_http1_socket:is_half_closed(Socket) of
        false -> read_body(socket(hornbeam_http1_socket:read(Socket), Conn));
        true -> gone(Conn)
    end;
await(#conn{phase = request, socket = Socket} = Conn) ->
    body_time(infinity, socket(hornbeam_http1_socket:pause(Socket), Conn));
await(#conn{phase = Phase, socket = Socket} = Conn) ->
    case hornbeam_http1_socket:is_half_closed(Socket) of
        true -> close(Conn);
        false when Phase =:= drain -> socket(hornbeam_http1_socket:read(Socket), Conn);
        false -> socket(hornbeam_http1_socket:watch(Socket), Conn)
    end.

%% Mostly nothing has changed.
socket(Socket, #conn{socket = Socket} = Conn) -> Conn;
socket(Socket, Conn) -> Conn#conn{socket = Socket}.

read_body(#conn{expects = true} = Conn) -> body_time(infinity, Conn);
read_body(#conn{settings = #{body_timeout := Time}} = Conn) -> body_time(Time, Conn).

body_time(Time, #conn{times = Times} = Conn) ->
    Conn#conn{times = hornbeam_http1_times:body(Time, Times)}.

within(Name, #conn{settings = Settings, times = Times} = Conn) ->
    #{Name := Time} = Settings,
    Conn#conn{times = hornbeam_http1_times:limit(Name, Time, Times)}.

look(none, #conn{phase = idle, served = Served, looked = Served} = Conn) ->
    sleep(Conn);
look(none, #conn{phase = Phase, socket = Socket, times = Times, served = Served, looked = Looked} = Conn0) ->
    ok = case Served - Looked >= ?BUSY of true -> heap(?BUSY_HEAP, ?SELDOM); false -> heap(?HEAP, 0) end,
    _ = Phase =:= request andalso Served =:= Looked andalso tidy(process_info(self(), total_heap_size)),
    Conn = Conn0#conn{looked = Served},
    case Phase =:= request andalso hornbeam_http1_socket:has_left(Socket, may_half_close(Conn)) of
        true -> gone(Conn);
        false -> Conn#conn{times = hornbeam_http1_times:awake(Times)}
    end;
look(_Over, #conn{phase = head} = Conn) ->
    refuse(header_timeout, Conn);
look({limit, Name}, #conn{phase = request} = Conn) ->
    progress(event({timeout, Name}, Conn));
look(body, #conn{phase = request} = Conn) ->
    progress(event({body_failed, body_timeout}, Conn));
look(_Over, Conn) ->
    close(Conn).

%% A response that goes on for long, of events perhaps: what its request has left behind goes, and 25 KB of memory become 9.
tidy({total_heap_size, Words}) -> Words > ?TIDY andalso erlang:garbage_collect().

-spec sleep(#conn{}) -> no_return().
sleep(#conn{times = Times, parser = Parser, served = Served, settings = #{parser := New}} = Conn) ->
    ok = hornbeam_date:forget(),
    proc_lib:hibernate(?MODULE, loop, [Conn#conn{times = hornbeam_http1_times:asleep(Times), looked = Served,
                                                 parser = hornbeam_http1_head:forget(Parser, New)}]).

progress(#conn{body = none} = Conn) -> Conn;
progress(#conn{phase = request} = Conn) -> await(body(Conn));
progress(Conn) -> Conn.

%%% sys

-spec system_continue(pid(), [sys:dbg_opt()], #conn{}) -> no_return().
system_continue(_Parent, _Debug, Conn) -> loop(Conn).

-spec system_terminate(term(), pid(), [sys:dbg_opt()], #conn{}) -> no_return().
system_terminate(_Reason, _Parent, _Debug, Conn) -> loop(stop(Conn)).

-spec system_code_change(#conn{}, module(), term(), term()) -> {ok, #conn{}}.
system_code_change(Conn, _Module, _Old, _Extra) -> {ok, Conn}.

-spec system_get_state(#conn{}) -> {ok, #conn{}}.
system_get_state(Conn) -> {ok, Conn}.
