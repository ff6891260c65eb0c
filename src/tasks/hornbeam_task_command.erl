%%% Tasks and schedules for a person: `hornbeam tasks', and what `hornbeam status' says of them.
%%%
%%% Called by: hornbeam_control, hornbeam_server (describe/1, for hornbeam:info/1). Calls: hornbeam_tasks, hornbeam_task_table, hornbeam_task_cluster,
%%% hornbeam_schedules, hornbeam_service_cluster (the errors of a cluster).
-module(hornbeam_task_command).

-include("hornbeam_task.hrl").

-export([run/2, describe/1]).

%% An answer through the control socket has 64 KiB.
-define(SHOWN, 200).
-define(LONGEST, 60000).

%% @doc Arguments: list [STATE], show ID, retry ID, cancel ID, purge [STATE].
-spec run(Server :: atom(), Arguments :: [string()]) -> {ok | error, unicode:chardata()}.
run(Server, ["list" | Rest]) ->
    with_state(Rest, fun(Which) ->
        {ok, list(hornbeam_task_table:all(Server, Which)) ++ shared(hornbeam_task_cluster:list(Server, Which, none, ?SHOWN))}
    end);
run(Server, ["show", Id]) ->
    case hornbeam_tasks:find(Server, list_to_binary(Id)) of
        {ok, #task{server = Server} = Task} -> {ok, string:slice(hornbeam_task:text(Task), 0, ?LONGEST div 4)};
        {error, Reason} -> failed(Reason);
        _ -> not_found(Id)
    end;
run(Server, ["retry", Id]) ->
    answer(hornbeam_tasks:retry(Server, list_to_binary(Id)), Id, "it runs again", "only a task that has failed or was cancelled can be retried");
run(Server, ["cancel", Id]) ->
    answer(hornbeam_tasks:cancel(Server, list_to_binary(Id)), Id, "cancelled", "it is over already");
run(Server, ["purge" | Rest]) ->
    with_state(Rest, fun(Which) ->
        case hornbeam_tasks:purge(Server, Which) of
            not_found -> {ok, "0 forgotten"};
            {error, Reason} -> failed(Reason);
            Number -> {ok, io_lib:format("~b forgotten", [Number])}
        end
    end);
run(_Server, _Arguments) ->
    {error, "tasks takes list [STATE], show ID, retry ID, cancel ID or purge [STATE]"}.

with_state([], Fun) -> Fun(all);
with_state([Text], Fun) ->
    case [State || State <- [pending, running, retrying, done, failed, cancelled], atom_to_list(State) =:= Text] of
        [State] -> Fun(State);
        [] -> {error, ["there is no state ", hornbeam_option_text:show(Text), "; they are pending, running, retrying, done, failed, cancelled"]}
    end;
with_state(_, _) -> {error, "one state at most"}.

answer(true, _Id, Text, _) -> {ok, Text};
answer(false, _Id, _, Text) -> {error, Text};
answer({error, Reason}, _Id, _, _) -> failed(Reason);
answer(not_found, Id, _, _) -> not_found(Id).

failed(Reason) ->
    {error, _, Text} = hornbeam_service_cluster:failed(Reason),
    {error, Text}.

not_found(Id) -> {error, ["there is no task ", hornbeam_option_text:show(Id)]}.

list([]) -> "no tasks";
list(Tasks) ->
    {Shown, Rest} = lists:split(min(?SHOWN, length(Tasks)), Tasks),
    [row("id", "state", "queue", "attempts", "function") | lists:map(fun line/1, Shown)]
    ++ [io_lib:format("and ~b older ones~n", [length(Rest)]) || Rest =/= []].

shared([]) -> "";
shared(Tasks) -> ["of the cluster:\n" | list(Tasks)].

line(#task{id = Id, state = State, queue = Queue, attempts = Attempts, function = Function}) ->
    row(Id, atom_to_list(State), string:slice(Queue, 0, 30), integer_to_list(Attempts), string:slice(Function, 0, 80)).

row(Id, State, Queue, Attempts, Function) ->
    io_lib:format("~-31ts~-10ts~-16ts~9ts  ~ts~n", [Id, State, Queue, Attempts, Function]).

%% @doc How many tasks of each state, and the schedules.
-spec describe(Server :: atom()) -> #{counts := map() | none, shared := map() | none, schedules := [map()]}.
describe(Server) ->
    #{counts => hornbeam_tasks:describe(Server), shared => hornbeam_task_cluster:counts(Server), schedules => hornbeam_schedules:describe(Server)}.
