%%% hornbeam_http2_output: windows, turns, and which streams stand still.
-module(hornbeam_http2_output_tests).

-include_lib("eunit/include/eunit.hrl").

-define(MAX, 16#7fffffff).

%% An output whose connection's window is no limit.
wide(Streams) -> opened(Streams, element(2, hornbeam_http2_output:credit(connection, ?MAX - 65535, hornbeam_http2_output:new()))).

opened(Streams, Output) -> lists:foldl(fun hornbeam_http2_output:open/2, Output, Streams).

put(Id, Size, Fin, Output) -> hornbeam_http2_output:put(Id, binary:copy(<<"x">>, Size), Fin, 0, Output).

%% All frames that may be sent now: {Stream, Octets, whether they end it}.
all(Output0) ->
    case hornbeam_http2_output:next(1, Output0) of
        {none, Output} -> ?assertNot(hornbeam_http2_output:is_ready(Output)), {[], Output};
        {{trailers, Id, Fields}, Output1} -> {Rest, Output} = all(Output1), {[{Id, Fields} | Rest], Output};
        {{data, Id, Bytes, Left}, Output1} ->
            <<Size:24, 0, Flags, 0:1, Id:31, Data/binary>> = iolist_to_binary(Bytes),
            ?assertEqual(Size, byte_size(Data)),
            ?assertEqual(Left =:= ended, Flags =:= 1),
            {Rest, Output} = all(Output1),
            {[{Id, Size, Left} | Rest], Output}
    end.

sent(Output) -> element(1, all(Output)).

in_turns_test() ->
    Output = put(3, 20, fin, put(1, 40000, fin, wide([1, 3]))),
    ?assertEqual([{1, 16384, more}, {3, 20, ended}, {1, 16384, more}, {1, 7232, ended}], sent(Output)).

small_pieces_share_a_frame_test() ->
    Output = put(1, 0, fin, put(1, 16380, nofin, put(1, 2, nofin, put(1, 3, nofin, wide([1]))))),
    ?assertEqual([{1, 16384, more}, {1, 1, ended}], sent(Output)).

the_end_needs_no_window_test() ->
    {ok, Closed} = hornbeam_http2_output:initial(0, hornbeam_http2_output:new()),
    ?assertEqual([{1, 0, ended}], sent(put(1, 0, fin, opened([1], Closed)))),
    ?assertEqual([{1, [{<<"x">>, <<>>}]}], sent(put(1, 0, {trailers, [{<<"x">>, <<>>}]}, opened([1], Closed)))),
    %% Also when that of the connection is used up.
    {_, Used} = all(put(1, 65535, nofin, opened([1, 3], hornbeam_http2_output:new()))),
    ?assertEqual([{1, 0, ended}], sent(put(1, 0, fin, Used))),
    ?assertEqual([], sent(put(3, 1, fin, Used))).

%% What Cowlib (2.13 to 2.16) forgets: the window ends with the data, and nothing more comes.
an_end_behind_a_window_that_is_used_up_test() ->
    {[_ | _] = Frames, Output} = all(put(1, 65535, nofin, wide([1]))),
    ?assertEqual(none, element(3, lists:last(Frames))),
    ?assertEqual([{1, 0, ended}], sent(put(1, 0, fin, Output))).

windows_test_() ->
    Initial = fun(Window) -> {ok, Output} = hornbeam_http2_output:initial(Window, wide([])), opened([1], Output) end,
    Sent = fun(Output) -> lists:sum([Size || {1, Size, _} <- sent(put(1, 100000, nofin, Output))]) end,
    Credit = fun(Which, By, Output) -> hornbeam_http2_output:credit(Which, By, Output) end,
    [?_assertEqual(0, Sent(Initial(0))), ?_assertEqual(1, Sent(Initial(1))), ?_assertEqual(65535, Sent(Initial(65535))),
     ?_assertEqual(100000, Sent(Initial(?MAX))),
     ?_assertEqual(1, Sent(element(2, Credit(1, 1, Initial(0))))),
     ?_assertMatch({ok, _}, Credit(1, ?MAX - 65535, Initial(65535))), ?_assertEqual(error, Credit(1, ?MAX - 65534, Initial(65535))),
     ?_assertMatch({ok, _}, Credit(1, ?MAX, Initial(0))), ?_assertEqual(error, Credit(1, 1, Initial(?MAX))),
     ?_assertEqual(error, Credit(connection, 1, Initial(0))),
     ?_assertMatch({ok, _}, Credit(3, ?MAX, Initial(?MAX))),
     %% 6.9.2: a window of a stream may be passed by a change of all of them.
     ?_assertEqual(error, hornbeam_http2_output:initial(?MAX, element(2, Credit(1, 1, Initial(65535))))),
     ?_assertMatch({ok, _}, hornbeam_http2_output:initial(?MAX - 1, element(2, Credit(1, 1, Initial(65535)))))].

%% RFC 9113, 6.9.2: it can become negative, and is to be made up for.
a_negative_window_test() ->
    {_, Output0} = all(put(1, 65535, nofin, wide([1]))),
    {ok, Output1} = hornbeam_http2_output:initial(100, Output0),
    Output2 = put(1, 10, nofin, Output1),
    ?assertEqual([], sent(Output2)),
    {ok, Output3} = hornbeam_http2_output:credit(1, 65435, Output2),
    ?assertEqual([], sent(Output3)),
    {ok, Output4} = hornbeam_http2_output:credit(1, 4, Output3),
    ?assertEqual([{1, 4, more}], sent(Output4)).

a_stream_that_takes_nothing_holds_up_nobody_test() ->
    {ok, Closed} = hornbeam_http2_output:initial(0, wide([1, 3])),
    {ok, Output0} = hornbeam_http2_output:credit(3, 50, Closed),
    Output = put(3, 50, fin, put(1, 50, fin, Output0)),
    ?assertEqual([{3, 50, ended}], sent(Output)),
    ?assertEqual({[1], infinity}, hornbeam_http2_output:stalled(0, element(2, all(Output)))),
    ?assertEqual({[], 0}, hornbeam_http2_output:stalled(-1, element(2, all(Output)))).

progress_counts_test() ->
    {ok, Output0} = hornbeam_http2_output:initial(5, wide([])),
    {[{1, 5, more}], Output} = all(put(1, 10, fin, opened([1], Output0))),
    ?assertEqual({[], 1}, hornbeam_http2_output:stalled(0, Output)),
    ?assertEqual({[1], infinity}, hornbeam_http2_output:stalled(1, Output)).

held_test() ->
    Output = wide([1]),
    ?assertNot(hornbeam_http2_output:is_held(1, put(1, 65535, nofin, Output))),
    ?assert(hornbeam_http2_output:is_held(1, put(1, 65536, nofin, Output))).

closed_streams_are_forgotten_test() ->
    Output = hornbeam_http2_output:close(1, hornbeam_http2_output:close(1, put(3, 1, fin, put(1, 1, fin, wide([1, 3]))))),
    ?assertEqual([{3, 1, ended}], sent(Output)).

files_test() ->
    Output0 = hornbeam_http2_output:put(1, {file, fd, 0, 20000}, fin, 0, wide([1])),
    {{file, 1, nofin, {fd, false}, 0, 16384, more}, Output1} = hornbeam_http2_output:next(0, Output0),
    {{file, 1, fin, {fd, true}, 16384, 3616, ended}, Output} = hornbeam_http2_output:next(0, Output1),
    ?assertMatch({none, _}, hornbeam_http2_output:next(0, Output)).
