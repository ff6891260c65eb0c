%% A Ranch transport around another one, ?BASE: included by hornbeam_tcp and hornbeam_ssl, which differ in nothing else. What is not
%% passed on as it is:
%%
%%   messages/0             tells hornbeam_clock of each round of Cowboy's loop; hides the end of a half-closed client
%%   setopts/2              tells it of a passive socket
%%   peername/1, sockname/1 what the PROXY protocol said, if anything (hornbeam_connection)
%%   send/2                 nothing after hornbeam_stream:early_error/5 has forbidden it
%%   sendfile/4             an error when the file is shorter than it was: the body would be, too
%%   shutdown/2             says 408 or 431 first, if that is why the connection ends

-behaviour(ranch_transport).

%% ranch_tcp has no TLS handshake to go on with.
-dialyzer({nowarn_function, [handshake_continue/2, handshake_continue/3, handshake_cancel/1]}).

-export([name/0, secure/0, messages/0, listen/1, accept/2, handshake/2, handshake/3]).
-export([handshake_continue/2, handshake_continue/3, handshake_cancel/1, connect/3, connect/4]).
-export([recv/3, recv_proxy_header/2, send/2, sendfile/2, sendfile/4, sendfile/5]).
-export([setopts/2, getopts/2, getstat/1, getstat/2, controlling_process/2]).
-export([peername/1, sockname/1, shutdown/2, close/1, cleanup/1]).

-spec name() -> atom().
name() -> ?BASE:name().

-spec secure() -> boolean().
secure() -> ?BASE:secure().

-spec messages() -> {OK :: atom(), Closed :: atom(), Error :: atom(), Passive :: atom()}.
messages() ->
    case hornbeam_clock:heard() of
        ok -> ?BASE:messages();
        %% The message of the socket's end then matches nothing and goes to hornbeam_cowboy_log.
        hold -> setelement(2, ?BASE:messages(), hornbeam_held)
    end.

-spec listen(ranch:transport_opts(any())) -> {ok, ranch_transport:socket()} | {error, atom()}.
listen(Options) -> ?BASE:listen(Options).

-spec accept(ranch_transport:socket(), timeout()) ->
    {ok, ranch_transport:socket()} | {error, atom()}.
accept(Socket, Timeout) -> ?BASE:accept(Socket, Timeout).

-spec handshake(ranch_transport:socket(), timeout()) ->
    {ok, ranch_transport:socket()} | {ok, ranch_transport:socket(), any()} | {error, any()}.
handshake(Socket, Timeout) -> ?BASE:handshake(Socket, Timeout).

-spec handshake(ranch_transport:socket(), any(), timeout()) ->
    {ok, ranch_transport:socket()} | {ok, ranch_transport:socket(), any()} | {error, any()}.
handshake(Socket, Options, Timeout) -> ?BASE:handshake(Socket, Options, Timeout).

-spec handshake_continue(ranch_transport:socket(), timeout()) ->
    {ok, ranch_transport:socket()} | {error, any()}.
handshake_continue(Socket, Timeout) -> ?BASE:handshake_continue(Socket, Timeout).

-spec handshake_continue(ranch_transport:socket(), any(), timeout()) ->
    {ok, ranch_transport:socket()} | {error, any()}.
handshake_continue(Socket, Options, Timeout) ->
    ?BASE:handshake_continue(Socket, Options, Timeout).

-spec handshake_cancel(ranch_transport:socket()) -> ok.
handshake_cancel(Socket) -> ?BASE:handshake_cancel(Socket).

-spec connect(string(), inet:port_number(), any()) ->
    {ok, ranch_transport:socket()} | {error, atom()}.
connect(Host, Port, Options) -> ?BASE:connect(Host, Port, Options).

-spec connect(string(), inet:port_number(), any(), timeout()) ->
    {ok, ranch_transport:socket()} | {error, atom()}.
connect(Host, Port, Options, Timeout) -> ?BASE:connect(Host, Port, Options, Timeout).

-spec recv(ranch_transport:socket(), non_neg_integer(), timeout()) ->
    {ok, any()} | {error, atom()}.
