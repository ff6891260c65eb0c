%%% The links of a cluster between VMs of their own, over real sockets: who is let in, who is not, what is left of it. Two VMs are started once; each case
%%% opens their distribution anew, with what certificates, names and cookies it says, also such as hornbeam_cluster_distribution would refuse on its own side.
-module(hornbeam_cluster_links_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, end_per_testcase/2]).
-export([nodes_link_and_nothing_else_is_open/1, certificates_that_are_refused/1, a_server_of_another_name_is_refused/1, cookies_that_are_refused/1,
         nodes_with_names_of_hosts/1, who_speaks_no_tls_is_refused/1, who_says_nothing_holds_nobody_up/1, insecure_links/1, a_new_certificate_is_used/1, starts_that_fail/1,
         a_node_that_has_a_name_is_left_alone/1, a_vm_that_was_not_booted_for_links/1]).

%% The addresses of the two, and one that nobody has a right to.
-define(A, "127.0.0.1").
-define(B, "127.0.0.2").
-define(C, "127.0.0.3").
-define(COOKIE, <<"a-cookie-of-this-suite">>).
%% How long a handshake may take, in s, and how often ssl looks for files that have changed, in ms.
-define(SETUP, 5).
-define(LOOK, 300).

all() ->
    [nodes_link_and_nothing_else_is_open, certificates_that_are_refused, a_server_of_another_name_is_refused, cookies_that_are_refused,
     nodes_with_names_of_hosts, who_speaks_no_tls_is_refused, who_says_nothing_holds_nobody_up, insecure_links, a_new_certificate_is_used, starts_that_fail,
     a_node_that_has_a_name_is_left_alone, a_vm_that_was_not_booted_for_links].

suite() -> [{timetrap, {seconds, 180}}].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(ssl),
    Folder = ?config(priv_dir, Config),
    Ours = filename:join(Folder, "ours"),
    {ok, _} = hornbeam_cluster_ca:make(Ours, [?A, ?B, ?C]),
    {ok, _} = hornbeam_cluster_ca:make(filename:join(Folder, "others"), [?A, ?B]),
    ok = expired(Ours),
    {A, B} = {vm(links()), vm(links())},
    [{ours, Ours}, {others, filename:join(Folder, "others")}, {a, A}, {b, B}, {port, free_port()} | Config].

end_per_suite(Config) ->
    [ok = peer:stop(?config(Vm, Config)) || Vm <- [a, b]],
    ok.

end_per_testcase(_Case, Config) ->
    [ok = peers:call(?config(Vm, Config), hornbeam_cluster_distribution, stop, []) || Vm <- [a, b]],
    ok.

%% --- the cases -------------------------------------------------------------------------------------------------------

nodes_link_and_nothing_else_is_open(Config) ->
    {A, B, Port} = both(Config),
    ?assertEqual([ok, ok], [begun(A, ?A, Config), begun(B, ?B, Config)]),
    ?assertEqual(['hornbeam@127.0.0.1', 'hornbeam@127.0.0.2'], [peers:call(Vm, erlang, node, []) || Vm <- [A, B]]),
    ?assertEqual({true, ['hornbeam@127.0.0.1']}, {connected(B, name(A)), peers:call(B, erlang, nodes, [])}),
    await:until(fun() -> peers:call(A, erlang, nodes, []) =:= [name(B)] end),
    %% By TLS, from B's own address, and at A's alone.
    {ok, Info} = peers:call(A, net_kernel, node_info, [name(B)]),
    {address, {net_address, {From, _}, ?B, tls, inet}} = lists:keyfind(address, 1, Info),
    ?assertEqual({127, 0, 0, 2}, From),
    ?assertEqual({error, econnrefused}, gen_tcp:connect(?C, Port, [])),
    ?assertEqual(nomatch, string:find(os:cmd("epmd -names 2>&1"), integer_to_list(Port))),
    %% What it ends leaves nothing.
    ok = peers:call(A, hornbeam_cluster_distribution, stop, []),
    ?assertEqual({nonode@nohost, {error, econnrefused}}, {peers:call(A, erlang, node, []), gen_tcp:connect(?A, Port, [])}),
    ?assertEqual([], [Key || {Key, _} <- peers:call(A, application, get_all_env, [kernel]), lists:prefix("inet_dist", atom_to_list(Key))]),
    await:until(fun() -> peers:call(B, erlang, nodes, []) =:= [] end),
    ?assertEqual(ok, begun(A, ?A, Config)),
    ?assert(connected(B, name(A))).

