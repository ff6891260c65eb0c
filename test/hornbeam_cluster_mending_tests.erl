%%% When a member that has ended is started again, and when it is given up.
-module(hornbeam_cluster_mending_tests).

-include_lib("eunit/include/eunit.hrl").

-define(M, hornbeam_cluster_mending).
-define(LONG, 60000).

once_test() ->
    New = ?M:new(),
    ?assertEqual(wait, ?M:look(true, 0, New)),
    ?assertEqual(first, ?M:look(false, 0, New)),
    Started = ?M:started(true, 0, New),
    ?assertEqual(wait, ?M:look(true, 0, Started)),
    ?assertEqual(wait, ?M:look(false, 0, Started)),
    ?assertEqual(mended, ?M:look(true, ?LONG, Started)),
    ?assertEqual(again, ?M:look(false, ?LONG, Started)),
    ?assertEqual(no, ?M:is_in_vain(Started)).

%% Only what was started and ended again counts: a full disk may stay full for long.
in_vain_test() ->
    Full = lists:foldl(fun(Now, Mending) -> ?M:started(false, Now, Mending) end, ?M:new(), lists:seq(1, 100)),
    ?assertEqual(no, ?M:is_in_vain(Full)),
    Times = [?M:is_in_vain(lists:foldl(fun(Now, Mending) -> ?M:started(true, Now, Mending) end, Full, lists:seq(1, Count))) || Count <- lists:seq(1, 11)],
    ?assertEqual([no, no, no, no, now, before, before, before, before, now, before], Times).
