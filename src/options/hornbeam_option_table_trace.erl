%%% The options of traces and of what the log says of requests: a part of the table of options (hornbeam_option_table, which says what an entry is).
-module(hornbeam_option_table_trace).

-export([trace/0, endpoint/1, headers/1, id_to_show/1]).

-spec trace() -> [hornbeam_option_types:spec()].
trace() ->
    [#{group => observability, key => trace, type => boolean, default => false, implied_by => [trace_endpoint], scope => server,
       doc => "W3C trace context: that of a request's traceparent or a new one; for the application, its log lines and what it calls."},
     #{group => observability, key => trace_endpoint, type => text, default => "", scope => server, metavar => "URL", check => fun endpoint/1,
       doc => "Where spans are sent by OTLP over HTTP, such as http://localhost:4318/v1/traces; \"\" with trace for OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or "
              "OTEL_EXPORTER_OTLP_ENDPOINT, and for nowhere without these."},
     #{group => observability, key => trace_sample, type => {custom, hornbeam_option_share}, default => 1, scope => server, metavar => "SHARE",
       doc => "Share of the requests whose spans are sent, from 0 to 1 or in percent, where a request does not say by its traceparent."},
     #{group => observability, key => trace_protocol, type => {auto, {enum, [protobuf, json]}}, default => auto, scope => server,
       doc => "How spans are written; auto: as OTEL_EXPORTER_OTLP_PROTOCOL says, else protobuf."},
     #{group => observability, key => trace_headers, flag => "trace-header", metavar => "NAME=VALUE", type => {list, text}, default => [], scope => server,
       secret => true, check => fun headers/1,
       doc => "Header fields of what is sent to trace_endpoint, besides those of OTEL_EXPORTER_OTLP_HEADERS. Best given in the environment or a file, "
              "since others can see flags."},
     #{group => observability, key => trace_service, type => text, default => "", scope => server, metavar => "NAME",
       doc => "service.name of the spans; \"\": OTEL_SERVICE_NAME, else the application's module."},
     #{group => observability, key => trace_response, type => boolean, default => false, scope => server,
       doc => "Tells the client the trace of its request in the header traceresponse."},
     #{group => observability, key => trace_sentry, type => boolean, default => false, scope => server,
       doc => "Gives the application the header sentry-trace as well, where the request has none, so that sentry-sdk continues the trace."},
     #{group => observability, key => error_page, type => {enum, [plain, id]}, default => plain, scope => server,
       doc => "What bare error texts (\"Internal Server Error\") say: nothing more, or the request's id as well, which needs request_id."},
     #{group => observability, key => log_rate, type => {limit, 1, 1000000}, default => 1000, scope => server,
       doc => "Lines a second that one place in the code may log; what is beyond is counted and said. One limit for the node; only where "
              "the command hornbeam has started the VM."}].

-spec endpoint(binary()) -> ok | {error, iodata(), term()}.
endpoint(<<>>) -> ok;
endpoint(Url) ->
    case uri_string:parse(Url) of
        #{scheme := Scheme, host := Host} when (Scheme =:= <<"http">> orelse Scheme =:= <<"https">>), Host =/= <<>> -> ok;
        _ -> {error, "must be a URL that begins with http:// or https://", Url}
    end.

-spec headers([binary()]) -> ok | {error, iodata(), term()}.
headers(Headers) ->
    Wrong = [Header || Header <- Headers, nomatch =:= re:run(Header, "^[A-Za-z0-9!#$%&'*+.^_`|~-]+=[\\t\\x20-\\x7e]*$", [dollar_endonly, {capture, none}])],
    case Wrong of
        [] -> ok;
        [One | _] -> {error, "must be of NAME=VALUE", One}
    end.

-spec id_to_show(map()) -> ok | {error, {atom(), iodata()}}.
id_to_show(#{error_page := id, request_id := false}) -> {error, {error_page, "shows the request's id, which there is with request_id only"}};
id_to_show(_) -> ok.
