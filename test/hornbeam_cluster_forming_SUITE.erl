%%% Links between three nodes that had their names before, as in somebody's own system: lost and found again, the process that keeps them restarted, the
%%% cluster of one node stopped and started while its links stay.
-module(hornbeam_cluster_forming_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, init_per_suite/1, end_per_suite/1]).
-export([they_are_linked/1, a_link_that_is_lost_is_found_again/1, the_links_are_restarted/1, a_cluster_stops_and_its_node_stays/1, other_versions/1, a_stranger_is_left_alone/1, commands/1]).

-define(COMMANDS, [{["dance"], "cluster takes status"}, {[], "cluster takes status"}, {["join", "x y"], "neither an address"},
                   {["forget", "127.0.0.77"], "is no member"}]).

all() -> [they_are_linked, a_link_that_is_lost_is_found_again, the_links_are_restarted, a_cluster_stops_and_its_node_stays, other_versions, a_stranger_is_left_alone, commands].

init_per_suite(Config) ->
    ok = peers:epmd(),
    Nodes = [peers:start(["-setcookie", "forming"]) || _ <- [a, b, c]],
    Members = [list_to_tuple(binary:split(atom_to_binary(Node), <<"@">>)) || {_, Node} <- Nodes],
    Options = [{Peer, #{cluster => {static, Members}, cluster_name => hornbeam, cluster_port => 4370, cluster_size => 3, cluster_timeout => 3000,
                        cluster_dir => unicode:characters_to_binary(filename:join(?config(priv_dir, Config), Node))}} || {Peer, Node} <- Nodes],
    _ = [ok = peers:call(Peer, hornbeam_cluster, start, [Each]) || {Peer, Each} <- Options],
    [{nodes, Nodes}, {options, Options} | Config].

end_per_suite(Config) ->
    lists:foreach(fun({Peer, _}) -> peer:stop(Peer) end, ?config(nodes, Config)).

