%%% The only code that handles header fields, whatever the protocol.
%%%
%%% Called by: hornbeam_scope (request fields to msgpack), hornbeam_forwarded and hornbeam_websocket_extensions (lists), hornbeam_request (an application's fields are checked), hornbeam_http1_reply and
%%% hornbeam_http2_reply (which of them travel). Calls: hornbeam_date.
%%%
%%% A list of pairs in the order of the client or the application, names in lower case, repeated as often as they were given.
%%%
%%% Responses. An application's list is checked first: names are tokens (RFC 9110, 5.6.2; made lower-case), values hold no CR, LF or NUL
%%% (5.5), so that no value can split a response. What belongs to the connection is the protocol's to say.
-module(hornbeam_headers).

-export([encode_request/1, decode/1, check/1, content_length/1, end_to_end/1, defaults/1, with_defaults/2, with_own/2]).
-export_type([defaults/0]).
-export([find/2, tokens/1, split/2, unquote/1, trim/1, trim_end/2, lower/1, is_token/1, is_name/1, is_digits/1]).
-export_type([headers/0]).

%% Names are lower-case.
-type headers() :: [{Name :: binary(), Value :: binary()}].
-type version() :: 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2'.
-export_type([version/0]).

%% @doc The first value of a field.
-spec find(Name :: binary(), headers()) -> {ok, binary()} | error.
find(Name, Headers) ->
    case lists:keyfind(Name, 1, Headers) of
        {_, Value} -> {ok, Value};
        false -> error
    end.

%%% Requests

%% @doc The request's fields as a msgpack array of [name, value] pairs of bytes.
-spec encode_request(headers()) -> iodata().
encode_request(Headers) ->
    [array(length(Headers)) | encode_pairs(Headers)].

encode_pairs([{Name, Value} | Rest]) when byte_size(Name) < 256, byte_size(Value) < 256 ->
    [<<16#92, 16#c4, (byte_size(Name)), Name/binary, 16#c4, (byte_size(Value))>>, Value | encode_pairs(Rest)];
encode_pairs([{Name, Value} | Rest]) ->
    [<<16#92, 16#c6, (byte_size(Name)):32, Name/binary, 16#c6, (byte_size(Value)):32>>, Value | encode_pairs(Rest)];
encode_pairs([]) ->
    [].

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
%% Nearly all: one match, which need not be begun again for the next pair.
pairs(Count, <<16#92, 16#c4, NameSize, Name:NameSize/binary, 16#c4, ValueSize, Value:ValueSize/binary, Rest/bits>>, Acc) when Count > 0 ->
    case field(Name, Value) of
        {error, _} = Error -> Error;
        Field -> pairs(Count - 1, Rest, [Field | Acc])
    end;
pairs(Count, <<16#92, Long/bits>>, Acc) when Count > 0 ->
    case bytes(Long) of
        {Name, More} -> long(Name, bytes(More), Count, Acc);
        error -> not_bytes()
    end;
pairs(_, _, _) ->
    {error, {bad_header, <<"each header must be a pair of bytes">>}}.

long(Name, {Value, Rest}, Count, Acc) ->
    case field(Name, Value) of
        {error, _} = Error -> Error;
        Field -> pairs(Count - 1, Rest, [Field | Acc])
    end;
long(_Name, error, _Count, _Acc) ->
    not_bytes().

not_bytes() ->
    {error, {bad_header, <<"header names and values must be bytes">>}}.

field(Name0, Value) ->
    case name(Name0) of
        error ->
            {error, {bad_header, <<"a header name is not a token">>}};
        Name ->
            case is_value(Value) of
                true -> {Name, Value};
                false -> {error, {bad_header, <<"a value with CR, LF or NUL in ", Name/binary>>}}
            end
    end.

%% @doc The same rules for a list that was made in Erlang.
-spec check([term()]) -> {ok, headers()} | {error, {bad_header, binary()}}.
check(Headers) -> check(Headers, []).

check([{Name, Value} | Rest], Acc) when is_binary(Name), is_binary(Value) ->
    case field(Name, Value) of
        {error, _} = Error -> Error;
        Field -> check(Rest, [Field | Acc])
    end;
check([], Acc) -> {ok, lists:reverse(Acc)};
check(_, _Acc) -> {error, {bad_header, <<"each header must be a pair of binaries">>}}.

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

%% @doc ASCII letters in lower case; the same term where there are none to change.
-spec lower(binary()) -> binary().
lower(Name) ->
    case has_upper(Name) of
        true -> lowered(Name);
        false -> Name
    end.

has_upper(<<C, _/bits>>) when C >= $A, C =< $Z -> true;
has_upper(<<_, Rest/bits>>) -> has_upper(Rest);
has_upper(<<>>) -> false.

lowered(Name) ->
    << <<(if C >= $A, C =< $Z -> C + 32; true -> C end)>> || <<C>> <= Name >>.

%% @doc The elements of a list of tokens in lower case (RFC 9110, 5.6.1), such as Connection's; `error' when one is no token. Empty elements
%% count for nothing, and there may be no other.
-spec tokens(binary()) -> {ok, [binary()]} | error.
tokens(<<"keep-alive">> = Token) -> {ok, [Token]};
tokens(<<"close">> = Token) -> {ok, [Token]};
tokens(Value) ->
    Tokens = [name(Element) || Part <- binary:split(Value, <<",">>, [global]), Element <- [trim(Part)], Element =/= <<>>],
    case lists:member(error, Tokens) of
        false -> {ok, Tokens};
        true -> error
    end.

%% @doc The parts between separators that do not stand inside quotes (RFC 9110, 5.6.4), without the space around them.
-spec split(binary(), Separator :: char()) -> [binary()].
split(Value, Separator) -> split(Value, Separator, false, <<>>, []).

split(<<$\\, C, Rest/binary>>, Separator, true, Part, Parts) ->
    split(Rest, Separator, true, <<Part/binary, $\\, C>>, Parts);
split(<<$", Rest/binary>>, Separator, Quoted, Part, Parts) ->
    split(Rest, Separator, not Quoted, <<Part/binary, $">>, Parts);
split(<<Separator, Rest/binary>>, Separator, false, Part, Parts) ->
    split(Rest, Separator, false, <<>>, [trim(Part) | Parts]);
split(<<C, Rest/binary>>, Separator, Quoted, Part, Parts) ->
    split(Rest, Separator, Quoted, <<Part/binary, C>>, Parts);
split(<<>>, _Separator, _Quoted, Part, Parts) ->
    lists:reverse(Parts, [trim(Part)]).

%% @doc What a quoted string stands for; what is not quoted stands for itself.
-spec unquote(binary()) -> binary().
unquote(<<$", Rest/binary>>) ->
    binary:replace(binary:replace(Rest, <<"\\">>, <<>>, [global]), <<"\"">>, <<>>, [global]);
unquote(Value) ->
    Value.

%% @doc Without spaces and tabs around it (RFC 9110, 5.6.3).
-spec trim(binary()) -> binary().
trim(<<C, Rest/binary>>) when C =:= $\s; C =:= $\t -> trim(Rest);
trim(Text) -> trim_end(Text, byte_size(Text)).

%% @doc The first octets, without spaces and tabs at their end.
-spec trim_end(binary(), Size :: non_neg_integer()) -> binary().
trim_end(_Text, 0) ->
    <<>>;
trim_end(Text, Size) ->
    case binary:at(Text, Size - 1) of
        C when C =:= $\s; C =:= $\t -> trim_end(Text, Size - 1);
        _ when Size =:= byte_size(Text) -> Text;
        _ -> <<Trimmed:Size/binary, _/bits>> = Text, Trimmed
    end.

%% @doc RFC 9110, 5.6.2.
-spec is_token(binary()) -> boolean().
is_token(Text) -> name(Text) =/= error.

is_token_sign(C) ->
    lists:member(C, "!#$%&'*+.^`|~").

is_value(<<A, B, C, D, Rest/binary>>) when A > 13, B > 13, C > 13, D > 13 -> is_value(Rest);
is_value(<<C, Rest/binary>>) when C > 13 -> is_value(Rest);
is_value(<<C, _/binary>>) when C =:= $\r; C =:= $\n; C =:= 0 -> false;
is_value(<<_, Rest/binary>>) -> is_value(Rest);
is_value(<<>>) -> true.

%% @doc Whether it is a token in lower case (RFC 9110, 5.6.2).
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

%% @doc Without the fields that frame a message or belong to the connection (RFC 9110, 7.6.1 and 8.6; RFC 9113, 8.2.2), for whatever the
%% protocol has its own way to say.
-spec end_to_end(headers()) -> headers().
end_to_end(Headers) ->
    [Field || {Name, _} = Field <- Headers, is_end_to_end(Name)].

is_end_to_end(<<"content-length">>) -> false;
is_end_to_end(<<"transfer-encoding">>) -> false;
is_end_to_end(<<"connection">>) -> false;
is_end_to_end(<<"keep-alive">>) -> false;
is_end_to_end(<<"proxy-connection">>) -> false;
is_end_to_end(<<"te">>) -> false;
is_end_to_end(<<"upgrade">>) -> false;
is_end_to_end(_) -> true.

%% What a server adds to a response where the application has not said so itself: date and server (`plain'), or whether each of them and
%% which fields besides.
-type defaults() :: plain | {Date :: boolean(), Server :: boolean(), Own :: headers()}.

%% @doc As a server's options want it; they do not change while it runs.
-spec defaults(Config :: map()) -> defaults().
defaults(#{date_header := true, server_header := true, headers := []}) -> plain;
defaults(#{date_header := Date, server_header := Server, headers := Own}) -> {Date, Server, Own}.

%% @doc With date (RFC 9110, 6.6.1), server (10.2.4) and what the options say, at the end.
-spec with_defaults(headers(), defaults()) -> headers().
with_defaults(Headers, plain) ->
    with_own(Headers, [{<<"date">>, hornbeam_date:now()}, {<<"server">>, <<"hornbeam">>}]);
with_defaults(Headers0, {Date, Server, Own}) ->
    Headers = with_own(Headers0, Own),
    with_own(Headers, [{<<"date">>, hornbeam_date:now()} || Date] ++ [{<<"server">>, <<"hornbeam">>} || Server]).

%% @doc With those of the fields whose names are not there yet.
-spec with_own(headers(), Own :: headers()) -> headers().
with_own(Headers, []) -> Headers;
with_own(Headers, Own) -> Headers ++ [Field || {Name, _} = Field <- Own, not lists:keymember(Name, 1, Headers)].
