%%% The options of a cluster: what `cluster' takes, the map and the table that stand for several of them, what holds for them together.
-module(hornbeam_option_cluster_tests).

-include_lib("eunit/include/eunit.hrl").

-define(GIVEN, #{cluster => "static:10.0.0.1,10.0.0.2", cluster_dir => "/tmp/c"}).

discovery_test_() ->
    [?_assertEqual({ok, Discovery}, hornbeam_option_cluster:check(Given))
     || {Given, Discovery} <- [
        {"static:10.0.0.1,10.0.0.2", {static, [{<<>>, <<"10.0.0.1">>}, {<<>>, <<"10.0.0.2">>}]}},
        {<<"static: a@10.0.0.1 , b@10.0.0.1">>, {static, [{<<"a">>, <<"10.0.0.1">>}, {<<"b">>, <<"10.0.0.1">>}]}},
        {{static, ["one.internal", 'web@two.internal', {<<>>, <<"10.0.0.3">>}]},
         {static, [{<<>>, <<"one.internal">>}, {<<"web">>, <<"two.internal">>}, {<<>>, <<"10.0.0.3">>}]}},
        {"dns:web", {dns, <<"web">>}},
        {{dns, <<"web.ns.svc">>}, {dns, <<"web.ns.svc">>}},
        {"srv:_hornbeam._tcp.web.internal", {srv, <<"_hornbeam._tcp.web.internal">>}},
        {"folder:nodes", {folder, <<"nodes">>}},
        {"local", local}, {local, local}]].

what_it_takes_validates_to_itself_test_() ->
    [?_assertEqual({ok, Discovery}, hornbeam_option_cluster:check(Again))
     || Discovery <- [local, {dns, <<"a.b">>}, {srv, <<"_a._tcp.b">>}, {folder, <<"/x">>}, {static, [{<<>>, <<"10.0.0.1">>}, {<<"n">>, <<"a.b">>}]}],
        Again <- [Discovery, hornbeam_option_cluster:format(Discovery)]].

refused_discovery_test_() ->
    [?_assertMatch({error, _, Given}, hornbeam_option_cluster:check(Given))
     || Given <- ["web", "static:", "static:::1", "static:10.0.0.1000", "static:host", "static:a b@10.0.0.1", "static:@10.0.0.1", "static:a@b@c.d",
                  "dns:", "dns:a_b", "dns:_a", "dns:-a", "dns:a..b", "srv:", "folder:", 1, #{}, {static, []}, {static, [1]}, {dns, 1}, other,
                  "static:10.0.0.256", "static:1.2.3"]].

twice_test() ->
    {error, Text} = hornbeam_option_cluster:check("static:10.0.0.1,10.0.0.1"),
    ?assertEqual(<<"names 10.0.0.1 twice">>, iolist_to_binary(Text)).

node_name_test() ->
    ?assertEqual('hornbeam@10.0.0.1', hornbeam_option_cluster:node_name({<<>>, <<"10.0.0.1">>}, hornbeam)),
    ?assertEqual('web@10.0.0.1', hornbeam_option_cluster:node_name({<<"web">>, <<"10.0.0.1">>}, hornbeam)).

folders_start_from_chdir_test() ->
    ?assertEqual({ok, {folder, <<"/srv/nodes">>}}, hornbeam_option_cluster:anchor({folder, <<"nodes">>}, <<"/srv">>)).

a_map_stands_for_several_test() ->
    Section = #{discovery => "local", name => web, timeout => 200, dir => "/tmp/c"},
    {ok, Options} = hornbeam_options:validate(#{cluster => Section}),
    ?assertMatch(#{cluster := local, cluster_name := web, cluster_timeout := 200, cluster_dir := <<"/tmp/c">>, cluster_size := 1}, Options),
    ?assertEqual({ok, Options}, hornbeam_options:validate([{cluster, Section}])),
    ?assertEqual({ok, Options}, hornbeam_options:validate(Options)).

a_map_and_its_options_test() ->
    ?assertMatch({error, {bad_option, cluster_name, <<"is given twice", _/binary>>}},
                 hornbeam_options:validate(#{cluster => #{name => a}, cluster_name => a})),
    ?assertMatch({error, {bad_option, cluster_nam, <<"there is no such option; did you mean cluster_name?">>}},
                 hornbeam_options:validate(#{cluster => #{nam => a}})).

a_table_in_a_file_test() ->
    Table = #{<<"discovery">> => <<"dns:web">>, <<"forget-after">> => <<"infinity">>, <<"insecure">> => true},
    ?assertEqual({ok, #{cluster => {dns, <<"web">>}, cluster_forget_after => infinity, cluster_insecure => true}},
                 hornbeam_options:from_file([{<<"cluster">>, Table}], "hornbeam.toml")),
    ?assertEqual({ok, #{cluster => local}}, hornbeam_options:from_file([{<<"cluster">>, <<"local">>}], "hornbeam.toml")),
    ?assertMatch({error, {bad_option, cluster_insecure, <<"is given twice (hornbeam.toml)">>}},
                 hornbeam_options:from_file([{<<"cluster">>, Table}, {<<"cluster_insecure">>, true}], "hornbeam.toml")).

sys_config_test() ->
    Specs = hornbeam_option_table:specs(),
    ?assertEqual({ok, #{cluster => local, cluster_name => web}},
                 hornbeam_option_sources:app_env([{cluster, #{discovery => local, name => "web"}}], Specs)).

environment_and_flags_test() ->
    Getenv = fun("HORNBEAM_CLUSTER") -> "static:10.0.0.1,10.0.0.2"; (_) -> false end,
    ?assertEqual({ok, #{cluster => {static, [{<<>>, <<"10.0.0.1">>}, {<<>>, <<"10.0.0.2">>}]}}}, hornbeam_options:from_env(Getenv)),
    ?assertMatch({ok, [], #{cluster := {dns, <<"web">>}, cluster_insecure := true}},
                 hornbeam_options:from_args(["--cluster", "dns:web", "--cluster-insecure"])).

what_follows_from_others_test() ->
    {ok, Options} = hornbeam_options:validate(#{cluster => "static:10.0.0.1,10.0.0.2", data_dir => "/tmp/d"}),
    ?assertMatch(#{cluster_size := 2, cluster_dir := <<"/tmp/d/cluster">>}, Options),
    ?assertMatch({ok, #{cluster_size := 0, cluster_dir := <<>>}}, hornbeam_options:validate(#{data_dir => "/tmp/d"})).

together_test_() ->
    File = filename:absname(code:which(hornbeam_options)),    % any that is there
    [?_assertMatch({error, {bad_option, Key, _}}, hornbeam_options:validate(maps:merge(?GIVEN, Given)))
     || {Key, Given} <- [
        {cluster_dir, #{cluster_dir => ""}},
        {cluster_size, #{cluster_size => 3}},
        {cluster_size, #{cluster => local, cluster_size => 2}},
        {cluster_size, #{cluster => "dns:web"}},
        {cluster_insecure, #{cluster_insecure => true, cluster_cert => File}},
        {cluster_cert, #{cluster_ca => File}},
        {cluster_ca, #{cluster_cert => File}},
        {cluster_ca, #{cluster_ca => "/no/such.pem"}},
        {cluster_port, #{cluster_port => 0}},
        {cluster_name, #{cluster_name => "a@b"}},
        {cluster_name, #{cluster_name => "a.b"}},
        {cluster_address, #{cluster_address => "host"}},
        {cluster_address, #{cluster_address => "::1"}}]].
