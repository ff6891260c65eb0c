%%% The root of the supervision tree.
%%%
%%%     hornbeam_sup (one_for_one)
%%%     ├─ hornbeam_tables       owns the ETS tables                                                           vital
%%%     ├─ hornbeam_signaller    sends signals to workers
%%%     ├─ hornbeam_memory       watches how much memory the VM takes
%%%     ├─ hornbeam_state_sweeper  removes what has expired from the shared state                              kept
%%%     ├─ hornbeam_pubsub       publish/subscribe: subscriptions, other nodes
%%%     ├─ hornbeam_cache        who computes what is cached, who waits for it
%%%     ├─ hornbeam_layer        the messages and groups of Django's channel layers
%%%     ├─ hornbeam_call_sup     the calls between Python and Erlang that take a process
%%%     ├─ hornbeam_websocket_fanout   the relays that bring published messages to WebSocket clients
%%%     ├─ hornbeam_websockets   counts open WebSocket connections
%%%     ├─ hornbeam_presence     who is present in the topics of channels, here and on other nodes
%%%     ├─ hornbeam_connections  counts the other connections
%%%     ├─ hornbeam_cluster_sup  this node as a member of a cluster: not there unless a server asks for it           kept
%%%     ├─ hornbeam_server_sup   one child per started server
%%%     └─ hornbeam_server_monitor  notices when a server ends by itself
%%%
%%% The order is the order of need: what is above a process is there before it and after it. What the failure of each means:
%%%
%%%   vital    its end is the end of the application, since everybody needs what the tables held. It does nothing that could fail.
%%%   kept     restarted by a hornbeam_keeper, as often and as late as need be. Nobody waits for it.
%%%   others   restarted at once, alone. Subscriptions are in the tables; calls that ran in hornbeam_call_sup are answered with an
%%%            error; those who wait in hornbeam_cache compute for themselves, and what it kept is gone; WebSockets that were subscribed through a relay close with 1011; the two that count find what they counted; the end of
%%%            hornbeam_server_sup is that of its servers, each of which hornbeam_server_monitor treats as such.
%%%
%%% More than ten restarts in ten seconds are a defect that lasts: the application ends, which ends the VM where it is Hornbeam's own
%%% (hornbeam_app). hornbeam_server_monitor ends normally when a server has ended that the application is there for: likewise.
-module(hornbeam_sup).
-behaviour(supervisor).

-export([start_link/0, start_cluster/0, init/1]).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, []).

%% @doc The place of the cluster is here, before the servers and so stopped after them; hornbeam_cluster_node fills it once it is asked to.
-spec start_cluster() -> {ok, pid()} | ignore | {error, term()}.
start_cluster() ->
    case erlang:module_loaded(hornbeam_cluster_node) of
        true -> hornbeam_cluster_node:start_link();
        false -> ignore
    end.

-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    {ok, {#{strategy => one_for_one, intensity => 10, period => 10, auto_shutdown => any_significant}, [
        #{id => hornbeam_tables, start => {hornbeam_tables, start_link, []}, restart => temporary, significant => true},
        #{id => hornbeam_signaller, start => {hornbeam_signaller, start_link, []}},
        #{id => hornbeam_memory, start => {hornbeam_memory, start_link, []}},
        hornbeam_keeper:spec(hornbeam_state_sweeper, {hornbeam_state_sweeper, start_link,
                             [[fun hornbeam_state_store:remove_expired/0, fun hornbeam_state_limits:look/0,
                               fun hornbeam_cache:sweep/0, fun hornbeam_history:sweep/0]]}),
        #{id => hornbeam_pubsub, start => {hornbeam_pubsub, start_link, []},
          type => supervisor, shutdown => infinity},
        #{id => hornbeam_cache, start => {hornbeam_cache, start_link, []}},
        #{id => hornbeam_layer, start => {hornbeam_layer, start_link, []}},
        #{id => hornbeam_call_sup, start => {hornbeam_call_sup, start_link, []},
          type => supervisor, shutdown => infinity},
        hornbeam_websocket_fanout:supervisor_spec(),
        #{id => hornbeam_websockets, start => {hornbeam_websockets, start_link, []}},
        #{id => hornbeam_presence, start => {hornbeam_presence, start_link, []}},
        #{id => hornbeam_connections, start => {hornbeam_connections, start_link, [fun hornbeam_listener:connections/0]}},
        hornbeam_keeper:spec(hornbeam_cluster_sup, {?MODULE, start_cluster, []}),
        #{id => hornbeam_server_sup, start => {hornbeam_server_sup, start_link, []},
          type => supervisor, shutdown => infinity},
        %% The last, so that a stop of the application ends it before the servers.
        #{id => hornbeam_server_monitor, start => {hornbeam_server_monitor, start_link, []},
          restart => transient, significant => true}
    ]}}.