they_are_linked(Config) ->
    [up_with(Peer, 2) || {Peer, _} <- ?config(nodes, Config)],
    [{A, _}, {_, B} | _] = ?config(nodes, Config),
    await:until(fun() -> length(peers:call(A, hornbeam_cluster, members, [])) =:= 3 end),
    ?assertMatch(#{hello := #{protocol := 1, name := <<"hornbeam">>}}, of_node(A, B)),
    ?assertEqual({error, not_understood}, peers:call(A, gen_server, call, [{hornbeam_cluster_links, B}, {later, version}])),
    %% A leader shows up a moment after the founding.
    await:until(fun() -> peers:call(A, hornbeam_cluster, leader, []) =/= none end),
    Text = unicode:characters_to_list(peers:call(A, hornbeam_cluster_report, text, [peers:call(A, hornbeam_cluster_report, describe, [])])),
    ?assertNotEqual(nomatch, string:find(Text, "3 of 3 nodes up, leader")).

a_link_that_is_lost_is_found_again(Config) ->
    [{A, _}, {B, NodeB} | _] = ?config(nodes, Config),
    #{reconnects := Before} = status(A),
    true = peers:call(A, erlang, disconnect_node, [NodeB]),
    await:until(fun() -> maps:get(reconnects, status(A)) > Before end),
    [up_with(Peer, 2) || Peer <- [A, B]].

the_links_are_restarted(Config) ->
    [{A, NodeA}, {B, _} | _] = ?config(nodes, Config),
    Since = fun() -> #{for := For} = of_node(B, NodeA), erlang:monotonic_time(millisecond) - For end,
    Before = Since(),
    Links = peers:call(A, erlang, whereis, [hornbeam_cluster_links]),
    true = peers:call(A, erlang, exit, [Links, kill]),
    await:until(fun() -> is_pid(peers:call(A, erlang, whereis, [hornbeam_cluster_links])) end),
    up_with(A, 2),
    %% The others have not seen it down.
    ?assert(abs(Since() - Before) < 100).

a_cluster_stops_and_its_node_stays(Config) ->
    [{A, _}, {_, _}, {C, NodeC}] = ?config(nodes, Config),
    ok = peers:call(C, hornbeam_cluster, stop, []),
    ?assert(peers:call(C, erlang, is_alive, [])),
    await:until(fun() -> maps:get(state, of_node(A, NodeC)) =:= stopped end),
    ?assertEqual(undefined, peers:call(C, erlang, whereis, [hornbeam_cluster_sup])),
    ?assertEqual({error, no_cluster}, peers:call(C, hornbeam_cluster, leave, [])),
    ok = peers:call(C, hornbeam_cluster, start, [proplists:get_value(C, ?config(options, Config))]),
    [up_with(Peer, 2) || Peer <- [A, C]].

%% Of a later version, which still speaks this one's protocol, and of one after that, which does not.
other_versions(Config) ->
    [{A, NodeA}, _, {C, NodeC}] = ?config(nodes, Config),
    ok = anew(C, {9, 1}, Config),
    [up_with(Peer, 2) || Peer <- [A, C]],
    ?assertMatch(#{hello := #{protocol := 9, oldest := 1, spoken := 1}}, of_node(A, NodeC)),
    ?assertMatch(#{hello := #{protocol := 1, oldest := 1, spoken := 1}}, of_node(C, NodeA)),
    await:until(fun() -> length(peers:call(C, hornbeam_cluster, members, [])) =:= 3 end),
    ok = anew(C, {9, 2}, Config),
    await:until(fun() -> maps:get(state, of_node(A, NodeC)) =:= refused end),
    ?assertMatch(#{cause := {no_protocol, {2, 9}, {1, 1}}}, of_node(A, NodeC)),
    await:until(fun() -> maps:get(state, of_node(C, NodeA)) =:= refused end),
    ok = anew(C, {1, 1}, Config),
    [up_with(Peer, 2) || Peer <- [A, C]].

%% As a node of a version that speaks these.
anew(Peer, {Newest, Oldest}, Config) ->
    ok = peers:call(Peer, hornbeam_cluster, stop, []),
    Source = proplists:get_value(source, hornbeam_cluster_hello:module_info(compile)),
    {ok, Module, Binary} = compile:file(Source, [binary, {d, 'PROTOCOL', Newest}, {d, 'OLDEST', Oldest}]),
    {module, Module} = peers:call(Peer, code, load_binary, [Module, Source, Binary]),
    peers:call(Peer, hornbeam_cluster, start, [proplists:get_value(Peer, ?config(options, Config))]).

a_stranger_is_left_alone(Config) ->
    [{A, NodeA} | _] = ?config(nodes, Config),
    {ok, Stranger, Node} = peer:start(#{name => peer:random_name(), host => "127.0.0.1", longnames => true, connection => standard_io,
                                             args => ["-setcookie", "forming"]}),
    true = peers:call(Stranger, net_kernel, connect_node, [NodeA]),
    ok = peers:call(A, hornbeam_cluster_links, look, []),
    await:until(fun() -> maps:get(not_there, maps:get(failures, status(A)), 0) > 0 end),
    ?assert(lists:member(Node, peers:call(A, erlang, nodes, []))),
    ?assertEqual(2, length(maps:get(nodes, status(A)))),
    ok = peer:stop(Stranger).

commands(Config) ->
    [{A, NodeA}, {_, NodeB} | _] = ?config(nodes, Config),
    Run = fun(Arguments) -> {Result, Text} = peers:call(A, hornbeam_cluster_command, run, [Arguments]), {Result, unicode:characters_to_list(Text)} end,
    Own = {["forget", atom_to_list(NodeA)], "is this node"},
    Up = {["forget", atom_to_list(NodeB)], "is up"},
    [begin
         {error, Text} = Run(Arguments),
         ?assertNotEqual(nomatch, string:find(Text, Said), Text)
     end || {Arguments, Said} <- [Own, Up | ?COMMANDS]],
    {ok, Joined} = Run(["join", "nobody@127.0.0.77"]),
    ?assertEqual("connecting to nobody@127.0.0.77; cluster status shows whether it is reached", Joined),
    {ok, Status} = Run(["status"]),
    ?assertNotEqual(nomatch, string:find(Status, "nobody@127.0.0.77")).

status(Peer) -> peers:call(Peer, hornbeam_cluster_links, status, []).

of_node(Peer, Node) ->
    [Found] = [Other || #{node := N} = Other <- maps:get(nodes, status(Peer)), N =:= Node],
    Found.

up_with(Peer, Number) ->
    await:until(fun() -> length([up || #{state := up} <- maps:get(nodes, status(Peer))]) =:= Number end).
