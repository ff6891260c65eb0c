%%% A cluster's tasks under any operations of three nodes, in any order: none is lost or run by two at a time, none waits while a node has room, a queue of one
%%% keeps its order, each time of a schedule is begun once. Run by properties_tests.
-module(prop_hornbeam_task_part).

-include_lib("proper/include/proper.hrl").

-export([prop_tasks/0, prop_schedule/0]).

-define(S, web).
-define(LIMITS, #{queue => 1000, bytes => 1 bsl 30}).
-define(TERMS, #{lease => 500, kept => 1 bsl 30, queues => #{<<"serial">> => 1}}).
-define(OWNERS, [{a, 1}, {a, 2}, {b, 1}, {c, 1}]).

-record(world, {part = hornbeam_task_part:new(), index = 1, now = 0, added = [], gone = 0, fine = true}).

prop_tasks() ->
    numtests(100, ?FORALL(Steps, list(step()),
        begin
            World = lists:foldl(fun run/2, #world{}, Steps),
            World#world.fine andalso drained(World)
        end)).

step() ->
    Owner = oneof(?OWNERS),
    frequency([{6, {add, oneof([<<"serial">>, <<"default">>]), oneof([0, 0, 600])}}, {3, {offer, Owner, range(0, 3)}}, {2, {renew, Owner}}, {1, {leave, Owner}},
               {1, {down, oneof([a, b, c])}}, {6, {ended, range(1, 20), oneof([done, failed, retry, not_run])}}, {1, {cancel, range(1, 20)}},
               {1, {retry, range(1, 20)}}, {1, purge}, {4, tick}]).

run(_, #world{fine = false} = World) ->
    World;
run({add, Queue, Delay}, #world{index = Index, added = Added} = World) ->
    Id = integer_to_binary(Index),
    {ok, Task} = hornbeam_task:new(?S, <<"m:f">>, {bytes, <<"body">>}, #{<<"queue">> => Queue}),
    do({add, ?S, (hornbeam_task_cluster:operation(Task))#{id := Id, delay := Delay}, ?LIMITS}, World#world{added = [Id | Added]});
run({offer, Owner, Places}, World) -> do({offer, ?S, Owner, Places, ?TERMS}, World);
run({renew, Owner}, World) -> do({renew, ?S, Owner, #{}}, World);
run({leave, Owner}, World) -> do({leave, ?S, Owner}, World);
run({down, Node}, World) -> do({down, Node}, World);
run({ended, N, How}, World) ->
    case listed(running, World) of
        [] -> World;
        Running ->
            #{id := Id, attempts := Attempt, owner := Owner} = lists:nth(N rem length(Running) + 1, Running),
            do({ended, ?S, Owner, Id, Attempt, ending(How), infinity}, World)
    end;
run({What, N}, #world{added = Added} = World) when Added =/= [] -> do({What, ?S, lists:nth(N rem length(Added) + 1, Added), infinity}, World);
run(purge, World) -> do({purge, ?S, all}, World);
run(tick, #world{part = Part, index = Index, now = Now} = World) ->
    {Events, Left} = hornbeam_task_part:expire(#{index => Index, now => Now + 250, time => Index}, Part),
    checked(Events, World, World#world{part = Left, index = Index + 1, now = Now + 250});
run(_, World) ->
    World.

ending(done) -> {final, done, {ok, <<"r">>}};
ending(failed) -> {final, failed, {error, <<"E">>, <<>>, <<>>}};
ending(retry) -> {retry, {error, <<"E">>, <<>>, <<>>}, 300};
ending(not_run) -> {not_run, 0}.

do(Operation, #world{part = Part, index = Index, now = Now, gone = Gone} = World) ->
    {Reply, Events, Left} = hornbeam_task_part:apply(Operation, #{index => Index, now => Now, time => Index}, Part),
    Forgotten = case Operation of {purge, _, _} -> Reply; _ -> 0 end,
    checked(Events, World, World#world{part = Left, index = Index + 1, gone = Gone + Forgotten}).

checked(Events, Before, After) ->
    Running = listed(running, After),
    Waiting = listed(pending, After) ++ listed(retrying, After),
    Owners = [{Owner, Of} || Owner <- ?OWNERS, Of <- [hornbeam_task_part:query({owner, ?S, Owner}, 0, After#world.part)], Of =/= none],
    Held = [{Id, Owner} || {Owner, {_, Maps}} <- Owners, #{id := Id} <- Maps],
    Room = [Owner || {Owner, {Places, Maps}} <- Owners, Places > length(Maps)],
    Serial = [Id || #{id := Id, queue := <<"serial">>} <- Running],
    Ready = [Task || #{at := At, queue := Queue} = Task <- Waiting, At =< After#world.now, Queue =:= <<"default">> orelse Serial =:= []],
    {Entries, _} = hornbeam_task_part:size(After#world.part),
    Checks = [
        {owned_once, lists:sort(Held) =:= lists:sort([{Id, Owner} || #{id := Id, owner := Owner} <- Running])},
        {serial, length(Serial) =< 1},
        {none_waits, Room =:= [] orelse Ready =:= [] orelse not due(After)},
        {none_lost, Entries =:= length(After#world.added) - After#world.gone},
        {in_order, in_order([Task || {run, _, _, #{queue := <<"serial">>} = Task} <- Events], Waiting)}
    ],
    Wrong = [What || {What, false} <- Checks],
    _ = Wrong =:= [] orelse io:format("~p: ~p ~p ~p~n", [Wrong, Events, Before, After]),
    After#world{fine = Wrong =:= []}.

%% What has come due since the last step of the clock is looked at with the next.
due(#world{index = Index, part = Part, now = Now}) ->
    {Events, _} = hornbeam_task_part:expire(#{index => Index, now => Now, time => Index}, Part),
    [] =/= [run || {run, _, _, _} <- Events].

%% Those that wait for their time, or were tried before, let others pass.
in_order(Begun, Waiting) ->
    lists:all(fun(#{seq := Seq}) -> lists:all(fun(#{seq := Other, queue := Queue, at := At}) -> Queue =/= <<"serial">> orelse At > 0 orelse Other > Seq end,
                                              Waiting) end, Begun).

listed(State, #world{part = Part}) ->
    [element(2, hornbeam_task_part:query({task, ?S, Id}, 0, Part)) || #{id := Id} <- hornbeam_task_part:query({list, ?S, State, none, 1000}, 0, Part)].

%% With a node that goes on, all are over in the end, and then no time runs.
drained(World) -> drained(1000, run({offer, {b, 1}, 5}, World)).

drained(0, _World) -> false;
drained(_, #world{fine = false}) -> false;
drained(Left, World) ->
    case {listed(running, World), listed(pending, World) ++ listed(retrying, World)} of
        {[], []} -> not hornbeam_task_part:waits(World#world.part);
        {[], _} -> drained(Left - 1, run(tick, run({offer, {b, 1}, 5}, World)));
        _ -> drained(Left - 1, run({ended, 1, done}, run({offer, {b, 1}, 5}, World)))
    end.

%% Nodes that have heard of anything, and try anything.
prop_schedule() ->
    numtests(100, ?FORALL(Tries, list({range(0, 8), range(1, 8), oneof([a, b, c])}),
        begin
            {_, _, Known} = hornbeam_task_part:apply({know, ?S, <<"s">>, 0}, #{index => 1, now => 0}, hornbeam_task_part:new()),
            {Begun, _} = lists:foldl(fun({After, More, Node}, {Times, Part}) ->
                case hornbeam_task_part:apply({fire, ?S, <<"s">>, {After, After + More}, Node, [], ?LIMITS}, #{index => 1, now => 0}, Part) of
                    {{begun, []}, [{fired, ?S, <<"s">>, Last, Node}], Next} when Last =:= After + More ->
                        {Times ++ lists:seq(After + 1, Last), Next};
                    {{_, _}, [], Part} -> {Times, Part}
                end
            end, {[], Known}, Tries),
            Begun =:= lists:seq(1, length(Begun))
        end)).
