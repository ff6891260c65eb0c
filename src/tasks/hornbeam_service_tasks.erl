%%% Python's tasks and schedules: its arguments, its answers. Called by: hornbeam_services, in a worker's process. Calls: hornbeam_tasks,
%%% hornbeam_tasks_sup (the first call of a server has them started), hornbeam_schedules, hornbeam_task_table, hornbeam_pubsub,
%%% hornbeam_task_cluster, hornbeam_service_cluster (the errors of a cluster).
%%%
%%% An id is unguessable, and any worker of the node may use it; of a durable task in a cluster any worker of a server of that name, on every node. Progress is bounded: ?MAX_PROGRESS bytes.
-module(hornbeam_service_tasks).
-behaviour(hornbeam_services).

-include("hornbeam_task.hrl").

-export([handle/3]).

-define(MAX_PROGRESS, 65536).
-define(MAX_LIST, 10000).
%% Beyond that a spawn is answered with an error; a disk may be slow.
-define(SPAWN, 60000).
-define(QUICK, 10000).
-define(MAX_MS, 16#ffffffff).

-spec handle(atom(), [term()], map()) -> hornbeam_services:outcome().
handle(task_spawn, [Function, Body, Options], #{name := Server}) ->
    case hornbeam_task:new(Server, Function, Body, Options) of
        {ok, Task} -> add(hornbeam_tasks:adding(Server, Task), Server, Task);
        {error, Text} -> {error, value_error, Text}
    end;
handle(task_info, [Id], #{name := Server}) when is_binary(Id) ->
    with(Server, Id, fun(Task) -> {ok, hornbeam_task:info(Task)} end);
handle(task_body, [Id], #{name := Server}) when is_binary(Id) ->
    with(Server, Id, fun(#task{body = Body}) -> {packed, Body} end);
handle(task_result, [Id], #{name := Server}) when is_binary(Id) ->
    with(Server, Id, fun(Task) -> {packed, hornbeam_task:outcome(Task)} end);
handle(task_await, [Id, Timeout], #{name := Server}) when is_binary(Id), is_integer(Timeout), Timeout >= 0, Timeout =< ?MAX_MS ->
    {run, Timeout, fun() ->
        case hornbeam_tasks:await(Server, Id, infinity) of
            {ok, Task} -> {packed, hornbeam_task:outcome(Task)};
            Other -> found(Other)
        end
    end};
handle(task_cancel, [Id], #{name := Server}) when is_binary(Id) ->
    {run, ?QUICK, fun() -> found(hornbeam_tasks:cancel(Server, Id)) end};
handle(task_retry, [Id], #{name := Server}) when is_binary(Id) ->
    {run, ?QUICK, fun() -> found(hornbeam_tasks:retry(Server, Id)) end};
handle(task_list, [State, Queue, Limit], #{name := Server}) when is_integer(Limit), Limit > 0, Limit =< ?MAX_LIST ->
    case lists:keyfind(State, 1, states()) of
        {_, Which} -> {walk, ?SPAWN, fun() -> listed(hornbeam_task_table:all(Server, Which), hornbeam_task_cluster:list(Server, Which, Queue, Limit), Queue, Limit) end};
        false -> {error, value_error, <<"there is no such state">>}
    end;
handle(task_progress, [Id, Value], #{name := Server}) when is_binary(Id) ->
    case erlang:external_size(Value) =< ?MAX_PROGRESS of
        true -> said(progress(Id, Value), hornbeam_task_table:member(Server), {progress, Id, Value});
        false -> {error, value_error, <<"progress may take 64 KiB">>}
    end;
handle(schedule_declare, [Name, Function, Body, Options], #{name := Server}) ->
    Worker = self(),
    case hornbeam_schedule:new(Name, Function, Body, Options) of
        {ok, Schedule} -> {run, ?QUICK, fun() -> declared(started(Server, schedules, fun() -> hornbeam_schedules:declare(Server, Schedule, Worker) end)) end};
        {error, Text} -> {error, value_error, Text}
    end;
handle(Operation, _Arguments, _) ->
    {error, type_error, <<"wrong arguments for ", (atom_to_binary(Operation))/binary>>}.

states() ->
    [{none, all} | [{atom_to_binary(State), State} || State <- [pending, running, retrying, done, failed, cancelled]]].

%% The first of a server starts what keeps them.
started(Server, Role, Fun) ->
    case hornbeam_task_table:Role(Server) of
        {ok, _} -> Fun();
        error -> ok = hornbeam_tasks_sup:ensure(Server), Fun()
    end.

add({ok, Keeper, Request, Meaning}, _Server, _Task) ->
    {ask, {Keeper, Request, fun(Answer) -> spawned(Meaning(Answer)) end}};
add({error, Refusal}, _Server, _Task) ->
    spawned({error, Refusal});
add(error, Server, Task) ->
    {run, ?SPAWN, fun() -> spawned(started(Server, keeper, fun() -> hornbeam_tasks:add(Server, Task) end)) end}.

%% One of this node is in a table; a task of the cluster takes a question to it.
with(Server, Id, Fun) ->
    case {hornbeam_task_table:find(Id), hornbeam_task_table:member(Server)} of
        {{ok, Task}, _} -> Fun(Task);
        {error, error} -> absent;
        {error, {ok, _}} ->
            {run, ?MAX_MS, fun() ->
                case hornbeam_tasks:find(Server, Id) of
                    {ok, Task} -> Fun(Task);
                    Other -> found(Other)
                end
            end}
    end.

said(false, {ok, Member}, Request) ->
    {ask, {Member, Request, fun({ok, Answer}) -> {ok, Answer}; (gone) -> {ok, false} end}};
said(Answer, _, _Request) ->
    {ok, Answer}.

spawned({ok, Id}) -> {ok, [true, Id]};
spawned({error, {cluster, Reason}}) -> hornbeam_service_cluster:failed(Reason);
spawned({error, {Kind, Text}}) -> {ok, [false, atom_to_binary(Kind), Text]}.

declared(ok) -> {ok, none};
declared(full) -> {error, value_error, <<"too many schedules: a server may have 1000">>};
declared(not_found) -> {error, connection_error, <<"the server takes no schedules now">>}.

found(not_found) -> absent;
found({error, Reason}) -> hornbeam_service_cluster:failed(Reason);
found(Answer) -> {ok, Answer}.

listed(Here, Shared, Queue, Limit) ->
    Wanted = lists:merge(fun(#task{seq = A}, #task{seq = B}) -> A >= B end,
                         [Task || #task{queue = Name} = Task <- Here, Queue =:= none orelse Queue =:= Name], Shared),
    hornbeam_answer:list(fun(Task) -> {ok, hornbeam_task:info(Task)} end, lists:sublist(Wanted, Limit)).

progress(Id, Value) ->
    case hornbeam_task_table:progress(Id, Value) of
        true ->
            _ = [hornbeam_pubsub:publish(<<"task:", Id/binary>>, hornbeam_task:event(Task)) || {ok, Task} <- [hornbeam_task_table:find(Id)]],
            true;
        false ->
            false
    end.
