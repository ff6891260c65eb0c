%%% Who on this node gets what is published: reads the tables that hornbeam_subscriptions writes, in the caller's process.
%%%
%%% Called by: hornbeam_pubsub, hornbeam_pubsub_relay (deliver/2), hornbeam_pubsub_peers (counts). Calls: hornbeam_topic.
-module(hornbeam_subscribers).

-export([deliver/2, is_wanted/1, count/1, counts/0, counts/1]).

-define(TOPICS, hornbeam_topics).
-define(SUBSCRIBERS, hornbeam_subscribers).

%% @doc Sends a message to every subscriber on this node; how many subscriptions that reached.
-spec deliver(hornbeam_topic:topic(), term()) -> non_neg_integer().
deliver(Topic, Message) ->
    deliver(subscribers(Topic), {hornbeam_pubsub, Topic, Message}, 0).

deliver([{Pid, Subscriptions} | Rest], Message, Reached) ->
    Pid ! Message,
    deliver(Rest, Message, Reached + Subscriptions);
deliver([], _Message, Reached) ->
    Reached.

%% @doc Whether anybody on this node subscribes to a topic, or to a pattern that matches it.
-spec is_wanted(hornbeam_topic:topic()) -> boolean().
is_wanted(Topic) ->
    lists:any(fun(Of) -> ets:member(?TOPICS, Of) end, hornbeam_topic:candidates_in(?TOPICS, Topic)).

%% Who gets what is published to a topic, each process once, with how many subscriptions it has for it.
subscribers(Topic) ->
    case [Of || Of <- hornbeam_topic:candidates_in(?TOPICS, Topic), ets:member(?TOPICS, Of)] of
        [] -> [];
        [Of] -> of_topic(Of);
        %% Equal processes are neighbours once sorted.
        Several -> summed(lists:sort(lists:flatmap(fun of_topic/1, Several)))
    end.

of_topic(Topic) ->
    ets:select(?SUBSCRIBERS, [{{{Topic, '$1'}, '$2'}, [], [{{'$1', '$2'}}]}]).

summed([{Pid, One}, {Pid, More} | Rest]) -> summed([{Pid, One + More} | Rest]);
summed([Subscriber | Rest]) -> [Subscriber | summed(Rest)];
summed([]) -> [].

%% @doc The subscriptions to exactly this topic or pattern.
-spec count(hornbeam_topic:topic()) -> non_neg_integer().
count(Topic) ->
    case ets:lookup(?TOPICS, Topic) of
        [{_, Count}] -> Count;
        [] -> 0
    end.

%% @doc All topics and patterns.
-spec counts() -> [{hornbeam_topic:topic(), pos_integer()}].
counts() ->
    ets:select(?TOPICS, [{{'$1', '$2'}, [{is_integer, '$2'}], ['$_']}]).

%% @doc No more than Max of them, in no order; and how many there are.
-spec counts(Max :: pos_integer()) -> {Topics :: non_neg_integer(), [{hornbeam_topic:topic(), pos_integer()}]}.
counts(Max) ->
    Lengths = length(ets:lookup(?TOPICS, lengths)),
    case ets:select(?TOPICS, [{{'$1', '$2'}, [{is_integer, '$2'}], ['$_']}], Max) of
        {Some, _} -> {ets:info(?TOPICS, size) - Lengths, Some};
        '$end_of_table' -> {0, []}
    end.
