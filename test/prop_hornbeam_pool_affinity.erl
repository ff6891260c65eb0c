%%% Rendezvous hashing: who goes and who comes moves only its own keys, and keys are spread evenly. Run by properties_tests.
-module(prop_hornbeam_pool_affinity).

-include_lib("proper/include/proper.hrl").
-include("hornbeam.hrl").

-export([prop_only_its_own_move/0, prop_evenly/0]).

slots(Numbers) ->
    list_to_tuple([#slot{worker = self(), number = Number, counters = atomics:new(1, [])} || Number <- Numbers]).

order(Key, Slots) ->
    [Number || #slot{number = Number} <- hornbeam_pool_affinity:order(hornbeam_pool_affinity:key(Key), Slots)].

%% Without one of the workers the order is the same, less that one; all of them are in it.
-spec prop_only_its_own_move() -> proper:test().
prop_only_its_own_move() ->
    ?FORALL({Size, Gone0, Keys}, {range(1, 40), range(1, 40), non_empty(list(binary()))},
        begin
            Gone = (Gone0 - 1) rem Size + 1,
            Numbers = lists:seq(1, Size),
            All = slots(Numbers),
            Left = slots(lists:delete(Gone, Numbers)),
            lists:all(fun(Key) ->
                Before = order(Key, All),
                lists:sort(Before) =:= Numbers andalso order(Key, Left) =:= lists:delete(Gone, Before)
            end, Keys)
        end).

%% 200 keys for each: none has a half more or less.
-spec prop_evenly() -> proper:test().
prop_evenly() ->
    ?FORALL({Size, Salt}, {range(2, 6), binary(8)},
        begin
            Slots = slots(lists:seq(1, Size)),
            Chosen = [hd(order(<<Salt/binary, N:32>>, Slots)) || N <- lists:seq(1, 200 * Size)],
            lists:all(fun(Number) -> Count = length([C || C <- Chosen, C =:= Number]), Count > 100 andalso Count < 300 end,
                      lists:seq(1, Size))
        end).
