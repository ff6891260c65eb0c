%%% The three ways to a WebSocket client, as one: a TCP or Unix socket, TLS, a stream of HTTP/2.
%%%
%%% Called by: hornbeam_websocket, which never waits in a write, so that a slow client does not keep it from anything
%%% else. Calls: nothing of Hornbeam's.
%%%
%%% write/2 answers {busy, Rest} when the socket cannot take more; the sender asks again after a while. The stream of an
%%% HTTP/2 connection always takes the bytes: its connection process says with {websocket_taken, Size} what it has come to,
%%% and by an alarm that its buffer is full; hornbeam_websocket_output keeps both.
-module(hornbeam_websocket_socket).

-export([new/2, stream/2, write/2, read/2, finish/2, abort/1]).
-export_type([socket/0]).

-type socket() :: {tcp, port()} | {tls, ssl:sslsocket()}
                | {stream, pid(), pos_integer()}.

%% Bytes in the driver's queue from which on a socket counts as busy. A write that brings the queue to the high watermark
%% waits until the client has taken it; so that mark is more than what is ever given: over TCP, ?TCP_BUSY and one write,
%% which the application's credit bounds; over TLS, ?TLS_BUSY and a part with the heads of its records.
%% (To write by port_command/3 with `nosuspend' costs less, by 0.5 us, but what gen_tcp and its driver say to each other
%% is theirs: OTP 29 closes a socket that is written to so.)
-define(TCP_BUSY, 65536).
-define(TCP_HIGH_WATERMARK, 1 bsl 30).
-define(TLS_BUSY, 32768).
-define(TLS_HIGH_WATERMARK, 131072).
-define(TLS_PART, 81920).
%% How many reads a socket makes before it is asked for again; as many may be on their way when reading is turned off.
-define(READS, 10).

%% @doc A connection of HTTP/1 that was handed over.
-spec new(module(), term()) -> socket().
new(Transport, Socket) ->
    case Transport:name() of
        tcp ->
            _ = inet:setopts(Socket, tuned(?TCP_HIGH_WATERMARK, ?TCP_BUSY)),
            {tcp, Socket};
        ssl ->
            _ = ssl:setopts(Socket, tuned(?TLS_HIGH_WATERMARK, ?TLS_BUSY)),
            {tls, Socket}
    end.

tuned(High, Low) ->
    [{high_watermark, High}, {low_watermark, Low}, {send_timeout, infinity}, {nodelay, true}].

-spec stream(pid(), pos_integer()) -> socket().
stream(Connection, StreamId) ->
    {stream, Connection, StreamId}.

-spec write(socket(), iodata()) -> ok | {busy, Rest :: iodata()} | {error, term()}.
write({tcp, Port}, Data) ->
    case inet:getstat(Port, [send_pend]) of
        {ok, [{send_pend, Pending}]} when Pending >= ?TCP_BUSY -> {busy, Data};
        {ok, _} -> gen_tcp:send(Port, Data);
        {error, _} = Error -> Error
    end;
write({tls, Socket}, Data) ->
    case ssl:getstat(Socket, [send_pend]) of
        {ok, [{send_pend, Pending}]} when Pending >= ?TLS_BUSY -> {busy, Data};
        {ok, _} -> write_tls(Socket, Data, iolist_size(Data));
        {error, _} = Error -> Error
    end;
write({stream, Connection, Id}, Data) ->
    Connection ! {{Connection, Id}, {data, nofin, Data}},
    ok.

write_tls(Socket, Data, Size) when Size =< ?TLS_PART ->
    ssl:send(Socket, Data);
write_tls(Socket, Data, _Size) ->
    <<Part:?TLS_PART/binary, Rest/binary>> = iolist_to_binary(Data),
    case ssl:send(Socket, Part) of
        ok -> write({tls, Socket}, Rest);
        {error, _} = Error -> Error
    end.

%% @doc Reading on or off. Consumed: what a stream of HTTP/2 may be sent anew.
-spec read(socket(), boolean() | {consumed, non_neg_integer()}) -> ok | {error, term()}.
read({stream, Connection, Id}, {consumed, Size}) ->
    Connection ! {{Connection, Id}, {websocket_flow, Size}},
    ok;
read({stream, _, _}, _OnOff) ->
    ok;
read(_Socket, {consumed, _}) ->
    ok;
read({tcp, Port}, true) ->
    inet:setopts(Port, [{active, ?READS}]);
read({tls, Socket}, true) ->
    ssl:setopts(Socket, [{active, ?READS}]);
%% Minus the most that can be left: to 0, which is passive.
read({tcp, Port}, false) ->
    inet:setopts(Port, [{active, false}]);
read({tls, Socket}, false) ->
    ssl:setopts(Socket, [{active, false}]).

%% @doc Nothing more will be written; what was written still arrives. `half_closed': the client may still send, and
%% {tcp_closed, _} says that it has ended. Over TLS this waits for that itself, for Linger ms at most, since ssl:shutdown/2
%% says nothing to the client (no close_notify) and ssl:close/1 resets one that still sends: to go back to TCP is
%% the way of ssl's to say good-bye and read on.
-spec finish(socket(), Linger :: non_neg_integer()) -> half_closed | closed.
finish({tcp, Port}, _Linger) ->
    case gen_tcp:shutdown(Port, write) of
        ok -> half_closed;
        {error, _} -> closed
    end;
finish({tls, Socket}, Linger) ->
    case ssl:close(Socket, {self(), Linger}) of
        {ok, Port} -> _ = gen_tcp:close(Port), closed;
        _ -> closed
    end;
finish({stream, Connection, Id}, _Linger) ->
    Connection ! {{Connection, Id}, {data, fin, <<>>}},
    closed.

%% @doc Closes at once; what a slow client has not taken is thrown away.
-spec abort(socket()) -> ok.
abort({tcp, Port}) ->
    _ = inet:setopts(Port, [{linger, {true, 0}}]),
    _ = gen_tcp:close(Port),
    ok;
abort({tls, Socket}) ->
    _ = ssl:close(Socket),
    ok;
abort({stream, Connection, Id}) ->
    Connection ! {{Connection, Id}, websocket_abort},
    ok.
