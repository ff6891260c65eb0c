%%% Python's calls to other nodes: what may be called (the option rpc_allow), names to atoms, errors.
%%%
%%% Called by: hornbeam_services; hornbeam_hook_calls (allowed/5, unreachable/1). Calls: hornbeam_rpc, hornbeam_trace_context. No atom is made: a name that is no atom of this node yet
%%% names nothing that it could reach. The options rpc_allow and cluster_nodes make theirs when they are read.
-module(hornbeam_service_rpc).
-behaviour(hornbeam_services).

-export([handle/3, allowed/5, unreachable/1]).

%% How long connecting may take before a cast, connect and ping are given up; longer than net_setuptime.
-define(CONNECT_TIMEOUT, 15000).
%% The longest that Erlang's timers take.
-define(MAX_MS, 16#ffffffff).
%% Atoms are shorter; what is longer is not quoted in an error either.
-define(IS_NAME(Name), (is_binary(Name) andalso byte_size(Name) =< 1024)).
%% The traceparent, where there is one.
-define(IS_TRACE(Trace), (Trace =:= [] orelse is_binary(hd(Trace)) andalso tl(Trace) =:= [])).
-define(ARE_NAMES(A, B, C), ?IS_NAME(A), ?IS_NAME(B), ?IS_NAME(C)).

-spec handle(atom(), [term()], map()) -> hornbeam_services:outcome().
handle(rpc_call, [Timeout, Node, Module, Function, Arguments | Trace], Settings)
        when is_integer(Timeout), Timeout > 0, Timeout =< ?MAX_MS, ?ARE_NAMES(Node, Module, Function), is_list(Arguments), ?IS_TRACE(Trace) ->
    allowed(Node, Module, Function, Settings, fun(N, M, F) ->
        %% The process outlives erpc's own timeout a little, so that this is what is told.
        {run, min(?MAX_MS, Timeout + 1000),
         fun() ->
             ok = hornbeam_trace_context:join(Trace),
             answer(N, hornbeam_rpc:call(N, M, F, Arguments, Timeout))
         end}
    end);
handle(rpc_cast, [Node, Module, Function, Arguments | Trace], Settings)
        when ?ARE_NAMES(Node, Module, Function), is_list(Arguments), ?IS_TRACE(Trace) ->
    allowed(Node, Module, Function, Settings, fun(N, M, F) ->
        {start, ?CONNECT_TIMEOUT,
         fun() ->
             ok = hornbeam_trace_context:join(Trace),
             {ok, hornbeam_rpc:cast(N, M, F, Arguments)}
         end}
    end);
handle(nodes, [], _) ->
    {ok, [atom_to_binary(Node) || Node <- hornbeam_rpc:nodes()]};
handle(node, [], _) ->
    {ok, atom_to_binary(node())};
handle(connect, [Node], #{cluster_nodes := Cluster}) when ?IS_NAME(Node) ->
    to_node(Node, false, fun(N) ->
        case N =:= node() orelse lists:member(N, Cluster) orelse lists:member(N, erlang:nodes(known)) of
            true -> {run, ?CONNECT_TIMEOUT, fun() -> {ok, hornbeam_rpc:connect(N)} end};
            false -> {error, permission_error,
                      <<"connect: \"", Node/binary, "\" is not in the option cluster_nodes">>}
        end
    end);
handle(ping, [Node], _) when ?IS_NAME(Node) ->
    to_node(Node, false, fun(N) -> {run, ?CONNECT_TIMEOUT, fun() -> {ok, hornbeam_rpc:ping(N)} end} end);
handle(Operation, _Arguments, _) ->
    {error, type_error, <<"wrong arguments for ", (atom_to_binary(Operation))/binary>>}.

%% Distribution is not started by a call to it.
to_node(Name, NotAlive, Continue) ->
    case existing(Name) of
        {ok, Node} when Node =:= node() -> Continue(Node);
        {ok, Node} ->
            case is_alive() of
                true -> Continue(Node);
                false when is_tuple(NotAlive) -> NotAlive;
                false -> {ok, NotAlive}
            end;
        error when is_tuple(NotAlive) -> NotAlive;
        error -> {ok, NotAlive}
    end.

%% @doc Goes on with the node and the function, if the option rpc_allow names it.
-spec allowed(Node :: binary(), Module :: binary(), Function :: binary(), Settings :: map(),
              fun((node(), module(), atom()) -> Outcome)) -> Outcome | hornbeam_answer:answer().
allowed(Node, Module, Function, #{rpc_allow := Allow}, Continue) ->
    case {existing(Module), existing(Function)} of
        {{ok, M}, {ok, F}} ->
            case lists:any(fun(Entry) -> allows(Entry, M, F) end, Allow) of
                true -> to_node(Node, unreachable(Node), fun(N) -> Continue(N, M, F) end);
                false -> refused(Module, Function)
            end;
        _ ->
            case lists:member(all, Allow) of
                true -> hornbeam_answer:raised(error, {undef, Module, Function}, []);
                false -> refused(Module, Function)
            end
    end.

allows(all, _, _) -> true;
allows({Module, Function}, Module, Function) -> true;
allows(_, _, _) -> false.

refused(Module, Function) ->
    Text = io_lib:format("~ts:~ts may not be called from Python; allow it with the option rpc_allow: "
                         "{~ts, ~ts} in Erlang, --rpc-allow ~ts:~ts on the command line",
                         [Module, Function, Module, Function, Module, Function]),
    {error, permission_error, unicode:characters_to_binary(Text)}.

%% @doc The answer for a node that is not reached.
-spec unreachable(binary()) -> hornbeam_answer:answer().
unreachable(Node) ->
    Why = case is_alive() of
        true -> "";
        false -> ": this node is not distributed (start it with a name, HORNBEAM_ERL_FLAGS=\"-name ...\")"
    end,
    Text = io_lib:format("node ~ts cannot be reached~ts", [Node, Why]),
    {error, connection_error, unicode:characters_to_binary(Text)}.

existing(Name) ->
    try {ok, binary_to_existing_atom(Name)}
    catch
        error:badarg -> error;
        error:system_limit -> error
    end.

answer(_Node, {ok, Value}) -> {ok, Value};
answer(_Node, {error, timeout}) -> {error, timeout, <<"the call has not been answered in time">>};
answer(Node, {error, noconnection}) -> unreachable(atom_to_binary(Node));
answer(_Node, {error, {Class, Reason, Stack}}) -> hornbeam_answer:raised(Class, Reason, Stack).
