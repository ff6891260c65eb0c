%%% hornbeam_cluster_discovery and its ways, without a network: which members there are, which of them is this node; and hello.
-module(hornbeam_cluster_discovery_tests).

-include_lib("eunit/include/eunit.hrl").
-include_lib("kernel/include/file.hrl").

-define(CONTEXT, #{port => 4370, timeout => 1000}).
-define(ONE, {<<>>, <<"10.0.0.1">>}).
-define(TWO, {<<"web">>, <<"10.0.0.2">>}).

static_is_what_is_written_test() ->
    ?assertEqual({ok, [?ONE, ?TWO], []}, hornbeam_cluster_discovery:find({static, [?TWO, ?ONE]}, ?CONTEXT)),
    ?assertEqual(['h@10.0.0.1', 'web@10.0.0.2'], hornbeam_cluster_discovery:nodes([?TWO, ?ONE], h)),
    ?assertEqual({ok, [], []}, hornbeam_cluster_discovery:find(local, ?CONTEXT)).

own(Discovery, Address, Machine) ->
    hornbeam_cluster_discovery:own([?ONE, ?TWO], #{cluster => Discovery, cluster_address => Address}, Machine).

own_test() ->
    Static = {static, [?ONE, ?TWO]},
    Dns = {dns, <<"web.internal">>},
    ?assertEqual({ok, ?TWO}, own(Static, <<>>, [{10, 0, 0, 2}, {10, 0, 0, 9}])),
    ?assertEqual({error, {cluster_address, none, [<<"10.0.0.1">>, <<"10.0.0.2">>]}}, own(Static, <<>>, [{10, 0, 0, 9}])),
    ?assertEqual({error, {cluster_address, several, [<<"10.0.0.1">>, <<"10.0.0.2">>]}}, own(Static, <<>>, [{10, 0, 0, 1}, {10, 0, 0, 2}])),
    ?assertEqual({ok, ?TWO}, own(Static, <<"10.0.0.2">>, [])),
    ?assertEqual({ok, {<<>>, <<"10.0.0.9">>}}, own(Dns, <<"10.0.0.9">>, [])),
    %% Not in DNS yet.
    ?assertEqual({ok, {<<>>, <<"10.0.0.9">>}}, own(Dns, <<>>, [{127, 0, 0, 1}, {10, 0, 0, 9}])),
    ?assertEqual({error, {cluster_address, machine, [<<"10.0.0.8">>, <<"10.0.0.9">>]}}, own(Dns, <<>>, [{10, 0, 0, 8}, {10, 0, 0, 9}])).

loopback_is_the_machines_test() ->
    Members = [{<<>>, <<"127.0.0.3">>}, ?ONE],
    ?assertEqual({ok, {<<>>, <<"127.0.0.3">>}}, hornbeam_cluster_discovery:own(Members, #{cluster => {static, Members}, cluster_address => <<>>}, [])).

srv_with_another_port_is_ignored_test() ->
    {Targets, [Line, _]} = hornbeam_cluster_discovery_dns:targets([{0, 0, 4370, "A.x"}, {0, 0, 4371, "b.x"}, {0, 0, 4370, "c"}], 4370),
    ?assertEqual([<<"a.x">>], Targets),
    ?assertNotEqual(nomatch, string:find(Line, "b.x has port 4371")).

a_name_of_the_machine_is_looked_up_test() ->
    ?assertEqual({ok, [{<<>>, <<"127.0.0.1">>}], []}, hornbeam_cluster_discovery:find({dns, <<"localhost">>}, ?CONTEXT)),
    {error, Text} = hornbeam_cluster_discovery:find({dns, <<"nobody.invalid">>}, ?CONTEXT),
    ?assertMatch(<<"nobody.invalid: ", _/binary>>, unicode:characters_to_binary(Text)).

folder_test_() ->
    {setup, fun make/0, fun(Path) -> file:del_dir_r(Path) end,
     fun(Path) ->
         Find = fun() -> {ok, Members, []} = hornbeam_cluster_discovery:find({folder, Path}, ?CONTEXT), Members end,
         [{"announced, and withdrawn",
           fun() ->
               [ok = hornbeam_cluster_discovery:announce({folder, Path}, Node) || Node <- ['a@10.0.0.1', 'a@10.0.0.2', 'b@10.0.0.3']],
               ok = file:write_file(filename:join(Path, "notes.txt"), "no node"),
               ?assertEqual([{<<"a">>, <<"10.0.0.1">>}, {<<"a">>, <<"10.0.0.2">>}, {<<"b">>, <<"10.0.0.3">>}], Find()),
               ok = hornbeam_cluster_discovery:withdraw({folder, Path}, 'b@10.0.0.3'),
               ?assertEqual(2, length(Find()))
           end},
          {"stale ones are ignored, then removed",
           fun() ->
               Stale = filename:join(Path, "a@10.0.0.2"),
               older(Stale, 31),
               ?assertEqual([{<<"a">>, <<"10.0.0.1">>}], Find()),
               ?assert(filelib:is_regular(Stale)),
               older(Stale, 400),
               ?assertEqual([{<<"a">>, <<"10.0.0.1">>}], Find()),
               ?assertNot(filelib:is_regular(Stale)),
               ?assert(filelib:is_regular(filename:join(Path, "notes.txt")))
           end},
          {"a folder that is not there",
           fun() ->
               Missing = filename:join(Path, "missing"),
               ?assertMatch({error, [Missing | _]}, hornbeam_cluster_discovery:find({folder, Missing}, ?CONTEXT)),
               ?assertMatch({error, _}, hornbeam_cluster_discovery:announce({folder, filename:join(Path, "notes.txt")}, 'a@10.0.0.1'))
           end}]
     end}.

make() ->
    Path = filename:join("/tmp", "hornbeam-discovery-" ++ os:getpid()),
    ok = filelib:ensure_dir(filename:join(Path, "x")),
    list_to_binary(Path).

older(File, Seconds) ->
    Time = erlang:system_time(second) - Seconds,
    ok = file:write_file_info(File, #file_info{mtime = Time}, [{time, posix}]).

%% --- hello -----------------------------------------------------------------------------------------------------------

mine() -> hornbeam_cluster_hello:mine(#{cluster_name => h, machine => 3}).

hello_test() ->
    Mine = mine(),
    ?assertMatch({ok, #{spoken := 1, machine := 3, name := <<"h">>}}, hornbeam_cluster_hello:judge(Mine, Mine)),
    ?assertMatch({ok, #{spoken := 1, protocol := 9}}, hornbeam_cluster_hello:judge(Mine#{protocol := 9, oldest := 1, later => thing}, Mine)),
    ?assertEqual({error, {no_protocol, {2, 9}, {1, 1}}}, hornbeam_cluster_hello:judge(Mine#{protocol := 9, oldest := 2}, Mine)),
    ?assertEqual({error, {no_protocol, {1, 1}, {2, 2}}}, hornbeam_cluster_hello:judge(Mine, Mine#{protocol := 2, oldest := 2})),
    ?assertEqual({error, {other_cluster, <<"x">>}}, hornbeam_cluster_hello:judge(Mine#{name := <<"x">>}, Mine)),
    [?assertEqual({error, not_understood}, hornbeam_cluster_hello:judge(Wrong, Mine))
     || Wrong <- [hello, #{}, #{name => h}, Mine#{protocol := one}]],
    [?assertMatch([_ | _], unicode:characters_to_list(hornbeam_cluster_hello:explain(Refusal)))
     || Refusal <- [not_understood, {other_cluster, <<"x">>}, {no_protocol, {2, 9}, {1, 1}}]].
