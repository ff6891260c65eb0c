%%% The replicated state over three nodes: founding, joining, coming back, what is answered when nodes are missing.
-module(hornbeam_cluster_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, init_per_testcase/2, end_per_testcase/2]).
-export([count/1, one_node/1, three_nodes/1, a_node_joins_and_leaves/1, a_node_comes_back/1, a_minority_refuses/1, late_heartbeats/1, lost_data/1, lost_log/1, all_logs_lost/1,
         a_founder_is_killed/1, an_upgrade/1, as_many_as_may_be_open/1, as_large_as_may_be/1, many_questions/1,
         a_follower_stands_still/1]).
-export([open/2, questions/1, large/0, write_on/1]).

all() -> [one_node, three_nodes, a_node_joins_and_leaves, a_node_comes_back, a_minority_refuses, late_heartbeats, lost_data, lost_log,
          all_logs_lost, a_founder_is_killed, an_upgrade, as_many_as_may_be_open, as_large_as_may_be, many_questions,
          a_follower_stands_still].

init_per_testcase(_Case, Config) ->
    case is_alive() of
        true -> Config;
        false ->
            ok = peers:distributed(),
            [{started, true} | Config]
    end.

end_per_testcase(_Case, Config) ->
    lists:foreach(fun({Peer, _}) -> peers:stop(Peer) end, lists:flatten([get_all(peers)])),
    _ = [net_kernel:stop() || proplists:get_bool(started, Config)],
    ok.

get_all(Key) ->
    case erase(Key) of
        undefined -> [];
        List -> List
    end.

