%%% Which durable tasks are on their way to the disk, who waits to hear that they are there, and whether they may run before. Pure.
%%%
%%% Called by: hornbeam_task_book. Calls: nothing.
%%%
%%% One may begin at once, for to begin takes a tenth of what a disk takes, and nobody has been told of it before it is on disk: what ends all of
%%% this in between leaves none that was promised. Where the last write has failed the next ones are held until they are there.
%%%
%%%     begun  waits or runs, or is over already
%%%     held   is in no queue yet
-module(hornbeam_task_storing).

-export([new/0, way/1, add/4, join/3, take/3, is_held/2, is_member/2, held/1, size/1]).
-export_type([storing/0, way/0, from/0]).

-type way() :: begun | held.
-type from() :: gen_server:from().

-record(storing, {
    tasks = #{} :: #{Id :: binary() => {way(), [from()]}},
    held = 0 :: non_neg_integer(),      % of those
    sound = true :: boolean()           % the last write has gone well
}).
-opaque storing() :: #storing{}.

-spec new() -> storing().
new() -> #storing{}.

%% @doc That of the next one.
-spec way(storing()) -> way().
way(#storing{sound = true}) -> begun;
way(#storing{sound = false}) -> held.

%% @doc One whose write has been asked for.
-spec add(Id :: binary(), way(), from(), storing()) -> storing().
add(Id, Way, From, #storing{tasks = Tasks, held = Held} = Storing) ->
    Storing#storing{tasks = Tasks#{Id => {Way, [From]}}, held = Held + one(Way)}.

one(held) -> 1;
one(begun) -> 0.

%% @doc One more who waits for it; error when it is not on its way.
-spec join(Id :: binary(), from(), storing()) -> {ok, storing()} | error.
join(Id, From, #storing{tasks = Tasks} = Storing) ->
    case Tasks of
        #{Id := {Way, Others}} -> {ok, Storing#storing{tasks = Tasks#{Id := {Way, [From | Others]}}}};
        #{} -> error
    end.

%% @doc Its write is over; well, or not.
-spec take(Id :: binary(), Well :: boolean(), storing()) -> {way(), [from()], storing()}.
take(Id, Well, #storing{tasks = Tasks, held = Held} = Storing) ->
    {{Way, Waiting}, Rest} = maps:take(Id, Tasks),
    {Way, Waiting, Storing#storing{tasks = Rest, held = Held - one(Way), sound = Well}}.

-spec is_held(Id :: binary(), storing()) -> boolean().
is_held(Id, #storing{tasks = Tasks}) ->
    case Tasks of
        #{Id := {held, _}} -> true;
        #{} -> false
    end.

-spec is_member(Id :: binary(), storing()) -> boolean().
is_member(Id, #storing{tasks = Tasks}) -> is_map_key(Id, Tasks).

%% @doc How many are held.
-spec held(storing()) -> non_neg_integer().
held(#storing{held = Held}) -> Held.

%% @doc How many are on their way.
-spec size(storing()) -> non_neg_integer().
size(#storing{tasks = Tasks}) -> map_size(Tasks).
