%%% Who is present in which topic, on all connected nodes: keys (a user), each with as many metas as it has processes there (its connections).
%%%
%%%     {ok, Ref} = hornbeam_presence:track(<<"room:1">>, Pid, <<"ada">>, <<"{\"device\":\"phone\"}">>),
%%%     <<"{\"ada\":{\"metas\":[{\"phx_ref\":\"...\",\"device\":\"phone\"}]}}">> = iolist_to_binary(hornbeam_presence:list(<<"room:1">>)).
%%%
%%% Called by: hornbeam_service_presence (Python), hornbeam_channel_joined (presence_state), any OTP application. Calls: hornbeam_presence_replica (what each node
%%% says), hornbeam_presence_text (what clients are told), hornbeam_subscribers (the diffs to this node's clients), hornbeam_channel_codec.
%%%
%%% An entry ends with its process. Whoever has joined the topic is sent `presence_diff', {"joins": {Key: {"metas": [...]}}, "leaves": ...}, of what has changed
%%% since the last one: once for all that came in one turn of this process, which is what waited for it, or ?TURN messages. What has come and gone within
%%% a turn is a leave alone: whoever read the table in between forgets it again.
%%%
%%% Writes the table hornbeam_presences (hornbeam_tables owns it), which everybody reads: {{Topic, Key, Replica, Ref}, Meta, Process | other}. A replica is the
%%% process of a node, which each other node monitors.
%%%
%%%   {hello, Replica}                says that it is there; answered with the whole set, and a hello of its own where it was not known
%%%   {whole, Replica, Whole}         everything that this node says
%%%   {delta, Replica, Delta}         what has changed since the version before
%%%   {again, Replica}                a delta is missing: the whole set is asked for
%%%
%%% Nobody waits for a connection that is congested: what could not be sent is kept as `unsent', by name and not by content, and tried again each ?RETRY;
%%% for a delta that is the whole set.
%%%
%%% Failure modes. A node or the net between ends: its entries leave at once, and come back with its hello when it heals; nothing is kept of
%%% it. This process is killed: its successor keeps the entries whose processes live, as another replica.
%%%
%%% Limits: a meta has ?MAX_META bytes, a key and a topic what a name of channels has (hornbeam_channel_codec); a process ?MAX_OF_ONE entries, a topic ?MAX_OF_TOPIC of one node (who joins is sent
%%% them all), a node ?MAX. More is refused.
-module(hornbeam_presence).
-behaviour(gen_server).

-export([track/4, update/4, untrack/3, untrack/2, untrack/1, list/1, get/2]).
-export([start_link/0, start_link/2, init/1, handle_call/3, handle_cast/2, handle_info/2]).
-export_type([problem/0]).

-define(TABLE, hornbeam_presences).
-define(MAX_META, 16384).
-define(MAX_OF_ONE, 1000).
-define(MAX_OF_TOPIC, 100000).
-define(MAX, 1000000).
-define(TURN, 1000).
-define(RETRY, 1000).

%% not_object: a meta is a JSON object. bad_...: longer than it may be, empty, or no UTF-8.
-type problem() :: bad_topic | bad_key | bad_meta | not_object | too_many | not_tracked.

-record(state, {
    own = hornbeam_presence_replica:new() :: hornbeam_presence_replica:replica(),
    max :: {OfTopic :: pos_integer(), pos_integer()},
    number = 0 :: non_neg_integer(),
    prefix :: binary(),                                                 % of refs: of this process and no other
    processes = #{} :: #{pid() => {reference(), #{{Topic :: binary(), Key :: binary()} => hornbeam_presence_replica:ref()}}},
    topics = #{} :: #{Topic :: binary() => pos_integer()},              % how many of this node's entries
    peers = #{} :: #{pid() => {reference(), hornbeam_presence_replica:replica()}},
    unsent = #{} :: #{{pid() | {module(), node()}, hello | whole | again} => []},
    %% Of this turn: what the other nodes are told, and what clients are.
    turn = 0 :: non_neg_integer(),
    added = #{} :: #{hornbeam_presence_replica:ref() => hornbeam_presence_replica:entry()},
    removed = [] :: [hornbeam_presence_replica:ref()],
    joins = [] :: [{hornbeam_presence_replica:ref(), hornbeam_presence_replica:entry()}],     % newest first
    leaves = [] :: [{hornbeam_presence_replica:ref(), hornbeam_presence_replica:entry()}]
}).

%% @doc Says that a process is there. Meta: the text of a JSON object. The same key of the same process: as update/4.
-spec track(Topic :: binary(), pid(), Key :: binary(), Meta :: binary()) -> {ok, Ref :: binary()} | {error, problem()}.
track(Topic, Pid, Key, Meta) -> change(track, Topic, Pid, Key, Meta).

%% @doc Another meta for what is tracked.
-spec update(Topic :: binary(), pid(), Key :: binary(), Meta :: binary()) -> {ok, Ref :: binary()} | {error, problem()}.
update(Topic, Pid, Key, Meta) -> change(update, Topic, Pid, Key, Meta).

change(What, Topic, Pid, Key, Meta) ->
    case {hornbeam_channel_codec:is_name(Topic), hornbeam_channel_codec:is_name(Key)} of
        {false, _} -> {error, bad_topic};
        {_, false} -> {error, bad_key};
        _ when byte_size(Meta) > ?MAX_META -> {error, bad_meta};
        _ ->
            case hornbeam_presence_text:inside(Meta) of
                {ok, Inside} -> gen_server:call(?MODULE, {What, binary:copy(Topic), Pid, binary:copy(Key), Inside}, infinity);
                error -> {error, not_object}
            end
    end.

%% @doc Whether it was tracked.
-spec untrack(Topic :: binary(), pid(), Key :: binary()) -> boolean().
untrack(Topic, Pid, Key) -> gen_server:call(?MODULE, {untrack, Topic, Pid, Key}, infinity).

%% @doc Forgets all of a process in a topic.
-spec untrack(Topic :: binary(), pid()) -> ok.
untrack(Topic, Pid) ->
    case ets:info(?TABLE, size) of
        0 -> ok;
        _ -> gen_server:cast(?MODULE, {untrack, Topic, Pid})
    end.

%% @doc Forgets all of a process.
-spec untrack(pid()) -> ok.
untrack(Pid) -> gen_server:cast(?MODULE, {untrack, Pid}).

%% @doc Who is there, as clients are told (presence_state): a JSON object.
-spec list(Topic :: binary()) -> iodata().
list(Topic) ->
    hornbeam_presence_text:object(ets:select(?TABLE, [{{{Topic, '$1', '_', '$2'}, '$3', '_'}, [], [{{'$1', '$2', '$3'}}]}])).

%% @doc The metas of one key: a JSON object.
-spec get(Topic :: binary(), Key :: binary()) -> {ok, iodata()} | error.
get(Topic, Key) ->
    case ets:select(?TABLE, [{{{Topic, Key, '_', '$1'}, '$2', '_'}, [], [{{'$1', '$2'}}]}]) of
        [] -> error;
        Metas -> {ok, hornbeam_presence_text:metas(Metas)}
    end.

%%% gen_server

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() -> start_link(?MAX_OF_TOPIC, ?MAX).

%% @doc With other limits.
-spec start_link(OfTopic :: pos_integer(), Max :: pos_integer()) -> {ok, pid()} | {error, term()}.
start_link(OfTopic, Max) ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, {OfTopic, Max}, [{hibernate_after, 10000}]) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

