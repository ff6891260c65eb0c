%%% hornbeam_pool_choice: when a worker is quiet. Who gets a request: hornbeam_worker_tests, and from the outside http/test_places.
-module(hornbeam_pool_choice_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hornbeam.hrl").

few_requests_test() ->
    Counters = atomics:new(?SLOT_SIZE, []),
    atomics:put(Counters, ?SLOT_OPEN, ?OPEN),
    Slot = #slot{worker = self(), counters = Counters},
    Quiet = [begin
                 {ok, Slot, _} = hornbeam_pool_choice:take({Slot}, 1, 100),
                 hornbeam_pool_choice:is_quiet(Slot)
             end || _ <- lists:seq(1, 34)],
    ?assertEqual({32, 2}, {length([yes || true <- lists:sublist(Quiet, 32)]), length([no || false <- Quiet])}).
