%%% Keeps the workers of one application and chooses one for each request.
%%%
%%% Called by: hornbeam_exchange and hornbeam_call_stream (checkout/1,2, wait/3), hornbeam_worker by
%%% hornbeam_worker_report, hornbeam_server (await_ready/2), hornbeam_listener (stop_by/2, farewell/1), hornbeam_server_pools (prepare/2,
%%% commit/1, abort/1). Calls: hornbeam_pool_choice, hornbeam_pool_plan (who is started, drained), hornbeam_pool_waiting, _watch, hornbeam_worker_sup,
%%% hornbeam_hook_registry (close/1).
%%%
%%% Choosing a worker is no message: the pool publishes the slots of its ready workers in ETS, and the
%%% connection process itself takes the least loaded one by its atomic counters. The pool is asked only when all
%%% places are taken, or no worker is ready (all just died, or a reload is at its narrowest): hornbeam_pool_waiting.
%%%
%%% A worker that is late (its loop does not answer, see hornbeam_worker_health) or behind (its Erlang process does not, see
%%% hornbeam_pool_watch) is chosen only when no other is open.
%%%
%%% Reload: prepare/2 starts a generation of workers beside the one that serves and returns when all of it is ready (or the
%%% first of it has failed, and then nothing has changed); commit/1 gives it the traffic and drains the others. In between
%%% the caller is monitored. The first start is the same: a failure then fails the whole start.
%%%
%%% After a crash: the server is open already, and nobody waits for an answer. The workers are started like those that have died:
%%% each is tried until it is ready. Who waited in the queue of the pool that crashed waits until its own deadline.
-module(hornbeam_pool).
-behaviour(gen_server).

-export([start_link/2, await_ready/2, checkout/1, checkout/2, wait/3, cancel/2, all_workers/1, members/1, info/1, stats/1, describe/1]).
-export([prepare/2, prepared/1, commit/1, abort/1, relieve/3, stop_by/2, farewell/1]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2, format_status/1]).
-export_type([id/0, owner/0]).

-include("hornbeam.hrl").

