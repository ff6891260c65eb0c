%%% Who is present in which topic, on all connected nodes: keys (a user), each with as many metas as it has processes there (its connections).
%%%
%%%     {ok, Ref} = hornbeam_presence:track(<<"room:1">>, Pid, <<"ada">>, <<"{\"device\":\"phone\"}">>),
%%%     <<"{\"ada\":{\"metas\":[{\"phx_ref\":\"...\",\"device\":\"phone\"}]}}">> = iolist_to_binary(hornbeam_presence:list(<<"room:1">>)).
%%%
%%% Called by: hornbeam_service_presence (Python), hornbeam_channel_joined (presence_state), any OTP application. Calls: hornbeam_presence_replica (what each node
%%% says), hornbeam_subscribers (the diffs to this node's clients), hornbeam_channel_codec.
%%%
%%% An entry ends with its process. Whoever has joined the topic is sent `presence_diff', {"joins": {Key: {"metas": [...]}}, "leaves": ...}, of what has changed
%%% since the last one: once for all that came in one turn of this process.
%%%
%%% Writes the table hornbeam_presences (hornbeam_tables owns it), which everybody reads: {{Topic, Key, Replica, Ref}, Meta, Process | other}. A replica is the
%%% process of a node, which each other node monitors.
%%%
%%%   {hello, Replica}                says that it is there; answered with the whole set, and a hello of its own where it was not known
%%%   {whole, Replica, Whole}         everything that this node says
%%%   {delta, Replica, Delta}         what has changed since the version before
%%%   {again, Replica}                a delta is missing: the whole set is asked for
%%%
%%% Failure modes. A node or the net between ends: its entries leave at once, and come back with its hello when it heals; nothing is kept of
%%% it. This process is killed: its successor keeps the entries whose processes live, as another replica.
%%%
%%% Limits: a meta has ?MAX_META bytes, a key ?MAX_KEY; a process ?MAX_OF_ONE entries, a node ?MAX.
-module(hornbeam_presence).
-behaviour(gen_server).

-export([track/4, update/4, untrack/3, untrack/2, untrack/1, list/1, get/2]).
-export([start_link/0, init/1, handle_call/3, handle_cast/2, handle_info/2]).
-export_type([problem/0]).

-define(TABLE, hornbeam_presences).
-define(MAX_META, 16384).
-define(MAX_KEY, 255).
-define(MAX_OF_ONE, 1000).
-define(MAX, 1000000).

%% not_object: a meta is a JSON object.
-type problem() :: bad_topic | bad_key | bad_meta | not_object | too_many | not_tracked.

-record(state, {
    own = hornbeam_presence_replica:new() :: hornbeam_presence_replica:replica(),
    number = 0 :: non_neg_integer(),
    prefix :: binary(),                                                 % of refs: of this process and no other
    processes = #{} :: #{pid() => {reference(), #{{Topic :: binary(), Key :: binary()} => hornbeam_presence_replica:ref()}}},
    peers = #{} :: #{pid() => {reference(), hornbeam_presence_replica:replica()}},
    %% Of this turn: what the other nodes are told, and what clients are.
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

change(_, Topic, _, _, _) when Topic =:= <<>>; byte_size(Topic) > ?MAX_KEY -> {error, bad_topic};
change(_, _, _, Key, _) when Key =:= <<>>; byte_size(Key) > ?MAX_KEY -> {error, bad_key};
change(_, _, _, _, Meta) when byte_size(Meta) > ?MAX_META -> {error, bad_meta};
change(What, Topic, Pid, Key, Meta) ->
    case inside(Meta) of
        {ok, Inside} -> gen_server:call(?MODULE, {What, Topic, Pid, Key, Inside}, infinity);
        error -> {error, not_object}
    end.

%% What stands in the braces, so that something can be put before it.
inside(Meta) ->
    case {hornbeam_json:skip_space(Meta), hornbeam_json:decode(Meta)} of
        {<<${, Rest/binary>>, {ok, Map}} when map_size(Map) =:= 0, Rest =/= <<>> -> {ok, <<>>};
        {<<${, Rest/binary>>, {ok, _}} -> {ok, binary:copy(without_brace(Rest))};
        _ -> error
    end.

without_brace(Text) ->
    {At, 1} = lists:last(binary:matches(Text, <<"}">>)),
    binary:part(Text, 0, At).

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
    object(ets:select(?TABLE, [{{{Topic, '$1', '_', '$2'}, '$3', '_'}, [], [{{'$1', '$2', '$3'}}]}])).

%% @doc The metas of one key: a JSON object.
-spec get(Topic :: binary(), Key :: binary()) -> {ok, iodata()} | error.
get(Topic, Key) ->
    case ets:select(?TABLE, [{{{Topic, Key, '_', '$1'}, '$2', '_'}, [], [{{'$1', '$2'}}]}]) of
        [] -> error;
        Metas -> {ok, metas(Metas)}
    end.

%% Rows in the order of their keys.
object(Rows) ->
    ByKey = maps:groups_from_list(fun({Key, _, _}) -> Key end, fun({_, Ref, Meta}) -> {Ref, Meta} end, Rows),
    [${, lists:join($,, [[hornbeam_json:encode(Key), $:, metas(Metas)] || {Key, Metas} <- maps:to_list(ByKey)]), $}].

metas(Metas) -> [<<"{\"metas\":[">>, lists:join($,, [meta(Ref, Inside) || {Ref, Inside} <- Metas]), <<"]}">>].

meta(Ref, <<>>) -> [<<"{\"phx_ref\":\"">>, Ref, <<"\"}">>];
meta(Ref, Inside) -> [<<"{\"phx_ref\":\"">>, Ref, <<"\",">>, Inside, $}].

%%% gen_server

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, [], [{hibernate_after, 10000}]) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

-spec init([]) -> {ok, #state{}, 0}.
init([]) ->
    process_flag(message_queue_data, off_heap),
    ok = net_kernel:monitor_nodes(true),
    Rows = ets:tab2list(?TABLE),
    true = ets:delete_all_objects(?TABLE),
    Prefix = binary:encode_hex(crypto:strong_rand_bytes(4)),
    State = lists:foldl(fun kept/2, #state{prefix = Prefix}, Rows),
    lists:foreach(fun(Node) -> tell({?MODULE, Node}, {hello, self()}) end, nodes()),
    {ok, State, 0}.

%% Clients know it under its old ref: they are told that it leaves and joins.
kept({{Topic, Key, _, Ref}, Meta, Pid}, #state{leaves = Leaves} = State) ->
    Left = State#state{leaves = [{Ref, {Topic, Key, Meta}} | Leaves]},
    case is_pid(Pid) andalso is_process_alive(Pid) of
        true -> {_, Tracked} = tracked(Topic, Pid, Key, Meta, Left), Tracked;
        false -> Left
    end.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}, 0}.
handle_call({track, Topic, Pid, Key, Meta}, _From, #state{processes = Processes} = State) ->
    case Processes of
        #{Pid := {_, #{{Topic, Key} := _}}} -> updated(Topic, Pid, Key, Meta, State);
        #{Pid := {_, Of}} when map_size(Of) >= ?MAX_OF_ONE -> {reply, {error, too_many}, State, 0};
        _ ->
            case map_size(hornbeam_presence_replica:entries(State#state.own)) + map_size(State#state.added) < ?MAX of
                true -> {Ref, Next} = tracked(Topic, Pid, Key, Meta, State), {reply, {ok, Ref}, Next, 0};
                false -> {reply, {error, too_many}, State, 0}
            end
    end;
handle_call({update, Topic, Pid, Key, Meta}, _From, #state{processes = Processes} = State) ->
    case Processes of
        #{Pid := {_, #{{Topic, Key} := _}}} -> updated(Topic, Pid, Key, Meta, State);
        _ -> {reply, {error, not_tracked}, State, 0}
    end;
handle_call({untrack, Topic, Pid, Key}, _From, #state{processes = Processes} = State) ->
    case Processes of
        #{Pid := {_, #{{Topic, Key} := Ref}}} -> {reply, true, untracked(Topic, Pid, Key, Ref, State), 0};
        _ -> {reply, false, State, 0}
    end.

%% Clients that follow one meta find the one before by it.
updated(Topic, Pid, Key, Inside, #state{processes = Processes} = State0) ->
    #{Pid := {_, #{{Topic, Key} := Before}}} = Processes,
    Previous = <<"\"phx_ref_prev\":\"", Before/binary, "\"">>,
    Meta = case Inside of <<>> -> Previous; _ -> <<Previous/binary, ",", Inside/binary>> end,
    {Ref, State} = tracked(Topic, Pid, Key, Meta, gone(Topic, Key, Before, State0)),
    {reply, {ok, Ref}, State, 0}.

-spec handle_cast({untrack, pid()} | {untrack, Topic :: binary(), pid()}, #state{}) -> {noreply, #state{}, 0}.
handle_cast({untrack, Topic, Pid}, #state{processes = Processes} = State) ->
    {_, Of} = maps:get(Pid, Processes, {none, #{}}),
    {noreply, maps:fold(fun({Each, Key}, Ref, Acc) when Each =:= Topic -> untracked(Topic, Pid, Key, Ref, Acc); (_, _, Acc) -> Acc end, State, Of), 0};
handle_cast({untrack, Pid}, State) ->
    {noreply, ended(Pid, State), 0}.

%% Each message that changes something is followed by `timeout' when no other waits: what came together is told together.
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {noreply, #state{}, 0}.
handle_info(timeout, State) ->
    {noreply, tell_clients(tell_peers(State))};
handle_info({'DOWN', _, process, Pid, _}, #state{peers = Peers} = State) when is_map_key(Pid, Peers) ->
    {noreply, changed(Pid, {#{}, hornbeam_presence_replica:entries(element(2, maps:get(Pid, Peers)))}, State#state{peers = maps:remove(Pid, Peers)}), 0};
handle_info({'DOWN', _, process, Pid, _}, State) ->
    {noreply, ended(Pid, State), 0};
handle_info({nodeup, Node}, State) ->
    tell({?MODULE, Node}, {hello, self()}),
    {noreply, State, 0};
handle_info({hello, Peer}, #state{peers = Peers} = State0) ->
    #state{own = Own} = State = tell_peers(State0),
    _ = is_map_key(Peer, Peers) orelse tell(Peer, {hello, self()}),
    tell(Peer, {whole, self(), hornbeam_presence_replica:whole(Own)}),
    {noreply, met(Peer, State), 0};
handle_info({again, Peer}, State0) ->
    #state{own = Own} = State = tell_peers(State0),
    tell(Peer, {whole, self(), hornbeam_presence_replica:whole(Own)}),
    {noreply, State, 0};
handle_info({whole, Peer, Whole}, State0) ->
    #state{peers = Peers} = State = met(Peer, State0),
    #{Peer := {Monitor, Replica0}} = Peers,
    {Changes, Replica} = hornbeam_presence_replica:replace(Whole, Replica0),
    {noreply, changed(Peer, Changes, State#state{peers = Peers#{Peer := {Monitor, Replica}}}), 0};
handle_info({delta, Peer, Delta}, #state{peers = Peers} = State) ->
    case Peers of
        #{Peer := {Monitor, Replica0}} ->
            case hornbeam_presence_replica:merge(Delta, Replica0) of
                {ok, Changes, Replica} -> {noreply, changed(Peer, Changes, State#state{peers = Peers#{Peer := {Monitor, Replica}}}), 0};
                old -> {noreply, State, 0};
                gap -> tell(Peer, {again, self()}), {noreply, State, 0}
            end;
        _ ->
            {noreply, State, 0}
    end;
handle_info(_Message, State) ->
    {noreply, State, 0}.

met(Peer, #state{peers = Peers} = State) when is_map_key(Peer, Peers) -> State;
met(Peer, #state{peers = Peers} = State) -> State#state{peers = Peers#{Peer => {monitor(process, Peer), hornbeam_presence_replica:new()}}}.

%%% This node's entries

tracked(Topic, Pid, Key, Meta, #state{number = Number, prefix = Prefix, processes = Processes, added = Added, joins = Joins} = State) ->
    Ref = <<Prefix/binary, "-", (integer_to_binary(Number, 36))/binary>>,
    {Monitor, Of} = case Processes of
        #{Pid := Known} -> Known;
        _ -> {monitor(process, Pid), #{}}
    end,
    Entry = {Topic, Key, Meta},
    true = ets:insert(?TABLE, {{Topic, Key, self(), Ref}, Meta, Pid}),
    {Ref, State#state{number = Number + 1, processes = Processes#{Pid => {Monitor, Of#{{Topic, Key} => Ref}}},
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

gone(Topic, Key, Ref, #state{removed = Removed, leaves = Leaves} = State) ->
    [{_, Meta, _}] = ets:take(?TABLE, {Topic, Key, self(), Ref}),
    State#state{removed = [Ref | Removed], leaves = [{Ref, {Topic, Key, Meta}} | Leaves]}.

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
    maps:foreach(fun(Peer, _) -> tell(Peer, {delta, self(), Delta}) end, Peers),
    State#state{own = Own, added = #{}, removed = []}.

%% A node that takes nothing is lost, and told everything when it comes back; nobody waits for it.
tell(Peer, Message) ->
    case erlang:send(Peer, Message, [nosuspend, noconnect]) of
        ok -> ok;
        _ -> ok
    end.

tell_clients(#state{joins = [], leaves = []} = State) ->
    State;
tell_clients(#state{joins = Joins, leaves = Leaves} = State) ->
    %% What has come and gone within the turn nobody has seen.
    Both = maps:with([Ref || {Ref, _} <- Joins], maps:from_list(Leaves)),
    Came = by_topic([Each || {Ref, _} = Each <- Joins, not is_map_key(Ref, Both)]),
    Went = by_topic([Each || {Ref, _} = Each <- Leaves, not is_map_key(Ref, Both)]),
    lists:foreach(fun(Topic) -> diff(Topic, maps:get(Topic, Came, []), maps:get(Topic, Went, [])) end, lists:usort(maps:keys(Came) ++ maps:keys(Went))),
    State#state{joins = [], leaves = []}.

by_topic(Changes) ->
    maps:groups_from_list(fun({_, {Topic, _, _}}) -> Topic end, fun({Ref, {_, Key, Meta}}) -> {Key, Ref, Meta} end, lists:reverse(Changes)).

%% Each node tells its own clients.
diff(Topic, Joins, Leaves) ->
    Payload = {json, iolist_to_binary([<<"{\"joins\":">>, object(Joins), <<",\"leaves\":">>, object(Leaves), $}])},
    Frame = iolist_to_binary(hornbeam_channel_codec:broadcast(Topic, <<"presence_diff">>, Payload, none)),
    _ = hornbeam_subscribers:deliver(hornbeam_channels:topic(Topic), {frame, Frame, none, <<"presence_diff">>, Payload, never}),
    ok.
