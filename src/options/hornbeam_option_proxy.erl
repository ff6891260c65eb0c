%%% Peers whose word is taken: the type of the option `forwarded_allow_ips`.
%%%
%%% Called through hornbeam_option_types. Read by hornbeam_forwarded.
-module(hornbeam_option_proxy).

-behaviour(hornbeam_option_types).

-export([check/1, format/1, describe/0, bytes/1]).
-export_type([trusted/0]).

-type trusted() :: all | unix | {Network :: binary(), Bits :: 0..128}.

-spec check(term()) -> {ok, trusted()} | hornbeam_option_types:problem().
check(Trusted) when Trusted =:= all; Trusted =:= unix ->
    {ok, Trusted};
check({Network, Bits} = Trusted) when is_binary(Network), is_integer(Bits), Bits >= 0, Bits =< bit_size(Network) ->
    {ok, Trusted};
check(Given) ->
    case hornbeam_option_text:to_text(Given) of
        {ok, Text} ->
            case parse(Text) of
                {ok, Trusted} -> {ok, Trusted};
                error -> wrong(Given)
            end;
        error ->
            wrong(Given)
    end.

%% "*", "unix", an address or a network in CIDR notation.
parse(<<"*">>) -> {ok, all};
parse(<<"unix">>) -> {ok, unix};
parse(Text) ->
    {Address, Mask} = case binary:split(Text, <<"/">>) of
        [A, M] -> {A, M};
        [A] -> {A, none}
    end,
    case inet:parse_strict_address(binary_to_list(Address)) of
        {ok, Ip} -> network(bytes(Ip), Mask);
        {error, einval} -> error
    end.

network(Bytes, none) ->
    {ok, {Bytes, bit_size(Bytes)}};
network(Bytes, Mask) ->
    case byte_size(Mask) =< 3 andalso is_digits(Mask) andalso binary_to_integer(Mask) of
        Bits when is_integer(Bits), Bits =< bit_size(Bytes) -> {ok, {Bytes, Bits}};
        _ -> error
    end.

%% @doc An address as networks are compared with it. IPv4 behind an IPv6 socket is IPv4.
-spec bytes(inet:ip_address()) -> binary().
bytes({A, B, C, D}) -> <<A, B, C, D>>;
bytes({0, 0, 0, 0, 0, 16#ffff, AB, CD}) -> <<AB:16, CD:16>>;
bytes({A, B, C, D, E, F, G, H}) -> <<A:16, B:16, C:16, D:16, E:16, F:16, G:16, H:16>>.

is_digits(Text) ->
    Text =/= <<>> andalso lists:all(fun(C) -> C >= $0 andalso C =< $9 end, binary_to_list(Text)).

wrong(Given) -> {error, ["must be ", describe()], Given}.

-spec format(trusted()) -> binary().
format(all) -> <<"*">>;
format(unix) -> <<"unix">>;
format({Network, Bits}) ->
    Ip = case Network of
        <<A, B, C, D>> -> {A, B, C, D};
        _ -> list_to_tuple([Part || <<Part:16>> <= Network])
    end,
    Address = list_to_binary(inet:ntoa(Ip)),
    case bit_size(Network) of
        Bits -> Address;
        _ -> <<Address/binary, "/", (integer_to_binary(Bits))/binary>>
    end.

-spec describe() -> iodata().
describe() -> "an IP address, a network such as \"10.0.0.0/8\", \"unix\" or \"*\"".
