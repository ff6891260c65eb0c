%%% The waits of a server's requests for a worker, what all of its figures have in common, and the table of all that is published.
%%%
%%% Called by: hornbeam_observe (waited/2), hornbeam_metrics_text (the table, read_waits/1), hornbeam_routes (buckets), hornbeam_series and hornbeam_top_screen (ranked/3). Calls: hornbeam_lasting.
%%%
%%% One array of counters for each server:
%%%
%%%     waits | wait sum (us) | bucket 1 | ... | bucket ?BUCKETS
%%%
%%% It outlives the processes that write it (persistent_term) and goes with its server. What is counted of each request is hornbeam_routes'.
-module(hornbeam_metrics).

-export([ref/1, forget/1, waited/2, read_waits/1, table/0, bounds/0, bucket/1, cumulative/1, ranked/3]).
-export_type([ref/0, class/0, waits/0]).

-opaque ref() :: counters:counters_ref().
-type class() :: binary().
-type waits() :: #{waits := non_neg_integer(), microseconds := non_neg_integer(), buckets := [non_neg_integer()]}.

%% Upper bounds of the buckets of durations, in microseconds.
-define(BOUNDS, [1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000]).
-define(BUCKETS, 13).

%% @doc What /metrics shows: name, type, help. docs/operations.md holds the same table.
-spec table() -> [{Name :: binary(), counter | gauge | histogram, Help :: binary()}].
table() ->
    [{<<"hornbeam_requests_total">>, counter, <<"Requests answered, by class of status; 499 is a client that left.">>},
     {<<"hornbeam_request_duration_seconds">>, histogram, <<"From the request's head to the end of its answer.">>},
     {<<"hornbeam_route_duration_seconds">>, histogram, <<"The same by route: its template, method and class of status.">>},
     {<<"hornbeam_request_part_seconds_total">>, counter, <<"Where that time went: waiting for a worker, in Python, in the server and on the way.">>},
     {<<"hornbeam_queue_wait_seconds">>, histogram, <<"Of requests that had to wait for a worker: how long.">>},
     {<<"hornbeam_request_bytes_total">>, counter, <<"Bytes of request bodies.">>},
     {<<"hornbeam_response_bytes_total">>, counter, <<"Bytes of response bodies.">>},
     {<<"hornbeam_requests_in_flight">>, gauge, <<"Requests and WebSockets on a worker.">>},
     {<<"hornbeam_requests_waiting">>, gauge, <<"Requests in the queue for a worker.">>},
     {<<"hornbeam_requests_refused_total">>, counter, <<"Requests for which the queue had no place (503).">>},
     {<<"hornbeam_workers">>, gauge, <<"Workers, by state.">>},
     {<<"hornbeam_worker_restarts_total">>, counter, <<"Python processes that ended although nobody wanted it.">>},
     {<<"hornbeam_worker_retirements_total">>, counter, <<"Workers replaced at one of their limits.">>},
     {<<"hornbeam_worker_events_total">>, counter, <<"Workers that became ready, were lost, or were to be replaced at a limit, by reason.">>},
     {<<"hornbeam_worker_memory_bytes">>, gauge, <<"Resident memory of a worker.">>},
     {<<"hornbeam_worker_lag_seconds">>, gauge, <<"How long a worker's loop took to answer the last ping.">>},
     {<<"hornbeam_worker_behind_seconds">>, gauge, <<"How long a worker's Erlang process took to answer, or has not answered.">>},
     {<<"hornbeam_worker_queue_messages">>, gauge, <<"Messages that wait for a worker's Erlang process.">>},
     {<<"hornbeam_worker_requests_total">>, counter, <<"Requests and WebSockets that a worker was given.">>},
     {<<"hornbeam_hook_calls_total">>, counter, <<"Calls of HTTP hooks, by stage.">>},
     {<<"hornbeam_hook_seconds_total">>, counter, <<"Time spent in HTTP hooks.">>},
     {<<"hornbeam_hook_failures_total">>, counter, <<"Calls of HTTP hooks that failed (500).">>},
     {<<"hornbeam_hook_replies_total">>, counter, <<"Requests that HTTP hooks answered.">>},
     {<<"hornbeam_tasks">>, gauge, <<"Background tasks that are remembered, by state.">>},
     {<<"hornbeam_cluster_tasks">>, gauge, <<"Durable tasks of the cluster that are remembered, by state: the same on every node.">>},
     {<<"hornbeam_cluster_nodes">>, gauge, <<"Nodes of the cluster as this one sees them, itself included, by state.">>},
     {<<"hornbeam_cluster_members">>, gauge, <<"Nodes that have a vote in the cluster, up or not.">>},
     {<<"hornbeam_cluster_quorum">>, gauge, <<"1 while a majority of the members is up, so far as this node sees.">>},
     {<<"hornbeam_cluster_leader">>, gauge, <<"1 on the node that leads.">>},
     {<<"hornbeam_cluster_term">>, gauge, <<"Raft's term: how often there was an election.">>},
     {<<"hornbeam_cluster_commit_index">>, gauge, <<"Entries of the replicated log that a majority has, so far as this node knows.">>},
     {<<"hornbeam_cluster_applied_index">>, gauge, <<"Entries of it that this node has applied.">>},
     {<<"hornbeam_cluster_connects_total">>, counter, <<"Links to other nodes that were made.">>},
     {<<"hornbeam_cluster_reconnects_total">>, counter, <<"Those of them to a node that was up before.">>},
     {<<"hornbeam_cluster_connect_failures_total">>, counter, <<"Tries to reach another node that failed, by reason.">>},
     {<<"hornbeam_cluster_messages_not_sent_total">>, counter, <<"Published messages that were not sent to a node, since its link was congested or gone.">>},
     {<<"hornbeam_cluster_link_bytes_total">>, counter, <<"Bytes that the present link to a node has carried.">>},
     {<<"hornbeam_websockets">>, gauge, <<"Open WebSocket connections.">>},
     {<<"hornbeam_websocket_events_total">>, counter, <<"WebSockets opened, refused, and messages dropped or connections closed for slow readers.">>},
     {<<"hornbeam_websocket_open_seconds">>, histogram, <<"Of WebSockets that have ended, by route: how long they were open.">>},
     {<<"hornbeam_connections">>, gauge, <<"Open connections of clients, without WebSockets over HTTP/1.1.">>},
     {<<"hornbeam_connections_refused_total">>, counter, <<"Connections beyond max_connections or the limit of open files.">>},
     {<<"hornbeam_tls_handshakes_total">>, counter, <<"TLS handshakes that were done, and that failed.">>},
     {<<"hornbeam_descriptors_limit">>, gauge, <<"The limit of open files (ulimit -n).">>},
     {<<"hornbeam_log_dropped_total">>, counter, <<"Lines of the log that standard error did not take.">>},
     {<<"hornbeam_log_suppressed_total">>, counter, <<"Lines of the log beyond what one place may log (log_rate).">>},
     {<<"hornbeam_trace_requests_total">>, counter, <<"Sampled requests, by what became of their spans: sent, dropped since too many waited, failed.">>},
     {<<"hornbeam_access_log_dropped_total">>, counter, <<"Lines that the access log was too slow to take.">>},
     {<<"hornbeam_beam_memory_bytes">>, gauge, <<"Memory of the Erlang VM, by kind.">>},
     {<<"hornbeam_beam_processes">>, gauge, <<"Processes of the Erlang VM.">>},
     {<<"hornbeam_beam_ports">>, gauge, <<"Ports of the Erlang VM: sockets, workers.">>},
     {<<"hornbeam_beam_atoms">>, gauge, <<"Atoms of the Erlang VM; they are never freed.">>}].

