%%% Bodies of HTTP/1 requests, without a socket (RFC 9112, 6 and 7.1). That any split gives the same answer: prop_hornbeam_http1.
-module(hornbeam_http1_body_tests).

-include_lib("eunit/include/eunit.hrl").

feed(Bytes) -> feed(Bytes, hornbeam_http1_body:new(unknown)).

feed(Bytes, Body) ->
    case hornbeam_http1_body:feed(iolist_to_binary(Bytes), Body) of
        {done, Data, Rest} -> {done, iolist_to_binary(Data), Rest};
        {more, Data, Next} -> {more, iolist_to_binary(Data), Next};
        {refuse, Reason} -> {refuse, Reason}
    end.

%%% By length

length_test_() ->
    Five = hornbeam_http1_body:new(5),
    [?_assertMatch({more, <<"abcd">>, _}, feed("abcd", Five)), ?_assertEqual({done, <<"abcde">>, <<>>}, feed("abcde", Five)),
     ?_assertEqual({done, <<"abcde">>, <<"fg">>}, feed("abcdefg", Five)),
     fun() ->
         {more, <<"abc">>, Two} = feed("abc", Five),
         ?assertEqual({5, 2}, {hornbeam_http1_body:left(Five), hornbeam_http1_body:left(Two)}),
         ?assertEqual({done, <<"de">>, <<"f">>}, feed("def", Two))
     end].

%%% Chunked

chunked_test_() ->
    [?_assertEqual({done, Data, <<"GET">>}, feed([Text, "GET"]))
     || {Text, Data} <- [
            {"0\r\n\r\n", <<>>}, {"000\r\n\r\n", <<>>}, {"1\r\na\r\n0\r\n\r\n", <<"a">>}, {"A\r\n0123456789\r\n0\r\n\r\n", <<"0123456789">>},
            {"a\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n", <<"0123456789x">>}, {"0000000000000001\r\na\r\n0\r\n\r\n", <<"a">>},
            {"2\r\n\r\n\r\n0\r\n\r\n", <<"\r\n">>},
            %% Extensions say nothing here (7.1.1); before them there may be space (RFC 9110, 5.6.3).
            {"1;a=b\r\nx\r\n0;c=\"d;e\"\r\n\r\n", <<"x">>}, {"1 ;a\r\nx\r\n0\t; a = b\r\n\r\n", <<"x">>}, {"1;\r\nx\r\n0\r\n\r\n", <<"x">>},
            {["1;a=", 16#c3, 16#a4, "\r\nx\r\n0\r\n\r\n"], <<"x">>},
            %% The trailer section is read and dropped (7.1.2).
            {"0\r\nA: b\r\nC-D:\te f \r\nx:\r\n\r\n", <<>>}]].

%% With the octet that is wrong, and not before.
wrong_octets_test_() ->
    [{lists:flatten(io_lib:format("~p", [Text])),
      fun() ->
          Bytes = list_to_binary(Text),
          ?assertEqual({refuse, malformed}, feed(Bytes)),
          ?assertMatch({more, _, _}, feed(binary:part(Bytes, 0, byte_size(Bytes) - 1)))
      end}
     || Text <- ["g", "-", "+", " ", "\r", "\n", ";", "\"", "\0", "0x", "1g", "1\n", "1\rx", "1 1", "1 \r", "1 \n", "1\t\r", "1;\n", "1;a\0", "1;a\x7f", "1;\rx", "1\r\nab",
                 "1\r\na\n", "1\r\na\rx", "1\r\na\r\n\r", "1\r\na\r\n\n", "1\r\na\r\ng", "0\r\n ", "0\r\n\n", "0\r\n:", "0\r\nA ", "0\r\nA(", "0\r\nA\r", "0\r\nA: b\0",
                 "0\r\nA: b\n", "0\r\nA: b\rc", "0\r\nA: b\r\n ", "0\r\n\rx", "00000000000000001"]].

%% RFC 9112, 7.1: what is too large for a number of 64 bits is refused, not taken for a smaller one.
large_sizes_test_() ->
    [?_assertMatch({more, <<"x">>, _}, feed("ffffffffffffffff\r\nx")),
     ?_assertEqual({refuse, malformed}, feed("10000000000000000"))].

%% Sizes, extensions, ends of chunks and trailers: 16384 octets, and eight for each octet of data.
other_octets_test_() ->
    Extension = fun(Count) -> ["0;", binary:copy(<<"a">>, Count - 2)] end,
    Trailers = fun(Count) -> ["0\r\nx:", binary:copy(<<"a">>, Count - 5)] end,
    Many = fun(Chunks, Count) ->
        %% Each chunk of one octet has a size line of so many, and an end of two.
        [lists:duplicate(Chunks, ["1;", binary:copy(<<"a">>, Count - 6), "\r\nx\r\n"]), "0\r\n\r\n"]
    end,
    Singles = lists:duplicate(100000, <<"1\r\nx\r\n">>),
    [?_assertMatch({more, <<>>, _}, feed(Make(N))) || Make <- [Extension, Trailers], N <- [16383, 16384]]
    ++ [?_assertEqual({refuse, malformed}, feed(Make(N))) || Make <- [Extension, Trailers], N <- [16385, 100000]]
    ++ [?_assertMatch({done, _, <<>>}, feed(Many(5000, 8))), ?_assertMatch({done, _, <<>>}, feed(Many(1000, 20))),
        ?_assertEqual({refuse, malformed}, feed(Many(2000, 20))),
        ?_assertMatch({done, _, <<>>}, feed([Singles, "0\r\n\r\n"]))].

%% What an octet costs does not depend on how many there are; reductions do not depend on the machine.
cost_test_() ->
    [{Name, fun() ->
        [One, Two] = [reductions(iolist_to_binary(Make(N))) || N <- [1000, 2000]],
        ?assert(Two < 3 * One)
      end}
     || {Name, Make} <- [{"chunks", fun(N) -> [lists:duplicate(N, <<"1\r\nx\r\n">>), "0\r\n\r\n"] end},
                         {"extension", fun(N) -> ["0;", binary:copy(<<"a">>, N), "\r\n\r\n"] end},
                         {"trailers", fun(N) -> ["0\r\n", lists:duplicate(N div 10, <<"abc: def\r\n">>), "\r\n"] end}]].

reductions(Bytes) ->
    Self = self(),
    Pid = spawn_link(fun() ->
        {_, Before} = process_info(self(), reductions),
        done = one_by_one(Bytes, hornbeam_http1_body:new(unknown)),
        {_, After} = process_info(self(), reductions),
        Self ! {self(), After - Before}
    end),
    receive {Pid, Count} -> Count end.

one_by_one(<<C, Rest/binary>>, Body) ->
    case hornbeam_http1_body:feed(<<C>>, Body) of
        {more, _, Next} -> one_by_one(Rest, Next);
        {done, _, <<>>} -> done
    end.
