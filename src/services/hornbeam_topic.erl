%%% Topics and patterns, and which of those that are subscribed to a published topic belongs to.
%%%
%%% Called by: hornbeam_pubsub, hornbeam_subscriptions, hornbeam_pubsub_peers, hornbeam_websocket_fanout, hornbeam_service_pubsub, hornbeam_channel_codec.
%%%
%%% A pattern is a topic that ends with "*"; before it stand at most ?MAX_PREFIX bytes. Which patterns match is found by asking
%%% a table for each prefix of the topic that could be one. Whoever keeps subscriptions therefore keeps, beside
%%% them, the lengths that its patterns have: as many questions as there are lengths, however many patterns. A table of ETS
%%% has them in a row {lengths, lengths()} beside those of its topics, which its one writer keeps by added_in/2, removed_in/2.
-module(hornbeam_topic).

-export([is_valid/1, is_pattern/1, added/2, removed/2, candidates/2]).
-export([added_in/2, removed_in/2, candidates_in/2]).
-export_type([topic/0, lengths/0]).

-define(MAX_PREFIX, 128).

-type topic() :: binary().
%% How many patterns there are of each length.
-type lengths() :: #{pos_integer() => pos_integer()}.

%% @doc Whether one can subscribe to it: a pattern may be too long.
-spec is_valid(topic()) -> boolean().
is_valid(Topic) ->
    byte_size(Topic) =< ?MAX_PREFIX + 1 orelse not is_pattern(Topic).

-spec is_pattern(topic()) -> boolean().
is_pattern(<<>>) -> false;
is_pattern(Topic) -> binary:last(Topic) =:= $*.

%% @doc The topic is a new one of those that are kept.
-spec added(topic(), lengths()) -> lengths().
added(Topic, Lengths) ->
    case is_pattern(Topic) of
        true -> maps:update_with(byte_size(Topic), fun(Count) -> Count + 1 end, 1, Lengths);
        false -> Lengths
    end.

%% @doc It is kept no longer.
-spec removed(topic(), lengths()) -> lengths().
removed(Topic, Lengths) ->
    Size = byte_size(Topic),
    case is_pattern(Topic) andalso Lengths of
        false -> Lengths;
        #{Size := 1} -> maps:remove(Size, Lengths);
        #{Size := Count} -> Lengths#{Size := Count - 1}
    end.

%% @doc What a published topic belongs to, if it is subscribed to: itself, and a pattern of each length.
-spec candidates(topic(), lengths()) -> [topic(), ...].
candidates(Topic, Lengths) ->
    [Topic | [<<(binary:part(Topic, 0, Size - 1))/binary, $*>>
              || Size <- maps:keys(Lengths), Size =< byte_size(Topic) + 1]].

-spec added_in(ets:tab(), topic()) -> ok.
added_in(Table, Topic) -> change(Table, Topic, fun added/2).

-spec removed_in(ets:tab(), topic()) -> ok.
removed_in(Table, Topic) -> change(Table, Topic, fun removed/2).

-spec candidates_in(ets:tab(), topic()) -> [topic(), ...].
candidates_in(Table, Topic) -> candidates(Topic, lengths(Table)).

change(Table, Topic, Change) ->
    case is_pattern(Topic) of
        true -> true = ets:insert(Table, {lengths, Change(Topic, lengths(Table))}), ok;
        false -> ok
    end.

lengths(Table) ->
    case ets:lookup(Table, lengths) of
        [{_, Lengths}] -> Lengths;
        [] -> #{}
    end.
