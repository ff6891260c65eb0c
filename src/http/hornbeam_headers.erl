%%% The only code that handles header fields.
%%%
%%% Called by: hornbeam_scope (request headers to msgpack), hornbeam_request (an application's headers
%%% to what Cowboy takes). Calls: nothing.
%%%
%%% Requests. Cowboy gives a map in which repeated fields are already joined (RFC 9110, 5.2); names are
%%% lower-case.
%%%
%%% Responses. An application's list of pairs is checked first: names are tokens (RFC 9110, 5.6.2; made
%%% lower-case), values hold no CR, LF or NUL (5.5), so that no value can split a response. What belongs to
%%% the connection is Cowboy's to say and is dropped: transfer-encoding, keep-alive, proxy-connection,
%%% upgrade; of `connection' only "close" is kept, and on HTTP/2 nothing (RFC 9113, 8.2.2).
%%%
%%% Order. Cowboy takes a map, which has none. For HTTP/1 the fields therefore travel as one block under the name of
%%% the first: its value is followed by the other lines, in the application's order, repeated fields
%%% as often as they were given. Only the fields that Cowboy itself must see have keys of their own
%%% (content-length, connection, trailer; with `compress' also those that cowboy_compress_h reads, and
%%% then all of them). On HTTP/2 repeated fields are joined with ", " in order; set-cookie never.
-module(hornbeam_headers).

-export([encode_request/1, decode/1, response/4, fields/1, content_length/1]).
-export([is_token/1, is_name/1, is_digits/1]).
-export_type([headers/0]).

%% Names are lower-case.
-type headers() :: [{Name :: binary(), Value :: binary()}].
-type version() :: 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2'.

%%% Requests

%% @doc The request's headers as a msgpack array of [name, value] pairs of bytes.
-spec encode_request(cowboy:http_headers()) -> binary().
encode_request(Headers) ->
    Pairs = maps:to_list(Headers),
    encode_pairs(Pairs, array(length(Pairs))).

