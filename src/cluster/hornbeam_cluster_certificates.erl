%%% Whether a node's certificate, key and authority fit together, before its links are opened with them: afterwards there would be a refused link and a line of OTP's.
%%%
%%% Called by hornbeam_cluster_distribution. Calls public_key. Reads files, changes nothing. Records of public_key.hrl are matched as tuples: see
%%% hornbeam_cluster_ca.
-module(hornbeam_cluster_certificates).

-export([check/3]).

-type problem() :: {error, hornbeam_options:error()}.

%% @doc Ends: the day on which the certificate is over.
-spec check(hornbeam_options:options(), Host :: string(), inet:ip4_address()) -> {ok, Ends :: string()} | problem().
check(#{cluster_cert := Cert, cluster_key := Key, cluster_ca := Ca}, Host, Ip) ->
    case {certificates(Cert), certificates(Ca), key(case Key of <<>> -> Cert; _ -> Key end)} of
        {{ok, [Own | Between]}, {ok, Authorities}, {ok, Private}} ->
            first_problem([fun() -> issued(Own, Between, Authorities) end, fun() -> for_address(Own, Host, Ip) end, fun() -> fits(Own, Private) end], Own);
        {{error, Text}, _, _} -> wrong(cluster_cert, [Cert, Text]);
        {_, {error, Text}, _} -> wrong(cluster_ca, [Ca, Text]);
        {_, _, {error, Text}} -> wrong(case Key of <<>> -> cluster_cert; _ -> cluster_key end, [case Key of <<>> -> Cert; _ -> Key end, Text])
    end.

wrong(Key, Text) -> {error, {bad_option, Key, unicode:characters_to_binary(Text)}}.

first_problem([Check | Rest], Own) ->
    case Check() of
        ok -> first_problem(Rest, Own);
        {error, Key, Text} -> wrong(Key, Text)
    end;
first_problem([], Own) ->
    {'Validity', _, Ends} = element(6, tbs(Own)),
    {ok, day(Ends)}.

%% As X.509 has it: with two digits for the year until 2049.
day({utcTime, Digits}) -> day({generalTime, "20" ++ Digits});
day({generalTime, [Y1, Y2, Y3, Y4, M1, M2, D1, D2 | _]}) -> [Y1, Y2, Y3, Y4, $-, M1, M2, $-, D1, D2].

tbs(Der) ->
    {'OTPCertificate', Tbs, _, _} = public_key:pkix_decode_cert(Der, otp),
    Tbs.

certificates(File) ->
    case entries(File) of
        {ok, Entries} ->
            case [Der || {'Certificate', Der, not_encrypted} <- Entries] of
                [] -> {error, ": there is no certificate in it"};
                Ders -> {ok, Ders}
            end;
        {error, Text} -> {error, Text}
    end.

key(File) ->
    case entries(File) of
        {ok, Entries} ->
            case [Entry || {Type, _, _} = Entry <- Entries, lists:member(Type, ['PrivateKeyInfo', 'ECPrivateKey', 'RSAPrivateKey', 'DSAPrivateKey'])] of
                [{_, _, not_encrypted} = Entry | _] -> {ok, public_key:pem_entry_decode(Entry)};
                [_ | _] -> {error, ": its key is encrypted"};
                [] -> {error, ": there is no private key in it"}
            end;
        {error, Text} -> {error, Text}
    end.

entries(File) ->
    case file:read_file(File) of
        {ok, Pem} -> {ok, public_key:pem_decode(Pem)};
        {error, Reason} -> {error, [": ", file:format_error(Reason)]}
    end.

issued(Own, Between, Authorities) ->
    Chain = lists:reverse([Own | Between]),
    Tried = [public_key:pkix_path_validation(Authority, Chain, []) || Authority <- Authorities, public_key:pkix_is_issuer(hd(Chain), Authority)],
    case {lists:keymember(ok, 1, Tried), Tried} of
        {true, _} -> ok;
        {false, []} -> {error, cluster_cert, "was not issued by cluster_ca"};
        {false, [{error, {bad_cert, cert_expired}} | _]} -> {error, cluster_cert, "is over, or not valid yet"};
        {false, [{error, {bad_cert, Reason}} | _]} -> {error, cluster_cert, io_lib:format("was not issued by cluster_ca (~p)", [Reason])}
    end.

for_address(Own, Host, Ip) ->
    case public_key:pkix_verify_hostname(Own, [{dns_id, Host}]) orelse (inet:ntoa(Ip) =:= Host andalso public_key:pkix_verify_hostname(Own, [{ip, Ip}])) of
        true -> ok;
        false -> {error, cluster_cert, ["is not for ", Host, ", this node's address"]}
    end.

%% The keys of which a signature tells with the same call whatever their parameters.
fits(Own, Key) when element(1, Key) =:= 'ECPrivateKey'; element(1, Key) =:= 'RSAPrivateKey' ->
    {'OTPSubjectPublicKeyInfo', {'PublicKeyAlgorithm', _, Parameters}, Public} = element(8, tbs(Own)),
    Other = case Public of {'ECPoint', _} -> {Public, Parameters}; _ -> Public end,
    case kind(Public) =:= element(1, Key) andalso public_key:verify(<<"hornbeam">>, sha256, public_key:sign(<<"hornbeam">>, sha256, Key), Other) of
        true -> ok;
        false -> {error, cluster_key, "is not the key of cluster_cert"}
    end;
fits(_, _) ->
    ok.

kind({'ECPoint', _}) -> 'ECPrivateKey';
kind(Public) when element(1, Public) =:= 'RSAPublicKey' -> 'RSAPrivateKey';
kind(_) -> other.
