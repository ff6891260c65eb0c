%%% The socket of an HTTP/1 connection: what is read when, and writes that wait for the client.
%%%
%%% Called by: hornbeam_http1, hornbeam_http1_linger. Calls: Ranch's transports.
%%%
%%% Modes
%%%
%%%     many   up to ?READS messages, each of ?SMALL octets at most, come by themselves: heads of requests, and the client's end while a
%%%            request is in progress. When ?FEW of them are left, as many as have come are asked for: a socket that does not become
%%%            passive is polled by the scheduler itself, one that does by another thread for its next ten messages, which costs a
%%%            twentieth of all CPU of small requests. Single messages cost a third more (a bare loop, 64 connections)
%%%     once   one message: a body, of up to ?LARGE octets at a time, ?HUGE where ?LARGE were all there: the driver holds a buffer of that
%%%            size for each, so a client has to earn it. A connection that has had a body stays with single messages
%%%     off    none. What had come before is at most ?READS small reads, 93 KiB
%%%
%%% That it is passive the socket says in vain: it has been asked for more by then, or is off.
%%%
%%% A write blocks until the socket's queue has room, for send_timeout at most (an option of the listening socket).
-module(hornbeam_http1_socket).

-export([new/2, received/2, watch/1, read/1, pause/1, has_left/2, hand_over/2, half_closed/1, is_half_closed/1]).
-export([send/2, sendfile/2, shutdown/1, close/1, abort/1]).
-export_type([socket/0]).

-record(socket, {
    transport :: module(),
    socket :: inet:socket() | ssl:sslsocket(),
    mode = off :: off | once | pos_integer(),    % how many messages may come of many
    buffer = none :: none | small | large | huge,   % of one read
    next = large :: large | huge,           % of the next of a body
    half_closed = false :: boolean()
}).
-opaque socket() :: #socket{}.

-define(READS, 64).
-define(FEW, 8).
-define(SMALL, 1460).
-define(LARGE, 65536).
-define(HUGE, 262144).
%% Linux: netinet/tcp.h.
-define(IPPROTO_TCP, 6).
-define(TCP_INFO, 11).
-define(CLOSE, 7).
-define(CLOSE_WAIT, 8).

-spec new(module(), inet:socket() | ssl:sslsocket()) -> socket().
new(Transport, Socket) -> #socket{transport = Transport, socket = Socket}.

