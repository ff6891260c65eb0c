%%% All figures of a server, as text.
%%%
%%% Called by: hornbeam_metrics_handler. Calls: hornbeam_metrics (table, counters), hornbeam_routes, hornbeam_counts, hornbeam_app_metrics, hornbeam_metrics_format, hornbeam_mounts, hornbeam_service_pools, hornbeam_pool,
%%% hornbeam_http_hooks, hornbeam_cluster_report, hornbeam_servers, hornbeam_tasks, hornbeam_task_cluster, hornbeam_websockets, hornbeam_connections, hornbeam_descriptors, hornbeam_access_log, hornbeam_log, hornbeam_trace_exporter (where there are traces).
-module(hornbeam_metrics_text).

-export([render/2]).

-include("hornbeam.hrl").

-spec render(Name :: atom(), hornbeam_metrics_format:format()) -> iodata().
render(Name, Format) ->
    Samples = samples(Name),
    Ours = [{Metric, Type, Help, maps:get(Metric, Samples, [])} || {Metric, Type, Help} <- hornbeam_metrics:table()],
    hornbeam_metrics_format:render(Format, Ours ++ hornbeam_app_metrics:read(Name)).

-spec samples(atom()) -> #{binary() => [hornbeam_metrics_format:sample()]}.
samples(Name) ->
    Rows = hornbeam_routes:classes(Name),
    Apps = [{label(Mount), hornbeam_pool:describe(Mount)} || Mount <- hornbeam_mounts:all(Name) ++ hornbeam_service_pools:all(Name)],
    lists:foldl(fun maps:merge/2, rest(Name), [requests(Rows), parts(Rows, hornbeam_metrics:read_waits(hornbeam_metrics:ref(Name))), routes(Name), hornbeam_counts:read(Name), pools(Apps), workers(Apps), hooks(hornbeam_mounts:hooks(Name)),
                                               cluster(hornbeam_servers:config(Name))]).

