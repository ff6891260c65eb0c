%%% Peers whose word is taken: the type of the option `forwarded_allow_ips`.
%%%
%%% Called through hornbeam_option_types. Calls hornbeam_forwarded, which knows the notation.
-module(hornbeam_option_proxy).

-behaviour(hornbeam_option_types).

-export([check/1, anchor/2, describe/0]).

-spec check(term()) -> {ok, hornbeam_forwarded:trusted()} | hornbeam_option_types:problem().
check(Trusted) when Trusted =:= all; Trusted =:= unix ->
    {ok, Trusted};
check({Network, Bits} = Trusted) when is_binary(Network), is_integer(Bits), Bits >= 0, Bits =< bit_size(Network) ->
    {ok, Trusted};
check(Given) ->
    case hornbeam_option_text:to_text(Given) of
        {ok, Text} ->
            case hornbeam_forwarded:parse(Text) of
                {ok, Trusted} -> {ok, Trusted};
                error -> wrong(Given)
            end;
        error ->
            wrong(Given)
    end.

wrong(Given) -> {error, ["must be ", describe()], Given}.

-spec anchor(hornbeam_forwarded:trusted(), binary()) -> {ok, hornbeam_forwarded:trusted()}.
anchor(Trusted, _) -> {ok, Trusted}.

-spec describe() -> iodata().
describe() -> "an IP address, a network such as \"10.0.0.0/8\", \"unix\" or \"*\"".