encode_pairs([{Name, Value} | Rest], Acc) ->
    NameSize = byte_size(Name),
    ValueSize = byte_size(Value),
    if
        NameSize < 256, ValueSize < 256 ->
            encode_pairs(Rest, <<Acc/binary, 16#92, 16#c4, NameSize, Name/binary,
                                 16#c4, ValueSize, Value/binary>>);
        true ->
            encode_pairs(Rest, <<Acc/binary, 16#92, 16#c6, NameSize:32, Name/binary,
                                 16#c6, ValueSize:32, Value/binary>>)
    end;
encode_pairs([], Acc) ->
    Acc.

array(Size) when Size < 16 -> <<(16#90 bor Size)>>;
array(Size) -> <<16#dc, Size:16>>.

%%% Responses

%% @doc The headers of a frame: a msgpack array of pairs of bytes. Errors name what is wrong.
-spec decode(binary()) -> {ok, headers()} | {error, {bad_header, binary()}}.
decode(<<9:4, Count:4, Pairs/binary>>) -> pairs(Count, Pairs, []);
decode(<<16#dc, Count:16, Pairs/binary>>) -> pairs(Count, Pairs, []);
decode(_) -> {error, {bad_header, <<"headers must be an iterable of pairs of bytes">>}}.

pairs(0, <<>>, Acc) ->
    {ok, lists:reverse(Acc)};
pairs(Count, <<16#92, Rest0/binary>>, Acc) when Count > 0 ->
    case bytes(Rest0) of
        {Name0, Rest1} ->
            case bytes(Rest1) of
                {Value, Rest} -> checked(name(Name0, Name0), Value, Count, Rest, Acc);
                error -> not_bytes()
            end;
        error ->
            not_bytes()
    end;
pairs(_, _, _) ->
    {error, {bad_header, <<"each header must be a pair of bytes">>}}.

checked(error, _Value, _Count, _Rest, _Acc) ->
    {error, {bad_header, <<"a header name is not a token">>}};
checked(Name, Value, Count, Rest, Acc) ->
    case is_value(Value) of
        true -> pairs(Count - 1, Rest, [{Name, Value} | Acc]);
        false -> {error, {bad_header, <<"a value with CR, LF or NUL in ", Name/binary>>}}
    end.

not_bytes() ->
    {error, {bad_header, <<"header names and values must be bytes">>}}.

bytes(<<16#c4, Size, Bytes:Size/binary, Rest/binary>>) -> {Bytes, Rest};
bytes(<<16#c5, Size:16, Bytes:Size/binary, Rest/binary>>) -> {Bytes, Rest};
bytes(<<16#c6, Size:32, Bytes:Size/binary, Rest/binary>>) -> {Bytes, Rest};
bytes(_) -> error.

%% Nearly all names are lower-case tokens already and are returned as they are.
name(<<C, Rest/binary>>, Name) when C >= $a, C =< $z; C =:= $- -> name(Rest, Name);
name(<<C, Rest/binary>>, Name) when C >= $0, C =< $9; C =:= $_ -> name(Rest, Name);
name(<<C, _/binary>>, Name) when C >= $A, C =< $Z -> name(lower(Name));
name(<<C, Rest/binary>>, Name) ->
    case is_token_sign(C) of
        true -> name(Rest, Name);
        false -> error
    end;
name(<<>>, <<>>) -> error;
name(<<>>, Name) -> Name.

name(Name) -> name(Name, Name).

lower(Name) ->
    << <<(if C >= $A, C =< $Z -> C + 32; true -> C end)>> || <<C>> <= Name >>.

%% @doc RFC 9110, 5.6.2.
-spec is_token(binary()) -> boolean().
is_token(Text) -> name(Text) =/= error.

is_token_sign(C) ->
    lists:member(C, "!#$%&'*+.^`|~").

is_value(<<C, Rest/binary>>) when C > 13 -> is_value(Rest);
is_value(<<C, _/binary>>) when C =:= $\r; C =:= $\n; C =:= 0 -> false;
is_value(<<_, Rest/binary>>) -> is_value(Rest);
is_value(<<>>) -> true.

%% @doc Whether it is a token in lower case (RFC 9110, 5.6.2), as Cowboy gives the names of a request.
-spec is_name(binary()) -> boolean().
is_name(Name) -> name(Name, Name) =/= error.

%% @doc The declared length of a response's body: `none', or an error when it is no number or two differ.
-spec content_length(headers()) -> non_neg_integer() | none | {error, {bad_header, binary()}}.
content_length(Headers) ->
    case [Value || {<<"content-length">>, Value} <- Headers] of
        [] -> none;
        [Value | Same] ->
            case lists:all(fun(V) -> V =:= Value end, Same) andalso digits(Value) of
                true -> binary_to_integer(Value);
                false -> {error, {bad_header, <<"content-length is not one number">>}}
            end
    end.

digits(Value) -> byte_size(Value) =< 18 andalso is_digits(Value).

-spec is_digits(binary()) -> boolean().
is_digits(<<>>) -> false;
is_digits(Value) -> all_digits(Value).

all_digits(<<C, Rest/binary>>) when C >= $0, C =< $9 -> all_digits(Rest);
all_digits(Rest) -> Rest =:= <<>>.

%% @doc The map that Cowboy takes. Length: what to say as content-length (`none': nothing; Cowboy
%% then frames the body by itself). Mode: `block' keeps the order (HTTP/1), `map' gives each name a key.
-spec response(headers(), Length :: non_neg_integer() | none, version(), block | map) ->
    cowboy:http_headers().
response(Headers, Length, 'HTTP/2', _Mode) ->
    with_length(Length, joined(defaults(drop(Headers, http2))));
response(Headers, Length, _Version, map) ->
    with_length(Length, joined(defaults(drop(Headers, http1))));
response(Headers, Length, _Version, block) ->
    Kept = defaults(drop(Headers, http1)),
    {Own, [{First, Value} | Others]} = lists:partition(fun is_own/1, Kept),
    Block = [Value | [[<<"\r\n">>, N, <<": ">>, V] || {N, V} <- Others]],
    with_length(Length, (joined(Own))#{First => Block}).

%% @doc The fields of an informational response or of a trailer section: nothing is added, and what frames a
%% message or belongs to the connection is dropped.
-spec fields(headers()) -> cowboy:http_headers().
fields(Headers) ->
    joined(drop(Headers, http2)).

is_own({<<"connection">>, _}) -> true;
is_own({<<"trailer">>, _}) -> true;
is_own(_) -> false.

drop([{Name, Value} | Rest], Protocol) ->
    case Name of
        <<"content-length">> -> drop(Rest, Protocol);
        <<"transfer-encoding">> -> drop(Rest, Protocol);
        <<"keep-alive">> -> drop(Rest, Protocol);
        <<"proxy-connection">> -> drop(Rest, Protocol);
        <<"upgrade">> -> drop(Rest, Protocol);
        <<"connection">> when Protocol =:= http2 -> drop(Rest, Protocol);
        <<"connection">> ->
            case lower(Value) of
                <<"close">> -> [{Name, <<"close">>} | drop(Rest, Protocol)];
                _ -> drop(Rest, Protocol)
            end;
        _ when Protocol =:= http2 -> [{Name, trimmed(Value)} | drop(Rest, Protocol)];
        _ -> [{Name, Value} | drop(Rest, Protocol)]
    end;
drop([], _Protocol) ->
    [].

%% RFC 9113, 8.2.1: no whitespace around a value.
trimmed(<<>>) ->
    <<>>;
trimmed(<<First, _/binary>> = Value) ->
    case is_space(First) orelse is_space(binary:last(Value)) of
        true -> string:trim(Value, both, " \t");
        false -> Value
    end.

is_space(C) -> C =:= $\s orelse C =:= $\t.

%% date (RFC 9110, 6.6.1) and server (10.2.4), unless the application has said so itself. At the end,
%% never empty: response/4 relies on one field that is not `own'.
defaults(Headers) ->
    Headers ++ [Default || {Name, _} = Default <- [{<<"date">>, cowboy_clock:rfc1123()},
                                                   {<<"server">>, <<"hornbeam">>}],
                           not lists:keymember(Name, 1, Headers)].

%% The values of set-cookie are collected last first.
joined(Headers) ->
    case joined(Headers, #{}) of
        #{<<"set-cookie">> := Cookies} = Map -> Map#{<<"set-cookie">> := lists:reverse(Cookies)};
        Map -> Map
    end.

joined([{<<"set-cookie">> = Name, Value} | Rest], Map) ->
    joined(Rest, Map#{Name => [Value | maps:get(Name, Map, [])]});
joined([{Name, Value} | Rest], Map) ->
    joined(Rest, case Map of
        #{Name := Before} when Value =:= <<>> -> Map#{Name := Before};
        #{Name := <<>>} -> Map#{Name := Value};
        #{Name := Before} -> Map#{Name := <<Before/binary, ", ", Value/binary>>};
        _ -> Map#{Name => Value}
    end);
joined([], Map) ->
    Map.

with_length(none, Map) -> Map;
with_length(Length, Map) -> Map#{<<"content-length">> => integer_to_binary(Length)}.