one_node(Config) ->
    [{Peer, _}] = formed(1, Config),
    ?assertEqual(ok, state(Peer, set, [<<"a">>, #{x => 1}])),
    ?assertMatch({ok, #{x := 1}, _}, state(Peer, get, [<<"a">>])),
    ?assertEqual({ok, 3}, state(Peer, incr, [n, 3])),
    ?assertEqual(error, state(Peer, get, [<<"b">>])),
    %% What is restarted alone hears again who is a member.
    lists:foreach(fun(Name) ->
        true = peers:call(Peer, erlang, exit, [peers:call(Peer, erlang, whereis, [Name]), kill]),
        await:until(fun() -> state(Peer, set, [<<"b">>, 1]) =:= ok end),
        await:until(fun() -> is_tuple(state(Peer, get, [<<"b">>])) andalso state(Peer, get, [<<"b">>]) =/= {error, no_quorum} end),
        await:until(fun() -> state(Peer, get, [<<"b">>, local]) =/= {error, no_quorum} end)
    end, [hornbeam_cluster_client, hornbeam_cluster_reader, hornbeam_cluster_reader_local, hornbeam_cluster_engine]).

three_nodes(Config) ->
    [{A, _}, {B, _}, {C, _}] = Nodes = formed(3, Config),
    Leaders = [peers:call(Peer, hornbeam_cluster, leader, []) || {Peer, _} <- Nodes],
    ?assertMatch([_], lists:usort(Leaders)),
    ?assertEqual(ok, state(A, set, [<<"a">>, 1])),
    ?assertMatch({ok, 1, _}, state(B, get, [<<"a">>])),
    ?assertEqual(true, state(C, cas, [<<"a">>, 1, 2])),
    ?assertEqual(false, state(B, cas, [<<"a">>, 1, 3])),
    %% Each counts as often as it says.
    Counted = pmap(fun({Peer, _}) -> peers:call(Peer, ?MODULE, count, [200]) end, Nodes),
    ?assertEqual([200, 200, 200], Counted),
    ?assertMatch({ok, 600, _}, state(A, get, [<<"count">>])),
    ?assertMatch({ok, [{<<"a">>, 2, _}, {<<"count">>, 600, _}], done}, state(B, page, [none, none, 10, linearizable])),
    ?assertEqual(ok, state(C, set, [<<"t">>, 1, 100])),
    await:until(fun() -> state(A, get, [<<"t">>]) =:= error end).

a_node_joins_and_leaves(Config) ->
    [{A, NodeA}] = formed(1, Config),
    ?assertEqual(ok, state(A, set, [<<"a">>, 1])),
    {B, NodeB} = started(),
    cluster([{A, NodeA}, {B, NodeB}], 1, [B], Config),
    await:until(fun() -> peers:call(B, hornbeam_cluster, members, []) =:= lists:sort([NodeA, NodeB]) end),
    await:until(fun() -> maps:get(membership, peers:call(B, hornbeam_cluster, info, []), none) =:= voter end),
    ?assertMatch({ok, 1, _}, state(B, get, [<<"a">>])),
    ?assertEqual(ok, peers:call(B, hornbeam_cluster, leave, [])),
    await:until(fun() -> peers:call(A, hornbeam_cluster, members, []) =:= [NodeA] end),
    ?assertEqual({error, no_quorum}, state(B, set, [<<"a">>, 2])),
    ?assertEqual(ok, state(A, set, [<<"a">>, 3])).

a_node_comes_back(Config) ->
    [{A, _}, {B, _}, {C, NodeC}] = Nodes = formed(3, Config),
    ?assertEqual(ok, state(A, set, [<<"a">>, 1])),
    peers:stop(C),
    ?assertEqual(ok, state(B, set, [<<"b">>, 2])),
    {C2, NodeC} = started(NodeC),
    cluster([{C2, NodeC} | Nodes -- [{C, NodeC}]], 3, [C2], Config),
    await:until(fun() -> state(C2, get, [<<"b">>, local]) =/= error andalso element(1, state(C2, get, [<<"b">>, local])) =:= ok end),
    ?assertMatch({ok, 2, _}, state(C2, get, [<<"b">>])).

a_minority_refuses(Config) ->
    [{A, _}, {B, NodeB}, {C, NodeC}] = formed(3, Config),
    ?assertEqual(ok, state(A, set, [<<"a">>, 1])),
    peers:stop(B),
    peers:stop(C),
    await:until(fun() -> peers:call(A, erlang, nodes, []) -- [NodeB, NodeC] =:= peers:call(A, erlang, nodes, []) end),
    await:until(fun() -> state(A, set, [<<"a">>, 2]) =:= {error, no_quorum} end),
    ?assertEqual({error, no_quorum}, state(A, get, [<<"a">>])),
    ?assertMatch({ok, 1, _}, state(A, get, [<<"a">>, local])).

%% What aten says for a moment, as on a busy machine, fails nothing; what is open meanwhile is answered.
late_heartbeats(Config) ->
    [{A, _}, {_, NodeB}, {_, NodeC}] = formed(3, Config),
    lists:foreach(fun(Number) ->
        _ = [peer:send(A, hornbeam_cluster_client, {node_event, Node, down}) || Node <- [NodeB, NodeC]],
        ?assertEqual({ok, Number}, state(A, incr, [n, 1])),
        ?assertMatch({ok, Number, _}, state(A, get, [n])),
        _ = [peer:send(A, hornbeam_cluster_client, {node_event, Node, up}) || Node <- [NodeB, NodeC]]
    end, lists:seq(1, 20)),
    await:until(fun() -> maps:get(down, peers:call(A, hornbeam_cluster_client, info, [])) =:= [] end).

lost_data(Config) ->
    [{A, _}, {_B, _}, {C, NodeC}] = Nodes = formed(3, Config),
    ?assertEqual(ok, state(A, set, [<<"a">>, 1])),
    peers:stop(C),
    ok = file:del_dir_r(folder(NodeC, Config)),
    {C2, NodeC} = started(NodeC),
    cluster([{C2, NodeC} | Nodes -- [{C, NodeC}]], 3, [C2], Config),
    await:until(fun() -> element(1, try state(C2, get, [<<"a">>, local]) of error -> {error}; Value -> Value catch _:_ -> {error} end) =:= ok end),
    await:until(fun() -> maps:get(membership, peers:call(C2, hornbeam_cluster, info, []), none) =:= voter end).

%% Ra's files are lost, and what the node says of itself is there: it may have voted in what it has lost, so it does not come back as what it was.
lost_log(Config) ->
    [{A, NodeA}, {B, NodeB}, {C, NodeC}] = formed(3, Config),
    lists:foldl(fun({{Peer, Node}, Other}, Nodes) ->
        joined(Node, Config),
        ?assertEqual(ok, state(element(1, Other), set, [Node, 1])),
        peers:stop(Peer),
        ok = file:del_dir_r(filename:join(folder(Node, Config), "ra")),
        {Again, Node} = started(Node),
        Now = lists:keyreplace(Node, 2, Nodes, {Again, Node}),
        cluster(Now, 3, [Again], Config),
        %% It was removed, and joins as another voice: with a name of Ra's of its own.
        await:until(fun() -> is_voter(Again) end),
        {ok, [{hornbeam_cluster, _, Node, {joined, _, <<_, _/binary>>, _}}]} = file:consult(filename:join(folder(Node, Config), "member")),
        ?assertMatch({ok, 1, _}, state(Again, get, [Node])),
        await:until(fun() -> peers:call(element(1, Other), hornbeam_cluster, members, []) =:= lists:sort([NodeA, NodeB, NodeC]) end),
        Now
    end, [{A, NodeA}, {B, NodeB}, {C, NodeC}], [{{B, NodeB}, {A, NodeA}}, {{C, NodeC}, {A, NodeA}}]).

%% Of all at once: nothing is left of the cluster, and they found another.
all_logs_lost(Config) ->
    Nodes = [{A, _}, _] = formed(2, Config),
    ?assertEqual(ok, state(A, set, [<<"a">>, 1])),
    Id = maps:get(id, peers:call(A, hornbeam_cluster, info, [])),
    lists:foreach(fun({Peer, Node}) ->
        joined(Node, Config),
        peers:stop(Peer),
        ok = file:del_dir_r(filename:join(folder(Node, Config), "ra"))
    end, Nodes),
    Again = [{First, _}, _] = [started(Node) || {_, Node} <- Nodes],
    cluster(Again, 2, [Peer || {Peer, _} <- Again], Config),
    await:until(fun() -> state(First, set, [<<"b">>, 1]) =:= ok end),
    ?assertEqual(error, state(First, get, [<<"a">>])),
    ?assertNotEqual(Id, maps:get(id, peers:call(First, hornbeam_cluster, info, []))).

%% Whatever of a founder's log is on its disk then, and whoever of the founders it is: they found the cluster when it is back.
a_founder_is_killed(Config) ->
    lists:foreach(fun(Which) ->
        Nodes = lists:keysort(2, [started() || _ <- [1, 2, 3]]),
        cluster(Nodes, 3, [Peer || {Peer, _} <- Nodes], Config),
        {Peer, Node} = lists:nth(Which, Nodes),
        await:until(fun() -> element(1, written(Node, Config)) =:= founded end),
        _ = os:cmd("kill -9 " ++ peers:call(Peer, os, getpid, [])),
        peers:stop(Peer),
        {Again, Node} = started(Node),
        Now = lists:keyreplace(Node, 2, Nodes, {Again, Node}),
        cluster(Now, 3, [Again], Config),
        await:until(fun() -> lists:all(fun({Each, _}) -> state(Each, set, [<<"formed">>, 1]) =:= ok end, Now) end)
    end, [1, 3]).

%% Nodes of the next version of the machine (later_machine) come one by one. While they are no majority all is as it was; then the state goes over, once and on all at the
%% same place; one of the version before answers through the others, and catches up when it is of the next.
an_upgrade(Config) ->
    [{A, _}, {B, _}, {C, _}] = Nodes = formed(3, Config),
    ?assertEqual({ok, 1}, state(A, incr, [n, 1])),
    One = upgraded({C, 3}, Nodes, Config),
    ?assertEqual([{ok, Number} || Number <- [2, 3, 4]], [state(Peer, incr, [n, 1]) || {Peer, _} <- One]),
    ?assertEqual([error, error, error], [state(Peer, get, [<<"version">>]) || {Peer, _} <- One]),
    Two = upgraded({B, 2}, One, Config),
    ?assertEqual({ok, 5}, state(A, incr, [n, 1])),
    %% The last of the version before starts anew: whoever led, one of the next leads then.
    Mixed = [{Old, OldNode} | Next] = restarted({A, 1}, Two, fun(_) -> ok end, Config),
    await:until(fun() -> lists:all(fun({Peer, _}) -> version(Peer, linearizable) =:= 2 end, Mixed) end),
    ?assertEqual([{ok, Number} || Number <- [6, 7, 8]], [state(Peer, incr, [n, 1]) || {Peer, _} <- Mixed]),
    ?assertEqual(none, version(Old, local)),
    [{New, OldNode} | Next] = upgraded({Old, 1}, Mixed, Config),
    await:until(fun() -> version(New, local) =:= 2 end),
    ?assertEqual({ok, 9}, state(New, incr, [n, 1])),
    ?assertEqual([1, 1, 1], [element(3, state(Peer, get, [<<"times">>])) - element(3, state(Peer, get, [<<"version">>])) || {Peer, _} <- [{New, OldNode} | Next]]).

version(Peer, Consistency) ->
    case state(Peer, get, [<<"version">>, Consistency]) of
        {ok, Version, _} -> Version;
        _ -> none
    end.

upgraded(Which, Nodes, Config) ->
    Later = later_machine:code(),
    Load = fun(Peer) ->
        lists:foreach(fun({Module, Code}) ->
            ?assertEqual({module, Module}, peers:call(Peer, code, load_binary, [Module, atom_to_list(Module), Code]))
        end, Later)
    end,
    restarted(Which, Nodes, Load, Config).

restarted({Peer, Place}, Nodes, Prepare, Config) ->
    {Peer, Node} = lists:nth(Place, Nodes),
    peers:stop(Peer),
    {Again, Node} = started(Node),
    _ = Prepare(Again),
    Now = lists:keyreplace(Node, 2, Nodes, {Again, Node}),
    cluster(Now, 3, [Again], Config),
    await:until(fun() -> is_voter(Again) end),
    await:until(fun() -> element(1, state(Again, get, [n])) =:= ok end),
    Now.

written(Node, Config) ->
    case file:consult(filename:join(folder(Node, Config), "member")) of
        {ok, [{hornbeam_cluster, _, Node, Phase}]} -> Phase;
        _ -> {none}
    end.

joined(Node, Config) -> await:until(fun() -> element(1, written(Node, Config)) =:= joined end).

is_voter(Peer) ->
    Info = peers:call(Peer, hornbeam_cluster, info, []),
    maps:get(phase, Info) =:= joined andalso maps:get(membership, Info, none) =:= voter.

%% While the member stands still nothing is answered: so many changes are taken, then no more; later each is done once, however often it was sent. Bytes are counted as well.
as_many_as_may_be_open(Config) ->
    [{Peer, _}] = formed(1, Config),
    Pressed = fun(Command, Count) -> peers:call(Peer, ?MODULE, open, [Command, Count]) end,
    {{19999, 0}, {19999, 0}} = Pressed({incr, n, 1, infinity}, 19999),
    {{20000, 0}, {20000, 0}} = Pressed({incr, n, 1, infinity}, 20000),
    {{20000, 1}, {20000, 1}} = Pressed({incr, n, 1, infinity}, 20001),
    ?assertMatch({ok, 59999, _}, state(Peer, get, [n])),
    Large = {set, <<"large">>, binary:copy(<<0>>, 4000000), infinity},
    {{17, 13}, {17, 13}} = Pressed(Large, 30),
    ?assertEqual({ok, 60000}, state(Peer, incr, [n, 1])).

%% On the peer: how many are taken and refused while its member stands still, and how many are then done and refused.
open(Command, Count) ->
    {ok, Operation} = hornbeam_cluster_state:operation(Command),
    Member = binary_to_existing_atom(<<"hornbeam_cluster_", (maps:get(id, hornbeam_cluster:info()))/binary>>),
    ok = sys:suspend(Member, 60000),
    Asked = [gen_server:send_request(hornbeam_cluster_client, hornbeam_cluster_client:request(Operation, 60000)) || _ <- lists:seq(1, Count)],
    #{open := Open} = gen_server:call(hornbeam_cluster_client, info, 60000),
    ok = sys:resume(Member, 60000),
    Answers = [element(1, Answer) || {reply, Answer} <- [gen_server:receive_response(Request, 60000) || Request <- Asked]],
    Done = length([ok || ok <- Answers]),
    {{Open, Count - Open}, {Done, length(Answers) - Done}}.

%% A value of the largest size, and one byte less and more, after small ones and after large ones.
as_large_as_may_be(Config) ->
    [{Peer, _}] = formed(1, Config),
    ?assertEqual(ok, peers:call(Peer, ?MODULE, large, [])).

large() ->
    Size = fun(Bytes) -> binary:copy(<<$x>>, Bytes) end,
    Set = fun(Key, Value) -> hornbeam_cluster_state:set(Key, Value) end,
    %% A key of one byte, 200 for each entry, and what a value has besides its bytes.
    Most = 4194304 - 1 - 200 - byte_size(term_to_binary(<<>>, [deterministic])),
    lists:foreach(fun(Before) ->
        _ = [?assertEqual(ok, Set(<<"b">>, Value)) || Value <- Before],
        ?assertEqual([ok, ok, {error, too_large}], [Set(<<"k">>, Size(Bytes)) || Bytes <- [Most - 1, Most, Most + 1]]),
        {ok, Stored, _} = hornbeam_cluster_state:get(<<"k">>),
        ?assertEqual(Most, byte_size(Stored))
    end, [[], [1, 2, 3], [Size(Most)]]),
    %% What is compared counts, and need not be stored; keys count wherever they stand.
    ?assertEqual([false, {error, too_large}], [hornbeam_cluster_state:cas(<<"k">>, Size(Bytes), 1) || Bytes <- [Most - 1, Most + 1]]),
    ?assertEqual(true, hornbeam_cluster_state:cas(<<"k">>, Size(Most), Size(Most - 1))),
    ?assertEqual({error, too_large}, hornbeam_cluster_state:pop(Size(4194304))),
    ?assertEqual({error, too_large}, hornbeam_cluster_state:incr(Size(4194304), 1)),
    ok.

%% What it is to be sent does not pile up where the others write: 240 MB here. Later it has all.
a_follower_stands_still(Config) ->
    Nodes = formed(3, Config),
    Leader = peers:call(element(1, hd(Nodes)), hornbeam_cluster, leader, []),
    {Peer, Leader} = lists:keyfind(Leader, 2, Nodes),
    [{Slow, SlowNode}, _] = Nodes -- [{Peer, Leader}],
    Slept = peers:call(Slow, os, getpid, []),
    _ = os:cmd("kill -STOP " ++ Slept),
    Most = try peers:call(Peer, ?MODULE, write_on, [60])
    after os:cmd("kill -CONT " ++ Slept)
    end,
    ?assert(Most < 200 bsl 20),
    await:until(fun() -> peers:call(Peer, net_kernel, connect_node, [SlowNode]) end),
    await:until(fun() -> case state(Slow, get, [<<"k">>, local]) of {ok, <<60, _/binary>>, _} -> true; _ -> false end end).

%% So many large changes; bytes that the VM had at most.
write_on(Number) ->
    lists:max([begin
        ok = hornbeam_cluster_state:set(<<"k">>, binary:copy(<<Each>>, 4000000)),
        erlang:memory(total)
    end || Each <- lists:seq(1, Number)]).

%% A hundred thousand at once: each is answered, or refused; and all goes on.
many_questions(Config) ->
    [{Peer, _}] = formed(1, Config),
    ?assertEqual(ok, state(Peer, set, [<<"k">>, 1])),
    {Answered, Refused} = peers:call(Peer, ?MODULE, questions, [100000]),
    ?assertEqual(100000, Answered + Refused),
    ?assert(Answered >= 20000),
    ?assertMatch({ok, 1, _}, state(Peer, get, [<<"k">>])).

questions(Count) ->
    Until = erlang:monotonic_time(millisecond) + 60000,
    Asked = [gen_server:send_request(hornbeam_cluster_reader, {ask, {kv, {get, <<"k">>}}, Until}) || _ <- lists:seq(1, Count)],
    Answers = [Answer || {reply, Answer} <- [gen_server:receive_response(Request, 60000) || Request <- Asked]],
    {length([ok || {ok, {ok, _, _}} <- Answers]), length([error || {error, too_many} <- Answers])}.

count(Times) ->
    lists:foreach(fun(_) -> {ok, _} = hornbeam_cluster_state:incr(<<"count">>, 1) end, lists:seq(1, Times)),
    Times.

%%% Nodes

formed(Number, Config) ->
    Nodes = [started() || _ <- lists:seq(1, Number)],
    cluster(Nodes, Number, [Peer || {Peer, _} <- Nodes], Config),
    await:until(fun() -> lists:all(fun({Peer, _}) -> state(Peer, set, [<<"formed">>, 1]) =:= ok end, Nodes) end),
    {ok, _} = state(element(1, hd(Nodes)), pop, [<<"formed">>]),
    Nodes.

%% Connects all, and starts those named.
cluster(Nodes, Size, Start, Config) ->
    Names = [Node || {_, Node} <- Nodes],
    _ = [peers:call(Peer, net_kernel, connect_node, [Node]) || {Peer, _} <- Nodes, Node <- Names],
    _ = [begin
             ok = peers:call(Peer, hornbeam_cluster, start, [#{cluster_dir => folder(Node, Config), cluster_size => Size, cluster_timeout => 30000, cluster_max_bytes => 1 bsl 28}]),
             _ = peer:send(Peer, hornbeam_cluster_engine, {discovered, Names})
         end || {Peer, Node} <- Nodes, lists:member(Peer, Start)],
    ok.

started() -> noted(peers:start([])).

started(Node) ->
    [Name, _] = string:split(atom_to_list(Node), "@"),
    noted(peers:start(list_to_atom(Name), [])).

noted(Started) ->
    put(peers, [Started | case get(peers) of undefined -> []; Peers -> Peers end]),
    Started.

folder(Node, Config) -> filename:join(?config(priv_dir, Config), atom_to_list(Node)).

state(Peer, Function, Arguments) -> peers:call(Peer, hornbeam_cluster_state, Function, Arguments).

pmap(Fun, List) ->
    Self = self(),
    Refs = [begin Ref = make_ref(), spawn_link(fun() -> Self ! {Ref, Fun(Each)} end), Ref end || Each <- List],
    [receive {Ref, Value} -> Value end || Ref <- Refs].
