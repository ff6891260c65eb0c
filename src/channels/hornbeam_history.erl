%%% The last messages of topics that keep them, so that a client that comes back gets what it has missed.
%%%
%%% Called by: hornbeam_websocket_fanout, whose relay of a topic has it kept (its messages pass there, one after the other), hornbeam_channel (ids),
%%% hornbeam_channel_joined and hornbeam_channel_events (missed/3), hornbeam_server (set_max_bytes/1), hornbeam_state_sweeper (sweep/0). Calls: hornbeam_json, hornbeam_pubsub_peers.
%%%
%%% Why nobody misses a message or gets it twice: the relay stores a message before it sends it to those who subscribe, and whoever subscribes is told the
%%% number of the last one that is stored. What has a number up to that is in the table, what comes later is sent.
%%%
%%% A topic is kept from the first join, event stream or broadcast on that says so (limits: the last N messages, and those of the last T ms), until
%%% nothing of it is left and nobody subscribes. Each node keeps what it sees. An id is of the node and the life of its server, and the same on all nodes: one
%%% that is not found may be known to another node that keeps the topic, which is asked; or it has been forgotten, and then more may be missing than is known.
%%% What comes to a node in the moment in which another one is asked may come to the client twice.
%%%
%%% Tables (hornbeam_tables owns them, the relays write):
%%%   hornbeam_history         {{Topic, Number}, Id, Event, Payload, At}; {{topic, Topic}, Count, Messages, Time, Relay, Forgotten}; {bytes, Sum}
%%%   hornbeam_history_order   {Number, Topic, Bytes}: numbers grow, so the oldest of all is the first
%%%
%%% Limits: channel_history_bytes for all topics; the oldest messages of all are forgotten first.
-module(hornbeam_history).
-behaviour(hornbeam_websocket_fanout).

-export([kept/3, position/1, is_over/1, is_kept/1, keeper/1, id/0, id_of/1, since/3, missed/3, sweep/0, set_max_bytes/1, read/3]).
-export_type([limits/0, kept/0, message/0]).

-define(TABLE, hornbeam_history).
-define(ORDER, hornbeam_history_order).
%% What a message takes besides its own bytes.
-define(OVERHEAD, 300).
-define(DEFAULT_BYTES, 67108864).
%% How long other nodes are waited for, in ms.
-define(ELSEWHERE, 2000).
%% Before all numbers, which begin far below 0: there is no smaller term.
-define(FIRST, -(1 bsl 70)).

%% The last so many messages, and those of so many ms.
-type limits() :: {pos_integer() | infinity, pos_integer() | infinity}.
-type message() :: {Id :: binary(), Event :: binary(), hornbeam_channel_codec:payload()}.
-record(kept, {topic :: binary(), limits :: limits(), last :: integer()}).
-opaque kept() :: #kept{}.

%%% In the relay

%% @doc Begins to keep a topic, or goes on with other limits. What an earlier relay has left is not known to be whole.
-spec kept(hornbeam_pubsub:topic(), limits(), none | kept()) -> kept().
kept(Published, {Messages, Time} = Limits, none) ->
    Topic = copied(hornbeam_channels:of_topic(Published)),
    ok = forget(Topic),
    Number = erlang:unique_integer([monotonic]),
    true = ets:insert(?TABLE, {{topic, Topic}, 0, Messages, Time, self(), Number}),
    #kept{topic = Topic, limits = Limits, last = Number};
