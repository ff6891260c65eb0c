%%% The numbers of TLS cipher suites in IANA's registry, for those that OTP's ssl knows and a server with a certificate of RSA or ECDSA
%%% can choose. ssl has no documented function for it.
%%%
%%% Called by: hornbeam_tls_info. Calls: ssl (the name of a suite). Pure.
-module(hornbeam_tls_suite).

-export([number/1]).

-spec number(ssl:erl_cipher_suite()) -> 0..65535 | none.
number(#{} = Suite) ->
    of_name(ssl:suite_to_str(Suite)).

of_name("TLS_RSA_WITH_RC4_128_MD5") -> 16#0004;
of_name("TLS_RSA_WITH_RC4_128_SHA") -> 16#0005;
of_name("TLS_RSA_WITH_DES_CBC_SHA") -> 16#0009;
of_name("TLS_RSA_WITH_3DES_EDE_CBC_SHA") -> 16#000A;
of_name("TLS_DHE_RSA_WITH_DES_CBC_SHA") -> 16#0015;
of_name("TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA") -> 16#0016;
of_name("TLS_RSA_WITH_AES_128_CBC_SHA") -> 16#002F;
of_name("TLS_DHE_RSA_WITH_AES_128_CBC_SHA") -> 16#0033;
of_name("TLS_RSA_WITH_AES_256_CBC_SHA") -> 16#0035;
of_name("TLS_DHE_RSA_WITH_AES_256_CBC_SHA") -> 16#0039;
of_name("TLS_RSA_WITH_AES_128_CBC_SHA256") -> 16#003C;
of_name("TLS_RSA_WITH_AES_256_CBC_SHA256") -> 16#003D;
of_name("TLS_DHE_RSA_WITH_AES_128_CBC_SHA256") -> 16#0067;
of_name("TLS_DHE_RSA_WITH_AES_256_CBC_SHA256") -> 16#006B;
of_name("TLS_RSA_WITH_AES_128_GCM_SHA256") -> 16#009C;
of_name("TLS_RSA_WITH_AES_256_GCM_SHA384") -> 16#009D;
of_name("TLS_DHE_RSA_WITH_AES_128_GCM_SHA256") -> 16#009E;
of_name("TLS_DHE_RSA_WITH_AES_256_GCM_SHA384") -> 16#009F;
of_name("TLS_AES_128_GCM_SHA256") -> 16#1301;
of_name("TLS_AES_256_GCM_SHA384") -> 16#1302;
of_name("TLS_CHACHA20_POLY1305_SHA256") -> 16#1303;
of_name("TLS_AES_128_CCM_SHA256") -> 16#1304;
of_name("TLS_AES_128_CCM_8_SHA256") -> 16#1305;
of_name("TLS_ECDHE_ECDSA_WITH_RC4_128_SHA") -> 16#C007;
of_name("TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA") -> 16#C008;
of_name("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA") -> 16#C009;
of_name("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA") -> 16#C00A;
of_name("TLS_ECDHE_RSA_WITH_RC4_128_SHA") -> 16#C011;
of_name("TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA") -> 16#C012;
of_name("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA") -> 16#C013;
of_name("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA") -> 16#C014;
of_name("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256") -> 16#C023;
of_name("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384") -> 16#C024;
of_name("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256") -> 16#C027;
of_name("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384") -> 16#C028;
of_name("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256") -> 16#C02B;
of_name("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384") -> 16#C02C;
of_name("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256") -> 16#C02F;
of_name("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384") -> 16#C030;
of_name("TLS_ECDHE_ECDSA_WITH_AES_128_CCM") -> 16#C0AC;
of_name("TLS_ECDHE_ECDSA_WITH_AES_256_CCM") -> 16#C0AD;
of_name("TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8") -> 16#C0AE;
of_name("TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8") -> 16#C0AF;
of_name("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256") -> 16#CCA8;
of_name("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256") -> 16#CCA9;
of_name("TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256") -> 16#CCAA;
of_name(_) -> none.
