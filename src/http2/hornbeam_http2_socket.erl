%%% The socket of an HTTP/2 connection: what is read at once, what is written, and the last phase.
%%%
%%% Called by: hornbeam_http2, in the connection's process, which gets what is read as messages. Calls: a transport (ranch_transport).
%%%
%%% Reading goes on all the time. Reads are small, for the driver holds a buffer of that size ready also for an idle connection, and large
%%% while a large body is on its way. A write waits for the client, for send_timeout at most (an option of the listening socket).
%%%
%%% The last phase: all is said; what the client still sends is read and dropped, because a reset would take the GOAWAY from it: for
%%% ?LINGER_MS, and up to ?MAX_LINGER octets. It is short: the client has been told of the end, and need not be waited for as that of an HTTP/1
%%% response (hornbeam_http1_linger).
-module(hornbeam_http2_socket).

-export([new/2, is_secure/1, read/1, large/2, write/2, linger/2, close/1]).
-export_type([socket/0]).

%% Reads that may come before the socket is asked for more, and their sizes: 93 KiB and 640 KiB.
-define(SMALL, 1460).
-define(SMALL_READS, 64).
-define(LARGE, 65536).
-define(LARGE_READS, 10).
-define(LINGER_MS, 1000).
-define(MAX_LINGER, 64000000).

-record(socket, {
    transport :: module(),
    socket :: inet:socket() | ssl:sslsocket(),
    is_large = false :: boolean()
}).
-opaque socket() :: #socket{}.

%% @doc Reading begins.
-spec new(module(), inet:socket() | ssl:sslsocket()) -> socket().
new(Transport, Socket) ->
    read([{buffer, ?SMALL}], #socket{transport = Transport, socket = Socket}).

-spec is_secure(socket()) -> boolean().
is_secure(#socket{transport = Transport}) -> Transport:secure().

%% @doc It has become passive, and reads on.
-spec read(socket()) -> socket().
read(Socket) -> read([], Socket).

read(Options, #socket{transport = Transport, socket = Socket, is_large = Large} = Reading) ->
    case Transport:setopts(Socket, [{active, case Large of true -> ?LARGE_READS; false -> ?SMALL_READS end} | Options]) of
        ok -> Reading;
        %% It has been closed meanwhile, and perhaps nobody has been told.
        {error, _} -> self() ! {tcp_closed, Socket}, Reading
    end.

%% @doc Whether reads are large from now on. A change leaves no more of them on their way than there may be.
-spec large(boolean(), socket()) -> socket().
large(Large, #socket{is_large = Large} = Socket) ->
    Socket;
large(Large, #socket{transport = Transport, socket = Socket} = Changed) ->
    _ = Transport:setopts(Socket, [{active, false}]),
    read([{buffer, case Large of true -> ?LARGE; false -> ?SMALL end}], Changed#socket{is_large = Large}).

-spec write(iodata(), socket()) -> ok | {error, term()}.
write([], _Socket) -> ok;
write(Bytes, #socket{transport = Transport, socket = Socket}) -> Transport:send(Socket, Bytes).

-spec close(socket()) -> ok.
close(#socket{transport = Transport, socket = Socket}) ->
    _ = Transport:close(Socket),
    ok.

%% @doc The last phase. Messages: from the socket, and of the parent's end. Others are late, or ask for an end, and are left unread.
-spec linger(Parent :: pid(), socket()) -> no_return().
linger(Parent, #socket{transport = Transport, socket = Socket} = Last) ->
    %% OTP's ssl shuts the sending side down without the alert that has to come first (RFC 8446, 6.1).
    _ = Transport:secure() orelse Transport:shutdown(Socket, write),
    linger(Parent, Last, erlang:monotonic_time(millisecond) + ?LINGER_MS, ?MAX_LINGER).

linger(Parent, Socket, Until, Left) ->
    receive
        {Tag, _, Data} when Tag =:= tcp, byte_size(Data) =< Left; Tag =:= ssl, byte_size(Data) =< Left ->
            linger(Parent, Socket, Until, Left - byte_size(Data));
        {Passive, _} when Passive =:= tcp_passive; Passive =:= ssl_passive -> linger(Parent, read(Socket), Until, Left);
        {Last, _, _} when Last =:= tcp; Last =:= ssl; Last =:= tcp_error; Last =:= ssl_error -> ended(Socket);
        {Closed, _} when Closed =:= tcp_closed; Closed =:= ssl_closed -> ended(Socket);
        {'EXIT', Parent, Reason} -> exit(Reason)
    after max(0, Until - erlang:monotonic_time(millisecond)) ->
        ended(Socket)
    end.

-spec ended(socket()) -> no_return().
ended(Socket) ->
    ok = close(Socket),
    exit(normal).
