%%% The last phase of an HTTP/1 connection: the last response is written, and its client may still be sending. What it sends is read and dropped,
%%% because a reset would take the response from it (RFC 9112, 9.6): for ?LINGER_MS in all, for a moment after its last octet, and up to
%%% ?MAX_LINGER octets.
%%%
%%% Called by: hornbeam_http1, in the connection's process, which ends here. Calls: hornbeam_http1_socket.
%%%
%%% Messages: from the socket, and of the parent's end. Others are late, or ask for an end, and are left unread.
-module(hornbeam_http1_linger).

-export([start/2]).

-define(LINGER_MS, 10000).
%% Longer than a packet of the client's that is lost and sent again takes.
-define(QUIET_MS, 2000).
-define(MAX_LINGER, 64000000).

-spec start(Parent :: pid(), hornbeam_http1_socket:socket()) -> no_return().
start(Parent, Socket) ->
    ok = hornbeam_http1_socket:shutdown(Socket),
    loop(Parent, Socket, erlang:monotonic_time(millisecond) + ?LINGER_MS, ?MAX_LINGER).

loop(Parent, Socket0, Until, Left) ->
    Socket = hornbeam_http1_socket:read(Socket0),
    receive
        {Tag, _, Data} when Tag =:= tcp; Tag =:= ssl ->
            case Left - byte_size(Data) of
                Less when Less < 0 -> close(Socket);
                Less -> loop(Parent, hornbeam_http1_socket:received(byte_size(Data), Socket), Until, Less)
            end;
        {Closed, _} when Closed =:= tcp_closed; Closed =:= ssl_closed -> close(Socket);
        {Error, _, _} when Error =:= tcp_error; Error =:= ssl_error -> close(Socket);
        {'EXIT', Parent, Reason} -> exit(Reason)
    after max(0, min(?QUIET_MS, Until - erlang:monotonic_time(millisecond))) ->
        close(Socket)
    end.

-spec close(hornbeam_http1_socket:socket()) -> no_return().
close(Socket) ->
    ok = hornbeam_http1_socket:close(Socket),
    exit(normal).
