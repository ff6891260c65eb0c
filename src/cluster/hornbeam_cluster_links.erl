%%% Keeps this node connected to those that there should be.
%%%
%%% Called by: hornbeam_cluster_sup (start_link/1), hornbeam_cluster and hornbeam_cluster_report (join/1, forget/1, status/0); by its like on other nodes: hello, goodbye. Calls:
%%% hornbeam_cluster_discovery (who there should be) and hornbeam_cluster_connect (one try), each in a process that may wait and has a limit;
%%% hornbeam_cluster_peers (what is done when), hornbeam_cluster_hello. Tells hornbeam_cluster_engine `{discovered, [node()]}', this node included: after each look-up.
%%%
%%% It looks every ?LOOK ms; every ?LOOK_SOON in the first ?YOUNG or while nobody else is up. A look-up that fails changes nothing: the last answer
%%% holds. Links that others make are taken like its own: who is linked says hello to each other, and who is of another cluster, or speaks no protocol that
%%% both do, is cut off again. A node without this process on it is left alone: it may be somebody's own.
%%%
%%% A dead node is noticed when its sockets close (at once where its machine still runs), or when it has said nothing for net_ticktime. One that stops
%%% says goodbye first: that is no failure.
%%%
%%% Failure: restarted, it finds the links as they are and says hello anew. Limits: ?TRIES tries at a time, each for at most ?TRY ms; one look-up at a time.
-module(hornbeam_cluster_links).
-behaviour(gen_server).

-export([start_link/1, join/1, forget/1, status/0, look/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export_type([status/0]).

-define(LOOK, 5000).
-define(LOOK_SOON, 500).
-define(YOUNG, 15000).
-define(LOOK_UP, 4000).
-define(TRIES, 32).
-define(TRY, 15000).
-define(GOODBYE, 500).
-define(JOINED, 64).

-type status() :: #{name := atom(), node := node(), discovery := binary(), problem := none | binary(), nodes := [map()],
                    connects := non_neg_integer(), reconnects := non_neg_integer(), failures := #{atom() => pos_integer()}}.
-record(state, {
    options :: map(),
    mine :: hornbeam_cluster_hello:hello(),
    port :: inet:port_number() | none,
    started :: integer(),
    found = none :: none | [node()],                % by the last look-up that found something
    joined = [] :: [node()],                        % named by a person
    problem = none :: none | binary(),              % of the last look-up
    ignored = [] :: [binary()],                     % what the log has of answers that are none
    looking = none :: none | {pid(), reference()},
    tries = #{} :: #{pid() => {reference(), node()}},
    timer = none :: none | reference(),
    peers = hornbeam_cluster_peers:new() :: hornbeam_cluster_peers:peers()
}).

%% @doc Options: those of the server.
-spec start_link(map()) -> {ok, pid()} | {error, term()}.
start_link(Options) ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, Options, []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

%% @doc One more node to connect to, as long as this one runs.
-spec join(hornbeam_cluster_discovery:member()) -> {ok, node()} | {error, too_many}.
join(Member) -> gen_server:call(?MODULE, {join, Member}).

%% @doc A node that is gone for good.
-spec forget(node()) -> ok.
forget(Node) -> gen_server:cast(?MODULE, {forget, Node}).

%% @doc Looks at once who there should be.
-spec look() -> ok.
look() -> gen_server:cast(?MODULE, look).

-spec status() -> status().
status() -> gen_server:call(?MODULE, status).

-spec init(map()) -> {ok, #state{}}.
init(Options) ->
    process_flag(trap_exit, true),
    ok = net_kernel:monitor_nodes(true, [nodedown_reason]),
    Now = now_ms(),
    Peers = lists:foldl(fun(Node, P) -> hornbeam_cluster_peers:linked(Node, Now, P) end, hornbeam_cluster_peers:new(), nodes()),
    self() ! look,
    Mine = hornbeam_cluster_hello:mine(Options#{machine => hornbeam_cluster_machine:version()}),
    {ok, #state{options = Options, mine = Mine, port = port(), started = Now, peers = Peers}}.

%% Whose VM was a node before finds others in its own way, whatever that is.
port() ->
    case hornbeam_cluster_carrier:settings() of
        #{port := Port} -> Port;
        none -> none
    end.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call({hello, Theirs}, {Pid, _}, #state{mine = Mine} = State) ->
    {reply, Mine, judged(node(Pid), Theirs, State)};
handle_call({join, Member}, _From, #state{options = #{cluster_name := Name}, joined = Joined} = State) ->
    [Node] = hornbeam_cluster_discovery:nodes([Member], Name),
    case length(Joined) < ?JOINED orelse lists:member(Node, Joined) of
        true -> {reply, {ok, Node}, wanted(State#state{joined = lists:usort([Node | Joined])})};
        false -> {reply, {error, too_many}, State}
    end;
handle_call(goodbye, {Pid, _}, #state{peers = Peers} = State) ->
    {Known, After} = hornbeam_cluster_peers:goodbye(node(Pid), now_ms(), Peers),
    _ = Known andalso logger:notice("cluster: ~ts is stopping", [node(Pid)]),
    {reply, ok, State#state{peers = After}};
handle_call(status, _From, State) ->
    {reply, state_status(State), State};
%% Of a node of a later version.
handle_call(_Request, _From, State) ->
    {reply, {error, not_understood}, State}.

state_status(#state{options = #{cluster := Discovery, cluster_name := Name}, problem = Problem, peers = Peers, mine = Mine}) ->
    maps:merge(hornbeam_cluster_peers:figures(Peers),
               #{name => Name, node => node(), discovery => hornbeam_option_cluster:format(Discovery), problem => Problem, hello => Mine,
                 nodes => hornbeam_cluster_peers:describe(now_ms(), Peers)}).

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({forget, Node}, #state{joined = Joined, peers = Peers} = State) ->
    {noreply, State#state{joined = lists:delete(Node, Joined), peers = hornbeam_cluster_peers:forget(Node, Peers)}};
handle_cast(look, State) ->
    {noreply, looked(State)};
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info(look, State) ->
    _ = erlang:send_after(pause(State), self(), look),
    {noreply, looked(State)};
handle_info(due, State) ->
    {noreply, tried(State#state{timer = none})};
handle_info({nodeup, Node, _}, #state{peers = Peers} = State) ->
    {noreply, tried(State#state{peers = hornbeam_cluster_peers:linked(Node, now_ms(), Peers)})};
handle_info({nodedown, Node, Info}, #state{peers = Peers} = State) ->
    Why = proplists:get_value(nodedown_reason, Info),
    {WasUp, After} = hornbeam_cluster_peers:unlinked(Node, Why, now_ms(), rand:uniform(), Peers),
    _ = WasUp andalso logger:warning("cluster: ~ts is down (~ts)", [Node, why(Why)]),
    {noreply, tried(State#state{peers = After})};
handle_info({looked, Pid, Outcome}, #state{looking = {Pid, Monitor}} = State) ->
    true = demonitor(Monitor, [flush]),
    {noreply, found(Outcome, State#state{looking = none})};
handle_info({'DOWN', Monitor, process, Pid, Reason}, #state{looking = {Pid, Monitor}} = State) ->
    Text = case Reason of killed -> "it takes too long"; _ -> io_lib:format("~tp", [Reason]) end,
    {noreply, found({error, Text}, State#state{looking = none})};
handle_info({tried, Pid, Outcome}, #state{tries = Tries} = State) when is_map_key(Pid, Tries) ->
    {{Monitor, Node}, Left} = maps:take(Pid, Tries),
    true = demonitor(Monitor, [flush]),
    {noreply, tried(outcome(Node, Outcome, State#state{tries = Left}))};
handle_info({'DOWN', _, process, Pid, _}, #state{tries = Tries} = State) when is_map_key(Pid, Tries) ->
    {{_, Node}, Left} = maps:take(Pid, Tries),
    {noreply, tried(outcome(Node, {failed, silent}, State#state{tries = Left}))};
handle_info(_Message, State) ->
    {noreply, State}.

%% The others hear of it before the links close, so that nobody takes this for a failure.
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{options = #{cluster := Discovery}, peers = Peers}) ->
    ok = hornbeam_cluster_discovery:withdraw(Discovery, node()),
    _ = gen_server:multi_call(hornbeam_cluster_peers:up(Peers), ?MODULE, goodbye, ?GOODBYE),
    ok.

%% --- who there should be -------------------------------------------------------------------------------------------

pause(#state{started = Started, peers = Peers}) ->
    case now_ms() - Started < ?YOUNG orelse hornbeam_cluster_peers:up(Peers) =:= [] of
        true -> ?LOOK_SOON + rand:uniform(?LOOK_SOON div 2);
        false -> ?LOOK + rand:uniform(?LOOK div 5)
    end.

looked(#state{looking = none, options = #{cluster := Discovery} = Options} = State) ->
    Self = self(),
    Context = context(Options),
    Looking = limited(fun() ->
        Announced = hornbeam_cluster_discovery:announce(Discovery, node()),
        Self ! {looked, self(), case Announced of ok -> hornbeam_cluster_discovery:find(Discovery, Context); Error -> Error end}
    end, 2 * ?LOOK_UP),
    State#state{looking = Looking};
looked(State) ->
    State.

context(#{cluster_port := Port}) -> #{port => Port, timeout => ?LOOK_UP}.

%% With exit reason `killed' after the time.
limited(Fun, Time) ->
    {Pid, Monitor} = spawn_monitor(Fun),
    _ = timer:kill_after(Time, Pid),
    {Pid, Monitor}.

