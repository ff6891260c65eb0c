%%% IANA's numbers of cipher suites: those that this OTP knows, compared with its own.
-module(hornbeam_tls_suite_tests).

-include_lib("eunit/include/eunit.hrl").

numbers_test() ->
    Suites = lists:usort(ssl:cipher_suites(all, 'tlsv1.2') ++ ssl:cipher_suites(all, 'tlsv1.3')),
    Ours = [Suite || #{key_exchange := Exchange} = Suite <- Suites, lists:member(Exchange, [any, rsa, dhe_rsa, ecdhe_rsa, ecdhe_ecdsa])],
    ?assert(length(Ours) > 30),
    _ = [?assertEqual({Suite, own(Suite)}, {Suite, hornbeam_tls_suite:number(Suite)}) || Suite <- Ours],
    ok.

own(Suite) ->
    <<Number:16>> = ssl_cipher_format:suite_map_to_bin(Suite),
    Number.

of_the_registry_test_() ->
    [?_assertEqual(Number, hornbeam_tls_suite:number(ssl:str_to_suite(Name)))
     || {Name, Number} <- [{"TLS_AES_128_GCM_SHA256", 16#1301}, {"TLS_CHACHA20_POLY1305_SHA256", 16#1303},
                           {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 16#C030}]].

unknown_test() ->
    ?assertEqual(none, hornbeam_tls_suite:number(ssl:str_to_suite("TLS_PSK_WITH_AES_128_CBC_SHA"))).
