%%% What runs on a node of a cluster, and only there.
%%%
%%% Called by: hornbeam_cluster_node. Calls: its children, by name.
%%%
%%%     hornbeam_cluster_sup (one_for_one)
%%%     ├─ hornbeam_cluster_distribution   this node's name, and where others reach it
%%%     ├─ hornbeam_cluster_links      connects it to the others, says goodbye to them
%%%     ├─ hornbeam_cluster_watch      tells this node's watchers of keys
%%%     ├─ hornbeam_cluster_client     this node's commands
%%%     ├─ hornbeam_cluster_reader     its questions, twice: linearizable and local
%%%     └─ hornbeam_cluster_engine     its membership; Ra's own supervisor has the member
%%%
%%% Each is restarted alone: what it told the others it tells them again, and what it was told it asks for. They end from below: the
%%% leadership is handed over while the links are there, the others hear a goodbye before these are closed.
%%%
%%% They are added one by one: a start that fails would be reported by the supervisor as well, and its reason is for whoever starts a server.
-module(hornbeam_cluster_sup).
-behaviour(supervisor).

-export([start_link/1, init/1]).

-spec start_link(map()) -> {ok, pid()} | {error, term()}.
start_link(Options) ->
    case supervisor:start_link({local, ?MODULE}, ?MODULE, []) of
        {ok, Pid} -> filled(Pid, children(Options));
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
    {error, case Reason of {shutdown, Why} -> Why; _ -> Reason end}.

-spec init([]) -> {ok, {supervisor:sup_flags(), []}}.
init([]) ->
    {ok, {#{strategy => one_for_one, intensity => 10, period => 10}, []}}.

children(Options) ->
    Links = [{distribution, hornbeam_cluster_distribution, [Options, fun() -> hornbeam_cluster_discovery:addresses(Options) end]},
             {links, hornbeam_cluster_links, [Options]}],
    State = [{watch, hornbeam_cluster_watch, [Options]}, {client, hornbeam_cluster_client, [Options]},
             {reader, hornbeam_cluster_reader, [linearizable, Options]}, {reader_local, hornbeam_cluster_reader, [local, Options]},
             {engine, hornbeam_cluster_engine, [Options]}],
    [#{id => Id, start => {Module, start_link, Arguments}, shutdown => 10000}
     || {Id, Module, Arguments} <- [Link || Link <- Links, is_map_key(cluster, Options)] ++ State].
