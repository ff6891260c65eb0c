%%% hornbeam_pool_turns, and the bound of a queue that callers share (hornbeam_pool_waiting).
-module(hornbeam_pool_turns_tests).

-include_lib("eunit/include/eunit.hrl").

%% Two callers; the tags of their calls are numbers.
owner(Caller, Number) -> {self(), {caller, Caller, Number}}.

names() -> {list_to_pid("<0.1.0>"), list_to_pid("<0.2.0>")}.

all(Turns) ->
    case hornbeam_pool_turns:out(Turns) of
        empty -> [];
        {{_, {caller, _, Number}}, Rest} -> [Number | all(Rest)];
        {{_, Number}, Rest} -> [Number | all(Rest)]
    end.

in(Owners) -> lists:foldl(fun(Owner, Turns) -> hornbeam_pool_turns:in(Owner, back, Turns) end, hornbeam_pool_turns:new(), Owners).

%% One with a thousand does not keep another's single one waiting.
callers_take_turns_test() ->
    {A, B} = names(),
    Turns = in([owner(A, N) || N <- lists:seq(1, 1000)] ++ [owner(B, -1), owner(B, -2)]),
    ?assertEqual([1, -1, 2, -2] ++ lists:seq(3, 1000), all(Turns)),
    ?assertEqual(1002, hornbeam_pool_turns:size(Turns)).

%% Requests of HTTP name no caller.
without_callers_first_come_test() ->
    ?assertEqual([1, 2, 3], all(in([{self(), N} || N <- [1, 2, 3]]))).

front_test() ->
    {A, B} = names(),
    Turns = in([owner(A, 1), owner(B, 2), owner(A, 3)]),
    ?assertEqual([0, 2, 1, 3], all(hornbeam_pool_turns:in(owner(A, 0), front, Turns))),
    ?assertEqual([0, 1, 2], all(hornbeam_pool_turns:in(owner(B, 0), front, in([owner(A, 1), owner(A, 2)])))).

delete_test() ->
    {A, B} = names(),
    Turns = in([owner(A, 1), owner(B, 2), owner(A, 3)]),
    {ok, WithoutB} = hornbeam_pool_turns:delete(owner(B, 2), Turns),
    ?assertEqual([1, 3], all(WithoutB)),
    ?assertEqual(error, hornbeam_pool_turns:delete(owner(B, 2), WithoutB)),
    {ok, One} = hornbeam_pool_turns:delete(owner(A, 1), WithoutB),
    {ok, None} = hornbeam_pool_turns:delete(owner(A, 3), One),
    ?assert(hornbeam_pool_turns:is_empty(None)),
    ?assertEqual(empty, hornbeam_pool_turns:longest(None)).

%% The queue is full: the caller that has the most loses its last one, whoever comes.
full_queue_test() ->
    {A, B} = names(),
    Counter = {Ref, Index} = {atomics:new(2, []), 1},
    Enter = fun(Owner, Waiting) ->
        true = hornbeam_pool_waiting:enter(back, 6, Counter),
        hornbeam_pool_waiting:in(Owner, back, 3, Waiting)
    end,
    Waiting = lists:foldl(Enter, hornbeam_pool_waiting:new(Counter, {Ref, 2}), [owner(A, 1), owner(A, 2), owner(A, 3), owner(B, 4)]),
    ?assertEqual([{owner(A, 3), overloaded}], flush()),
    _ = Enter(owner(A, 5), Waiting),
    ?assertEqual([{owner(A, 5), overloaded}], flush()),
    ?assertEqual({3, 2}, {atomics:get(Ref, Index), atomics:get(Ref, 2)}).

flush() ->
    receive {_, overloaded} = Message -> [Message | flush()]
    after 0 -> []
    end.
