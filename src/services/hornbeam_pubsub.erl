%%% Publish and subscribe, over all connected nodes.
%%%
%%%     ok = hornbeam_pubsub:subscribe(<<"chat:1">>),
%%%     1 = hornbeam_pubsub:publish(<<"chat:1">>, <<"hello">>),
%%%     receive {hornbeam_pubsub, <<"chat:1">>, <<"hello">>} -> ok end.
%%%
%%% Called by: hornbeam_service_pubsub (Python), hornbeam_websocket_fanout, and any OTP application. Calls: hornbeam_subscriptions and
%%% hornbeam_subscribers (who subscribes on this node), hornbeam_pubsub_peers (which nodes do), hornbeam_topic.
%%%
%%% A topic is a binary. One that ends with "*" is a pattern: "user:*" gets what is published to every topic
%%% that begins with "user:". A subscriber gets `{hornbeam_pubsub, Topic, Message}' with the topic that was
%%% published to. A process may subscribe several times, also to the same topic, and unsubscribes as often: each
%%% counts as a subscription, but a message comes to a process once, however many of them it matches. So a
%%% worker gets once what many in it have subscribed to. A process that ends is unsubscribed.
%%%
%%% Delivery is at most once. Messages of one publisher to one subscriber keep their order. To another
%%% node a message is sent once, and only if that needs no waiting: when the connection is congested the subscribers
%%% there are passed over, and the message is counted as not sent (hornbeam_unsent).
%%%
%%%     publish ─┬─ this node: hornbeam_subscriptions' tables ─────────────────▶ subscribers
%%%              └─ each other node that subscribes ─▶ hornbeam_pubsub_relay ──▶ subscribers
%%%
%%% Cost: subscribe and unsubscribe are a call of one process and some rows of ETS, the same for the first topic of a
%%% process and its hundred thousandth. publish looks up the topic and one prefix of it for each length that
%%% patterns have, and then costs what it sends. test/hornbeam_linear_tests.erl holds it to that.
-module(hornbeam_pubsub).
-behaviour(supervisor).

-export([start_link/0, init/1, subscribe/1, unsubscribe/1, unsubscribe_all/0, publish/2]).
-export([subscriptions/0]).
-export_type([topic/0]).

-type topic() :: hornbeam_topic:topic().

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case supervisor:start_link(?MODULE, []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

%% None of them takes subscriptions with it when it ends: those are in the tables.
-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    {ok, {#{strategy => one_for_one, intensity => 10, period => 10},
          [#{id => Module, start => {Module, start_link, []}}
           || Module <- [hornbeam_subscriptions, hornbeam_pubsub_peers]] ++ hornbeam_pubsub_relay:child_specs()}}.

%% @doc The calling process gets what is published to the topic, or matches the pattern, from now on.
%% error(badarg) for a pattern of more than 128 bytes before the "*".
-spec subscribe(topic()) -> ok.
subscribe(Topic) when is_binary(Topic) ->
    _ = hornbeam_topic:is_valid(Topic) orelse error(badarg),
    hornbeam_subscriptions:add(Topic).

%% @doc Takes back one subscription.
-spec unsubscribe(topic()) -> ok | not_joined.
unsubscribe(Topic) when is_binary(Topic) ->
    _ = hornbeam_topic:is_valid(Topic) orelse error(badarg),
    hornbeam_subscriptions:remove(Topic).

%% @doc Takes back every subscription of the calling process.
-spec unsubscribe_all() -> ok.
unsubscribe_all() ->
    hornbeam_subscriptions:remove_all().

%% @doc Sends a message to every subscriber, on this node and on those connected; how many subscriptions
%% that reached. error(badarg) for a topic that is a pattern.
-spec publish(topic(), term()) -> non_neg_integer().
publish(Topic, Message) when is_binary(Topic) ->
    _ = hornbeam_topic:is_pattern(Topic) andalso error(badarg),
    hornbeam_subscribers:deliver(Topic, Message) + hornbeam_pubsub_peers:publish(Topic, Message).

%% @doc The subscriptions of this node's processes, topics and patterns alike, for a person and for tests.
-spec subscriptions() -> non_neg_integer().
subscriptions() ->
    lists:sum([Count || {_, Count} <- hornbeam_subscribers:counts()]).
