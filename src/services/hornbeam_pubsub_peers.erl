%%% How many subscriptions other nodes have to what, so that a message goes to the nodes that want it, once to each.
%%%
%%% Called by: hornbeam_pubsub (publish/2), hornbeam_subscriptions (changed/1), hornbeam_channel and hornbeam_history (nodes_of/1), each in its own process. Calls:
%%% hornbeam_subscribers (what this node tells), hornbeam_pubsub_relay (how a message gets there).
%%%
%%% Writes the table hornbeam_peer_topics (hornbeam_tables owns it): {Topic, #{Node => Subscriptions}}, and
%%% {lengths, hornbeam_topic:lengths()}.
%%%
%%% Between the nodes:
%%%   {hello, Peer}            says that it is there; whoever did not know answers with its own hello and with `all'
%%%   {all, Peer, Counts}      everything that the node subscribes to
%%%   {counts, Peer, Counts}   what has changed, in batches of up to ?BATCH: the numbers as they are now, so what is said
%%%                            twice or late does no harm
%%%
%%% Sending may wait for a connection that is congested. Only this process waits then: nobody calls it.
%%% Failure: the other nodes see it end, and are told everything anew by its successor.
-module(hornbeam_pubsub_peers).
-behaviour(gen_server).

-export([changed/1, publish/2, nodes_of/1]).
-export([start_link/0, init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(TABLE, hornbeam_peer_topics).
-define(BATCH, 1000).

%% The process of each node that has said hello, and its monitor.
-type peers() :: #{node() => {pid(), reference()}}.

%%% In the calling process

%% @doc The subscriptions of this node to a topic are more or fewer than before.
-spec changed(hornbeam_topic:topic()) -> ok.
changed(Topic) ->
    %% A node that connects later is told everything, after the table was changed.
    case nodes() =:= [] orelse whereis(?MODULE) of
        Pid when is_pid(Pid) -> Pid ! {changed, Topic}, ok;
        _ -> ok
    end.

%% @doc The other nodes that subscribe to this very topic.
-spec nodes_of(hornbeam_topic:topic()) -> [node()].
nodes_of(Topic) ->
    case ets:lookup(?TABLE, Topic) of
        [{_, Nodes}] -> maps:keys(Nodes);
        [] -> []
    end.

%% @doc Sends a message to every other node that subscribes to its topic; how many subscriptions that reached.
-spec publish(hornbeam_topic:topic(), term()) -> non_neg_integer().
publish(Topic, Message) ->
    case [Nodes || Of <- hornbeam_topic:candidates_in(?TABLE, Topic), {_, Nodes} <- ets:lookup(?TABLE, Of)] of
        [] -> 0;
        [Nodes] -> send(Topic, Message, Nodes);
        Several -> send(Topic, Message, lists:foldl(fun add/2, #{}, Several))
    end.

add(Nodes, Sum) ->
    maps:fold(fun(Node, Count, Acc) -> maps:update_with(Node, fun(N) -> N + Count end, Count, Acc) end, Sum, Nodes).

send(Topic, Message, Nodes) ->
    lists:sum([Count || {Node, Count} <- maps:to_list(Nodes), hornbeam_pubsub_relay:send(Node, Topic, Message)]).

%%% The process

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, [], []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

-spec init([]) -> {ok, peers()}.
init([]) ->
    ok = net_kernel:monitor_nodes(true),
    true = ets:delete_all_objects(?TABLE),
    lists:foreach(fun greet/1, nodes()),
    {ok, #{}}.

greet(Node) ->
    tell({?MODULE, Node}, {hello, self()}).

-spec handle_call(term(), gen_server:from(), peers()) -> {reply, {error, not_supported}, peers()}.
handle_call(_Request, _From, Peers) ->
    {reply, {error, not_supported}, Peers}.

-spec handle_cast(term(), peers()) -> {noreply, peers()}.
handle_cast(_Request, Peers) ->
    {noreply, Peers}.

-spec handle_info(term(), peers()) -> {noreply, peers()}.
handle_info({changed, Topic}, Peers) ->
    Topics = lists:usort([Topic | more_changed(?BATCH - 1)]),
    Counts = [{Of, hornbeam_subscribers:count(Of)} || Of <- Topics, map_size(Peers) > 0],
    lists:foreach(fun({Peer, _}) -> tell(Peer, {counts, self(), Counts}) end, maps:values(Peers)),
    {noreply, Peers};
handle_info({counts, Peer, Counts}, Peers) ->
    is_known(Peer, Peers) andalso put_all(node(Peer), Counts),
    {noreply, Peers};
handle_info({all, Peer, Counts}, Peers) ->
    is_known(Peer, Peers) andalso put_all(node(Peer), Counts),
    {noreply, Peers};
%% This node is up itself, when distribution starts later than this process; it is no peer of its own.
handle_info({hello, Peer}, Peers) when Peer =:= self() ->
    {noreply, Peers};
handle_info({hello, Peer}, Peers) ->
    case is_known(Peer, Peers) of
        true -> {noreply, Peers};
        false -> {noreply, meet(Peer, part(node(Peer), Peers))}
    end;
%% A node that gets its name while it runs, as one of a cluster does, hears of itself as well.
handle_info({nodeup, Node}, Peers) ->
    _ = Node =:= node() orelse greet(Node),
    {noreply, Peers};
handle_info({'DOWN', Monitor, process, Peer, _}, Peers) ->
    case Peers of
        #{node(Peer) := {Peer, Monitor}} -> {noreply, part(node(Peer), Peers)};
        _ -> {noreply, Peers}
    end;
handle_info(_Message, Peers) ->
    {noreply, Peers}.

more_changed(0) -> [];
more_changed(Left) -> receive {changed, Topic} -> [Topic | more_changed(Left - 1)] after 0 -> [] end.

is_known(Peer, Peers) ->
    case Peers of
        #{node(Peer) := {Peer, _}} -> true;
        _ -> false
    end.

%% The hello first, so that it knows whose numbers follow.
meet(Peer, Peers) ->
    Monitor = monitor(process, Peer),
    tell(Peer, {hello, self()}),
    tell(Peer, {all, self(), hornbeam_subscribers:counts()}),
    Peers#{node(Peer) => {Peer, Monitor}}.

%% A node has gone, or its process has: what it wanted is forgotten.
part(Node, Peers) ->
    case maps:take(Node, Peers) of
        {{_, Monitor}, Rest} ->
            true = demonitor(Monitor, [flush]),
            put_all(Node, [{Topic, 0} || {Topic, #{Node := _}} <- ets:tab2list(?TABLE)]),
            Rest;
        error ->
            Peers
    end.

tell(Peer, Message) ->
    _ = erlang:send(Peer, Message, [noconnect]),
    ok.

%%% The table

put_all(Node, Counts) ->
    lists:foreach(fun({Topic, Count}) -> put_count(Topic, Node, Count) end, Counts).

put_count(Topic, Node, Count) ->
    Before = case ets:lookup(?TABLE, Topic) of
        [{_, Nodes}] -> Nodes;
        [] -> #{}
    end,
    _ = case maps:remove(Node, Before) of
        Others when Count > 0 ->
            true = ets:insert(?TABLE, {Topic, Others#{Node => Count}}),
            map_size(Before) =:= 0 andalso hornbeam_topic:added_in(?TABLE, Topic);
        Others when map_size(Others) > 0 ->
            true = ets:insert(?TABLE, {Topic, Others});
        _ ->
            true = ets:delete(?TABLE, Topic),
            map_size(Before) =:= 0 orelse hornbeam_topic:removed_in(?TABLE, Topic)
    end,
    ok.
