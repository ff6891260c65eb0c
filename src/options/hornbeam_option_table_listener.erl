%%% The options of the sockets: the groups `listener' and `tls' of hornbeam_option_table, which says what an entry has.
%%%
%%% Called by: hornbeam_option_table. Calls nothing but text helpers.
-module(hornbeam_option_table_listener).

-export([listener/0, tls/0, tls_is_complete/1]).

-define(MIB, 1048576).

-spec listener() -> [hornbeam_option_types:spec()].
listener() ->
    [#{group => listener, key => bind, metavar => "ADDRESS", type => {list, {custom, hornbeam_option_bind}},
       default => "127.0.0.1:8000", scope => server, check => fun at_least_one/1,
       doc => "Addresses to listen on; port 0 takes a free port, \":PORT\" is every IPv4 address."},
     #{group => listener, key => acceptors, type => {integer, 1, 1024}, default => 10, scope => server,
       doc => "Processes that accept connections, for each address."},
     #{group => listener, key => backlog, type => {integer, 1, 65535}, default => 2048, scope => server,
       doc => "Connections that the kernel keeps for each address until they are accepted; Linux allows no more than "
              "net.core.somaxconn."},
     #{group => listener, key => max_connections, type => {limit, 1, 10000000}, default => 16384, scope => server,
       doc => "Open connections for each address; more are answered with 503, with TLS closed. WebSockets have "
              "websocket_max_connections. Lowered to what the limit of open files leaves."},
     #{group => listener, key => unix_mode, type => text, default => "660", scope => server,
       check => fun octal/1, metavar => "OCTAL",
       doc => "Permissions of the socket files of \"unix:\" addresses."},
     #{group => listener, key => http_version, type => {list, {enum, ['HTTP/1.1', 'HTTP/2']}},
       default => ['HTTP/1.1', 'HTTP/2'], scope => server, check => fun not_empty/1,
       doc => "Protocols to speak; HTTP/1.0 comes with HTTP/1.1. With TLS the client chooses by ALPN, in clear text by "
              "how it begins."},
     #{group => listener, key => forwarded_allow_ips, type => {list, {custom, hornbeam_option_proxy}}, default => [],
       scope => server, metavar => "ADDRESS",
       doc => "Proxies whose Forwarded and X-Forwarded-* fields are believed: addresses, networks such as 10.0.0.0/8, "
              "\"unix\" for every peer of a Unix socket, \"*\" for everybody."},
     #{group => listener, key => proxy_protocol, type => boolean, default => false, scope => server,
       doc => "Each connection begins with a PROXY protocol header, version 1 or 2; without one it is closed."},
     #{group => listener, key => drop_underscore_headers, type => boolean, default => false, scope => server,
       doc => "Drop request header fields with \"_\" in their names."},
     #{group => listener, key => strict_target, type => boolean, default => false, scope => server,
       doc => "Accept in a request's target only what RFC 3986 has there. By default it may hold what browsers send: also |, {, }, "
              "\", ^, ` and bytes of UTF-8; control characters, spaces and fragments never."},
     #{group => listener, key => half_close, type => boolean, default => false, scope => server,
       doc => "A client that has shut down its sending side still gets the answers to all that it has asked (HTTP/1 in clear text); "
              "one that has gone without a reset is then noticed only when something is sent to it."},
     #{group => listener, key => compress, type => boolean, default => false, scope => server,
       doc => "Compress responses with gzip where the client takes it: text, JSON, XML, JavaScript, SVG and the like."},
     #{group => listener, key => compress_min_size, type => {integer, 0, 1024 * ?MIB}, unit => bytes, default => 1024,
       scope => server, doc => "Length of the shortest response that is compressed, where the length is known."},
     #{group => listener, key => headers, flag => "header", metavar => "NAME:VALUE", type => {list, {custom, hornbeam_option_header}},
       default => [], scope => server,
       doc => "Fields that are added to every response that does not have one of the name already."},
     #{group => listener, key => server_header, type => boolean, default => true, scope => server,
       doc => "Add \"server: hornbeam\" to every response that has no such field."},
     #{group => listener, key => date_header, type => boolean, default => true, scope => server,
       doc => "Add the date to every response that has no such field."}].

