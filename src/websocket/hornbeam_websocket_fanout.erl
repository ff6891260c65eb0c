%%% Brings what is published to a topic to the WebSocket connections of this node that subscribed to it.
%%%
%%% Called by: hornbeam_websocket (in the connection's process). Calls: hornbeam_pubsub, hornbeam_topic,
%%% hornbeam_websocket_codec.
%%%
%%%     publish ─▶ hornbeam_pubsub ─▶ relay of the topic ─▶ connection processes ─▶ sockets
%%%
%%% There is one relay per scheduler; a topic belongs to one of them by its hash. The relay joins the topic at its
%%% first subscriber and leaves with the last, makes the WebSocket frame of a message once (server frames are not masked, so
%%% all subscribers can be written the same bytes), and sends each connection the binary, which is shared, not
%%% copied. Python sees nothing of it. A text (a binary that is UTF-8, or {text, Binary}) becomes a
%%% text message, {bytes, Binary} (Python's bytes) and any other binary a binary one; what is neither is dropped.
%%%
%%% {frame, Frame, Except, Kind, What, Id} is a frame that whoever publishes has made. It is for those who have subscribed with kinds (channels), and what else
%%% is published is not: each of them, but for the connection Except, gets the frame, or {websocket_published, Topic, {Kind, What, Id}} where it is of
%%% such a kind. A topic may have a keeper, a module with this behaviour that sees each such message first (hornbeam_history).
%%%
%%% Failure: a relay that crashes is restarted without its subscribers; the connections, which monitor it, close with 1011
%%% so that no client believes itself subscribed. More than ten crashes in ten seconds are one of hornbeam_sup's restarts.
-module(hornbeam_websocket_fanout).
-behaviour(gen_server).

-export([none/0, subscribe/2, subscribe/4, keep/3, look/0, unsubscribe/2, unsubscribe_all/1, is_lost/2, more/1, supervisor_spec/0]).
-export([start_link/1, init/1, handle_call/3, handle_cast/2, handle_info/2]).

%% Subscriptions of one connection.
-define(MAX_TOPICS, 1000).
%% Bytes of published messages that are written together: what one client can have of them waiting, and one message.
-define(TOGETHER, 16384).

%% plain: what is published, but for frames. With kinds: frames, those of the kinds apart; any: all apart.
-type kinds() :: plain | any | [term()].
%% A topic with a keeper: called with limits when somebody says that it is to be kept, and with each message.
-type keeper() :: none | {module(), Limits :: term()}.
-callback kept(hornbeam_pubsub:topic(), Limits :: term() | Message :: tuple(), none | Kept) -> Kept | {Message :: tuple(), Kept} when Kept :: term().
%% What it has seen so far, for whoever subscribes.
-callback position(Kept :: term()) -> term().
-callback is_over(Kept :: term()) -> boolean().
%% Of one connection: the relays of its topics, each with a monitor of it and the topics.
-opaque subscriptions() :: #{Relay :: atom() => {reference(), topics()}}.
-type topics() :: #{hornbeam_pubsub:topic() => []}.
-export_type([subscriptions/0]).

-record(relay, {
    topics = #{} :: #{hornbeam_pubsub:topic() => #{pid() => kinds()}},
    kept = #{} :: #{hornbeam_pubsub:topic() => {module(), Kept :: term()}},
    %% Of the topics that are patterns.
    lengths = #{} :: hornbeam_topic:lengths(),
    %% The topics of each connection, to find them when it ends; and its monitor.
    connections = #{} :: #{pid() => {reference(), topics()}}
}).

%%% In the connection's process

-spec none() -> subscriptions().
none() -> #{}.

%% @doc The calling process gets {websocket_frame, Bytes} for each message from now on.
-spec subscribe(hornbeam_pubsub:topic(), subscriptions()) -> {ok, subscriptions()} | too_many | bad_topic.
subscribe(Topic, Subscriptions0) ->
    case subscribe(Topic, plain, none, Subscriptions0) of
        {ok, _Position, Subscriptions} -> {ok, Subscriptions};
        Refused -> Refused
    end.

%% @doc The same; what is of such a kind comes as {websocket_published, Topic, {Kind, What, Id}}, and the topic may have a keeper. With the keeper's position:
%% what comes from now on is behind it; none, where there is no keeper or it was subscribed before.
-spec subscribe(hornbeam_pubsub:topic(), kinds(), keeper(), subscriptions()) -> {ok, Position :: term() | none, subscriptions()} | too_many | bad_topic.
subscribe(Topic, Kinds, Keeper, Subscriptions) ->
    Relay = relay(Topic),
    {Monitor, Topics} = case Subscriptions of
        #{Relay := Known} -> Known;
        _ -> {none, #{}}
    end,
    case allowed(Topic, Topics, Subscriptions) of
        ok ->
            {Position, Joined} = joined(Relay, Monitor, Topic, {Kinds, Keeper}, Topics),
            {ok, Position, Subscriptions#{Relay => Joined}};
        joined -> {ok, none, Subscriptions};
        Refused -> Refused
    end.

allowed(Topic, Topics, _Subscriptions) when is_map_key(Topic, Topics) ->
    joined;
allowed(Topic, _Topics, Subscriptions) ->
    Valid = hornbeam_topic:is_valid(Topic),
    case lists:sum([map_size(Topics) || {_, Topics} <- maps:values(Subscriptions)]) < ?MAX_TOPICS of
        true when Valid -> ok;
        true -> bad_topic;
        false -> too_many
    end.

joined(Relay, none, Topic, How, Topics) ->
    joined(Relay, monitor(process, Relay), Topic, How, Topics);
joined(Relay, Monitor, Topic0, {Kinds, Keeper}, Topics) ->
    %% Copied, so that it does not keep the whole read that it came in.
    Topic = binary:copy(Topic0),
    Position = gen_server:call(Relay, {subscribe, Topic, Kinds, Keeper}, infinity),
    {Position, {Monitor, Topics#{Topic => []}}}.

%% @doc Has a topic kept, whether anybody subscribes to it or not.
-spec keep(hornbeam_pubsub:topic(), module(), Limits :: term()) -> ok.
keep(Topic, Module, Limits) ->
    gen_server:call(relay(Topic), {keep, Topic, {Module, Limits}}, infinity).

%% @doc Topics of which their keepers have nothing left, and which nobody subscribes to, are kept no longer.
-spec look() -> ok.
look() ->
    lists:foreach(fun(Number) -> gen_server:cast(name(Number), look) end, lists:seq(1, relays())).

-spec unsubscribe(hornbeam_pubsub:topic(), subscriptions()) -> subscriptions().
unsubscribe(Topic, Subscriptions) ->
    Relay = relay(Topic),
    case Subscriptions of
        #{Relay := {Monitor, #{Topic := []} = Topics}} ->
            ok = gen_server:cast(Relay, {unsubscribe, Topic, self()}),
            left(Relay, Monitor, maps:remove(Topic, Topics), Subscriptions);
        _ ->
            Subscriptions
    end.

left(Relay, Monitor, Topics, Subscriptions) when map_size(Topics) =:= 0 ->
    true = demonitor(Monitor, [flush]),
    maps:remove(Relay, Subscriptions);
left(Relay, Monitor, Topics, Subscriptions) ->
    Subscriptions#{Relay := {Monitor, Topics}}.

-spec unsubscribe_all(subscriptions()) -> subscriptions().
unsubscribe_all(Subscriptions) ->
    Topics = lists:append([maps:keys(Topics) || {_, Topics} <- maps:values(Subscriptions)]),
    lists:foldl(fun unsubscribe/2, Subscriptions, Topics).

%% @doc Whether the end of this monitored process ends a subscription: its relay has crashed.
-spec is_lost(reference(), subscriptions()) -> boolean().
is_lost(Monitor, Subscriptions) ->
    lists:keymember(Monitor, 1, maps:values(Subscriptions)).

%% @doc A frame that has come, and those that have come meanwhile.
-spec more(binary()) -> iodata().
more(Frame) -> more(Frame, ?TOGETHER - byte_size(Frame)).

more(Frame, Left) when Left =< 0 ->
    Frame;
more(Frame, Left) ->
    receive
        {websocket_frame, Next} -> [Frame | more(Next, Left - byte_size(Next))]
    after 0 ->
        Frame
    end.

relay(Topic) ->
    name(erlang:phash2(Topic, relays()) + 1).

relays() ->
    erlang:system_info(schedulers).

%% The atoms are made when the supervisor starts: as many as there are schedulers.
name(Number) ->
    list_to_existing_atom("hornbeam_websocket_relay_" ++ integer_to_list(Number)).

%%% The relays and their supervisor

%% @doc For hornbeam_sup.
-spec supervisor_spec() -> supervisor:child_spec().
supervisor_spec() ->
    #{id => ?MODULE, type => supervisor, shutdown => infinity,
      start => {supervisor, start_link, [?MODULE, relays]}}.

-spec start_link(Number :: pos_integer()) -> {ok, pid()} | {error, term()}.
start_link(Number) ->
    Name = list_to_atom("hornbeam_websocket_relay_" ++ integer_to_list(Number)),
    gen_server:start_link({local, Name}, ?MODULE, relay, []).

-spec init(relays) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}};
          (relay) -> {ok, #relay{}}.
init(relays) ->
    {ok, {#{strategy => one_for_one, intensity => 10, period => 10},
          [#{id => Number, start => {?MODULE, start_link, [Number]}}
           || Number <- lists:seq(1, relays())]}};
init(relay) ->
    process_flag(message_queue_data, off_heap),
    {ok, #relay{}}.

-spec handle_call({subscribe, hornbeam_pubsub:topic(), kinds(), keeper()} | {keep, hornbeam_pubsub:topic(), keeper()}, gen_server:from(), #relay{}) ->
    {reply, term(), #relay{}}.
handle_call({keep, Topic, Keeper}, _From, Relay) ->
    {reply, ok, kept(Topic, Keeper, Relay)};
handle_call({subscribe, Topic, Kinds, Keeper}, {Pid, _}, Relay0) ->
    #relay{topics = Topics, connections = Connections, kept = Kept} = Relay = kept(Topic, Keeper, heard(Topic, Relay0)),
    #{Topic := Subscribers} = Topics,
    {Monitor, Of} = case Connections of
        #{Pid := Connection} -> Connection;
        _ -> {monitor(process, Pid), #{}}
    end,
    Position = case Kept of
        #{Topic := {Module, State}} -> Module:position(State);
        #{} -> none
    end,
    {reply, Position, Relay#relay{topics = Topics#{Topic => Subscribers#{Pid => Kinds}}, connections = Connections#{Pid => {Monitor, Of#{Topic => []}}}}}.

%% What is published to the topic comes here from now on.
heard(Topic, #relay{topics = Topics} = Relay) when is_map_key(Topic, Topics) ->
    Relay;
heard(Topic, #relay{topics = Topics, lengths = Lengths} = Relay) ->
    ok = hornbeam_pubsub:subscribe(Topic),
    Relay#relay{topics = Topics#{Topic => #{}}, lengths = hornbeam_topic:added(Topic, Lengths)}.

kept(_Topic, none, Relay) ->
    Relay;
kept(Topic, {Module, Limits}, Relay0) ->
    #relay{kept = Kept} = Relay = heard(Topic, Relay0),
    Before = case Kept of #{Topic := {_, State}} -> State; #{} -> none end,
    Relay#relay{kept = Kept#{Topic => {Module, Module:kept(Topic, Limits, Before)}}}.

-spec handle_cast({unsubscribe, hornbeam_pubsub:topic(), pid()} | look, #relay{}) -> {noreply, #relay{}}.
handle_cast(look, #relay{topics = Topics, kept = Kept} = Relay) ->
    Over = [Topic || {Topic, {Module, State}} <- maps:to_list(Kept), maps:get(Topic, Topics) =:= #{}, Module:is_over(State)],
    {noreply, lists:foldl(fun(Topic, Each) -> left(Topic, #{}, Each) end, Relay#relay{kept = maps:without(Over, Kept)}, Over)};
handle_cast({unsubscribe, Topic, Pid}, #relay{connections = Connections} = Relay) ->
    case Connections of
        #{Pid := {Monitor, #{Topic := []} = Of}} when map_size(Of) =:= 1 ->
            true = demonitor(Monitor, [flush]),
            {noreply, leave(Topic, Pid, Relay#relay{connections = maps:remove(Pid, Connections)})};
        #{Pid := {Monitor, #{Topic := []} = Of}} ->
            Left = {Monitor, maps:remove(Topic, Of)},
            {noreply, leave(Topic, Pid, Relay#relay{connections = Connections#{Pid => Left}})};
        _ ->
            {noreply, Relay}
    end.

-spec handle_info(term(), #relay{}) -> {noreply, #relay{}}.
handle_info({hornbeam_pubsub, Topic, Message}, #relay{kept = Kept} = Relay) when element(1, Message) =:= frame, is_map_key(Topic, Kept) ->
    #{Topic := {Module, State0}} = Kept,
    {Seen, State} = Module:kept(Topic, Message, State0),
    {noreply, reach(Topic, Seen, Relay#relay{kept = Kept#{Topic := {Module, State}}})};
handle_info({hornbeam_pubsub, Topic, Message}, Relay) ->
    {noreply, reach(Topic, Message, Relay)};
handle_info({'DOWN', _, process, Pid, _}, #relay{connections = Connections} = Relay) ->
    case maps:take(Pid, Connections) of
        {{_, Topics}, Rest} ->
            {noreply, lists:foldl(fun(Topic, Acc) -> leave(Topic, Pid, Acc) end,
                                  Relay#relay{connections = Rest}, maps:keys(Topics))};
        error ->
            {noreply, Relay}
    end;
handle_info(_Message, Relay) ->
    {noreply, Relay}.

reach(Topic, Message, #relay{topics = Topics, lengths = Lengths} = Relay) ->
    Reached = [Subscribers || Of <- hornbeam_topic:candidates(Topic, Lengths), #{Of := Subscribers} <- [Topics]],
    ok = case Message of
        {frame, Frame, Except, Kind, What, Id} ->
            lists:foreach(fun(Subscribers) -> chosen(Frame, Except, {Kind, What, Id}, Topic, Subscribers) end, Reached);
        _ -> published(encode(Message), Reached)
    end,
    Relay.

published({ok, Frame}, Reached) -> lists:foreach(fun(Subscribers) -> spread(Frame, maps:next(maps:iterator(Subscribers))) end, Reached);
published(none, _Reached) -> ok.

chosen(Frame, Except, {Kind, _, _} = Told, Topic, Subscribers) ->
    maps:foreach(fun(Pid, Kinds) when Pid =:= Except; Kinds =:= plain -> ok;
                    (Pid, Kinds) ->
                        _ = Pid ! case Kinds =:= any orelse lists:member(Kind, Kinds) of
                            true -> {websocket_published, Topic, Told};
                            false -> {websocket_frame, Frame}
                        end,
                        ok
                 end, Subscribers).

spread(Frame, {Pid, plain, Iterator}) ->
    Pid ! {websocket_frame, Frame},
    spread(Frame, maps:next(Iterator));
spread(Frame, {_Channel, _Kinds, Iterator}) ->
    spread(Frame, maps:next(Iterator));
spread(_Frame, none) ->
    ok.

leave(Topic, Pid, #relay{topics = Topics} = Relay) ->
    left(Topic, maps:remove(Pid, maps:get(Topic, Topics)), Relay).

left(Topic, Subscribers, #relay{topics = Topics, kept = Kept} = Relay) when map_size(Subscribers) > 0; is_map_key(Topic, Kept) ->
    Relay#relay{topics = Topics#{Topic := Subscribers}};
left(Topic, _None, #relay{topics = Topics, lengths = Lengths} = Relay) ->
    ok = hornbeam_pubsub:unsubscribe(Topic),
    Relay#relay{topics = maps:remove(Topic, Topics), lengths = hornbeam_topic:removed(Topic, Lengths)}.

%% One binary: what is longer than 64 bytes is shared by all who get it.
encode({text, Text}) when is_binary(Text) -> frame(text, Text);
encode({bytes, Bytes}) when is_binary(Bytes) -> frame(binary, Bytes);
encode(Text) when is_binary(Text) ->
    case unicode:characters_to_binary(Text) of
        Text -> frame(text, Text);
        _ -> frame(binary, Text)
    end;
encode(_) -> none.

frame(Type, Payload) ->
    {ok, iolist_to_binary(hornbeam_websocket_codec:frame(Type, Payload, none))}.
