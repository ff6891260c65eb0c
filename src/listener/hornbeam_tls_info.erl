%%% Certificates and TLS sessions as the ASGI extension `tls` describes them.
%%%
%%% Called by: hornbeam_tls. Calls: public_key, hornbeam_tls_suite. Pure. Source: ASGI TLS Extension 0.2.
%%%
%%% The records of public_key.hrl are matched as tuples: their fields have no types, which this project's flags refuse.
-module(hornbeam_tls_info).

-export([extension/3, public_key/1, name/1]).

%% @doc The dictionary of the extension. Erlang's ssl keeps of a client's chain only the client's own certificate.
-spec extension(Facts :: [{atom(), term()}], Server :: public_key:der_encoded(),
                Client :: public_key:der_encoded() | none) -> #{atom() => term()}.
extension(Facts, Server, Client) ->
    #{server_cert => pem(Server),
      client_cert_chain => [pem(Client) || Client =/= none],
      client_cert_name => case Client of none -> none; _ -> name(Client) end,
      client_cert_error => none,
      tls_version => version(proplists:get_value(protocol, Facts)),
      cipher_suite => suite(proplists:get_value(selected_cipher_suite, Facts))}.

pem(Der) ->
    public_key:pem_encode([{'Certificate', Der, not_encrypted}]).

version('tlsv1.3') -> 16#0304;
version('tlsv1.2') -> 16#0303;
version(_) -> none.

suite(#{} = Suite) -> hornbeam_tls_suite:number(Suite);
suite(_) -> none.

%% @doc The key of a certificate as public_key:verify/4 takes it.
-spec public_key(public_key:der_encoded()) -> public_key:public_key().
public_key(Der) ->
    {'OTPSubjectPublicKeyInfo', {'PublicKeyAlgorithm', Algorithm, Parameters}, Key} = element(8, tbs(Der)),
    case {Key, Algorithm} of
        %% Ed25519 and Ed448: the algorithm is the curve (RFC 8410).
        {{'ECPoint', _}, {1, 3, 101, _}} -> {Key, {namedCurve, Algorithm}};
        {{'ECPoint', _}, _} -> {Key, Parameters};
        _ -> Key
    end.

%% version, serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo ...
tbs(Der) ->
    {'OTPCertificate', Tbs, _, _} = public_key:pkix_decode_cert(Der, otp),
    Tbs.

%% @doc The subject of a certificate in the form of RFC 4514: most specific part first.
-spec name(public_key:der_encoded()) -> binary().
name(Der) ->
    {rdnSequence, Sequence} = element(7, tbs(Der)),
    Parts = [lists:join("+", [attribute(A) || A <- Set]) || Set <- lists:reverse(Sequence)],
    unicode:characters_to_binary(lists:join(",", Parts)).

attribute({'AttributeTypeAndValue', Type, Value}) ->
    [label(Type), $=, escape(unicode:characters_to_list(text(Value)))].

label({2, 5, 4, 3}) -> "CN";
label({2, 5, 4, 7}) -> "L";
label({2, 5, 4, 8}) -> "ST";
label({2, 5, 4, 10}) -> "O";
label({2, 5, 4, 11}) -> "OU";
label({2, 5, 4, 6}) -> "C";
label({2, 5, 4, 9}) -> "STREET";
label({0, 9, 2342, 19200300, 100, 1, 25}) -> "DC";
label({0, 9, 2342, 19200300, 100, 1, 1}) -> "UID";
label(Oid) -> lists:join(".", [integer_to_list(Part) || Part <- tuple_to_list(Oid)]).

%% A value that public_key does not know stays DER, which RFC 4514 writes as "#" and hex digits.
text({utf8String, Text}) -> Text;
text({Kind, Text}) when is_atom(Kind) -> Text;
text(Text) when is_list(Text) -> Text;
text(Der) when is_binary(Der) -> [$# | binary_to_list(binary:encode_hex(Der))].

escape([C | Rest]) when C =:= $\s; C =:= $# -> [$\\, C | escape_rest(Rest)];
escape(Text) -> escape_rest(Text).

escape_rest(" ") -> "\\ ";
escape_rest([C | Rest]) ->
    case lists:member(C, "\"+,;<>\\") of
        true -> [$\\, C | escape_rest(Rest)];
        false -> [C | escape_rest(Rest)]
    end;
escape_rest([]) -> [].
