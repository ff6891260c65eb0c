%%% The head of an HTTP/2 request from what Cowboy gives: checked where Cowboy lets through what RFC 9110, 9113 and 3986 do not.
%%%
%%% Called by: hornbeam_http2_stream, for each request, before a byte of it reaches Python. Calls: hornbeam_hygiene, hornbeam_headers,
%%% hornbeam_authority. Pure.
%%%
%%% Cowboy's map has each field once: repeated ones are joined (RFC 9110, 5.2), in no order.
-module(hornbeam_http2_head).

-export([read/3]).

-include("hornbeam_head.hrl").

-define(MAX_NAME, 256).
-define(MAX_DIGITS, 18).

%% @doc Limits: max_request_line, max_headers, max_header_size, max_head_size, strict_target. Place: the ends of the connection.
-spec read(cowboy_req:req(), Limits :: map(), hornbeam_scope:place()) ->
    {ok, #head{}} | {refuse, malformed | uri_too_long | header_too_large, #head{}}.
read(#{method := Method, path := Path, qs := Query, headers := Headers0} = Req, Limits, Place) ->
    {Peer, Sock} = hornbeam_scope:ends(Place),
    Headers = with_host(Headers0, Req),
    Head = #head{method = Method, path = Path, query = Query, version = 'HTTP/2', peer = Peer, sock = Sock,
                 host = maps:get(<<"host">>, Headers, undefined), fields = maps:to_list(Headers), length = body_length(Req),
                 te = maps:get(<<"te">>, Headers, undefined), protocol = maps:get(protocol, Req, undefined),
                 expect = expect(Headers)},
    case check(Head, Headers, Req, Limits) of
        ok -> {ok, Head};
        {error, Reason} -> {refuse, Reason, Head}
    end.

body_length(#{has_body := false}) -> 0;
body_length(#{body_length := undefined}) -> unknown;
body_length(#{body_length := Length}) -> Length.

expect(#{<<"expect">> := Value}) ->
    case hornbeam_headers:lower(Value) of
        <<"100-continue">> -> continue;
        _ -> none
    end;
expect(_Headers) -> none.

%% HTTP/2 needs no host field; its :authority arrives as one (ASGI, "headers").
with_host(#{<<"host">> := _} = Headers, _Req) ->
    Headers;
with_host(Headers, #{host := Host, port := Port, scheme := Scheme}) ->
    Authority = case Port =:= default_port(Scheme) of
        true -> Host;
        false -> <<Host/binary, $:, (integer_to_binary(Port))/binary>>
    end,
    Headers#{<<"host">> => Authority}.

default_port(<<"https">>) -> 443;
default_port(_) -> 80.

check(#head{path = Path, query = Query}, Headers, Req,
      #{max_request_line := MaxLine, max_headers := MaxHeaders, max_header_size := MaxValue, max_head_size := MaxHead,
        strict_target := Strict}) ->
    case is_target(Path, Strict) andalso is_target(Query, Strict) of
        false ->
            {error, malformed};
        true when byte_size(Path) + byte_size(Query) + 13 > MaxLine ->
            {error, uri_too_long};
        true when map_size(Headers) > MaxHeaders ->
            {error, header_too_large};
        true ->
            case fields(maps:to_list(Headers), MaxValue, MaxHead) of
                ok -> special(Headers, Req);
                Error -> Error
            end
    end.

is_target(Bytes, true) -> hornbeam_hygiene:is_uri(Bytes);
is_target(Bytes, false) -> hornbeam_hygiene:is_target(Bytes).

fields([{Name, Value} | Rest], MaxValue, Left) when byte_size(Value) =< MaxValue, byte_size(Name) =< ?MAX_NAME ->
    case Left - byte_size(Name) - byte_size(Value) - 4 of
        NowLeft when NowLeft < 0 ->
            {error, header_too_large};
        NowLeft ->
            case hornbeam_hygiene:is_value(Value) andalso hornbeam_headers:is_name(Name) of
                true -> fields(Rest, MaxValue, NowLeft);
                false -> {error, malformed}
            end
    end;
fields([], _MaxValue, _Left) ->
    ok;
fields(_, _MaxValue, _Left) ->
    {error, header_too_large}.

special(Headers, Req) ->
    case length_is_number(Headers) andalso host(Headers, Req) of
        true -> ok;
        false -> {error, malformed}
    end.

%% RFC 9110, 8.6: digits and nothing else.
length_is_number(#{<<"content-length">> := Length}) ->
    byte_size(Length) =< ?MAX_DIGITS andalso hornbeam_headers:is_digits(Length);
length_is_number(_Headers) ->
    true.

%% RFC 9113, 8.3.1: a host field must say the same as :authority.
host(#{<<"host">> := Host}, #{host := Name, port := Port, scheme := Scheme}) ->
    case hornbeam_authority:parse(Host) of
        {ok, {Same, undefined}} -> Same =:= hornbeam_headers:lower(Name) andalso Port =:= default_port(Scheme);
        {ok, {Same, Port}} -> Same =:= hornbeam_headers:lower(Name);
        _ -> false
    end.
