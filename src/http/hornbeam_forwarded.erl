%%% What a proxy says of the client: Forwarded (RFC 7239) and the X-Forwarded-* fields, believed from chosen peers only.
%%%
%%% Called by: hornbeam_gate. Calls: hornbeam_headers, hornbeam_hygiene, hornbeam_option_proxy (who is trusted). Pure.
%%%
%%% Each proxy adds at the end of a list whom it saw. Read from the end, the first address that is not that of a trusted proxy is
%%% the client; what stands before it anybody may have written. Protocol, host and port are taken from the same place of their lists,
%%% or from the first element of a shorter one. Forwarded wins over X-Forwarded-*; a value that makes no sense changes nothing.
-module(hornbeam_forwarded).

-export([apply/2, is_proxy/2]).

-include("hornbeam_head.hrl").

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
-spec apply(#head{}, [hornbeam_option_proxy:trusted()]) -> {#head{}, Prefix :: binary()}.
apply(Head, []) ->
    {Head, <<>>};
apply(#head{peer = Peer, fields = Fields} = Head, Trusted) ->
    case is_proxy(Peer, Trusted) of
        true -> {client(Head, said(Fields, Trusted)), prefix(Fields)};
        false -> {Head, <<>>}
    end.

%% @doc Whether the peer of a connection is a proxy that is believed.
-spec is_proxy(hornbeam_scope:address(), [hornbeam_option_proxy:trusted()]) -> boolean().
is_proxy({Ip, _Port}, Trusted) when is_tuple(Ip) -> is_trusted(hornbeam_option_proxy:bytes(Ip), Trusted);
is_proxy(_Local, Trusted) -> is_trusted(local, Trusted).

%% What is said, by name: for, proto, host, port.
said(Fields, Trusted) ->
    case list(<<"forwarded">>, Fields) of
        [] -> said_by_x(Fields, Trusted);
        Elements -> chosen(lists:reverse([pairs(Element) || Element <- Elements]), Trusted)
    end.

said_by_x(Fields, Trusted) ->
    Fors = list(<<"x-forwarded-for">>, Fields),
    Protos = list(<<"x-forwarded-proto">>, Fields),
    Hosts = list(<<"x-forwarded-host">>, Fields),
    Ports = list(<<"x-forwarded-port">>, Fields),
    Depth = lists:max([length(L) || L <- [Fors, Protos, Hosts, Ports]]),
    At = depth(lists:reverse(Fors), Trusted, 1, max(1, min(length(Fors), Depth))),
    maps:from_list([{Name, from_end(At, List)}
                    || {Name, List} <- [{<<"for">>, Fors}, {<<"proto">>, Protos},
                                        {<<"host">>, Hosts}, {<<"port">>, Ports}], List =/= []]).

%% All elements of all fields of that name (RFC 9110, 5.3).
list(Name, Fields) ->
    [Item || {N, Value} <- Fields, N =:= Name, Item <- hornbeam_headers:split(Value, $,)].

from_end(At, List) ->
    lists:nth(max(1, length(List) - At + 1), List).

depth([For | Rest], Trusted, At, Max) when At < Max ->
    case names_proxy(For, Trusted) of
        true -> depth(Rest, Trusted, At + 1, Max);
        false -> At
    end;
depth(_, _Trusted, At, _Max) ->
    At.

chosen([Element], _Trusted) ->
    Element;
chosen([#{<<"for">> := For} = Element | Rest], Trusted) ->
    case names_proxy(For, Trusted) of
        true -> chosen(Rest, Trusted);
        false -> Element
    end;
chosen([Element | _], _Trusted) ->
    Element.

names_proxy(For, Trusted) ->
    case identifier(For) of
        {ok, {Ip, _}} -> is_trusted(hornbeam_option_proxy:bytes(Ip), Trusted);
        error -> false
    end.

%% RFC 7239, 4: name=value pairs, separated by ";"; a value is a token or quoted.
pairs(Element) ->
    maps:from_list([{string:lowercase(hornbeam_headers:trim(Name)), hornbeam_headers:unquote(hornbeam_headers:trim(Value))}
                    || Pair <- hornbeam_headers:split(Element, $;),
                       [Name, Value] <- [binary:split(Pair, <<"=">>)]]).

client(Req0, Said) ->
    host(scheme(address(Req0, Said), Said), Said).

address(Head, #{<<"for">> := For}) ->
    case identifier(For) of
        {ok, Address} -> Head#head{peer = Address};
        error -> Head
    end;
address(Head, _Said) ->
    Head.

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

scheme(Head, #{<<"proto">> := Proto}) ->
    case hornbeam_headers:lower(Proto) of
        Scheme when Scheme =:= <<"https">>; Scheme =:= <<"wss">> -> Head#head{scheme = <<"https">>};
        Scheme when Scheme =:= <<"http">>; Scheme =:= <<"ws">> -> Head#head{scheme = <<"http">>};
        _ -> Head
    end;
scheme(Head, _Said) ->
    Head.

host(#head{host = Host0, fields = Fields} = Head, Said) ->
    Before = case Host0 of undefined -> <<>>; _ -> Host0 end,
    Host = with_forwarded_port(maps:get(<<"host">>, Said, Before), Head, Said),
    case Host =/= Before andalso Host =/= <<>> andalso hornbeam_authority:parse(Host) of
        {ok, _} -> Head#head{host = Host, fields = lists:keystore(<<"host">>, 1, Fields, {<<"host">>, Host})};
        _ -> Head
    end.

with_forwarded_port(Host, #head{scheme = Scheme}, #{<<"port">> := Given}) ->
    case {port(Given), hornbeam_authority:parse(Host)} of
        {{ok, 443}, {ok, {_, undefined}}} when Scheme =:= <<"https">> -> Host;
        {{ok, 80}, {ok, {_, undefined}}} when Scheme =:= <<"http">> -> Host;
        {{ok, Port}, {ok, {_, undefined}}} -> <<Host/binary, $:, (integer_to_binary(Port))/binary>>;
        _ -> Host
    end;
with_forwarded_port(Host, _Head, _Said) ->
    Host.

%% A path below which the proxy publishes the application, without the slash at its end.
prefix(Fields) ->
    case hornbeam_headers:find(<<"x-forwarded-prefix">>, Fields) of
        {ok, Value} -> path(string:trim(Value, trailing, "/"));
        error -> <<>>
    end.

path(<<$/, _/binary>> = Path) ->
    case hornbeam_hygiene:is_uri(Path) andalso binary:match(Path, [<<"?">>, <<",">>]) of
        nomatch -> Path;
        _ -> <<>>
    end;
path(_Other) ->
    <<>>.
