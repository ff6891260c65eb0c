%%% The socket of an HTTP/2 connection as Cowboy gets it: a transport of Ranch's (TCP or TLS), through which everything goes that Cowboy
%%% writes. What Cowboy leaves open on a connection is done here, by what is seen of it.
%%%
%%% Called by: Cowboy's HTTP/2 (the functions of ranch_transport that it uses), hornbeam_connection (start/3), hornbeam_http2_stream (the others),
%%% in the connection's process. Calls: the transport, hornbeam_http2_output, hornbeam_http2_idle. State: a record in the process dictionary,
%%% since Cowboy hands on nothing but the module and the socket.
%%%
%%% Floods. What carries no content costs its sender nothing, neither window nor octets of a body: an empty DATA frame (empty/0), PING and
%%% SETTINGS, of which the answers are seen here. More than max_empty_frame_rate of them in ten seconds end the connection with
%%% ENHANCE_YOUR_CALM. Cowboy's own count (max_frame_rate) is of all frames, those of a fast upload too.
%%%
%%% Forgotten ends. When what was sent has used up a window to the last octet and then the response ends with nothing more, Cowlib (2.13 to
%%% 2.16) keeps the END_STREAM for the next window and then drops it: the client would wait for ever. An empty DATA frame needs no
%%% window (RFC 9113, 6.9.1), so finish/2 writes it; Cowboy is told to reset the stream, and the RST_STREAM is not written.
%%%
%%% The end. Cowboy announces it with a GOAWAY for all streams and then waits a second for requests that are on their way, and another
%%% for the client to close. When nothing is in progress neither is needed: a GOAWAY with the last stream says what can be sent again
%%% elsewhere (RFC 9113, 6.8), and the connection closes. When something is, Cowboy waits for a frame of the client's after the
%%% end of the last stream, which may never come: over/0 ends the connection.
%%%
%%% Uploads. A large body is read in large pieces. Otherwise the socket's buffer is small: the driver holds one ready while it waits, also
%%% for a connection that is idle.
-module(hornbeam_http2_socket).

-export([start/3, empty/0, finish/2, ended/1, over/0, upload/1]).
-export([name/0, secure/0, messages/0, peername/1, sockname/1, setopts/2, send/2, sendfile/4, shutdown/2]).

-define(PERIOD_MS, 10000).
-define(SMALL, 1460).
-define(LARGE, 65536).

