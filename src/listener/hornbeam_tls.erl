%%% The certificates of a server and what TLS is told: options of the listening socket, certificates for each handshake.
%%%
%%% Called by: hornbeam_side_listener (load/2, listen_options/2), hornbeam_listener (load/2, listen_options/2, forget/1), hornbeam_connection (handshake_options/1, describe/2), hornbeam
%%% (load/2, to read the files again). Calls: hornbeam_tls_info, public_key, ssl.
%%%
%%% The files are read when a server starts and by hornbeam:reload_certs/0, parsed, checked (does the key belong to the certificate?) and
%%% kept in a persistent_term. Every handshake gets what is there at that moment, so that new certificates hold for new connections at
%%% once and nothing happens to open ones. When a file cannot be used the old ones stay.
%%%
%%% Defaults: TLS 1.3 and 1.2, only suites with ECDHE (forward secrecy) and authenticated encryption, the server's order, no
%%% renegotiation by the client. No DHE: with an RSA certificate OTP would prefer it for TLS 1.2, and its handshake costs the server
%%% three and a half times as much (92 a second instead of 328), which is a cheap way to exhaust the CPU.
-module(hornbeam_tls).

-export_type([owner/0]).
-export([load/2, forget/1, listen_options/2, handshake_options/1, describe/2]).

%% Whose they are: a server's, or those of what is served beside it (hornbeam_side_listener).
-type owner() :: atom() | {Kind :: atom(), Name :: atom()}.

