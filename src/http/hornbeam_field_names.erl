%%% Names of header fields in lower case, the common ones as shared literals.
%%%
%%% Called by: hornbeam_http1_head, for each field of a request. Pure.
%%%
%%% A literal costs the request nothing: neither a copy in lower case nor a reference that keeps the read alive in which it came.
-module(hornbeam_field_names).

-export([canonical/1]).

-define(FIELD(Lower, Usual), <<Lower>> => <<Lower>>, <<Usual>> => <<Lower>>).
-define(SPECIAL(Lower, Usual), <<Lower>> => {special, <<Lower>>}, <<Usual>> => {special, <<Lower>>}).

%% @doc The name in lower case; `special' where framing, the connection or the protocol depends on it.
-spec canonical(binary()) -> binary() | {special, binary()}.
canonical(Name) ->
    case names() of
        #{Name := Known} -> Known;
        #{} -> unusual(hornbeam_headers:lower(Name))
    end.

unusual(Lower) ->
    case names() of
        #{Lower := Known} -> Known;
        #{} -> Lower
    end.

names() ->
    #{?SPECIAL("host", "Host"), ?SPECIAL("connection", "Connection"), ?SPECIAL("content-length", "Content-Length"),
      ?SPECIAL("transfer-encoding", "Transfer-Encoding"), ?SPECIAL("expect", "Expect"), ?SPECIAL("upgrade", "Upgrade"),
      <<"te">> => {special, <<"te">>}, <<"TE">> => {special, <<"te">>},
      ?FIELD("accept", "Accept"), ?FIELD("accept-charset", "Accept-Charset"), ?FIELD("accept-encoding", "Accept-Encoding"),
      ?FIELD("accept-language", "Accept-Language"), ?FIELD("access-control-request-headers", "Access-Control-Request-Headers"),
      ?FIELD("access-control-request-method", "Access-Control-Request-Method"), ?FIELD("authorization", "Authorization"),
      ?FIELD("cache-control", "Cache-Control"), ?FIELD("content-encoding", "Content-Encoding"),
      ?FIELD("content-type", "Content-Type"), ?FIELD("cookie", "Cookie"), ?FIELD("date", "Date"), ?FIELD("dnt", "DNT"),
      ?FIELD("forwarded", "Forwarded"), ?FIELD("from", "From"), ?FIELD("if-match", "If-Match"),
      ?FIELD("if-modified-since", "If-Modified-Since"), ?FIELD("if-none-match", "If-None-Match"), ?FIELD("if-range", "If-Range"),
      ?FIELD("if-unmodified-since", "If-Unmodified-Since"), ?FIELD("keep-alive", "Keep-Alive"), ?FIELD("origin", "Origin"),
      ?FIELD("pragma", "Pragma"), ?FIELD("priority", "Priority"), ?FIELD("proxy-connection", "Proxy-Connection"),
      ?FIELD("range", "Range"), ?FIELD("referer", "Referer"), ?FIELD("sec-ch-ua", "Sec-CH-UA"),
      ?FIELD("sec-ch-ua-mobile", "Sec-CH-UA-Mobile"), ?FIELD("sec-ch-ua-platform", "Sec-CH-UA-Platform"),
      ?FIELD("sec-fetch-dest", "Sec-Fetch-Dest"), ?FIELD("sec-fetch-mode", "Sec-Fetch-Mode"),
      ?FIELD("sec-fetch-site", "Sec-Fetch-Site"), ?FIELD("sec-fetch-user", "Sec-Fetch-User"),
      ?FIELD("sec-websocket-extensions", "Sec-WebSocket-Extensions"), ?FIELD("sec-websocket-key", "Sec-WebSocket-Key"),
      ?FIELD("sec-websocket-protocol", "Sec-WebSocket-Protocol"), ?FIELD("sec-websocket-version", "Sec-WebSocket-Version"),
      ?FIELD("traceparent", "Traceparent"), ?FIELD("tracestate", "Tracestate"),
      ?FIELD("upgrade-insecure-requests", "Upgrade-Insecure-Requests"), ?FIELD("user-agent", "User-Agent"), ?FIELD("via", "Via"),
      ?FIELD("x-csrf-token", "X-CSRF-Token"), ?FIELD("x-forwarded-for", "X-Forwarded-For"),
      ?FIELD("x-forwarded-host", "X-Forwarded-Host"), ?FIELD("x-forwarded-port", "X-Forwarded-Port"),
      ?FIELD("x-forwarded-prefix", "X-Forwarded-Prefix"), ?FIELD("x-forwarded-proto", "X-Forwarded-Proto"),
      ?FIELD("x-real-ip", "X-Real-IP"), ?FIELD("x-request-id", "X-Request-ID"), ?FIELD("x-requested-with", "X-Requested-With")}.
