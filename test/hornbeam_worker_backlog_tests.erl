%%% hornbeam_worker_backlog with a port that says what the test wants.
-module(hornbeam_worker_backlog_tests).

-include_lib("eunit/include/eunit.hrl").

-define(MAX, 8000).
-define(STEP, 1048576).

%% The port's figures stand in the process dictionary; `asked' counts.
new() -> new(?MAX).

new(Max) ->
    [put(Item, 0) || Item <- [queue_size, input, asked]],
    hornbeam_worker_backlog:new(fun(Item) -> put(asked, get(asked) + 1), get(Item) end, Max).

calls_wait_from_an_eighth_on_test() ->
    Room = fun(Queued) ->
        put(queue_size, Queued),
        {Answer, _} = hornbeam_worker_backlog:room(call, hornbeam_worker_backlog:wrote(?MAX, new_with(Queued))),
        Answer
    end,
    ?assertEqual([true, false, false], [Room(Queued) || Queued <- [999, 1000, 1001]]).

new_with(Queued) ->
    Backlog = new(),
    put(queue_size, Queued),
    Backlog.

messages_are_dropped_from_a_half_on_test() ->
    Room = fun(Queued) ->
        {Answer, _} = hornbeam_worker_backlog:room(event, hornbeam_worker_backlog:wrote(?MAX, new_with(Queued))),
        Answer
    end,
    ?assertEqual([true, false, false], [Room(Queued) || Queued <- [3999, 4000, 4001]]).

an_answer_fits_as_far_as_all_test() ->
    Room = fun(Queued, Size) ->
        {Answer, _} = hornbeam_worker_backlog:room({answer, Size}, hornbeam_worker_backlog:wrote(?MAX, new_with(Queued))),
        Answer
    end,
    ?assertEqual([true, true, false], [Room(4000, Size) || Size <- [3999, 4000, 4001]]),
    ?assert(Room(0, 100 * ?MAX)).

%% The port is asked when as much was written as there was room for, not each time.
the_port_is_seldom_asked_test() ->
    lists:foldl(fun(_, Backlog0) ->
        {true, Backlog} = hornbeam_worker_backlog:room(call, Backlog0),
        hornbeam_worker_backlog:wrote(10, Backlog)
    end, new(), lists:seq(1, 10000)),
    ?assertEqual(99, get(asked)).

what_waits_comes_in_order_test() ->
    Full = hornbeam_worker_backlog:wrote(?MAX, new_with(?MAX)),
    Frames = [{call, N, <<>>} || N <- [1, 2, 3]],
    Waiting = lists:foldl(fun(Frame, Backlog0) ->
        {later, Backlog} = hornbeam_worker_backlog:admit(Frame, Backlog0),
        Backlog
    end, Full, Frames),
    ?assertMatch({none, _}, hornbeam_worker_backlog:next(Waiting)),
    put(queue_size, 0),
    %% One that comes now waits behind them.
    {later, Four} = hornbeam_worker_backlog:admit({call, 4, <<>>}, Waiting),
    ?assertEqual([1, 2, 3, 4], drained(Four)),
    receive room -> ok end.

drained(Backlog0) ->
    case hornbeam_worker_backlog:next(Backlog0) of
        {none, Backlog} ->
            ?assertMatch({now, _}, hornbeam_worker_backlog:admit({call, 5, <<>>}, Backlog)),
            [];
        {{call, Id, _}, Backlog} ->
            [Id | drained(Backlog)]
    end.

%% A frame that waits counts its payload and 100 bytes.
what_waits_is_bounded_test() ->
    Full = hornbeam_worker_backlog:wrote(?MAX, new_with(?MAX)),
    Wait = fun(Sizes) ->
        lists:foldl(fun(Size, {later, Backlog}) -> hornbeam_worker_backlog:admit({call, 1, binary:copy(<<0>>, Size)}, Backlog) end,
                    {later, Full}, Sizes)
    end,
    [?assertMatch({later, _}, Wait([3900, Size])) || Size <- [3899, 3900]],
    ?assertEqual({broken, {backlog, 8001, ?MAX}}, Wait([3900, 3901])),
    %% With it counts what is in the mailbox.
    put(input, 1000),
    ?assertEqual({broken, {backlog, 8100, ?MAX}}, Wait([3500, 3400])).

the_mailbox_is_bounded_test() ->
    Max = 4 * ?STEP,
    Read = fun(Input) ->
        Backlog = new(Max),
        put(input, Input),
        hornbeam_worker_backlog:read(?STEP, Backlog)
    end,
    [?assertMatch({ok, _}, Read(Input)) || Input <- [?STEP, 5 * ?STEP - 1, 5 * ?STEP]],
    ?assertEqual({broken, {backlog, Max + 1, Max}}, Read(5 * ?STEP + 1)),
    %% Looked at after each MiB.
    lists:foldl(fun(_, {ok, Backlog}) -> hornbeam_worker_backlog:read(1024, Backlog) end, {ok, new(Max)}, lists:seq(1, 10 * 1024)),
    ?assertEqual(10, get(asked)).

a_small_part_of_a_read_is_copied_test() ->
    <<Part:10/binary, _/binary>> = binary:copy(<<0>>, 65536),
    Full = hornbeam_worker_backlog:wrote(?MAX, new_with(?MAX)),
    {later, Waiting} = hornbeam_worker_backlog:admit({call, 1, Part}, Full),
    put(queue_size, 0),
    {{call, 1, Kept}, _} = hornbeam_worker_backlog:next(Waiting),
    %% Not the read. (From OTP 27 on a small binary counts some octets more.)
    ?assert(binary:referenced_byte_size(Kept) < 256).
