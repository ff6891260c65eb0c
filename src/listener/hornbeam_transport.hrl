%% A Ranch transport that is another one, ?BASE, but for how it accepts: by the function ?ACCEPT of hornbeam_accept.

-behaviour(ranch_transport).

%% ranch_tcp has no TLS handshake to go on with.
-dialyzer({nowarn_function, [handshake_continue/2, handshake_continue/3, handshake_cancel/1]}).

-export([base/0, name/0, secure/0, messages/0, listen/1, accept/2, handshake/2, handshake/3]).
-export([handshake_continue/2, handshake_continue/3, handshake_cancel/1, connect/3, connect/4]).
-export([recv/3, recv_proxy_header/2, send/2, sendfile/2, sendfile/4, sendfile/5]).
-export([setopts/2, getopts/2, getstat/1, getstat/2, controlling_process/2]).
-export([peername/1, sockname/1, shutdown/2, close/1, cleanup/1]).

-spec base() -> module().
base() -> ?BASE.

-spec name() -> atom().
name() -> ?BASE:name().

-spec secure() -> boolean().
secure() -> ?BASE:secure().

-spec messages() -> {OK :: atom(), Closed :: atom(), Error :: atom(), Passive :: atom()}.
messages() -> ?BASE:messages().

-spec listen(ranch:transport_opts(any())) -> {ok, ranch_transport:socket()} | {error, atom()}.
listen(Options) -> ?BASE:listen(Options).

-spec accept(ranch_transport:socket(), timeout()) ->
    {ok, ranch_transport:socket()} | {error, atom()}.
accept(Socket, Timeout) -> hornbeam_accept:?ACCEPT(?BASE, Socket, Timeout).

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
send(Socket, Data) -> ?BASE:send(Socket, Data).

-spec sendfile(ranch_transport:socket(), file:name_all() | file:fd()) ->
    {ok, non_neg_integer()} | {error, atom()}.
sendfile(Socket, File) -> ?BASE:sendfile(Socket, File).

-spec sendfile(ranch_transport:socket(), file:name_all() | file:fd(), non_neg_integer(),
               non_neg_integer()) -> {ok, non_neg_integer()} | {error, atom()}.
sendfile(Socket, File, Offset, Bytes) -> ?BASE:sendfile(Socket, File, Offset, Bytes).

-spec sendfile(ranch_transport:socket(), file:name_all() | file:fd(), non_neg_integer(),
               non_neg_integer(), ranch_transport:sendfile_opts()) ->
    {ok, non_neg_integer()} | {error, atom()}.
sendfile(Socket, File, Offset, Bytes, Options) ->
    ?BASE:sendfile(Socket, File, Offset, Bytes, Options).

-spec setopts(ranch_transport:socket(), any()) -> ok | {error, atom()}.
setopts(Socket, Options) -> ?BASE:setopts(Socket, Options).

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
peername(Socket) -> ?BASE:peername(Socket).

-spec sockname(ranch_transport:socket()) ->
    {ok, {inet:ip_address(), inet:port_number()} | {local, binary()}} | {error, atom()}.
sockname(Socket) -> ?BASE:sockname(Socket).

-spec shutdown(ranch_transport:socket(), read | write | read_write) -> ok | {error, atom()}.
shutdown(Socket, How) -> ?BASE:shutdown(Socket, How).

-spec close(ranch_transport:socket()) -> ok.
close(Socket) -> ?BASE:close(Socket).

-spec cleanup(ranch:transport_opts(any())) -> ok.
cleanup(Options) -> ?BASE:cleanup(Options).
