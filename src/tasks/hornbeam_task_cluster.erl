%%% The durable tasks of a cluster, for those who ask for them on any node.
%%%
%%% Called by: hornbeam_tasks, hornbeam_service_tasks (Python), hornbeam_task_command (a person), hornbeam_schedules (operation/2). Calls: hornbeam_cluster (operations and
%%% questions of hornbeam_task_part), hornbeam_task_member (who waits), hornbeam_pubsub. Where a server has no cluster, hornbeam_task_table:member/1 says so and
%%% nothing of the cluster is called.
%%%
%%% What is asked about one task is linearizable, so it needs a majority; lists and counts are of this node's copy, which may be late.
-module(hornbeam_task_cluster).

-include("hornbeam_task.hrl").

-export([adding/2, added/1, limits/1, operation/1, find/2, await/3, cancel/2, retry/2, purge/2, list/4, counts/1, inform/2]).

%% The log is for many small things: one that is large keeps the others waiting.
-define(MAX_TASK, 4194304).

-type error() :: hornbeam_cluster:error().

%% @doc Whom to ask what so that a task is the cluster's; added/1 says what the answer means. error: this server has no cluster.
-spec adding(Server :: atom(), hornbeam_task:task()) -> {ok, pid(), Request :: term()} | {error, hornbeam_task_book:refusal()} | error.
adding(Server, Task) ->
    case hornbeam_task_table:member(Server) of
        {ok, _} -> asked(hornbeam_task:size(Task) > ?MAX_TASK, Server, Task);
        error -> error
    end.

asked(true, _Server, _Task) ->
    {error, {wrong, <<"a task of the cluster may take 4 MiB">>}};
asked(false, Server, Task) ->
    case hornbeam_cluster:request({tasks, {add, Server, operation(Task), limits(Server)}}) of
        {ok, {Pid, Request}} -> {ok, Pid, Request};
        {error, Reason} -> {error, {cluster, Reason}}
    end.

%% @doc How the operations have a task.
-spec operation(hornbeam_task:task()) -> hornbeam_task_part:task().
operation(#task{created = Created, due = Due} = Task) ->
    #{id := _} = Map = hornbeam_task:to_disk(Task#task{durable = true}),
    Map#{delay => max(0, Due - Created)}.

-spec limits(Server :: atom()) -> hornbeam_task_part:limits().
limits(Server) ->
    {ok, #{task_max_queue := Queue, task_max_bytes := Bytes}} = hornbeam_servers:config(Server),
    #{queue => Queue, bytes => Bytes}.

-spec added({ok, Answer :: term()} | gone) -> {ok, Id :: binary()} | {error, hornbeam_task_book:refusal()}.
added({ok, {ok, {ok, Id}}}) -> {ok, Id};
added({ok, {ok, {error, Limit}}}) -> {error, refusal(Limit)};
added({ok, {error, Reason}}) -> {error, {cluster, Reason}};
added(gone) -> {error, {cluster, in_doubt}}.

refusal(unknown) -> {full, <<"the cluster's members are of an earlier version">>};
refusal(Limit) -> {full, hornbeam_task_limits:text(Limit)}.

-spec find(Server :: atom(), Id :: binary()) -> {ok, hornbeam_task:task()} | not_found | error().
find(Server, Id) ->
    case has(Server) andalso hornbeam_cluster:query({tasks, {task, Server, Id}}, linearizable) of
        {ok, {ok, Map}} -> hornbeam_task:from_map(Server, Map);
        {error, _} = Error -> Error;
        _ -> not_found
    end.

%% @doc Waits until it is over.
-spec await(Server :: atom(), Id :: binary(), timeout()) -> {ok, hornbeam_task:task()} | not_found | error().
await(Server, Id, Timeout) ->
    case hornbeam_task_table:member(Server) of
        {ok, Pid} ->
            try gen_server:call(Pid, {await, Id}, Timeout)
            catch exit:{Gone, {gen_server, call, _}} when Gone =/= timeout -> {error, in_doubt}
            end;
        error -> not_found
    end.

-spec cancel(Server :: atom(), Id :: binary()) -> boolean() | not_found | error().
cancel(Server, Id) -> change(Server, fun(Ttl) -> {cancel, Server, Id, Ttl} end).

-spec retry(Server :: atom(), Id :: binary()) -> boolean() | not_found | error().
retry(Server, Id) -> change(Server, fun(Ttl) -> {retry, Server, Id, Ttl} end).

%% @doc Forgets what is over; how many they were.
-spec purge(Server :: atom(), hornbeam_task:state() | all) -> non_neg_integer() | not_found | error().
purge(Server, Which) -> change(Server, fun(_) -> {purge, Server, Which} end).

change(Server, Operation) ->
    case {has(Server), hornbeam_servers:config(Server)} of
        {true, {ok, #{task_result_ttl := Ttl}}} -> changed(hornbeam_cluster:command({tasks, Operation(Ttl)}), Server);
        _ -> not_found
    end.

changed({ok, {true, Map}}, Server) ->
    {ok, #task{id = Id} = Task} = hornbeam_task:from_map(Server, Map),
    _ = hornbeam_pubsub:publish(<<"task:", Id/binary>>, hornbeam_task:event(Task)),
    true;
changed({ok, Answer}, _Server) -> Answer;
changed({error, Reason}, _Server) -> {error, Reason}.

%% @doc The newest first, without what they were given and have returned.
-spec list(Server :: atom(), hornbeam_task:state() | all, Queue :: none | binary(), Limit :: pos_integer()) -> [hornbeam_task:task()].
list(Server, Which, Queue, Limit) ->
    case has(Server) andalso hornbeam_cluster:query({tasks, {list, Server, Which, Queue, Limit}}, local) of
        {ok, Maps} -> [Task || {ok, Task} <- [hornbeam_task:from_map(Server, Map) || Map <- Maps]];
        _ -> []
    end.

-spec counts(Server :: atom()) -> #{hornbeam_task:state() => non_neg_integer()} | none.
counts(Server) ->
    case has(Server) andalso hornbeam_cluster:query({tasks, {counts, Server}}, local) of
        {ok, Counts} -> Counts;
        _ -> none
    end.

has(Server) -> hornbeam_task_table:member(Server) =/= error.

%% @doc Tells this node's share of them: a stop has begun, the options have changed.
-spec inform(Server :: atom(), {stop_by, integer() | infinity} | {changed, map()}) -> ok.
inform(Server, Message) ->
    case hornbeam_task_table:member(Server) of
        {ok, Pid} -> gen_server:cast(Pid, Message);
        error -> ok
    end.
