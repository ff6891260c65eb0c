%%% Keeps the workers of one application and chooses one for each request.
%%%
%%% Called by: hornbeam_stream and hornbeam_websocket (checkout/1, wait/3), hornbeam_worker (ready/2,
%%% lost/2, capacity/1), hornbeam_listener (await_ready/2). Calls: hornbeam_worker_sup.
%%%
%%% Choosing a worker is no message: the pool publishes the slots of its ready workers in ETS, and the
%%% connection process itself takes the least loaded one by its atomic counters. The pool is asked only when all
%%% places are taken, or no worker is ready (all just died, or a reload is at its narrowest): then a
%%% request waits here, first come first served.
%%%
%%% Waiting: a connection takes one of `max_queue' places (an atomic counter) and casts `wait'. When a place
%%% may be free the pool sends `{Owner, try_again}' to the waiter at the head, which then checks out by
%%% itself: no place is ever given to a request that has gone meanwhile. The waiter keeps its own
%%% deadline and casts `cancel' when it leaves. A waiter that loses the race for the place waits again, at the head.
%%%
%%% States of the pool: `starting' until all workers were ready once (a failure then fails the whole
%%% start), then `running'.
-module(hornbeam_pool).
-behaviour(gen_server).

-export([start_link/2, await_ready/2, checkout/1, wait/3, cancel/2, info/1, stats/1]).
-export([ready/3, lost/3, capacity/1]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export_type([id/0, owner/0]).

-include("hornbeam.hrl").

-type id() :: {Server :: atom(), Prefix :: binary()}.
%% Who waits for an answer: a message `{Owner, Event}' to Pid reaches it. For a Cowboy stream the tag is its id.
-type owner() :: {pid(), Tag :: term()}.

%% A row of the table hornbeam_pools.
-record(row, {
    id :: id(),
    pool :: pid(),
    max_load :: pos_integer(),
    max_queue :: non_neg_integer(),
    shared :: atomics:atomics_ref(),
    slots :: tuple()
}).
%% The counters in `shared'.
-define(WAITING, 1).
-define(ROTATION, 2).

-record(member, {
    number :: pos_integer(),
    slot :: #slot{} | undefined,
    state = starting :: starting | ready | lost
}).

-record(state, {
    id :: id(),
    sup :: pid(),
    worker_sup :: pid() | undefined,
    mount :: hornbeam_mounts:mount(),
    shared :: atomics:atomics_ref(),
    %% Static after init/1; by what is running:
    members = #{} :: #{pid() => #member{}},
    phase = starting :: starting | running | {failed, term()},
    awaiting = [] :: [gen_server:from()],
    queue = queue:new() :: queue:queue(owner())
}).

-spec start_link(PoolSup :: pid(), hornbeam_mounts:mount()) -> {ok, pid()} | {error, term()}.
start_link(Sup, Mount) ->
    gen_server:start_link(?MODULE, {Sup, Mount}, []).

%% @doc Returns when every worker has been ready, or with the first failure. Timeout in ms.
-spec await_ready(id(), timeout()) -> ok | {error, term()}.
await_ready(Id, Timeout) ->
    [#row{pool = Pool}] = ets:lookup(hornbeam_pools, Id),
    try gen_server:call(Pool, await_ready, Timeout)
    catch exit:{timeout, _} -> {error, {startup_timeout, Id}}
    end.

%% @doc Takes a place on the least loaded ready worker and the id of a new stream on it. The place is
%% given back by the worker, when the stream ends or when it refuses it.
-spec checkout(id()) -> {ok, #slot{}, hornbeam_frame:stream_id()} | none.
checkout(Id) ->
    case ets:lookup(hornbeam_pools, Id) of
        [#row{slots = Slots, max_load = MaxLoad, shared = Shared}] when Slots =/= {} ->
            Size = tuple_size(Slots),
            First = atomics:add_get(Shared, ?ROTATION, 1) rem Size,
            take(least_loaded(Slots, Size, First, Size, none, MaxLoad), MaxLoad);
        _ ->
            none
    end.

%% The rotation makes equals take turns.
least_loaded(_Slots, _Size, _At, 0, Best, _BestLoad) ->
    Best;
least_loaded(Slots, Size, At, Left, Best, BestLoad) ->
    #slot{counters = Counters} = Slot = element(At + 1, Slots),
    Load = atomics:get(Counters, ?SLOT_LOAD),
    Next = (At + 1) rem Size,
    case Load < BestLoad andalso atomics:get(Counters, ?SLOT_OPEN) =:= 1 of
        true -> least_loaded(Slots, Size, Next, Left - 1, Slot, Load);
        false -> least_loaded(Slots, Size, Next, Left - 1, Best, BestLoad)
    end.

take(none, _MaxLoad) ->
    none;
take(#slot{counters = Counters} = Slot, MaxLoad) ->
    case atomics:add_get(Counters, ?SLOT_LOAD, 1) of
        Load when Load =< MaxLoad ->
            {ok, Slot, atomics:add_get(Counters, ?SLOT_NEXT_ID, 1) band 16#ffffffff};
        _ ->
            atomics:sub(Counters, ?SLOT_LOAD, 1),
            none
    end.

%% @doc Waits for a place: `{Owner, try_again}' arrives when checkout/1 is worth another try.
%% Where: `back' at first, `front' after a lost race.
-spec wait(id(), owner(), front | back) -> ok | {error, queue_full | no_pool}.
wait(Id, Owner, Where) ->
    case ets:lookup(hornbeam_pools, Id) of
        [#row{pool = Pool, shared = Shared, max_queue = Max}] ->
            case atomics:add_get(Shared, ?WAITING, 1) of
                Waiting when Waiting =< Max; Where =:= front ->
                    gen_server:cast(Pool, {wait, Owner, Where});
                _ ->
                    atomics:sub(Shared, ?WAITING, 1),
                    {error, queue_full}
            end;
        [] ->
            {error, no_pool}
    end.

%% @doc The owner waits no longer (its client has gone, or its deadline has passed).
-spec cancel(id(), owner()) -> ok.
cancel(Id, Owner) ->
    case ets:lookup(hornbeam_pools, Id) of
        [#row{pool = Pool}] -> gen_server:cast(Pool, {cancel, Owner});
        [] -> ok
    end.

%% @doc A worker takes requests from now on.
-spec ready(Pool :: pid(), Worker :: pid(), #slot{}) -> ok.
ready(Pool, Worker, Slot) ->
    gen_server:cast(Pool, {ready, Worker, Slot}).

%% @doc A worker's Python process has ended; the worker itself goes on and starts another.
-spec lost(Pool :: pid(), Worker :: pid(), Reason :: term()) -> ok.
lost(Pool, Worker, Reason) ->
    gen_server:cast(Pool, {lost, Worker, Reason}).

%% @doc A worker with waiters in the pool has become less loaded.
-spec capacity(Pool :: pid()) -> ok.
capacity(Pool) ->
    gen_server:cast(Pool, capacity).

%% @doc What the workers are doing, for a person: one map per worker.
-spec info(id()) -> [map()].
info(Id) ->
    case ets:lookup(hornbeam_pools, Id) of
        [#row{pool = Pool}] -> gen_server:call(Pool, info);
        [] -> []
    end.

%% @doc Requests in progress and waiting, read without asking any process.
-spec stats(id()) -> #{in_flight := non_neg_integer(), waiting := non_neg_integer(),
                       ready := non_neg_integer()}.
stats(Id) ->
    case ets:lookup(hornbeam_pools, Id) of
        [#row{slots = Slots, shared = Shared}] ->
            Counters = [C || #slot{counters = C} <- tuple_to_list(Slots)],
            #{in_flight => lists:sum([atomics:get(C, ?SLOT_LOAD) || C <- Counters]),
              waiting => max(0, atomics:get(Shared, ?WAITING)),
              ready => length(Counters)};
        [] ->
            #{in_flight => 0, waiting => 0, ready => 0}
    end.

-spec init({pid(), hornbeam_mounts:mount()}) -> {ok, #state{}, {continue, start_workers}}.
init({Sup, #mount{pool = Id} = Mount}) ->
    process_flag(trap_exit, true),
    State = #state{id = Id, sup = Sup, mount = Mount, shared = atomics:new(2, [])},
    publish(State),
    {ok, State, {continue, start_workers}}.

-spec handle_continue(start_workers, #state{}) -> {noreply, #state{}}.
handle_continue(start_workers, #state{sup = Sup, mount = Mount} = State0) ->
    State = State0#state{worker_sup = hornbeam_pool_sup:worker_sup(Sup)},
    #mount{settings = #{workers := Workers}} = Mount,
    {noreply, lists:foldl(fun start_worker/2, State, lists:seq(1, Workers))}.

start_worker(Number, #state{worker_sup = Sup, mount = Mount, shared = Shared} = State) ->
    Config = #{number => Number, pool => self(), waiting => {Shared, ?WAITING}, mount => Mount},
    {ok, Worker} = hornbeam_worker_sup:start_worker(Sup, Config),
    _ = monitor(process, Worker),
    Members = (State#state.members)#{Worker => #member{number = Number}},
    State#state{members = Members}.

-spec handle_call(term(), gen_server:from(), #state{}) ->
    {reply, term(), #state{}} | {noreply, #state{}}.
handle_call(await_ready, _From, #state{phase = running} = State) ->
    {reply, ok, State};
handle_call(await_ready, _From, #state{phase = {failed, Reason}} = State) ->
    {reply, {error, Reason}, State};
handle_call(await_ready, From, #state{awaiting = Awaiting} = State) ->
    {noreply, State#state{awaiting = [From | Awaiting]}};
handle_call(info, _From, #state{members = Members} = State) ->
    Infos = [member_info(Worker, Member) || {Worker, Member} <- maps:to_list(Members)],
    {reply, lists:sort(fun(#{number := A}, #{number := B}) -> A =< B end, Infos), State}.

member_info(Worker, #member{number = Number, state = State}) ->
    maps:merge(#{number => Number, state => State}, hornbeam_worker:info(Worker)).

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({wait, Owner, Where}, #state{queue = Queue0} = State) ->
    Queue = case Where of
        back -> queue:in(Owner, Queue0);
        front -> queue:in_r(Owner, Queue0)
    end,
    {noreply, wake(State#state{queue = Queue})};
handle_cast({cancel, Owner}, #state{queue = Queue0, shared = Shared} = State) ->
    case queue:member(Owner, Queue0) of
        true ->
            atomics:sub(Shared, ?WAITING, 1),
            {noreply, State#state{queue = queue:delete(Owner, Queue0)}};
        false ->
            %% It was woken and leaves without using the place: the next one may have it.
            {noreply, wake(State)}
    end;
handle_cast(capacity, State) ->
    {noreply, wake(State)};
handle_cast({ready, Worker, Slot}, #state{members = Members} = State0) ->
    case Members of
        #{Worker := Member} ->
            State = set_member(Worker, Member#member{slot = Slot, state = ready}, State0),
            {noreply, wake(became_ready(State))};
        _ ->
            {noreply, State0}
    end;
handle_cast({lost, Worker, Reason}, #state{members = Members} = State) ->
    case Members of
        #{Worker := Member} ->
            {noreply, start_failed(Reason, set_member(Worker, Member#member{state = lost}, State))};
        _ ->
            {noreply, State}
    end.

-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({'DOWN', _, process, Worker, Reason}, #state{members = Members} = State0) ->
    {#member{number = Number}, Rest} = maps:take(Worker, Members),
    State = State0#state{members = Rest},
    publish(State),
    logger:error("worker ~b of ~ts ended unexpectedly and is replaced: ~tp",
                 [Number, name(State), Reason]),
    {noreply, start_worker(Number, State)};
handle_info({'ETS-TRANSFER', Streams, _Worker, streams}, State) ->
    %% A worker process was killed: whoever waited for it is told here.
    hornbeam_worker:fail_streams(Streams),
    true = ets:delete(Streams),
    {noreply, State};
handle_info({'EXIT', _, Reason}, State) ->
    {stop, Reason, State}.

-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{id = Id}) ->
    true = ets:delete(hornbeam_pools, Id),
    ok.

set_member(Worker, Member, #state{members = Members} = State0) ->
    State = State0#state{members = Members#{Worker => Member}},
    publish(State),
    State.

became_ready(#state{phase = starting, members = Members, awaiting = Awaiting} = State) ->
    case lists:all(fun(#member{state = S}) -> S =:= ready end, maps:values(Members)) of
        true ->
            _ = [gen_server:reply(From, ok) || From <- Awaiting],
            State#state{phase = running, awaiting = []};
        false ->
            State
    end;
became_ready(State) ->
    State.

start_failed(Reason, #state{phase = starting, awaiting = Awaiting} = State) ->
    _ = [gen_server:reply(From, {error, Reason}) || From <- Awaiting],
    State#state{phase = {failed, Reason}, awaiting = []};
start_failed(_Reason, State) ->
    State.

publish(#state{id = Id, members = Members, shared = Shared, mount = Mount}) ->
    #mount{settings = #{max_concurrency := MaxLoad, max_queue := MaxQueue}} = Mount,
    Slots = [Slot || #member{state = ready, slot = Slot} <- maps:values(Members)],
    true = ets:insert(hornbeam_pools, #row{id = Id, pool = self(), max_load = MaxLoad,
                                           max_queue = MaxQueue, shared = Shared,
                                           slots = list_to_tuple(Slots)}),
    ok.

%% Wakes as many waiters as there may be free places.
wake(#state{queue = Queue} = State) ->
    case queue:is_empty(Queue) of
        true -> State;
        false -> wake(free_places(State), State)
    end.

wake(0, State) ->
    State;
wake(Free, #state{queue = Queue0, shared = Shared} = State) ->
    case queue:out(Queue0) of
        {empty, _} ->
            State;
        {{value, {Pid, _} = Owner}, Queue} ->
            atomics:sub(Shared, ?WAITING, 1),
            %% One that was killed has not cancelled, and would waste the place.
            case is_process_alive(Pid) of
                true ->
                    Pid ! {Owner, try_again},
                    wake(Free - 1, State#state{queue = Queue});
                false ->
                    wake(Free, State#state{queue = Queue})
            end
    end.

free_places(#state{members = Members, mount = #mount{settings = #{max_concurrency := Max}}}) ->
    lists:sum([max(0, Max - atomics:get(Counters, ?SLOT_LOAD))
               || #member{state = ready, slot = #slot{counters = Counters}} <- maps:values(Members),
                  atomics:get(Counters, ?SLOT_OPEN) =:= 1]).

name(#state{mount = #mount{app = App}}) ->
    App.