-spec init({pos_integer(), pos_integer()}) -> {ok, #state{}, 0}.
init(Max) ->
    process_flag(message_queue_data, off_heap),
    ok = net_kernel:monitor_nodes(true),
    Rows = ets:tab2list(?TABLE),
    true = ets:delete_all_objects(?TABLE),
    Prefix = binary:encode_hex(crypto:strong_rand_bytes(4)),
    State = lists:foldl(fun kept/2, #state{max = Max, prefix = Prefix}, Rows),
    {ok, lists:foldl(fun(Node, Acc) -> tell({?MODULE, Node}, hello, Acc) end, State, nodes()), 0}.

%% Clients know it under its old ref: they are told that it leaves and joins.
kept({{Topic, Key, _, Ref}, Meta, Pid}, #state{leaves = Leaves} = State) ->
    Left = State#state{leaves = [{Ref, {Topic, Key, Meta}} | Leaves]},
    case is_pid(Pid) andalso is_process_alive(Pid) of
        true -> {_, Tracked} = tracked(Topic, Pid, Key, Meta, Left), Tracked;
        false -> Left
    end.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}} | {reply, term(), #state{}, 0}.
handle_call({track, Topic, Pid, Key, Meta}, _From, #state{processes = Processes} = State) ->
    case Processes of
        #{Pid := {_, #{{Topic, Key} := _}}} -> updated(Topic, Pid, Key, Meta, State);
        #{Pid := {_, Of}} when map_size(Of) >= ?MAX_OF_ONE -> answer({error, too_many}, State);
        _ ->
            case has_room(Topic, State) of
                true -> {Ref, Next} = tracked(Topic, Pid, Key, Meta, State), answer({ok, Ref}, Next);
                false -> answer({error, too_many}, State)
            end
    end;
handle_call({update, Topic, Pid, Key, Meta}, _From, #state{processes = Processes} = State) ->
    case Processes of
        #{Pid := {_, #{{Topic, Key} := _}}} -> updated(Topic, Pid, Key, Meta, State);
        _ -> answer({error, not_tracked}, State)
    end;
handle_call({untrack, Topic, Pid, Key}, _From, #state{processes = Processes} = State) ->
    case Processes of
        #{Pid := {_, #{{Topic, Key} := Ref}}} -> answer(true, untracked(Topic, Pid, Key, Ref, State));
        _ -> answer(false, State)
    end.

has_room(Topic, #state{max = {OfTopic, Max}, topics = Topics, own = Own, added = Added}) ->
    maps:get(Topic, Topics, 0) < OfTopic andalso map_size(hornbeam_presence_replica:entries(Own)) + map_size(Added) < Max.

updated(Topic, Pid, Key, Inside, #state{processes = Processes} = State0) ->
    #{Pid := {_, #{{Topic, Key} := Before}}} = Processes,
    {Ref, State} = tracked(Topic, Pid, Key, hornbeam_presence_text:updated(Before, Inside), gone(Topic, Key, Before, State0)),
    answer({ok, Ref}, State).

-spec handle_cast({untrack, pid()} | {untrack, Topic :: binary(), pid()}, #state{}) -> {noreply, #state{}} | {noreply, #state{}, 0}.
handle_cast({untrack, Topic, Pid}, #state{processes = Processes} = State) ->
    {_, Of} = maps:get(Pid, Processes, {none, #{}}),
    next(maps:fold(fun({Each, Key}, Ref, Acc) when Each =:= Topic -> untracked(Topic, Pid, Key, Ref, Acc); (_, _, Acc) -> Acc end, State, Of));
handle_cast({untrack, Pid}, State) ->
    next(ended(Pid, State)).

-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {noreply, #state{}, 0}.
handle_info(timeout, State) -> {noreply, told(State)};
handle_info(Message, State) -> next(heard(Message, State)).

%% Each message is followed by `timeout' when no other waits: what came together is told together.
answer(Answer, State0) ->
    case next(State0) of
        {noreply, State, 0} -> {reply, Answer, State, 0};
        {noreply, State} -> {reply, Answer, State}
    end.

next(#state{turn = Turn} = State) when Turn < ?TURN -> {noreply, State#state{turn = Turn + 1}, 0};
next(State) -> {noreply, told(State)}.

told(State) -> tell_clients(tell_peers(State#state{turn = 0})).

%% The end of a connection may be heard of when the next one is there: it is the monitor that counts.
heard({'DOWN', Monitor, process, Pid, _}, #state{peers = Peers, processes = Processes} = State) ->
    case {Peers, Processes} of
        {#{Pid := {Monitor, Replica}}, _} ->
            changed(Pid, {#{}, hornbeam_presence_replica:entries(Replica)}, State#state{peers = maps:remove(Pid, Peers)});
        {_, #{Pid := {Monitor, _}}} -> ended(Pid, State);
        _ -> State
    end;
%% A node that gets its name while it runs hears of itself as well.
heard({nodeup, Node}, State) when Node =:= node() ->
    State;
heard({nodeup, Node}, State) ->
    tell({?MODULE, Node}, hello, State);
%% This node is up itself, when distribution starts later than this process; it is no peer of its own.
heard({hello, Peer}, State) when Peer =:= self() ->
    State;
heard({hello, Peer}, #state{peers = Peers} = State0) ->
    State = case Peers of
        #{Peer := {Monitor, Replica}} ->
            true = demonitor(Monitor, [flush]),
            State0#state{peers = Peers#{Peer := {monitor(process, Peer), Replica}}};
        _ ->
            tell(Peer, hello, met(Peer, State0))
    end,
    tell(Peer, whole, tell_peers(State));
heard({again, Peer}, State) ->
    tell(Peer, whole, tell_peers(State));
heard({whole, Peer, Whole}, State0) ->
    #state{peers = Peers} = State = met(Peer, State0),
    #{Peer := {Monitor, Replica0}} = Peers,
    {Changes, Replica} = hornbeam_presence_replica:replace(Whole, Replica0),
    changed(Peer, Changes, State#state{peers = Peers#{Peer := {Monitor, Replica}}});
heard({delta, Peer, Delta}, #state{peers = Peers} = State) when is_map_key(Peer, Peers) ->
    #{Peer := {Monitor, Replica0}} = Peers,
    case hornbeam_presence_replica:merge(Delta, Replica0) of
        {ok, Changes, Replica} -> changed(Peer, Changes, State#state{peers = Peers#{Peer := {Monitor, Replica}}});
        old -> State;
        gap -> tell(Peer, again, State)
    end;
heard(unsent, #state{unsent = Unsent} = State0) ->
    State = tell_peers(State0),
    maps:fold(fun({To, What}, [], Acc) -> tell(To, What, Acc) end, State#state{unsent = #{}}, Unsent);
heard(_Message, State) ->
    State.

met(Peer, #state{peers = Peers} = State) when is_map_key(Peer, Peers) -> State;
met(Peer, #state{peers = Peers} = State) -> State#state{peers = Peers#{Peer => {monitor(process, Peer), hornbeam_presence_replica:new()}}}.

%%% This node's entries

tracked(Topic, Pid, Key, Meta, #state{number = Number, prefix = Prefix, processes = Processes, topics = Topics, added = Added, joins = Joins} = State) ->
    Ref = <<Prefix/binary, "-", (integer_to_binary(Number, 36))/binary>>,
    {Monitor, Of} = case Processes of
        #{Pid := Known} -> Known;
        _ -> {monitor(process, Pid), #{}}
    end,
    Entry = {Topic, Key, Meta},
    true = ets:insert(?TABLE, {{Topic, Key, self(), Ref}, Meta, Pid}),
    {Ref, State#state{number = Number + 1, processes = Processes#{Pid => {Monitor, Of#{{Topic, Key} => Ref}}},
                      topics = maps:update_with(Topic, fun(N) -> N + 1 end, 1, Topics),
                      added = Added#{Ref => Entry}, joins = [{Ref, Entry} | Joins]}}.

untracked(Topic, Pid, Key, Ref, #state{processes = Processes} = State) ->
    #{Pid := {Monitor, Of}} = Processes,
    Left = case maps:remove({Topic, Key}, Of) of
        Rest when map_size(Rest) =:= 0 -> true = demonitor(Monitor, [flush]), maps:remove(Pid, Processes);
        Rest -> Processes#{Pid := {Monitor, Rest}}
    end,
    gone(Topic, Key, Ref, State#state{processes = Left}).

ended(Pid, #state{processes = Processes} = State) ->
    case maps:take(Pid, Processes) of
        {{Monitor, Of}, Left} ->
            true = demonitor(Monitor, [flush]),
            maps:fold(fun({Topic, Key}, Ref, Each) -> gone(Topic, Key, Ref, Each) end, State#state{processes = Left}, Of);
        error ->
            State
    end.

gone(Topic, Key, Ref, #state{topics = Topics, removed = Removed, leaves = Leaves} = State) ->
    [{_, Meta, _}] = ets:take(?TABLE, {Topic, Key, self(), Ref}),
    Left = case Topics of
        #{Topic := 1} -> maps:remove(Topic, Topics);
        #{Topic := N} -> Topics#{Topic := N - 1}
    end,
    State#state{topics = Left, removed = [Ref | Removed], leaves = [{Ref, {Topic, Key, Meta}} | Leaves]}.

%%% Another node's

changed(Peer, {Added, Removed}, #state{joins = Joins, leaves = Leaves} = State) ->
    maps:foreach(fun(Ref, {Topic, Key, _}) -> ets:delete(?TABLE, {Topic, Key, Peer, Ref}) end, Removed),
    maps:foreach(fun(Ref, {Topic, Key, Meta}) -> ets:insert(?TABLE, {{Topic, Key, Peer, Ref}, Meta, other}) end, Added),
    State#state{joins = maps:to_list(Added) ++ Joins, leaves = maps:to_list(Removed) ++ Leaves}.

%%% Telling

tell_peers(#state{added = Added, removed = []} = State) when map_size(Added) =:= 0 ->
    State;
tell_peers(#state{own = Own0, added = Added, removed = Removed, peers = Peers} = State) ->
    {Delta, Own} = hornbeam_presence_replica:change(Added, Removed, Own0),
    maps:fold(fun(Peer, _, Acc) -> tell(Peer, Delta, Acc) end, State#state{own = Own, added = #{}, removed = []}, Peers).

tell(Peer, What, #state{unsent = Unsent} = State) when What =:= whole; What =:= again; What =:= hello ->
    case sent(Peer, message(What, State)) of
        true -> State#state{unsent = maps:remove({Peer, What}, Unsent)};
        false ->
            _ = map_size(Unsent) =:= 0 andalso erlang:send_after(?RETRY, self(), unsent),
            State#state{unsent = Unsent#{{Peer, What} => []}}
    end;
tell(Peer, _Delta, #state{unsent = Unsent} = State) when is_map_key({Peer, whole}, Unsent) -> State;
tell(Peer, Delta, State) ->
    case sent(Peer, {delta, self(), Delta}) of
        true -> State;
        false -> tell(Peer, whole, State)
    end.

message(hello, _) -> {hello, self()};
message(again, _) -> {again, self()};
message(whole, #state{own = Own}) -> {whole, self(), hornbeam_presence_replica:whole(Own)}.

%% Without a connection it is needless: the next one begins with hello.
sent(Peer, Message) -> erlang:send(Peer, Message, [nosuspend, noconnect]) =/= nosuspend.

tell_clients(#state{joins = [], leaves = []} = State) ->
    State;
tell_clients(#state{joins = Joins, leaves = Leaves} = State) ->
    Gone = maps:from_list(Leaves),
    Came = by_topic([Each || {Ref, _} = Each <- Joins, not is_map_key(Ref, Gone)]),
    Went = by_topic(Leaves),
    lists:foreach(fun(Topic) -> diff(Topic, maps:get(Topic, Came, []), maps:get(Topic, Went, [])) end, lists:usort(maps:keys(Came) ++ maps:keys(Went))),
    State#state{joins = [], leaves = []}.

by_topic(Changes) ->
    maps:groups_from_list(fun({_, {Topic, _, _}}) -> Topic end, fun({Ref, {_, Key, Meta}}) -> {Key, Ref, Meta} end, lists:reverse(Changes)).

%% Each node tells its own clients.
diff(Topic, Joins, Leaves) ->
    Payload = {json, hornbeam_presence_text:diff(Joins, Leaves)},
    Frame = iolist_to_binary(hornbeam_channel_codec:broadcast(Topic, <<"presence_diff">>, Payload, none)),
    _ = hornbeam_subscribers:deliver(hornbeam_channels:topic(Topic), {frame, Frame, none, <<"presence_diff">>, Payload, never}),
    ok.
