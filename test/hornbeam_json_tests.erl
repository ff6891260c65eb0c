%%% JSON: what RFC 8259 allows, what it does not, and the limits. Round trips are in prop_hornbeam_json.
-module(hornbeam_json_tests).

-include_lib("eunit/include/eunit.hrl").

-define(MAX_DEPTH, 512).

values_test_() ->
    [{Text, ?_assertEqual({ok, Value}, hornbeam_json:decode(unicode:characters_to_binary(Text)))} || {Text, Value} <- [
        {"null", null}, {"true", true}, {"false", false}, {" \t\r\n[ ] ", []}, {"{ }", #{}}, {"\"\"", <<>>},
        {"0", 0}, {"-0", 0}, {"-12", -12}, {"123456789012345678901234567890", 123456789012345678901234567890},
        {"0.5", 0.5}, {"-1.25e2", -125.0}, {"1E3", 1000.0}, {"1e-2", 0.01}, {"2.0E+1", 20.0},
        {"[1,[2,{\"a\":[]}],\"b\"]", [1, [2, #{<<"a">> => []}], <<"b">>]},
        {"{\"a\" : 1 , \"b\":{\"c\":null}}", #{<<"a">> => 1, <<"b">> => #{<<"c">> => null}}},
        {"{\"a\":1,\"a\":2}", #{<<"a">> => 2}},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", <<"\"\\/\b\f\n\r\t">>},
        {"\"\\u0041\\u00e9\\u20AC\"", <<"Aé€"/utf8>>}, {"\"\\ud83d\\ude00\"", <<"😀"/utf8>>}, {"\"😀é\"", <<"😀é"/utf8>>},
        {"\"\\u0000\"", <<0>>}, {"\"\x7f\"", <<16#7f>>}]].

no_json_test_() ->
    [{iolist_to_binary(io_lib:format("~0tp", [Text])), ?_assertEqual(error, hornbeam_json:decode(Text))} || Text <- [
        <<>>, <<" ">>, <<"nul">>, <<"True">>, <<"nan">>, <<"NaN">>, <<"Infinity">>, <<"1 2">>, <<"null,">>,
        <<"[">>, <<"]">>, <<"[1,]">>, <<"[,1]">>, <<"[1 2]">>, <<"[1}">>, <<"{">>, <<"{\"a\"}">>, <<"{\"a\":}">>, <<"{\"a\":1,}">>, <<"{a:1}">>,
        <<"{1:1}">>, <<"{\"a\" 1}">>, <<"01">>, <<"-01">>, <<"-">>, <<"+1">>, <<"1.">>, <<".5">>, <<"1e">>, <<"1e+">>, <<"1.e1">>, <<"0x1">>,
        <<"1e999">>, <<"-1.5e400">>, <<"\"">>, <<"\"a">>, <<"\"\\\"">>, <<"\"\\x41\"">>, <<"\"\\u12\"">>, <<"\"\\u12g4\"">>, <<"\"\\u+041\"">>,
        <<"\"\\u-000\"">>, <<"\"\\ud83d\"">>, <<"\"\\ude00\"">>, <<"\"\\ud83dx\"">>, <<"\"\\ud83d\\u0041\"">>, <<"\"a\nb\"">>, <<"\"", 0, "\"">>,
        <<"\"\\n", 1, "\"">>, <<"\"", 16#ff, "\"">>, <<"\"", 16#c0, 16#80, "\"">>, <<"\"", 16#ed, 16#a0, 16#80, "\"">>, <<"\"\\n", 16#ff, "\"">>,
        <<16#ef, 16#bb, 16#bf, "1">>, <<"'a'">>, <<"[1]//">>]].

depth_test_() ->
    Nested = fun(Open, Close, Depth) -> iolist_to_binary([lists:duplicate(Depth, Open), <<"1">>, lists:duplicate(Depth, Close)]) end,
    [{Open, [?_assertMatch({ok, _}, hornbeam_json:decode(Nested(Open, Close, ?MAX_DEPTH))),
             ?_assertEqual(error, hornbeam_json:decode(Nested(Open, Close, ?MAX_DEPTH + 1)))]}
     || {Open, Close} <- [{"[", "]"}, {"{\"a\":", "}"}]].

%% The limit of a number's characters.
digits_test() ->
    Digits = binary:copy(<<"9">>, 1024),
    ?assertEqual({ok, binary_to_integer(Digits)}, hornbeam_json:decode(Digits)),
    ?assertEqual(error, hornbeam_json:decode(<<Digits/binary, "9">>)).

%% What was read keeps nothing of the text, which may be a part of a large read.
strings_are_copies_test() ->
    Text = <<"[\"", (binary:copy(<<"a">>, 100))/binary, "\",\"", (binary:copy(<<" ">>, 100000))/binary, "\"]">>,
    {ok, [First, _]} = hornbeam_json:decode(Text),
    ?assertEqual(100, binary:referenced_byte_size(First)).

encode_test_() ->
    [?_assertEqual(Text, iolist_to_binary(hornbeam_json:encode(Value))) || {Value, Text} <- [
        {null, <<"null">>}, {true, <<"true">>}, {ok, <<"\"ok\"">>}, {<<"a\"\n">>, <<"\"a\\\"\\u000A\"">>}, {1.5, <<"1.5">>},
        {[1, [], #{}], <<"[1,[],{}]">>}, {#{a => 1}, <<"{\"a\":1}">>}, {#{<<"é"/utf8>> => null}, <<"{\"é\":null}"/utf8>>},
        %% What is no UTF-8 is shown as such, so that the text is JSON whatever it was made of.
        {<<16#ff>>, <<"\"\x{fffd}\""/utf8>>}]].

not_encodable_test_() ->
    [?_assertError(badarg, iolist_to_binary(hornbeam_json:encode(Value))) || Value <- [{1, 2}, self(), #{1 => 2}, <<1:3>>, [#{[] => 1}]]].

%% Twice as long takes twice the time, not four times it: both are far below a second.
linear_test_() ->
    Long = [<<"[", (binary:copy(<<"1,">>, 500000))/binary, "1]">>, <<"\"", (binary:copy(<<"a">>, 1000000))/binary, "\"">>,
            <<"\"", (binary:copy(<<"\\n">>, 500000))/binary, "\"">>, binary:copy(<<" ">>, 1000000)],
    {timeout, 30, [fun() -> _ = hornbeam_json:decode(Text) end || Text <- Long]}.
