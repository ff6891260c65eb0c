%%% The WebSocket handshake: what the server itself refuses, and what is answered when the application has accepted.
%%%
%%% Called by: hornbeam_exchange (check, accept, failed), hornbeam_observe (watched/2), the protocols (handover/2, when they answer), in the connection's process. Calls:
%%% hornbeam_headers, hornbeam_websocket_extensions, hornbeam_websockets (the limit).
%%%
%%% Between check/4 and accept/5 the request goes the way of every request (hornbeam_request, as a kind of its own): a
%%% place on a worker, the deadline `timeout', a second worker if the first dies, a denial response. So a connection that
%%% is not accepted costs no process.
%%%
%%% HTTP/1.1: RFC 6455, 4.2. HTTP/2: RFC 8441, with an extended CONNECT.
-module(hornbeam_websocket_handshake).

-export([is_upgrade/2, check/4, accept/5, fields/1, with_fields/2, watched/2, failed/1, handover/2, key/1]).
-export_type([handshake/0, accepted/0, refusal/0]).

-include("hornbeam.hrl").
-include("hornbeam_head.hrl").

-record(handshake, {
    server :: atom(),
    settings :: map(),
    guest :: none | module(),                   % whose connection it becomes (hornbeam_websocket)
    key :: binary() | undefined,
    extensions :: binary() | undefined
}).
-opaque handshake() :: #handshake{}.
-record(accepted, {
    handshake :: handshake(),
    slot :: #slot{},
    id :: hornbeam_frame:stream_id(),
    headers :: hornbeam_headers:headers(),
    watch = none :: hornbeam_websockets:watch()
}).
-opaque accepted() :: #accepted{}.
-type refusal() :: {Status :: 400..599, hornbeam_headers:headers(), Body :: binary()}.

%% @doc Whether a request asks for a WebSocket. Every request is asked. Where there are none, an upgrade is a request like others (RFC 9110,
%% 7.8), while an extended CONNECT can be nothing else: check/4 refuses it.
-spec is_upgrade(#head{}, Settings :: map()) -> boolean().
is_upgrade(#head{upgrade = undefined, protocol = undefined}, _Settings) -> false;
is_upgrade(#head{protocol = undefined}, #{websocket := false}) -> false;
is_upgrade(#head{upgrade = Upgrade, version = 'HTTP/1.1'}, _Settings) when Upgrade =/= undefined -> has_token(<<"websocket">>, Upgrade);
is_upgrade(#head{protocol = Protocol}, _Settings) when Protocol =/= undefined -> hornbeam_headers:lower(Protocol) =:= <<"websocket">>;
is_upgrade(_Head, _Settings) -> false.

has_token(Token, Value) ->
    lists:member(Token, [string:trim(Element) || Element <- binary:split(hornbeam_headers:lower(Value), <<",">>, [global])]).

%% @doc What the server can say without the application. A handshake that passes has taken a place
%% (hornbeam_websockets:enter/2).
-spec check(#head{}, Server :: atom(), Settings :: map(), Guest :: none | module()) -> {ok, handshake()} | {refuse, refusal()}.
check(_Head, _Server, #{websocket := false}, _Guest) ->
    {refuse, {501, [], <<"Not Implemented">>}};
check(#head{fields = Fields} = Head, Server, Settings, Guest) ->
    case valid(Head, allowed(Fields, Settings)) of
        true -> enter(#handshake{server = Server, settings = Settings, guest = Guest, key = value(<<"sec-websocket-key">>, Fields),
                                 extensions = value(<<"sec-websocket-extensions">>, Fields)});
        false -> {refuse, {403, [], <<"Forbidden">>}};
        bad_version -> {refuse, {426, [{<<"sec-websocket-version">>, <<"13">>}], <<"Upgrade Required">>}};
        bad_request -> {refuse, {400, [], <<"Bad Request">>}}
    end.

%% Repeated, the field means the same as one with all their elements (RFC 6455, 9.1).
value(Name, Fields) ->
    case [Value || {N, Value} <- Fields, N =:= Name] of
        [] -> undefined;
        Values -> iolist_to_binary(lists:join(<<", ">>, Values))
    end.

enter(#handshake{server = Server, settings = #{websocket_max_connections := Max}} = Handshake) ->
    case hornbeam_websockets:enter(Server, Max) of
        ok -> {ok, Handshake};
        full -> {refuse, {503, [{<<"retry-after">>, <<"1">>}], <<"Service Unavailable">>}}
    end.

%% In the order in which a client learns most.
valid(#head{protocol = undefined, method = Method, length = Length, fields = Fields}, Allowed) ->
    case value(<<"sec-websocket-version">>, Fields) of
        <<"13">> ->
            Upgrades = has_token(<<"upgrade">>, case value(<<"connection">>, Fields) of undefined -> <<>>; Value -> Value end),
            case Method =:= <<"GET">> andalso Length =:= 0 andalso Upgrades
                 andalso is_key(value(<<"sec-websocket-key">>, Fields)) of
                true -> Allowed;
                false -> bad_request
            end;
        undefined -> bad_request;
        _ -> bad_version
    end;
valid(#head{fields = Fields}, Allowed) ->
    case value(<<"sec-websocket-version">>, Fields) of
        Version when Version =:= <<"13">>; Version =:= undefined -> Allowed;
        _ -> bad_version
    end.

%% 16 bytes in base64 (RFC 6455, 4.1).
is_key(Key) when is_binary(Key), byte_size(Key) =:= 24 ->
    try byte_size(base64:decode(Key)) =:= 16
    catch error:_ -> false
    end;
is_key(_Key) ->
    false.

%% A client that is no browser sends no Origin, and could send any.
allowed(Fields, #{websocket_origins := [_ | _] = Allowed}) ->
    case hornbeam_headers:find(<<"origin">>, Fields) of
        {ok, Origin} -> lists:member(string:lowercase(Origin), Allowed);
        error -> true
    end;
allowed(_Fields, _Settings) ->
    true.

%% @doc The handshake has come to nothing: its place is free again.
-spec failed(handshake()) -> ok.
failed(#handshake{server = Server}) ->
    hornbeam_websockets:leave(Server).

%% @doc The application has accepted, with fields that may be sent.
-spec accept(handshake(), #slot{}, hornbeam_frame:stream_id(), Subprotocol :: binary() | none, Packed :: binary()) ->
    {ok, accepted()} | {error, term()}.
accept(Handshake, Slot, Id, Subprotocol, Packed) ->
    case headers(Subprotocol, Packed) of
        {ok, Headers} -> {ok, #accepted{handshake = Handshake, slot = Slot, id = Id, headers = Headers}};
        {error, Reason} -> {error, Reason}
    end.

headers(none, Packed) ->
    hornbeam_headers:decode(Packed);
headers(Subprotocol, Packed) ->
    case {hornbeam_headers:is_token(Subprotocol), hornbeam_headers:decode(Packed)} of
        {true, {ok, Headers}} -> {ok, [{<<"sec-websocket-protocol">>, Subprotocol} | Headers]};
        {false, _} -> {error, {bad_header, <<"the subprotocol is not a token">>}};
        {_, Error} -> Error
    end.

%% @doc What the application has said in the answer.
-spec fields(accepted()) -> hornbeam_headers:headers().
fields(#accepted{headers = Headers}) -> Headers.

-spec with_fields(hornbeam_headers:headers(), accepted()) -> accepted().
with_fields(Headers, Accepted) -> Accepted#accepted{headers = Headers}.

%% @doc Somebody is told when the connection has ended.
-spec watched(hornbeam_websockets:watch(), accepted()) -> accepted().
watched(Watch, Accepted) -> Accepted#accepted{watch = Watch}.

%% @doc Hands the connection to a process: the fields of the answer, and what the process needs (hornbeam_websocket).
-spec handover(accepted(), pid()) -> {hornbeam_headers:headers(), hornbeam_websocket:handover()}.
handover(#accepted{handshake = Handshake, slot = Slot, id = Id, headers = Headers, watch = Watch}, Pid) ->
    #handshake{server = Server, settings = Settings, guest = Guest, extensions = Offer} = Handshake,
    ok = hornbeam_websockets:register(Server, Pid, Watch),
    {Extra, Deflate} = case hornbeam_websocket_extensions:negotiate(Offer, Pid, Settings) of
        none -> {[], none};
        {Answer, Contexts} -> {[{<<"sec-websocket-extensions">>, Answer}], Contexts}
    end,
    {Headers ++ Extra, #{server => Server, slot => Slot, id => Id, settings => Settings, guest => Guest, deflate => Deflate}}.

%% @doc The value of Sec-WebSocket-Accept (RFC 6455, 4.2.2).
-spec key(accepted()) -> binary().
key(#accepted{handshake = #handshake{key = Key}}) ->
    base64:encode(crypto:hash(sha, <<Key/binary, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11">>)).