kept(_Published, {Messages, Time} = Limits, #kept{topic = Topic} = Kept) ->
    _ = ets:update_element(?TABLE, {topic, Topic}, [{3, Messages}, {4, Time}]),
    Kept#kept{limits = Limits};
%% What passes at once, such as changes of presence, is nothing that somebody misses.
kept(_Published, {frame, _, _, _, _, never} = Message, Kept) ->
    {Message, Kept};
kept(_Published, {frame, Frame0, Except, Event, Payload, Id0}, #kept{topic = Topic} = Kept) ->
    %% Another node did not know that it is kept.
    {Frame, Id} = case Id0 of
        none -> New = id(), {iolist_to_binary(hornbeam_channel_codec:broadcast(Topic, Event, Payload, New)), New};
        _ -> {Frame0, Id0}
    end,
    {{frame, Frame, Except, Event, Payload, Id}, stored({Id, Event, Payload}, Kept)}.

stored({Id0, Event0, {Kind, Bytes0}}, #kept{topic = Topic, limits = {Messages, Time}} = Kept) ->
    %% What it keeps is bounded: not the whole read that a part of it is of.
    {Id, Event, Bytes} = {copied(Id0), copied(Event0), copied(Bytes0)},
    Payload = {Kind, Bytes},
    Number = erlang:unique_integer([monotonic]),
    Size = byte_size(Bytes) + byte_size(Event) + byte_size(Id) + byte_size(Topic) + ?OVERHEAD,
    true = ets:insert(?TABLE, {{Topic, Number}, Id, Event, Payload, now_ms()}),
    true = ets:insert(?ORDER, {Number, Topic, Size}),
    _ = ets:update_counter(?TABLE, bytes, Size, {bytes, 0}),
    Count = ets:update_counter(?TABLE, {topic, Topic}, 1),
    ok = trim(Topic, Count, Messages, Time),
    ok = shrink(max_bytes()),
    Kept#kept{last = Number}.

copied(Binary) ->
    case binary:referenced_byte_size(Binary) > byte_size(Binary) of
        true -> binary:copy(Binary);
        false -> Binary
    end.

%% @doc Up to where what has been stored is in the table.
-spec position(kept()) -> integer().
position(#kept{last = Last}) -> Last.

%% @doc Whether nothing is left of it.
-spec is_over(kept()) -> boolean().
is_over(#kept{topic = Topic, limits = {_, Time}}) ->
    ok = trim(Topic, 0, infinity, Time),
    case ets:lookup(?TABLE, {topic, Topic}) of
        [{_, Count, _, _, _, _}] when Count > 0 -> false;
        _ -> ok = forget(Topic), true
    end.

now_ms() -> erlang:monotonic_time(millisecond).

trim(Topic, Count, Messages, Time) ->
    case ets:next(?TABLE, {Topic, ?FIRST}) of
        {Topic, _} = Key ->
            case Count > Messages orelse is_older(Time, ets:lookup(?TABLE, Key)) of
                true -> ok = remove(Key), trim(Topic, Count - 1, Messages, Time);
                false -> ok
            end;
        _ -> ok
    end.

is_older(Time, [{_, _, _, _, At}]) when is_integer(Time) -> At < now_ms() - Time;
is_older(_Time, _Row) -> false.

shrink(Max) ->
    case ets:lookup(?TABLE, bytes) of
        [{_, Bytes}] when Bytes > Max ->
            case ets:first(?ORDER) of
                '$end_of_table' -> ok;
                Number -> ok = lists:foreach(fun({_, Topic, _}) -> remove({Topic, Number}) end, ets:lookup(?ORDER, Number)), shrink(Max)
            end;
        _ -> ok
    end.

%% Two relays may remove the same: one does.
remove({Topic, Number} = Key) ->
    case ets:take(?ORDER, Number) of
        [{_, _, Size}] ->
            true = ets:delete(?TABLE, Key),
            _ = ets:update_counter(?TABLE, bytes, -Size),
            counted(Topic, Number);
        [] -> true = ets:delete(?TABLE, Key), ok
    end.

%% It may be kept no longer. The highest number that has been forgotten, whoever comes to it first.
counted(Topic, Number) ->
    try
        _ = ets:update_counter(?TABLE, {topic, Topic}, -1),
        _ = ets:update_element(?TABLE, {topic, Topic}, {6, Number}),
        ok
    catch error:badarg -> ok
    end.

forget(Topic) ->
    ok = trim(Topic, 1 bsl 70, 0, infinity),
    true = ets:delete(?TABLE, {topic, Topic}),
    ok.

%%% Elsewhere

%% @doc Whether messages of a topic are to have ids. Of a relay that has crashed nothing is kept.
-spec is_kept(Topic :: binary()) -> boolean().
is_kept(Topic) ->
    case ets:lookup(?TABLE, {topic, Topic}) of
        [{_, _, _, _, Relay, _}] -> is_process_alive(Relay);
        [] -> false
    end.

%% @doc The keeper of a topic with such a history, as Python has it: [messages | none, ms | none].
-spec keeper(none | [pos_integer() | none]) -> none | {module(), limits()}.
keeper(none) -> none;
keeper([Messages, Time]) -> {?MODULE, {limit(Messages), limit(Time)}}.

limit(none) -> infinity;
limit(N) when is_integer(N), N > 0 -> N.

%% @doc An id that no other message has, on any node.
-spec id() -> binary().
id() ->
    <<(epoch())/binary, "-", (integer_to_binary(erlang:unique_integer([positive, monotonic]), 36))/binary>>.

%% Of the node and of its life.
epoch() ->
    case persistent_term:get(?MODULE, none) of
        none ->
            New = string:lowercase(binary:encode_hex(crypto:strong_rand_bytes(6))),
            ok = persistent_term:put(?MODULE, New),
            persistent_term:get(?MODULE);
        Epoch -> Epoch
    end.

%% @doc The id of a position, for a client that has seen no message yet and asks for what is behind it when it comes back.
-spec id_of(Position :: integer()) -> binary().
id_of(Position) -> <<(epoch())/binary, "@", (integer_to_binary(Position))/binary>>.

position_of(Id) ->
    Epoch = epoch(),
    try [Epoch, Number] = binary:split(Id, <<"@">>), {ok, binary_to_integer(Number)}
    catch error:_ -> error
    end.

%% @doc What a client that comes back is told first, as events: what it has missed, and before it `hb_missed' (without an id) when more is missing than is
%% known. LastId: of the message that it has seen last; none: it does not come back. Position: of its subscription; none: the topic is not kept.
-spec missed(Topic :: binary(), LastId :: binary() | none, Position :: integer() | none) -> [{Id :: binary() | none, Event :: binary(), hornbeam_channel_codec:payload()}].
missed(_Topic, LastId, Position) when LastId =:= none; Position =:= none ->
    [];
missed(Topic, LastId, Position) ->
    case since(Topic, LastId, Position) of
        {ok, Messages} -> Messages;
        {missed, Known} ->
            case elsewhere(Topic, LastId) of
                {ok, Messages} -> not_later(Topic, Position, Messages);
                error -> [{none, <<"hb_missed">>, {json, iolist_to_binary([<<"{\"last_id\":">>, hornbeam_json:encode(LastId), $}])}} | Known]
            end
    end.

%% Another node that keeps the topic may know all of it: the one from which the client comes.
elsewhere(Topic, LastId) ->
    Nodes = hornbeam_pubsub_peers:nodes_of(hornbeam_channels:topic(Topic)),
    Answers = case Nodes of
        [] -> [];
        _ -> erpc:multicall(Nodes, ?MODULE, since, [Topic, LastId, 1 bsl 70], ?ELSEWHERE)
    end,
    case lists:reverse(lists:keysort(1, [{length(Messages), Messages} || {ok, {ok, Messages}} <- Answers])) of
        [{_, Most} | _] -> {ok, Most};
        [] -> error
    end.

%% What this node has got behind the position is sent from there.
not_later(Topic, Position, Messages) ->
    Later = ets:select(?TABLE, [{{{Topic, '$1'}, '$2', '_', '_', '_'}, [{'>', '$1', Position}], [{{'$2'}}]}]),
    [Message || {Id, _, _} = Message <- Messages, not lists:member({Id}, Later)].

%% @doc What a client has missed that has seen the message of this id (empty: none), up to a position. missed: more than is known.
-spec since(Topic :: binary(), Id :: binary(), Position :: integer()) -> {ok | missed, [message()]}.
since(Topic, Id, Position) ->
    {Oldest, Forgotten} = case ets:lookup(?TABLE, {topic, Topic}) of
        [{_, _, _, Time, _, Number}] when is_integer(Time) -> {now_ms() - Time, Number};
        [{_, _, _, infinity, _, Number}] -> {?FIRST, Number};
        [] -> {?FIRST, none}
    end,
    Last = ets:prev(?TABLE, {Topic, Position + 1}),
    case position_of(Id) of
        {ok, From} -> behind_number(Topic, {From, Forgotten}, Last, Oldest, []);
        error -> behind(Topic, Id, Last, Oldest, [])
    end.

behind_number(Topic, {From, _} = Where, {Topic, Number} = Key, Oldest, Later) when Number > From ->
    case ets:lookup(?TABLE, Key) of
        [{_, Known, Event, Payload, At}] when At >= Oldest -> behind_number(Topic, Where, ets:prev(?TABLE, Key), Oldest, [{Known, Event, Payload} | Later]);
        [_TooOld] -> {missed, Later};
        [] -> behind_number(Topic, Where, ets:prev(?TABLE, Key), Oldest, Later)
    end;
behind_number(_Topic, {From, Forgotten}, _Before, _Oldest, Later) when Forgotten =< From -> {ok, Later};
behind_number(_Topic, _Where, _Before, _Oldest, Later) -> {missed, Later}.

%% From the last one back to the one that was seen: what it costs is what is answered.
behind(Topic, Id, {Topic, _} = Key, Oldest, Later) ->
    case ets:lookup(?TABLE, Key) of
        [{_, Id, _, _, At}] when At >= Oldest -> {ok, Later};
        [{_, Known, Event, Payload, At}] when At >= Oldest -> behind(Topic, Id, ets:prev(?TABLE, Key), Oldest, [{Known, Event, Payload} | Later]);
        [_TooOld] -> behind(Topic, Id, none, Oldest, Later);
        [] -> behind(Topic, Id, ets:prev(?TABLE, Key), Oldest, Later)
    end;
behind(_Topic, <<>>, _Before, _Oldest, Later) -> {ok, Later};
behind(_Topic, _Id, _Before, _Oldest, Later) -> {missed, Later}.

%% @doc What is kept of a topic now after the message of this id (empty: all); so many of the last at most.
-spec read(Topic :: binary(), Id :: binary(), Limit :: pos_integer()) -> {ok | missed, [message()]}.
read(Topic, Id, Limit) ->
    {Whole, Messages} = since(Topic, Id, 1 bsl 70),
    {Whole, lists:nthtail(max(0, length(Messages) - Limit), Messages)}.

%% @doc Forgets what is too old in topics to which nothing comes any more.
-spec sweep() -> ok.
sweep() ->
    lists:foreach(fun({Topic, Time, Relay}) ->
        case is_process_alive(Relay) of
            true -> trim(Topic, 0, infinity, Time);
            false -> forget(Topic)
        end
    end, ets:select(?TABLE, [{{{topic, '$1'}, '_', '_', '$2', '$3', '_'}, [], [{{'$1', '$2', '$3'}}]}])),
    hornbeam_websocket_fanout:look().

-spec set_max_bytes(non_neg_integer()) -> ok.
set_max_bytes(Max) ->
    persistent_term:put({?MODULE, bytes}, Max).

max_bytes() -> persistent_term:get({?MODULE, bytes}, ?DEFAULT_BYTES).
