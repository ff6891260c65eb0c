%%% JSON (RFC 8259), which OTP has from 27 on and this runs on 25: values of Erlang's channels, and the inside of strings for log lines.
%%%
%%% Called by: hornbeam_access_line, hornbeam_log_format (escape/1), hornbeam_channel_codec and others of src/channels.
%%%
%%%     object   map with binary keys, of equal ones the last      array    list
%%%     string   binary (UTF-8)      number   integer or float      true, false, null   the atoms
%%%
%%% Limits: ?MAX_DEPTH arrays and objects in one another. Linear in the size, which whoever calls bounds.
-module(hornbeam_json).

-export([escape/1, is_plain/1, encode/1, decode/1, string/1, skip_space/1]).
-export_type([value/0]).

-type value() :: null | boolean() | number() | binary() | [value()] | #{binary() | atom() => value()}.

-define(MAX_DEPTH, 512).
-define(IS_SPACE(C), (C =:= $\s orelse C =:= $\n orelse C =:= $\t orelse C =:= $\r)).
-define(IS_DIGIT(C), (C >= $0 andalso C =< $9)).

%% @doc A value as JSON, without spaces. Keys may be atoms, and so may texts: `ok' is "ok". error: badarg, for what JSON has not.
-spec encode(value() | atom()) -> iodata().
encode(null) -> <<"null">>;
encode(true) -> <<"true">>;
encode(false) -> <<"false">>;
encode(Atom) when is_atom(Atom) -> encode(atom_to_binary(Atom));
encode(Text) when is_binary(Text) -> [$", escape(Text), $"];
encode(N) when is_integer(N) -> integer_to_binary(N);
encode(N) when is_float(N) -> io_lib:format("~w", [N]);
encode([]) -> <<"[]">>;
encode(List) when is_list(List) -> [$[, lists:join($,, [encode(Value) || Value <- List]), $]];
encode(Map) when is_map(Map) -> [${, lists:join($,, [[encode(key(Key)), $:, encode(Value)] || {Key, Value} <- maps:to_list(Map)]), $}];
encode(_) -> error(badarg).

key(Key) when is_atom(Key) -> atom_to_binary(Key);
key(Key) when is_binary(Key) -> Key;
key(_) -> error(badarg).

%% @doc The value of a JSON text.
-spec decode(binary()) -> {ok, value()} | error.
decode(Text) ->
    try value(skip_space(Text), 0) of
        {Value, Rest} ->
            case skip_space(Rest) of
                <<>> -> {ok, Value};
                _ -> error
            end
    catch throw:not_json -> error
    end.

value(<<$", Rest/binary>>, _Depth) -> text(Rest);
value(<<${, Rest/binary>>, Depth) -> members(open(Rest, Depth), Depth + 1);
value(<<$[, Rest/binary>>, Depth) -> elements(open(Rest, Depth), Depth + 1);
value(<<"true", Rest/binary>>, _Depth) -> {true, Rest};
value(<<"false", Rest/binary>>, _Depth) -> {false, Rest};
value(<<"null", Rest/binary>>, _Depth) -> {null, Rest};
value(Text, _Depth) -> number(Text).

open(Rest, Depth) when Depth < ?MAX_DEPTH -> skip_space(Rest);
open(_Rest, _Depth) -> throw(not_json).

elements(<<$], Rest/binary>>, _Depth) -> {[], Rest};
elements(Text, Depth) -> elements(Text, Depth, []).

elements(Text, Depth, Before) ->
    {Value, Rest} = value(Text, Depth),
    case skip_space(Rest) of
        <<$,, More/binary>> -> elements(skip_space(More), Depth, [Value | Before]);
        <<$], After/binary>> -> {lists:reverse(Before, [Value]), After};
        _ -> throw(not_json)
    end.

members(<<$}, Rest/binary>>, _Depth) -> {#{}, Rest};
members(Text, Depth) -> members(Text, Depth, #{}).

members(<<$", Text/binary>>, Depth, Before) ->
    {Key, Rest} = text(Text),
    case skip_space(Rest) of
        <<$:, Then/binary>> -> member(Key, value(skip_space(Then), Depth), Depth, Before);
        _ -> throw(not_json)
    end;
members(_Text, _Depth, _Before) ->
    throw(not_json).

member(Key, {Value, Rest}, Depth, Before) ->
    case skip_space(Rest) of
        <<$,, More/binary>> -> members(skip_space(More), Depth, Before#{Key => Value});
        <<$}, After/binary>> -> {Before#{Key => Value}, After};
        _ -> throw(not_json)
    end.

text(Text) ->
    case string(Text) of
        {ok, Value, Rest} -> {Value, Rest};
        error -> throw(not_json)
    end.

number(Text) ->
    {Whole, AfterWhole} = whole(Text, 0),
    {Fraction, AfterFraction} = fraction(Text, AfterWhole, Whole),
    {Kind, End} = exponent(Text, AfterFraction, Fraction),
    <<Number:End/binary, Rest/binary>> = Text,
    {number(Kind, Number), Rest}.

whole(Text, 0) when binary_part(Text, 0, 1) =:= <<"-">> -> whole(Text, 1);
whole(Text, At) ->
    case digits(Text, At) of
        At -> throw(not_json);
        End -> case binary:at(Text, At) =:= $0 andalso End > At + 1 of true -> throw(not_json); false -> {integer, End} end
    end.

fraction(Text, At, Kind) ->
    case Text of
        <<_:At/binary, $., _/binary>> -> {float, some_digits(Text, At + 1)};
        _ -> {Kind, At}
    end.

exponent(Text, At, Kind) ->
    case Text of
        <<_:At/binary, E, Sign, _/binary>> when E =:= $e orelse E =:= $E, Sign =:= $+ orelse Sign =:= $- -> {{exponent, Kind}, some_digits(Text, At + 2)};
        <<_:At/binary, E, _/binary>> when E =:= $e; E =:= $E -> {{exponent, Kind}, some_digits(Text, At + 1)};
        _ -> {Kind, At}
    end.

some_digits(Text, At) ->
    case digits(Text, At) of
        At -> throw(not_json);
        End -> End
    end.

digits(Text, At) ->
    case Text of
        <<_:At/binary, C, _/binary>> when ?IS_DIGIT(C) -> digits(Text, At + 1);
        _ -> At
    end.

%% The time that a number of many digits takes grows with their square.
number(_Kind, Number) when byte_size(Number) > 1024 -> throw(not_json);
number(integer, Number) -> binary_to_integer(Number);
number(float, Number) -> float_of(Number);
number({exponent, float}, Number) -> float_of(Number);
number({exponent, integer}, Number) ->
    [Mantissa, Exponent] = binary:split(Number, [<<"e">>, <<"E">>]),
    float_of(<<Mantissa/binary, ".0e", Exponent/binary>>).

%% One that no float holds.
float_of(Number) ->
    try binary_to_float(Number) catch error:badarg -> throw(not_json) end.

-spec skip_space(binary()) -> binary().
skip_space(<<C, Rest/binary>>) when ?IS_SPACE(C) -> skip_space(Rest);
skip_space(Text) -> Text.

%% @doc A string whose quote has been read: its value, which holds nothing of the text, and what follows.
-spec string(binary()) -> {ok, binary(), binary()} | error.
string(Text) ->
    case plain(Text, 0) of
        {End, <<$", Rest/binary>>} -> {ok, binary:copy(binary:part(Text, 0, End)), Rest};
        {End, <<$\\, _/binary>> = Escaped} -> string(Escaped, binary:copy(binary:part(Text, 0, End)));
        _ -> error
    end.

plain(<<C, _/binary>> = Text, At) when C =:= $"; C =:= $\\; C < 32 -> {At, Text};
plain(<<_/utf8, _/binary>> = Text, At) when byte_size(Text) > 0 ->
    <<_/utf8, Rest/binary>> = Text,
    plain(Rest, At + byte_size(Text) - byte_size(Rest));
plain(Text, At) -> {At, Text}.

string(<<$", Rest/binary>>, Acc) -> {ok, Acc, Rest};
string(<<$\\, $u, Hex:4/binary, Rest/binary>>, Acc) -> escaped(code(Hex), Rest, Acc);
string(<<$\\, C, Rest/binary>>, Acc) ->
    case lists:keyfind(C, 1, [{$", $"}, {$\\, $\\}, {$/, $/}, {$b, $\b}, {$f, $\f}, {$n, $\n}, {$r, $\r}, {$t, $\t}]) of
        {_, Char} -> string(Rest, <<Acc/binary, Char>>);
        false -> error
    end;
string(<<C, _/binary>>, _Acc) when C < 32 -> error;
string(<<C/utf8, Rest/binary>>, Acc) -> string(Rest, <<Acc/binary, C/utf8>>);
string(_, _Acc) -> error.

%% Two surrogates are one character (RFC 8259, 7); one alone is none.
escaped(High, <<$\\, $u, Hex:4/binary, Rest/binary>>, Acc) when High >= 16#d800, High < 16#dc00 ->
    case code(Hex) of
        Low when is_integer(Low), Low >= 16#dc00, Low < 16#e000 ->
            C = 16#10000 + ((High - 16#d800) bsl 10) + (Low - 16#dc00),
            string(Rest, <<Acc/binary, C/utf8>>);
        _ -> error
    end;
escaped(C, Rest, Acc) when is_integer(C), C < 16#d800; is_integer(C), C >= 16#e000 -> string(Rest, <<Acc/binary, C/utf8>>);
escaped(_, _Rest, _Acc) -> error.

code(Hex) ->
    try binary_to_integer(Hex, 16) of
        N when binary_part(Hex, 0, 1) =/= <<"+">>, binary_part(Hex, 0, 1) =/= <<"-">> -> N;
        _ -> error
    catch error:badarg -> error
    end.

%% @doc Bytes that are no UTF-8 become U+FFFD each, so that the result is always a JSON string.
-spec escape(binary()) -> iodata().
escape(Text) ->
    case is_plain(Text) of
        true -> Text;
        false -> escape(Text, <<>>)
    end.

%% @doc Printable ASCII without the quote and the backslash, as nearly every text is: nothing to escape.
-spec is_plain(binary()) -> boolean().
is_plain(<<C, Rest/binary>>) when C >= $\s, C < 127, C =/= $", C =/= $\\ -> is_plain(Rest);
is_plain(Rest) -> Rest =:= <<>>.

escape(<<$", Rest/binary>>, Acc) -> escape(Rest, <<Acc/binary, "\\\"">>);
escape(<<$\\, Rest/binary>>, Acc) -> escape(Rest, <<Acc/binary, "\\\\">>);
escape(<<C, Rest/binary>>, Acc) when C < 32; C =:= 127 ->
    escape(Rest, <<Acc/binary, "\\u00", (binary:encode_hex(<<C>>))/binary>>);
escape(<<C/utf8, Rest/binary>>, Acc) -> escape(Rest, <<Acc/binary, C/utf8>>);
escape(<<_, Rest/binary>>, Acc) -> escape(Rest, <<Acc/binary, 16#fffd/utf8>>);
escape(<<>>, Acc) -> Acc.
