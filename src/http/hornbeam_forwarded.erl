%%% What a proxy says of the client: Forwarded (RFC 7239) and the X-Forwarded-* fields, believed from chosen peers only.
%%%
%%% Called by: hornbeam_gate (apply/2), hornbeam_option_proxy (parse/1). Calls: hornbeam_hygiene. Pure.
%%%
%%% Each proxy adds at the end of a list whom it saw. Read from the end, the first address that is not that of a trusted proxy is
%%% the client; what stands before it anybody may have written. Protocol, host and port are taken from the same place of their lists,
%%% or from the first element of a shorter one. Forwarded wins over X-Forwarded-*; a value that makes no sense changes nothing.
-module(hornbeam_forwarded).

-export([parse/1, apply/2]).
-export_type([trusted/0]).

-type trusted() :: all | unix | {Network :: binary(), Bits :: 0..128}.

%% @doc "*", "unix", an address or a network in CIDR notation.
-spec parse(binary()) -> {ok, trusted()} | error.
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
    case byte_size(Mask) =< 3 andalso hornbeam_headers:is_digits(Mask) andalso binary_to_integer(Mask) of
        Bits when is_integer(Bits), Bits =< bit_size(Bytes) -> {ok, {Bytes, Bits}};
        _ -> error
    end.

