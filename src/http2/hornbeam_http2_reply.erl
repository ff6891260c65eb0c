%%% The fields of an HTTP/2 response as Cowboy takes them: a map, in which a name is there once (RFC 9113, 8.2).
%%%
%%% Called by: hornbeam_http2_stream. Calls: hornbeam_headers. Pure but for the time of day.
%%%
%%% No whitespace is around a value (RFC 9113, 8.2.1). Repeated fields are joined with ", " in order (RFC 9110, 5.3); set-cookie, which
%%% cannot be joined, is a list.
-module(hornbeam_http2_reply).

-export([head/2, fields/1]).

%% @doc Length: what content-length says, or `none'.
-spec head(hornbeam_headers:headers(), non_neg_integer() | none) -> cowboy:http_headers().
head(Headers, none) ->
    fields(hornbeam_headers:with_defaults(Headers));
head(Headers, Length) ->
    (head(Headers, none))#{<<"content-length">> => integer_to_binary(Length)}.

%% @doc Of an informational response or a trailer section: nothing is added.
-spec fields(hornbeam_headers:headers()) -> cowboy:http_headers().
fields(Headers) ->
    Kept = hornbeam_headers:end_to_end(Headers),
    case [hornbeam_headers:trim(Value) || {<<"set-cookie">>, Value} <- Kept] of
        [] -> joined(Kept, #{});
        Cookies -> (joined(Kept, #{}))#{<<"set-cookie">> => Cookies}
    end.

joined([{<<"set-cookie">>, _} | Rest], Map) ->
    joined(Rest, Map);
joined([{Name, Value0} | Rest], Map) ->
    Value = hornbeam_headers:trim(Value0),
    joined(Rest, case Map of
        #{Name := _} when Value =:= <<>> -> Map;
        #{Name := <<>>} -> Map#{Name := Value};
        #{Name := Before} -> Map#{Name := <<Before/binary, ", ", Value/binary>>};
        _ -> Map#{Name => Value}
    end);
joined([], Map) ->
    Map.