label(#mount{pool = {_, {service, Service}}}) ->
    {<<"service">>, Service};
label(Mount) ->
    {<<"mount">>, hornbeam_mounts:place(Mount)}.

requests(Rows) ->
    #{<<"hornbeam_requests_total">> => [{"", [{"status", Class}], N} || {Class, #{requests := N}} <- Rows],
      <<"hornbeam_request_duration_seconds">> => lists:append([histogram([{"status", Class}], N, Us, Buckets, fun no_exemplar/1)
                                                               || {Class, #{requests := N, microseconds := Us, buckets := Buckets}} <- Rows]),
      <<"hornbeam_request_bytes_total">> => [{"", [], total(received, Rows)}],
      <<"hornbeam_response_bytes_total">> => [{"", [], total(sent, Rows)}]}.

total(Key, Rows) -> lists:sum([maps:get(Key, Row) || {_, Row} <- Rows]).

parts(Rows, #{waits := Waits, microseconds := Waited, buckets := Buckets}) ->
    #{<<"hornbeam_request_part_seconds_total">> =>
          [{"", [{"part", Part}], total(Key, Rows) / 1.0e6} || {Part, Key} <- [{"queue", queue_us}, {"python", python_us}, {"server", server_us}]],
      <<"hornbeam_queue_wait_seconds">> => histogram([], Waits, Waited, Buckets, fun no_exemplar/1)}.

%% A label that is empty is none: requests without a template.
routes(Name) ->
    Exemplars = hornbeam_routes:exemplars(Name),
    #{<<"hornbeam_route_duration_seconds">> =>
          lists:append([histogram([{"method", Method}, {"route", Route}, {"status", Class}], Count, Us, Buckets,
                                  fun(Bucket) -> maps:get({Method, Route, Class, Bucket}, Exemplars, none) end)
                        || #{route := Route, method := Method, status := Class, count := Count, microseconds := Us, buckets := Buckets}
                               <- hornbeam_routes:read(Name)]),
      <<"hornbeam_websocket_open_seconds">> =>
          lists:append([histogram([{"route", Route}], hornbeam_routes:open_bounds(), Count, Us, Buckets, fun no_exemplar/1)
                        || {Route, Count, Us, Buckets} <- hornbeam_routes:websockets(Name)])}.

no_exemplar(_Bucket) -> none.

histogram(Labels, Count, Microseconds, Buckets, Exemplar) ->
    histogram(Labels, hornbeam_metrics:bounds(), Count, Microseconds, Buckets, Exemplar).

histogram(Labels, Bounds0, Count, Microseconds, Buckets, Exemplar) ->
    Bounds = [seconds(Bound) || Bound <- Bounds0],
    [with_exemplar({"_bucket", Labels ++ [{"le", Bound}], N}, Exemplar(Number))
     || {Number, {Bound, N}} <- lists:enumerate(lists:zip(Bounds, Buckets))]
    ++ [with_exemplar({"_bucket", Labels ++ [{"le", "+Inf"}], Count}, Exemplar(none)), {"_sum", Labels, Microseconds / 1.0e6}, {"_count", Labels, Count}].

with_exemplar(Sample, none) -> Sample;
with_exemplar({Suffix, Labels, Value}, {Trace, Us, Time}) -> {Suffix, Labels, Value, {Trace, Us / 1.0e6, Time}}.

seconds(Microseconds) ->
    io_lib:format("~w", [Microseconds / 1.0e6]).

pools(Apps) ->
    One = fun(Key) -> [{"", [Mount], maps:get(Key, Info)} || {Mount, Info} <- Apps] end,
    #{<<"hornbeam_requests_in_flight">> => One(in_flight),
      <<"hornbeam_requests_waiting">> => One(waiting),
      <<"hornbeam_requests_refused_total">> => One(refused),
      <<"hornbeam_worker_restarts_total">> => One(restarts),
      <<"hornbeam_worker_retirements_total">> => One(retired)}.

workers(Apps) ->
    States = [starting, ready, late, busy, draining, stopping, backoff],
    #{<<"hornbeam_workers">> =>
          [{"", [Mount, {"state", atom_to_list(State)}], length([W || #{state := S} = W <- Workers, S =:= State])}
           || {Mount, #{workers := Workers}} <- Apps, State <- States],
      <<"hornbeam_worker_memory_bytes">> => each(memory, Apps, fun(Memory) -> Memory end),
      <<"hornbeam_worker_lag_seconds">> => each(lag, Apps, fun(Lag) -> Lag / 1000 end),
      <<"hornbeam_worker_behind_seconds">> => each(behind, Apps, fun(Behind) -> Behind / 1000 end),
      <<"hornbeam_worker_queue_messages">> => each(queue, Apps, fun(Length) -> Length end),
      <<"hornbeam_worker_requests_total">> => each(requests, Apps, fun(Requests) -> Requests end)}.

hooks(none) ->
    #{};
hooks({_Runner, Settings}) ->
    {Stages, Replies} = hornbeam_http_hooks:figures(Settings),
    Label = fun(Stage) -> [{"stage", atom_to_list(Stage)}] end,
    #{<<"hornbeam_hook_calls_total">> => [{"", Label(Stage), Calls} || {Stage, Calls, _, _} <- Stages],
      <<"hornbeam_hook_seconds_total">> => [{"", Label(Stage), Seconds} || {Stage, _, Seconds, _} <- Stages],
      <<"hornbeam_hook_failures_total">> => [{"", Label(Stage), Failures} || {Stage, _, _, Failures} <- Stages],
      <<"hornbeam_hook_replies_total">> => [{"", [], Replies}]}.

cluster({ok, #{cluster := Cluster}}) when Cluster =/= <<>> -> hornbeam_cluster_report:samples();
cluster(_) -> #{}.

%% A figure of each worker of which it is known: of one that is `busy' not all are.
each(Key, Apps, Value) ->
    [{"", [Mount, {"worker", integer_to_list(Number)}, {"pid", integer_to_list(OsPid)}], Value(Figure)}
     || {Mount, #{workers := Workers}} <- Apps,
        #{number := Number, os_pid := OsPid, Key := Figure} <- Workers, is_integer(OsPid)].

rest(Name) ->
    #{limit := Limit, refused := Refused} = hornbeam_descriptors:stats(),
    {Open, Events} = maps:take(open, hornbeam_websockets:stats(Name)),
    #{<<"hornbeam_tasks">> => tasks(hornbeam_tasks:describe(Name)),
      <<"hornbeam_cluster_tasks">> => tasks(hornbeam_task_cluster:counts(Name)),
      <<"hornbeam_websockets">> => [{"", [], Open}],
      <<"hornbeam_websocket_events_total">> =>
          [{"", [{"event", atom_to_list(Event)}], N} || {Event, N} <- lists:sort(maps:to_list(Events))],
      <<"hornbeam_connections">> => [{"", [], hornbeam_connections:count(Name)}],
      <<"hornbeam_connections_refused_total">> => [{"", [], Refused}],
      <<"hornbeam_descriptors_limit">> => [{"", [], Limit}],
      <<"hornbeam_access_log_dropped_total">> => [{"", [], hornbeam_access_log:dropped(Name)}],
      <<"hornbeam_log_suppressed_total">> => [{"", [], hornbeam_log:suppressed()}],
      <<"hornbeam_trace_requests_total">> => traces(Name),
      <<"hornbeam_log_dropped_total">> => [{"", [], hornbeam_log:dropped()}],
      <<"hornbeam_beam_memory_bytes">> =>
          [{"", [{"kind", atom_to_list(Kind)}], Bytes}
           || {Kind, Bytes} <- erlang:memory([total, processes, binary, ets, code])],
      <<"hornbeam_beam_processes">> => [{"", [], erlang:system_info(process_count)}],
      <<"hornbeam_beam_ports">> => [{"", [], erlang:system_info(port_count)}],
      <<"hornbeam_beam_atoms">> => [{"", [], erlang:system_info(atom_count)}]}.

traces(Name) ->
    case hornbeam_servers:config(Name) of
        {ok, #{trace := true}} -> traces_of(hornbeam_trace_exporter:counts(Name));
        _ -> []
    end.

traces_of(none) -> [];
traces_of(Counts) -> [{"", [{"result", atom_to_list(Result)}], N} || {Result, N} <- lists:sort(maps:to_list(Counts))].

tasks(none) -> [];
tasks(Counts) -> [{"", [{"state", atom_to_list(State)}], N} || {State, N} <- lists:sort(maps:to_list(Counts))].
