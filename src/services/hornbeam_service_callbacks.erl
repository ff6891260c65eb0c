%%% Python's calls of registered functions. Called by: hornbeam_services. Calls: hornbeam_callbacks, hornbeam_trace_context.
%%% A function is a part of the trace of its caller, where there is one.
-module(hornbeam_service_callbacks).
-behaviour(hornbeam_services).

-export([handle/3]).

%% How long a function may run that nobody waits for.
-define(CAST_TIMEOUT, 60000).
%% The longest that Erlang's timers take.
-define(IS_TIMEOUT(Timeout), (is_integer(Timeout) andalso Timeout > 0 andalso Timeout =< 16#ffffffff)).
%% The traceparent, where there is one.
-define(IS_TRACE(Trace), (Trace =:= [] orelse is_binary(hd(Trace)) andalso tl(Trace) =:= [])).

-spec handle(atom(), [term()], map()) -> hornbeam_services:outcome().
handle(call, [Timeout, Name, Arguments | Trace], _) when ?IS_TIMEOUT(Timeout), is_binary(Name), is_list(Arguments), ?IS_TRACE(Trace) ->
    with_function(Name, fun(Function) ->
        {run, Timeout, fun() -> run(Function, Arguments, Trace) end}
    end);
handle(cast, [Name, Arguments | Trace], _) when is_binary(Name), is_list(Arguments), ?IS_TRACE(Trace) ->
    with_function(Name, fun(Function) ->
        {start, ?CAST_TIMEOUT, fun() -> run(Function, Arguments, Trace) end}
    end);
handle(Operation, _Arguments, _) ->
    {error, type_error, <<"wrong arguments for ", (atom_to_binary(Operation))/binary>>}.

with_function(Name, Continue) ->
    case hornbeam_callbacks:find(Name) of
        {ok, Function} ->
            Continue(Function);
        error ->
            {error, not_registered,
             <<"no function is registered as \"", Name/binary, "\" (hornbeam:register_function)">>}
    end.

run(Function, Arguments, Trace) ->
    ok = hornbeam_trace_context:join(Trace),
    answer(hornbeam_callbacks:run(Function, Arguments)).

answer({ok, Value}) -> {ok, Value};
answer({error, Reason}) -> hornbeam_answer:raised(error, Reason, []);
answer(Value) -> {ok, Value}.
