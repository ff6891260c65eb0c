%%% Changes the pools of a running server: new generations of workers, pools for new mounts and services, the end of those that are removed.
%%% A service is here one of the mounts (hornbeam_service_pools).
%%%
%%% Called by: hornbeam_reload (change/3). A child of the server, started when its mounts are first changed. Calls: hornbeam_mounts,
%%% hornbeam_pool (prepare, commit, abort, await_ready), hornbeam_server (check_mounts/1, set_hooks/2, set_static/2, its children), hornbeam_servers (what it runs with),
%%% hornbeam_pools_sup (where pools are added), hornbeam_tasks, hornbeam_schedules and, where there is a cluster, hornbeam_cluster_node (changed/1).
%%%
%%% One change at a time; whoever asks meanwhile waits. What becomes of one that has begun does not depend on who asked for it.
%%%
%%%     {mounts before, mounts after} ──▶ started, renewed, removed; the others are not touched
%%%
%%%   1. started: a pool whose mount no request finds yet (hidden); renewed: a generation of workers beside the one that serves
%%%   2. one has failed: all of that is undone, nothing else has changed, and the reason is the answer
%%%   3. all are ready: the renewed hand over, requests find the new mounts, the removed are hidden
%%%   4. a removed pool goes on until nobody waits for a place in it and for ?QUIET ms nobody has come: who had found it just before. Then its workers are
%%%      drained as in a reload: what they have is finished, WebSockets are told to leave when graceful_timeout is over. Then it ends.
%%%
%%% A place that is taken again while its pool leaves gets a new generation in that pool, which stays.
%%%
%%% Failure modes: this process ends: pools give up what was being prepared (they monitor it), and its successor ends what is hidden. The server
%%% stops: it ends at once, the pools with the server.
-module(hornbeam_server_pools).
-behaviour(gen_server).

-export([change/3]).
-export([start_link/1, init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2]).

-include("hornbeam.hrl").

%% From the lookup of a mount to a place in its pool it takes a connection microseconds, unless it has to wait for a core.
-define(QUIET, 200).
-define(LOOK, 20).

%% Which mounts that were there before get new workers.
-type renew() :: all | [hornbeam_option_place:place()].

-record(state, {
    name :: atom(),
    %% The removed that have not ended: who looks after each.
    leaving = #{} :: #{hornbeam_pool:id() => pid()}
}).

%% What was begun for a mount, to be committed or undone.
-type begun() :: {renewed, hornbeam_pool:id(), gen_server:request_id() | {error, term()}}
               | {started, hornbeam_pool:id(), ok | {error, term()}}.

%% @doc Returns when the new workers serve. Decide: from what the server runs with to what it is to run with.
-spec change(Name :: atom(), Decide :: fun((map()) -> {ok, map()} | {error, term()}), renew()) -> ok | {error, term()}.
change(Name, Decide, Renew) ->
    case hornbeam_server_sup:find(Name) of
        {ok, Server} ->
            try gen_server:call(started(Name, Server), {change, Decide, Renew}, infinity)
            catch exit:{_, {_, call, _}} -> {error, {change_ended, Name}}
            end;
        error ->
            {error, not_found}
    end.

started(Name, Server) ->
    Spec = #{id => ?MODULE, start => {?MODULE, start_link, [Name]}, restart => temporary, shutdown => brutal_kill},
    case supervisor:start_child(Server, Spec) of
        {ok, Pid} when is_pid(Pid) -> Pid;
        {error, {already_started, Pid}} -> Pid
    end.

