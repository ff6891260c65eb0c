%%% hornbeam_websocket_output on a stream of HTTP/2: when it is busy, and what waits meanwhile.
-module(hornbeam_websocket_output_tests).

-include_lib("eunit/include/eunit.hrl").

-define(AHEAD, 65536).

new() ->
    hornbeam_websocket_output:new(hornbeam_websocket_socket:stream(self(), 1)).

write(Size, Output) ->
    hornbeam_websocket_output:write(<<0:Size/unit:8>>, Output).

%% The sizes of what the connection's process has been sent.
sent() ->
    receive
        {_, {data, nofin, Data}} -> [iolist_size(Data) | sent()];
        retry -> sent()
    after 0 -> []
    end.

busy_test_() ->
    [{integer_to_list(Size), fun() ->
        Output = write(Size, new()),
        ?assertEqual(Busy, hornbeam_websocket_output:is_busy(Output)),
        ?assertEqual([Size], sent()),
        ?assertNot(hornbeam_websocket_output:is_busy(hornbeam_websocket_output:taken(Size, Output)))
     end} || {Size, Busy} <- [{?AHEAD - 1, false}, {?AHEAD, true}, {?AHEAD + 1, true}]].

what_waits_goes_when_there_is_room_test() ->
    Busy = write(10, write(?AHEAD, new())),
    ?assertEqual([?AHEAD], sent()),
    Free = hornbeam_websocket_output:taken(1, Busy),
    ?assertEqual([10], sent()),
    ?assert(hornbeam_websocket_output:is_busy(Free)).

an_alarm_outlasts_what_is_taken_test() ->
    Full = hornbeam_websocket_output:alarm(on, write(?AHEAD, new())),
    Taken = hornbeam_websocket_output:taken(?AHEAD, Full),
    ?assert(hornbeam_websocket_output:is_busy(Taken)),
    ?assertNot(hornbeam_websocket_output:is_busy(hornbeam_websocket_output:alarm(off, Taken))),
    sent().

only_the_latest_pong_waits_test() ->
    Busy = lists:foldl(fun hornbeam_websocket_output:pong/2, write(?AHEAD, new()), [<<"1">>, <<"22">>, <<"333">>]),
    _ = hornbeam_websocket_output:taken(?AHEAD, Busy),
    ?assertEqual([?AHEAD, 5], sent()).

nothing_is_credited_while_it_is_busy_test() ->
    Busy = hornbeam_websocket_output:count(?AHEAD, write(?AHEAD, new())),
    ?assertEqual(none, hornbeam_websocket_output:credit(1024, Busy)),
    {?AHEAD, _} = hornbeam_websocket_output:credit(1024, hornbeam_websocket_output:taken(?AHEAD, Busy)),
    sent().
