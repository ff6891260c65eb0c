%%% The WebSocket codec: examples of RFC 6455, 5.7, and where bytes may be cut. Wrong frames are in
%%% python_tests/websocket/test_frames.py, from the outside.
-module(hornbeam_websocket_codec_tests).

-include_lib("eunit/include/eunit.hrl").

-define(MAX, 1000000).

feed(Data) ->
    {Items, _} = feed(Data, hornbeam_websocket_codec:new(?MAX)),
    Items.

%% All that the bytes complete.
feed(Data, Codec) ->
    items(hornbeam_websocket_codec:next(hornbeam_websocket_codec:feed(Data, Codec), none), []).

items({more, Codec}, Items) -> {lists:reverse(Items), Codec};
items({{_, _, _} = Last, Codec}, Items) -> {lists:reverse(Items, [Last]), Codec};
items({Item, Codec}, Items) -> items(hornbeam_websocket_codec:next(Codec, none), [Item | Items]).

%% One item at a time: what is not asked for stays as it came.
next_takes_one_test() ->
    Two = <<16#81, 16#81, 0:32, "a", 16#82, 16#81, 0:32, "b">>,
    Fed = hornbeam_websocket_codec:feed(Two, hornbeam_websocket_codec:new(?MAX)),
    {{text, <<"a">>}, One} = hornbeam_websocket_codec:next(Fed, none),
    {{binary, <<"b">>}, None} = hornbeam_websocket_codec:next(One, none),
    ?assertMatch({more, _}, hornbeam_websocket_codec:next(None, none)).

%% However a message is cut, the codec keeps at most two times its bytes.
memory_test_() ->
    One = fun(Size) -> <<0, (16#80 + Size), 0:32, 0:Size/unit:8>> end,
    Message = fun(Size, Count) -> [<<2, 16#80, 0:32>> | lists:duplicate(Count, One(Size))] end,
    Head = <<16#82, 16#ff, 200000:64, 0:32>>,
    [{Name, {timeout, 60, ?_assert(held(Pieces) =< 2 * Size + 1024)}} || {Name, Size, Pieces} <- [
        {"fragments of one byte", 15000, Message(1, 15000)},
        {"fragments of one byte in one read", 15000, [iolist_to_binary(Message(1, 15000))]},
        {"fragments of 100 bytes", 200000, Message(100, 2000)},
        {"one frame, byte by byte", 199999, [Head | lists:duplicate(199999, <<"x">>)]},
        {"one frame, in reads", 1460 * 136, [Head | lists:duplicate(136, <<0:1460/unit:8>>)]}]].

%% Bytes on the heap and off it, with what a growing binary has in reserve.
held(Pieces) ->
    Codec = lists:foldl(fun(Bytes, Codec) -> {[], Next} = feed(Bytes, Codec), Next end,
                        hornbeam_websocket_codec:new(?MAX), Pieces),
    erts_debug:flat_size(Codec) * erlang:system_info(wordsize) + off_heap(Codec).

off_heap(Term) when is_tuple(Term) -> lists:sum([off_heap(Part) || Part <- tuple_to_list(Term)]);
off_heap(Term) when is_binary(Term) -> binary:referenced_byte_size(Term);
off_heap(_) -> 0.

fragments(Number, Max) ->
    Frame = fun(Fin, Opcode) -> <<Fin:1, 0:3, Opcode:4, 16#80, 0:32>> end,
    Bytes = iolist_to_binary([Frame(0, 2) | lists:duplicate(Number - 2, Frame(0, 0))] ++ [Frame(1, 0)]),
    {Items, _} = feed(Bytes, hornbeam_websocket_codec:new(Max)),
    Items.

%% Empty ones too. A message may always have 1,024, and one for each 64 bytes of the longest message.
fragments_are_counted_test() ->
    ?assertEqual([{binary, <<>>}], fragments(1023, 1000)),
    ?assertEqual([{binary, <<>>}], fragments(1024, 1000)),
    ?assertMatch([{fail, 1009, _}], fragments(1025, 1000)),
    ?assertEqual([{binary, <<>>}], fragments(1999, 128000)),
    ?assertEqual([{binary, <<>>}], fragments(2000, 128000)),
    ?assertMatch([{fail, 1009, _}], fragments(2001, 128000)),
    %% They count anew with each message.
    Half = <<1, 16#81, 0:32, "x", 16#80, 16#81, 0:32, "y">>,
    ?assertEqual(lists:duplicate(2000, {text, <<"xy">>}), feed(binary:copy(Half, 2000))).

%% A million single bytes: a codec that copied what it has each time would move 500 GB.
bytes_one_by_one_are_not_quadratic_test_() ->
    {timeout, 120, fun() ->
        Head = <<16#82, 16#ff, ?MAX:64, 0:32>>,
        Codec = lists:foldl(fun(Byte, Codec) -> element(2, feed(Byte, Codec)) end, hornbeam_websocket_codec:new(?MAX),
                            [Head | lists:duplicate(?MAX - 1, <<"x">>)]),
        {[{binary, Message}], _} = feed(<<"x">>, Codec),
        ?assertEqual(binary:copy(<<"x">>, ?MAX), Message)
    end}.

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
