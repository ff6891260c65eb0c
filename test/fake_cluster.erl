%%% A cluster of one for tests of the locks: the pure part, with a clock that the test moves. Commands can be held back, or refused.
-module(fake_cluster).
-behaviour(gen_server).

-export([start_link/0, ask/0, pass/1, say/1, commands/0, apply_as/1, counts/0]).
-export([init/1, handle_call/3, handle_cast/2]).

%% mode: how commands are answered. normal; {error, Reason}, without being applied; doubt, applied but with events and answers lost.
-record(state, {leases, index = 1, now = 0, mode = normal, commands = [] :: [term()]}).

start_link() -> gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc What hornbeam_cluster_locks is started with.
ask() -> fun(Operation) -> {ok, {whereis(?MODULE), {command, Operation}}} end.

%% @doc So many ms pass in the cluster's time.
pass(Ms) -> gen_server:call(?MODULE, {pass, Ms}).

say(Mode) -> gen_server:call(?MODULE, {say, Mode}).

commands() -> gen_server:call(?MODULE, commands).

counts() -> gen_server:call(?MODULE, {query, counts}).

%% @doc A command of another node.
apply_as(Op) -> gen_server:call(?MODULE, {apply, Op}).

init([]) -> {ok, #state{leases = hornbeam_cluster_leases:new()}}.

handle_call({pass, Ms}, _From, #state{now = Now0, index = Index, leases = Leases} = State) ->
    Now = Now0 + Ms,
    {Events, Left} = hornbeam_cluster_leases:expire(#{index => Index, now => Now}, Leases),
    tell(Index, Events, State),
    {reply, Events, State#state{now = Now, index = Index + 1, leases = Left}};
handle_call({say, Mode}, _From, State) ->
    {reply, ok, State#state{mode = Mode}};
handle_call(commands, _From, #state{commands = Commands} = State) ->
    {reply, lists:reverse(Commands), State#state{commands = []}};
handle_call({command, {leases, Op}}, _From, #state{mode = {error, Reason}, commands = Commands} = State) ->
    {reply, {error, Reason}, State#state{commands = [Op | Commands]}};
handle_call({command, {leases, Op}}, _From, #state{mode = doubt, commands = Commands} = State) ->
    {_, Next} = applied(Op, State),
    {reply, {error, in_doubt}, Next#state{commands = [Op | Commands]}};
handle_call({command, {leases, Op}}, _From, #state{commands = Commands} = State) ->
    {Reply, Next} = applied(Op, State),
    {reply, {ok, Reply}, Next#state{commands = [Op | Commands]}};
handle_call({query, Question}, _From, #state{leases = Leases, now = Now} = State) ->
    {reply, hornbeam_cluster_leases:query(Question, Now, Leases), State};
handle_call({apply, Op}, _From, State) ->
    {Reply, Next} = applied(Op, State),
    {reply, Reply, Next}.

handle_cast(_, State) -> {noreply, State}.

applied(Op, #state{leases = Leases, index = Index, now = Now} = State) ->
    {Reply, Events, Left} = hornbeam_cluster_leases:apply(Op, #{index => Index, now => Now}, Leases),
    tell(Index, Events, State),
    {Reply, State#state{leases = Left, index = Index + 1}}.

tell(_Index, _Events, #state{mode = doubt}) -> ok;
tell(_Index, [], _) -> ok;
tell(Index, Events, _) -> hornbeam_cluster_locks ! {hornbeam_cluster, leases, Index, Events}.
