%%% The pure parts of background tasks. A queue loses nothing, keeps its order and its limits; what is kept stays within its bounds; the
%%% times of an interval are the same however often one looks. Run by properties_tests.
-module(prop_hornbeam_tasks).

-include_lib("proper/include/proper.hrl").
-include("../src/hornbeam_task.hrl").

-export([prop_queue/0, prop_kept/0, prop_every/0, prop_delay/0]).

-record(world, {queue, waiting = #{}, running = [], seq = 0, now = 0}).
-define(LIMITS, #{<<"a">> => 1, <<"b">> => 2}).

prop_queue() ->
    numtests(60, ?FORALL(Steps, list(step()),
        begin
            Start = #world{queue = hornbeam_task_queue:limits(?LIMITS, hornbeam_task_queue:new())},
            World = lists:foldl(fun run/2, Start, Steps),
            drained(World)
        end)).

step() ->
    oneof([{add, name(), range(-2, 2), range(0, 20)}, {arrive, name(), range(-2, 2), range(-1, 2)}, next, next, {finish, range(1, 10)},
           {remove, range(1, 10)}, {pass, range(1, 10)}]).

name() -> oneof([<<"a">>, <<"b">>, <<"c">>]).

run({add, Name, Priority, Delay}, #world{queue = Queue, waiting = Waiting, seq = Seq, now = Now} = World) ->
    Entry = #{id => integer_to_binary(Seq), queue => Name, priority => Priority, seq => Seq, due => Now + Delay},
    checked(World#world{queue = hornbeam_task_queue:add(Entry, Now, Queue), waiting = Waiting#{integer_to_binary(Seq) => Entry}, seq = Seq + 1});
%% One that needs no place in the queue is the one that would have been next.
run({arrive, Name, Priority, Delay}, #world{queue = Queue, running = Running, seq = Seq, now = Now} = World) ->
    Entry = #{id => integer_to_binary(Seq), queue => Name, priority => Priority, seq => Seq, due => max(0, Now + Delay)},
    case hornbeam_task_queue:pass(Entry, Now, Queue) of
        {ok, Passed} ->
            #world{waiting = Waiting} = World,
            Entry = best(World#world{waiting = Waiting#{Seq => Entry}}),
            checked(World#world{queue = Passed, running = [Entry | Running], seq = Seq + 1});
        wait -> run({add, Name, Priority, max(0, Delay)}, World)
    end;
run(next, #world{queue = Queue0, waiting = Waiting, running = Running, now = Now} = World) ->
    Queue = hornbeam_task_queue:due(Now, Queue0),
    case {best(World), hornbeam_task_queue:next(Queue)} of
        {none, none} -> World#world{queue = Queue};
        {#{id := Id} = Entry, {Id, Left}} ->
            checked(World#world{queue = Left, waiting = maps:remove(Id, Waiting), running = [Entry | Running]})
    end;
run({finish, _}, #world{running = []} = World) ->
    World;
run({finish, N}, #world{queue = Queue, running = Running} = World) ->
    #{queue := Name} = Entry = lists:nth(N rem length(Running) + 1, Running),
    checked(World#world{queue = hornbeam_task_queue:finished(Name, Queue), running = Running -- [Entry]});
run({remove, _}, #world{waiting = Waiting} = World) when map_size(Waiting) =:= 0 ->
    World;
run({remove, N}, #world{queue = Queue, waiting = Waiting} = World) ->
    #{id := Id} = Entry = lists:nth(N rem map_size(Waiting) + 1, maps:values(Waiting)),
    checked(World#world{queue = hornbeam_task_queue:remove(Entry, Queue), waiting = maps:remove(Id, Waiting)});
run({pass, Time}, #world{now = Now} = World) ->
    World#world{now = Now + Time}.

%% The first by priority and age of those that may run.
best(#world{waiting = Waiting, running = Running, now = Now}) ->
    Counts = fun(Name) -> length([R || #{queue := Q} = R <- Running, Q =:= Name]) end,
    case lists:sort([{-Priority, Seq, Entry} || #{queue := Name, priority := Priority, seq := Seq, due := Due} = Entry <- maps:values(Waiting),
                                                Due =< Now, Counts(Name) < maps:get(Name, ?LIMITS, infinity)]) of
        [{_, _, Entry} | _] -> Entry;
        [] -> none
    end.

checked(#world{queue = Queue, waiting = Waiting} = World) ->
    Size = map_size(Waiting),
    Size = hornbeam_task_queue:size(Queue),
    World.

drained(#world{waiting = Waiting} = World) when map_size(Waiting) =:= 0 ->
    hornbeam_task_queue:next_due(World#world.queue) =:= infinity;
drained(World) ->
    Finished = lists:foldl(fun(_, Each) -> run({finish, 1}, Each) end, World, World#world.running),
    drained(run(next, Finished#world{now = Finished#world.now + 1000})).

prop_kept() ->
    numtests(60, ?FORALL({Steps, Max}, {list({range(1, 30), oneof([dead, infinity, range(0, 50)]), range(1, 40)}), range(10, 300)},
        begin
            {_, Kept, Known} = lists:foldl(fun({Id, Until, Bytes}, {Now, Kept0, Known0}) ->
                Name = integer_to_binary(Id),
                Added = hornbeam_task_kept:add(Name, Now, Until, Bytes, hornbeam_task_kept:remove(Name, Kept0)),
                {Gone, Left} = hornbeam_task_kept:expire(Now, Max, Added),
                {Now + 1, Left, maps:without(Gone, Known0#{Name => {Until, Bytes}})}
            end, {0, hornbeam_task_kept:new(5), #{}}, Steps),
            Dead = [Id || {Id, {dead, _}} <- maps:to_list(Known)],
            lists:sum([Bytes || {_, Bytes} <- maps:values(Known)]) =< Max andalso length(Dead) =< 5
                andalso all_known(Kept, maps:keys(Known))
        end)).

%% What it knows is what was not said to be gone: a limit of no bytes has all of it said.
all_known(Kept, Ids) ->
    {Gone, _} = hornbeam_task_kept:expire(1000000, 0, Kept),
    lists:sort(Gone) =:= lists:sort(Ids).

prop_every() ->
    numtests(100, ?FORALL({Every, Start, Steps}, {range(1, 50), range(0, 1000), list(range(0, 40))},
        begin
            {Last, Times} = lists:foldl(fun(Step, {From, Seen}) ->
                {From + Step, Seen ++ hornbeam_schedule:every(Every, From, From + Step)}
            end, {Start, []}, Steps),
            Times =:= [T || T <- lists:seq(Start + 1, Last), T rem Every =:= 0]
        end)).

%% A tenth more or less, and no longer than an hour if the first is not.
prop_delay() ->
    numtests(100, ?FORALL({First, Attempt}, {range(0, 100000), range(1, 60)},
        begin
            {ok, Task} = hornbeam_task:new(s, <<"m:f">>, {bytes, <<>>}, #{<<"backoff">> => First}),
            Delay = hornbeam_task:delay(Task#task{attempts = Attempt}),
            Whole = min(First * (1 bsl (Attempt - 1)), max(First, 3600000)),
            Delay >= Whole - Whole div 10 - 1 andalso Delay =< Whole + Whole div 10 + 1
        end)).
