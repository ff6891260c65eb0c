%%% The socket of an HTTP/1 connection: what is read when, and writes that wait for the client.
%%%
%%% Called by: hornbeam_http1. Calls: Ranch's transports.
%%%
%%% Modes
%%%
%%%     many   up to ?READS messages, each of ?SMALL octets at most, come by themselves: heads of requests, and the client's end while a
%%%            request is in progress. A socket that is not made passive for a while is polled by the scheduler itself: 9.8 us of CPU a
%%%            request, where 10 messages at a time took 11.7 and single ones 13.3 (a bare loop, 64 connections)
%%%     once   one message: a body, of up to ?LARGE octets at a time. A connection that has had a body stays with single messages
%%%     off    none. What had come before is at most ?READS small reads, 93 KiB
%%%
%%% A write blocks until the socket's queue has room, for send_timeout at most (an option of the listening socket).
-module(hornbeam_http1_socket).

-export([new/2, raw/1, received/1, is_passive/1, watch/1, peek/1, read/1, pause/1, settle/1, half_closed/1, is_half_closed/1]).
-export([send/2, sendfile/3, shutdown/1, close/1, abort/1]).
-export_type([socket/0]).

-record(socket, {
    transport :: module(),
    socket :: inet:socket() | ssl:sslsocket(),
    mode = off :: off | once | many,
    buffer = none :: none | small | large,  % of one read
    half_closed = false :: boolean()
}).
-opaque socket() :: #socket{}.

-define(READS, 64).
-define(SMALL, 1460).
-define(LARGE, 65536).

-spec new(module(), inet:socket() | ssl:sslsocket()) -> socket().
new(Transport, Socket) -> #socket{transport = Transport, socket = Socket}.

-spec raw(socket()) -> {module(), inet:socket() | ssl:sslsocket()}.
raw(#socket{transport = Transport, socket = Socket}) -> {Transport, Socket}.

%% @doc A message with data has come.
-spec received(socket()) -> socket().
received(#socket{mode = once} = Socket) -> Socket#socket{mode = off};
received(Socket) -> Socket.

%% @doc The socket has said that it sends no more messages. It says so late, after a mode has been set anew, in vain.
-spec is_passive(socket()) -> socket().
is_passive(#socket{mode = many} = Socket) -> Socket#socket{mode = off};
is_passive(Socket) -> Socket.

%% @doc Heads, and the client's end.
-spec watch(socket()) -> socket().
watch(#socket{mode = Mode} = Socket) when Mode =/= off -> Socket;
watch(#socket{half_closed = true} = Socket) -> Socket;
watch(#socket{buffer = small} = Socket) -> set([{active, ?READS}], Socket#socket{mode = many});
watch(#socket{buffer = large} = Socket) -> set([{active, once}], Socket#socket{mode = once});
watch(Socket) -> set([{active, ?READS}, {buffer, ?SMALL}], Socket#socket{mode = many, buffer = small}).

%% @doc The first octets of a connection, which tell its protocol.
-spec peek(socket()) -> socket().
peek(#socket{mode = once} = Socket) -> Socket;
peek(Socket) -> set([{active, once}, {buffer, ?SMALL}], Socket#socket{mode = once, buffer = small}).

%% @doc A piece of a body.
-spec read(socket()) -> socket().
read(#socket{mode = once} = Socket) -> Socket;
read(#socket{buffer = large} = Socket) -> set([{active, once}], Socket#socket{mode = once});
read(Socket) -> set([{active, once}, {buffer, ?LARGE}], Socket#socket{mode = once, buffer = large}).

-spec pause(socket()) -> socket().
pause(#socket{mode = off} = Socket) -> Socket;
pause(Socket) -> set([{active, false}], Socket#socket{mode = off}).

set(Options, #socket{transport = Transport, socket = Raw} = Socket) ->
    case Transport:setopts(Raw, Options) of
        ok -> Socket;
        %% It has been closed meanwhile, and perhaps nobody has been told.
        {error, _} -> self() ! {tcp_closed, Raw}, Socket
    end.

%% @doc Makes the socket passive for another protocol and returns what has come until then. The end of the connection, if it has come, comes
%% again.
-spec settle(socket()) -> binary().
settle(#socket{transport = Transport, socket = Raw}) ->
    _ = Transport:setopts(Raw, [{active, false}]),
    settled(Transport:messages(), Raw, <<>>).

settled({Ok, Closed, Error, Passive} = Tags, Raw, Acc) ->
    receive
        {Ok, Raw, Data} -> settled(Tags, Raw, <<Acc/binary, Data/binary>>);
        {Passive, Raw} -> settled(Tags, Raw, Acc);
        {Tag, Raw} when Tag =:= Closed -> self() ! {Closed, Raw}, Acc;
        {Tag, Raw, Reason} when Tag =:= Error -> self() ! {Error, Raw, Reason}, Acc
    after 0 ->
        Acc
    end.

%% @doc The client has shut down its sending side, and may wait for a response.
-spec half_closed(socket()) -> socket().
half_closed(Socket) -> Socket#socket{half_closed = true, mode = off}.

-spec is_half_closed(socket()) -> boolean().
is_half_closed(#socket{half_closed = HalfClosed}) -> HalfClosed.

-spec send(socket(), iodata()) -> ok | {error, term()}.
send(#socket{transport = Transport, socket = Raw}, Data) ->
    Transport:send(Raw, Data).

%% @doc All of a file; an error when it has become shorter.
-spec sendfile(socket(), Path :: binary(), Size :: pos_integer()) -> ok | {error, term()}.
sendfile(#socket{transport = Transport, socket = Raw}, Path, Size) ->
    try Transport:sendfile(Raw, Path, 0, Size) of
        {ok, Size} -> ok;
        {ok, _Less} -> {error, too_short};
        {error, Reason} -> {error, Reason}
    catch
        %% Ranch's fallback for TLS matches the file's opening.
        error:Reason -> {error, Reason}
    end.

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
