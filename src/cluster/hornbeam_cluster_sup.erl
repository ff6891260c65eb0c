%%% What runs on a node of a cluster, and only there.
%%%
%%% Called by: hornbeam_cluster_node. Calls: its children, by name. Owns what they run with: a persistent term.
%%%
%%%     hornbeam_cluster_sup (one_for_one)
%%%     ├─ hornbeam_cluster_links      connects it to the others, says goodbye to them
%%%     ├─ hornbeam_cluster_watch      tells this node's watchers of keys
%%%     ├─ hornbeam_cluster_client     this node's commands
%%%     ├─ hornbeam_cluster_group, hornbeam_cluster_cache_home, hornbeam_cluster_rate_gossip   what spreads without a majority: who takes part; two that do
%%%     ├─ hornbeam_cluster_reader     its questions, twice: linearizable and local
%%%     ├─ hornbeam_cluster_engine     its membership; Ra's own supervisor has the member
%%%     ├─ hornbeam_task_listener      hands on what happens to tasks
%%%     └─ hornbeam_cluster_locks      who holds locks here; the first to stop, so that it can still say that they are free
%%%
%%% Each is restarted alone: what it told the others it tells them again, and what it was told it asks for. They end from below: the
%%% leadership is handed over while the links are there, then the others hear a goodbye; the links close after that (hornbeam_cluster_node).
%%%
%%% They are added one by one: a start that fails would be reported by the supervisor as well, and its reason is for whoever starts a server.
-module(hornbeam_cluster_sup).
-behaviour(supervisor).

-export([start_link/0, start_module/2, options/0, set_options/1, init/1]).

%% @doc What all of it runs with; none where it is not to run.
-spec options() -> map() | none.
options() -> persistent_term:get(?MODULE, none).

-spec set_options(map() | none) -> ok.
set_options(none) -> _ = persistent_term:erase(?MODULE), ok;
set_options(Options) -> persistent_term:put(?MODULE, Options).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case supervisor:start_link({local, ?MODULE}, ?MODULE, []) of
        {ok, Pid} -> filled(Pid, children(options()));
        {error, Reason} -> {error, Reason}
    end.

filled(Sup, []) ->
    {ok, Sup};
filled(Sup, [Child | Rest]) ->
    case supervisor:start_child(Sup, Child) of
        {ok, _} -> filled(Sup, Rest);
        {error, {already_started, _}} -> filled(Sup, Rest);
        {error, {Reason, _}} -> ended(Sup, Reason)
    end.

ended(Sup, Reason) ->
    Monitor = monitor(process, Sup),
    true = unlink(Sup),
    true = exit(Sup, shutdown),
    receive {'DOWN', Monitor, process, _, _} -> ok end,
    {error, case Reason of {shutdown, _} -> Reason; _ -> {shutdown, Reason} end}.

-spec init([]) -> {ok, {supervisor:sup_flags(), []}}.
init([]) ->
    {ok, {#{strategy => one_for_one, intensity => 10, period => 10}, []}}.

%% The options are not among the arguments, which supervisors put into their reports: some are secrets.
children(Options) ->
    Links = [{links, hornbeam_cluster_links, []}],
    State = [{watch, hornbeam_cluster_watch, []}, {client, hornbeam_cluster_client, []}, {reader, hornbeam_cluster_reader, [linearizable]},
             {reader_local, hornbeam_cluster_reader, [local]}, {engine, hornbeam_cluster_engine, []},
             {tasks, hornbeam_task_listener, []}, {locks, hornbeam_cluster_locks, []}],
    Spread = [{group, hornbeam_cluster_group, []}, {cache, hornbeam_cluster_cache_home, []}, {rates, hornbeam_cluster_rate_gossip, []}],
    [#{id => Id, start => {?MODULE, start_module, [Module, Arguments]}, shutdown => 10000}
     || {Id, Module, Arguments} <- [Link || Link <- Links, is_map_key(cluster, Options)] ++ Spread ++ State].

-spec start_module(module(), [term()]) -> {ok, pid()} | {error, term()}.
start_module(Module, Arguments) ->
    apply(Module, start_link, Arguments ++ [options()]).
