%%% Hooks as Python asks for them: registers one that its process handles, calls one, wherever that is.
%%%
%%% Called by: hornbeam_services, whose table names this module (that room lies below the pools). Calls: hornbeam_hook_registry,
%%% hornbeam_hook_run, hornbeam_hook_tasks, hornbeam_service_rpc (what may be called on other nodes), hornbeam_answer.
%%%
%%% Arguments and values are envelopes (envelope.py), of which nothing is looked at here. An envelope with buffers makes no sense to a function of
%%% Erlang's: Python asks first who handles the hook (hook_language) and then sends none.
%%%
%%% Another node is asked as RPC asks it: where the option rpc_allow names hornbeam_hooks:execute, or hornbeam_hooks:stream.
-module(hornbeam_hook_calls).
-behaviour(hornbeam_services).

-export([handle/3]).

%% The longest that Erlang's timers take.
-define(MAX_MS, 16#ffffffff).
-define(IS_TIME(Time), ((is_integer(Time) andalso Time > 0 andalso Time =< ?MAX_MS) orelse Time =:= none)).
-define(IS_NODE(Node), (Node =:= none orelse (is_binary(Node) andalso byte_size(Node) =< 1024))).

%% Times in ms, or none. Node: none for this one.
-spec handle(atom(), [term()], map()) -> hornbeam_services:outcome().
handle(hook_register, [Name], #{pool := Pool, slot := Slot, window := Window, max_concurrency := MaxLoad}) ->
    case hornbeam_hook_registry:join(Name, {python, Pool, Window, MaxLoad}, Slot) of
        ok -> {ok, none};
        {error, Refusal} -> {error, value_error, refused(Refusal)}
    end;
handle(hook_unregister, [Name], _) when is_binary(Name) ->
    {ok, hornbeam_hook_registry:leave(Name, self())};
handle(hook_language, [Name], _) when is_binary(Name) ->
    {ok, case hornbeam_hook_registry:find(Name) of
        {erlang, _} -> <<"erlang">>;
        _ -> <<"python">>
    end};
handle(hook_await, [Time, Id], _) when ?IS_TIME(Time), is_binary(Id) ->
    {run, longer(Time), fun() -> awaited(hornbeam_hook_tasks:await(python, Id, limit(Time))) end};
handle(Operation, [Time, Node, Name, Action, {bytes, Envelope}], Settings)
        when ?IS_TIME(Time), ?IS_NODE(Node), is_binary(Name), is_binary(Envelope) ->
    case hornbeam_hook_run:is_action(Action) of
        true ->
            Job = #{name => Name, action => Action, input => {envelope, Envelope}, for => python, timeout => limit(Time)},
            somewhere(Operation, Node, Job, Settings);
        false ->
            {error, value_error, <<"an action is a text of at most 255 bytes without NUL">>}
    end;
handle(Operation, _Arguments, _) ->
    {error, type_error, <<"wrong arguments for ", (atom_to_binary(Operation))/binary>>}.

refused(taken) -> <<"the hook is handled already, by Erlang or by another application">>;
refused(too_many_hooks) -> <<"too many hooks: 1000 may be registered on a node">>;
refused(bad_name) -> <<"a hook's name is a text of 1 to 512 bytes without NUL">>.

limit(none) -> infinity;
limit(Time) -> Time.

%% The process of the operation outlives the call's own time a little, so that this is what is told.
longer(none) -> ?MAX_MS;
longer(Time) -> min(?MAX_MS, Time + 1000).

somewhere(Operation, none, Job, _Settings) ->
    outcome(Operation, none, Job);
somewhere(Operation, Name, Job, Settings) ->
    Function = case Operation of hook_stream -> <<"stream">>; _ -> <<"execute">> end,
    hornbeam_service_rpc:allowed(Name, <<"hornbeam_hooks">>, Function, Settings, fun(Node, _, _) -> outcome(Operation, Node, Job) end).

outcome(hook_call, Node, #{timeout := Timeout} = Job) ->
    {run, longer(case Timeout of infinity -> none; _ -> Timeout end), fun() -> answer(called(Node, Job), Node, Job) end};
outcome(hook_start, Node, Job) ->
    case hornbeam_hook_tasks:start(python, fun() -> answer(called(Node, Job), Node, Job) end) of
        {ok, Id} -> {ok, Id};
        {error, overloaded} -> {error, service_overloaded, <<"too many calls of hooks whose value has not been fetched: 10000 on a node">>}
    end;
outcome(hook_stream, Node, Job) ->
    {stream, ?MAX_MS, fun(Send) ->
        case streamed(Node, Job, fun(Envelope, _Count) -> Send(head(Envelope)) end) of
            done -> {packed, head([<<0:32, 16#c0>>])};
            Error -> answer(Error, Node, Job)
        end
    end}.

called(none, Job) -> hornbeam_hook_run:call(Job);
called(Node, Job) -> hornbeam_hook_run:call_at(Node, Job).

streamed(none, Job, Send) -> hornbeam_hook_run:stream(Job, Send);
streamed(Node, Job, Send) -> hornbeam_hook_run:stream_at(Node, Job, Send).

awaited({ok, Answer}) -> Answer;
awaited({error, timeout}) -> {error, timeout, <<"the call has not been answered in time">>};
awaited({error, overloaded}) -> {error, service_overloaded, <<"there was no room to keep the value">>};
awaited({error, not_found}) -> {error, no_hook, <<"there is no such task, or its value was fetched already">>}.

answer({ok, Envelope}, _Node, _Job) -> {packed, head(Envelope)};
answer({error, noconnection}, Node, _Job) -> hornbeam_service_rpc:unreachable(atom_to_binary(Node));
answer({error, Failure}, _Node, #{name := Name}) -> failure(Failure, beginning(Name)).

%% Not in the middle of a character.
beginning(Name) ->
    case unicode:characters_to_binary(binary:part(Name, 0, min(100, byte_size(Name)))) of
        {_, Whole, _} -> Whole;
        Whole -> Whole
    end.

failure({python, Class, Message, Traceback}, _) -> {error, hook_error, [Class, Message, Traceback]};
failure({reason, Reason}, _) -> hornbeam_answer:raised(error, Reason, []);
failure({raised, Class, Reason, Stack}, _) -> hornbeam_answer:raised(Class, Reason, Stack);
failure({wrong, Text}, _) -> {error, type_error, Text};
failure({not_encodable, too_big}, _) -> {error, value_error, <<"the value is longer than a frame may be (64 MiB)">>};
failure({not_encodable, _}, _) -> {error, type_error, <<"the value has a part that cannot travel to Python">>};
failure(not_found, Name) -> {error, no_hook, <<"nobody handles the hook \"", Name/binary, "\" (register_hook)">>};
failure(timeout, Name) -> {error, timeout, <<"the hook \"", Name/binary, "\" has not answered in time">>};
failure(overloaded, Name) -> {error, service_overloaded, <<"the workers that handle the hook \"", Name/binary, "\" are full">>};
failure(unavailable, Name) -> {error, service_unavailable, <<"the process that handled the hook \"", Name/binary, "\" ended during the call">>}.

%% An envelope as a msgpack value: a bin 32.
head(Envelope) -> [<<16#c6, (iolist_size(Envelope)):32>> | Envelope].
