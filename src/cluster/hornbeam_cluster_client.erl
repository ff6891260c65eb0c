%%% The commands of this node: sends them to the leader, and again when it has gone, until each is answered or its time is over.
%%%
%%% Called by: hornbeam_cluster (command/2), hornbeam_asked and hornbeam_cluster_locks (requests without a process of their own). Calls: ra (pipelined
%%% commands), ra_leaderboard (who leads, as this node's member has heard), aten (which nodes seem to be down), hornbeam_cluster_machine (command/4).
%%%
%%%     {command, {Part, Operation}, Timeout in ms}  ─▶  {ok, Reply} | {error, no_quorum | in_doubt | too_many}
%%%
%%% A command is `waiting' (nobody has it) or `sent'. It becomes waiting again when its leader says that it leads no longer, and is sent again to the next one, or
%%% to the same when ?SILENCE ms were silent; the machine applies it once (hornbeam_cluster_machine, "Once").
%%%
%%%   no_quorum   it was never sent, and is not done: fewer than a majority of the members are up, so far as this node sees; or nobody led all the time
%%%   in_doubt    it was sent, and not answered until its time was over or the majority was lost: it may be done, now or later
%%%   too_many    ?MAX commands are not answered
%%%
%%% Up is who is connected and answers aten's heartbeats: a node that is stopped or cut off is seen to be down after some seconds, in which commands wait.
%%%
%%% Failure: its successor has another incarnation, and the machine applies nothing more of this one's. Who waited is told by the end of the process.
-module(hornbeam_cluster_client).
-behaviour(gen_server).

-export([start_link/1, request/2, member/3, has_quorum/0, info/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).
-export_type([error/0, answer/0]).

-define(MAX, 20000).
-define(TICK, 50).
-define(SILENCE, 1000).

-type error() :: {error, no_quorum | in_doubt | too_many}.
-type answer() :: {ok, Reply :: term()} | error().

-record(sent, {
    from :: gen_server:from(),
    operation :: {hornbeam_cluster_machine:part(), term()},
    until :: integer(),                         % ms
    at = waiting :: waiting | integer(),        % when it was sent last
    doubtful = false :: boolean()               % it was sent once
}).
-record(state, {
    timeout :: pos_integer(),                   % of commands that name none
    incarnation :: integer(),
    member = none :: none | {Cluster :: atom(), ra:server_id()},
    members = [] :: [node()],
    down = #{} :: #{node() => true},            % as aten has it
    leader = none :: none | ra:server_id(),
    next = 1 :: pos_integer(),
    open = gb_trees:empty() :: gb_trees:tree(pos_integer(), #sent{}),
    ticking = false :: boolean(),
    resent = 0 :: non_neg_integer()
}).

-spec start_link(map()) -> {ok, pid()} | {error, term()}.
start_link(#{cluster_timeout := Timeout}) ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, Timeout, []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

%% @doc What is asked of the process (gen_server:send_request/2); it answers in the time.
-spec request({hornbeam_cluster_machine:part(), Operation :: term()}, default | pos_integer()) -> term().
request(Operation, Timeout) -> {command, Operation, Timeout}.

%% @doc The engine says which Ra server is this node's, and who is a member.
-spec member(Cluster :: atom(), ra:server_id() | none, [node()]) -> ok.
member(Cluster, Member, Members) -> gen_server:cast(?MODULE, {member, Cluster, Member, Members}).

%% @doc Whether a majority of the members is up, so far as this node sees.
-spec has_quorum() -> boolean().
has_quorum() ->
    try gen_server:call(?MODULE, has_quorum)
    catch exit:_ -> false
    end.

-spec info() -> #{down := [node()], open := non_neg_integer(), resent := non_neg_integer()}.
info() -> gen_server:call(?MODULE, info).

-spec init(pos_integer()) -> {ok, #state{}}.
init(Timeout) ->
    ok = net_kernel:monitor_nodes(true),
    {ok, #state{timeout = Timeout, incarnation = erlang:system_time() bsl 8 + erlang:unique_integer([positive]) band 255}}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}} | {noreply, #state{}}.
handle_call({command, Operation, default}, From, #state{timeout = Timeout} = State) ->
    handle_call({command, Operation, Timeout}, From, State);
handle_call({command, Operation, Timeout}, From, #state{open = Open, next = Seq} = State) ->
    case is_quorum(State) of
        false ->
            {reply, {error, no_quorum}, State};
        true ->
            case gb_trees:size(Open) < ?MAX of
                true ->
                    Sent = #sent{from = From, operation = Operation, until = now_ms() + Timeout},
                    Added = State#state{open = gb_trees:insert(Seq, Sent, Open), next = Seq + 1},
                    {noreply, tick(send(Seq, Sent, led(Added)))};
                false ->
                    {reply, {error, too_many}, State}
            end
    end;
handle_call(has_quorum, _From, State) ->
    {reply, is_quorum(State), State};
handle_call(info, _From, #state{down = Down, open = Open, resent = Resent} = State) ->
    {reply, #{down => maps:keys(Down), open => gb_trees:size(Open), resent => Resent}, State};
handle_call(_Request, _From, State) ->
    {reply, {error, not_supported}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({member, Cluster, Member, Members}, #state{members = Before} = State) ->
    lists:foreach(fun(Node) -> _ = aten:unregister(Node) end, Before -- Members),
    lists:foreach(fun(Node) -> _ = aten:register(Node) end, Members -- Before),
    Now = case Member of
        none -> State#state{member = none, leader = none, members = []};
        _ -> State#state{member = {Cluster, Member}, members = Members}
    end,
    {noreply, judged(Now)};
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({ra_event, From, {applied, Replies}}, State) ->
    {noreply, lists:foldl(fun answered/2, State#state{leader = From}, Replies)};
handle_info({ra_event, _From, {rejected, {not_leader, Leader, Seq}}}, #state{open = Open} = State) ->
    Known = State#state{leader = case Leader of undefined -> none; _ -> Leader end},
    case gb_trees:lookup(Seq, Open) of
        {value, Sent} -> {noreply, send(Seq, Sent, kept(Seq, Sent#sent{at = waiting}, Known))};
        none -> {noreply, Known}
    end;
handle_info(tick, State) ->
    {noreply, tick(sent_again(expired(led((State#state{ticking = false})))))};
handle_info({node_event, Node, up}, #state{down = Down} = State) ->
    {noreply, State#state{down = maps:remove(Node, Down)}};
handle_info({node_event, Node, down}, #state{down = Down} = State) ->
    {noreply, judged(State#state{down = Down#{Node => true}})};
handle_info({nodeup, Node}, #state{down = Down} = State) ->
    {noreply, State#state{down = maps:remove(Node, Down)}};
handle_info({nodedown, _Node}, State) ->
    {noreply, judged(State)};
handle_info(_Message, State) ->
    {noreply, State}.

answered({Seq, Reply}, #state{open = Open} = State) ->
    case gb_trees:take_any(Seq, Open) of
        {#sent{from = From}, Left} ->
            gen_server:reply(From, {ok, Reply}),
            State#state{open = Left};
        error ->
            State
    end.

%% Who leads, where that is not known from an answer.
led(#state{leader = none, member = {Cluster, _}, members = Members} = State) ->
    case ra_leaderboard:lookup_leader(Cluster) of
        {_, Node} = Leader -> State#state{leader = case lists:member(Node, Members) of true -> Leader; false -> none end};
        undefined -> State
    end;
led(State) ->
    State.

send(_Seq, _Sent, #state{leader = none} = State) ->
    State;
send(Seq, #sent{operation = Operation} = Sent, #state{leader = Leader, incarnation = Incarnation, open = Open} = State) ->
    {Low, _} = gb_trees:smallest(Open),
    Command = hornbeam_cluster_machine:command({node(), Incarnation}, Low, Seq, Operation),
    ok = ra:pipeline_command(Leader, Command, Seq, normal),
    kept(Seq, Sent#sent{at = now_ms(), doubtful = true}, State).

kept(Seq, Sent, #state{open = Open} = State) -> State#state{open = gb_trees:update(Seq, Sent, Open)}.

%% Without a leader, or when the oldest was silent for long: all that are not answered, in their order.
sent_again(#state{leader = none} = State) ->
    State;
sent_again(#state{open = Open} = State) ->
    case gb_trees:is_empty(Open) of
        true -> State;
        false -> again(gb_trees:smallest(Open), now_ms(), State)
    end.

again({_, #sent{at = At}}, Now, State) when At =:= waiting; Now - At >= ?SILENCE ->
    %% It may lead no longer, and not know of it.
    Asked = case At of waiting -> State; _ -> led(State#state{leader = none, resent = State#state.resent + 1}) end,
    lists:foldl(fun({Seq, Sent}, Acc) -> send(Seq, Sent, Acc) end, Asked, gb_trees:to_list(Asked#state.open));
again({Seq, _}, Now, #state{open = Open} = State) ->
    %% One behind it may wait still.
    case gb_trees:next(gb_trees:iterator_from(Seq + 1, Open)) of
        {Next, #sent{at = waiting} = Sent, _} -> again({Next, Sent}, Now, State);
        _ -> State
    end.

expired(#state{open = Open} = State) ->
    Now = now_ms(),
    lists:foldl(fun(Each, Acc) -> given_up(Each, Acc) end, State,
                [{Seq, Sent} || {Seq, #sent{until = Until} = Sent} <- gb_trees:to_list(Open), Until =< Now]).

given_up({Seq, #sent{from = From, doubtful = Doubtful}}, #state{open = Open} = State) ->
    gen_server:reply(From, {error, case Doubtful of true -> in_doubt; false -> no_quorum end}),
    State#state{open = gb_trees:delete(Seq, Open)}.

%% When the majority is lost nobody waits for it.
judged(#state{open = Open} = State) ->
    case is_quorum(State) of
        true -> State;
        false -> lists:foldl(fun given_up/2, State#state{leader = none}, gb_trees:to_list(Open))
    end.

is_quorum(#state{member = none}) ->
    false;
is_quorum(#state{members = Members, down = Down}) ->
    Connected = [node() | nodes()],
    Up = [Node || Node <- Members, lists:member(Node, Connected), not is_map_key(Node, Down)],
    2 * length(Up) > length(Members).

%% Only while something is open.
tick(#state{ticking = false, open = Open} = State) ->
    case gb_trees:is_empty(Open) of
        true ->
            State;
        false ->
            _ = erlang:send_after(?TICK, self(), tick),
            State#state{ticking = true}
    end;
tick(State) ->
    State.

now_ms() -> erlang:monotonic_time(millisecond).
