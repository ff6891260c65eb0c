%%% The WebSocket handshake: what the server itself refuses, and what is sent when the application has accepted.
%%%
%%% Called by: hornbeam_stream, in the connection process. Calls: hornbeam_headers, hornbeam_websocket_codec
%%% (permessage-deflate), hornbeam_websocket (HTTP/2), hornbeam_websockets (the limit).
%%%
%%% Between check/3 and accept/5 the request goes the way of every request (hornbeam_request, as a kind of its own): a
%%% place on a worker, the deadline `timeout', a second worker if the first dies, a denial response. So a connection that
%%% is not accepted costs no process.
%%%
%%% HTTP/1.1: RFC 6455, 4.2. HTTP/2: RFC 8441, with an extended CONNECT.
-module(hornbeam_websocket_handshake).

-export([is_upgrade/1, check/3, accept/5, failed/1]).
-export_type([handshake/0, refusal/0]).

-include("hornbeam.hrl").

-record(handshake, {
    version :: cowboy:http_version(),
    streamid :: cowboy_stream:streamid(),
    server :: atom(),
    settings :: map(),
    key :: binary() | undefined,
    extensions :: binary() | undefined
}).
-opaque handshake() :: #handshake{}.
-type refusal() :: {cowboy:http_status(), hornbeam_headers:headers(), Body :: binary()}.

%% @doc Whether a request asks for a WebSocket. Every request is asked.
-spec is_upgrade(cowboy_req:req()) -> boolean().
is_upgrade(#{headers := #{<<"upgrade">> := Upgrade}, version := 'HTTP/1.1'}) ->
    lists:member(<<"websocket">>, tokens(Upgrade));
is_upgrade(#{protocol := Protocol}) ->
    string:lowercase(Protocol) =:= <<"websocket">>;
is_upgrade(_Req) ->
    false.

tokens(Value) ->
    [string:lowercase(string:trim(Token)) || Token <- binary:split(Value, <<",">>, [global])].

%% @doc What the server can say without the application. A handshake that passes has taken a place
%% (hornbeam_websockets:enter/2).
-spec check(cowboy_req:req(), Server :: atom(), Settings :: map()) ->
    {ok, handshake()} | {refuse, refusal()}.
check(#{version := Version, headers := Headers, streamid := StreamId} = Req, Server, Settings) ->
    case valid(Req, allowed(Headers, Settings)) of
        true -> enter(#handshake{version = Version, streamid = StreamId, server = Server,
                                 settings = Settings,
                                 key = maps:get(<<"sec-websocket-key">>, Headers, undefined),
                                 extensions = maps:get(<<"sec-websocket-extensions">>, Headers,
                                                       undefined)});
        false -> {refuse, {403, [], <<"Forbidden">>}};
        bad_version -> {refuse, {426, [{<<"sec-websocket-version">>, <<"13">>}],
                                 <<"Upgrade Required">>}};
        bad_request -> {refuse, {400, [], <<"Bad Request">>}}
    end.

enter(#handshake{server = Server, settings = #{websocket_max_connections := Max}} = Handshake) ->
    case hornbeam_websockets:enter(Server, Max) of
        ok -> {ok, Handshake};
        full -> {refuse, {503, [{<<"retry-after">>, <<"1">>}], <<"Service Unavailable">>}}
    end.

%% In the order in which a client learns most.
valid(#{headers := #{<<"sec-websocket-version">> := Version}}, _) when Version =/= <<"13">> ->
    bad_version;
valid(#{protocol := _}, Allowed) ->
    Allowed;
valid(#{method := <<"GET">>, has_body := false,
        headers := #{<<"connection">> := Connection, <<"sec-websocket-key">> := Key,
                     <<"sec-websocket-version">> := _}}, Allowed) ->
    case lists:member(<<"upgrade">>, tokens(Connection)) andalso is_key(Key) of
        true -> Allowed;
        false -> bad_request
    end;
valid(_Req, _Allowed) ->
    bad_request.

%% 16 bytes in base64 (RFC 6455, 4.1).
is_key(Key) when byte_size(Key) =:= 24 ->
    try byte_size(base64:decode(Key)) =:= 16
    catch error:_ -> false
    end;
is_key(_Key) ->
    false.

%% A client that is no browser sends no Origin, and could send any.
allowed(#{<<"origin">> := Origin}, #{websocket_origins := [_ | _] = Allowed}) ->
    lists:member(string:lowercase(Origin), Allowed);
allowed(_Headers, _Settings) ->
    true.

%% @doc The handshake has come to nothing: its place is free again.
-spec failed(handshake()) -> ok.
failed(#handshake{server = Server}) ->
    hornbeam_websockets:leave(Server).

%% @doc The application has accepted: the commands for Cowboy, and on HTTP/2 the process of the connection.
-spec accept(handshake(), #slot{}, hornbeam_frame:stream_id(), Subprotocol :: binary() | none,
             Packed :: binary()) ->
    {ok, cowboy_stream:commands(), switched | pid()} | {error, term()}.
accept(Handshake, Slot, Id, Subprotocol, Packed) ->
    case headers(Subprotocol, Packed) of
        {ok, Headers} -> accepted(Headers, Handshake, Slot, Id);
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

accepted(Headers, #handshake{version = 'HTTP/2', streamid = StreamId} = Handshake, Slot, Id) ->
    Pid = hornbeam_websocket:start_stream(self(), StreamId),
    {Extra, Handover} = handover(Pid, Handshake, Slot, Id),
    Pid ! {start, Handover},
    Map = hornbeam_headers:response(Headers ++ Extra, none, 'HTTP/2', map),
    {ok, [{headers, 200, Map}, {spawn, Pid, 5000}], Pid};
accepted(Headers, #handshake{version = Version, key = Key} = Handshake, Slot, Id) ->
    {Extra, Handover} = handover(self(), Handshake, Slot, Id),
    Map0 = hornbeam_headers:response(Headers ++ Extra, none, Version, block),
    Map = Map0#{<<"connection">> => <<"Upgrade">>, <<"upgrade">> => <<"websocket">>,
                <<"sec-websocket-accept">> => cow_ws:encode_key(Key)},
    {ok, [{switch_protocol, Map, hornbeam_websocket, Handover}], switched}.

handover(Pid, #handshake{server = Server, settings = Settings, extensions = Offer}, Slot, Id) ->
    ok = hornbeam_websockets:register(Server, Pid),
    {Extra, Deflate} = case hornbeam_websocket_codec:negotiate(Offer, Pid, Settings) of
        none -> {[], none};
        {Answer, Contexts} -> {[{<<"sec-websocket-extensions">>, iolist_to_binary(Answer)}], Contexts}
    end,
    {Extra, #{server => Server, slot => Slot, id => Id, settings => Settings, deflate => Deflate}}.
