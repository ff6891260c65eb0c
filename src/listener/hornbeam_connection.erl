%%% The process of one connection until its protocol takes over: PROXY header, TLS handshake, choice of the protocol.
%%%
%%% Called by: Ranch (one process each), hornbeam_listener (close/1), hornbeam_follow_command (observe/2). Calls: hornbeam_connections, hornbeam_counts, hornbeam_accept, hornbeam_tls,
%%% hornbeam_http1, hornbeam_http2.
%%%
%%% With TLS the client chooses by ALPN. In clear text HTTP/2 begins with a preface (RFC 9113, 3.4), which hornbeam_http1 recognises; the
%%% octets that it has read come again, as the socket's message.
%%%
%%% Failure modes: too many connections: answered with 503, or with TLS closed, at once. A PROXY header that is none closes the connection without a word; a handshake that fails is Ranch's to log.
-module(hornbeam_connection).
-behaviour(ranch_protocol).

-export([configure/2, observe/2, forget/1, close/1, start_link/3, init/4]).
-export_type([options/0]).

%% How long a PROXY header may take.
-define(PROXY_MS, 5000).

-type options() :: #{secure := boolean(), max_connections := pos_integer() | infinity, proxy_protocol := boolean(), http_version := ['HTTP/1.1' | 'HTTP/2'],
                     context := map(), http1 := map(), http2 := hornbeam_http2:settings()}.

%% @doc What all connections of a server share, as a term that is not copied into each of them.
-spec configure(Server :: atom(), options()) -> ok.
configure(Server, Options) ->
    persistent_term:put({?MODULE, Server}, Options).

%% @doc Another observer for the connections to come. Asked for by one process at a time.
-spec observe(Server :: atom(), none | {module(), term()}) -> ok.
observe(Server, Observer) ->
    case persistent_term:get({?MODULE, Server}, none) of
        #{context := #{observer := Before} = Context} = Options when Before =/= Observer ->
            persistent_term:put({?MODULE, Server}, Options#{context := Context#{observer := Observer}});
        _ ->
            ok
    end.

-spec forget(Server :: atom()) -> ok.
forget(Server) ->
    _ = persistent_term:erase({?MODULE, Server}),
    ok.

%% @doc The server stops: a connection ends at once, or when what is in progress is done. Asynchronous, for one that is blocked by a slow
%% client must not keep the others waiting: the message of sys:terminate/2, and a signal for one that is still in its handshake,
%% which all others trap.
-spec close(pid()) -> ok.
close(Connection) ->
    Connection ! {system, {self(), make_ref()}, {terminate, shutdown}},
    true = exit(Connection, {shutdown, stop}),
    ok.

-spec start_link(ranch:ref(), module(), Server :: atom()) -> {ok, pid()}.
start_link(Ref, Transport, Server) ->
    {ok, proc_lib:spawn_opt(?MODULE, init, [self(), Ref, Transport, Server], [link, {min_heap_size, 233}])}.

-spec init(Parent :: pid(), ranch:ref(), module(), Server :: atom()) -> ok.
init(Parent, Ref, Transport, Server) ->
    #{max_connections := Max} = Options = persistent_term:get({?MODULE, Server}),
    case hornbeam_connections:enter(Ref, Max) of
        ok -> serve(Parent, Ref, Transport:base(), Server, Options);
        full -> turn_away(Ref, Max, Options)
    end.

%% TLS has no answer before its handshake, which is what shall not be done: the socket closes with this process.
turn_away(Ref, Max, #{secure := Secure}) ->
    ok = hornbeam_descriptors:complain("connections are refused: max_connections (~b) is reached", [Max]),
    case Secure of
        true ->
            hornbeam_descriptors:refused();
        false ->
            {ok, Socket} = ranch:handshake(Ref),
            hornbeam_accept:refuse(ranch_tcp, Socket)
    end.

serve(Parent, Ref, Transport, Server, #{secure := Secure, context := Context0, proxy_protocol := Proxy} = Options) ->
    Proxied = case Proxy of true -> proxied(Ref); false -> none end,
    {Socket, Tls} = handshake(Ref, Secure, Server),
    process_flag(trap_exit, true),
    {Peer, Sock} = ends(Proxied, Transport, Socket),
    Context = Context0#{place => hornbeam_scope:place(Peer, Sock, Tls)},
    Http2 = fun() -> http2(Parent, Transport, Socket, Context, Options) end,
    case protocol(Secure, Socket, Options) of
        http2 -> Http2();
        {http1, Upgrades} -> http1(Parent, Transport, Socket, Context, case Upgrades of true -> Http2; false -> none end, Options)
    end.

%% Every peer of such a listener is a proxy: without a header no request is believed.
proxied(Ref) ->
    case ranch:recv_proxy_header(Ref, ?PROXY_MS) of
        {ok, #{command := proxy, src_address := Ip, src_port := Port, dest_address := OwnIp, dest_port := OwnPort}} ->
            {{Ip, Port}, {OwnIp, OwnPort}};
        %% The proxy's own health check, or a client whose address it does not know.
        {ok, _Local} ->
            none;
        _Error ->
            exit({shutdown, no_proxy_header})
    end.

handshake(Ref, false, _Server) ->
    {ok, Socket} = ranch:handshake(Ref),
    {Socket, none};
handshake(Ref, true, Server) ->
    try ranch:handshake(Ref, hornbeam_tls:handshake_options(Server)) of
        {ok, Socket} ->
            ok = handshaken(Server, "done"),
            {Socket, hornbeam_tls:describe(Socket, Server)}
    catch
        exit:Reason:Stack ->
            ok = handshaken(Server, "failed"),
            erlang:raise(exit, Reason, Stack)
    end.

handshaken(Server, Result) ->
    hornbeam_counts:count(Server, <<"hornbeam_tls_handshakes_total">>, [{"result", Result}]).

ends({Peer, Sock}, _Transport, _Socket) -> {Peer, Sock};
ends(none, Transport, Socket) -> {address(Transport:peername(Socket)), address(Transport:sockname(Socket))}.

%% A client that has gone already has no address any more.
address({ok, Address}) -> Address;
address({error, _}) -> undefined.

protocol(false, _Socket, #{http_version := Versions}) ->
    case Versions of
        ['HTTP/2'] -> http2;
        _ -> {http1, lists:member('HTTP/2', Versions)}
    end;
protocol(true, Socket, #{http_version := Versions}) ->
    case ssl:negotiated_protocol(Socket) of
        {ok, <<"h2">>} -> http2;
        _ when Versions =:= ['HTTP/2'] -> http2;
        _ -> {http1, false}
    end.

http1(Parent, Transport, Socket, Context, Http2, #{http1 := Settings}) ->
    hornbeam_http1:start(#{parent => Parent, transport => Transport, socket => Socket, settings => Settings, http2 => Http2, context => Context}).

http2(Parent, Transport, Socket, Context, #{http2 := Settings}) ->
    hornbeam_http2:start(#{parent => Parent, transport => Transport, socket => Socket, settings => Settings, context => Context}).
