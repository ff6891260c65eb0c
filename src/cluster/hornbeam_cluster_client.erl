%%% The commands of this node: sends them to the leader, and again when it has gone, until each is answered or its time is over.
%%%
%%% Called by: hornbeam_cluster (command/2), hornbeam_asked and hornbeam_cluster_locks (requests without a process of their own). Calls: ra (pipelined
%%% commands), ra_leaderboard (who leads, as this node's member has heard), aten (which nodes seem to be down), hornbeam_cluster_majority, hornbeam_cluster_machine (command/3).
%%%
%%%     {command, {Part, Operation}, Timeout in ms}  ─▶  {ok, Reply} | {error, no_quorum | in_doubt | too_many}
%%%
%%% Commands go in batches, each one entry of the log: the next goes when none is on its way, or when it has as many as are on their way. So a command that comes
%%% alone goes at once, and many share what an entry costs: messages and a write to disk on each node. With 64 that wait for each other's
%%% end, two batches of 32 take turns. A command is in `waiting' (nobody has it) or in a batch of
%%% `flying'. Those of a batch wait again when its leader says that it leads no longer, or says nothing for ?SILENCE ms; they may then come twice, and the machine
%%% applies them once (hornbeam_cluster_machine, "Once").
%%%
%%%   no_quorum   it was never sent, and is not done: fewer than a majority of the members are up, so far as this node sees; or nobody led all the time
%%%   in_doubt    it was sent, and not answered until its time was over or the majority was lost: it may be done, now or later
%%%   too_many    ?MAX commands are not answered, or ?MAX_BYTES of them
%%%
%%% Up is who is connected and answers aten's heartbeats (hornbeam_cluster_majority): a node that is stopped or cut off is seen to be down after some seconds, in which commands wait.
%%%
%%% Failure: its successor asks the engine who is a member, and has another incarnation, and the machine applies nothing more of this one's. Who waited is told by the end of the process.
-module(hornbeam_cluster_client).
-behaviour(gen_server).

-export([start_link/1, request/2, member/3, has_quorum/0, info/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).
-export_type([error/0, answer/0]).

-define(MAX, 20000).
-define(MAX_BYTES, 67108864).
-define(TICK, 50).
%% Of a leader, with commands on their way: after so long they are sent again, and once more after twice that, and so on ?PATIENCE times.
-define(SILENCE, 1000).
-define(PATIENCE, 3).
%% Of a batch: so many commands, and bytes unless one alone has more.
-define(COMMANDS, 512).
-define(BYTES, 262144).

-type error() :: {error, no_quorum | in_doubt | too_many}.
-type answer() :: {ok, Reply :: term()} | error().
-type seq() :: pos_integer().

-record(asked, {
    from :: gen_server:from(),
    operation :: {hornbeam_cluster_machine:part(), term()},
    weight :: non_neg_integer(),
    until :: integer(),                         % ms
    doubtful = false :: boolean()               % it was sent once
}).
-record(state, {
    timeout :: pos_integer(),                   % of commands that name none
    incarnation :: integer(),
    member = none :: none | {Cluster :: atom(), ra:server_id()},
    members = [] :: [node()],
    majority = hornbeam_cluster_majority:new() :: hornbeam_cluster_majority:majority(),
    quorum = false :: boolean(),                % as that has it
    judging = false :: boolean(),               % its timer runs
    leader = none :: none | ra:server_id(),
    next = 1 :: seq(),
    low = 1 :: seq(),                           % nothing below is open
    open = #{} :: #{seq() => #asked{}},
    bytes = 0 :: non_neg_integer(),             % of open, so far as operations weigh
    waiting = queue:new() :: queue:queue(seq()),% what is not open any more may be among them
    length = 0 :: non_neg_integer(),            % of waiting
    aloft = 0 :: non_neg_integer(),             % as many are in flying
    batch = 0 :: non_neg_integer(),
    flying = #{} :: #{Batch :: pos_integer() => {At :: integer(), Length :: pos_integer(), [seq()]}},
    ticking = false :: boolean(),
    answered :: {At :: integer(), Batch :: non_neg_integer()},              % the last
    in_vain = 0 :: non_neg_integer(),           % sent again so often since
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
    ok = gen_server:cast(hornbeam_cluster_engine, member),
    {ok, #state{timeout = Timeout, answered = {now_ms(), 0}, incarnation = erlang:system_time() bsl 8 + erlang:unique_integer([positive]) band 255}}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}} | {noreply, #state{}}.
handle_call({command, Operation, default}, From, #state{timeout = Timeout} = State) ->
    handle_call({command, Operation, Timeout}, From, State);
handle_call({command, _, _}, _From, #state{quorum = false} = State) ->
    {reply, {error, no_quorum}, State};
handle_call({command, _, _}, _From, #state{open = Open, bytes = Bytes} = State) when map_size(Open) >= ?MAX; Bytes >= ?MAX_BYTES ->
    {reply, {error, too_many}, State};
handle_call({command, Operation, Timeout}, From, #state{open = Open, bytes = Bytes, next = Seq, waiting = Waiting, length = Length} = State) ->
    Weight = hornbeam_cluster_machine:weight(Operation),
    Asked = #asked{from = From, operation = Operation, weight = Weight, until = now_ms() + Timeout},
    {noreply, tick(send(State#state{open = Open#{Seq => Asked}, bytes = Bytes + Weight, next = Seq + 1, waiting = queue:in(Seq, Waiting), length = Length + 1}))};
handle_call(has_quorum, _From, #state{quorum = HasQuorum} = State) ->
    {reply, HasQuorum, State};
handle_call(info, _From, #state{majority = Majority, open = Open, resent = Resent} = State) ->
    {reply, #{down => hornbeam_cluster_majority:describe(Majority), open => map_size(Open), resent => Resent}, State};
handle_call(_Request, _From, State) ->
    {reply, {error, not_supported}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({member, Cluster, Member, Members}, #state{members = Before, majority = Majority} = State) ->
    lists:foreach(fun(Node) -> _ = aten:unregister(Node) end, Before -- Members),
    lists:foreach(fun(Node) -> _ = aten:register(Node) end, Members -- Before),
    Now = State#state{members = Members, majority = hornbeam_cluster_majority:members(Members, Majority)},
    {noreply, judged(case Member of
        none -> Now#state{member = none, leader = none};
        _ -> Now#state{member = {Cluster, Member}}
    end)};
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({ra_event, From, {applied, Batches}}, #state{majority = Majority, answered = {_, Last}} = State) ->
    Now = now_ms(),
    Heard = State#state{leader = From, majority = hornbeam_cluster_majority:answered(Now, Majority), in_vain = 0,
                        answered = {Now, lists:max([Last | [Batch || {Batch, _} <- Batches]])}},
    {noreply, send(lists:foldl(fun landed/2, Heard, Batches))};
handle_info({ra_event, _From, {rejected, {not_leader, Leader, Batch}}}, #state{} = State) ->
    Known = State#state{leader = case Leader of undefined -> none; _ -> Leader end},
    {noreply, send(again([Batch], Known))};
handle_info(tick, State) ->
    {noreply, tick(send(heard(expired(State#state{ticking = false}))))};
handle_info(judge, State) ->
    {noreply, judged(State#state{judging = false})};
handle_info({node_event, Node, down}, #state{majority = Majority} = State) ->
    {noreply, judged(State#state{majority = hornbeam_cluster_majority:silent(Node, now_ms(), Majority)})};
handle_info({node_event, Node, up}, #state{majority = Majority} = State) ->
    {noreply, judged(State#state{majority = hornbeam_cluster_majority:heard(Node, Majority)})};
handle_info({nodeup, Node}, #state{majority = Majority} = State) ->
    {noreply, judged(State#state{majority = hornbeam_cluster_majority:heard(Node, Majority)})};
handle_info({nodedown, _Node}, State) ->
    {noreply, judged(State)};
handle_info(_Message, State) ->
    {noreply, State}.

%% The replies of a batch that was given up are as good.
landed({Batch, Replies}, #state{open = Open, bytes = Bytes} = State) when is_list(Replies) ->
    {_, Landed} = down(Batch, State),
    {Left, LeftBytes} = lists:foldl(fun answered/2, {Open, Bytes}, Replies),
    Landed#state{open = Left, bytes = LeftBytes}.

down(Batch, #state{flying = Flying, aloft = Aloft} = State) ->
    case maps:take(Batch, Flying) of
        {{_, Length, Seqs}, Left} -> {Seqs, State#state{flying = Left, aloft = Aloft - Length}};
        error -> {[], State}
    end.

answered({Seq, Reply}, {Open, Bytes} = Before) ->
    case maps:take(Seq, Open) of
        {#asked{from = From, weight = Weight}, Left} ->
            gen_server:reply(From, {ok, Reply}),
            {Left, Bytes - Weight};
        error ->
            Before
    end.

%% Who leads, where that is not known from an answer.
led(#state{leader = none, member = {Cluster, _}, members = Members} = State) ->
    case ra_leaderboard:lookup_leader(Cluster) of
        {_, Node} = Leader -> State#state{leader = case lists:member(Node, Members) of true -> Leader; false -> none end};
        undefined -> State
    end;
led(State) ->
    State.

%% Sends what waits, as far as it may go.
send(#state{length = Length, aloft = Aloft} = State) when Length =:= 0; Length < Aloft, Length < ?COMMANDS ->
    State;
send(#state{leader = none} = State) ->
    case led(State) of
        #state{leader = none} -> State;
        Led -> send(Led)
    end;
send(#state{} = State) ->
    case taken(?COMMANDS, ?BYTES, [], State) of
        {[], Left} -> Left;
        {Taken, Left} -> send(batch(Taken, Left))
    end.

%% Taken: {Seq, Operation}, the last first.
taken(Commands, Bytes, Taken, #state{waiting = Waiting, length = Length, open = Open} = State) ->
    case Commands > 0 andalso Bytes > 0 andalso queue:out(Waiting) of
        {{value, Seq}, Left} when is_map_key(Seq, Open) ->
            #asked{operation = Operation, weight = Weight} = maps:get(Seq, Open),
            Room = Bytes - Weight,
            case Room < 0 andalso Taken =/= [] of
                true -> {Taken, State};
                false -> taken(Commands - 1, Room, [{Seq, Operation} | Taken], State#state{waiting = Left, length = Length - 1})
            end;
        {{value, _}, Left} ->
            taken(Commands, Bytes, Taken, State#state{waiting = Left, length = Length - 1});
        _ ->
            {Taken, State}
    end.

batch(Taken, #state{leader = Leader, incarnation = Incarnation, batch = Before, flying = Flying, aloft = Aloft, open = Open, next = Next} = State) ->
    {Batch, Low, Length} = {Before + 1, low(State#state.low, Next, Open), length(Taken)},
    ok = ra:pipeline_command(Leader, hornbeam_cluster_machine:command({node(), Incarnation}, Low, lists:reverse(Taken)), Batch, normal),
    {Seqs, Doubtful} = lists:mapfoldl(fun({Seq, _}, Acc) ->
        #{Seq := Asked} = Acc,
        {Seq, Acc#{Seq := Asked#asked{doubtful = true}}}
    end, Open, Taken),
    State#state{batch = Batch, flying = Flying#{Batch => {now_ms(), Length, Seqs}}, aloft = Aloft + Length, open = Doubtful, low = Low}.

low(Low, Next, Open) when Low < Next, not is_map_key(Low, Open) -> low(Low + 1, Next, Open);
low(Low, _Next, _Open) -> Low.

%% What is in these batches waits again, in its order.
again(Batches, #state{} = State) ->
    {Seqs, Down} = lists:mapfoldl(fun down/2, State, Batches),
    Waiting = lists:sort(lists:append([queue:to_list(Down#state.waiting) | Seqs])),
    Down#state{waiting = queue:from_list(Waiting), length = length(Waiting)}.

%% A leader that is silent for long may lead no longer, and not know of it. One that answers is not: it answers in the order in which it was asked, so what
%% it has not answered yet waits there, unless later ones were answered: then it never came.
heard(#state{flying = Flying, resent = Resent, answered = {At, Last}, in_vain = InVain} = State) ->
    Late = now_ms() - (?SILENCE bsl min(InVain, ?PATIENCE)),
    case lists:any(fun({Batch, {Sent, _, _}}) -> Sent =< Late andalso (At =< Late orelse Batch < Last) end, maps:to_list(Flying)) of
        true -> again(maps:keys(Flying), State#state{leader = none, resent = Resent + 1, in_vain = InVain + 1});
        false -> State
    end.

expired(#state{open = Open} = State) ->
    Now = now_ms(),
    given_up(maps:filter(fun(_, #asked{until = Until}) -> Until =< Now end, Open), State).

given_up(Over, #state{open = Open, bytes = Bytes} = State) ->
    Weighed = maps:fold(fun(_, #asked{from = From, doubtful = Doubtful, weight = Weight}, Acc) ->
        gen_server:reply(From, {error, case Doubtful of true -> in_doubt; false -> no_quorum end}),
        Acc + Weight
    end, 0, Over),
    State#state{open = maps:without(maps:keys(Over), Open), bytes = Bytes - Weighed}.

%% When the majority is lost nobody waits for it.
judged(#state{open = Open, majority = Majority} = State) ->
    case hornbeam_cluster_majority:judge([node() | nodes()], now_ms(), Majority) of
        {true, never} -> State#state{quorum = true};
        {true, Again} -> judge_after(Again, State#state{quorum = true});
        {false, never} -> given_up(Open, State#state{quorum = false, leader = none, waiting = queue:new(), length = 0, flying = #{}, aloft = 0})
    end.

%% A timer that runs ends no later than another would: each is for as long from when it is set.
judge_after(Again, #state{judging = false} = State) ->
    _ = erlang:send_after(Again, self(), judge),
    State#state{judging = true};
judge_after(_Again, State) ->
    State.

%% Only while something is open.
tick(#state{ticking = false, open = Open} = State) when map_size(Open) > 0 ->
    _ = erlang:send_after(?TICK, self(), tick),
    State#state{ticking = true};
tick(State) ->
    State.

now_ms() -> erlang:monotonic_time(millisecond).
