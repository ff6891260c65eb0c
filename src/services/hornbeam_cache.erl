%%% Results that are computed once for equal calls, in the whole node.
%%%
%%% Owns the flights (hornbeam_cache_flights: who computes, who waits) and writes the store (hornbeam_cache_store). Called by:
%%% hornbeam_service_cache, in a worker's process, for what Python asks and says; hornbeam_services (left/1); hornbeam_state_sweeper, as
%%% hornbeam_sup tells it (sweep/0); hornbeam (configure/1); hornbeam_cluster_cache_home (keep/3, clear/1). Calls: those two, hornbeam_answer's terms; where
%%% there is a cluster hornbeam_cluster_cache_asker.
%%%
%%%     worker's process                                this process
%%%       a hit: hornbeam_cache_store:read/1
%%%       ask/6  {Who, worker, Id} into the table hornbeam_cache_asks
%%%              ─────── ask ────────────────────────▶  lead, wait, or stored meanwhile
%%%       {hornbeam_later, Session, Id, Answer} ◀────   absent: compute; a value; an error; timeout
%%%       put/3, fail/2, leave/1 ────────────────────▶  those who wait are told; or the next one leads
%%%       left/1 ────────────────────────────────────▶  the Python process has ended
%%%
%%% A worker's process never waits, and says everything in order, so a caller that gives up while its question is on the way is
%%% forgotten. Whoever leads says put, fail or leave; if its Python process ends, `left' does; if the worker's own process ends, the monitor.
%%%
%%% Shared. What the whole cluster is to compute once has a flight here, as everything has, whose leader is told nothing yet: the key's home is asked
%%% (hornbeam_cluster_cache_home), and says that this node computes, or what has come of it elsewhere. Then the leader, whoever that is by then, is told
%%% `absent', or all are told what has come. So of a node one flight asks, however many callers wait for it. Whoever waits for another node waits for
%%% something that may be a coroutine there: a `blocked' caller takes part in its own node only.
%%%
%%% Failure modes: this process ends: those who wait (hornbeam_cache_asks) compute for themselves, and the store begins empty.
%%%
%%% Limits: hornbeam_cache_flights, hornbeam_cache_store.
-module(hornbeam_cache).
-behaviour(gen_server).

-export([start_link/0, configure/1, ask/6, put/3, fail/2, leave/1, left/1, keep/3, clear/1, sweep/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(ASKS, hornbeam_cache_asks).
%% How long it may take to remove all there is.
-define(CLEAR, 60000).

-type who() :: hornbeam_cache_flights:who().
-type mode() :: hornbeam_cache_flights:mode().

-record(state, {
    flights = hornbeam_cache_flights:new() :: hornbeam_cache_flights:flights(),
    asker = none :: none | hornbeam_cluster_cache_asker:asker(),   % once something is shared
    timers = #{} :: #{who() => reference()},
    monitors = #{} :: #{reference() => {pid(), reference()}},      % by session
    sessions = #{} :: #{reference() => reference()}                % by monitor
}).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, [], []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

%% @doc Sets the limit from a server's options. One for the node: that of the server started last.
-spec configure(Options :: map()) -> ok.
configure(Options) ->
    hornbeam_cache_store:configure(Options).

%% @doc Asks for a value that is not stored. The calling worker's process gets {hornbeam_later, Session, Id, Answer}. Wait: how long, in ms,
%% the caller waits for another one's computation.
-spec ask(who(), Id :: pos_integer(), hornbeam_cache_store:key(), mode() | {shared, mode()},
          Wait :: pos_integer() | none, Worker :: pid()) -> ok.
ask(Who, Id, Key, Mode, Wait, Worker) ->
    true = ets:insert(?ASKS, {Who, Worker, Id}),
    gen_server:cast(?MODULE, {ask, Who, Worker, Key, Mode, Wait}).

%% @doc The leader has computed.
-spec put(who(), Packed :: binary(), Ttl :: pos_integer() | infinity) -> ok.
put(Who, Packed, Ttl) ->
    gen_server:cast(?MODULE, {put, Who, Packed, Ttl}).

%% @doc The leader could not: what, as Python has described it.
-spec fail(who(), [term()]) -> ok.
fail(Who, What) ->
    gen_server:cast(?MODULE, {fail, Who, What}).

%% @doc A caller has given up.
-spec leave(who()) -> ok.
leave(Who) ->
    gen_server:cast(?MODULE, {leave, Who}).

%% @doc A Python process has ended.
-spec left(Session :: reference()) -> ok.
left(Session) ->
    gen_server:cast(?MODULE, {left, Session}).

%% @doc Keeps what another node has computed.
-spec keep(hornbeam_cache_store:key(), Packed :: binary(), Ttl :: pos_integer() | infinity) -> ok.
keep(Key, Packed, Ttl) ->
    %% While it restarts there is no place to keep it in.
    try gen_server:call(?MODULE, {keep, Key, Packed, Ttl}, infinity)
    catch exit:_ -> ok
    end.

%% @doc Forgets everything, or a namespace; how many values that were. What is being computed is not stored.
-spec clear(all | Namespace :: binary()) -> non_neg_integer().
clear(Which) ->
    gen_server:call(?MODULE, {clear, Which}, ?CLEAR).

%% @doc Now and then: has removed what has expired.
-spec sweep() -> ok.
sweep() ->
    case hornbeam_cache_store:has_expired() of
        true -> gen_server:cast(?MODULE, sweep);
        false -> ok
    end.

-spec init([]) -> {ok, #state{}}.
init([]) ->
    ok = hornbeam_cache_store:new(),
    lists:foreach(fun({Who, _, _}) -> tell(absent, Who) end, ets:tab2list(?ASKS)),
    {ok, #state{}}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call({clear, Which}, _From, #state{flights = Flights} = State) ->
    {reply, hornbeam_cache_store:clear(Which), State#state{flights = hornbeam_cache_flights:clear(Which, Flights)}};
handle_call({keep, Key, Packed, Ttl}, _From, State) ->
    _ = hornbeam_cache_store:write(Key, Packed, Ttl),
    {reply, ok, State};
handle_call(_Request, _From, State) ->
    {reply, {error, not_supported}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({ask, {Session, _} = Who, Worker, Key, Mode, Wait}, State) ->
    {noreply, asked(Who, Key, how(Mode), Wait, monitored(Session, Worker, State))};
handle_cast({put, Who, Packed, Ttl}, State) ->
    Said = said(Who, {put, Packed, Ttl}, State),
    {noreply, finished(Who, {packed, Packed}, fun(Key) -> hornbeam_cache_store:write(Key, Packed, Ttl) end, Said)};
handle_cast({fail, Who, What}, State) ->
    {noreply, finished(Who, {error, computation_error, What}, fun(_Key) -> ok end, said(Who, {fail, What}, State))};
handle_cast({leave, Who}, State) ->
    true = ets:delete(?ASKS, Who),
    {noreply, leave(Who, State)};
handle_cast({left, Session}, State) ->
    {noreply, session_left(Session, State)};
handle_cast(sweep, State) ->
    ok = hornbeam_cache_store:remove_expired(),
    {noreply, State};
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({timeout, Timer, {late, Who}}, #state{timers = Timers} = State) ->
    case Timers of
        #{Who := Timer} ->
            tell({error, timeout, <<"the computation of another caller has not ended in time">>}, Who),
            {noreply, leave(Who, State)};
        #{} ->
            {noreply, State}
    end;
handle_info({'DOWN', Monitor, process, Pid, _}, #state{sessions = Sessions} = State) ->
    case Sessions of
        #{Monitor := Session} -> {noreply, session_left(Session, State)};
        #{} -> {noreply, home_down(Pid, State)}
    end;
handle_info({hornbeam_cluster_cache, Asked, Answer}, #state{asker = Asker0} = State) when Asker0 =/= none ->
    {Outcome, Asker} = hornbeam_cluster_cache_asker:heard(Asked, Answer, Asker0),
    {noreply, heard(Outcome, element(2, Asked), State#state{asker = Asker})};
handle_info({timeout, _, hornbeam_cluster_cache_asker}, #state{asker = Asker} = State) when Asker =/= none ->
    {noreply, State#state{asker = hornbeam_cluster_cache_asker:again(Asker)}};
handle_info(_Message, State) ->
    {noreply, State}.

%%% The caller asks

%% With whom it is shared, and as what it waits.
how({shared, blocked}) -> {node, blocked};
how({shared, Mode}) -> case hornbeam_cluster:enabled() of true -> {cluster, coroutine}; false -> {node, Mode} end;
how(Mode) -> {node, Mode}.

asked(Who, {Namespace, _} = Key, {With, Mode}, Wait, #state{flights = Flights0} = State) ->
    case hornbeam_cache_store:peek(Key) of
        {ok, Packed} ->
            ok = hornbeam_cache_store:count(hits, Namespace),
            tell({packed, Packed}, Who),
            State;
        error ->
            {Outcome, Flights} = hornbeam_cache_flights:ask(Who, Key, Mode, Flights0),
            decided(Outcome, With, Who, Key, Wait, State#state{flights = Flights})
    end.

decided(wait, _With, Who, {Namespace, _}, Wait, State) ->
    ok = hornbeam_cache_store:count(waits, Namespace),
    timed(Who, Wait, State);
decided(lead, cluster, Who, Key, Wait, #state{flights = Flights} = State) ->
    case hornbeam_cluster_cache_asker:ask(hornbeam_cache_flights:led(Who, Flights), Key, coroutine, asker(State)) of
        {asking, Asker} -> timed(Who, Wait, State#state{asker = Asker});
        {alone, Asker} -> computes(Who, Key, State#state{asker = Asker})
    end;
decided(_LeadOrAlone, _With, Who, Key, _Wait, State) ->
    computes(Who, Key, State).

computes(Who, {Namespace, _}, State) ->
    ok = hornbeam_cache_store:count(misses, Namespace),
    tell(absent, Who),
    untimed(Who, State).

asker(#state{asker = none}) -> hornbeam_cluster_cache_asker:new();
asker(#state{asker = Asker}) -> Asker.

timed(_Who, none, State) ->
    State;
timed(Who, Wait, #state{timers = Timers} = State) ->
    State#state{timers = Timers#{Who => erlang:start_timer(Wait, self(), {late, Who})}}.

untimed(Who, #state{timers = Timers} = State) when is_map_key(Who, Timers) ->
    {Timer, Others} = maps:take(Who, Timers),
    _ = erlang:cancel_timer(Timer),
    State#state{timers = Others};
untimed(_Who, State) ->
    State.

%% A caller that is not in the table any more has been told, or has given up.
tell(Answer, {Session, _} = Who) ->
    case ets:take(?ASKS, Who) of
        [{_, Worker, Id}] -> Worker ! {hornbeam_later, Session, Id, Answer}, ok;
        [] -> ok
    end.

%%% The leader is done

finished(Who, Answer, Store, #state{flights = Flights0} = State) ->
    {Outcome, Flights} = hornbeam_cache_flights:finish(Who, Flights0),
    Waiters = case Outcome of
        {open, Key, Those} -> _ = Store(Key), Those;
        {closed, _, Those} -> Those;
        none -> []
    end,
    lists:foreach(fun(Waiter) -> tell(Answer, Waiter) end, Waiters),
    lists:foldl(fun untimed/2, State#state{flights = Flights}, Waiters).

leave(Who, #state{flights = Flights0} = State) ->
    {Told, Flights} = hornbeam_cache_flights:leave(Who, Flights0),
    Left = told(Told, untimed(Who, State#state{flights = Flights})),
    case hornbeam_cache_flights:led(Who, Flights0) of
        none -> Left;
        Flight -> ended([Flight], Left)
    end.

%% Whoever leads on, or alone, computes: unless it is not known yet whether this node does.
told(Told, State) ->
    lists:foldl(fun({Who, _}, #state{flights = Flights} = Before) ->
        case is_asking(hornbeam_cache_flights:led(Who, Flights), Before) of
            true -> Before;
            false -> tell(absent, Who), untimed(Who, Before)
        end
    end, State, Told).

%%% What the cluster shares

is_asking(_Flight, #state{asker = none}) -> false;
is_asking(Flight, #state{asker = Asker}) -> hornbeam_cluster_cache_asker:is_asking(Flight, Asker).

said(_Who, _How, #state{asker = none} = State) ->
    State;
said(Who, How, #state{asker = Asker, flights = Flights} = State) ->
    State#state{asker = hornbeam_cluster_cache_asker:finish(hornbeam_cache_flights:led(Who, Flights), How, Asker)}.

%% Of these flights, or of all, those that are over have left their homes.
ended(_Which, #state{asker = none} = State) -> State;
ended(Which, #state{asker = Asker, flights = Flights} = State) ->
    State#state{asker = hornbeam_cluster_cache_asker:ended(Which, fun(Flight) -> hornbeam_cache_flights:leader(Flight, Flights) =:= error end, Asker)}.

heard(nothing, _Flight, State) ->
    State;
heard(Outcome, Flight, #state{flights = Flights} = State) ->
    {ok, Who} = hornbeam_cache_flights:leader(Flight, Flights),
    heard(Outcome, Who, hornbeam_cache_flights:key(Flight, Flights), State).

heard(compute, Who, Key, State) ->
    computes(Who, Key, State);
heard({packed, Packed, Ttl, Figure}, Who, {Namespace, _}, State) ->
    ok = hornbeam_cache_store:count(Figure, Namespace),
    tell({packed, Packed}, Who),
    finished(Who, {packed, Packed}, fun(Key) -> hornbeam_cache_store:write(Key, Packed, Ttl) end, untimed(Who, State));
heard({error, What}, Who, {Namespace, _}, State) ->
    ok = hornbeam_cache_store:count(waits, Namespace),
    tell({error, computation_error, What}, Who),
    finished(Who, {error, computation_error, What}, fun(_Key) -> ok end, untimed(Who, State)).

home_down(_Pid, #state{asker = none} = State) ->
    State;
home_down(Pid, #state{asker = Asker0} = State) ->
    case hornbeam_cluster_cache_asker:down(Pid, Asker0) of
        {Alone, Asker} -> lists:foldl(fun(Flight, Before) -> heard(compute, Flight, Before) end, State#state{asker = Asker}, Alone);
        other -> State
    end.

%%% Python processes

monitored(Session, _Worker, #state{monitors = Monitors} = State) when is_map_key(Session, Monitors) ->
    State;
monitored(Session, Worker, #state{monitors = Monitors, sessions = Sessions} = State) ->
    Monitor = erlang:monitor(process, Worker),
    State#state{monitors = Monitors#{Session => {Worker, Monitor}}, sessions = Sessions#{Monitor => Session}}.

session_left(Session, #state{monitors = Monitors} = State) when is_map_key(Session, Monitors) ->
    {{_, Monitor}, Others} = maps:take(Session, Monitors),
    true = erlang:demonitor(Monitor, [flush]),
    true = ets:match_delete(?ASKS, {{Session, '_'}, '_', '_'}),
    #state{flights = Flights0, timers = Timers, sessions = Sessions} = State,
    {Told, Flights} = hornbeam_cache_flights:left(Session, Flights0),
    Left = [Who || {Of, _} = Who <- maps:keys(Timers), Of =:= Session],
    Now = told(Told, lists:foldl(fun untimed/2, State#state{flights = Flights, monitors = Others,
                                                            sessions = maps:remove(Monitor, Sessions)}, Left)),
    ended(all, Now);
session_left(_Session, State) ->
    State.
