%%% The authority of a request: a host and perhaps a port (RFC 9110, 4.2 and 7.2; RFC 3986, 3.2).
%%%
%%% Called by: hornbeam_http1_head, hornbeam_http2_head, hornbeam_forwarded. Calls: inet. Pure.
-module(hornbeam_authority).

-export([parse/1]).
-export_type([authority/0]).

%% The name is in lower case.
-type authority() :: {Name :: binary(), inet:port_number() | undefined}.

%% @doc Splits a Host field's value; `error' for what no URI has there: user information, a path, a port that is no number.
-spec parse(binary()) -> {ok, authority()} | error.
parse(<<$[, Rest/binary>>) ->
    case binary:split(Rest, <<"]">>) of
        [Address, Port] when byte_size(Address) =< 45 ->
            case inet:parse_ipv6strict_address(binary_to_list(Address)) of
                {ok, _} -> literal(<<$[, Address/binary, $]>>, Port);
                {error, einval} -> error
            end;
        _ -> error
    end;
parse(Value) ->
    name(Value, Value, 0).

literal(Name, <<>>) -> {ok, {hornbeam_headers:lower(Name), undefined}};
literal(Name, <<$:, Port/binary>>) -> with_port(hornbeam_headers:lower(Name), Port);
literal(_Name, _) -> error.

name(<<C, Rest/bits>>, Value, Size)
        when C >= $a, C =< $z; C >= $0, C =< $9; C =:= $.; C =:= $-; C >= $A, C =< $Z; C =:= $_; C =:= $~; C =:= $%;
             C =:= $!; C =:= $$; C >= $&, C =< $,; C =:= $;; C =:= $= ->
    name(Rest, Value, Size + 1);
name(<<>>, Value, _Size) ->
    {ok, {hornbeam_headers:lower(Value), undefined}};
name(<<$:, Port/bits>>, Value, Size) when Size > 0 ->
    with_port(hornbeam_headers:lower(binary:part(Value, 0, Size)), Port);
name(_, _Value, _Size) ->
    error.

with_port(Name, <<>>) ->
    {ok, {Name, undefined}};
with_port(Name, Port) ->
    case byte_size(Port) =< 5 andalso hornbeam_headers:is_digits(Port) andalso binary_to_integer(Port) of
        Number when is_integer(Number), Number =< 65535 -> {ok, {Name, Number}};
        _ -> error
    end.