found({error, Text}, #state{problem = Before} = State) ->
    Problem = unicode:characters_to_binary(Text),
    _ = Problem =:= Before orelse logger:warning("cluster: who there should be is not known: ~ts; the last answer holds", [Problem]),
    wanted(State#state{problem = Problem});
found({ok, Members, Ignored}, #state{ignored = Told, problem = Before, options = #{cluster_name := Name}} = State) ->
    _ = Before =:= none orelse logger:notice("cluster: who there should be is known again"),
    Lines = [unicode:characters_to_binary(Line) || Line <- Ignored],
    _ = [logger:warning("cluster: ignored: ~ts", [Line]) || Line <- Lines -- Told],
    wanted(State#state{found = hornbeam_cluster_discovery:nodes(Members, Name), problem = none, ignored = Lines}).

wanted(#state{found = Found, joined = Joined, peers = Peers} = State) ->
    Wanted = lists:usort(case Found of none -> Joined; _ -> Found ++ Joined end) -- [node()],
    After = hornbeam_cluster_peers:wanted(Wanted, now_ms(), Peers),
    ok = hornbeam_cluster_distribution:expect(Wanted),
    ok = tell_engine(Found, lists:usort([node() | Wanted] ++ hornbeam_cluster_peers:up(After))),
    tried(State#state{peers = After}).

%% It may be restarting: the next look-up tells it again. Not before it is known who there should be: nobody shall found a cluster alone
%% because DNS was down.
tell_engine(none, _) ->
    ok;
tell_engine(_, Nodes) ->
    _ = case whereis(hornbeam_cluster_engine) of
        undefined -> ok;
        Engine -> Engine ! {discovered, Nodes}
    end,
    ok.

%% --- links ---------------------------------------------------------------------------------------------------------

%% Begins what is due, as far as there is room, and comes again for the rest.
tried(#state{tries = Tries, peers = Peers, timer = Timer} = State) ->
    {Nodes, After} = hornbeam_cluster_peers:due(now_ms(), ?TRIES - map_size(Tries), Peers),
    Begun = maps:from_list([begin_try(Node, State) || Node <- Nodes]),
    _ = Timer =:= none orelse erlang:cancel_timer(Timer),
    Next = case hornbeam_cluster_peers:next(now_ms(), After) of
        infinity -> none;
        %% Without room the end of a try is what is waited for.
        Wait -> erlang:send_after(max(Wait, 50), self(), due)
    end,
    State#state{tries = maps:merge(Tries, Begun), peers = After, timer = Next}.

begin_try(Node, #state{mine = Mine, port = Port}) ->
    Self = self(),
    {Pid, Monitor} = limited(fun() -> Self ! {tried, self(), hornbeam_cluster_connect:run(Node, Port, Mine)} end, ?TRY),
    {Pid, {Monitor, Node}}.

outcome(Node, {hello, Theirs}, State) ->
    judged(Node, Theirs, State);
outcome(Node, {failed, Cause}, #state{peers = Peers} = State) ->
    {Tell, After} = hornbeam_cluster_peers:failed(Node, Cause, now_ms(), rand:uniform(), Peers),
    _ = Tell andalso logger:warning("cluster: ~ts is not reached: ~ts", [Node, hornbeam_cluster_connect:explain(Node, Cause)]),
    State#state{peers = After}.

judged(Node, Theirs, #state{mine = Mine, peers = Peers} = State) ->
    case hornbeam_cluster_hello:judge(Theirs, Mine) of
        {ok, Hello} -> welcomed(Node, lists:member(Node, nodes()), Hello, State);
        {error, Refusal} ->
            {Tell, After} = hornbeam_cluster_peers:refused(Node, Refusal, now_ms(), rand:uniform(), Peers),
            _ = Tell andalso logger:error("cluster: ~ts is refused: ~ts", [Node, hornbeam_cluster_hello:explain(Refusal)]),
            %% Later, so that it is answered first and can say why as well.
            _ = spawn(fun() -> receive after ?GOODBYE -> erlang:disconnect_node(Node) end end),
            State#state{peers = After}
    end.

%% Its link may have ended again since it said so.
welcomed(_Node, false, _Hello, State) ->
    State;
welcomed(Node, true, Hello, #state{peers = Peers} = State) ->
    {New, After} = hornbeam_cluster_peers:welcome(Node, Hello, now_ms(), Peers),
    _ = New andalso logger:notice("cluster: ~ts is up (Hornbeam ~ts)", [Node, maps:get(version, Hello)]),
    wanted(State#state{peers = After}).

why(Reason) when Reason =:= connection_closed; Reason =:= shutdown -> "its link was closed";
why(net_tick_timeout) -> "it has said nothing for cluster_ticktime";
why(disconnect) -> "it was disconnected";
why(Reason) -> io_lib:format("~tp", [Reason]).

now_ms() -> erlang:monotonic_time(millisecond).
