%%% Presence on three nodes: the net between them splits and heals, a node is killed and comes back, the process of one is killed, and changes meanwhile.
%%% The nodes are told what to do over their standard input: the suite's own node need not be one of them.
-module(hornbeam_presence_SUITE).

-include_lib("stdlib/include/assert.hrl").

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([one_room/1, a_split_heals/1, changes_while_split/1, a_node_is_killed/1, a_process_is_killed/1, a_late_node/1, a_node_that_takes_nothing/1, any_order/1]).
%% On the nodes.
-export([listener/1, heard/1, tracks/2, members/1, behind/0]).

-define(T, <<"room:1">>).

all() -> [one_room, a_split_heals, changes_while_split, a_node_is_killed, a_process_is_killed, a_late_node, a_node_that_takes_nothing, any_order].

suite() -> [{timetrap, {seconds, 180}}].

init_per_suite(Config) ->
    ok = peers:epmd(),
    Config.

end_per_suite(_Config) -> ok.

init_per_testcase(_Case, Config) ->
    Nodes = [started() || _ <- [1, 2, 3]],
    ok = connected(Nodes),
    [{nodes, Nodes} | Config].

end_per_testcase(_Case, Config) ->
    lists:foreach(fun({Peer, _}) -> peers:stop(Peer) end, proplists:get_value(nodes, Config)).

started() -> started(peer:random_name()).

started(Name) -> peers:start(Name, ["-setcookie", "presence", "-kernel", "inet_dist_use_interface", "{127,0,0,1}"]).

connected(Nodes) ->
    await:until(fun() ->
        [peers:call(Peer, net_kernel, connect_node, [Node]) || {Peer, Own} <- Nodes, {_, Node} <- Nodes, Node =/= Own],
        lists:all(fun({Peer, _}) -> length(peers:call(Peer, erlang, nodes, [])) >= length(Nodes) - 1 end, Nodes)
    end).

%% Neither side takes the other's cookie until it heals.
split(Ones, Others) ->
    [cut(One, Other) || One <- Ones, Other <- Others],
    await:until(fun() ->
        [] =:= [Node || {Peer, _} <- Ones, {_, Node} <- Others, lists:member(Node, peers:call(Peer, erlang, nodes, []))]
            ++ [Node || {Peer, _} <- Others, {_, Node} <- Ones, lists:member(Node, peers:call(Peer, erlang, nodes, []))]
    end).

cut({One, OneNode}, {Other, OtherNode}) ->
    true = peers:call(One, erlang, set_cookie, [OtherNode, split]),
    true = peers:call(Other, erlang, set_cookie, [OneNode, parted]),
    peers:call(One, erlang, disconnect_node, [OtherNode]).

heal(Nodes) ->
    [true = peers:call(Peer, erlang, set_cookie, [Node, presence]) || {Peer, Own} <- Nodes, {_, Node} <- Nodes, Node =/= Own],
    connected(Nodes).

%%% What the nodes do

%% A process that tracks, until it is told to end.
tracks(Key, Meta) ->
    Pid = spawn(fun() -> receive stop -> ok end end),
    {ok, _} = hornbeam_presence:track(?T, Pid, Key, Meta),
    Pid.

listener(Topic) ->
    Self = self(),
    Pid = spawn(fun() -> ok = hornbeam_pubsub:subscribe(hornbeam_channels:topic(Topic)), Self ! {self(), ready}, listening([]) end),
    receive {Pid, ready} -> true = register(listener, Pid), ok end.

listening(Heard) ->
    receive
        {hornbeam_pubsub, _, {frame, _, none, <<"presence_diff">>, {json, Text}, never}} -> {ok, Diff} = hornbeam_json:decode(Text), listening([Diff | Heard]);
        {heard, From} -> From ! {self(), lists:reverse(Heard)}, listening(Heard)
    end.

heard(Pid) -> Pid ! {heard, self()}, receive {_, Heard} -> Heard end.