certificates_that_are_refused(Config) ->
    {A, B, Port} = both(Config),
    ok = begun(A, ?A, Config),
    Ours = ?config(ours, Config),
    Valid = {cert(Ours, ?B), key(Ours, ?B), ca(Ours)},
    [begin
         ok = as(B, Name, Files, cookie(Config), Config),
         ?assertEqual({Why, Links}, {Why, connected(B, name(A))}),
         ok = peers:call(B, hornbeam_cluster_distribution, stop, []),
         await:until(fun() -> peers:call(A, erlang, nodes, []) =:= [] end)
     end || {Why, Name, Files, Links} <- [
        {valid, "hornbeam@" ?B, Valid, true},
        {another_authority, "hornbeam@" ?B, {cert(?config(others, Config), ?B), key(?config(others, Config), ?B), ca(Ours)}, false},
        {expired, "hornbeam@" ?B, {cert(Ours, "expired"), key(Ours, "expired"), ca(Ours)}, false},
        {for_another_address, "hornbeam@" ?B, {cert(Ours, ?C), key(Ours, ?C), ca(Ours)}, false},
        {of_another_name, "hornbeam@" ?C, Valid, false}]],
    %% Without one.
    Options = [{verify, verify_none}, {versions, ['tlsv1.2']}, {active, false}, {log_level, none}],
    ?assertMatch({error, {tls_alert, {handshake_failure, _}}}, ssl:connect(?A, Port, Options)),
    {ok, Socket} = ssl:connect(?A, Port, lists:keyreplace(versions, 1, Options, {versions, ['tlsv1.3']})),
    ?assertMatch({error, _}, ssl:recv(Socket, 0, 5000)),
    ?assertMatch({error, {tls_alert, {protocol_version, _}}}, ssl:connect(?A, Port, lists:keyreplace(versions, 1, Options, {versions, ['tlsv1.1']}))),
    ?assertEqual([], peers:call(A, erlang, nodes, [])).

%% Who connects looks as well.
a_server_of_another_name_is_refused(Config) ->
    {A, B, _} = both(Config),
    {Ours, Others} = {?config(ours, Config), ?config(others, Config)},
    ok = begun(B, ?B, Config),
    [begin
         ok = as(A, "hornbeam@" ?A, Files, cookie(Config), Config),
         ?assertEqual({Why, false}, {Why, connected(B, name(A))}),
         ok = peers:call(A, hornbeam_cluster_distribution, stop, [])
     end || {Why, Files} <- [{another_address, {cert(Ours, ?C), key(Ours, ?C), ca(Ours)}},
                             {another_authority, {cert(Others, ?A), key(Others, ?A), ca(Ours)}},
                             {expired, {cert(Ours, "expired"), key(Ours, "expired"), ca(Ours)}}]].

cookies_that_are_refused(Config) ->
    {A, B, _} = both(Config),
    Ours = ?config(ours, Config),
    ok = begun(A, ?A, Config),
    [begin
         ok = as(B, "hornbeam@" ?B, {cert(Ours, ?B), key(Ours, ?B), ca(Ours)}, Cookie, Config),
         ?assertEqual({Cookie, false}, {Cookie, connected(B, name(A))}),
         ok = peers:call(B, hornbeam_cluster_distribution, stop, [])
     end || Cookie <- [another, nocookie]],
    Cookie = peers:call(A, erlang, get_cookie, []),
    ?assertEqual({64, cookie(Config)}, {length(atom_to_list(Cookie)), Cookie}).