-type id() :: {Server :: atom(), Place :: binary() | {service, Name :: binary()}}.
%% Who waits for an answer: a message `{Owner, Event}' to Pid reaches it. On HTTP/2 the tag is the stream's id.
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
-define(REFUSED, 3).        % requests for which the queue had no place
-define(RESTARTS, 4).       % Python processes that ended although nobody wanted it
-define(RETIRED, 5).        % workers replaced at a limit (hornbeam_worker_retirement:reason())
-define(SHARED_SIZE, 5).

-record(member, {
    key :: hornbeam_pool_plan:key(),
    slot :: #slot{} | undefined
}).
%% Who asked for a generation: the answer's address, and the mount that it runs with.
-record(preparing, {
    from :: gen_server:from() | first_start,
    monitor :: reference() | undefined,
    mount :: hornbeam_mounts:mount(),
    preload = none :: hornbeam_preload:preload()
}).

-record(state, {
    id :: id(),
    sup :: pid(),
    worker_sup :: pid() | undefined,
    shared :: atomics:atomics_ref(),
    %% Static after init/1; changed by a reload:
    mount :: hornbeam_mounts:mount(),
    preload = none :: hornbeam_preload:preload(),
    preparing :: #preparing{} | undefined,
    %% By what is running:
    plan = hornbeam_pool_plan:new() :: hornbeam_pool_plan:plan(),
    members = #{} :: #{pid() => #member{}},
    phase = starting :: starting | running | {failed, term()},
    slots = [] :: [#slot{}],            % those that are published
    awaiting = [] :: [gen_server:from()],
    waiting :: hornbeam_pool_waiting:waiting(),
    watch = hornbeam_pool_watch:new() :: hornbeam_pool_watch:watch()
}).

-spec start_link(PoolSup :: pid(), id()) -> {ok, pid()} | {error, term()}.
start_link(Sup, Id) ->
    gen_server:start_link(?MODULE, {Sup, Id}, []).

%% @doc Returns when every worker has been ready, or with the first failure. Timeout in ms.
-spec await_ready(id(), timeout()) -> ok | {error, term()}.
await_ready(Id, Timeout) ->
    [#row{pool = Pool}] = ets:lookup(hornbeam_pools, Id),
    try gen_server:call(Pool, await_ready, Timeout)
    catch exit:{timeout, _} -> {error, {startup_timeout, Id}}
    end.

%% @doc Takes a place on the least loaded ready worker and the id of a new stream on it. The place is
%% given back by the worker, when the stream ends or when it refuses it.
-spec checkout(id()) -> hornbeam_pool_choice:taken() | none.
checkout(Id) -> checkout(Id, any).

%% @doc The same for a request that belongs to a worker, or a call.
-spec checkout(id(), any | call | hornbeam_pool_affinity:belongs()) -> hornbeam_pool_choice:taken() | {moved, hornbeam_pool_choice:taken()} | none.
checkout(Id, Belongs) ->
    case ets:lookup(hornbeam_pools, Id) of
        [#row{slots = Slots, max_load = MaxLoad, shared = Shared}] when Slots =/= {} ->
            hornbeam_pool_choice:take(Belongs, Slots, fun() -> atomics:add_get(Shared, ?ROTATION, 1) end, MaxLoad);
        _ -> none
    end.

%% @doc Waits for a place: `{Owner, try_again}' arrives when checkout/1 is worth another try.
%% Where: `back' at first, `front' after a lost race.
-spec wait(id(), owner(), front | back) -> ok | {error, queue_full | no_pool}.
wait(Id, Owner, Where) ->
    case ets:lookup(hornbeam_pools, Id) of
        [#row{pool = Pool, shared = Shared, max_queue = Max}] ->
            %% One that was killed has left its row, and a successor that is on its way will not know who waits.
            case is_process_alive(Pool) of
                true -> enter(Pool, Owner, Where, Max, Shared);
                false -> {error, no_pool}
            end;
        [] -> {error, no_pool}
    end.

enter(Pool, Owner, Where, Max, Shared) ->
    case hornbeam_pool_waiting:enter(Where, Max, {Shared, ?WAITING}) of
        true -> gen_server:cast(Pool, {wait, Owner, Where});
        false -> atomics:add(Shared, ?REFUSED, 1), {error, queue_full}
    end.

%% @doc The owner waits no longer (its client has gone, or its deadline has passed).
-spec cancel(id(), owner()) -> ok.
cancel(Id, Owner) ->
    case ets:lookup(hornbeam_pools, Id) of
        [#row{pool = Pool}] -> gen_server:cast(Pool, {cancel, Owner});
        [] -> ok
    end.

%% @doc Starts a generation of workers for a mount's new settings. prepared/1 returns when all are ready. Nothing is
%% sent to them before commit/1. After an error nothing of them is left.
-spec prepare(id(), hornbeam_mounts:mount()) -> gen_server:request_id() | {error, term()}.
prepare(Id, Mount) ->
    with_pool(Id, fun(Pool) -> gen_server:send_request(Pool, {prepare, Mount}) end).

-spec prepared(gen_server:request_id() | {error, term()}) -> ok | {error, term()}.
prepared({error, Reason}) ->
    {error, Reason};
prepared(Request) ->
    case gen_server:receive_response(Request, infinity) of
        {reply, Answer} -> Answer;
        {error, {Reason, _}} -> {error, {pool_ended, Reason}}
    end.

%% @doc Gives the traffic to the generation that is prepared and drains the other.
-spec commit(id()) -> ok | {error, term()}.
commit(Id) ->
    with_pool(Id, fun(Pool) -> gen_server:call(Pool, commit, infinity) end).

%% @doc Ends the generation that is prepared.
-spec abort(id()) -> ok | {error, term()}.
abort(Id) ->
    with_pool(Id, fun(Pool) -> gen_server:call(Pool, abort, infinity) end).

%% @doc Somebody wants another process in the place of a worker that takes requests. replace: its successor is started first. drain: it takes none any
%% more, and its successor is started when it has ended, so that there is never one process more.
-spec relieve(id(), Number :: pos_integer(), replace | drain) -> ok | {error, not_ready | {no_pool, id()}}.
relieve(Id, Number, How) ->
    with_pool(Id, fun(Pool) -> gen_server:call(Pool, {relieve, Number, How}, infinity) end).

%% One that was killed has left its row.
with_pool(Id, Call) ->
    case ets:lookup(hornbeam_pools, Id) of
        [#row{pool = Pool}] ->
            try Call(Pool)
            catch exit:{Gone, {gen_server, call, _}} when Gone =/= timeout -> {error, {no_pool, Id}}
            end;
        [] -> {error, {no_pool, Id}}
    end.

%% @doc The server is being stopped: what the workers' tasks do not finish until then (monotonic ms) is cancelled.
-spec stop_by(id(), Deadline :: integer()) -> ok.
stop_by(Id, Deadline) ->
    lists:foreach(fun(Worker) -> hornbeam_worker:stop_by(Worker, Deadline) end, all_workers(Id)).

%% @doc The owners of all streams get {Owner, drain}.
-spec farewell(id()) -> ok.
farewell(Id) ->
    lists:foreach(fun hornbeam_worker:farewell/1, all_workers(Id)).

%% @doc All of them, those that leave as well.
-spec all_workers(id()) -> [pid()].
all_workers(Id) ->
    [Worker || {Worker, _, _, _} <- workers_of(Id)].

%% @doc Each with its number and whether it is of the generation that serves.
-spec members(id()) -> [{pid(), Number :: pos_integer(), current | other}].
members(Id) ->
    [{Worker, Number, Generation} || {Worker, {Number, _}, {_Status, Generation}, _} <- workers_of(Id)].

workers_of(Id) ->
    case with_pool(Id, fun(Pool) -> gen_server:call(Pool, workers) end) of
        Workers when is_list(Workers) -> lists:keysort(2, Workers);
        {error, _} -> []
    end.

%% @doc What the workers are doing, for a person: one map per worker.
-spec info(id()) -> [map()].
info(Id) ->
    Workers = workers_of(Id),
    Infos = hornbeam_worker_info:ask([{Worker, Slot} || {Worker, _, _, Slot} <- Workers]),
    [Info#{number => Number, role => Role} || {{_, {Number, _}, Role, _}, Info} <- lists:zip(Workers, Infos)].

%% @doc Requests in progress and waiting, workers that take requests, and what was counted since the start of the
%% pool; read without asking any process.
-spec stats(id()) -> #{atom() := non_neg_integer()}.
stats(Id) ->
    case ets:lookup(hornbeam_pools, Id) of
        [#row{slots = Slots, shared = Shared}] ->
            {Ready, InFlight} = hornbeam_pool_choice:load(Slots),
            #{in_flight => InFlight,
              waiting => max(0, atomics:get(Shared, ?WAITING)),
              ready => Ready,
              refused => atomics:get(Shared, ?REFUSED),
              restarts => atomics:get(Shared, ?RESTARTS),
              retired => atomics:get(Shared, ?RETIRED)};
        [] -> maps:from_keys([in_flight, waiting, ready, refused, restarts, retired], 0)
    end.

%% @doc The application of a mount and its workers, for hornbeam:info/1.
-spec describe(hornbeam_mounts:mount()) -> map().
describe(#mount{prefix = Prefix, app = App, pool = Id} = Mount) ->
    (stats(Id))#{place => hornbeam_mounts:place(Mount), prefix => Prefix, app => App, workers => info(Id)}.

-spec init({pid(), id()}) -> {ok, #state{}, {continue, start_workers}}.
init({Sup, Id}) ->
    process_flag(trap_exit, true),
    Mount = hornbeam_mounts:of_pool(Id),
    Shared = atomics:new(?SHARED_SIZE, []),
    State = #state{id = Id, sup = Sup, mount = Mount, shared = Shared, waiting = hornbeam_pool_waiting:new({Shared, ?WAITING}, {Shared, ?REFUSED}),
                   preparing = #preparing{from = first_start, mount = Mount}},
    look_later(),
    {ok, publish(State), {continue, start_workers}}.

-spec handle_continue(start_workers, #state{}) -> {noreply, #state{}}.
handle_continue(start_workers, #state{id = {Server, _} = Id, sup = Sup, mount = Mount} = State) ->
    WorkerSup = worker_sup(Sup),
    Ready = State#state{worker_sup = WorkerSup, preload = hornbeam_worker_sup:start_preload(WorkerSup, Mount)},
    case hornbeam_servers:is_open(Server) andalso hornbeam_mounts:is_served(Id) of
        false -> {noreply, plan({prepare, workers(Mount)}, Ready)};
        true -> {noreply, plan({restart, workers(Mount)}, Ready#state{preparing = undefined, phase = running})}
    end.

-spec handle_call(term(), gen_server:from(), #state{}) ->
    {reply, term(), #state{}} | {noreply, #state{}}.
handle_call(await_ready, _From, #state{phase = running} = State) -> {reply, ok, State};
handle_call(await_ready, _From, #state{phase = {failed, Reason}} = State) -> {reply, {error, Reason}, State};
handle_call(await_ready, From, #state{awaiting = Awaiting} = State) ->
    {noreply, State#state{awaiting = [From | Awaiting]}};
handle_call(workers, _From, #state{members = Members, plan = Plan} = State) ->
    Roles = hornbeam_pool_plan:members(Plan),
    {reply, [{Worker, Key, maps:get(Key, Roles), Slot}
             || {Worker, #member{key = Key, slot = Slot}} <- maps:to_list(Members)], State};
handle_call({prepare, Mount}, {Pid, _} = From, #state{phase = running, preparing = undefined, worker_sup = WorkerSup} = State) ->
    Preparing = #preparing{from = From, monitor = monitor(process, Pid), mount = Mount, preload = hornbeam_worker_sup:start_preload(WorkerSup, Mount)},
    {noreply, plan({prepare, workers(Mount)}, State#state{preparing = Preparing})};
handle_call({prepare, _Mount}, _From, State) ->
    {reply, {error, reload_in_progress}, State};
handle_call(commit, _From, #state{preparing = #preparing{mount = Mount, preload = Preload} = Preparing, preload = Before} = State) ->
    Committed = decided(State#state{mount = Mount, preload = Preload, preparing = Preparing#preparing{preload = Before}}),
    {reply, ok, wake(plan(commit, Committed))};
handle_call({relieve, Number, How}, _From, State) ->
    case [Key || {N, _} = Key <- hornbeam_pool_plan:serving(State#state.plan), N =:= Number, is_open(Key, State)] of
        [Key] -> {reply, ok, relieved(How, Key, State)};
        [] -> {reply, {error, not_ready}, State}
    end;
handle_call(abort, _From, #state{preparing = #preparing{}} = State) ->
    {reply, ok, plan(abort, decided(State))};
handle_call(_CommitOrAbort, _From, State) ->
    {reply, {error, not_prepared}, State}.

%% The supervisor of the workers: a child of the pool's own (hornbeam_pool_sup), started before this process.
worker_sup(Sup) ->
    {workers, Pid, _, _} = lists:keyfind(workers, 1, supervisor:which_children(Sup)),
    Pid.

workers(#mount{settings = #{workers := Workers}}) -> Workers.

is_open(Key, #state{members = Members}) ->
    [Open || #member{key = K, slot = #slot{counters = Counters}} <- maps:values(Members), K =:= Key, Open <- [atomics:get(Counters, ?SLOT_OPEN)], Open =/= ?CLOSED] =/= [].

relieved(replace, {Number, _} = Key, State) ->
    ok = hornbeam_worker_retirement:tell(asked_for, Number, name(State)),
    plan({retire, Key}, State);
relieved(drain, Key, State) ->
    %% For the plan it is a worker that has ended: another one takes its place.
    act({drain, Key}, State).

%% Nobody needs the process any more that is left in `preparing'.
decided(#state{preparing = #preparing{monitor = Monitor, preload = Preload}} = State) ->
    ok = hornbeam_preload:leave(Preload),
    _ = Monitor =/= undefined andalso demonitor(Monitor, [flush]),
    State#state{preparing = undefined}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({wait, Owner, Where}, #state{waiting = Waiting, mount = #mount{settings = Settings}} = State) ->
    {noreply, wake(State#state{waiting = hornbeam_pool_waiting:in(Owner, Where, maps:get(fair_queue, Settings, infinity), Waiting)})};
handle_cast({cancel, Owner}, #state{waiting = Waiting} = State) ->
    case hornbeam_pool_waiting:leave(Owner, Waiting) of
        {left, Left} -> {noreply, State#state{waiting = Left}};
        %% It leaves without using the place: the next one may have it.
        woken -> {noreply, wake(State)}
    end;
handle_cast(capacity, State) ->
    {noreply, wake(State)};
handle_cast({ready, Worker, Slot}, #state{members = Members} = State0) ->
    case Members of
        #{Worker := #member{key = Key} = Member} ->
            State = State0#state{members = Members#{Worker := Member#member{slot = Slot}}},
            {noreply, wake(plan({ready, Key}, State))};
        _ ->
            {noreply, State0}
    end;
handle_cast({lost, Worker, Reason}, #state{members = Members, shared = Shared, phase = Phase} = State) ->
    case Members of
        #{Worker := #member{key = Key}} ->
            Phase =:= running andalso atomics:add(Shared, ?RESTARTS, 1),
            {noreply, plan({lost, Key, Reason}, State)};
        _ ->
            {noreply, State}
    end;
handle_cast({retire, Worker, Reason}, #state{members = Members, shared = Shared} = State) ->
    case Members of
        #{Worker := #member{key = {Number, _} = Key}} ->
            ok = hornbeam_worker_retirement:tell(Reason, Number, name(State)),
            atomics:add(Shared, ?RETIRED, 1),
            {noreply, plan({retire, Key}, State)};
        _ ->
            {noreply, State}
    end.

-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({'DOWN', Monitor, process, _, _}, #state{preparing = #preparing{monitor = Monitor}} = State) ->
    %% Whoever asked for the generation has gone without deciding.
    {noreply, plan(abort, decided(State))};
handle_info({'DOWN', _, process, Worker, Reason}, #state{members = Members} = State) ->
    {#member{key = {Number, _} = Key}, Rest} = maps:take(Worker, Members),
    _ = Reason =:= normal orelse logger:error("worker ~b of ~ts ended unexpectedly: ~tp", [Number, name(State), Reason]),
    {noreply, plan({down, Key, {worker_crashed, Reason}}, State#state{members = Rest})};
handle_info(look, #state{members = Members, watch = Watch} = State) ->
    look_later(),
    Workers = [{Number, Slot} || #member{key = {Number, _}, slot = #slot{} = Slot} <- maps:values(Members)],
    {noreply, State#state{watch = hornbeam_pool_watch:look(Workers, Watch)}};
handle_info({echo, Worker, Answered}, #state{watch = Watch} = State) ->
    {noreply, State#state{watch = hornbeam_pool_watch:answered(Worker, Answered, Watch)}};
handle_info({'ETS-TRANSFER', Streams, _Worker, streams}, State) ->
    %% A worker process was killed: whoever waited for it is told here.
    hornbeam_worker_streams:fail(Streams, died),
    true = ets:delete(Streams),
    {noreply, State};
handle_info({'EXIT', _, Reason}, State) ->
    {stop, Reason, State}.

%% No secret option in a crash report.
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{mount = Mount, preparing = Preparing} = State} = Status) ->
    Masked = case Preparing of
        #preparing{mount = Next} -> Preparing#preparing{mount = hornbeam_mounts:masked(Next)};
        undefined -> undefined
    end,
    Status#{state := State#state{mount = hornbeam_mounts:masked(Mount), preparing = Masked}};
format_status(Status) ->
    Status.

-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{id = Id}) ->
    true = ets:delete(hornbeam_pools, Id),
    hornbeam_hook_registry:close(Id).

%%% What the plan says is done here.

plan(Event, #state{plan = Plan0} = State0) ->
    {Actions, Plan} = hornbeam_pool_plan:event(Event, Plan0),
    publish(lists:foldl(fun act/2, State0#state{plan = Plan}, Actions)).

act({start, {Number, _} = Key, Which}, #state{worker_sup = Sup, shared = Shared} = State) ->
    {Mount, Preload} = generation(Which, State),
    Config = #{number => Number, pool => self(), waiting => {Shared, ?WAITING}, mount => Mount, preload => Preload,
               %% The first failure of a generation is the answer to whoever asked for it.
               answered => Which =:= next},
    {ok, Worker} = hornbeam_worker_sup:start_worker(Sup, Config),
    _ = monitor(process, Worker),
    State#state{members = (State#state.members)#{Worker => #member{key = Key}}};
act({Leave, Key}, #state{members = Members, mount = #mount{settings = Settings}} = State) when Leave =:= drain; Leave =:= stop ->
    #{graceful_timeout := Timeout} = Settings,
    [Worker] = [Pid || {Pid, #member{key = K}} <- maps:to_list(Members), K =:= Key],
    ok = hornbeam_worker:drain(Worker, Timeout),
    State;
act({prepared, Result}, #state{preparing = #preparing{from = first_start}, awaiting = Awaiting} = State) ->
    _ = [gen_server:reply(From, Result) || From <- Awaiting],
    case Result of
        ok -> plan(commit, State#state{phase = running, awaiting = [], preparing = undefined});
        {error, Reason} -> State#state{phase = {failed, Reason}, awaiting = []}
    end;
act({prepared, Result}, #state{preparing = #preparing{from = From}} = State) ->
    gen_server:reply(From, Result),
    case Result of
        ok -> State;
        {error, _} -> decided(State)
    end.

generation(next, #state{preparing = #preparing{from = From, mount = Mount, preload = Preload}}) when From =/= first_start -> {Mount, Preload};
generation(_, #state{mount = Mount, preload = Preload}) -> {Mount, Preload}.

publish(#state{id = Id, shared = Shared, mount = Mount} = State) ->
    #mount{settings = #{max_concurrency := MaxLoad, max_queue := MaxQueue}} = Mount,
    Slots = serving_slots(State),
    true = ets:insert(hornbeam_pools, #row{id = Id, pool = self(), max_load = MaxLoad,
                                           max_queue = MaxQueue, shared = Shared, slots = list_to_tuple(Slots)}),
    State#state{slots = Slots}.

serving_slots(#state{plan = Plan, members = Members}) ->
    Serving = maps:from_keys(hornbeam_pool_plan:serving(Plan), true),
    lists:keysort(#slot.number, [Slot || #member{key = Key, slot = #slot{} = Slot} <- maps:values(Members), is_map_key(Key, Serving)]).

wake(#state{waiting = Waiting, slots = Slots, mount = #mount{settings = #{max_concurrency := Max}}} = State) ->
    State#state{waiting = hornbeam_pool_waiting:wake(fun() -> hornbeam_pool_choice:free(Slots, Max) end, Waiting)}.

look_later() ->
    _ = erlang:send_after(hornbeam_pool_watch:interval(), self(), look),
    ok.

name(#state{mount = #mount{app = App}}) -> App.
