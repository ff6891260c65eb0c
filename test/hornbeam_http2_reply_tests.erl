%%% The fields of an HTTP/2 response.
-module(hornbeam_http2_reply_tests).

-include_lib("eunit/include/eunit.hrl").

head(Headers) -> hornbeam_http2_reply:head(200, Headers, none, plain).

options_defaults_test() ->
    ?assertEqual([{<<":status">>, <<"200">>}, {<<"x">>, <<"1">>}, {<<"server">>, <<"hornbeam">>}, {<<"content-length">>, <<"2">>}],
                 hornbeam_http2_reply:head(200, [], 2, {false, true, [{<<"x">>, <<"1">>}]})),
    ?assertEqual([{<<":status">>, <<"200">>}], hornbeam_http2_reply:head(200, [], none, {false, false, []})).

keeps_the_application_s_date_and_server_test() ->
    Given = [{<<"date">>, <<"today">>}, {<<"server">>, <<"mine">>}],
    ?assertEqual([{<<":status">>, <<"200">>} | Given], head(Given)),
    ?assertMatch([{<<":status">>, <<"200">>}, {<<"date">>, _}, {<<"server">>, <<"hornbeam">>}], head([])).

keeps_order_and_repeats_test() ->
    Headers = [{<<"vary">>, <<"a">>}, {<<"set-cookie">>, <<"1">>}, {<<"vary">>, <<"b">>}, {<<"set-cookie">>, <<"2">>}],
    ?assertEqual(Headers, hornbeam_http2_reply:fields(Headers)).

%% RFC 9113, 8.2.1.
no_whitespace_around_values_test() ->
    ?assertEqual([{<<"x">>, <<"a b">>}, {<<"set-cookie">>, <<"c">>}, {<<"y">>, <<>>}],
                 hornbeam_http2_reply:fields([{<<"x">>, <<" \ta b\t">>}, {<<"set-cookie">>, <<" c ">>}, {<<"y">>, <<" ">>}])).

%% RFC 9113, 8.2.2.
drops_what_is_the_connection_s_test_() ->
    Names = [<<"transfer-encoding">>, <<"keep-alive">>, <<"proxy-connection">>, <<"te">>, <<"upgrade">>, <<"connection">>],
    [?_assertNot(lists:keymember(Name, 1, Made([{Name, <<"close">>}])))
     || Name <- Names, Made <- [fun head/1, fun hornbeam_http2_reply:fields/1]].

says_the_length_that_it_is_told_test() ->
    Headers = [{<<"content-length">>, <<"5">>}],
    ?assertEqual([<<"7">>], [Value || {<<"content-length">>, Value} <- hornbeam_http2_reply:head(200, Headers, 7, plain)]),
    ?assertNot(lists:keymember(<<"content-length">>, 1, head(Headers))).

nothing_is_added_to_trailers_and_to_what_comes_before_test() ->
    ?assertEqual([{<<"x">>, <<"1">>}], hornbeam_http2_reply:fields([{<<"x">>, <<"1">>}])),
    ?assertEqual([{<<":status">>, <<"103">>}, {<<"link">>, <<"1">>}], hornbeam_http2_reply:inform(103, [{<<"link">>, <<"1">>}])).
