%%% The properties of hornbeam_presence_replica: nodes that track, update, untrack, crash and are parted, and messages between them that are lost, come
%%% twice or in any order. What one node knows of another is at every moment what that one has said at some time, never older than
%%% before; once all messages have come, all know the same, and nothing is back that was removed. Run by properties_tests.
-module(prop_hornbeam_presence).

-include_lib("proper/include/proper.hrl").

-export([prop_replicas_converge/0, prop_changes_lead_to_the_state/0]).

-define(NODES, [a, b, c]).

%% A replica is a node's life: {Node, Number}. said: what each said at each version. pool: messages on their way, which stay there, to come again.
-record(world, {
    lives = #{a => 0, b => 0, c => 0} :: #{atom() => non_neg_integer()},
    own = #{} :: #{atom() => hornbeam_presence_replica:replica()},
    views = #{} :: #{{atom(), {atom(), non_neg_integer()}} => hornbeam_presence_replica:replica()},
    said = #{} :: #{{{atom(), non_neg_integer()}, non_neg_integer()} => #{binary() => term()}},
    shown = #{} :: #{{atom(), {atom(), non_neg_integer()}} => #{binary() => term()}},
    pool = [] :: [{atom(), {atom(), non_neg_integer()}, {delta | whole, term()}}],
    refs = 0 :: non_neg_integer()
}).

