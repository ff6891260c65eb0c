%%% Results that are computed once in the whole cluster: at the home of a key it is known who computes it and who waits, and there its result is kept.
%%%
%%% Called by: hornbeam_cluster_cache_asker, by messages, in the process hornbeam_cache of any node; hornbeam_service_cache (clear/1, stats/0);
%%% hornbeam_cluster_sup. Calls: hornbeam_cache_flights (the rule, whose callers are nodes here), hornbeam_cache_store, hornbeam_cache (keep/3, clear/1),
%%% hornbeam_cluster_cache_asker (group/0), hornbeam_cluster_group, hornbeam_cluster_say.
%%%
%%%     hornbeam_cache of a node                        this process, on the key's home
%%%       {ask, Pid, Who, Key, Mode} ───────────────▶    stored: the value; or lead; or wait
%%%       ◀──────────── {hornbeam_cluster_cache, Who, compute | alone | {packed, Packed, Ttl, hits | waits} | {error, What}}
%%%       {put, Who, Packed, Ttl}, {fail, Who, What}, {leave, Who} ──▶   those who wait are told; or the next one leads
%%%       it ends, its node is gone ('DOWN') ───────▶    as leave
%%%
%%% Who is {Session, Flight}: the life of that hornbeam_cache, and one computation there, of which any number of its node's callers wait.
%%%
%%% The home is chosen by rendezvous hashing over the nodes that take part, so far as the one that asks sees: no consensus. Nodes that see different
%%% ones, during a partition or for the moment in which one comes or goes, may compute once each.
%%%
%%% A node that does not read (its link is congested) is told `alone' later, without the value: it computes for itself.
%%%
%%% Failure: this process or its node ends: those who wait, and those who compute, ask the next home.
%%% Limits: hornbeam_cache_flights (what one node asks at once), hornbeam_cache_store.
-module(hornbeam_cluster_cache_home).
-behaviour(gen_server).

-export([start_link/1, clear/1, stats/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(TIMEOUT, 60000).

-type who() :: hornbeam_cache_flights:who().
-record(state, {
    scope :: reference(),
    flights = hornbeam_cache_flights:new() :: hornbeam_cache_flights:flights(),
    nodes = #{} :: #{Session :: reference() => {pid(), Monitor :: reference()}},
    unsaid = [] :: hornbeam_cluster_say:unsaid()
}).

-spec start_link(map()) -> {ok, pid()} | {error, term()}.
start_link(_Options) ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, [], []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

%% @doc Forgets everything, or a namespace, on all nodes that are linked; how many values that were. Twice: a value that a node got from one
%% that was not yet told goes the second time.
-spec clear(all | Namespace :: binary()) -> non_neg_integer().
clear(Which) ->
    lists:sum([Count || _ <- [first, second], {_, Count} <- everywhere({clear, Which})]).

%% @doc The figures of each node that answers.
-spec stats() -> [{node(), map()}].
stats() ->
    everywhere(stats).

everywhere(Question) ->
    Asked = [{node(Pid), gen_server:send_request(Pid, Question)} || Pid <- hornbeam_cluster_group:members(hornbeam_cluster_cache_asker:group())],
    Deadline = erlang:monotonic_time(millisecond) + ?TIMEOUT,
    [{Node, Answer} || {Node, Request} <- Asked, {reply, Answer} <- [gen_server:receive_response(Request, {abs, Deadline})]].

-spec init([]) -> {ok, #state{}}.
init([]) ->
    {ok, #state{scope = hornbeam_cluster_group:join(hornbeam_cluster_cache_asker:group())}}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call({clear, Which}, _From, #state{flights = Flights} = State) ->
    {reply, hornbeam_cache:clear(Which), State#state{flights = hornbeam_cache_flights:clear(Which, Flights)}};
handle_call(stats, _From, State) ->
    {reply, hornbeam_cache_store:stats(), State};
handle_call(_Request, _From, State) ->
    {reply, {error, not_supported}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, shutdown, #state{}}.
handle_info({ask, Pid, {Session, _} = Who, Key, Mode}, State) ->
    {noreply, asked(Who, Key, Mode, monitored(Session, Pid, State))};
handle_info({put, Who, Packed, Ttl}, State) ->
    {noreply, finished(Who, {packed, Packed, Ttl, waits}, fun(Key) -> hornbeam_cache:keep(Key, Packed, Ttl) end, State)};
handle_info({fail, Who, What}, State) ->
    {noreply, finished(Who, {error, What}, fun(_Key) -> ok end, State)};
handle_info({leave, Who}, #state{flights = Flights} = State) ->
    {noreply, told(hornbeam_cache_flights:leave(Who, Flights), State)};
handle_info({timeout, _, unsaid}, #state{unsaid = Unsaid} = State) ->
    {noreply, State#state{unsaid = hornbeam_cluster_say:again(unsaid, Unsaid)}};
handle_info({'DOWN', Scope, process, _, _}, #state{scope = Scope} = State) ->
    {stop, shutdown, State};
handle_info({'DOWN', Monitor, process, _, _}, #state{nodes = Nodes, flights = Flights} = State) ->
    case [Session || {Session, {_, Of}} <- maps:to_list(Nodes), Of =:= Monitor] of
        [Session] -> {noreply, told(hornbeam_cache_flights:left(Session, Flights), State#state{nodes = maps:remove(Session, Nodes)})};
        [] -> {noreply, State}
    end;
handle_info(_Message, State) ->
    {noreply, State}.

monitored(Session, _Pid, #state{nodes = Nodes} = State) when is_map_key(Session, Nodes) -> State;
monitored(Session, Pid, #state{nodes = Nodes} = State) -> State#state{nodes = Nodes#{Session => {Pid, monitor(process, Pid)}}}.

asked(Who, Key, Mode, #state{flights = Flights0} = State) ->
    case hornbeam_cache_store:left(Key) of
        {ok, Packed, Ttl} ->
            tell({packed, Packed, Ttl, hits}, Who, State);
        error ->
            {Outcome, Flights} = hornbeam_cache_flights:ask(Who, Key, Mode, Flights0),
            Now = State#state{flights = Flights},
            case Outcome of
                wait -> Now;
                lead -> tell(compute, Who, Now);
                alone -> tell(alone, Who, Now)
            end
    end.

%% What one says who does not lead, it says as one who waits no more.
finished(Who, Answer, Keep, #state{flights = Flights0} = State) ->
    {Outcome, Flights} = hornbeam_cache_flights:finish(Who, Flights0),
    Now = State#state{flights = Flights},
    case Outcome of
        {open, Key, Waiters} -> ok = Keep(Key), tell_all(Answer, Waiters, Now);
        {closed, _, Waiters} -> tell_all(Answer, Waiters, Now);
        none -> told(hornbeam_cache_flights:leave(Who, Flights), Now)
    end.

told({Told, Flights}, State) ->
    lists:foldl(fun({Who, lead}, Before) -> tell(compute, Who, Before); ({Who, alone}, Before) -> tell(alone, Who, Before) end,
                State#state{flights = Flights}, Told).

tell_all(Answer, Waiters, State) ->
    lists:foldl(fun(Who, Before) -> tell(Answer, Who, Before) end, State, Waiters).

-spec tell(term(), who(), #state{}) -> #state{}.
tell(Answer, {Session, _} = Who, #state{nodes = Nodes, unsaid = Unsaid} = State) ->
    case Nodes of
        #{Session := {Pid, _}} ->
            State#state{unsaid = hornbeam_cluster_say:say(Pid, {hornbeam_cluster_cache, Who, Answer}, {hornbeam_cluster_cache, Who, alone},
                                                          {unsaid, Unsaid})};
        #{} ->
            State
    end.
