%%% The durable tasks and the schedules of a cluster: the part `tasks' of the replicated machine. Pure.
%%%
%%% Owns the tasks of all servers by their names, which task runs on which node, and up to which time each schedule has been begun. Called by:
%%% hornbeam_cluster_machine, on every member with the same operations in the same order. Calls: hornbeam_task_queue (which is next), hornbeam_task_kept
%%% (what is over). Its operations are made by hornbeam_task_cluster, hornbeam_task_member, hornbeam_task_listener and hornbeam_schedule_times.
%%%
%%%     {add, Server, Task, Limits}                      a task, unless its key is known or there is no room
%%%     {offer, Server, Owner, Places, Terms}            a node has so many places; its earlier incarnations have none
%%%     {renew, Server, Owner, Progress}                 it is there still, and how far its tasks are
%%%     {ended, Server, Owner, Id, Attempt, Ending, Ttl} what came of an attempt
%%%     {leave, Server, Owner}   {down, Node}            what it has runs elsewhere; it is given nothing more until it offers anew
%%%     {cancel | retry, Server, Id, Ttl}   {purge, Server, Which}
%%%     {know, Server, Schedule, Time}                   up to which time a schedule is begun; from Time on, if it is not known
%%%     {fire, Server, Schedule, {After, Last}, Node, Tasks, Limits}   its tasks up to Last, if it is begun up to After
%%%
%%% Who runs what. A task is given to the node with the most free places in the same operation that makes it due, that frees a place, or that offers one: so a
%%% task costs two operations. The node is told by an event; what it has missed it finds with the question `owner'.
%%%
%%% Leases. An owner that has tasks and has not renewed for its Ttl (in the cluster's time, which stands still without a leader) has none any more: they wait
%%% again, and that attempt does not count. An owner without tasks has no lease, so nothing runs while nothing is to be done.
%%%
%%% A task is a map as hornbeam_task:to_disk/1 makes it, with `owner' and `at' (when it may run, in the cluster's time). What a map has that a version does not
%%% know it keeps. No order of a map's keys is used: it differs between nodes.
%%%
%%% Limits: task_max_queue tasks wait, task_max_bytes of what is not over and of what is (they come with the operations); ?MAX_DEAD dead letters and ?MAX_FIRED
%%% schedules of each server.
-module(hornbeam_task_part).
-behaviour(hornbeam_cluster_part).

-export([new/0, apply/3, expire/2, waits/1, query/3, weight/1, size/1]).
-export_type([operation/0, question/0, event/0, task/0, owner/0, limits/0]).

-compile({no_auto_import, [size/1]}).

-define(MAX_DEAD, 10000).
-define(MAX_FIRED, 10000).

