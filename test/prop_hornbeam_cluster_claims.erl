%%% The property of hornbeam_cluster_claims and hornbeam_cluster_leases together: three nodes and a cluster, in time that is made up. Commands, answers and events
%%% take their time and overtake each other; nodes are cut off (what they have said may have been heard) and stand still; the cluster's clock stands
%%% still as well. No two owners ever take a lock to be theirs, whoever is told a token is told a larger one than those before, and when all is
%%% well again everybody has had an answer and nobody is left. Run by properties_tests.
-module(prop_hornbeam_cluster_claims).

-include_lib("proper/include/proper.hrl").

-export([prop_no_two_hold_it/0]).

-define(NODES, [a@a, b@b, c@c]).
-define(STEP, 250).

-record(world, {
    time = -20000, serial = 0,                             % as Erlang's monotonic time, which is negative at first
    index = 1, clock = 0, leader = true,
    leases = hornbeam_cluster_leases:new(),
    nodes = maps:from_list([{Node, hornbeam_cluster_claims:new(Node, 1)} || Node <- ?NODES]),
    cut = [], paused = [], kept = [],                      % kept: what has come for nodes that stand still
    due = gb_trees:empty(),                                % {Time, Serial} -> what comes
    delays = [1],
    holders = #{}, last = #{},                             % who takes what to be theirs; the last token of each name
    asked = #{}                                            % who waits for an answer
}).