%% Keys and refs, as whoever reads the table sees them.
members(Topic) ->
    {ok, Listed} = hornbeam_json:decode(iolist_to_binary(hornbeam_presence:list(Topic))),
    lists:sort([{Key, Ref} || {Key, #{<<"metas">> := Metas}} <- maps:to_list(Listed), #{<<"phx_ref">> := Ref} <- Metas]).

%% The nodes whose link has not taken the whole set.
behind() -> [node(To) || Field <- tuple_to_list(sys:get_state(hornbeam_presence, 60000)), is_map(Field), {To, whole} <- maps:keys(Field)].

track({Peer, _}, Key) -> peers:call(Peer, ?MODULE, tracks, [Key, <<"{}">>]).

stop({Peer, _}, Pid) -> peers:call(Peer, erlang, send, [Pid, stop]).

seen({Peer, _}) -> peers:call(Peer, ?MODULE, members, [?T]).

keys(Node) -> [Key || {Key, _} <- seen(Node)].

see(Nodes, Keys) -> await:until(fun() -> lists:all(fun(Node) -> keys(Node) =:= Keys end, Nodes) end).

%% What a client that follows the diffs has, with joins before leaves.
followed({Peer, _}) ->
    Diffs = peers:call(Peer, ?MODULE, heard, [peers:call(Peer, erlang, whereis, [listener])]),
    lists:sort(lists:foldl(fun(#{<<"joins">> := Joins, <<"leaves">> := Leaves}, Acc) -> (Acc ++ flat(Joins)) -- flat(Leaves) end, [], Diffs)).

flat(Object) -> [{Key, Ref} || {Key, #{<<"metas">> := Metas}} <- maps:to_list(Object), #{<<"phx_ref">> := Ref} <- Metas].

listen(Nodes) -> [ok = peers:call(Peer, ?MODULE, listener, [?T]) || {Peer, _} <- Nodes].

%% All see the same, to the ref, and so do clients that have followed.
agree([First | _] = Nodes) ->
    await:until(fun() ->
        Seen = seen(First),
        lists:all(fun(Node) -> seen(Node) =:= Seen andalso followed(Node) =:= Seen end, Nodes)
    end).

%%% Cases

one_room(Config) ->
    [A, B, C] = Nodes = proplists:get_value(nodes, Config),
    listen(Nodes),
    _ = [track(A, <<"a">>), track(B, <<"both">>)],
    Pid = track(C, <<"both">>),
    see(Nodes, [<<"a">>, <<"both">>, <<"both">>]),
    agree(Nodes),
    stop(C, Pid),
    see(Nodes, [<<"a">>, <<"both">>]),
    agree(Nodes).

a_split_heals(Config) ->
    [A, B, C] = Nodes = proplists:get_value(nodes, Config),
    listen(Nodes),
    [track(Node, Key) || {Node, Key} <- [{A, <<"a">>}, {B, <<"b">>}, {C, <<"c">>}]],
    see(Nodes, [<<"a">>, <<"b">>, <<"c">>]),
    Before = seen(A),
    split([A], [B, C]),
    see([A], [<<"a">>]),
    see([B, C], [<<"b">>, <<"c">>]),
    heal(Nodes),
    see(Nodes, [<<"a">>, <<"b">>, <<"c">>]),
    %% The same entries: nobody has come or gone.
    ?assertEqual(Before, seen(A)),
    agree(Nodes).

changes_while_split(Config) ->
    [A, B, C] = Nodes = proplists:get_value(nodes, Config),
    listen(Nodes),
    [OfA, OfB, _] = [track(Node, Key) || {Node, Key} <- [{A, <<"a">>}, {B, <<"b">>}, {C, <<"c">>}]],
    see(Nodes, [<<"a">>, <<"b">>, <<"c">>]),
    split([A], [B, C]),
    stop(A, OfA),
    stop(B, OfB),
    _ = [track(A, <<"a2">>), track(C, <<"c2">>)],
    see([A], [<<"a2">>]),
    see([B, C], [<<"c">>, <<"c2">>]),
    heal(Nodes),
    see(Nodes, [<<"a2">>, <<"c">>, <<"c2">>]),
    agree(Nodes).

a_node_is_killed(Config) ->
    [A, B, {Peer, Node} = C] = proplists:get_value(nodes, Config),
    listen([A, B]),
    _ = [track(A, <<"a">>), track(C, <<"c">>)],
    see([A, B], [<<"a">>, <<"c">>]),
    ok = peer:stop(Peer),
    see([A, B], [<<"a">>]),
    %% The same name is another replica: what its predecessor said is not back.
    Again = started(list_to_atom(hd(string:split(atom_to_list(Node), "@")))),
    try
        ok = connected([A, B, Again]),
        track(Again, <<"d">>),
        see([A, B, Again], [<<"a">>, <<"d">>]),
        agree([A, B])
    after peer:stop(element(1, Again))
    end.

a_process_is_killed(Config) ->
    [{Peer, _} = A, B, C] = Nodes = proplists:get_value(nodes, Config),
    listen([B, C]),
    _ = [track(A, <<"a">>), track(B, <<"b">>)],
    see(Nodes, [<<"a">>, <<"b">>]),
    Killed = peers:call(Peer, erlang, whereis, [hornbeam_presence]),
    true = peers:call(Peer, erlang, exit, [Killed, kill]),
    await:until(fun() -> not lists:member(peers:call(Peer, erlang, whereis, [hornbeam_presence]), [Killed, undefined]) end),
    see(Nodes, [<<"a">>, <<"b">>]),
    track(A, <<"a2">>),
    see(Nodes, [<<"a">>, <<"a2">>, <<"b">>]),
    agree([B, C]).

%% One that comes when others have said much already.
a_late_node(Config) ->
    [A, B | _] = proplists:get_value(nodes, Config),
    [track(A, integer_to_binary(N)) || N <- lists:seq(100, 300)],
    Late = started(),
    try
        ok = connected([A, B, Late]),
        see([A, B, Late], [integer_to_binary(N) || N <- lists:seq(100, 300)])
    after peer:stop(element(1, Late))
    end.

%% Its link is congested meanwhile; the others go on, and it is told when it takes again.
a_node_that_takes_nothing(Config) ->
    [{Peer, _} = A, B, {Stopped, Node} = C] = Nodes = proplists:get_value(nodes, Config),
    OsPid = peers:call(Stopped, os, getpid, []),
    Meta = <<"{\"a\":\"", (binary:copy(<<"x">>, 16000))/binary, "\"}">>,
    Keys = [integer_to_binary(N) || N <- lists:seq(1000, 1999)],
    "" = os:cmd("kill -STOP " ++ OsPid),
    try
        lists:foreach(fun(Key) -> peers:call(Peer, ?MODULE, tracks, [Key, Meta]) end, Keys),
        see([A, B], Keys),
        ?assert(lists:member(Node, peers:call(Peer, erlang, nodes, []))),
        ?assertEqual([Node], peers:call(Peer, ?MODULE, behind, []))
    after "" = os:cmd("kill -CONT " ++ OsPid)
    end,
    see([C], Keys),
    track(A, <<"more">>),
    see(Nodes, Keys ++ [<<"more">>]).

%% Rounds of changes on all sides, with splits between; at the end all agree on those whose processes live.
any_order(Config) ->
    Nodes = proplists:get_value(nodes, Config),
    listen(Nodes),
    _ = rand:seed(exsss, 7),
    Left = lists:foldl(fun(Round, Tracked) -> round(Round, Nodes, Tracked) end, [], lists:seq(1, 6)),
    see(Nodes, lists:sort([Key || {_, _, Key} <- Left])),
    agree(Nodes).

round(Round, Nodes, Tracked0) ->
    Alone = lists:nth(rand:uniform(3), Nodes),
    Round rem 2 =:= 0 andalso split([Alone], Nodes -- [Alone]),
    Tracked = lists:foldl(fun(N, Acc) -> changed(<<(integer_to_binary(Round))/binary, "-", (integer_to_binary(N))/binary>>, Nodes, Acc) end, Tracked0, lists:seq(1, 20)),
    Round rem 2 =:= 0 andalso heal(Nodes),
    Tracked.

changed(Key, Nodes, Tracked) ->
    case rand:uniform(3) of
        1 when Tracked =/= [] ->
            {Node, Pid, _} = One = lists:nth(rand:uniform(length(Tracked)), Tracked),
            stop(Node, Pid),
            Tracked -- [One];
        _ ->
            Node = lists:nth(rand:uniform(3), Nodes),
            [{Node, track(Node, Key), Key} | Tracked]
    end.