-type task() :: #{id := binary(), atom() => term()}.
-type owner() :: {node(), Incarnation :: integer()}.
-type limits() :: #{queue := pos_integer(), bytes := pos_integer()}.
%% kept: bytes of what is over. queues: how many of each may run at once.
-type terms() :: #{lease := pos_integer(), kept := pos_integer(), queues := #{binary() => pos_integer()}}.
-type ending() :: {final, done | failed, hornbeam_task:result()} | {retry, hornbeam_task:result(), Delay :: non_neg_integer()} | {not_run, Delay :: non_neg_integer()}.
-type operation() :: {add, atom(), task(), limits()} | {offer, atom(), owner(), non_neg_integer(), terms()} | {renew, atom(), owner(), #{binary() => term()}}
                   | {ended, atom(), owner(), binary(), pos_integer(), ending(), timeout()} | {leave, atom(), owner()} | {down, node()}
                   | {cancel | retry, atom(), binary(), timeout()} | {purge, atom(), hornbeam_task:state() | all}
                   | {know, atom(), binary(), non_neg_integer()}
                   | {fire, atom(), binary(), {non_neg_integer(), non_neg_integer()}, node(), [task()], limits()}.
-type question() :: {task, atom(), binary()} | {owner, atom(), owner()} | {over, atom(), [binary()]} | {counts, atom()}
                  | {list, atom(), hornbeam_task:state() | all, none | binary(), pos_integer()}.
-type event() :: {run, atom(), owner(), task()} | {stop, atom(), owner(), binary()} | {over, atom(), binary()}
               | {fired, atom(), binary(), Last :: non_neg_integer(), node()}.

-record(owner, {places :: non_neg_integer(), lease :: pos_integer(), ends = infinity :: non_neg_integer() | infinity, ids = [] :: [binary()]}).
-record(server, {
    tasks = #{} :: #{binary() => task()},
    queue = hornbeam_task_queue:new() :: hornbeam_task_queue:queue(),
    kept = hornbeam_task_kept:new(?MAX_DEAD) :: hornbeam_task_kept:kept(),
    max_kept = 268435456 :: pos_integer(),
    unique = #{} :: #{binary() => binary()},
    owners = #{} :: #{owner() => #owner{}},
    fired = #{} :: #{binary() => {Last :: non_neg_integer(), node()}},
    seq = 0 :: non_neg_integer(),
    bytes = 0 :: non_neg_integer()                  % of those that are not over
}).
-record(part, {servers = #{} :: #{atom() => #server{}}}).
-type part() :: #part{}.

-spec new() -> part().
new() -> #part{}.

-spec apply(operation(), hornbeam_cluster_part:context(), part()) -> {term(), [event()], part()}.
apply({down, Node}, Context, #part{servers = Servers} = Part) ->
    {ok, [], Part#part{servers = maps:map(fun(Name, Server) -> element(3, down(Node, context(Name, Context), Server)) end, Servers)}};
apply(Operation, Context, #part{servers = Servers} = Part) ->
    Name = element(2, Operation),
    {Reply, Events, Server} = operate(Operation, context(Name, Context), maps:get(Name, Servers, #server{})),
    {Reply, Events, Part#part{servers = Servers#{Name => Server}}}.

context(Name, Context) -> Context#{server => Name}.

operate({add, _, Task, Limits}, Context, Server) ->
    {Reply, Added} = add(Task, Limits, Context, Server),
    assigned(Reply, [], Context, Added);
operate({offer, _, Owner, Places, Terms}, Context, Server) ->
    assigned(ok, [], Context, offered(Owner, Places, Terms, Context, Server));
operate({renew, _, Owner, Progress}, Context, #server{owners = Owners} = Server) ->
    case Owners of
        #{Owner := #owner{ids = Ids, places = Places} = Of} ->
            {{ok, Places, Ids}, [], progressed(Owner, Progress, Server#server{owners = Owners#{Owner := leased(Of, Context)}})};
        #{} ->
            {gone, [], Server}
    end;
operate({ended, _, Owner, Id, Attempt, Ending, Ttl}, Context, #server{tasks = Tasks} = Server) ->
    case Tasks of
        #{Id := #{state := running, owner := Owner, attempts := Attempt} = Task} ->
            {Events, Ended} = ending(Ending, Ttl, Task, Context, released(Task, Server)),
            assigned(true, Events, Context, Ended);
        #{} ->
            {false, [], Server}
    end;
operate({leave, _, Owner}, Context, Server) ->
    assigned(ok, [], Context, abandoned(Owner, Context, Server));
operate({cancel, _, Id, Ttl}, Context, Server) ->
    with(Id, fun(Task) -> cancelled(is_over(Task), Task, Ttl, Context, Server) end, Server);
operate({retry, _, Id, _}, Context, Server) ->
    with(Id, fun(#{state := State} = Task) -> retried(State =:= failed orelse State =:= cancelled, Task, Context, Server) end, Server);
operate({purge, _, Which}, _Context, #server{tasks = Tasks} = Server) ->
    Over = [Id || {Id, #{state := State} = Task} <- maps:to_list(Tasks), is_over(Task), Which =:= all orelse State =:= Which],
    {length(Over), [], lists:foldl(fun forget/2, Server, Over)};
operate({know, _, Schedule, Time}, _Context, #server{fired = Fired} = Server) ->
    case Fired of
        #{Schedule := Known} -> {Known, [], Server};
        #{} -> {{Time, none}, [], Server#server{fired = bounded(Fired#{Schedule => {Time, none}})}}
    end;
operate({fire, Name, Schedule, {After, Last}, Node, Tasks, Limits}, Context, #server{fired = Fired} = Server) ->
    case Fired of
        #{Schedule := {After, _}} ->
            {Replies, Added} = lists:mapfoldl(fun(Task, Each) -> add(Task, Limits, Context, Each) end, Server, Tasks),
            Refused = [Refusal || {error, Refusal} <- Replies],
            assigned({begun, Refused}, [{fired, Name, Schedule, Last, Node}], Context, Added#server{fired = Fired#{Schedule := {Last, Node}}});
        #{Schedule := Known} -> {Known, [], Server};
        #{} -> {unknown, [], Server}
    end;
operate(_Unknown, _Context, Server) ->
    {{error, unknown}, [], Server}.

with(Id, Fun, #server{tasks = Tasks} = Server) ->
    case Tasks of
        #{Id := Task} -> Fun(Task);
        #{} -> {not_found, [], Server}
    end.

bounded(Fired) when map_size(Fired) =< ?MAX_FIRED -> Fired;
bounded(Fired) ->
    [{_, Oldest} | _] = lists:sort([{Last, Name} || {Name, {Last, _}} <- maps:to_list(Fired)]),
    maps:remove(Oldest, Fired).

is_over(#{state := State}) -> lists:member(State, [done, failed, cancelled]).

%%% A new task

add(#{unique := Key}, _Limits, _Context, #server{unique = Unique} = Server) when is_map_key(Key, Unique) ->
    {{ok, maps:get(Key, Unique)}, Server};
add(#{id := Id} = Given, Limits, Context, #server{seq = Last, bytes = Bytes} = Server) ->
    case refused(Given, Limits, Server) of
        none ->
            Seq = max(Last + 1, 1000 * time(Context)),
            Task = Given#{seq => Seq, state => pending},
            {{ok, Id}, enqueued(maps:get(delay, Given, 0), Task, Context, named(Task, Server#server{seq = Seq, bytes = Bytes + bytes(Task)}))};
        Limit ->
            {{error, Limit}, Server}
    end.

refused(#{queue := Name} = Task, #{queue := MaxQueue, bytes := MaxBytes}, #server{queue = Queue, bytes = Bytes}) ->
    case {hornbeam_task_queue:size(Queue) >= MaxQueue, hornbeam_task_queue:has_room(Name, Queue)} of
        {true, _} -> queue;
        {_, false} -> queues;
        _ when Bytes > 0 -> case Bytes + bytes(Task) > MaxBytes of true -> bytes; false -> none end;
        _ -> none
    end.

named(#{unique := Key, id := Id}, #server{unique = Unique} = Server) when is_binary(Key) -> Server#server{unique = Unique#{Key => Id}};
named(_, Server) -> Server.

unnamed(#{unique := Key, id := Id}, #server{unique = Unique} = Server) ->
    case Unique of
        #{Key := Id} -> Server#server{unique = maps:remove(Key, Unique)};
        #{} -> Server
    end.

%% What waits at least so long ends a step later, as what expires does.
enqueued(Delay, #{id := Id} = Given, #{now := Now}, #server{tasks = Tasks, queue = Queue} = Server) ->
    Task = Given#{owner => none, at => case Delay of 0 -> 0; _ -> hornbeam_cluster_part:ends(Now, Delay) end},
    Server#server{tasks = Tasks#{Id => Task}, queue = hornbeam_task_queue:add(entry(Task), Now, Queue)}.

entry(#{id := Id, queue := Name, priority := Priority, seq := Seq, at := At}) -> #{id => Id, queue => Name, priority => Priority, seq => Seq, due => At}.

time(Context) -> maps:get(time, Context, 0).

bytes(#{body := Body, function := Function}) -> 500 + byte_size(Body) + byte_size(Function).

whole(#{result := Result} = Task) -> bytes(Task) + result_bytes(Result).

result_bytes({ok, Packed}) -> byte_size(Packed);
result_bytes({error, Class, Message, Traceback}) -> byte_size(Class) + byte_size(Message) + byte_size(Traceback);
result_bytes(_) -> 0.

%%% Who runs what

offered({Node, _} = Owner, Places, #{lease := Lease, kept := MaxKept, queues := Queues}, Context, #server{owners = Before, queue = Queue} = Server) ->
    Earlier = lists:sort([Other || {Of, _} = Other <- maps:keys(Before), Of =:= Node, Other =/= Owner]),
    #server{owners = Owners} = Alone = lists:foldl(fun(Other, Each) -> abandoned(Other, Context, Each) end,
                                                   Server#server{queue = hornbeam_task_queue:limits(Queues, Queue), max_kept = MaxKept}, Earlier),
    Of = maps:get(Owner, Owners, #owner{places = 0, lease = Lease}),
    Alone#server{owners = Owners#{Owner => leased(Of#owner{places = Places, lease = Lease}, Context)}}.

leased(#owner{ids = []} = Of, _Context) -> Of#owner{ends = infinity};
leased(#owner{lease = Lease} = Of, #{now := Now}) -> Of#owner{ends = hornbeam_cluster_part:ends(Now, Lease)}.

%% Whoever offered most, and of equals one after the other.
assigned(Reply, Events, #{index := Index, server := Name} = Context, #server{owners = Owners, queue = Queue, tasks = Tasks} = Server) ->
    case hornbeam_task_queue:ready(Queue) andalso free(Index, Owners) of
        false ->
            {Reply, Events, Server};
        {Owner, #owner{ids = Ids} = Of} ->
            {Id, Left} = hornbeam_task_queue:next(Queue),
            #{Id := #{attempts := Attempts} = Waited} = Tasks,
            Task = Waited#{state := running, attempts := Attempts + 1, started := time(Context), owner := Owner},
            Taken = Of#owner{ids = [Id | Ids]},
            Given = Server#server{queue = Left, tasks = Tasks#{Id := Task},
                                  owners = Owners#{Owner := case Ids of [] -> leased(Taken, Context); _ -> Taken end}},
            assigned(Reply, Events ++ [{run, Name, Owner, Task}], Context, Given)
    end.

free(Index, Owners) ->
    case [{Places - length(Ids), Owner} || {Owner, #owner{places = Places, ids = Ids}} <- maps:to_list(Owners), Places > length(Ids)] of
        [] ->
            false;
        Free ->
            {Most, _} = lists:max(Free),
            Equal = lists:sort([Owner || {Number, Owner} <- Free, Number =:= Most]),
            Owner = lists:nth(Index rem length(Equal) + 1, Equal),
            {Owner, maps:get(Owner, Owners)}
    end.

%% It runs no longer.
released(#{id := Id, owner := Owner, queue := Name}, #server{owners = Owners, queue = Queue} = Server) ->
    #{Owner := #owner{ids = Ids} = Of} = Owners,
    Left = case lists:delete(Id, Ids) of [] -> Of#owner{ids = [], ends = infinity}; Others -> Of#owner{ids = Others} end,
    Server#server{owners = Owners#{Owner := Left}, queue = hornbeam_task_queue:finished(Name, Queue)}.

%% What an owner had waits again, in its old places.
abandoned(Owner, Context, #server{owners = Owners, tasks = Tasks} = Server0) ->
    case Owners of
        #{Owner := #owner{ids = Ids}} ->
            #server{owners = Left} = Server = lists:foldl(fun(Id, Each) ->
                Task = #{attempts := Attempts} = maps:get(Id, Tasks),
                enqueued(0, Task#{state := pending, attempts := Attempts - 1}, Context, released(Task, Each))
            end, Server0, Ids),
            Server#server{owners = maps:remove(Owner, Left)};
        #{} ->
            Server0
    end.

down(Node, _Context, #server{owners = Owners} = Server) ->
    {ok, [], Server#server{owners = maps:map(fun({Of, _}, Owner) when Of =:= Node -> Owner#owner{places = 0};
                                                (_, Owner) -> Owner
                                             end, Owners)}}.

progressed(Owner, Progress, #server{tasks = Tasks} = Server) ->
    Server#server{tasks = maps:fold(fun(Id, Value, Each) ->
        case Each of
            #{Id := #{owner := Owner} = Task} -> Each#{Id := Task#{progress => Value}};
            #{} -> Each
        end
    end, Tasks, Progress)}.

%%% The end of an attempt, and of a task

ending({final, How, Result}, Ttl, Task, Context, Server) ->
    over(How, Result, Ttl, Task, Context, Server);
ending({retry, Result, Delay}, _Ttl, Task, Context, Server) ->
    {[], enqueued(Delay, Task#{state := retrying, result := Result}, Context, Server)};
ending({not_run, Delay}, _Ttl, #{attempts := Attempts} = Task, Context, Server) ->
    {[], enqueued(Delay, Task#{state := pending, attempts := Attempts - 1}, Context, Server)}.

%% A failed one stays until somebody forgets it: a dead letter.
over(How, Result, Ttl, #{id := Id} = Running, #{now := Now, server := Name} = Context, #server{tasks = Tasks, kept = Kept, bytes = Bytes} = Server) ->
    Task = Running#{state := How, result := Result, finished := time(Context), owner := none},
    Until = case {How, Ttl} of {failed, _} -> dead; {_, infinity} -> infinity; _ -> Now + Ttl end,
    Ended = Server#server{tasks = Tasks#{Id := Task}, bytes = Bytes - bytes(Task), kept = hornbeam_task_kept:add(Id, Now, Until, whole(Task), Kept)},
    {[{over, Name, Id}], trimmed(Now, case How of done -> Ended; _ -> unnamed(Task, Ended) end)}.

trimmed(Now, #server{kept = Kept, max_kept = Max} = Server) ->
    {Ids, Left} = hornbeam_task_kept:expire(Now, Max, Kept),
    lists:foldl(fun forget/2, Server#server{kept = Left}, Ids).

forget(Id, #server{tasks = Tasks, kept = Kept} = Server) ->
    {Task, Left} = maps:take(Id, Tasks),
    unnamed(Task, Server#server{tasks = Left, kept = hornbeam_task_kept:remove(Id, Kept)}).

cancelled(true, _Task, _Ttl, _Context, Server) ->
    {false, [], Server};
cancelled(false, #{state := running, owner := Owner, id := Id} = Task, Ttl, #{server := Name} = Context, Server) ->
    {Events, Ended} = over(cancelled, none, Ttl, Task, Context, released(Task, Server)),
    assigned({true, shown(Task#{state := cancelled})}, [{stop, Name, Owner, Id} | Events], Context, Ended);
cancelled(false, Task, Ttl, Context, #server{queue = Queue} = Server) ->
    {Events, Ended} = over(cancelled, none, Ttl, Task, Context, Server#server{queue = hornbeam_task_queue:remove(entry(Task), Queue)}),
    {{true, shown(Task#{state := cancelled})}, Events, Ended}.

retried(false, _Task, _Context, Server) ->
    {false, [], Server};
retried(true, #{id := Id} = Over, Context, #server{kept = Kept, bytes = Bytes} = Server) ->
    Task = Over#{state := pending, attempts := 0, result := none, finished := none},
    Again = named(Task, Server#server{kept = hornbeam_task_kept:remove(Id, Kept), bytes = Bytes + bytes(Task)}),
    assigned({true, shown(Task)}, [], Context, enqueued(0, Task, Context, Again)).

%%% Time

-spec expire(hornbeam_cluster_part:context(), part()) -> {[event()], part()}.
expire(Context, #part{servers = Servers} = Part) ->
    {Events, Left} = lists:mapfoldl(fun({Name, Server}, Each) ->
        {ok, Events, Passed} = passed(context(Name, Context), Server),
        {Events, Each#{Name := Passed}}
    end, Servers, lists:sort(maps:to_list(Servers))),
    {lists:append(Events), Part#part{servers = Left}}.

passed(#{now := Now} = Context, #server{owners = Owners} = Server) ->
    Gone = lists:sort([Owner || {Owner, #owner{ends = Ends}} <- maps:to_list(Owners), Ends =< Now]),
    #server{queue = Queue} = Left = lists:foldl(fun(Owner, Each) -> abandoned(Owner, Context, Each) end, Server, Gone),
    assigned(ok, [], Context, trimmed(Now, Left#server{queue = hornbeam_task_queue:due(Now, Queue)})).

-spec waits(part()) -> boolean().
waits(#part{servers = Servers}) ->
    lists:any(fun(#server{queue = Queue, kept = Kept, owners = Owners}) ->
        hornbeam_task_queue:next_due(Queue) =/= infinity orelse hornbeam_task_kept:next(Kept) =/= infinity
            orelse lists:any(fun(#owner{ends = Ends}) -> Ends =/= infinity end, maps:values(Owners))
    end, maps:values(Servers)).

%%% Questions

-spec query(question(), non_neg_integer(), part()) -> term().
query(Question, _Now, #part{servers = Servers}) ->
    answer(Question, maps:get(element(2, Question), Servers, #server{})).

answer({task, _, Id}, #server{tasks = Tasks}) -> maps:find(Id, Tasks);
answer({owner, _, Owner}, #server{owners = Owners, tasks = Tasks}) ->
    case Owners of
        #{Owner := #owner{places = Places, ids = Ids}} -> {Places, [maps:get(Id, Tasks) || Id <- Ids]};
        #{} -> none
    end;
answer({over, _, Ids}, #server{tasks = Tasks}) -> [{Id, maps:find(Id, Tasks)} || Id <- Ids, not is_going(Id, Tasks)];
answer({counts, _}, #server{tasks = Tasks}) ->
    None = maps:from_list([{State, 0} || State <- [pending, running, retrying, done, failed, cancelled]]),
    maps:fold(fun(_, #{state := State}, Counts) -> maps:update_with(State, fun(N) -> N + 1 end, Counts) end, None, Tasks);
answer({list, _, Which, Queue, Limit}, #server{tasks = Tasks}) ->
    Found = [{-Seq, Id} || {Id, #{state := State, queue := Name, seq := Seq}} <- maps:to_list(Tasks),
                           Which =:= all orelse Which =:= State, Queue =:= none orelse Queue =:= Name],
    [shown(maps:get(Id, Tasks)) || {_, Id} <- lists:sublist(lists:sort(Found), Limit)];
answer(_Unknown, _Server) -> unknown.

is_going(Id, Tasks) ->
    case Tasks of
        #{Id := Task} -> not is_over(Task);
        #{} -> false
    end.

%% What is not asked for need not travel.
shown(#{result := {ok, _}} = Task) -> Task#{body := <<>>, result := none};
shown(Task) -> Task#{body := <<>>}.

-spec weight(operation()) -> non_neg_integer().
weight({add, _, Task, _}) -> bytes(Task);
weight({fire, _, _, _, _, Tasks, _}) -> lists:sum([200 | [bytes(Task) || Task <- Tasks]]);
weight({ended, _, _, _, _, Ending, _}) when tuple_size(Ending) =:= 3, element(1, Ending) =:= final -> 200 + result_bytes(element(3, Ending));
weight({ended, _, _, _, _, {retry, Result, _}, _}) -> 200 + result_bytes(Result);
weight(_) -> 200.

-spec size(part()) -> {non_neg_integer(), non_neg_integer()}.
size(#part{servers = Servers}) ->
    lists:foldl(fun(#server{tasks = Tasks, bytes = Bytes, kept = Kept}, {Entries, All}) ->
        {Entries + map_size(Tasks), All + Bytes + hornbeam_task_kept:bytes(Kept)}
    end, {0, 0}, maps:values(Servers)).
