%%% Subscriptions of other nodes: a process of this one stands for the other, which speaks the same messages. Three real nodes:
%%% python_tests/services/test_rpc.py. And what outlives the processes of publish/subscribe.
-module(hornbeam_pubsub_peers_tests).

-include_lib("eunit/include/eunit.hrl").

peers_test_() ->
    {foreach,
     fun() -> ok = logger:set_primary_config(level, none), {ok, _} = application:ensure_all_started(hornbeam), ok end,
     fun(_) -> ok = application:stop(hornbeam), ok = logger:set_primary_config(level, notice) end,
     [{timeout, 120, Test}
      || Test <- [fun meets_once/0, fun counts/0, fun patterns/0, fun changes_come_in_batches/0, fun a_peer_ends/0, fun a_successor/0,
                  fun a_stranger/0, fun itself/0, fun order/0, fun restarted_peers/0, fun restarted_subscriptions/0]]}.

%% A process that is the other node's: hands on what it hears.
peer() ->
    Self = self(),
    spawn(fun() -> relay(Self) end).

relay(To) -> receive stop -> ok; Message -> To ! {self(), Message}, relay(To) end.

met() ->
    Peer = peer(),
    hornbeam_pubsub_peers ! {hello, Peer},
    {hello, _} = heard(Peer),
    {Peer, heard(Peer)}.

heard(Peer) -> receive {Peer, Message} -> Message end.

tell(Peer, Counts) ->
    hornbeam_pubsub_peers ! {counts, Peer, Counts},
    _ = sys:get_state(hornbeam_pubsub_peers),
    ok.

reached(Topic) -> hornbeam_pubsub:publish(Topic, 1).

meets_once() ->
    ok = hornbeam_pubsub:subscribe(<<"a">>),
    ok = hornbeam_pubsub:subscribe(<<"b*">>),
    {Peer, {all, _, Counts}} = met(),
    ?assertEqual([{<<"a">>, 1}, {<<"b*">>, 1}], lists:sort(Counts)),
    hornbeam_pubsub_peers ! {hello, Peer},
    _ = sys:get_state(hornbeam_pubsub_peers),
    ?assertEqual(silence, receive {Peer, More} -> More after 0 -> silence end).

counts() ->
    {Peer, _} = met(),
    hornbeam_pubsub_peers ! {all, Peer, [{<<"t">>, 3}]},
    ok = tell(Peer, [{<<"u">>, 1}]),
    %% The relay brings them to this node's subscribers, as the other node is this one.
    ok = hornbeam_pubsub:subscribe(<<"t">>),
    ?assertEqual(4, reached(<<"t">>)),
    ?assertEqual([1, 1], [receive {hornbeam_pubsub, <<"t">>, M} -> M end || _ <- [1, 2]]),
    ?assertEqual(1, reached(<<"u">>)),
    ok = tell(Peer, [{<<"t">>, 1}, {<<"u">>, 0}]),
    ?assertEqual([2, 0], [reached(<<"t">>), reached(<<"u">>)]).

patterns() ->
    {Peer, _} = met(),
    ok = tell(Peer, [{<<"room:*">>, 2}, {<<"*">>, 1}, {<<"room:1">>, 1}]),
    ?assertEqual([4, 3, 1, 1], [reached(T) || T <- [<<"room:1">>, <<"room:">>, <<"room">>, <<>>]]),
    ok = tell(Peer, [{<<"*">>, 0}]),
    ?assertEqual([3, 0], [reached(T) || T <- [<<"room:1">>, <<"room">>]]).

%% Distribution has started, and says so of this node.
itself() ->
    ok = hornbeam_pubsub:subscribe(<<"t">>),
    hornbeam_pubsub_peers ! {nodeup, node()},
    _ = [sys:get_state(hornbeam_pubsub_peers) || _ <- [1, 2, 3]],
    ?assertEqual(1, reached(<<"t">>)).