-record(identity, {
    cert :: [public_key:der_encoded()],     % the leaf, then the intermediate ones
    key :: {atom(), public_key:der_encoded()}
}).
-record(store, {
    default :: #identity{},
    named :: [{Host :: binary(), #identity{}}],
    authorities :: [public_key:der_encoded()]
}).

-define(LEVEL_OF_LOG, error).

%% @doc Reads the certificates of a server's options. On an error what was there before stays.
-spec load(owner(), Config :: map()) -> ok | {error, {bad_certificate, file:filename_all(), term()}}.
load(_Name, #{ssl := false}) ->
    ok;
load(Name, #{certfile := Cert, keyfile := Key, keyfile_password := Password, sni := Sni, cacertfile := Authorities}) ->
    try
        persistent_term:put({?MODULE, Name}, #store{
            default = identity(Cert, Key, Password),
            named = [{Host, identity(C, K, Password)} || {Host, C, K} <- Sni],
            authorities = authorities(Authorities)})
    catch
        throw:{bad_certificate, _, _} = Reason -> {error, Reason}
    end.

-spec forget(owner()) -> ok.
forget(Name) ->
    _ = persistent_term:erase({?MODULE, Name}),
    ok.

identity(CertFile, KeyFile0, Password) ->
    KeyFile = case KeyFile0 of <<>> -> CertFile; _ -> KeyFile0 end,
    Cert = [Der || {'Certificate', Der, not_encrypted} <- entries(CertFile)],
    Keys = [key(Entry, KeyFile, Password) || {Type, _, _} = Entry <- entries(KeyFile), lists:member(Type, key_types())],
    case {Cert, Keys} of
        {[], _} -> throw({bad_certificate, CertFile, no_certificate});
        {_, []} -> throw({bad_certificate, KeyFile, no_private_key});
        {[Leaf | _], [Key | _]} ->
            fits(Leaf, Key) orelse throw({bad_certificate, KeyFile, key_of_another_certificate}),
            #identity{cert = Cert, key = Key}
    end.

%% As ssl wants it.
key({Type, Der, not_encrypted}, _File, _Password) ->
    {Type, Der};
key(_Encrypted, File, <<>>) ->
    throw({bad_certificate, File, encrypted_key});
key(Encrypted, File, Password) ->
    try
        Key = public_key:pem_entry_decode(Encrypted, unicode:characters_to_list(Password)),
        {Type, Der, not_encrypted} = public_key:pem_entry_encode(element(1, Key), Key),
        {Type, Der}
    catch
        error:_ -> throw({bad_certificate, File, wrong_password})
    end.

key_types() -> ['RSAPrivateKey', 'ECPrivateKey', 'PrivateKeyInfo', 'DSAPrivateKey'].

entries(File) ->
    case file:read_file(File) of
        {ok, Pem} ->
            try public_key:pem_decode(Pem)
            catch error:_ -> throw({bad_certificate, File, not_pem})
            end;
        {error, Reason} ->
            throw({bad_certificate, File, Reason})
    end.

authorities(<<>>) -> [];
authorities(File) ->
    case [Der || {'Certificate', Der, not_encrypted} <- entries(File)] of
        [] -> throw({bad_certificate, File, no_certificate});
        Ders -> Ders
    end.

%% A signature made with the key must verify with the certificate.
fits(Leaf, {Type, Der}) ->
    try
        Key = public_key:pem_entry_decode({Type, Der, not_encrypted}),
        Digest = case element(1, Key) of
            'ECPrivateKey' -> digest_of_curve(Key);
            _ -> sha256
        end,
        Signature = public_key:sign(<<"hornbeam">>, Digest, Key),
        public_key:verify(<<"hornbeam">>, Digest, Signature, hornbeam_tls_info:public_key(Leaf))
    catch
        error:_ -> false
    end.

%% Ed25519 and Ed448 sign without a digest of their own (RFC 8032).
digest_of_curve(Key) ->
    case element(4, Key) of
        {namedCurve, {1, 3, 101, _}} -> none;
        _ -> sha256
    end.

%% @doc Options of the listening socket. ranch_ssl wants a certificate to be among them; every handshake brings the current one.
-spec listen_options(owner(), Config :: map()) -> [ssl:tls_server_option()].
listen_options(Name, #{versions := Versions, http_version := Protocols} = Config) ->
    handshake_options(Name) ++ [
        {versions, Versions},
        {alpn_preferred_protocols, lists:append([alpn(P) || P <- ['HTTP/2', 'HTTP/1.1'], lists:member(P, Protocols)])},
        {honor_cipher_order, true},
        {log_level, ?LEVEL_OF_LOG},
        {ciphers, ciphers(Config)},
        {sni_fun, fun(Host) -> named(Name, Host) end}
    ] ++ [{client_renegotiation, false} || lists:member('tlsv1.2', Versions)] ++ verify(Config).

alpn('HTTP/2') -> [<<"h2">>];
alpn('HTTP/1.1') -> [<<"http/1.1">>, <<"http/1.0">>].

ciphers(#{ciphers := [], versions := Versions}) ->
    Suites = lists:append([ssl:cipher_suites(default, Version) || Version <- lists:reverse(lists:sort(Versions))]),
    lists:usort(fun(A, B) -> A =:= B end, ssl:filter_cipher_suites(Suites, [
        {key_exchange, fun(Kex) -> lists:member(Kex, [any, ecdhe_ecdsa, ecdhe_rsa]) end},
        {mac, fun(Mac) -> Mac =:= aead end}]));
ciphers(#{ciphers := Names}) ->
    [ssl:str_to_suite(binary_to_list(Name)) || Name <- Names].

verify(#{verify := none}) -> [{verify, verify_none}];
verify(#{verify := optional}) -> [{verify, verify_peer}, {fail_if_no_peer_cert, false}];
verify(#{verify := require}) -> [{verify, verify_peer}, {fail_if_no_peer_cert, true}].

%% @doc What a handshake that begins now uses.
-spec handshake_options(owner()) -> [ssl:tls_server_option()].
handshake_options(Name) ->
    #store{default = Default, authorities = Authorities} = store(Name),
    identity_options(Default) ++ [{cacerts, Authorities} || Authorities =/= []].

identity_options(#identity{cert = Cert, key = Key}) ->
    [{cert, Cert}, {key, Key}].

store(Name) ->
    persistent_term:get({?MODULE, Name}).

named(Name, Host) ->
    case find(Host, store(Name)) of
        {ok, Identity} -> identity_options(Identity);
        default -> undefined
    end.

find(Host0, #store{named = Named}) ->
    Host = string:lowercase(list_to_binary(Host0)),
    Wild = case binary:split(Host, <<".">>) of
        [_, Parent] -> <<"*.", Parent/binary>>;
        [_] -> Host
    end,
    case {lists:keyfind(Host, 1, Named), lists:keyfind(Wild, 1, Named)} of
        {{_, Identity}, _} -> {ok, Identity};
        {false, {_, Identity}} -> {ok, Identity};
        {false, false} -> default
    end.

%% @doc What the scopes of a connection say of TLS: the msgpack map `extra'.
-spec describe(ssl:sslsocket(), Name :: atom()) -> binary().
describe(Socket, Name) ->
    Facts = case ssl:connection_information(Socket, [protocol, selected_cipher_suite, sni_hostname]) of
        {ok, Known} -> Known;
        {error, _} -> []
    end,
    Peer = case ssl:peercert(Socket) of
        {ok, Der} -> Der;
        {error, _} -> none
    end,
    #store{default = Default} = Store = store(Name),
    #identity{cert = [Leaf | _]} = case proplists:get_value(sni_hostname, Facts, []) of
        [] -> Default;
        Host -> case find(Host, Store) of {ok, Identity} -> Identity; default -> Default end
    end,
    iolist_to_binary(hornbeam_msgpack:encode(#{tls => hornbeam_tls_info:extension(Facts, Leaf, Peer)})).
