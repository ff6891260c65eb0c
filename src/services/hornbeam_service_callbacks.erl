%%% Python's calls of registered functions. Called by: hornbeam_services. Calls: hornbeam_callbacks.
-module(hornbeam_service_callbacks).
-behaviour(hornbeam_services).

-export([handle/3]).

%% How long a function may run that nobody waits for.
-define(CAST_TIMEOUT, 60000).
%% The longest that Erlang's timers take.
-define(IS_TIMEOUT(Timeout), (is_integer(Timeout) andalso Timeout > 0 andalso Timeout =< 16#ffffffff)).

-spec handle(atom(), [term()], map()) -> hornbeam_services:outcome().
handle(call, [Timeout, Name, Arguments], _) when ?IS_TIMEOUT(Timeout), is_binary(Name), is_list(Arguments) ->
    with_function(Name, fun(Function) ->
        {run, Timeout, fun() -> answer(hornbeam_callbacks:run(Function, Arguments)) end}
    end);
handle(cast, [Name, Arguments], _) when is_binary(Name), is_list(Arguments) ->
    with_function(Name, fun(Function) ->
        {start, ?CAST_TIMEOUT, fun() -> answer(hornbeam_callbacks:run(Function, Arguments)) end}
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

answer({ok, Value}) -> {ok, Value};
answer({error, Reason}) -> hornbeam_answer:raised(error, Reason, []);
answer(Value) -> {ok, Value}.
