%%% Lines of the access log: one line whatever a client sends, and no secrets.
-module(hornbeam_access_line_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hornbeam_head.hrl").

-define(HEAD, #head{peer = {{127, 0, 0, 1}, 5}, method = <<"GET">>, path = <<"/a\nb">>, version = 'HTTP/1.1',
                    fields = [{<<"user-agent">>, <<"x\"\\\r\n", 255>>}]}).

line(Format, Fields) ->
    Values = hornbeam_access_line:values(Fields, ?HEAD, 200, 5, 0, undefined),
    iolist_to_binary(hornbeam_access_line:format(Format, 0, Fields, Values)).

combined_test() ->
    ?assertEqual(<<"127.0.0.1 - - [01/Jan/1970:00:00:00 +0000] \"GET /a\\x0Ab HTTP/1.1\" 200 5 \"-\" "
                   "\"x\\x22\\x5C\\x0D\\x0A\\xFF\"\n">>,
                 line(combined, hornbeam_access_line:fields(combined, []))).

the_status_may_be_in_colour_test() ->
    Fields = hornbeam_access_line:fields(combined, []),
    ?assertEqual(binary:replace(line(combined, Fields), <<" 200 ">>, <<" \e[32m200\e[0m ">>), line(coloured, Fields)).

json_test() ->
    ?assertEqual(<<"{\"time\":\"1970-01-01T00:00:00.000Z\",\"path\":\"/a\\u000Ab\",\"header:user-agent\":"
                   "\"x\\\"\\\\\\u000D\\u000A", 16#fffd/utf8, "\",\"header:x\":null}\n">>,
                 line(json, hornbeam_access_line:fields(json, [<<"path">>, <<"header:User-Agent">>, <<"header:X">>]))).

secrets_are_no_fields_test_() ->
    [?_assertMatch({error, _, Name}, hornbeam_option_fields:check([Name]))
     || Name <- [<<"header:Cookie">>, <<"header:authorization">>, <<"header:set-cookie">>,
                 <<"header:proxy-authorization">>, <<"header:">>, <<"nothing">>]].

a_long_value_is_cut_test() ->
    Head = ?HEAD,
    Values = hornbeam_access_line:values([path], Head#head{path = binary:copy(<<"a">>, 100000)}, 200, 5, 0, undefined),
    ?assert(iolist_size(hornbeam_access_line:format(json, 0, [path], Values)) < 3000).

%% Repeated fields are one (RFC 9110, 5.3).
repeated_fields_test() ->
    Head = ?HEAD,
    Twice = Head#head{fields = [{<<"via">>, <<"a">>}, {<<"x">>, <<"c">>}, {<<"via">>, <<"b">>}]},
    ?assertEqual([<<"a, b">>], hornbeam_access_line:values([{header, <<"via">>}], Twice, 200, 5, 0, undefined)).

%% Of a head that could not be read only the client is known.
no_head_test() ->
    Nothing = #head{method = <<>>, path = <<>>, version = 'HTTP/1.1', peer = {{127, 0, 0, 1}, 5}},
    Values = hornbeam_access_line:values(hornbeam_access_line:fields(combined, []), Nothing, 400, 11, 0, undefined),
    ?assertEqual(<<"127.0.0.1 - - [01/Jan/1970:00:00:00 +0000] \"- - -\" 400 11 \"-\" \"-\"\n">>,
                 iolist_to_binary(hornbeam_access_line:format(combined, 0, hornbeam_access_line:fields(combined, []), Values))).