-spec tls() -> [hornbeam_option_types:spec()].
tls() ->
    [#{group => tls, key => ssl, type => boolean, default => false, implied_by => [certfile, keyfile, sni], scope => server,
       doc => "Speak TLS on every address. Given with certfile, keyfile or sni, which turn it on by themselves, it must be "
              "true."},
     #{group => tls, key => certfile, type => {optional, {custom, hornbeam_option_file}}, default => "", scope => server,
       metavar => "FILE", doc => "The server's certificate in PEM, with the intermediate ones after it."},
     #{group => tls, key => keyfile, type => {optional, {custom, hornbeam_option_file}}, default => "", scope => server,
       metavar => "FILE", doc => "Its private key in PEM; \"\" when certfile holds it as well."},
     #{group => tls, key => keyfile_password, type => text, default => "", scope => server, secret => true, metavar => "PASSWORD",
       doc => "Password of the private keys, those of sni included, that are encrypted. Every user of the machine can read a command "
              "line: rather HORNBEAM_KEYFILE_PASSWORD."},
     #{group => tls, key => sni, type => {list, {custom, hornbeam_option_sni}}, default => [], scope => server,
       metavar => "HOST=CERTFILE;KEYFILE",
       doc => "Other certificates for the names that clients ask for; \"*.example.org\" is every name one label below."},
     #{group => tls, key => verify, type => {enum, [none, optional, require]}, default => none, scope => server,
       doc => "Ask clients for a certificate: none does not, optional takes a connection without one, require does not."},
     #{group => tls, key => cacertfile, type => {optional, {custom, hornbeam_option_file}}, default => "",
       scope => server, metavar => "FILE",
       doc => "Certificates in PEM of the authorities that clients' certificates are checked against."},
     #{group => tls, key => versions, type => {list, {enum, ['tlsv1.3', 'tlsv1.2']}},
       default => ['tlsv1.3', 'tlsv1.2'], scope => server, check => fun not_empty/1,
       doc => "Versions of TLS."},
     #{group => tls, key => ciphers, type => {list, {custom, hornbeam_option_cipher}}, default => [], scope => server,
       metavar => "NAME",
       doc => "Cipher suites by their OpenSSL names, the preferred one first; none for all that OTP has with ECDHE "
              "and authenticated encryption. DHE, which costs the server several times as much, is used where it is "
              "named here."}].

%% --- what a type alone cannot say ----------------------------------------------------------------------------------

at_least_one([]) -> {error, "must name at least one address"};
at_least_one(_) -> ok.

not_empty([]) -> {error, "must not be empty"};
not_empty(_) -> ok.

octal(Text) ->
    case re:run(Text, "^[0-7]{3,4}$", [dollar_endonly]) of
        {match, _} -> ok;
        nomatch -> {error, "must be permissions in octal, such as 660", Text}
    end.

%% Clear text where somebody has gone to the length of naming a certificate would be a surprise.
-spec tls_is_complete(map()) -> ok | {error, {atom(), iodata()}}.
tls_is_complete(#{ssl := true, certfile := <<>>} = Options) ->
    {error, {certfile, ["is needed ", case tls_files(Options) of [] -> "when ssl is true"; [Key | _] -> ["beside ", Key] end]}};
tls_is_complete(#{verify := Verify, cacertfile := <<>>}) when Verify =/= none ->
    {error, {cacertfile, "is needed to verify clients"}};
tls_is_complete(#{ssl := false, verify := Verify}) when Verify =/= none ->
    {error, {verify, "needs ssl"}};
tls_is_complete(#{ssl := false} = Options) ->
    case tls_files(Options) of
        [] -> ok;
        [Key | _] -> {error, {ssl, ["is false, but there is a ", Key]}}
    end;
tls_is_complete(_) ->
    ok.

tls_files(#{certfile := Cert, keyfile := Key, sni := Sni}) ->
    [Name || {Name, Given} <- [{"certfile", Cert =/= <<>>}, {"keyfile", Key =/= <<>>}, {"sni", Sni =/= []}], Given].
