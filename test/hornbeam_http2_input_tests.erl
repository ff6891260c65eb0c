%%% hornbeam_http2_input: octets to frames, without a connection; and hornbeam_http2_ended.
-module(hornbeam_http2_input_tests).

-include_lib("eunit/include/eunit.hrl").

-define(PREFACE, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").
-define(HEADER_TIMEOUT, 1000).

new() -> new(#{}).

new(Settings) ->
    hornbeam_http2_input:new(maps:merge(#{header_timeout => ?HEADER_TIMEOUT, max_head_size => 100, max_frame_rate => 100,
                                          max_empty_frame_rate => 10}, Settings)).

settings() -> cow_http2:settings(#{}).

%% What comes of these octets at this time: the frames, and what is left or wrong.
read(Octets, Now, Input) ->
    all(Now, hornbeam_http2_input:feed(iolist_to_binary(Octets), Input), []).

all(Now, Input0, Frames) ->
    case hornbeam_http2_input:next(Now, Input0) of
        {frame, Frame, Size, Input} -> all(Now, Input, [{Frame, Size} | Frames]);
        {more, Part, Input} -> {lists:reverse(Frames), Part, Input};
        {error, Code} -> {lists:reverse(Frames), Code}
    end.

open() -> open(#{}).

open(Settings) ->
    {[{{settings, _}, 0}], none, Input} = read([?PREFACE, settings()], 0, new(Settings)),
    Input.

any_pieces_test() ->
    Octets = iolist_to_binary([?PREFACE, settings(), cow_http2:headers(1, nofin, <<"block">>), cow_http2:data(1, fin, <<"data">>)]),
    {Frames, none, _} = read(Octets, 0, new()),
    ?assertMatch([{{settings, _}, 0}, {{head, 1, nofin, <<"block">>}, 0}, {{data, 1, fin, <<"data">>}, 4}], Frames),
    Each = fun(Octet, {Before, Input0}) -> {More, _, Input} = read([Octet], 0, Input0), {Before ++ More, Input} end,
    {Again, _} = lists:foldl(Each, {[], new()}, binary_to_list(Octets)),
    ?assertEqual(Frames, Again).

preface_test() ->
    ?assertEqual({[], protocol_error}, read("GET / HTTP/1.1\r\n", 0, new())),
    ?assertEqual({[], protocol_error}, read([?PREFACE, cow_http2:ping(1)], 0, new())),
    ?assert(hornbeam_http2_input:is_untouched(new())),
    {[], none, Begun} = read("PRI", 0, new()),
    ?assertNot(hornbeam_http2_input:is_untouched(Begun)).

%% RFC 9113, 6.10.
a_head_is_in_one_piece_test() ->
    Part = <<3:24, 1, 0, 0:1, 1:31, "abc">>,
    More = fun(Id, Flags) -> <<3:24, 9, Flags, 0:1, Id:31, "def">> end,
    ?assertMatch({[{{head, 1, nofin, <<"abcdef">>}, 0}], none, _}, read([Part, More(1, 4)], 0, open())),
    ?assertEqual({[], protocol_error}, read([Part, More(3, 4)], 0, open())),
    ?assertEqual({[], protocol_error}, read([Part, cow_http2:ping(1)], 0, open())),
    ?assertEqual({[], protocol_error}, read(More(1, 4), 0, open())).

%% A head of max_head_size, or of a frame where that is more.
large_heads_test_() ->
    Part = fun(Size, Type, Flags) -> <<Size:24, Type, Flags, 0:1, 1:31, 0:Size/unit:8>> end,
    Input = fun() -> open(#{max_head_size => 20000}) end,
    [?_assertMatch({[{{head, 1, nofin, _}, 0}], none, _}, read([Part(16384, 1, 0), Part(Size, 9, 4)], 0, Input())) || Size <- [3615, 3616]]
    ++ [?_assertEqual({[], enhance_your_calm}, read([Part(16384, 1, 0), Part(3617, 9, 4)], 0, Input())),
        ?_assertMatch({[{{head, 1, nofin, _}, 0}], none, _}, read(Part(16384, 1, 4), 0, open()))].

floods_test_() ->
    Empty = cow_http2:data(1, nofin, <<>>),
    Full = cow_http2:window_update(1),
    [?_assertMatch({[_ | _], none, _}, read(lists:duplicate(N, Empty), 0, open())) || N <- [9, 10]]
    ++ [?_assertMatch({[_ | _], enhance_your_calm}, read(lists:duplicate(11, Empty), 0, open()))]
    %% SETTINGS were the first.
    ++ [?_assertMatch({[_ | _], none, _}, read(lists:duplicate(N, Full), 0, open())) || N <- [98, 99]]
    ++ [?_assertMatch({[_ | _], enhance_your_calm}, read(lists:duplicate(100, Full), 0, open()))].

%% What has begun has header_timeout from its first octet on; a part of DATA is progress.
times_test() ->
    Until = fun({_, _, Input}) -> hornbeam_http2_input:until(Input) end,
    {[], none, Begun} = First = read("PRI * ", 5, new()),
    ?assertEqual(5 + ?HEADER_TIMEOUT, Until(First)),
    ?assertEqual(5 + ?HEADER_TIMEOUT, Until(read("HTTP/2.0\r\n\r\nSM\r\n\r\n", 7, Begun))),
    ?assertEqual(infinity, Until(read(["HTTP/2.0\r\n\r\nSM\r\n\r\n", settings()], 7, Begun))),
    ?assertEqual(9 + ?HEADER_TIMEOUT, Until(read(<<8:24, 6>>, 9, open()))),
    ?assertEqual(9 + ?HEADER_TIMEOUT, Until(read([cow_http2:ping(1), <<8:24, 6>>], 9, open()))),
    ?assertEqual(9 + ?HEADER_TIMEOUT, Until(read(<<3:24, 1, 0, 0:1, 1:31, "abc">>, 9, open()))),
    ?assertMatch({[], 1, _}, read(<<8:24, 0, 0, 0:1, 1:31, "abc">>, 9, open())),
    ?assertEqual(infinity, Until(read(<<8:24, 0, 0, 0:1, 1:31, "abc">>, 9, open()))),
    ?assertEqual(infinity, Until(read("PRI", 5, new(#{header_timeout => infinity})))).

%%% hornbeam_http2_ended

ended_test_() ->
    Add = fun(Id, Ended) -> hornbeam_http2_ended:add(Id, case Id rem 2 of 0 -> ended; 1 -> reset end, Ended) end,
    How = fun(Id, Last) -> hornbeam_http2_ended:how(Id, lists:foldl(Add, hornbeam_http2_ended:new(), lists:seq(1, Last))) end,
    [?_assertEqual(forgotten, How(1, 0)), ?_assertEqual(reset, How(1, 1)), ?_assertEqual(ended, How(2, 2)),
     %% 64 at least, 128 at most.
     ?_assertEqual(reset, How(1, 64)), ?_assertEqual(reset, How(65, 128)), ?_assertEqual(forgotten, How(1, 129))].