%% The address that it comes from does not say which certificate it must have; the nodes that there should be do.
nodes_with_names_of_hosts(Config) ->
    {A, B, _} = both(Config),
    Ours = ?config(ours, Config),
    {One, Two} = {"one.internal", "two.internal"},
    {ok, _} = hornbeam_cluster_ca:make(Ours, [One, Two]),
    [begin
         ok = peers:call(Vm, inet_db, add_host, [Ip, [Host]]),
         ok = peers:call(Vm, inet_db, set_lookup, [[file, native]])
     end || Vm <- [A, B], {Ip, Host} <- [{{127, 0, 0, 1}, One}, {{127, 0, 0, 2}, Two}]],
    Members = #{cluster => {static, [{<<>>, list_to_binary(Host)} || Host <- [One, Two]]}},
    ok = begun(A, One, Members, Config),
    ok = begun(B, Two, Members, Config),
    ?assert(connected(B, name(A))),
    true = peers:call(B, erlang, disconnect_node, [name(A)]),
    await:until(fun() -> peers:call(A, erlang, nodes, []) =:= [] end),
    ok = peers:call(A, hornbeam_cluster_distribution, expect, [[]]),
    ?assertEqual(false, connected(B, name(A))),
    ok = peers:call(A, hornbeam_cluster_distribution, expect, [[name(B)]]),
    ?assert(connected(B, name(A))).

who_speaks_no_tls_is_refused(Config) ->
    {A, B, Port} = both(Config),
    ok = begun(A, ?A, Config),
    %% The first message of a distribution handshake in clear.
    {ok, Socket} = gen_tcp:connect(?A, Port, [binary, {active, false}, {packet, 2}]),
    ok = gen_tcp:send(Socket, <<"N", 0:64, 1:32, 18:16, "hornbeam@127.0.0.2">>),
    await:until(fun() -> gen_tcp:recv(Socket, 0, 5000) =:= {error, closed} end),
    %% And a node of a cluster that is not secured.
    ok = insecurely(B, ?B, Config),
    ?assertEqual(false, connected(B, name(A))),
    ?assertEqual([], peers:call(A, erlang, nodes, [])).

who_says_nothing_holds_nobody_up(Config) ->
    {A, B, Port} = both(Config),
    ok = begun(A, ?A, Config),
    ok = begun(B, ?B, Config),
    Silent = [Socket || _ <- lists:seq(1, 24), {ok, Socket} <- [gen_tcp:connect(?A, Port, [binary, {active, false}])]],
    ?assert(connected(B, name(A))),
    ?assertEqual([{error, closed}], lists:usort([gen_tcp:recv(Socket, 0, ?SETUP * 10000) || Socket <- Silent])).

insecure_links(Config) ->
    {A, B, _} = both(Config),
    ok = insecurely(A, ?A, Config),
    ok = insecurely(B, ?B, Config),
    ?assert(connected(B, name(A))),
    await:until(fun() -> peers:call(A, erlang, nodes, []) =:= [name(B)] end),
    {ok, Info} = peers:call(A, net_kernel, node_info, [name(B)]),
    ?assertMatch({address, {net_address, _, ?B, tcp, inet}}, lists:keyfind(address, 1, Info)),
    ok = peers:call(B, hornbeam_cluster_distribution, stop, []),
    ok = as_insecure(B, another, Config),
    ?assertEqual(false, connected(B, name(A))).

