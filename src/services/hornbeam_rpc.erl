%%% Calls to other nodes, on `erpc'.
%%%
%%%     {ok, [3, 2, 1]} = hornbeam_rpc:call('b@host', lists, reverse, [[1, 2, 3]], 5000).
%%%
%%% Called by: hornbeam_service_rpc (Python; what it may call is decided there), and any OTP application.
%%% Every function may wait for the network. The node itself may be called too, distributed or not.
-module(hornbeam_rpc).

-export([call/5, cast/4, nodes/0, connect/1, ping/1]).
-export_type([failure/0]).

-compile({no_auto_import, [nodes/0]}).

%% What the called function raised, with its stack where there is one; or that it was not reached.
-type failure() :: timeout | noconnection | {error | exit | throw, Reason :: term(), list()}.

%% @doc Runs a function on a node in a process of its own. Timeout in ms.
-spec call(node(), module(), atom(), [term()], timeout()) -> {ok, term()} | {error, failure()}.
call(Node, Module, Function, Arguments, Timeout) ->
    try {ok, erpc:call(Node, Module, Function, Arguments, Timeout)}
    catch
        error:{erpc, timeout} -> {error, timeout};
        error:{erpc, noconnection} -> {error, noconnection};
        error:{erpc, Reason} -> {error, {error, {erpc, Reason}, []}};
        error:{exception, Reason, Stack} -> {error, {error, Reason, Stack}};
        exit:{exception, Reason} -> {error, {exit, Reason, []}};
        exit:{signal, Reason} -> {error, {exit, Reason, []}};
        throw:Reason -> {error, {throw, Reason, []}}
    end.

%% @doc Runs a function on a node and waits for nothing but the connection.
-spec cast(node(), module(), atom(), [term()]) -> ok.
cast(Node, Module, Function, Arguments) ->
    erpc:cast(Node, Module, Function, Arguments).

%% @doc The connected nodes, hidden ones left out.
-spec nodes() -> [node()].
nodes() ->
    erlang:nodes().

%% @doc Connects to a node; whether it is connected now. A node is always connected to itself.
-spec connect(node()) -> boolean().
connect(Node) ->
    Node =:= node() orelse net_kernel:connect_node(Node) =:= true.

%% @doc Whether a node answers; connects to it where needed.
-spec ping(node()) -> boolean().
ping(Node) ->
    Node =:= node() orelse net_adm:ping(Node) =:= pong.
