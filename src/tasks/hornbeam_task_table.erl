%%% The tasks of all servers: the table hornbeam_tasks, and which process keeps those of a server.
%%%
%%% Written by: hornbeam_tasks (rows), hornbeam_task_store (that one is on disk), hornbeam_service_tasks (progress), each its own fields,
%%% so no one's write undoes another's. Read by everybody, without a message. hornbeam_tables owns the table.
-module(hornbeam_task_table).

-include("hornbeam_task.hrl").

-export([insert/1, update/2, delete/1, find/1, of_server/1, all/2, some/3, durable/1, progress/2, stored/1, counts/1]).
-export([keeper/1, set_keeper/2, store/1, set_store/2, schedules/1, set_schedules/2, member/1, set_member/2, supervisor/1, set_supervisor/2, forget/1]).

-define(TABLE, hornbeam_tasks).

-spec insert(hornbeam_task:task()) -> ok.
insert(#task{} = Task) ->
    true = ets:insert(?TABLE, Task),
    ok.

-spec update(Id :: binary(), [{pos_integer(), term()}]) -> ok.
update(Id, Changes) ->
    _ = ets:update_element(?TABLE, Id, Changes),
    ok.

-spec delete(Id :: binary()) -> ok.
delete(Id) ->
    true = ets:delete(?TABLE, Id),
    ok.

-spec find(Id :: binary()) -> {ok, hornbeam_task:task()} | error.
find(Id) ->
    case ets:lookup(?TABLE, Id) of
        [#task{} = Task] -> {ok, Task};
        _ -> error
    end.

%% @doc The tasks of a server, the oldest first.
-spec of_server(Server :: atom()) -> [hornbeam_task:task()].
of_server(Server) ->
    lists:keysort(#task.seq, ets:match_object(?TABLE, with([{#task.server, Server}]))).

%% A pattern of rows. (As a record it would break the types of the fields.)
with(Fields) ->
    erlang:make_tuple(record_info(size, task), '_', [{1, task} | Fields]).

%% @doc Of a server's tasks those of a state, or all; the newest first.
-spec all(Server :: atom(), hornbeam_task:state() | all) -> [hornbeam_task:task()].
all(Server, all) ->
    lists:reverse(of_server(Server));
all(Server, State) ->
    lists:reverse(lists:keysort(#task.seq, ets:match_object(?TABLE, with([{#task.server, Server}, {#task.state, State}])))).

%% @doc For a person: no more than Max tasks of a state, or of all, in no order; without their arguments and results.
-spec some(Server :: atom(), hornbeam_task:state() | all, Max :: pos_integer()) -> [map()].
some(Server, Which, Max) ->
    Shown = [{id, #task.id}, {seq, #task.seq}, {state, #task.state}, {function, #task.function}, {queue, #task.queue}, {attempts, #task.attempts},
             {durable, #task.durable}, {created, #task.created}, {due, #task.due}, {started, #task.started}, {finished, #task.finished}],
    Variables = [{Field, list_to_atom([$$ | integer_to_list(Field)])} || {_, Field} <- Shown],
    State = case Which of all -> '$100'; _ -> Which end,
    Pattern = with([{#task.server, Server} | lists:keystore(#task.state, 1, Variables, {#task.state, State})]),
    Row = maps:from_list([{Key, case Field of #task.state -> State; _ -> proplists:get_value(Field, Variables) end} || {Key, Field} <- Shown]),
    case ets:select(?TABLE, [{Pattern, [], [Row]}], Max) of
        {Rows, _} -> Rows;
        '$end_of_table' -> []
    end.

%% @doc Those that are on disk.
-spec durable(Server :: atom()) -> [hornbeam_task:task()].
durable(Server) ->
    ets:match_object(?TABLE, with([{#task.server, Server}, {#task.durable, true}, {#task.stored, true}])).

%% @doc What a task says of itself; whether it is there.
-spec progress(Id :: binary(), term()) -> boolean().
progress(Id, Progress) ->
    ets:update_element(?TABLE, Id, {#task.progress, Progress}).

-spec stored(Id :: binary()) -> ok.
stored(Id) ->
    update(Id, [{#task.stored, true}]).

%% @doc How many of a server's there are of each state.
-spec counts(Server :: atom()) -> #{hornbeam_task:state() => non_neg_integer()}.
counts(Server) ->
    Count = fun(State) -> ets:select_count(?TABLE, [{with([{#task.server, Server}, {#task.state, State}]), [], [true]}]) end,
    maps:from_list([{State, Count(State)} || State <- [pending, running, retrying, done, failed, cancelled]]).

%% @doc The process that keeps a server's tasks (hornbeam_tasks); it may have ended just now.
-spec keeper(Server :: atom()) -> {ok, pid()} | error.
keeper(Server) -> process(keeper, Server).

-spec set_keeper(Server :: atom(), pid()) -> ok.
set_keeper(Server, Pid) -> set_process(keeper, Server, Pid).

%% @doc The process that has its durable tasks on disk (hornbeam_task_store), where there is one.
-spec store(Server :: atom()) -> {ok, pid()} | error.
store(Server) -> process(store, Server).

-spec set_store(Server :: atom(), pid()) -> ok.
set_store(Server, Pid) -> set_process(store, Server, Pid).

%% @doc The process that its schedules are kept by (hornbeam_schedules).
-spec schedules(Server :: atom()) -> {ok, pid()} | error.
schedules(Server) -> process(schedules, Server).

-spec set_schedules(Server :: atom(), pid()) -> ok.
set_schedules(Server, Pid) -> set_process(schedules, Server, Pid).

%% @doc The process that is this node's share of a cluster's tasks (hornbeam_task_member), where there is a cluster.
-spec member(Server :: atom()) -> {ok, pid()} | error.
member(Server) -> process(member, Server).

-spec set_member(Server :: atom(), pid()) -> ok.
set_member(Server, Pid) -> set_process(member, Server, Pid).

%% @doc The supervisor of all (hornbeam_tasks_sup).
-spec supervisor(Server :: atom()) -> {ok, pid()} | error.
supervisor(Server) -> process(supervisor, Server).

-spec set_supervisor(Server :: atom(), pid()) -> ok.
set_supervisor(Server, Pid) -> set_process(supervisor, Server, Pid).

process(Role, Server) ->
    case ets:lookup(?TABLE, {Role, Server}) of
        [{_, _, Pid}] -> {ok, Pid};
        [] -> error
    end.

set_process(Role, Server, Pid) ->
    true = ets:insert(?TABLE, {process, {Role, Server}, Pid}),
    ok.

%% @doc The server has ended.
-spec forget(Server :: atom()) -> ok.
forget(Server) ->
    true = ets:match_delete(?TABLE, with([{#task.server, Server}])),
    lists:foreach(fun(Role) -> true = ets:delete(?TABLE, {Role, Server}) end, [keeper, store, schedules, member, supervisor]),
    ok.
