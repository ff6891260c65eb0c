%%% The figures of a server in Prometheus' text format (version 0.0.4).
%%%
%%% Called by: hornbeam_metrics_handler. Calls: hornbeam_metrics (table, counters), hornbeam_mounts, hornbeam_service_pools, hornbeam_pool,
%%% hornbeam_http_hooks, hornbeam_cluster_report, hornbeam_servers, hornbeam_tasks, hornbeam_task_cluster, hornbeam_websockets, hornbeam_connections, hornbeam_descriptors, hornbeam_access_log, hornbeam_log. Plain text is a page of code; a
%%% library would be a dependency more.
-module(hornbeam_metrics_text).

-export([render/1]).

-include("hornbeam.hrl").

-type sample() :: {Suffix :: iodata(), Labels :: [{iodata(), iodata()}], number()}.

-spec render(Name :: atom()) -> iodata().
render(Name) ->
    Samples = samples(Name),
    [[["# HELP ", Metric, $\s, Help, "\n# TYPE ", Metric, $\s, atom_to_binary(Type), $\n],
      [line(Metric, Sample) || Sample <- maps:get(Metric, Samples, [])]]
     || {Metric, Type, Help} <- hornbeam_metrics:table()].

-spec samples(atom()) -> #{binary() => [sample()]}.
samples(Name) ->
    Rows = hornbeam_metrics:read(hornbeam_metrics:ref(Name)),
    Apps = [{label(Mount), hornbeam_pool:describe(Mount)} || Mount <- hornbeam_mounts:all(Name) ++ hornbeam_service_pools:all(Name)],
    lists:foldl(fun maps:merge/2, rest(Name), [requests(Rows), pools(Apps), workers(Apps), hooks(hornbeam_mounts:hooks(Name)),
                                               cluster(hornbeam_servers:config(Name))]).

label(#mount{pool = {_, {service, Service}}}) ->
    {<<"service">>, Service};
label(Mount) ->
    {<<"mount">>, hornbeam_mounts:place(Mount)}.

requests(Rows) ->
    Total = fun(Key) -> lists:sum([maps:get(Key, Row) || {_, Row} <- Rows]) end,
    #{<<"hornbeam_requests_total">> => [{"", [{"status", Class}], N} || {Class, #{requests := N}} <- Rows],
      <<"hornbeam_request_duration_seconds">> => lists:append([histogram(Class, Row) || {Class, Row} <- Rows]),
      <<"hornbeam_request_bytes_total">> => [{"", [], Total(received)}],
      <<"hornbeam_response_bytes_total">> => [{"", [], Total(sent)}]}.

histogram(Class, #{requests := Requests, microseconds := Microseconds, buckets := Buckets}) ->
    Status = {"status", Class},
    [{"_bucket", [Status, {"le", seconds(Bound)}], Count}
     || {Bound, Count} <- lists:zip(hornbeam_metrics:bounds(), Buckets)]
    ++ [{"_bucket", [Status, {"le", "+Inf"}], Requests}, {"_sum", [Status], Microseconds / 1.0e6},
        {"_count", [Status], Requests}].

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
      <<"hornbeam_log_dropped_total">> => [{"", [], hornbeam_log:dropped()}],
      <<"hornbeam_beam_memory_bytes">> =>
          [{"", [{"kind", atom_to_list(Kind)}], Bytes}
           || {Kind, Bytes} <- erlang:memory([total, processes, binary, ets, code])],
      <<"hornbeam_beam_processes">> => [{"", [], erlang:system_info(process_count)}],
      <<"hornbeam_beam_ports">> => [{"", [], erlang:system_info(port_count)}],
      <<"hornbeam_beam_atoms">> => [{"", [], erlang:system_info(atom_count)}]}.

tasks(none) -> [];
tasks(Counts) -> [{"", [{"state", atom_to_list(State)}], N} || {State, N} <- lists:sort(maps:to_list(Counts))].

line(Metric, {Suffix, Labels, Value}) ->
    [Metric, Suffix, labels(Labels), $\s, number(Value), $\n].

labels([]) -> [];
labels(Labels) -> [${, lists:join($,, [[Key, "=\"", escape(Value), $"] || {Key, Value} <- Labels]), $}].

escape(Value) ->
    string:replace(string:replace(string:replace(Value, "\\", "\\\\", all), "\"", "\\\"", all), "\n", "\\n", all).

number(Value) when is_integer(Value) -> integer_to_binary(Value);
number(Value) -> io_lib:format("~w", [Value]).
