%%% What runs on a node of a cluster, and only there.
%%%
%%% Called by: hornbeam_cluster (start/1). Calls: its children, by name.
%%%
%%%     hornbeam_cluster_sup (one_for_one)
%%%     ├─ hornbeam_cluster_watch      tells this node's watchers of keys
%%%     ├─ hornbeam_cluster_client     this node's commands
%%%     ├─ hornbeam_cluster_reader     its questions, twice: linearizable and local
%%%     ├─ hornbeam_cluster_engine     its membership; Ra's own supervisor has the member
%%%     └─ hornbeam_cluster_locks      who holds locks here; the first to stop, so that it can still say that they are free
%%%
%%% Each is restarted alone: what it told the others it tells them again, and what it was told it asks for.
-module(hornbeam_cluster_sup).
-behaviour(supervisor).

-export([spec/1, start_link/1, init/1]).

-spec spec(map()) -> supervisor:child_spec().
spec(Options) ->
    #{id => ?MODULE, start => {?MODULE, start_link, [Options]}, type => supervisor, shutdown => infinity, restart => temporary}.

-spec start_link(map()) -> {ok, pid()} | {error, term()}.
start_link(Options) ->
    case supervisor:start_link({local, ?MODULE}, ?MODULE, Options) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

-spec init(map()) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(Options) ->
    {ok, {#{strategy => one_for_one, intensity => 10, period => 10},
          [#{id => Id, start => {Module, start_link, Arguments ++ [Options]}, shutdown => 10000}
           || {Id, Module, Arguments} <- [{watch, hornbeam_cluster_watch, []}, {client, hornbeam_cluster_client, []},
                                          {reader, hornbeam_cluster_reader, [linearizable]}, {reader_local, hornbeam_cluster_reader, [local]},
                                          {engine, hornbeam_cluster_engine, []}, {locks, hornbeam_cluster_locks, []}]]}}.