-spec start_link(Name :: atom()) -> {ok, pid()} | {error, term()}.
start_link(Name) ->
    case gen_server:start_link(?MODULE, Name, []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

-spec init(atom()) -> {ok, #state{}, {continue, leftovers}}.
init(Name) ->
    {ok, #state{name = Name}, {continue, leftovers}}.

%% Of a predecessor that has ended.
-spec handle_continue(leftovers, #state{}) -> {noreply, #state{}}.
handle_continue(leftovers, #state{name = Name} = State) ->
    {noreply, leave(hornbeam_mounts:hidden(Name), State)}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call({change, Decide, Renew}, _From, #state{name = Name} = State) ->
    {ok, Old} = hornbeam_servers:config(Name),
    case Decide(Old) of
        {ok, New} -> changed(New, Renew, State);
        {error, Reason} -> {reply, {error, Reason}, State}
    end;
handle_call({drain, Id, Timeout}, {Leaver, _}, #state{leaving = Leaving} = State) ->
    case Leaving of
        #{Id := Leaver} -> {reply, drain(Id, Timeout), State};
        #{} -> {reply, stays, State}
    end;
handle_call({remove, Id}, {Leaver, _}, #state{name = Name, leaving = Leaving} = State) ->
    case Leaving of
        #{Id := Leaver} ->
            ok = stop_pool(Id),
            ok = hornbeam_mounts:hide(Name, without([Id], hornbeam_mounts:hidden(Name))),
            {reply, ok, State#state{leaving = maps:remove(Id, Leaving)}};
        #{} ->
            {reply, stays, State}
    end.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info(_Message, State) ->
    {noreply, State}.

%%% A change

changed(New, Renew, #state{name = Name} = State) ->
    Before = hornbeam_service_pools:all(Name) ++ hornbeam_mounts:all(Name),
    Mounts = hornbeam_mounts:build(Name, New),
    After = hornbeam_service_pools:build(Name, New) ++ Mounts,
    Begin = [Mount || Mount <- After, is_begun(Mount, Before, Renew)],
    case check(Name, New, Mounts, Begin) of
        ok -> begin_all(Begin, Before, After, New, State);
        {error, Reason} -> {reply, {error, Reason}, State}
    end.

is_begun(#mount{pool = {_, Place} = Id}, Before, Renew) ->
    Renew =:= all orelse lists:member(Place, Renew) orelse not lists:keymember(Id, #mount.pool, Before).

%% Services alone are no server.
check(_Name, #{static := []}, [], _Begin) ->
    {error, no_application};
check(Name, New, _Mounts, Begin) ->
    case hornbeam_server:check_mounts(Begin) of
        ok -> hornbeam_servers:make_room(Name, New);
        {error, Reason} -> {error, Reason}
    end.

begin_all(Mounts, Before, After, New, #state{name = Name} = State) ->
    Hidden = hornbeam_mounts:hidden(Name),
    Ids = [Id || #mount{pool = Id} <- Mounts],
    ok = hornbeam_mounts:hide(Name, [Mount || #mount{pool = Id} = Mount <- Mounts, not lists:keymember(Id, #mount.pool, Before ++ Hidden)] ++ Hidden),
    Results = [{One, result(One)} || One <- [begun(Mount) || Mount <- Mounts]],
    case [Error || {_, {error, _} = Error} <- Results] of
        [] ->
            lists:foreach(fun commit/1, Results),
            Removed = [Mount || #mount{pool = Id} = Mount <- Before, not lists:keymember(Id, #mount.pool, After)],
            ok = hornbeam_server:set_hooks(Name, New),
            ok = hornbeam_server:set_static(Name, New),
            {Services, Served} = lists:partition(fun is_service/1, After),
            ok = hornbeam_service_pools:publish(Name, Services),
            ok = hornbeam_mounts:publish(Name, Served, [emptied(Mount) || Mount <- Removed] ++ without(Ids, Hidden)),
            ok = hornbeam_servers:set_config(Name, New),
            ok = tell_cluster(New),
            ok = hornbeam_tasks:changed(Name),
            ok = hornbeam_schedules:changed(Name),
            ok = tell_watcher(Name),
            {reply, ok, leave(Removed, stay(Ids, State))};
        [Error | _] ->
            lists:foreach(fun undo/1, Results),
            ok = hornbeam_mounts:hide(Name, Hidden),
            ok = hornbeam_servers:keep_descriptors(),
            {reply, Error, State}
    end.

is_service(#mount{pool = {_, Place}}) -> is_tuple(Place).

tell_cluster(#{cluster := <<>>}) -> ok;
tell_cluster(New) -> hornbeam_cluster_node:changed(New).

%% Where there is one (the option `reload'), it watches the folders of the mounts.
tell_watcher(Name) ->
    {ok, Server} = hornbeam_server_sup:find(Name),
    case hornbeam_server:child(Server, hornbeam_watch) of
        {ok, Keeper} -> _ = [Watcher ! mounts_changed || Watcher <- [hornbeam_keeper:child(Keeper)], is_pid(Watcher)], ok;
        error -> ok
    end.

%% A pool that crashes from now on is started again without workers.
emptied(#mount{settings = Settings} = Mount) ->
    Mount#mount{settings = Settings#{workers := 0}}.

without(Ids, Mounts) ->
    [Mount || #mount{pool = Id} = Mount <- Mounts, not lists:member(Id, Ids)].

-spec begun(hornbeam_mounts:mount()) -> begun().
begun(#mount{pool = Id} = Mount) ->
    case parent(Id) of
        {ok, _} -> {renewed, Id, hornbeam_pool:prepare(Id, Mount)};
        error -> {started, Id, start_pool(Id)}
    end.

%% The workers themselves keep startup_timeout.
-spec result(begun()) -> ok | {error, term()}.
result({renewed, _Id, Request}) ->
    hornbeam_pool:prepared(Request);
result({started, Id, ok}) ->
    try hornbeam_pool:await_ready(Id, infinity)
    catch exit:{Reason, {gen_server, call, _}} -> {error, {pool_ended, Reason}}
    end;
result({started, _Id, {error, Reason}}) ->
    {error, Reason}.

commit({{renewed, Id, _}, ok}) -> ok = hornbeam_pool:commit(Id);
commit({{started, _, _}, ok}) -> ok.

undo({{renewed, Id, _}, ok}) -> ok = hornbeam_pool:abort(Id);
undo({{renewed, _, _}, {error, _}}) -> ok;
undo({{started, Id, _}, _}) -> stop_pool(Id).

%%% Pools as children

start_pool({Name, _} = Id) ->
    case supervisor:start_child(added(Name), hornbeam_pool_sup:spec(Id)) of
        {ok, _} -> ok;
        {error, Reason} -> {error, Reason}
    end.

stop_pool(Id) ->
    case parent(Id) of
        {ok, Parent} ->
            ok = supervisor:terminate_child(Parent, {pool, Id}),
            ok = supervisor:delete_child(Parent, {pool, Id});
        error ->
            ok
    end.

%% Whose child a pool is: the server's, or that of those that were added.
parent({Name, _} = Id) ->
    {ok, Server} = hornbeam_server_sup:find(Name),
    case [Sup || Sup <- [Server, added(Name)], lists:keymember({pool, Id}, 1, supervisor:which_children(Sup))] of
        [Sup] -> {ok, Sup};
        [] -> error
    end.

added(Name) ->
    {ok, Server} = hornbeam_server_sup:find(Name),
    {ok, Added} = hornbeam_server:child(Server, hornbeam_pools_sup),
    Added.

%%% Leaving

%% Their places were taken again.
stay(Ids, #state{leaving = Leaving} = State) ->
    State#state{leaving = maps:without(Ids, Leaving)}.

leave(Mounts, #state{leaving = Leaving} = State) ->
    Self = self(),
    Leavers = [{Id, spawn_link(fun() -> leave_slowly(Self, Id, Settings) end)} || #mount{pool = Id, settings = Settings} <- Mounts],
    State#state{leaving = maps:merge(Leaving, maps:from_list(Leavers))}.

leave_slowly(Pools, Id, #{graceful_timeout := Graceful}) ->
    Now = now_ms(),
    Deadline = case Graceful of infinity -> infinity; _ -> Now + Graceful end,
    ok = await_quiet(Id, Now + ?QUIET, Deadline),
    Left = case Deadline of infinity -> infinity; _ -> max(0, Deadline - now_ms()) end,
    case gen_server:call(Pools, {drain, Id, Left}, infinity) of
        stays ->
            ok;
        Workers ->
            %% Each ends by itself: shutdown_timeout after the drain's deadline it is killed.
            Monitors = [monitor(process, Worker) || Worker <- Workers],
            lists:foreach(fun(Monitor) -> receive {'DOWN', Monitor, process, _, _} -> ok end end, Monitors),
            _ = gen_server:call(Pools, {remove, Id}, infinity),
            ok
    end.

%% Until: when nobody who waits for a place was seen since ?QUIET ms before.
await_quiet(Id, Until, Deadline) ->
    Now = now_ms(),
    case hornbeam_pool:stats(Id) of
        _ when Now >= Deadline -> ok;
        #{waiting := 0} when Now >= Until -> ok;
        #{waiting := 0} -> timer:sleep(?LOOK), await_quiet(Id, Until, Deadline);
        #{} -> timer:sleep(?LOOK), await_quiet(Id, Now + ?QUIET, Deadline)
    end.

%% A generation of none takes over. Answers with the workers that leave.
drain({Name, _} = Id, Timeout) ->
    #mount{settings = Settings} = Mount = hornbeam_mounts:of_pool(Id),
    Emptied = Mount#mount{settings = Settings#{workers := 0, graceful_timeout := Timeout}},
    Workers = hornbeam_pool:all_workers(Id),
    case hornbeam_pool:prepared(hornbeam_pool:prepare(Id, Emptied)) of
        ok ->
            _ = hornbeam_pool:commit(Id),
            Workers;
        {error, Reason} ->
            logger:warning("a removed application of ~ts ends at once: ~ts", [Name, hornbeam_reason:format(Reason)]),
            []
    end.

now_ms() ->
    erlang:monotonic_time(millisecond).