-spec prop_replicas_converge() -> proper:test().
prop_replicas_converge() ->
    ?FORALL(Events, list(event()), begin
        World = settled(lists:foldl(fun step/2, new(), Events)),
        Alive = [{Node, maps:get(Node, World#world.lives)} || Node <- ?NODES],
        Truth = maps:from_list([{Life, hornbeam_presence_replica:entries(maps:get(Node, World#world.own))} || {Node, _} = Life <- Alive]),
        lists:all(fun(Node) -> seen(Node, World) =:= maps:remove({Node, maps:get(Node, World#world.lives)}, Truth) end, ?NODES)
    end).

%% What clients are told, of a life each, adds up to what there is.
-spec prop_changes_lead_to_the_state() -> proper:test().
prop_changes_lead_to_the_state() ->
    ?FORALL(Events, list(event()), begin
        #world{shown = Shown, views = Views} = settled(lists:foldl(fun step/2, new(), Events)),
        Shown =:= maps:map(fun(_, View) -> hornbeam_presence_replica:entries(View) end, Views)
    end).

event() ->
    frequency([{4, {track, a_node(), key()}}, {2, {update, a_node(), nat()}}, {3, {untrack, a_node(), nat()}}, {6, {deliver, nat()}}, {1, {lose, nat()}},
               {1, {part, a_node(), a_node()}}, {1, {whole, a_node()}}, {1, {crash, a_node()}}]).

a_node() -> oneof(?NODES).
key() -> oneof([<<"ada">>, <<"bob">>]).

new() ->
    lists:foldl(fun(Node, World) -> remember(Node, hornbeam_presence_replica:new(), World) end, #world{}, ?NODES).

remember(Node, Replica, #world{own = Own, said = Said} = World) ->
    Version = {life(Node, World), hornbeam_presence_replica:version(Replica)},
    World#world{own = Own#{Node => Replica}, said = Said#{Version => hornbeam_presence_replica:entries(Replica)}}.

life(Node, #world{lives = Lives}) -> {Node, maps:get(Node, Lives)}.

step({track, Node, Key}, #world{refs = Refs} = World) ->
    change(Node, #{integer_to_binary(Refs) => {<<"t">>, Key, <<>>}}, [], World#world{refs = Refs + 1});
step({update, Node, At}, #world{own = Own, refs = Refs} = World) ->
    with_ref(At, maps:get(Node, Own), World, fun(Ref, {Topic, Key, _}) ->
        change(Node, #{integer_to_binary(Refs) => {Topic, Key, <<"\"n\":1">>}}, [Ref], World#world{refs = Refs + 1})
    end);
step({untrack, Node, At}, #world{own = Own} = World) ->
    with_ref(At, maps:get(Node, Own), World, fun(Ref, _) -> change(Node, #{}, [Ref], World) end);
step({deliver, _}, #world{pool = []} = World) -> World;
step({deliver, At}, #world{pool = Pool} = World) -> deliver(lists:nth(At rem length(Pool) + 1, Pool), World);
step({lose, _}, #world{pool = []} = World) -> World;
step({lose, At}, #world{pool = Pool} = World) -> World#world{pool = Pool -- [lists:nth(At rem length(Pool) + 1, Pool)]};
%% Both forget the other, and all that was on its way is lost; what comes later is a gap, or whole.
step({part, One, Other}, #world{pool = Pool} = World) ->
    Lost = [Message || {To, {From, _}, _} = Message <- Pool, {To, From} =:= {One, Other} orelse {To, From} =:= {Other, One}],
    forget(One, Other, forget(Other, One, World#world{pool = Pool -- Lost}));
step({whole, Node}, World) -> tell_all(Node, {whole, hornbeam_presence_replica:whole(maps:get(Node, World#world.own))}, World);
%% All connections to it end; nothing of the old life comes after that.
step({crash, Node}, #world{lives = Lives, pool = Pool, views = Views, shown = Shown} = World0) ->
    World = lists:foldl(fun(Other, Acc) -> forget(Other, Node, Acc) end, World0, ?NODES),
    Mine = fun({Of, _}, _) -> Of =/= Node end,
    remember(Node, hornbeam_presence_replica:new(),
             World#world{lives = Lives#{Node := maps:get(Node, Lives) + 1}, pool = [M || {To, {From, _}, _} = M <- Pool, To =/= Node, From =/= Node],
                         views = maps:filter(Mine, without(Node, Views)), shown = maps:filter(Mine, without(Node, Shown))}).

without(Node, Of) -> maps:filter(fun({_, {From, _}}, _) -> From =/= Node end, Of).

forget(One, Other, #world{views = Views, shown = Shown} = World) ->
    Keep = fun({Of, {From, _}}, _) -> {Of, From} =/= {One, Other} end,
    World#world{views = maps:filter(Keep, Views), shown = maps:filter(Keep, Shown)}.

with_ref(At, Replica, World, Fun) ->
    case maps:to_list(hornbeam_presence_replica:entries(Replica)) of
        [] -> World;
        Entries -> {Ref, Entry} = lists:nth(At rem length(Entries) + 1, Entries), Fun(Ref, Entry)
    end.

change(Node, Added, Removed, #world{own = Own} = World) ->
    {Delta, Replica} = hornbeam_presence_replica:change(Added, Removed, maps:get(Node, Own)),
    tell_all(Node, {delta, Delta}, remember(Node, Replica, World)).

tell_all(Node, What, #world{pool = Pool} = World) ->
    World#world{pool = [{To, life(Node, World), What} || To <- ?NODES, To =/= Node] ++ Pool}.

deliver({To, Life, What}, #world{views = Views, shown = Shown} = World) ->
    At = {To, Life},
    Before = maps:get(At, Views, hornbeam_presence_replica:new()),
    {Changes, After} = case What of
        {whole, Whole} -> hornbeam_presence_replica:replace(Whole, Before);
        {delta, Delta} ->
            case hornbeam_presence_replica:merge(Delta, Before) of
                {ok, Each, Merged} -> {Each, Merged};
                Nothing when Nothing =:= old; Nothing =:= gap -> {{#{}, #{}}, Before}
            end
    end,
    true = hornbeam_presence_replica:version(After) >= hornbeam_presence_replica:version(Before),
    true = maps:get({Life, hornbeam_presence_replica:version(After)}, World#world.said) =:= hornbeam_presence_replica:entries(After),
    World#world{views = Views#{At => After}, shown = Shown#{At => told(Changes, maps:get(At, Shown, #{}))}}.

%% A client hears of no entry twice, and of no end of what it has not heard of.
told({Added, Removed}, Before) ->
    0 = map_size(maps:with(maps:keys(Added), Before)),
    Removed = maps:with(maps:keys(Removed), Before),
    maps:merge(maps:without(maps:keys(Removed), Before), Added).

%% Everybody has asked for what is missing, and got it.
settled(World) ->
    lists:foldl(fun({To, From}, Acc) ->
        deliver({To, life(From, Acc), {whole, hornbeam_presence_replica:whole(maps:get(From, Acc#world.own))}}, Acc)
    end, World, [{To, From} || To <- ?NODES, From <- ?NODES, To =/= From]).

seen(Node, #world{views = Views}) ->
    maps:from_list([{Life, hornbeam_presence_replica:entries(View)} || {{Of, Life}, View} <- maps:to_list(Views), Of =:= Node]).
