%%% One started server: its pools (one per mount) and, once their workers are ready, its listener.
%%%
%%%     hornbeam_server (one_for_one)
%%%     ├─ hornbeam_pool_sup       one per mount: hornbeam_pool, hornbeam_worker × N
%%%     ├─ hornbeam_pools_sup      the same for mounts that are added while it runs
%%%     ├─ hornbeam_access_log, hornbeam_metrics_listener, hornbeam_trace_exporter, hornbeam_slow    if they are asked for; kept
%%%     ├─ hornbeam_tasks_sup      background tasks and schedules; nothing in it until they are asked for; kept
%%%     ├─ hornbeam_listener       last to start and first to stop, but for
%%%     ├─ the reloaders (hornbeam_watch, hornbeam_control, hornbeam_dashboard_sup)     who may change the server; kept
%%%     └─ hornbeam_server_pools   once its mounts are changed
%%%
%%% Called by: hornbeam, hornbeam_server_pools, hornbeam_control. Calls: hornbeam_server_sup, hornbeam_server_monitor, hornbeam_server_remains,
%%% hornbeam_cluster_node and hornbeam_cluster_report (where there is a cluster), hornbeam_servers (what it runs with), hornbeam_pool (await_ready), hornbeam_mounts, hornbeam_task_command, hornbeam_http_hook_modules and hornbeam_http_hooks (where there
%%% are hooks), hornbeam_code, hornbeam_descriptors.
%%%
%%% What the failure of a child means. A pool or the listener is the server: it is restarted alone (a connection outlives both: its
%%% requests wait for the pool's new workers, and Ranch's sockets for their new owner), and more than five restarts in 30 s end the
%%% server (hornbeam_server_monitor says what follows). The others are helpers: a hornbeam_keeper restarts each, later and
%%% later, and never gives up, so that no full disk and no folder that has vanished takes the server down.
%%%
%%% The others are added one by one. Were they children from the beginning, a start that
%%% fails (a mistake in the application, a port in use) would also be reported by supervisors, at length; so
%%% its reason goes to the caller of hornbeam:start/2 and nowhere else.
-module(hornbeam_server).
-behaviour(supervisor).

-export([start/4, stop/1, info/1, listener/1, child/2, check_mounts/1, check_modules/1, set_hooks/2, set_static/2]).
-export([start_link/1, start_module/2, init/1]).

-include("hornbeam.hrl").

%% @doc Starts a server; returns when its socket is open. After an error nothing is left running. Bond: what follows when it
%% ends by itself. Reloaders: modules with a start_link(Name, Config), for what runs beside the server and may reload it.
-spec start(Name :: atom(), Config :: map(), hornbeam_server_monitor:bond(), Reloaders :: [module()]) ->
    {ok, pid()} | {error, term()}.
start(Name, Config, Bond, Reloaders) ->
    ok = hornbeam_server_monitor:settle(Name),
    case hornbeam_server_sup:find(Name) of
        {ok, _} -> {error, {already_started, Name}};
        error ->
            ok = hornbeam_servers:set_config(Name, Config),
            case start_cluster(Name, Config) of
                ok -> start(Name, Bond, Reloaders);
                {error, Reason} -> ok = hornbeam_server_remains:remove(Name), {error, Reason}
            end
    end.

%% Before the workers, which may use it from their first line; not a child, since other servers of this VM share it.
start_cluster(_Name, #{cluster := <<>>}) -> ok;
start_cluster(Name, Config) -> hornbeam_cluster_node:start(Name, Config).

start(Name, Bond, Reloaders) ->
    case hornbeam_server_sup:start_server(Name) of
        {ok, Server} ->
            case open(Name, Server, Reloaders) of
                ok ->
                    ok = hornbeam_server_monitor:watch(Name, Server, Bond),
                    {ok, Server};
                {error, Reason} ->
                    _ = stop(Name),
                    {error, Reason}
            end;
        {error, {already_started, _}} ->
            {error, {already_started, Name}};
        {error, Reason} ->
            {error, Reason}
    end.

%% The reloaders are the last to start and the first to stop: nobody reloads a server that is being stopped. The code is loaded
%% while the workers import theirs.
open(Name, Server, Reloaders) ->
    run([fun() -> keep_for(Name) end,
         fun() -> start_kept(hornbeam_access_log, Name, Server) end,
         fun() -> start_kept(hornbeam_metrics_listener, Name, Server) end,
         fun() -> start_traces(Name, Server) end,
         fun() -> start_kept(hornbeam_tasks_sup, Name, Server) end,
         fun() -> start_slow(Name, Server) end,
         fun() -> hornbeam_code:load(parts(hornbeam_servers:config(Name))) end,
         fun() -> await_ready(hornbeam_mounts:pools(Name) ++ hornbeam_service_pools:pools(Name)) end,
         fun() -> start_listener(Name, Server) end
         | [fun() -> start_kept(Module, Name, Server) end || Module <- Reloaders]]).

parts({ok, #{ssl := Tls, http_version := Versions, metrics_bind := Metrics, dashboard_bind := Dashboard, dashboard_certfile := Cert, static := Static,
             channels := Channels, channel_modules := Modules, cluster := Cluster, slow_request := Slow, trace := Trace}}) ->
    [Part || {Part, true} <- [{tls, Tls orelse (Dashboard =/= [] andalso Cert =/= <<>>)}, {http2, Tls andalso lists:member('HTTP/2', Versions)}, {trace, Trace},
                              {metrics, Metrics =/= [] orelse Dashboard =/= []}, {dashboard, Dashboard =/= []}, {static, Static =/= []},
                              {channels, Channels =/= <<>> orelse Modules =/= []}, {cluster, Cluster =/= <<>>}, {slow_request, Slow > 0}]].