%% IPv4 behind an IPv6 socket is IPv4.
bytes({A, B, C, D}) -> <<A, B, C, D>>;
bytes({0, 0, 0, 0, 0, 16#ffff, AB, CD}) -> <<AB:16, CD:16>>;
bytes({A, B, C, D, E, F, G, H}) -> <<A:16, B:16, C:16, D:16, E:16, F:16, G:16, H:16>>.

is_trusted(_Peer, [all | _]) -> true;
is_trusted(local, [unix | _]) -> true;
is_trusted(Bytes, [{Network, Bits} | Rest])
        when is_binary(Bytes), byte_size(Bytes) =:= byte_size(Network) ->
    <<Own:Bits/bits, _/bits>> = Bytes,
    case Network of
        <<Own:Bits/bits, _/bits>> -> true;
        _ -> is_trusted(Bytes, Rest)
    end;
is_trusted(Peer, [_ | Rest]) -> is_trusted(Peer, Rest);
is_trusted(_Peer, []) -> false.

%% @doc The request with the client, scheme and host that a trusted peer speaks of, and the prefix that it has taken off the path.
-spec apply(cowboy_req:req(), [trusted()]) -> {cowboy_req:req(), Prefix :: binary()}.
apply(Req, []) ->
    {Req, <<>>};
apply(#{peer := Peer, headers := Headers} = Req, Trusted) ->
    case is_trusted(peer(Peer), Trusted) of
        true ->
            {client(Req, said(Headers, Trusted)), prefix(Headers)};
        false ->
            {Req, <<>>}
    end.

peer({Ip, _Port}) when is_tuple(Ip) -> bytes(Ip);
peer(_) -> local.

%% What is said, by name: for, proto, host, port.
said(#{<<"forwarded">> := Value}, Trusted) ->
    Elements = [pairs(Element) || Element <- split(Value, $,)],
    chosen(lists:reverse(Elements), Trusted);
said(Headers, Trusted) ->
    Fors = list(<<"x-forwarded-for">>, Headers),
    Protos = list(<<"x-forwarded-proto">>, Headers),
    Hosts = list(<<"x-forwarded-host">>, Headers),
    Ports = list(<<"x-forwarded-port">>, Headers),
    Depth = lists:max([length(L) || L <- [Fors, Protos, Hosts, Ports]]),
    At = depth(lists:reverse(Fors), Trusted, 1, max(1, min(length(Fors), Depth))),
    maps:from_list([{Name, from_end(At, List)}
                    || {Name, List} <- [{<<"for">>, Fors}, {<<"proto">>, Protos},
                                        {<<"host">>, Hosts}, {<<"port">>, Ports}], List =/= []]).

list(Name, Headers) ->
    case Headers of
        #{Name := Value} -> [trim(Item) || Item <- split(Value, $,)];
        #{} -> []
    end.

from_end(At, List) ->
    lists:nth(max(1, length(List) - At + 1), List).

depth([For | Rest], Trusted, At, Max) when At < Max ->
    case is_proxy(For, Trusted) of
        true -> depth(Rest, Trusted, At + 1, Max);
        false -> At
    end;
depth(_, _Trusted, At, _Max) ->
    At.

chosen([Element], _Trusted) ->
    Element;
chosen([#{<<"for">> := For} = Element | Rest], Trusted) ->
    case is_proxy(For, Trusted) of
        true -> chosen(Rest, Trusted);
        false -> Element
    end;
chosen([Element | _], _Trusted) ->
    Element.

is_proxy(For, Trusted) ->
    case identifier(For) of
        {ok, {Ip, _}} -> is_trusted(bytes(Ip), Trusted);
        error -> false
    end.

%% RFC 7239, 4: name=value pairs, separated by ";"; a value is a token or quoted.
pairs(Element) ->
    maps:from_list([{string:lowercase(trim(Name)), unquote(trim(Value))}
                    || Pair <- split(Element, $;),
                       [Name, Value] <- [binary:split(Pair, <<"=">>)]]).

%% Splits where the separator is not inside quotes.
split(Value, Separator) -> split(Value, Separator, false, <<>>, []).

split(<<$\\, C, Rest/binary>>, Separator, true, Part, Parts) ->
    split(Rest, Separator, true, <<Part/binary, $\\, C>>, Parts);
split(<<$", Rest/binary>>, Separator, Quoted, Part, Parts) ->
    split(Rest, Separator, not Quoted, <<Part/binary, $">>, Parts);
split(<<Separator, Rest/binary>>, Separator, false, Part, Parts) ->
    split(Rest, Separator, false, <<>>, [Part | Parts]);
split(<<C, Rest/binary>>, Separator, Quoted, Part, Parts) ->
    split(Rest, Separator, Quoted, <<Part/binary, C>>, Parts);
split(<<>>, _Separator, _Quoted, Part, Parts) ->
    lists:reverse(Parts, [Part]).

unquote(<<$", Rest/binary>>) ->
    binary:replace(binary:replace(Rest, <<"\\">>, <<>>, [global]), <<"\"">>, <<>>, [global]);
unquote(Value) ->
    Value.

trim(Text) ->
    string:trim(Text, both, " \t").

client(Req0, Said) ->
    host(scheme(address(Req0, Said), Said), Said).

address(#{peer := Peer} = Req, #{<<"for">> := For}) ->
    case identifier(For) of
        {ok, {Ip, Port}} -> Req#{peer := {Ip, Port}};
        error when is_tuple(Peer) -> Req
    end;
address(Req, _Said) ->
    Req.

%% RFC 7239, 6: an address, IPv6 in brackets, perhaps with a port. X-Forwarded-For has IPv6 without brackets, too.
identifier(<<$[, Rest/binary>>) ->
    case binary:split(Rest, <<"]">>) of
        [Host, <<>>] -> ip(Host, 0);
        [Host, <<$:, Port/binary>>] -> with_port(Host, Port);
        _ -> error
    end;
identifier(Text) ->
    case binary:split(Text, <<":">>, [global]) of
        [Host, Port] -> with_port(Host, Port);
        _ -> ip(Text, 0)
    end.

with_port(Host, Port) ->
    case port(Port) of
        {ok, Number} -> ip(Host, Number);
        error -> error
    end.

ip(Host, Port) ->
    case byte_size(Host) =< 45 andalso inet:parse_strict_address(binary_to_list(Host)) of
        {ok, Ip} -> {ok, {Ip, Port}};
        _ -> error
    end.

port(Text) ->
    case byte_size(Text) =< 5 andalso hornbeam_headers:is_digits(Text) andalso binary_to_integer(Text) of
        Port when is_integer(Port), Port =< 65535 -> {ok, Port};
        _ -> error
    end.

scheme(Req, #{<<"proto">> := Proto}) ->
    case string:lowercase(Proto) of
        Scheme when Scheme =:= <<"https">>; Scheme =:= <<"wss">> -> with_scheme(<<"https">>, Req);
        Scheme when Scheme =:= <<"http">>; Scheme =:= <<"ws">> -> with_scheme(<<"http">>, Req);
        _ -> Req
    end;
scheme(Req, _Said) ->
    Req.

with_scheme(Scheme, Req) -> Req#{scheme := Scheme}.

host(#{headers := Headers} = Req, Said) ->
    Before = maps:get(<<"host">>, Headers, <<>>),
    Host = maps:get(<<"host">>, Said, Before),
    Full = with_forwarded_port(Host, Req, Said),
    case Full =/= Before andalso Full =/= <<>> andalso parsed(Full) of
        {Name, Port} ->
            Req#{headers := Headers#{<<"host">> => Full}, host := Name, port := Port};
        _ ->
            Req
    end.

with_forwarded_port(Host, #{scheme := Scheme}, #{<<"port">> := Given}) ->
    case {port(Given), parsed(Host)} of
        {{ok, 443}, {Name, undefined}} when Scheme =:= <<"https">> -> Name;
        {{ok, 80}, {Name, undefined}} when Scheme =:= <<"http">> -> Name;
        {{ok, Port}, {Name, undefined}} -> <<Name/binary, $:, (integer_to_binary(Port))/binary>>;
        _ -> Host
    end;
with_forwarded_port(Host, _Req, _Said) ->
    Host.

parsed(Host) ->
    try cow_http_hd:parse_host(Host)
    catch error:_ -> error
    end.

%% A path below which the proxy publishes the application, without the slash at its end.
prefix(#{<<"x-forwarded-prefix">> := Value}) ->
    Path = string:trim(Value, trailing, "/"),
    case Path of
        <<$/, _/binary>> ->
            case hornbeam_hygiene:is_target(Path, false) andalso binary:match(Path, [<<"?">>, <<",">>]) of
                nomatch -> Path;
                _ -> <<>>
            end;
        _ ->
            <<>>
    end;
prefix(_Headers) ->
    <<>>.