-spec bounds() -> [pos_integer()].
bounds() ->
    ?BOUNDS.

%% @doc A server's counters, made at the first call.
-spec ref(Name :: atom()) -> ref().
ref(Name) ->
    hornbeam_lasting:get({?MODULE, Name}, fun() -> counters:new(2 + ?BUCKETS, [write_concurrency]) end).

-spec forget(Name :: atom()) -> ok.
forget(Name) ->
    hornbeam_lasting:forget({?MODULE, Name}).

%% @doc A request has waited so long for a worker (us), which is returned.
-spec waited(ref(), Microseconds) -> Microseconds when Microseconds :: non_neg_integer().
waited(Ref, Microseconds) ->
    counters:add(Ref, 1, 1),
    counters:add(Ref, 2, Microseconds),
    case bucket(Microseconds) of
        none -> ok;
        Bucket -> counters:add(Ref, 2 + Bucket, 1)
    end,
    Microseconds.

%% @doc The number of the bucket of a duration; `none': longer than the last one has.
-spec bucket(Microseconds :: non_neg_integer()) -> pos_integer() | none.
bucket(Microseconds) ->
    bucket(Microseconds, ?BOUNDS, 1).

bucket(Microseconds, [Bound | _], Number) when Microseconds =< Bound -> Number;
bucket(Microseconds, [_ | Bounds], Number) -> bucket(Microseconds, Bounds, Number + 1);
bucket(_Microseconds, [], _Number) -> none.

%% @doc How long those of All take of which so many (Rank) take no longer, in microseconds: of cumulative buckets, even within each, which may be
%% differences of two readings; `none' of nothing, `more' beyond the last one.
-spec ranked(Rank :: number(), [Count :: integer()], All :: integer()) -> none | more | float().
ranked(_Rank, _Buckets, All) when All =< 0 -> none;
ranked(Rank, Buckets, _All) -> within(Rank, lists:zip(Buckets, ?BOUNDS), 0, 0).

within(Rank, [{Count, Bound} | _], Below, From) when Count >= Rank, Count > Below ->
    From + (Bound - From) * max(0, Rank - Below) / (Count - Below);
within(Rank, [{Count, Bound} | Rest], Below, _From) ->
    within(Rank, Rest, max(Count, Below), Bound);
within(_Rank, [], _Below, _From) ->
    more.

%% @doc `buckets' are cumulative, as Prometheus has them, without the one for infinity.
-spec read_waits(ref()) -> waits().
read_waits(Ref) ->
    [Waits, Microseconds | Own] = [counters:get(Ref, N) || N <- lists:seq(1, 2 + ?BUCKETS)],
    #{waits => Waits, microseconds => Microseconds, buckets => cumulative(Own)}.

%% @doc As Prometheus has buckets: each with those below.
-spec cumulative([non_neg_integer()]) -> [non_neg_integer()].
cumulative(Own) ->
    {Buckets, _} = lists:mapfoldl(fun(Count, Below) -> {Below + Count, Below + Count} end, 0, Own),
    Buckets.
