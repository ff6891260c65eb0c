%%% The property of hornbeam_cache_flights: whatever comes in whatever order, one computes a key that is open, nobody waits who has no
%%% leader, and when all who compute have said what came of it nobody is left. Run by properties_tests.
-module(prop_hornbeam_cache).

-include_lib("proper/include/proper.hrl").

-export([prop_nobody_waits_for_ever/0]).

-import(hornbeam_cache_flights, [new/0, ask/4, finish/2, leave/2, left/2, clear/2, counts/1]).

%% What the callers do, by the model, and who computes for those who ask now.
-record(model, {
    callers = #{} :: #{hornbeam_cache_flights:who() => {computes | waits, hornbeam_cache_flights:key()}},
    open = #{} :: #{hornbeam_cache_flights:key() => hornbeam_cache_flights:who()}
}).

%% Sessions, tokens and keys are few, so that they meet.
-spec prop_nobody_waits_for_ever() -> proper:test().
prop_nobody_waits_for_ever() ->
    ?FORALL(Events, list(event()), begin
        Sessions = {make_ref(), make_ref(), make_ref()},
        {Flights, Model} = lists:foldl(fun(Event, Before) -> consistent(step(resolve(Event, Sessions), Before)) end,
                                       {new(), #model{}}, Events),
        finished(Flights, Model)
    end).

event() ->
    frequency([{6, {ask, who(), oneof([<<"a">>, <<"b">>]), oneof([thread, coroutine, blocked])}}, {2, {finish, who()}},
               {2, {leave, who()}}, {1, {left, range(1, 3)}}, {1, {clear, oneof([all, <<"n">>, <<"m">>])}}]).

who() -> {range(1, 3), range(1, 4)}.

resolve({ask, Who, Name, Mode}, Sessions) -> {ask, real(Who, Sessions), {<<"n">>, Name}, Mode};
resolve({left, Session}, Sessions) -> {left, element(Session, Sessions)};
resolve({clear, Which}, _) -> {clear, Which};
resolve({Kind, Who}, Sessions) -> {Kind, real(Who, Sessions)}.

real({Session, Token}, Sessions) -> {element(Session, Sessions), Token}.

step({ask, Who, Key, Mode}, {Flights0, #model{callers = Callers, open = Open} = Model}) ->
    {Outcome, Flights} = ask(Who, Key, Mode, Flights0),
    case Outcome of
        _ when is_map_key(Who, Callers) ->
            alone = Outcome,
            {Flights, Model};
        lead ->
            false = is_map_key(Key, Open),
            {Flights, Model#model{callers = Callers#{Who => {computes, Key}}, open = Open#{Key => Who}}};
        wait ->
            true = is_map_key(Key, Open),
            {Flights, Model#model{callers = Callers#{Who => {waits, Key}}}};
        alone ->
            blocked = Mode,
            {Flights, Model}
    end;
step({finish, Who}, {Flights0, #model{callers = Callers, open = Open} = Model}) ->
    {Outcome, Flights} = finish(Who, Flights0),
    case {Outcome, Callers} of
        {{Kind, Key, Waiters}, #{Who := {computes, Key}}} ->
            [] = [Waiter || Waiter <- Waiters, maps:get(Waiter, Callers) =/= {waits, Key}],
            Kind = case Open of #{Key := Who} -> open; #{} -> closed end,
            {Flights, without(Who, Model#model{callers = maps:without(Waiters, Callers)})};
        {none, #{Who := {waits, _}}} ->
            {Flights, Model};
        {none, _} ->
            false = is_map_key(Who, Callers),
            {Flights, Model}
    end;
step({leave, Who}, {Flights0, Model}) ->
    {Told, Flights} = leave(Who, Flights0),
    {Flights, told(Told, without(Who, Model))};
step({left, Session}, {Flights0, #model{callers = Callers} = Model}) ->
    {Told, Flights} = left(Session, Flights0),
    [] = [Who || {{Of, _} = Who, _} <- Told, Of =:= Session],
    {Flights, told(Told, lists:foldl(fun without/2, Model, [Who || {Of, _} = Who <- maps:keys(Callers), Of =:= Session]))};
step({clear, <<"m">>}, {Flights, Model}) ->
    {clear(<<"m">>, Flights), Model};
step({clear, Which}, {Flights, Model}) ->
    {clear(Which, Flights), Model#model{open = #{}}}.

without(Who, #model{callers = Callers, open = Open}) ->
    #model{callers = maps:remove(Who, Callers), open = maps:filter(fun(_, Computes) -> Computes =/= Who end, Open)}.

told(Told, Model) ->
    lists:foldl(fun({Who, What}, #model{callers = Callers, open = Open} = Before) ->
        #{Who := {waits, Key}} = Callers,
        case What of
            lead -> Before#model{callers = Callers#{Who := {computes, Key}}, open = maps:merge(#{Key => Who}, Open)};
            alone -> Before#model{callers = maps:remove(Who, Callers)}
        end
    end, Model, Told).

%% As many flights as there are who compute, as many callers as the model has, and who waits has somebody who computes.
consistent({Flights, #model{callers = Callers}} = Both) ->
    Computing = [Key || {computes, Key} <- maps:values(Callers)],
    true = counts(Flights) =:= {length(Computing), map_size(Callers)},
    [] = [Key || {waits, Key} <- maps:values(Callers), not lists:member(Key, Computing)],
    Both.

finished(Flights, #model{callers = Callers}) when map_size(Callers) =:= 0 ->
    counts(Flights) =:= {0, 0};
finished(Flights, #model{callers = Callers} = Model) ->
    [Who | _] = [Who || {Who, {computes, _}} <- maps:to_list(Callers)],
    {After, Left} = consistent(step({finish, Who}, {Flights, Model})),
    finished(After, Left).
