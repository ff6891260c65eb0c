%%% Whatever happens to a pool, each number of the current generation is held by a member that serves or is on its way to, what
%%% is leaving goes, and a reload is answered exactly once. Run by properties_tests.
-module(prop_hornbeam_pool_plan).

-include_lib("proper/include/proper.hrl").

-export([prop_numbers_are_held/0]).

-record(world, {
    plan :: hornbeam_pool_plan:plan(),
    size :: pos_integer(),          % of the current generation
    asked :: pos_integer() | none,  % of the one that is being prepared
    answers = 0 :: integer(),       % prepares not answered yet
    decide = none :: none | ok
}).

-spec prop_numbers_are_held() -> proper:test().
prop_numbers_are_held() ->
    ?FORALL({Size, Steps}, {range(1, 4), list(step())},
        begin
            {[_ | _], Plan} = hornbeam_pool_plan:event({prepare, Size}, hornbeam_pool_plan:new()),
            First = #world{plan = all_ready(Plan), size = Size, asked = none},
            Committed = apply_event(commit, First),
            World = lists:foldl(fun run/2, Committed, Steps),
            invariant(World)
        end).

step() ->
    {oneof([ready, ready, ready, lost, crash, down, down, retire, prepare, decide, abort]), range(1, 1000), range(1, 4)}.

run({prepare, _, Size}, #world{asked = none} = World) ->
    checked(apply_event({prepare, Size}, World#world{asked = Size, answers = 1}));
run({prepare, _, _}, World) ->
    World;
run({decide, _, _}, #world{decide = ok, asked = Size} = World) ->
    checked(apply_event(commit, World#world{decide = none, asked = none, size = Size}));
run({abort, _, _}, #world{asked = Size} = World) when Size =/= none ->
    checked(apply_event(abort, World#world{decide = none, asked = none, answers = 0}));
run({Kind, _, _}, World) when Kind =:= decide; Kind =:= abort ->
    World;
run({Kind, Pick, _}, #world{plan = Plan} = World) ->
    Members = maps:to_list(hornbeam_pool_plan:members(Plan)),
    Fitting = [Key || {Key, {Status, _}} <- Members, fits(Kind, Status)],
    case Fitting of
        [] -> World;
        _ -> checked(apply_event(event(Kind, lists:nth(Pick rem length(Fitting) + 1, Fitting)), World))
    end.

fits(ready, Status) -> Status =:= starting orelse Status =:= lost;
fits(lost, Status) -> Status =/= lost;
fits(down, Status) -> Status =:= leaving;
fits(crash, _) -> true;
fits(retire, Status) -> Status =:= ready.

event(ready, Key) -> {ready, Key};
event(lost, Key) -> {lost, Key, died};
event(retire, Key) -> {retire, Key};
event(_, Key) -> {down, Key, died}.

apply_event(Event, #world{plan = Plan0} = World) ->
    {Actions, Plan} = hornbeam_pool_plan:event(Event, Plan0),
    lists:foldl(fun answered/2, World#world{plan = Plan}, Actions).

answered({prepared, ok}, #world{answers = 1} = World) -> World#world{answers = 0, decide = ok};
answered({prepared, {error, _}}, #world{answers = 1} = World) -> World#world{answers = 0, asked = none};
answered({prepared, _}, _) -> error(answered_twice);
answered(_, World) -> World.

all_ready(Plan) ->
    lists:foldl(fun(Key, Acc) -> element(2, hornbeam_pool_plan:event({ready, Key}, Acc)) end, Plan,
                maps:keys(hornbeam_pool_plan:members(Plan))).

checked(World) ->
    true = invariant(World),
    World.

invariant(#world{plan = Plan, size = Size}) ->
    Members = hornbeam_pool_plan:members(Plan),
    Held = [Number || {{Number, _}, {Status, current}} <- maps:to_list(Members), Status =/= leaving],
    Serving = hornbeam_pool_plan:serving(Plan),
    %% One more while a successor is on its way, never two.
    lists:usort(Held) =:= lists:seq(1, Size) andalso length(Held) =< Size + 1
        andalso lists:all(fun(Key) -> maps:get(Key, Members) =:= {ready, current} end, Serving).