recv(Socket, Length, Timeout) -> ?BASE:recv(Socket, Length, Timeout).

-spec recv_proxy_header(ranch_transport:socket(), timeout()) ->
    {ok, ranch_proxy_header:proxy_info()} | {error, atom()} | {error, protocol_error, atom()}.
recv_proxy_header(Socket, Timeout) -> ?BASE:recv_proxy_header(Socket, Timeout).

-spec send(ranch_transport:socket(), iodata()) -> ok | {error, atom()}.
send(Socket, Data) ->
    case get(hornbeam_muted) of
        undefined -> ?BASE:send(Socket, Data);
        true -> ok
    end.

-spec sendfile(ranch_transport:socket(), file:name_all() | file:fd()) ->
    {ok, non_neg_integer()} | {error, atom()}.
sendfile(Socket, File) -> ?BASE:sendfile(Socket, File).

-spec sendfile(ranch_transport:socket(), file:name_all() | file:fd(), non_neg_integer(),
               non_neg_integer()) -> {ok, non_neg_integer()} | {error, atom()}.
sendfile(Socket, File, Offset, Bytes) ->
    case ?BASE:sendfile(Socket, File, Offset, Bytes) of
        {ok, Sent} when Sent < Bytes -> {error, file_changed};
        Result -> Result
    end.

-spec sendfile(ranch_transport:socket(), file:name_all() | file:fd(), non_neg_integer(),
               non_neg_integer(), ranch_transport:sendfile_opts()) ->
    {ok, non_neg_integer()} | {error, atom()}.
sendfile(Socket, File, Offset, Bytes, Options) ->
    ?BASE:sendfile(Socket, File, Offset, Bytes, Options).

-spec setopts(ranch_transport:socket(), any()) -> ok | {error, atom()}.
setopts(Socket, Options) ->
    ok = hornbeam_clock:passive(),
    ok = hornbeam_clock:paused(Options =:= [{active, false}] andalso {element(4, ?BASE:messages()), Socket}),
    ?BASE:setopts(Socket, Options).

-spec getopts(ranch_transport:socket(), [atom()]) -> {ok, any()} | {error, atom()}.
getopts(Socket, Names) -> ?BASE:getopts(Socket, Names).

-spec getstat(ranch_transport:socket()) -> {ok, any()} | {error, atom()}.
getstat(Socket) -> ?BASE:getstat(Socket).

-spec getstat(ranch_transport:socket(), [atom()]) -> {ok, any()} | {error, atom()}.
getstat(Socket, Names) -> ?BASE:getstat(Socket, Names).

-spec controlling_process(ranch_transport:socket(), pid()) ->
    ok | {error, closed | not_owner | atom()}.
controlling_process(Socket, Pid) -> ?BASE:controlling_process(Socket, Pid).

-spec peername(ranch_transport:socket()) ->
    {ok, {inet:ip_address(), inet:port_number()} | {local, binary()}} | {error, atom()}.
peername(Socket) ->
    case get(hornbeam_proxied) of
        undefined -> ?BASE:peername(Socket);
        {Peer, _Sock} -> {ok, Peer}
    end.

-spec sockname(ranch_transport:socket()) ->
    {ok, {inet:ip_address(), inet:port_number()} | {local, binary()}} | {error, atom()}.
sockname(Socket) ->
    case get(hornbeam_proxied) of
        undefined -> ?BASE:sockname(Socket);
        {_Peer, Sock} -> {ok, Sock}
    end.

-spec shutdown(ranch_transport:socket(), read | write | read_write) -> ok | {error, atom()}.
shutdown(Socket, How) ->
    _ = case hornbeam_clock:verdict() of
        none -> ok;
        Status -> ?BASE:send(Socket, hornbeam_error:last_words(Status))
    end,
    ?BASE:shutdown(Socket, How).

-spec close(ranch_transport:socket()) -> ok.
close(Socket) -> ?BASE:close(Socket).

-spec cleanup(ranch:transport_opts(any())) -> ok.
cleanup(Options) -> ?BASE:cleanup(Options).