run([]) ->
    ok;
run([Step | Rest]) ->
    case Step() of
        ok -> run(Rest);
        {error, Reason} -> {error, Reason}
    end.

%% Keeps descriptors back for this server, too, and says what is left for its connections.
keep_for(Name) ->
    {ok, #{max_connections := Max} = Config} = hornbeam_servers:config(Name),
    case hornbeam_servers:keep_descriptors([Name]) of
        {ok, Room} when is_integer(Max), Max > Room ->
            logger:warning("max_connections (~b) is lowered to ~b, for all addresses together: the limit of open files (ulimit -n) is "
                           "~b, of which ~b are kept back for workers, control and metrics",
                           [Max, Room, hornbeam_descriptors:limit(), hornbeam_descriptors:kept(Config)]);
        {ok, _} -> ok;
        {error, Reason} -> {error, Reason}
    end.

start_listener(Name, Server) ->
    start_child(#{id => hornbeam_listener, start => {?MODULE, start_module, [hornbeam_listener, Name]}, shutdown => infinity},
                Server).

%% Not loaded without traces.
start_traces(Name, Server) ->
    case hornbeam_servers:config(Name) of
        {ok, #{trace := true}} -> start_kept(hornbeam_trace_exporter, Name, Server);
        {ok, _} -> ok
    end.

start_kept(Module, Name, Server) ->
    start_child(hornbeam_keeper:spec(Module, {?MODULE, start_module, [Module, Name]}), Server).

%% Not loaded where it is not asked for.
start_slow(Name, Server) ->
    case hornbeam_servers:config(Name) of
        {ok, #{slow_request := 0}} -> ok;
        _ -> start_kept(hornbeam_slow, Name, Server)
    end.

%% The options are not among the arguments, which supervisors put into their reports: some are secrets.
start_child(Spec, Server) ->
    case supervisor:start_child(Server, Spec) of
        {ok, _} -> ok;
        {error, {{shutdown, Reason}, _Child}} -> {error, Reason};
        {error, {Reason, _Child}} -> {error, Reason}
    end.

-spec start_module(Module :: module(), Name :: atom()) -> {ok, pid()} | ignore | {error, term()}.
start_module(Module, Name) ->
    {ok, Config} = hornbeam_servers:config(Name),
    Module:start_link(Name, Config).

%% @doc Whether the interpreter and the account of every mount are there: a mistake that is better found before a worker is started.
-spec check_mounts([hornbeam_mounts:mount()]) -> ok | {error, term()}.
check_mounts([]) ->
    ok;
check_mounts([Mount | Rest]) ->
    case hornbeam_python:check(hornbeam_mounts:settings(Mount)) of
        ok -> check_mounts(Rest);
        {error, Reason} -> {error, Reason}
    end.

%% @doc Likewise the modules of the hooks and of channels; erlang_path is a part of the VM's code path from then on.
-spec check_modules(Config :: map()) -> ok | {error, term()}.
check_modules(#{http_hooks := [], erlang_path := [], channel_modules := []}) -> ok;
check_modules(#{channel_modules := Modules} = Config) ->
    case hornbeam_http_hook_modules:check(Config) of
        ok when Modules =/= [] -> hornbeam_channels:check(Config);
        Checked -> Checked
    end.

%% @doc The hooks that requests meet from now on. Before other mounts, which they may guard.
-spec set_hooks(Name :: atom(), Config :: map()) -> ok.
set_hooks(Name, #{http_hooks := []}) -> hornbeam_mounts:set_hooks(Name, none);
set_hooks(Name, Config) -> hornbeam_mounts:set_hooks(Name, hornbeam_http_hooks:settings(Name, Config)).

%% The workers themselves keep startup_timeout.
await_ready([]) ->
    ok;
await_ready([Pool | Rest]) ->
    case hornbeam_pool:await_ready(Pool, infinity) of
        ok -> await_ready(Rest);
        {error, Reason} -> {error, Reason}
    end.

-spec stop(Name :: atom()) -> ok | {error, not_found}.
stop(Name) ->
    ok = hornbeam_server_monitor:release(Name),
    case hornbeam_server_sup:stop_server(Name) of
        ok -> hornbeam_server_remains:remove(Name);
        {error, not_found} -> {error, not_found}
    end.

%% @doc A server's name, addresses (`binds', as URLs with the ports in use), applications and services, each with its workers.
-spec info(Name :: atom()) -> map() | {error, not_found}.
info(Name) ->
    case hornbeam_server_sup:find(Name) of
        {ok, Server} ->
            %% It may end meanwhile.
            try about(Name, Server)
            catch exit:{_, {gen_server, call, _}} -> {error, not_found}
            end;
        error ->
            {error, not_found}
    end.

about(Name, Server) ->
    #{name => Name,
      binds => binds(listener(Server)),
      metrics => urls(hornbeam_metrics, metrics_bind, Name),
      dashboard => urls(hornbeam_dashboard, dashboard_bind, Name),
      tasks => hornbeam_task_command:describe(Name),
      crashes => hornbeam_crashes:list(Name),
      cluster => cluster(hornbeam_servers:config(Name)),
      applications => [hornbeam_pool:describe(Mount) || Mount <- hornbeam_mounts:all(Name)],
      services => [hornbeam_pool:describe(Mount) || Mount <- hornbeam_service_pools:all(Name)]}.

%% Where what is served beside the application is reached.
urls(Kind, Option, Name) ->
    case hornbeam_servers:config(Name) of
        {ok, #{Option := [_ | _]} = Config} -> hornbeam_side_listener:urls(Kind, Name, Config);
        _ -> []
    end.

cluster({ok, #{cluster := Cluster}}) when Cluster =/= <<>> -> hornbeam_cluster_report:describe();
cluster(_) -> none.

binds({ok, Listener}) -> hornbeam_listener:binds(Listener);
binds(error) -> [].

-spec listener(Server :: pid()) -> {ok, pid()} | error.
listener(Server) ->
    child(Server, hornbeam_listener).

-spec child(Server :: pid(), Id :: term()) -> {ok, pid()} | error.
child(Server, Id) ->
    case lists:keyfind(Id, 1, supervisor:which_children(Server)) of
        {_, Pid, _, _} when is_pid(Pid) -> {ok, Pid};
        _ -> error
    end.

-spec start_link(Name :: atom()) -> {ok, pid()} | {error, term()}.
start_link(Name) ->
    case supervisor:start_link(?MODULE, Name) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

-spec init(atom()) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(Name) ->
    {ok, Config} = hornbeam_servers:config(Name),
    Mounts = hornbeam_mounts:build(Name, Config),
    Services = hornbeam_service_pools:build(Name, Config),
    ok = hornbeam_mounts:publish(Name, Mounts),
    ok = hornbeam_service_pools:publish(Name, Services),
    ok = set_hooks(Name, Config),
    ok = set_static(Name, Config),
    ok = set_histories(Config),
    %% The services end last: until then applications may call them.
    {ok, {#{strategy => one_for_one, intensity => 5, period => 30, auto_shutdown => any_significant},
          [hornbeam_pool_sup:spec(Id) || #mount{pool = Id} <- Services ++ Mounts] ++ [hornbeam_pools_sup:spec()]}}.

%% @doc Publishes the folders of files; what a reload has taken away is gone.
-spec set_static(Name :: atom(), Config :: map()) -> ok.
set_static(Name, #{static := []}) -> _ = erlang:module_loaded(hornbeam_static) andalso hornbeam_static:publish(Name, []), ok;
set_static(Name, #{static := Static}) -> hornbeam_static:publish(Name, Static).

%% The histories are the node's: a server without channels changes nothing.
set_histories(#{channels := <<>>, channel_modules := []}) -> ok;
set_histories(#{channel_history_bytes := Bytes}) -> hornbeam_history:set_max_bytes(Bytes).