-record(socket, {
    transport :: module(),
    socket :: inet:socket() | ssl:sslsocket(),
    %% What is written: everything; nothing any more; nothing until that stream has ended.
    writes = all :: all | none | {after_end_of, cowboy_stream:streamid()},
    max_empty :: pos_integer(),
    empty = -1 :: integer(),                % frames without content since `empty_since', less the one that begins a connection
    empty_since = 0 :: integer(),           % monotonic ms
    closing = false :: boolean(),           % Cowboy waits for the streams in progress and then for nothing more
    buffer = ?SMALL :: pos_integer()
}).

%% @doc The connection is HTTP/2's from now on.
-spec start(module(), inet:socket() | ssl:sslsocket(), MaxEmpty :: pos_integer()) -> ok.
start(Transport, Socket, MaxEmpty) ->
    set(#socket{transport = Transport, socket = Socket, max_empty = MaxEmpty}).

%%% Floods

%% @doc A frame without content has come.
-spec empty() -> ok.
empty() ->
    case get(?MODULE) of
        #socket{empty = 0} = State ->
            set(State#socket{empty = 1, empty_since = now_ms()});
        #socket{empty = Empty, max_empty = Max} = State when Empty < Max ->
            set(State#socket{empty = Empty + 1});
        #socket{empty_since = Since, writes = Writes} = State ->
            Now = now_ms(),
            case Now - Since < ?PERIOD_MS of
                true -> Writes =:= none orelse flood(State), ok;
                false -> set(State#socket{empty = 1, empty_since = Now})
            end
    end.

%% What has come meanwhile may be a hundred thousand frames: it is thrown away. Cowboy then ends the streams as for a client that has closed
%% the connection.
flood(#socket{transport = Transport, socket = Socket} = State) ->
    _ = Transport:send(Socket, cow_http2:goaway(hornbeam_http2_idle:last(), enhance_your_calm, <<>>)),
    {Ok, Closed, _, _} = Transport:messages(),
    ok = flush(Ok, Socket),
    self() ! {Closed, Socket},
    set(State#socket{writes = none}).

flush(Ok, Socket) ->
    receive
        {Ok, Socket, _} -> flush(Ok, Socket)
    after 0 ->
        ok
    end.

%%% Forgotten ends

%% @doc Cowboy has been told to end a stream with an empty frame and has not done it. True: it is done now, and Cowboy is to reset the stream;
%% false: there is still output before the end, with which Cowboy sends it. A client that has not sent all of its body is told that
%% nobody wants the rest (RFC 9113, 8.1).
-spec finish(cowboy_stream:streamid(), BodyRead :: boolean()) -> boolean().
finish(StreamId, BodyRead) ->
    case get(?MODULE) of
        #socket{transport = Transport, socket = Socket, writes = all} = State ->
            case hornbeam_http2_output:is_waiting(StreamId) of
                true ->
                    false;
                false ->
                    _ = Transport:send(Socket, [cow_http2:data(StreamId, fin, <<>>)
                                                | [cow_http2:rst_stream(StreamId, no_error) || not BodyRead]]),
                    set(State#socket{writes = {after_end_of, StreamId}}),
                    true
            end;
        _ ->
            false
    end.

%% @doc A stream has ended.
-spec ended(cowboy_stream:streamid()) -> ok.
ended(StreamId) ->
    case get(?MODULE) of
        #socket{writes = {after_end_of, StreamId}} = State -> set(State#socket{writes = all});
        _ -> ok
    end.

%%% The end

%% @doc Nothing is in progress any more.
-spec over() -> ok.
over() ->
    case get(?MODULE) of
        #socket{closing = true, transport = Transport, socket = Socket} -> self() ! {element(2, Transport:messages()), Socket}, ok;
        _ -> upload(false)
    end.

%%% Uploads

%% @doc Whether a large body is on its way.
-spec upload(boolean()) -> ok.
upload(IsLarge) ->
    Buffer = case IsLarge of true -> ?LARGE; false -> ?SMALL end,
    case get(?MODULE) of
        #socket{buffer = Buffer} ->
            ok;
        #socket{transport = Transport, socket = Socket} = State ->
            _ = Transport:setopts(Socket, [{buffer, Buffer}]),
            set(State#socket{buffer = Buffer})
    end.

%%% What Cowboy calls

-spec name() -> atom().
name() -> (transport()):name().

-spec secure() -> boolean().
secure() -> (transport()):secure().

-spec messages() -> {OK :: atom(), Closed :: atom(), Error :: atom(), Passive :: atom()}.
messages() -> (transport()):messages().

-spec peername(ranch_transport:socket()) -> {ok, term()} | {error, atom()}.
peername(Socket) -> (transport()):peername(Socket).

-spec sockname(ranch_transport:socket()) -> {ok, term()} | {error, atom()}.
sockname(Socket) -> (transport()):sockname(Socket).

-spec setopts(ranch_transport:socket(), term()) -> ok | {error, atom()}.
setopts(Socket, Options) -> (transport()):setopts(Socket, Options).

-spec sendfile(ranch_transport:socket(), file:name_all(), non_neg_integer(), non_neg_integer()) ->
    {ok, non_neg_integer()} | {error, atom()}.
sendfile(Socket, File, Offset, Bytes) -> (transport()):sendfile(Socket, File, Offset, Bytes).

-spec shutdown(ranch_transport:socket(), read | write | read_write) -> ok | {error, atom()}.
shutdown(Socket, How) -> (transport()):shutdown(Socket, How).

-spec send(ranch_transport:socket(), iodata()) -> ok | {error, atom()}.
send(Socket, Data) ->
    case get(?MODULE) of
        #socket{writes = all, transport = Transport} -> send(Transport, Socket, Data);
        _ -> ok
    end.

%% The answers to PING and SETTINGS; a GOAWAY for all streams, and one for those that there are, for no error.
send(Transport, Socket, <<8:24, 6, 1, _/binary>> = Ack) -> answer(Transport, Socket, Ack);
send(Transport, Socket, <<0:24, 4, 1, _/binary>> = Ack) -> answer(Transport, Socket, Ack);
send(Transport, Socket, [<<_:24, 7, 0, _:32, 16#7fffffff:32, _/binary>> | _] = GoAway) ->
    case hornbeam_http2_idle:is_idle() of
        true -> leave(Transport, Socket);
        false -> Transport:send(Socket, GoAway)
    end;
send(Transport, Socket, [<<_:24, 7, 0, _:32, _LastStream:32, 0:32>> | _] = GoAway) ->
    set((get(?MODULE))#socket{closing = true}),
    Transport:send(Socket, GoAway);
send(Transport, Socket, Data) ->
    ok = hornbeam_http2_output:sent(Data),
    Transport:send(Socket, Data).

answer(Transport, Socket, Ack) ->
    ok = empty(),
    case get(?MODULE) of
        #socket{writes = all} -> Transport:send(Socket, Ack);
        _ -> ok
    end.

-spec leave(module(), ranch_transport:socket()) -> no_return().
leave(Transport, Socket) ->
    _ = Transport:send(Socket, cow_http2:goaway(hornbeam_http2_idle:last(), no_error, <<>>)),
    _ = Transport:close(Socket),
    exit({shutdown, idle}).

transport() ->
    #socket{transport = Transport} = get(?MODULE),
    Transport.

now_ms() ->
    erlang:monotonic_time(millisecond).

set(State) ->
    _ = put(?MODULE, State),
    ok.