a_new_certificate_is_used(Config) ->
    {A, B, Port} = both(Config),
    Ours = ?config(ours, Config),
    Renewed = filename:join(?config(priv_dir, Config), "renewed"),
    ok = file:make_dir(Renewed),
    [{ok, _} = file:copy(filename:join(Ours, Name), filename:join(Renewed, Name)) || Name <- ["ca.pem", "ca-key.pem"]],
    {ok, _} = hornbeam_cluster_ca:make(Renewed, [?A]),
    ok = begun(A, ?A, files(cert(Renewed, ?A), key(Renewed, ?A), ca(Renewed)), Config),
    ok = begun(B, ?B, Config),
    ?assert(connected(B, name(A))),
    First = <<_/binary>> = shown(Port, Ours),
    [ok = file:delete(File) || File <- [cert(Renewed, ?A), key(Renewed, ?A)]],
    {ok, _} = hornbeam_cluster_ca:make(Renewed, [?A]),
    %% For a moment one file may be the old one and one the new.
    await:until(fun() -> not lists:member(shown(Port, Ours), [First, error]) end),
    %% The link that was there stays, the next one is with the new certificate.
    ?assertEqual([name(A)], peers:call(B, erlang, nodes, [])),
    true = peers:call(B, erlang, disconnect_node, [name(A)]),
    await:until(fun() -> connected(B, name(A)) end).

