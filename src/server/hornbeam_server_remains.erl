%%% What a server that has ended leaves: its options and counters, and Ranch's sockets if their owner was killed.
%%%
%%% Called by: hornbeam_server (a stop), hornbeam_server_monitor (an end that nobody wanted), hornbeam_app (the end of all).
%%% Calls: each module that keeps something by a server's name.
-module(hornbeam_server_remains).

-export([remove/1, close_sockets/0]).

-spec remove(Name :: atom()) -> ok.
remove(Name) ->
    ok = close_sockets(Name),
    ok = hornbeam_connection:forget(Name),
    ok = hornbeam_clients:forget(Name),
    _ = hornbeam_tls:forget(Name),
    _ = hornbeam_tls:forget({hornbeam_dashboard, Name}),
    ok = hornbeam_servers:forget(Name),
    hornbeam_metrics:forget(Name),
    ok = hornbeam_routes:forget(Name),
    ok = hornbeam_counts:forget(Name),
    ok = hornbeam_app_metrics:forget(Name),
    ok = hornbeam_task_table:forget(Name),
    ok = hornbeam_crashes:forget(Name),
    hornbeam_access_log:forget(Name),
    ok = hornbeam_follow:forget(Name),
    _ = erlang:module_loaded(hornbeam_trace_exporter) andalso hornbeam_trace_exporter:forget(Name),
    hornbeam_mounts:forget(Name),
    _ = erlang:module_loaded(hornbeam_static) andalso hornbeam_static:forget(Name),
    hornbeam_service_pools:forget(Name),
    _ = erlang:module_loaded(hornbeam_cluster_node) andalso hornbeam_cluster_node:unused(),
    hornbeam_servers:keep_descriptors().

close_sockets(Name) ->
    case hornbeam_servers:config(Name) of
        {ok, #{metrics_bind := Metrics, dashboard_bind := Dashboard} = Config} ->
            hornbeam_socket:close_left(hornbeam_listener:refs(Name, Config) ++ beside(hornbeam_metrics, Name, Metrics)
                                       ++ beside(hornbeam_dashboard, Name, Dashboard));
        error ->
            ok
    end.

beside(_Kind, _Name, []) -> [];
beside(Kind, Name, Binds) -> hornbeam_side_listener:refs(Kind, Name, Binds).

%% @doc The application has ended: no socket is left of any server.
-spec close_sockets() -> ok.
close_sockets() ->
    lists:foreach(fun close_sockets/1, hornbeam_servers:configured()).
