%%% Which workers of a pool are started, which take requests, which are drained: a state machine without effects.
%%%
%%% Called by: hornbeam_pool, which brings the events and carries out the actions. Calls: nothing.
%%%
%%% A member is one worker process, known by its key {Number, Serial}; numbers are for people (1..size), serials are
%%% never used again. Members belong to a generation. The members of the current generation that are ready are `serving'.
%%%
%%%   prepare    starts a generation beside the current one. When all of it is ready: {prepared, ok}. When one of it
%%%              fails before: all of it is stopped, {prepared, {error, Reason}}, and nothing else has changed. A generation of none is
%%%              ready at once: its commit drains all that the pool has.
%%%   restart    starts a generation that is the current one at once: its members get ready, or are tried again, one by one.
%%%   commit     the prepared generation becomes the current one; the old one is drained.
%%%   abort      the generation that is being prepared is stopped.
%%%   retire     a member asks to be replaced (hornbeam_worker_retirement:reason()): a
%%%              successor is started, and the member drained when that is ready. One at a time, so that a
%%%              pool whose workers all come of age together holds one process more, not twice as many.
%%%
%%% The first start is a `prepare' of a pool without a generation, `restart' that of one whose predecessor has crashed. Whatever happens, each number of the
%%% current generation is held by a member that serves or is on its way to (prop_hornbeam_pool_plan).
-module(hornbeam_pool_plan).

-export([new/0, event/2, serving/1, members/1]).
-export_type([plan/0, key/0, event/0, action/0]).

-type key() :: {Number :: pos_integer(), Serial :: pos_integer()}.
-type event() :: {prepare, Size :: non_neg_integer()} | {restart, Size :: non_neg_integer()} | commit | abort
               | {ready, key()} | {lost, key(), Reason :: term()} | {down, key(), Reason :: term()}
               | {retire, key()}.
-type action() :: {start, key(), current | next}
                | {drain, key()}            % let it finish what it has, then end it
                | {stop, key()}             % it has nothing to finish
                | {prepared, ok | {error, term()}}.
%% leaving: drained or stopped; all that is left to hear of it is that it is down.
-type status() :: starting | ready | lost | leaving.

-record(member, {
    generation :: non_neg_integer(),
    status = starting :: status()
}).
-record(plan, {
    generation = 0 :: non_neg_integer(),
    next = none :: none | {preparing | prepared, pos_integer()},
    serial = 1 :: pos_integer(),
    generations = 0 :: non_neg_integer(),           % so far, those that failed included
    members = #{} :: #{key() => #member{}},
    successor = none :: none | {New :: key(), Old :: key()},
    due = [] :: [key()]                             % to be retired, the longest waiting first
}).
-opaque plan() :: #plan{}.

-spec new() -> plan().
new() ->
    #plan{}.

