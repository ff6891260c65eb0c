%%% A share of all: the type of the option `trace_sample'. From 0 to 1, as a number, as "0.01" or as "1%".
%%%
%%% Called through hornbeam_option_types; calls hornbeam_option_text. Pure.
-module(hornbeam_option_share).

-behaviour(hornbeam_option_types).

-export([check/1, format/1, describe/0]).

-spec check(term()) -> {ok, float()} | hornbeam_option_types:problem().
check(Given) when is_number(Given) ->
    between(float(Given), Given);
check(Given) ->
    case hornbeam_option_text:is_text(Given) andalso hornbeam_option_text:to_text(Given) of
        {ok, Text} ->
            case re:run(Text, "^(\\d{1,10})(\\.\\d{1,20})?(%)?$", [dollar_endonly, {capture, all_but_first, binary}]) of
                {match, [Whole | Rest]} -> between(number(Whole, Rest), Given);
                nomatch -> wrong(Given)
            end;
        _ -> wrong(Given)
    end.

number(Whole, []) -> float(binary_to_integer(Whole));
number(Whole, [<<>>, <<"%">>]) -> binary_to_integer(Whole) / 100;
number(Whole, [Fraction]) -> binary_to_float(<<Whole/binary, Fraction/binary>>);
number(Whole, [Fraction, <<"%">>]) -> binary_to_float(<<Whole/binary, Fraction/binary>>) / 100.

between(Share, _Given) when Share >= 0, Share =< 1 -> {ok, Share};
between(_Share, Given) -> wrong(Given).

wrong(Given) -> {error, ["must be ", describe()], Given}.

-spec format(float()) -> binary().
format(Share) when Share == 0 -> <<"0">>;
format(Share) when Share == 1 -> <<"1">>;
format(Share) -> float_to_binary(Share, [{decimals, 12}, compact]).

-spec describe() -> iodata().
describe() -> "a share from 0 to 1, such as 0.01 or \"1%\"".
