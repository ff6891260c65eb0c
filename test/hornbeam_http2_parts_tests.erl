%%% The small pure parts of an HTTP/2 connection: what may come of a body, how often something may happen, sections of fields.
-module(hornbeam_http2_parts_tests).

-include_lib("eunit/include/eunit.hrl").

%%% hornbeam_http2_body

body(Length, Window) -> element(2, hornbeam_http2_body:more(Window, hornbeam_http2_body:new(nofin, Length, Window))).

data(Size, Body) -> data(nofin, Size, Size, 0, Body).
data(IsFin, Size, Length, Slack, Body) -> hornbeam_http2_body:data(IsFin, Size, Length, Slack, Body).

a_window_is_kept_to_the_octet_test_() ->
    [?_assertMatch({ok, 0, _}, data(Window, body(unknown, Window))) || Window <- [16384, 65535, 16#7fffffff]]
    ++ [?_assertEqual({error, flow_control_error}, data(Window + 1, body(unknown, Window))) || Window <- [16384, 65535, 16#7ffffffe]].

padding_counts_and_is_given_back_test() ->
    {ok, 4, Body} = data(nofin, 6, 10, 0, body(unknown, 20000)),
    ?assertEqual({error, flow_control_error}, data(19995, Body)),
    ?assertMatch({ok, 0, _}, data(19994, Body)),
    ?assertEqual({error, flow_control_error}, data(nofin, 0, 20001, 0, body(unknown, 20000))).

more_is_what_is_missing_test() ->
    {ok, 0, Body} = data(20000, body(unknown, 20000)),
    ?assertMatch({16385, _}, hornbeam_http2_body:more(16385, Body)),
    ?assertMatch({0, _}, hornbeam_http2_body:more(3, hornbeam_http2_body:new(fin, 0, 10))).

%% However little the application may have: a frame at a time.
a_window_is_a_frame_at_least_test() ->
    ?assertEqual([16384, 16384, 16385], [hornbeam_http2_body:window(Prefetch) || Prefetch <- [0, 16384, 16385]]),
    {ok, 0, Body} = data(16384, body(unknown, 16384)),
    ?assertMatch({16384, _}, hornbeam_http2_body:more(1, Body)).

%% RFC 9113, 6.5.3: sent before the client knew of the window; it is made up for before it may send more.
before_the_settings_are_acknowledged_test() ->
    {ok, 0, Body0} = data(nofin, 65535, 65535, 45535, body(unknown, 20000)),
    ?assertEqual({error, flow_control_error}, data(nofin, 1, 1, 45535, Body0)),
    {61919, Body} = hornbeam_http2_body:more(5, Body0),
    ?assertMatch({ok, 0, _}, data(16384, Body)),
    ?assertEqual({error, flow_control_error}, data(16385, Body)).

lengths_test_() ->
    Fin = fun(Length, Size) -> data(fin, Size, Size, 0, body(Length, 100)) end,
    [?_assertMatch({ok, 0, _}, Fin(5, 5)), ?_assertEqual({error, protocol_error}, Fin(5, 4)), ?_assertEqual({error, protocol_error}, Fin(5, 6)),
     ?_assertMatch({ok, 0, _}, Fin(unknown, 5)), ?_assertMatch({ok, 0, _}, data(5, body(5, 100))),
     ?_assertEqual({error, protocol_error}, data(6, body(5, 100)))].

nothing_follows_the_end_test() ->
    {ok, 0, Body} = data(fin, 1, 1, 0, body(unknown, 10)),
    ?assert(hornbeam_http2_body:is_read(Body)),
    ?assertEqual({error, stream_closed}, data(0, Body)).

awaited_test() ->
    ?assert(hornbeam_http2_body:is_awaited(body(unknown, 20000))),
    {ok, 0, Body} = data(20000, body(unknown, 20000)),
    ?assertNot(hornbeam_http2_body:is_awaited(Body)).

%%% hornbeam_http2_rate

rates_test() ->
    Counted = fun(Times, Now, Rate) -> lists:foldl(fun(_, R) -> hornbeam_http2_rate:count(Now, R) end, Rate, lists:seq(1, Times)) end,
    Full = Counted(3, 1000, hornbeam_http2_rate:new(3)),
    ?assertEqual(over, hornbeam_http2_rate:count(10999, Full)),
    Next = hornbeam_http2_rate:count(11000, Full),
    ?assertNotEqual(over, Next),
    ?assertEqual(over, hornbeam_http2_rate:count(12000, Counted(2, 12000, Next))).

%%% hornbeam_http2_fields

decode(Block) -> decode(Block, 1000000).
decode(Block, Max) -> hornbeam_http2_fields:decode(Block, Max, hornbeam_http2_fields:new()).

what_is_encoded_is_decoded_test_() ->
    Fields = fun(Count) -> [{<<"x-", (integer_to_binary(N))/binary>>, binary:copy(<<"v">>, N * 7 rem 200)} || N <- lists:seq(1, Count)] end,
    [?_assertEqual(Given, element(2, decode(section(Given)))) || Given <- [Fields(N) || N <- [0, 1, 63, 64, 65, 128, 1000]]
                                                                  ++ [[{<<"x">>, binary:copy(<<0, 255>>, 30000)}]]].

%% The block of HEADERS and CONTINUATION frames.
section(Fields) ->
    {Frames, _} = hornbeam_http2_fields:encode(1, nofin, Fields, hornbeam_http2_fields:new()),
    unframed(iolist_to_binary(Frames), 1).

unframed(<<Size:24, Type, Flags, 0:1, 1:31, Part:Size/binary, Rest/binary>>, Type) ->
    ?assert(Size =< 16384),
    ?assertEqual(Rest =:= <<>>, Flags =:= 4),
    case Rest of <<>> -> Part; _ -> <<Part/binary, (unframed(Rest, 9))/binary>> end.

%% One octet each for a field of 4 KiB: what is kept is bounded, and the table is as if all had been read.
a_bomb_test() ->
    Literal = <<16#40, 1, $x, 16#7f, 16#a1, 16#1e, (binary:copy(<<"v">>, 4000))/binary>>,
    Bomb = <<Literal/binary, (binary:copy(<<16#be>>, 60000))/binary, 16#40, 1, $y, 1, $z>>,
    {Pid, Monitor} = spawn_opt(fun() ->
        {too_large, Fields, Codec} = decode(Bomb, 100000),
        {ok, [{<<"y">>, <<"z">>}], _} = hornbeam_http2_fields:decode(<<16#be>>, 100, Codec),
        exit({length(Fields), element(2, process_info(self(), memory))})
    end, [monitor]),
    receive {'DOWN', Monitor, process, Pid, {Kept, Memory}} ->
        ?assert(Kept =:= 64),
        ?assert(Memory < 1 bsl 20)
    end.

sizes_test_() ->
    Block = section([{<<"x">>, <<"abc">>}, {<<"y">>, <<"d">>}]),
    [?_assertMatch({ok, [_, _], _}, decode(Block, 14)), ?_assertMatch({too_large, _, _}, decode(Block, 13))].

%% Integers of any length would cost their square.
no_block_test_() ->
    [?_assertEqual(error, decode(Block)) || Block <- [
        <<16#80>>, <<16#ff>>, <<16#ff, 255, 255, 255, 255, 0>>, binary:copy(<<255>>, 60000), <<16#be>>, <<16#40>>, <<16#40, 1>>, <<16#40, 5, "abc">>,
        <<16#40, 1, $a>>, <<16#40, 1, $a, 5, "abc">>, <<16#40, 16#7f>>, <<0, 1, $a, 16#81, 0>>, <<16#82, 16#20>>, <<16#3f, 16#e2, 16#1f>>,
        <<16#0085f2b24a84ff874951fffffffa7f:120>>]].

table_updates_test() ->
    ?assertMatch({ok, [{<<":method">>, <<"GET">>}], _}, decode(<<16#20, 16#3f, 16#e1, 16#1f, 16#82>>)),
    %% The client's decoder has no table: nothing is added to it.
    Small = hornbeam_http2_fields:table_size(0, hornbeam_http2_fields:new()),
    {Frames, _} = hornbeam_http2_fields:encode(1, fin, [{<<"x">>, <<"y">>}], Small),
    ?assertMatch(<<_:24, 1, 5, 1:32, 16#20, _/binary>>, iolist_to_binary(Frames)).