%% @doc A message with so much data has come.
-spec received(Size :: non_neg_integer(), socket()) -> socket().
received(Size, #socket{mode = once} = Socket) when Size >= ?LARGE -> Socket#socket{mode = off, next = huge};
received(_Size, #socket{mode = once} = Socket) -> Socket#socket{mode = off, next = large};
received(_Size, #socket{mode = off} = Socket) -> Socket;
received(_Size, #socket{mode = Left} = Socket) when Left > ?FEW + 1 -> Socket#socket{mode = Left - 1};
received(_Size, Socket) -> set([{active, ?READS - ?FEW}], Socket#socket{mode = ?READS}).

%% @doc Heads, and the client's end.
-spec watch(socket()) -> socket().
watch(#socket{mode = Mode} = Socket) when Mode =/= off -> Socket;
watch(#socket{buffer = small} = Socket) -> set([{active, ?READS}], Socket#socket{mode = ?READS});
watch(#socket{buffer = none} = Socket) -> set([{active, ?READS}, {buffer, ?SMALL}], Socket#socket{mode = ?READS, buffer = small});
watch(Socket) -> read(Socket#socket{next = large}).

%% @doc A piece of a body.
-spec read(socket()) -> socket().
read(#socket{mode = once} = Socket) -> Socket;
read(#socket{buffer = Size, next = Size} = Socket) -> set([{active, once}], Socket#socket{mode = once});
read(#socket{next = large} = Socket) -> set([{active, once}, {buffer, ?LARGE}], Socket#socket{mode = once, buffer = large});
read(#socket{next = huge} = Socket) -> set([{active, once}, {buffer, ?HUGE}], Socket#socket{mode = once, buffer = huge}).

-spec pause(socket()) -> socket().
pause(#socket{mode = off} = Socket) -> Socket;
pause(Socket) -> set([{active, false}], Socket#socket{mode = off}).

set(Options, #socket{transport = Transport, socket = Raw} = Socket) ->
    case Transport:setopts(Raw, Options) of
        ok -> Socket;
        %% It has been closed meanwhile, and perhaps nobody has been told.
        {error, _} -> self() ! {tcp_closed, Raw}, Socket
    end.

%% @doc Whether the client has gone without the socket's saying so, because it is not read. HalfClose: one that has ended its side only may
%% still wait. The kernel's state of the connection tells of an end behind octets that nobody has read, on Linux and with TCP; elsewhere, or
%% where the client had more to send than the kernel takes, its end is seen by the next that is read or written. It costs 7 us.
-spec has_left(socket(), HalfClose :: boolean()) -> boolean().
has_left(#socket{mode = off, transport = Transport, socket = Raw}, HalfClose) ->
    os:type() =:= {unix, linux} andalso
        case Transport:getopts(Raw, [{raw, ?IPPROTO_TCP, ?TCP_INFO, 1}]) of
            {ok, [{raw, _, _, <<?CLOSE_WAIT>>}]} -> not HalfClose;
            {ok, [{raw, _, _, <<State>>}]} -> State =:= ?CLOSE;
            {ok, []} -> false;              % no TCP
            {error, _} -> true
        end;
has_left(_Socket, _HalfClose) ->
    false.

%% @doc Gives the socket, passive, to another protocol. What has been read of it (Read, and what has come since) comes to it as one message, and
%% behind it the end, if that has come.
-spec hand_over(Read :: binary(), socket()) -> {module(), inet:socket() | ssl:sslsocket()}.
hand_over(Read, #socket{transport = Transport, socket = Raw} = Socket) ->
    _ = Transport:setopts(Raw, [{active, false}]),
    {Data, End} = unhandled(Transport:messages(), Read, Socket),
    _ = Data =:= <<>> orelse (self() ! {element(1, Transport:messages()), Raw, Data}),
    _ = End =:= none orelse (self() ! End),
    {Transport, Raw}.

unhandled({Ok, Closed, Error, Passive} = Tags, Read, #socket{socket = Raw, half_closed = HalfClosed} = Socket) ->
    receive
        {Ok, Raw, Data} -> unhandled(Tags, <<Read/binary, Data/binary>>, Socket);
        {Passive, Raw} -> unhandled(Tags, Read, Socket);
        {Closed, Raw} = End -> {Read, End};
        {Error, Raw, _} = End -> {Read, End}
    after 0 ->
        {Read, case HalfClosed of true -> {Closed, Raw}; false -> none end}
    end.

%% @doc The client has shut down its sending side, and may wait for a response.
-spec half_closed(socket()) -> socket().
half_closed(Socket) -> Socket#socket{half_closed = true, mode = off}.

-spec is_half_closed(socket()) -> boolean().
is_half_closed(#socket{half_closed = HalfClosed}) -> HalfClosed.

-spec send(socket(), iodata()) -> ok | {error, term()}.
send(#socket{transport = Transport, socket = Raw}, Data) ->
    Transport:send(Raw, Data).

%% @doc Parts of files and octets between them; an error when a file has become shorter. One that is open is closed.
-spec sendfile(socket(), [hornbeam_exchange:piece()]) -> ok | {error, term()}.
sendfile(#socket{transport = Transport, socket = Raw}, Pieces) -> hornbeam_http1_sendfile:send(Transport, Raw, Pieces).

%% @doc Nothing more will be written; what was written arrives. With TLS the client is told when the connection is closed: OTP's ssl
%% shuts the sending side down without the alert that has to come first (RFC 8446, 6.1).
-spec shutdown(socket()) -> ok.
shutdown(#socket{transport = Transport, socket = Raw}) ->
    _ = Transport:secure() orelse Transport:shutdown(Raw, write),
    ok.

-spec close(socket()) -> ok.
close(#socket{transport = Transport, socket = Raw}) ->
    _ = Transport:close(Raw),
    ok.

%% @doc Ends the connection so that the client sees that there should be more: a reset; with TLS an end without the alert that says that it
%% is meant (RFC 8446, 6.1), which is what a half-close by OTP's ssl is.
-spec abort(socket()) -> ok.
abort(#socket{transport = Transport, socket = Raw}) ->
    _ = case Transport:secure() of
        true -> Transport:shutdown(Raw, write);
        false -> Transport:setopts(Raw, [{linger, {true, 0}}])
    end,
    _ = Transport:close(Raw),
    ok.