-spec prop_no_two_hold_it() -> proper:test().
prop_no_two_hold_it() ->
    ?FORALL({Delays, Ops}, {non_empty(list(delay())), list(op())}, begin
        World = lists:foldl(fun do/2, later(?STEP, clock, #world{delays = Delays}), Ops),
        is_quiet_at_last(World)
    end).

delay() -> frequency([{8, range(0, 5)}, {2, range(5, 300)}, {1, range(300, 2000)}]).

op() ->
    frequency([{6, {acquire, place(), range(1, 3), oneof([<<"x">>, <<"y">>]), oneof([1000, 1500, 3000]), oneof([0, 500, 3000, infinity])}},
               {3, {release, place(), range(1, 3)}}, {8, {pass, range(1, 700)}}, {1, {pass, range(700, 5000)}},
               {1, {cut, place()}}, {1, {heal, place()}}, {1, {pause, place()}}, {2, {resume, place()}},
               {1, {leader, boolean()}}, {1, {resync, place()}}]).

place() -> oneof(?NODES).

do({acquire, Node, Number, Name, Ttl, Timeout}, #world{asked = Asked, holders = Holders, paused = Paused} = World) ->
    Key = {Node, Number},
    case is_map_key(Key, Asked) orelse is_map_key(Key, Holders) orelse lists:member(Node, Paused) of
        true -> World;
        false ->
            Request = #{key => {self(), Key}, from => {acquire, Key}, monitor => make_ref(), notify => true, name => {lock, Name}, limit => 1,
                        ttl => Ttl, timeout => Timeout},
            on(Node, fun(Now, Claims) -> hornbeam_cluster_claims:acquire(Request, Now, Claims) end, World#world{asked = Asked#{Key => Name}})
    end;
do({release, Node, Number}, #world{holders = Holders, paused = Paused} = World) ->
    case lists:member(Node, Paused) of
        true -> World;
        false ->
            %% The owner has stopped before it says so.
            Left = World#world{holders = maps:remove({Node, Number}, Holders)},
            on(Node, fun(Now, Claims) -> hornbeam_cluster_claims:release({self(), {Node, Number}}, none, Now, Claims) end, Left)
    end;
do({cut, Node}, #world{cut = Cut} = World) -> World#world{cut = [Node | Cut]};
do({heal, Node}, #world{cut = Cut} = World) -> World#world{cut = [Other || Other <- Cut, Other =/= Node]};
do({pause, Node}, #world{paused = Paused} = World) -> World#world{paused = [Node | Paused]};
do({resume, Node}, #world{paused = Paused} = World) ->
    case lists:member(Node, Paused) of
        true -> resume(Node, World);
        false -> World
    end;
do({leader, Is}, World) -> World#world{leader = Is};
do({resync, Node}, World) -> to(Node, resync, World);
do({pass, Ms}, #world{time = Time} = World) -> pass_until(Time + Ms, World).

%% What has come meanwhile is read before the timer, as a process does. Its owner hears of nothing before that.
resume(Node, #world{kept = Kept, paused = Paused} = World) ->
    Resumed = World#world{paused = [Other || Other <- Paused, Other =/= Node], kept = [One || {To, _} = One <- Kept, To =/= Node],
                          holders = maps:filter(fun({Of, _}, _) -> Of =/= Node end, World#world.holders)},
    Before = maps:filter(fun({Of, _}, _) -> Of =:= Node end, World#world.holders),
    Read = lists:foldl(fun({_, What}, Acc) -> receive_it(Node, What, Acc) end, Resumed, [One || {To, _} = One <- lists:reverse(Kept), To =:= Node]),
    Woken = woken(Node, Read),
    %% Who was not told that it is lost has it.
    #world{nodes = #{Node := Claims}} = Woken,
    Still = maps:filter(fun(Key, _) -> is_held(Key, Claims) end, Before),
    lists:foldl(fun({Key, {Name, Token}}, Acc) -> held(Key, Name, Token, Acc) end, Woken, maps:to_list(Still)).

is_held(Key, Claims) ->
    {Actions, _} = hornbeam_cluster_claims:watch({self(), Key}, watching, Claims),
    Actions =:= [].

pass_until(Until, World0) ->
    #world{due = Due} = World = woken_until(Until, World0),
    case gb_trees:is_empty(Due) orelse element(1, gb_trees:smallest(Due)) of
        {At, _} when At =< Until ->
            {_, What, Rest} = gb_trees:take_smallest(Due),
            pass_until(Until, comes(What, World#world{time = At, due = Rest}));
        _ ->
            World#world{time = Until}
    end.

%% Timers of nodes that are due before the next thing comes.
woken_until(Until, #world{due = Due, nodes = Nodes, paused = Paused, time = Time} = World) ->
    Next = case gb_trees:is_empty(Due) of true -> Until; false -> min(Until, element(1, element(1, gb_trees:smallest(Due)))) end,
    case lists:sort([{At, Node} || {Node, Claims} <- maps:to_list(Nodes), not lists:member(Node, Paused),
                                   At <- [hornbeam_cluster_claims:due(Claims)], At =/= infinity, At =< Next]) of
        [{At, Node} | _] -> woken_until(Until, woken(Node, World#world{time = max(Time, At)}));
        [] -> World
    end.

woken(Node, World) -> on(Node, fun(Now, Claims) -> hornbeam_cluster_claims:wake(Now, Claims) end, World).

comes(clock, #world{leader = false} = World) ->
    later(?STEP, clock, World);
comes(clock, #world{leases = Leases, index = Index, clock = Clock0} = World) ->
    Clock = Clock0 + ?STEP,
    {Events, Left} = hornbeam_cluster_leases:expire(#{index => Index, now => Clock}, Leases),
    later(?STEP, clock, told(Events, World#world{leases = Left, clock = Clock, index = Index + 1}));
comes({command, Node, Label, Op}, #world{leader = false} = World) ->
    later(500, {command, Node, Label, Op}, World);
comes({command, Node, Label, Op}, #world{leases = Leases, index = Index, clock = Clock, cut = Cut} = World) ->
    {Reply, Events, Left} = hornbeam_cluster_leases:apply(Op, #{index => Index, now => Clock}, Leases),
    Applied = told(Events, World#world{leases = Left, index = Index + 1}),
    case lists:member(Node, Cut) of
        true -> later(1000, {to, Node, {answer, Label, {error, in_doubt}}}, Applied);
        false -> soon({to, Node, {answer, Label, {ok, Reply}}}, Applied)
    end;
comes({to, Node, What}, World) ->
    to(Node, What, World).

to(Node, What, #world{paused = Paused, kept = Kept} = World) ->
    case lists:member(Node, Paused) of
        true -> World#world{kept = [{Node, What} | Kept]};
        false -> receive_it(Node, What, World)
    end.

receive_it(Node, {answer, Label, Answer}, World) ->
    on(Node, fun(Now, Claims) -> hornbeam_cluster_claims:answer(Label, Answer, Now, Claims) end, World);
receive_it(Node, {events, Events}, World) ->
    lists:foldl(fun(Event, Acc) -> on(Node, fun(Now, Claims) -> hornbeam_cluster_claims:event(Event, Now, Claims) end, Acc) end, World, Events);
receive_it(Node, resync, World) ->
    on(Node, fun(Now, Claims) -> hornbeam_cluster_claims:resync(Now, Claims) end, World).

%% A node that is cut off hears nothing, and is told nothing of it later.
told([], World) -> World;
told(Events, #world{cut = Cut} = World) ->
    lists:foldl(fun(Node, Acc) -> soon({to, Node, {events, Events}}, Acc) end, World, ?NODES -- Cut).

soon(What, #world{delays = [Delay | Delays]} = World) -> later(Delay, What, World#world{delays = Delays ++ [Delay]}).

later(Delay, What, #world{time = Time, serial = Serial, due = Due} = World) ->
    World#world{serial = Serial + 1, due = gb_trees:insert({Time + Delay, Serial}, What, Due)}.

on(Node, Fun, #world{time = Time, nodes = Nodes} = World) ->
    {Actions, Claims} = Fun(Time, maps:get(Node, Nodes)),
    lists:foldl(fun(Action, Acc) -> act(Node, Action, Acc) end, World#world{nodes = Nodes#{Node := Claims}}, Actions).

%% What a node says that is cut off may have got through before.
act(Node, {command, Label, Op}, #world{cut = Cut, serial = Serial} = World) ->
    case lists:member(Node, Cut) of
        true when Serial rem 3 =:= 0 -> later(1, {command, Node, Label, Op}, World);
        true -> later(1000, {to, Node, {answer, Label, {error, case Serial rem 2 of 0 -> no_quorum; 1 -> in_doubt end}}}, World);
        false -> soon({command, Node, Label, Op}, World)
    end;
act(_Node, {reply, {acquire, Key}, {ok, Token}}, #world{asked = Asked} = World) ->
    {Name, Left} = maps:take(Key, Asked),
    held(Key, Name, Token, World#world{asked = Left});
act(_Node, {reply, {acquire, Key}, {error, _}}, #world{asked = Asked} = World) ->
    World#world{asked = maps:remove(Key, Asked)};
act(_Node, {tell, _, {hornbeam_lock, Key, lost}}, #world{holders = Holders} = World) ->
    World#world{holders = maps:remove(Key, Holders)};
act(_Node, _, World) ->
    World.

%% Those of nodes that stand still know nothing: their tokens are smaller.
held(Key, Name, Token, #world{holders = Holders, paused = Paused, last = Last} = World) ->
    [] = [Other || {{Node, _} = Other, {Of, _}} <- maps:to_list(Holders), Of =:= Name, Other =/= Key, not lists:member(Node, Paused)],
    true = Token >= maps:get(Name, Last, 0),
    World#world{holders = Holders#{Key => {Name, Token}}, last = Last#{Name => Token}}.

is_quiet_at_last(#world{} = World0) ->
    Well = lists:foldl(fun(Node, Acc) -> do({resume, Node}, Acc) end, World0#world{cut = [], leader = true, delays = [1]}, ?NODES),
    %% Everybody lets go, and so does whoever gets it then.
    World = lists:foldl(fun(_, Acc) ->
        lists:foldl(fun(Number, Before) -> lists:foldl(fun(Node, B) -> let_go(Node, Number, B) end, Before, ?NODES) end,
                    pass_until(Acc#world.time + 3000, Acc), [1, 2, 3])
    end, Well, lists:seq(1, 12)),
    #world{asked = Asked, holders = Holders, nodes = Nodes, leases = Leases} = pass_until(World#world.time + 20000, World),
    {Asked, Holders, [hornbeam_cluster_claims:count(Claims) || Claims <- maps:values(Nodes)], hornbeam_cluster_leases:query(counts, 0, Leases)} =:=
        {#{}, #{}, [0, 0, 0], #{names => 0, held => 0, waiting => 0}}.

%% Also what was lost.
let_go(Node, Number, #world{asked = Asked} = World) ->
    case is_map_key({Node, Number}, Asked) of
        true -> World;
        false -> do({release, Node, Number}, World)
    end.