starts_that_fail(Config) ->
    {A, _, Port} = both(Config),
    {Ours, Others} = {?config(ours, Config), ?config(others, Config)},
    {ok, Listen} = gen_tcp:listen(Port, [{ip, {127, 0, 0, 1}}, {reuseaddr, true}]),
    ?assertEqual({cluster_links, "cannot listen on 127.0.0.1:" ++ integer_to_list(Port) ++ ": address already in use"}, failure(A, #{}, Config)),
    ok = gen_tcp:close(Listen),
    Cookie = filename:join(?config(priv_dir, Config), "cookie"),
    Written = fun(Text, Mode) -> ok = file:write_file(Cookie, Text), ok = file:change_mode(Cookie, Mode), #{cluster_cookie_file => Cookie} end,
    [?assertMatch({Case, {bad_option, Key, _}}, {Case, failure(A, Given, Config)})
     || {Case, Key, Given} <- [
        {no_files, cluster_cert, files(<<>>, <<>>, <<>>)},
        {other_authority, cluster_cert, files(cert(Others, ?A), key(Others, ?A), ca(Ours))},
        {other_address, cluster_cert, files(cert(Ours, ?C), key(Ours, ?C), ca(Ours))},
        {over, cluster_cert, files(cert(Ours, "expired"), key(Ours, "expired"), ca(Ours))},
        {other_key, cluster_key, files(cert(Ours, ?A), key(Ours, ?B), ca(Ours))},
        {no_key, cluster_cert, files(cert(Ours, ?A), <<>>, ca(Ours))},
        {no_certificate, cluster_cert, files(key(Ours, ?A), key(Ours, ?A), ca(Ours))},
        {no_authority, cluster_ca, files(cert(Ours, ?A), key(Ours, ?A), key(Ours, "ca"))},
        {no_cookie, cluster_cookie_file, #{cluster_insecure => true}},
        {readable_cookie, cluster_cookie_file, Written(?COOKIE, 8#644)},
        {short_cookie, cluster_cookie_file, Written("short\n", 8#600)}]],
    ?assertEqual(nonode@nohost, peers:call(A, erlang, node, [])),
    %% With a line break at its end, and readable by a group, as Kubernetes mounts secrets.
    ok = begun(A, ?A, Written([?COOKIE, "\n"], 8#640), Config),
    ?assertEqual(binary_to_atom(?COOKIE), peers:call(A, erlang, get_cookie, [])),
    ok = peers:call(A, hornbeam_cluster_distribution, stop, []),
    %% From the environment, of which it is taken.
    true = peers:call(A, os, putenv, ["HORNBEAM_CLUSTER_COOKIE", "another-cookie-of-this-suite"]),
    ok = begun(A, ?A, Config),
    ?assertEqual({'another-cookie-of-this-suite', false}, {peers:call(A, erlang, get_cookie, []), peers:call(A, os, getenv, ["HORNBEAM_CLUSTER_COOKIE"])}),
    true = peers:call(A, persistent_term, erase, [hornbeam_cluster_cookie]).

a_node_that_has_a_name_is_left_alone(Config) ->
    Vm = vm(["-name", "somebody@" ?C, "-setcookie", "theirs", "-erl_epmd_port", integer_to_list(free_port()), "-start_epmd", "false"]),
    ok = begun(Vm, ?A, Config),
    ok = peers:call(Vm, hornbeam_cluster_distribution, stop, []),
    ?assertEqual({'somebody@127.0.0.3', theirs}, {peers:call(Vm, erlang, node, []), peers:call(Vm, erlang, get_cookie, [])}),
    ok = peer:stop(Vm).

a_vm_that_was_not_booted_for_links(Config) ->
    Vm = vm(["-proto_dist", "inet_tcp"]),
    {cluster_links, Text} = failure(Vm, #{}, Config),
    ?assertNotEqual(nomatch, string:find(lists:flatten(Text), "(-proto_dist, -epmd_module, -nocookie, -ssl_dist_optfile)")),
    ok = peer:stop(Vm).

%% --- VMs -------------------------------------------------------------------------------------------------------------

%% What priv/python/hornbeam/vm.py gives; a test of it compares (python_tests/cluster/test_links.py).
links() ->
    ["-proto_dist", "hornbeam_cluster", "-epmd_module", "hornbeam_cluster_epmd", "-nocookie", "-start_epmd", "false",
     "-kernel", "prevent_overlapping_partitions", "false",
     "-ssl_dist_optfile", filename:join(code:priv_dir(hornbeam), "python/hornbeam/cluster.options")].

vm(Flags) ->
    Ours = ["-boot", "no_dot_erlang", "-kernel", "net_setuptime", integer_to_list(?SETUP), "logger_level", "critical",
            "-ssl", "ssl_pem_cache_clean", integer_to_list(?LOOK), "-pa", filename:dirname(code:which(hornbeam_cluster_dist))],
    {ok, Vm, _} = peer:start(#{connection => standard_io, wait_boot => 120000, args => Flags ++ Ours}),
    {ok, _} = peers:call(Vm, application, ensure_all_started, [ssl]),
    Vm.

both(Config) -> {?config(a, Config), ?config(b, Config), ?config(port, Config)}.

name(Vm) -> persistent_term:get({?MODULE, Vm}).

%% Opens the links of a VM as its options say, with its own files unless Given says others.
begun(Vm, Address, Config) -> begun(Vm, Address, #{}, Config).

begun(Vm, Address, Given, Config) ->
    Name = list_to_atom("hornbeam@" ++ Address),
    persistent_term:put({?MODULE, Vm}, Name),
    peers:call(Vm, hornbeam_cluster_distribution, start, [options(Name, Address, Given, Config)]).

options(Name, Address, Given, Config) ->
    Ours = ?config(ours, Config),
    maps:merge(#{node => Name, cluster => {static, [{<<>>, <<?A>>}, {<<>>, <<?B>>}]}, cluster_name => hornbeam, cluster_port => ?config(port, Config),
                 cluster_cert => cert(Ours, Address), cluster_key => key(Ours, Address), cluster_ca => ca(Ours), cluster_insecure => false,
                 cluster_cookie_file => <<>>, cluster_ticktime => 15000}, Given).

insecurely(Vm, Address, Config) ->
    Cookie = filename:join(?config(priv_dir, Config), "insecure"),
    ok = file:write_file(Cookie, ?COOKIE),
    ok = file:change_mode(Cookie, 8#600),
    begun(Vm, Address, (files(<<>>, <<>>, <<>>))#{cluster_insecure => true, cluster_cookie_file => list_to_binary(Cookie)}, Config).

%% As somebody who does not look at what he has.
as(Vm, Name, {Cert, Key, Ca}, Cookie, Config) ->
    as(Vm, Name, #{security => tls, cert => Cert, key => Key, ca => Ca, cookie => Cookie}, Config).

as_insecure(Vm, Cookie, Config) ->
    as(Vm, "hornbeam@" ?B, #{security => insecure, cert => <<>>, key => <<>>, ca => <<>>, cookie => Cookie}, Config).

as(Vm, Written, Settings, Config) ->
    [_, Address] = string:split(Written, "@"),
    {ok, Ip} = inet:parse_address(Address),
    Name = list_to_atom(Written),
    persistent_term:put({?MODULE, Vm}, Name),
    ok = peers:call(Vm, hornbeam_cluster_carrier, configure, [Settings#{port => ?config(port, Config), expected => [], owner => self()}]),
    ok = peers:call(Vm, application, set_env, [kernel, inet_dist_use_interface, Ip]),
    %% From B's address, whatever name it takes.
    ok = peers:call(Vm, application, set_env, [kernel, inet_dist_connect_options, [{ip, case Address of ?C -> {127, 0, 0, 2}; _ -> Ip end}]]),
    {ok, _} = peers:call(Vm, net_kernel, start, [Name, #{name_domain => longnames}]),
    ok.

failure(Vm, Given, Config) ->
    {error, Reason} = begun(Vm, ?A, Given, Config),
    case Reason of
        {cluster_links, Text} -> {cluster_links, lists:flatten(Text)};
        _ -> Reason
    end.

connected(Vm, Node) -> peers:call(Vm, net_kernel, connect_node, [Node], 20000).

cookie(Config) ->
    {ok, Pem} = file:read_file(ca(?config(ours, Config))),
    [{'Certificate', Der, _}] = public_key:pem_decode(Pem),
    binary_to_atom(binary:encode_hex(crypto:hash(sha256, ["hornbeam cluster ", Der]))).

%% --- files -----------------------------------------------------------------------------------------------------------

files(Cert, Key, Ca) -> #{cluster_cert => Cert, cluster_key => Key, cluster_ca => Ca}.

cert(Folder, Name) -> list_to_binary(filename:join(Folder, Name ++ ".pem")).
key(Folder, Name) -> list_to_binary(filename:join(Folder, Name ++ "-key.pem")).
ca(Folder) -> cert(Folder, "ca").

%% Of our authority, for B, until the year before last.
expired(Folder) ->
    {Der, Key} = {pem(ca(Folder)), pem(key(Folder, "ca"))},
    {Year, _, _} = date(),
    #{client_config := Client} = public_key:pkix_test_data(#{
        server_chain => #{root => [], intermediates => [], peer => []},
        client_chain => #{root => #{cert => Der, key => public_key:der_decode('ECPrivateKey', Key)}, intermediates => [],
                          peer => [{validity, {{Year - 3, 1, 1}, {Year - 2, 1, 1}}}, {key, {namedCurve, secp256r1}},
                                   {extensions, [{'Extension', {2, 5, 29, 17}, false, [{dNSName, ?B}, {dNSName, ?A}]}]}]}}),
    {Type, KeyDer} = proplists:get_value(key, Client),
    ok = file:write_file(cert(Folder, "expired"), public_key:pem_encode([{'Certificate', proplists:get_value(cert, Client), not_encrypted}])),
    ok = file:write_file(key(Folder, "expired"), public_key:pem_encode([{Type, KeyDer, not_encrypted}])).

pem(File) ->
    {ok, Pem} = file:read_file(File),
    [{_, Der, not_encrypted}] = public_key:pem_decode(Pem),
    Der.

%% The certificate that the node at A shows.
shown(Port, Ours) ->
    case ssl:connect(?A, Port, [{verify, verify_none}, {certfile, cert(Ours, ?B)}, {keyfile, key(Ours, ?B)}, {active, false}]) of
        {ok, Socket} ->
            {ok, Der} = ssl:peercert(Socket),
            ok = ssl:close(Socket),
            Der;
        {error, _} ->
            error
    end.

free_port() ->
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    ok = gen_tcp:close(Socket),
    Port.