%% @doc The members that take requests.
-spec serving(plan()) -> [key()].
serving(#plan{generation = Generation, members = Members}) ->
    [Key || {Key, #member{status = ready, generation = G}} <- maps:to_list(Members), G =:= Generation].

-spec members(plan()) -> #{key() => {status(), current | other}}.
members(#plan{generation = Generation, members = Members}) ->
    maps:map(fun(_, #member{status = Status, generation = Generation_}) when Generation_ =:= Generation ->
                     {Status, current};
                (_, #member{status = Status}) ->
                     {Status, other}
             end, Members).

-spec event(event(), plan()) -> {[action()], plan()}.
event({prepare, 0}, #plan{next = none, generations = Generations} = Plan) ->
    {[{prepared, ok}], Plan#plan{next = {prepared, Generations + 1}, generations = Generations + 1}};
event({prepare, Size}, #plan{next = none, generations = Generations} = Plan) ->
    Generation = Generations + 1,
    start_all(lists:seq(1, Size), Generation, next,
              Plan#plan{next = {preparing, Generation}, generations = Generation});
event({prepare, _}, Plan) ->
    {[{prepared, {error, reload_in_progress}}], Plan};
event({restart, Size}, #plan{generations = 0} = Plan) ->
    start_all(lists:seq(1, Size), 1, current, Plan#plan{generation = 1, generations = 1});
event(commit, #plan{next = {prepared, Generation}, generation = Old} = Plan) ->
    leave(Old, Plan#plan{next = none, generation = Generation, successor = none, due = []});
event(abort, #plan{next = {_, Generation}} = Plan) ->
    with(fun next_due/1, leave(Generation, Plan#plan{next = none}));
event({ready, Key}, #plan{members = Members} = Plan) ->
    case Members of
        #{Key := #member{status = leaving}} -> {[], Plan};
        #{Key := Member} -> became_ready(Key, Member, put_status(Key, ready, Plan));
        #{} -> {[], Plan}
    end;
event({lost, Key, Reason}, #plan{members = Members, next = Next} = Plan) ->
    case Members of
        #{Key := #member{status = leaving}} -> {[], Plan};
        #{Key := #member{generation = G}} when Next =:= {preparing, G} -> failed(G, Reason, Plan);
        #{Key := _} -> {[], put_status(Key, lost, Plan)};
        #{} -> {[], Plan}
    end;
event({down, Key, Reason}, #plan{members = Members} = Plan0) ->
    case maps:take(Key, Members) of
        {#member{status = leaving}, Rest} -> {[], Plan0#plan{members = Rest}};
        {Member, Rest} -> crashed(Key, Member, Reason, Plan0#plan{members = Rest});
        error -> {[], Plan0}
    end;
event({retire, Key}, #plan{generation = Generation, members = Members, due = Due} = Plan) ->
    case {Members, lists:member(Key, Due)} of
        {#{Key := #member{status = Status, generation = Generation}}, false} when Status =/= leaving ->
            next_due(Plan#plan{due = Due ++ [Key]});
        _ ->
            {[], Plan}
    end;
event(_, Plan) ->
    %% commit or abort of what has already failed
    {[], Plan}.

became_ready(Key, _, #plan{successor = {Key, Old}} = Plan) ->
    {Actions, Left} = leave_one(Old, Plan#plan{successor = none}),
    with(fun next_due/1, {Actions, Left});
became_ready(_, #member{generation = G}, #plan{next = {preparing, G}, members = Members} = Plan) ->
    case [S || #member{status = S, generation = Of} <- maps:values(Members), Of =:= G, S =/= ready] of
        [] -> {[{prepared, ok}], Plan#plan{next = {prepared, G}}};
        _ -> {[], Plan}
    end;
became_ready(_, _, Plan) ->
    {[], Plan}.

failed(Generation, Reason, Plan) ->
    {Actions, Left} = leave(Generation, Plan#plan{next = none}),
    {More, Final} = next_due(Left),
    {Actions ++ [{prepared, {error, Reason}} | More], Final}.

%% A worker process ended that should not have.
crashed(_, #member{generation = G}, Reason, #plan{next = {preparing, G}} = Plan) ->
    failed(G, Reason, Plan);
crashed(Key, Member, _, #plan{successor = {Key, Old}} = Plan) ->
    {Actions, Started, New} = restart(Key, Member, Plan),
    {Actions, Started#plan{successor = {New, Old}}};
crashed(Key, _, _, #plan{successor = {_, Key}} = Plan) ->
    {[], Plan};
crashed(Key, Member, _, #plan{due = Due} = Plan) ->
    {Actions, Started, _} = restart(Key, Member, Plan#plan{due = lists:delete(Key, Due)}),
    {Actions, Started}.

restart({Number, _}, #member{generation = G}, #plan{serial = Serial, generation = Current} = Plan) ->
    Which = case G of Current -> current; _ -> next end,
    {Actions, Started} = start_all([Number], G, Which, Plan),
    {Actions, Started, {Number, Serial}}.

%% Starts the successor of the first that is due, unless one is on its way or a reload is about to
%% replace them all.
next_due(#plan{successor = none, next = none, due = [Key | Due], members = Members,
               generation = Generation, serial = Serial} = Plan) ->
    case Members of
        #{Key := #member{status = Status}} when Status =/= leaving ->
            {Number, _} = Key,
            start_all([Number], Generation, current,
                      Plan#plan{due = Due, successor = {{Number, Serial}, Key}});
        #{} ->
            next_due(Plan#plan{due = Due})
    end;
next_due(Plan) ->
    {[], Plan}.

start_all(Numbers, Generation, Which, #plan{serial = Serial, members = Members} = Plan) ->
    Keys = lists:zip(Numbers, lists:seq(Serial, Serial + length(Numbers) - 1)),
    Started = maps:from_keys(Keys, #member{generation = Generation}),
    {[{start, Key, Which} || Key <- Keys],
     Plan#plan{members = maps:merge(Members, Started), serial = Serial + length(Numbers)}}.

leave(Generation, #plan{members = Members} = Plan) ->
    Keys = lists:sort([Key || {Key, #member{generation = G}} <- maps:to_list(Members), G =:= Generation]),
    lists:foldl(fun(Key, {Actions, Acc}) ->
        {More, Left} = leave_one(Key, Acc),
        {Actions ++ More, Left}
    end, {[], Plan}, Keys).

leave_one(Key, #plan{members = Members} = Plan) ->
    case Members of
        #{Key := #member{status = ready}} -> {[{drain, Key}], put_status(Key, leaving, Plan)};
        #{Key := #member{status = leaving}} -> {[], Plan};
        #{Key := _} -> {[{stop, Key}], put_status(Key, leaving, Plan)};
        #{} -> {[], Plan}
    end.

put_status(Key, Status, #plan{members = Members} = Plan) ->
    #{Key := Member} = Members,
    Plan#plan{members = Members#{Key := Member#member{status = Status}}}.

with(Next, {Actions, Plan}) ->
    {More, Final} = Next(Plan),
    {Actions ++ More, Final}.