%% Each topic once, with the number that it has by then.
changes_come_in_batches() ->
    {Peer, _} = met(),
    true = erlang:suspend_process(whereis(hornbeam_pubsub_peers)),
    [ok = hornbeam_pubsub:subscribe(T) || T <- [<<"a">>, <<"a">>, <<"b">>]],
    ok = hornbeam_pubsub:unsubscribe(<<"b">>),
    [hornbeam_pubsub_peers ! {changed, T} || T <- [<<"a">>, <<"a">>, <<"b">>, <<"b">>]],
    true = erlang:resume_process(whereis(hornbeam_pubsub_peers)),
    ?assertMatch({counts, _, [{<<"a">>, 2}, {<<"b">>, 0}]}, heard(Peer)).

a_peer_ends() ->
    {Peer, _} = met(),
    ok = tell(Peer, [{<<"t">>, 3}, {<<"p*">>, 1}]),
    ?assertEqual([3, 1], [reached(<<"t">>), reached(<<"p">>)]),
    Peer ! stop,
    await:until(fun() -> [reached(<<"t">>), reached(<<"p">>)] =:= [0, 0] end),
    _ = sys:get_state(hornbeam_pubsub_peers),
    ?assertEqual([], [Row || {Topic, _} = Row <- ets:tab2list(hornbeam_peer_topics), is_binary(Topic)]).

%% The process of a node was restarted, and says hello before the end of its predecessor is known.
a_successor() ->
    {Old, _} = met(),
    ok = tell(Old, [{<<"t">>, 3}]),
    {New, _} = met(),
    ?assertEqual(0, reached(<<"t">>)),
    ok = tell(New, [{<<"t">>, 1}]),
    ok = tell(Old, [{<<"t">>, 5}]),
    Old ! stop,
    _ = sys:get_state(hornbeam_pubsub_peers),
    ?assertEqual(1, reached(<<"t">>)).

a_stranger() ->
    ok = tell(self(), [{<<"t">>, 3}]),
    ?assertEqual(0, reached(<<"t">>)).

order() ->
    {Peer, _} = met(),
    ok = tell(Peer, [{<<"a">>, 1}, {<<"b">>, 1}]),
    Self = self(),
    %% Only what comes through the relay: this node's own subscriber would get each twice.
    Subscriber = spawn(fun() ->
        [ok = hornbeam_pubsub:subscribe(T) || T <- [<<"a">>, <<"b">>]],
        Self ! ready,
        receive go -> Self ! {got, [receive {hornbeam_pubsub, _, {relayed, N}} -> N end || _ <- lists:seq(1, 1000)]} end
    end),
    receive ready -> ok end,
    [true = hornbeam_pubsub_relay:send(node(), lists:nth(N rem 2 + 1, [<<"a">>, <<"b">>]), {relayed, N})
     || N <- lists:seq(1, 1000)],
    Subscriber ! go,
    ?assertEqual(lists:seq(1, 1000), receive {got, Got} -> Got end).

restarted_peers() ->
    {Peer, _} = met(),
    ok = tell(Peer, [{<<"t">>, 3}]),
    restarted(hornbeam_pubsub_peers),
    ?assertEqual(0, reached(<<"t">>)).

%% Nobody has to subscribe again.
restarted_subscriptions() ->
    ok = hornbeam_pubsub:subscribe(<<"mine">>),
    Other = spawn(fun() -> ok = hornbeam_pubsub:subscribe(<<"p*">>), receive stop -> ok end end),
    await:until(fun() -> hornbeam_pubsub:subscriptions() =:= 2 end),
    restarted(hornbeam_subscriptions),
    ?assertEqual([1, 1], [reached(<<"mine">>), reached(<<"p">>)]),
    Other ! stop,
    await:until(fun() -> hornbeam_pubsub:subscriptions() =:= 1 end),
    ok = hornbeam_pubsub:unsubscribe_all(),
    ?assertEqual(0, reached(<<"mine">>)).

restarted(Name) ->
    Pid = whereis(Name),
    exit(Pid, kill),
    await:until(fun() -> is_pid(whereis(Name)) andalso whereis(Name) =/= Pid end),
    _ = sys:get_state(Name).
