%%% Calls to other nodes, on `erpc'.
%%%
%%%     {ok, [3, 2, 1]} = hornbeam_rpc:call('b@host', lists, reverse, [[1, 2, 3]], 5000).
%%%
%%% Called by: hornbeam_service_rpc (Python; what it may call is decided there), and any OTP application.
%%% Calls: hornbeam_trace_context; hornbeam_rpc_traced, where the calling process is a part of a trace, which then goes on there.
%%% Every function may wait for the network. The node itself may be called too, distributed or not.
-module(hornbeam_rpc).

-export([call/5, cast/4, nodes/0, connect/1, ping/1]).
-export_type([failure/0]).

-compile({no_auto_import, [nodes/0]}).

%% How long a cast waits for that answer; then it goes without its trace.
-define(TAKES, 5000).

%% What the called function raised, with its stack where there is one; or that it was not reached.
-type failure() :: timeout | noconnection | {error | exit | throw, Reason :: term(), list()}.

%% @doc Runs a function on a node in a process of its own. Timeout in ms.
-spec call(node(), module(), atom(), [term()], timeout()) -> {ok, term()} | {error, failure()}.
call(Node, Module, Function, Arguments, Timeout) ->
    case hornbeam_trace_context:current() of
        [] -> plain(Node, Module, Function, Arguments, Timeout);
        Trace -> traced(Node, [Trace, Module, Function, Arguments], Timeout)
    end.

traced(Node, [_, Module, Function, Arguments] = Whole, Timeout) ->
    Begin = erlang:monotonic_time(millisecond),
    case hornbeam_rpc_traced:takes(Node, Timeout) of
        true -> own(plain(Node, hornbeam_rpc_traced, run, Whole, left(Timeout, Begin)));
        false -> plain(Node, Module, Function, Arguments, left(Timeout, Begin));
        Error -> Error
    end.

%% erpc adds a frame of what it has called.
own({error, {error, Reason, Stack}}) -> {error, {error, Reason, [Frame || Frame <- Stack, element(1, Frame) =/= hornbeam_rpc_traced]}};
own(Answer) -> Answer.

left(infinity, _Begin) -> infinity;
left(Timeout, Begin) -> max(0, Timeout - (erlang:monotonic_time(millisecond) - Begin)).

plain(Node, Module, Function, Arguments, Timeout) ->
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

%% @doc Runs a function on a node and waits for nothing but the connection; as a part of a trace, where that node has not been called, for its answer to
%% whether it can.
-spec cast(node(), module(), atom(), [term()]) -> ok.
cast(Node, Module, Function, Arguments) ->
    case hornbeam_trace_context:current() of
        [] -> erpc:cast(Node, Module, Function, Arguments);
        Trace ->
            case hornbeam_rpc_traced:takes(Node, ?TAKES) of
                true -> erpc:cast(Node, hornbeam_rpc_traced, run, [Trace, Module, Function, Arguments]);
                _ -> erpc:cast(Node, Module, Function, Arguments)
            end
    end.

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
