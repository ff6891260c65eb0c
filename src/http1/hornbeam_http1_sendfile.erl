%%% Sends parts of files, and octets between them, while nothing else is done on the connection.
%%%
%%% Called by: hornbeam_http1_socket. Calls: the transport, file, inet.
%%%
%%% send_timeout. While sendfile(2) waits for the client OTP has no time limit. So a process beside looks, each send_timeout, whether the
%%% client's machine has acknowledged anything (Linux, TCP_INFO; elsewhere whether anything could be sent), and closes the socket when it has
%%% not; the sender then gets its error. It ends with the sending. TLS sends what was read, in the socket's own time.
%%%
%%% Failure: a file that has become shorter, a socket that is closed: an error. The files are closed in any case.
-module(hornbeam_http1_sendfile).

-export([send/3]).

%% Linux: netinet/tcp.h; tcpi_bytes_acked.
-define(IPPROTO_TCP, 6).
-define(TCP_INFO, 11).
-define(ACKED_AT, 120).

-spec send(module(), inet:socket() | ssl:sslsocket(), [hornbeam_exchange:piece()]) -> ok | {error, term()}.
send(Transport, Raw, Pieces) ->
    Watcher = watcher(Raw),
    Result = pieces(Pieces, Transport, Raw),
    _ = Watcher =:= none orelse exit(Watcher, kill),
    _ = [file:close(Fd) || Fd <- lists:usort([File || {file, File, _, _} <- Pieces, not is_binary(File)])],
    Result.

pieces([Piece | Rest], Transport, Raw) ->
    case piece(Piece, Transport, Raw) of
        ok -> pieces(Rest, Transport, Raw);
        Error -> Error
    end;
pieces([], _Transport, _Raw) ->
    ok.

piece({file, File, Offset, Size}, Transport, Raw) ->
    try Transport:sendfile(Raw, File, Offset, Size) of
        {ok, Size} -> ok;
        {ok, _Less} -> {error, too_short};
        {error, Reason} -> {error, Reason}
    catch
        %% Ranch's fallback for TLS matches the file's opening.
        error:Reason -> {error, Reason}
    end;
piece(Octets, Transport, Raw) ->
    Transport:send(Raw, Octets).

watcher(Raw) when is_port(Raw) ->
    Sender = self(),
    spawn(fun() -> watch(Raw, monitor(process, Sender)) end);
watcher(_Tls) ->
    none.

watch(Raw, Monitor) ->
    case inet:getopts(Raw, [send_timeout]) of
        {ok, [{send_timeout, Time}]} when is_integer(Time) -> watch(Raw, Monitor, Time, taken(Raw));
        _ -> ok
    end.

watch(Raw, Monitor, Time, Before) ->
    receive
        {'DOWN', Monitor, process, _, _} -> ok
    after Time ->
        case taken(Raw) of
            Before -> gen_tcp:close(Raw);
            Now -> watch(Raw, Monitor, Time, Now)
        end
    end.

taken(Raw) ->
    case inet:getopts(Raw, [{raw, ?IPPROTO_TCP, ?TCP_INFO, ?ACKED_AT + 8}]) of
        {ok, [{raw, _, _, <<_:?ACKED_AT/binary, Acked:64/native>>}]} -> Acked;
        _ -> inet:getstat(Raw, [send_oct])
    end.
