%%% Calls to other nodes as a part of a trace: the process that runs there has it in its logger metadata (hornbeam_trace_context:current/0).
%%%
%%% Owns the table hornbeam_rpc_traced (hornbeam_tables owns the table itself): whether a node has this module. Called by: hornbeam_rpc, only
%%% where its caller has a trace; hornbeam_rpc of other nodes (run/4). Calls: hornbeam_trace_context, hornbeam_call_sup.
%%%
%%%     caller ── takes/2 ──▶ the table ── not there ──▶ a process (hornbeam_call_sup) that watches the node, then asks it, and remembers
%%%                                                      the answer until the node is gone
%%%
%%% Two that ask at the same time each ask; the second answer is that of the first. A node that does not answer is asked again with the next call.
%%% Where the application does not run, nothing is remembered, and no node is asked.
-module(hornbeam_rpc_traced).

-export([takes/2, run/4]).

-define(TABLE, hornbeam_rpc_traced).
%% How long a node may take to say so that its answer is still remembered.
-define(PATIENCE, 60000).

%% @doc Whether run/4 is there on a node; else what is to be called is called as it is. Timeout in ms.
-spec takes(node(), timeout()) -> boolean() | {error, timeout | noconnection}.
takes(Node, _Timeout) when Node =:= node() ->
    true;
takes(Node, Timeout) ->
    case ets:whereis(?TABLE) of
        undefined -> false;
        Table ->
            case ets:lookup(Table, Node) of
                [{_, Takes}] -> Takes;
                [] -> ask(Node, Timeout)
            end
    end.

ask(Node, Timeout) ->
    Caller = self(),
    Ref = make_ref(),
    {ok, Pid} = hornbeam_call_sup:start_call(fun() -> watch(Node, Caller, Ref) end),
    Monitor = monitor(process, Pid),
    receive
        {Ref, Answer} -> demonitor(Monitor, [flush]), Answer;
        {'DOWN', Monitor, process, _, _} -> receive {Ref, Answer} -> Answer after 0 -> {error, noconnection} end
    after Timeout ->
        demonitor(Monitor, [flush]),
        receive {Ref, Answer} -> Answer after 0 -> {error, timeout} end
    end.

%% The node is watched before it is asked: what is remembered is of the node that is gone when `nodedown' comes.
watch(Node, Caller, Ref) ->
    true = monitor_node(Node, true),
    Answer = has(Node),
    Is = is_boolean(Answer) andalso ets:insert_new(?TABLE, {Node, Answer}),
    Caller ! {Ref, Answer},
    case Is of
        true -> receive {nodedown, Node} -> true = ets:delete(?TABLE, Node) end;
        false -> false
    end.

%% The node loads the module for that, where it has one.
has(Node) ->
    try erpc:call(Node, ?MODULE, module_info, [exports], ?PATIENCE) of
        Exports -> lists:member({run, 4}, Exports)
    catch
        error:{erpc, timeout} -> {error, timeout};
        error:{erpc, _} -> {error, noconnection};
        error:{exception, undef, _} -> false
    end.

%% @private Runs a function on this node as a part of its caller's trace.
-spec run(Trace :: [binary()], module(), atom(), [term()]) -> term().
run(Trace, Module, Function, Arguments) ->
    ok = hornbeam_trace_context:join(Trace),
    apply(Module, Function, Arguments).
