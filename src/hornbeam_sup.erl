%%% The root of the supervision tree.
%%%
%%%     hornbeam_sup (rest_for_one)
%%%     ├─ hornbeam_tables       owns the ETS tables
%%%     ├─ hornbeam_signaller    sends signals to workers
%%%     ├─ hornbeam_memory       watches how much memory the VM takes
%%%     ├─ hornbeam_state_sweeper  removes what has expired from the shared state
%%%     ├─ hornbeam_pubsub       publish/subscribe: subscriptions, other nodes
%%%     ├─ hornbeam_call_sup     the calls between Python and Erlang that take a process
%%%     ├─ hornbeam_websocket_fanout   the relays that bring published messages to WebSocket clients
%%%     ├─ hornbeam_websockets   counts open WebSocket connections
%%%     └─ hornbeam_server_sup   one child per started server
%%%
%%% The order is the order of need: what is above a process is there before it and after it.
-module(hornbeam_sup).
-behaviour(supervisor).

-export([start_link/0, init/1]).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, []).

-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    {ok, {#{strategy => rest_for_one, intensity => 3, period => 10}, [
        #{id => hornbeam_tables, start => {hornbeam_tables, start_link, []}},
        #{id => hornbeam_signaller, start => {hornbeam_signaller, start_link, []}},
        #{id => hornbeam_memory, start => {hornbeam_memory, start_link, []}},
        #{id => hornbeam_state_sweeper, start => {hornbeam_state_sweeper, start_link, []}},
        #{id => hornbeam_pubsub, start => {hornbeam_pubsub, start_link, []},
          type => supervisor, shutdown => infinity},
        #{id => hornbeam_call_sup, start => {hornbeam_call_sup, start_link, []}},
        hornbeam_websocket_fanout:supervisor_spec(),
        #{id => hornbeam_websockets, start => {hornbeam_websockets, start_link, []}},
        #{id => hornbeam_server_sup, start => {hornbeam_server_sup, start_link, []},
          type => supervisor, shutdown => infinity}
    ]}}.
