%%% The process of one connection, until Cowboy's protocol takes over: PROXY header, TLS handshake, choice of the protocol.
%%%
%%% Called by: Ranch (one process each). Calls: hornbeam_clock, hornbeam_tls, cowboy_http, cowboy_http2. Takes the place of cowboy_clear
%%% and cowboy_tls, which know neither certificates that change nor which protocols are wanted.
%%%
%%% Failure modes: a PROXY header that is none closes the connection without a word. Cowboy 2.12 crashes on some malformed heads
%%% (a line that ends with LF alone); that is answered with 400 here, unless a response is on its way.
-module(hornbeam_connection).
-behaviour(ranch_protocol).

-export([start_link/3, init/4]).
-export_type([settings/0]).

%% How long a PROXY header may take, and how long a client has to read a 400.
-define(PROXY_MS, 5000).
-define(LINGER_MS, 500).

-type settings() :: #{proxy_protocol := boolean(), http_version := ['HTTP/1.1' | 'HTTP/2'],
                      keepalive_timeout := timeout(), header_timeout := timeout(),
                      max_requests := pos_integer() | infinity, max_head := pos_integer(),
                      half_close := boolean()}.

-spec start_link(ranch:ref(), module(), cowboy:opts()) -> {ok, pid()}.
start_link(Ref, Transport, Options) ->
    {ok, proc_lib:spawn_link(?MODULE, init, [self(), Ref, Transport, Options])}.

-spec init(Parent :: pid(), ranch:ref(), module(), cowboy:opts()) -> ok.
init(Parent, Ref, Transport, #{hornbeam := Server, connection := Settings} = Options) ->
    ok = proxied(Ref, Settings),
    {ok, Socket} = handshake(Ref, Transport:secure(), Server),
    process_flag(trap_exit, true),
    ok = hornbeam_clock:start((maps:with([keepalive_timeout, header_timeout, max_requests, max_head,
                                          half_close],
                                         Settings))#{received => received(Transport, Socket)}),
    Protocol = protocol(Transport:secure(), Socket, Settings),
    try
        Protocol:init(Parent, Ref, Socket, Transport, undefined, Options)
    catch
        error:Reason:Stack ->
            case is_parser(Stack) of
                true -> refuse(Transport, Socket);
                false -> erlang:raise(error, Reason, Stack)
            end
    end.

%% Every peer of such a listener is a proxy: without a header no request is believed.
proxied(Ref, #{proxy_protocol := true}) ->
    case ranch:recv_proxy_header(Ref, ?PROXY_MS) of
        {ok, #{command := proxy, src_address := Ip, src_port := Port, dest_address := OwnIp, dest_port := OwnPort}} ->
            _ = put(hornbeam_proxied, {{Ip, Port}, {OwnIp, OwnPort}}),
            ok;
        %% The proxy's own health check, or a client whose address it does not know.
        {ok, _Local} ->
            ok;
        _Error ->
            exit({shutdown, no_proxy_header})
    end;
proxied(_Ref, _Settings) ->
    ok.

handshake(Ref, false, _Server) ->
    ranch:handshake(Ref);
handshake(Ref, true, Server) ->
    {ok, Socket} = ranch:handshake(Ref, hornbeam_tls:handshake_options(Server)),
    ok = hornbeam_tls:note(Socket, Server),
    {ok, Socket}.

received(Transport, Socket) ->
    fun() ->
        case Transport:getstat(Socket, [recv_oct]) of
            {ok, [{recv_oct, Octets}]} -> Octets;
            {error, _} -> 0
        end
    end.

protocol(false, _Socket, #{http_version := ['HTTP/2']}) ->
    cowboy_http2;
protocol(false, _Socket, _Settings) ->
    cowboy_http;
protocol(true, Socket, #{http_version := Versions}) ->
    case ssl:negotiated_protocol(Socket) of
        {ok, <<"h2">>} -> cowboy_http2;
        _ when Versions =:= ['HTTP/2'] -> cowboy_http2;
        _ -> cowboy_http
    end.

is_parser([{cowboy_http, Function, _, _} | _]) ->
    Name = atom_to_list(Function),
    lists:prefix("parse_", Name) orelse lists:prefix("skip_uri", Name)
        orelse lists:prefix("is_http2", Name);
is_parser([{cow_http_hd, _, _, _} | Rest]) ->
    is_parser(Rest);
is_parser(_) ->
    false.

-spec refuse(module(), ranch_transport:socket()) -> no_return().
refuse(Transport, Socket) ->
    _ = hornbeam_clock:is_busy() orelse Transport:send(Socket, hornbeam_error:last_words(400)),
    _ = Transport:shutdown(Socket, write),
    {_, Closed, Error, _} = Transport:messages(),
    receive
        {Closed, Socket} -> ok;
        {Error, Socket, _} -> ok
    after ?LINGER_MS ->
        ok
    end,
    exit({shutdown, malformed}).
