%%% Which task is next: queues by name, each in order, and those whose time has not come. Pure.
%%%
%%% Called by: hornbeam_task_book, hornbeam_task_part. Calls: nothing.
%%%
%%% The next one is the first of a queue that is below its limit: of the highest priority, and of equals the oldest. So a queue keeps its
%%% order, and one whose limit is 1 runs its tasks strictly one after the other. Cost: the logarithm of a queue's length, and the number
%%% of queues, which is bounded (?MAX_QUEUES).
-module(hornbeam_task_queue).

-export([new/0, limits/2, add/3, pass/3, next/1, finished/2, remove/2, due/2, next_due/1, size/1, ready/1, has_room/2]).
-export_type([queue/0, entry/0]).

-define(MAX_QUEUES, 1000).

-type name() :: binary().
-type entry() :: #{id := binary(), queue := name(), priority := integer(), seq := non_neg_integer(), due := non_neg_integer()}.
-type key() :: {NegatedPriority :: integer(), Seq :: non_neg_integer(), Id :: binary()}.

-record(queue, {
    ready = #{} :: #{name() => gb_sets:set(key())},
    later = gb_sets:new() :: gb_sets:set({Due :: non_neg_integer(), key(), name()}),
    running = #{} :: #{name() => pos_integer()},
    limits = #{} :: #{name() => pos_integer()},
    size = 0 :: non_neg_integer()
}).
-opaque queue() :: #queue{}.

-spec new() -> queue().
new() -> #queue{}.

%% @doc How many of a queue may run at once; those not named have no limit.
-spec limits(#{name() => pos_integer()}, queue()) -> queue().
limits(Limits, Queue) -> Queue#queue{limits = Limits}.

%% @doc Whether a queue of that name can be added to.
-spec has_room(name(), queue()) -> boolean().
has_room(Name, #queue{ready = Ready}) ->
    is_map_key(Name, Ready) orelse map_size(Ready) < ?MAX_QUEUES.

-spec add(entry(), Now :: non_neg_integer(), queue()) -> queue().
add(#{queue := Name, due := Due} = Entry, Now, #queue{later = Later, size = Size} = Queue) when Due > Now ->
    Queue#queue{later = gb_sets:add_element({Due, key(Entry), Name}, Later), size = Size + 1};
add(#{queue := Name} = Entry, _Now, #queue{size = Size} = Queue) ->
    enter(Name, key(Entry), Queue#queue{size = Size + 1}).

key(#{id := Id, priority := Priority, seq := Seq}) -> {-Priority, Seq, Id}.

enter(Name, Key, #queue{ready = Ready} = Queue) ->
    Set = maps:get(Name, Ready, gb_sets:new()),
    Queue#queue{ready = Ready#{Name => gb_sets:add_element(Key, Set)}}.

%% @doc One that is next as it comes, since no other one waits whose time has come: it runs. wait: it is to be added.
-spec pass(entry(), Now :: non_neg_integer(), queue()) -> {ok, queue()} | wait.
pass(#{queue := Name, due := Due}, Now, #queue{ready = Ready} = Queue) when Due =< Now, map_size(Ready) =:= 0 ->
    case next_due(Queue) > Now andalso is_open(Name, Queue) of
        true -> {ok, runs(Name, Queue)};
        false -> wait
    end;
pass(_Entry, _Now, _Queue) ->
    wait.

runs(Name, #queue{running = Running} = Queue) ->
    Queue#queue{running = maps:update_with(Name, fun(N) -> N + 1 end, 1, Running)}.

%% @doc Takes the next one, which then runs.
-spec next(queue()) -> {Id :: binary(), queue()} | none.
next(#queue{ready = Ready} = Queue) ->
    case lists:sort([{gb_sets:smallest(Set), Name} || {Name, Set} <- maps:to_list(Ready), is_open(Name, Queue)]) of
        [] ->
            none;
        [{{_, _, Id} = Key, Name} | _] ->
            #queue{size = Size} = Taken = leave(Name, Key, Queue),
            {Id, runs(Name, Taken#queue{size = Size - 1})}
    end.

is_open(Name, #queue{running = Running, limits = Limits}) ->
    maps:get(Name, Running, 0) < maps:get(Name, Limits, infinity).

leave(Name, Key, #queue{ready = Ready} = Queue) ->
    Set = gb_sets:del_element(Key, maps:get(Name, Ready, gb_sets:new())),
    case gb_sets:is_empty(Set) of
        true -> Queue#queue{ready = maps:remove(Name, Ready)};
        false -> Queue#queue{ready = Ready#{Name => Set}}
    end.

%% @doc One that was taken runs no longer.
-spec finished(name(), queue()) -> queue().
finished(Name, #queue{running = Running} = Queue) ->
    case Running of
        #{Name := 1} -> Queue#queue{running = maps:remove(Name, Running)};
        #{Name := N} -> Queue#queue{running = Running#{Name := N - 1}}
    end.

%% @doc One that waits is to run no more.
-spec remove(entry(), queue()) -> queue().
remove(#{queue := Name, due := Due} = Entry, #queue{later = Later, size = Size} = Queue) ->
    Place = {Due, key(Entry), Name},
    case gb_sets:is_element(Place, Later) of
        true -> Queue#queue{later = gb_sets:del_element(Place, Later), size = Size - 1};
        false -> (leave(Name, key(Entry), Queue))#queue{size = Size - 1}
    end.

%% @doc Those whose time has come can be taken from now on.
-spec due(Now :: non_neg_integer(), queue()) -> queue().
due(Now, #queue{later = Later} = Queue) ->
    case next_due(Queue) of
        Due when Due =< Now ->
            {{_, Key, Name}, Rest} = gb_sets:take_smallest(Later),
            due(Now, enter(Name, Key, Queue#queue{later = Rest}));
        _ ->
            Queue
    end.

-spec next_due(queue()) -> non_neg_integer() | infinity.
next_due(#queue{later = Later}) ->
    case gb_sets:is_empty(Later) of
        true -> infinity;
        false -> element(1, gb_sets:smallest(Later))
    end.

%% @doc How many wait, whether their time has come or not.
-spec size(queue()) -> non_neg_integer().
size(#queue{size = Size}) -> Size.

%% @doc Whether next/1 would find one.
-spec ready(queue()) -> boolean().
ready(#queue{ready = Ready} = Queue) ->
    lists:any(fun(Name) -> is_open(Name, Queue) end, maps:keys(Ready)).
