%%% The fields of an HTTP/2 response (RFC 9113, 8.2 and 8.3.2), in the application's order, repeated as given.
%%%
%%% Called by: hornbeam_http2_stream. Calls: hornbeam_headers. Pure but for the time of day.
-module(hornbeam_http2_reply).

-export([head/4, inform/2, fields/1]).

%% @doc Of a response. Length: what content-length says, or `none'.
-spec head(Status :: 200..999, hornbeam_headers:headers(), non_neg_integer() | none, hornbeam_headers:defaults()) ->
    hornbeam_headers:headers().
head(Status, Headers, none, Defaults) ->
    [status(Status) | fields(hornbeam_headers:with_defaults(Headers, Defaults))];
head(Status, Headers, Length, Defaults) ->
    [status(Status) | fields(hornbeam_headers:with_defaults(Headers, Defaults)) ++ [{<<"content-length">>, integer_to_binary(Length)}]].

%% @doc Of an informational response: nothing is added.
-spec inform(100..199, hornbeam_headers:headers()) -> hornbeam_headers:headers().
inform(Status, Headers) ->
    [status(Status) | fields(Headers)].

status(Status) -> {<<":status">>, integer_to_binary(Status)}.

%% @doc Of a trailer section, too. No whitespace is around a value (RFC 9113, 8.2.1).
-spec fields(hornbeam_headers:headers()) -> hornbeam_headers:headers().
fields(Headers) ->
    [{Name, hornbeam_headers:trim(Value)} || {Name, Value} <- hornbeam_headers:end_to_end(Headers)].
