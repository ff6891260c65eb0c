%%% The WebSocket codec: examples of RFC 6455, 5.7, and where bytes may be cut. Wrong frames are in
%%% python_tests/websocket/test_frames.py, from the outside.
-module(hornbeam_websocket_codec_tests).

-include_lib("eunit/include/eunit.hrl").

-define(MAX, 1000000).

feed(Data) ->
    {Items, _} = hornbeam_websocket_codec:feed(Data, hornbeam_websocket_codec:new(?MAX), none),
    Items.

rfc_examples_test() ->
    Masked = <<16#81, 16#85, 16#37, 16#fa, 16#21, 16#3d, 16#7f, 16#9f, 16#4d, 16#51, 16#58>>,
    ?assertEqual([{text, <<"Hello">>}], feed(Masked)),
    ?assertEqual(<<16#81, 5, "Hello">>,
                 iolist_to_binary(hornbeam_websocket_codec:frame(text, <<"Hello">>, none))).

lengths_test() ->
    Head = fun(Size) ->
        [First | _] = hornbeam_websocket_codec:frame(binary, binary:copy(<<0>>, Size), none),
        First
    end,
    ?assertEqual([<<16#82, 125>>, <<16#82, 126, 126:16>>, <<16#82, 126, 65535:16>>,
                  <<16#82, 127, 65536:64>>],
                 [Head(Size) || Size <- [125, 126, 65535, 65536]]).

nothing_is_read_after_the_close_test() ->
    Close = <<16#88, 16#82, 0:32, 1000:16>>,
    ?assertEqual([{close, 1000, <<>>}], feed(<<Close/binary, Close/binary>>)),
    ?assertMatch([{text, <<>>}, {fail, 1002, _}], feed(<<16#81, 16#80, 0:32, 16#81, 0, Close/binary>>)).

long_reasons_are_cut_between_characters_test() ->
    Reason = unicode:characters_to_binary(["a" | lists:duplicate(100, 16#e9)]),
    <<16#88, Size, 1000:16, Cut/binary>> = hornbeam_websocket_codec:close(1000, Reason),
    ?assertEqual(2 + byte_size(Cut), Size),
    ?assert(Size =< 125),
    ?assert(is_list(unicode:characters_to_list(Cut))).
