%%% Lines of the access log: one line whatever a client sends, and no secrets.
-module(hornbeam_access_line_tests).

-include_lib("eunit/include/eunit.hrl").

-define(REQ, #{peer => {{127, 0, 0, 1}, 5}, method => <<"GET">>, path => <<"/a\nb">>, qs => <<>>, version => 'HTTP/1.1',
               headers => #{<<"user-agent">> => <<"x\"\\\r\n", 255>>}}).

line(Format, Fields) ->
    Values = hornbeam_access_line:values(Fields, ?REQ, 200, 5, 0, undefined),
    iolist_to_binary(hornbeam_access_line:format(Format, 0, Fields, Values)).

combined_test() ->
    ?assertEqual(<<"127.0.0.1 - - [01/Jan/1970:00:00:00 +0000] \"GET /a\\x0Ab HTTP/1.1\" 200 5 \"-\" "
                   "\"x\\x22\\x5C\\x0D\\x0A\\xFF\"\n">>,
                 line(combined, hornbeam_access_line:fields(combined, []))).

json_test() ->
    ?assertEqual(<<"{\"time\":\"1970-01-01T00:00:00.000Z\",\"path\":\"/a\\u000Ab\",\"header:user-agent\":"
                   "\"x\\\"\\\\\\u000D\\u000A", 16#fffd/utf8, "\",\"header:x\":null}\n">>,
                 line(json, hornbeam_access_line:fields(json, [<<"path">>, <<"header:User-Agent">>, <<"header:X">>]))).

secrets_are_no_fields_test_() ->
    [?_assertMatch({error, _, Name}, hornbeam_access_line:check([Name]))
     || Name <- [<<"header:Cookie">>, <<"header:authorization">>, <<"header:set-cookie">>,
                 <<"header:proxy-authorization">>, <<"header:">>, <<"nothing">>]].

a_long_value_is_cut_test() ->
    Values = hornbeam_access_line:values([path], #{path => binary:copy(<<"a">>, 100000)}, 200, 5, 0, undefined),
    ?assert(iolist_size(hornbeam_access_line:format(json, 0, [path], Values)) < 3000).
