%%% hornbeam_websocket_input: reading stops exactly at the window, and goes on when the application has consumed.
-module(hornbeam_websocket_input_tests).

-include_lib("eunit/include/eunit.hrl").

-define(WINDOW, 1024).

new() ->
    hornbeam_websocket_input:new(hornbeam_websocket_socket:stream(self(), 1), ?WINDOW, 100000).

message(Size) ->
    Length = case Size < 126 of true -> <<(128 + Size)>>; false -> <<254, Size:16>> end,
    <<16#82, Length/binary, 0:32, 0:Size/unit:8>>.

%% The sizes of the messages until nothing comes any more, and why.
taken(Input0) ->
    case hornbeam_websocket_input:next(none, Input0) of
        {{binary, Payload}, Input} ->
            {Sizes, Why, Last} = taken(Input),
            {[byte_size(Payload) | Sizes], Why, Last};
        {Why, Input} ->
            {[], Why, Input}
    end.

fed(Sizes, Input) ->
    taken(hornbeam_websocket_input:feed(<< <<(message(Size))/binary>> || Size <- Sizes >>, Input)).

%% What the client may send anew.
opened() ->
    receive {_, {websocket_flow, Size}} -> Size + opened() after 0 -> 0 end.

empty_messages_stop_at_the_window_test() ->
    Most = ?WINDOW div 64,
    {Sizes, full, Input} = fed(lists:duplicate(10000, 0), new()),
    ?assertEqual(Most, length(Sizes)),
    ?assertNot(hornbeam_websocket_input:is_reading(Input)),
    ?assertEqual(0, opened()),
    %% What comes although reading is off is kept as it came.
    {[], full, Late} = fed([7], Input),
    {ok, Consumed} = hornbeam_websocket_input:demand(?WINDOW, Late),
    {More, full, _} = taken(Consumed),
    ?assertEqual(Most, length(More)).

%% Below it by one, a message goes, however large; at it and above none.
edges_test_() ->
    [{integer_to_list(First), fun() ->
        {Sizes, Why, Input} = fed([First, 50000, 1], new()),
        ?assertEqual({Expected, full, false}, {Sizes, Why, hornbeam_websocket_input:is_reading(Input)})
     end} || {First, Expected} <- [{?WINDOW - 65, [?WINDOW - 65, 50000]}, {?WINDOW - 64, [?WINDOW - 64]},
                                   {?WINDOW - 63, [?WINDOW - 63]}]].

reading_goes_on_when_all_is_gone_through_test() ->
    {_, full, Full} = fed([0 || _ <- lists:seq(1, 20)], new()),
    {ok, Less} = hornbeam_websocket_input:demand(320, Full),
    {[0, 0, 0, 0], more, Input} = taken(Less),
    ?assert(hornbeam_websocket_input:is_reading(Input)),
    ?assertEqual(20 * 6, opened()).

no_more_can_be_consumed_than_was_given_test() ->
    {[10], more, Input} = fed([10], new()),
    ?assertEqual(error, hornbeam_websocket_input:demand(75, Input)),
    ?assertMatch({ok, _}, hornbeam_websocket_input:demand(74, Input)),
    opened().

drained_test() ->
    {_, full, Full} = fed(lists:duplicate(100, 0), new()),
    Input = hornbeam_websocket_input:drain(Full),
    ?assert(hornbeam_websocket_input:is_reading(Input)),
    {Sizes, more, _} = taken(Input),
    ?assertEqual(100 - ?WINDOW div 64, length(Sizes)),
    ?assertEqual(600, opened()).
