%%% Owns every ETS table of the application (and the counters of hornbeam_descriptors) and never does anything else, so it does not crash and a
%%% table outlives the process that writes it.
%%%
%%% The tables are public because each has one writing module that is not this process; no other
%%% module writes there.
%%%
%%%   hornbeam_pools    hornbeam_pool     rows of one pool each: who takes requests; read per request
%%%   hornbeam_state         hornbeam_state_store   the applications' shared state
%%%   hornbeam_state_expiry  hornbeam_state_store   its keys by the time of their expiry
%%%   hornbeam_state_order   hornbeam_state_limits  its keys by their last write, when there is a limit
%%%   hornbeam_cache, hornbeam_cache_order, hornbeam_cache_expiry, hornbeam_cache_namespaces
%%%                          hornbeam_cache_store   computed results, and their figures
%%%   hornbeam_cache_asks    hornbeam_cache         who waits for one: written by workers, too
%%%   hornbeam_callbacks     hornbeam_callbacks     the functions registered for Python
%%%   hornbeam_rpc_traced    hornbeam_rpc_traced    which other nodes take a trace with a call
%%%   hornbeam_hooks         hornbeam_hook_registry who handles each hook
%%%   hornbeam_hook_tasks    hornbeam_hook_tasks    calls of hooks whose value is fetched later
%%%   hornbeam_topics, hornbeam_subscribers, hornbeam_subscriptions
%%%                          hornbeam_subscriptions who subscribes to what on this node
%%%   hornbeam_peer_topics   hornbeam_pubsub_peers  which other nodes do
%%%   hornbeam_unsent        hornbeam_unsent        how many messages were not sent to them
%%%   hornbeam_history, hornbeam_history_order
%%%                        hornbeam_history   the last messages of topics that keep them
%%%   hornbeam_presences   hornbeam_presence  who is present in which topic
%%%   hornbeam_websockets  hornbeam_websockets  open WebSocket connections, and counters
%%%   hornbeam_clients     hornbeam_clients  what each connection has of the places of its client
%%%   hornbeam_servers     hornbeam_servers  the servers whose sockets are open
%%%   hornbeam_crashes     hornbeam_crashes  the last crashes of workers
%%%   hornbeam_counts      hornbeam_counts   what happens seldom
%%%   hornbeam_app_metrics, hornbeam_app_gauges
%%%                        hornbeam_app_metrics   the application's own metrics: written by workers
%%%   hornbeam_routes      hornbeam_routes   the figures of servers' routes
%%%   hornbeam_tasks       hornbeam_task_table  background tasks and their results
-module(hornbeam_tables).
-behaviour(gen_server).

-export([start_link/0, init/1, handle_call/3, handle_cast/2]).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

-spec init([]) -> {ok, []}.
init([]) ->
    Options = [named_table, public, set, {read_concurrency, true}],
    hornbeam_pools = ets:new(hornbeam_pools, [{keypos, 2} | Options]),
    hornbeam_state = ets:new(hornbeam_state, [{write_concurrency, true} | Options]),
    Ordered = [named_table, public, ordered_set, {write_concurrency, true}],
    hornbeam_state_expiry = ets:new(hornbeam_state_expiry, Ordered),
    hornbeam_state_order = ets:new(hornbeam_state_order, Ordered),
    hornbeam_cache = ets:new(hornbeam_cache, [{write_concurrency, true} | Options]),
    hornbeam_cache_order = ets:new(hornbeam_cache_order, [named_table, public, ordered_set]),
    hornbeam_cache_expiry = ets:new(hornbeam_cache_expiry, [named_table, public, ordered_set]),
    hornbeam_cache_namespaces = ets:new(hornbeam_cache_namespaces, Options),
    hornbeam_cache_asks = ets:new(hornbeam_cache_asks, [{write_concurrency, true} | Options]),
    hornbeam_callbacks = ets:new(hornbeam_callbacks, Options),
    hornbeam_rpc_traced = ets:new(hornbeam_rpc_traced, Options),
    hornbeam_hook_tasks = ets:new(hornbeam_hook_tasks, Options),
    hornbeam_topics = ets:new(hornbeam_topics, Options),
    hornbeam_peer_topics = ets:new(hornbeam_peer_topics, Options),
    hornbeam_unsent = ets:new(hornbeam_unsent, Options),
    Ranges = [named_table, public, ordered_set, {read_concurrency, true}],
    hornbeam_hooks = ets:new(hornbeam_hooks, Ranges),
    hornbeam_subscribers = ets:new(hornbeam_subscribers, Ranges),
    hornbeam_subscriptions = ets:new(hornbeam_subscriptions, Ranges),
    hornbeam_history = ets:new(hornbeam_history, Ordered),
    hornbeam_history_order = ets:new(hornbeam_history_order, Ordered),
    hornbeam_presences = ets:new(hornbeam_presences, Ranges),
    hornbeam_websockets = ets:new(hornbeam_websockets, [{write_concurrency, true} | Options]),
    hornbeam_clients = ets:new(hornbeam_clients, [named_table, public, set, {write_concurrency, true}]),
    hornbeam_servers = ets:new(hornbeam_servers, Options),
    hornbeam_static_files = ets:new(hornbeam_static_files, Options),
    hornbeam_tasks = ets:new(hornbeam_tasks, [{keypos, 2}, {write_concurrency, true} | Options]),
    hornbeam_crashes = ets:new(hornbeam_crashes, [named_table, public, ordered_set]),
    hornbeam_counts = ets:new(hornbeam_counts, Options),
    hornbeam_app_metrics = ets:new(hornbeam_app_metrics, [{write_concurrency, true} | Options]),
    hornbeam_app_gauges = ets:new(hornbeam_app_gauges, Ordered),
    hornbeam_routes = ets:new(hornbeam_routes, [{write_concurrency, true} | Options]),
    ok = hornbeam_descriptors:new(),
    {ok, []}.

-spec handle_call(term(), gen_server:from(), []) -> {reply, {error, not_supported}, []}.
handle_call(_Request, _From, State) ->
    {reply, {error, not_supported}, State}.

-spec handle_cast(term(), []) -> {noreply, []}.
handle_cast(_Request, State) ->
    {noreply, State}.
