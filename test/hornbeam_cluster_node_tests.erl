%%% hornbeam_cluster_node: servers of one VM that are in the cluster, without starting anything.
-module(hornbeam_cluster_node_tests).

-include_lib("eunit/include/eunit.hrl").

-define(OPTIONS, #{cluster => local, cluster_dir => <<"/x">>, cluster_port => 4370, cluster_ready => false, cluster_nodes => [], workers => 1}).

shared_test_() ->
    {setup, fun() -> hornbeam_cluster_sup:set_options(?OPTIONS) end, fun(_) -> hornbeam_cluster_sup:set_options(none) end,
     [?_assertEqual(ok, hornbeam_cluster_node:start(second, ?OPTIONS)),
      ?_assertEqual(ok, hornbeam_cluster_node:start(second, #{cluster => <<>>})),
      ?_assertEqual(ok, hornbeam_cluster_node:start(second, options(#{workers => 2, cluster_ready => true, cluster_nodes => ['a@b']}))),
      ?_assertEqual({error, {cluster_differs, cluster_port}}, hornbeam_cluster_node:start(second, options(#{cluster_port => 1}))),
      ?_assertEqual({error, {cluster_differs, cluster}}, hornbeam_cluster_node:start(second, options(#{cluster => {dns, <<"x.y">>}})))]}.

options(Others) -> maps:merge(?OPTIONS, Others).

without_a_cluster_nothing_starts_test() ->
    ?assertEqual(none, hornbeam_cluster_node:options()),
    ?assertEqual(ignore, hornbeam_cluster_node:start_link()),
    ?assertEqual(ok, hornbeam_cluster_node:start(first, #{cluster => <<>>})).
