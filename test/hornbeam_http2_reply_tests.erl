%%% The fields of an HTTP/2 response as Cowboy takes them.
-module(hornbeam_http2_reply_tests).

-include_lib("eunit/include/eunit.hrl").

map(Headers) -> hornbeam_http2_reply:head(Headers, none).

keeps_the_application_s_date_and_server_test() ->
    Given = [{<<"date">>, <<"today">>}, {<<"server">>, <<"mine">>}],
    ?assertEqual(maps:from_list(Given), map(Given)),
    ?assertMatch(#{<<"date">> := _, <<"server">> := <<"hornbeam">>}, map([])).

%% RFC 9110, 5.3: in their order.
joins_repeats_but_not_set_cookie_test() ->
    Headers = [{<<"vary">>, <<"a">>}, {<<"set-cookie">>, <<"1">>}, {<<"vary">>, <<"b">>}, {<<"set-cookie">>, <<"2">>}],
    ?assertMatch(#{<<"vary">> := <<"a, b">>, <<"set-cookie">> := [<<"1">>, <<"2">>]}, map(Headers)).

empty_values_test_() ->
    Joined = fun(Values) -> maps:get(<<"x">>, hornbeam_http2_reply:fields([{<<"x">>, V} || V <- Values])) end,
    [?_assertEqual(<<>>, Joined([<<>>])), ?_assertEqual(<<"a">>, Joined([<<>>, <<"a">>])), ?_assertEqual(<<"a">>, Joined([<<"a">>, <<>>])),
     ?_assertEqual(<<"a, b">>, Joined([<<"a">>, <<>>, <<"b">>]))].

%% RFC 9113, 8.2.1.
no_whitespace_around_values_test() ->
    ?assertEqual(#{<<"x">> => <<"a b">>, <<"set-cookie">> => [<<"c">>]},
                 hornbeam_http2_reply:fields([{<<"x">>, <<" \ta b\t">>}, {<<"set-cookie">>, <<" c ">>}])).

%% RFC 9113, 8.2.2.
drops_what_is_the_connection_s_test_() ->
    Names = [<<"transfer-encoding">>, <<"keep-alive">>, <<"proxy-connection">>, <<"upgrade">>, <<"connection">>],
    [?_assertNot(maps:is_key(Name, Made([{Name, <<"close">>}])))
     || Name <- Names, Made <- [fun map/1, fun hornbeam_http2_reply:fields/1]].

says_the_length_that_it_is_told_test() ->
    Headers = [{<<"content-length">>, <<"5">>}],
    ?assertMatch(#{<<"content-length">> := <<"7">>}, hornbeam_http2_reply:head(Headers, 7)),
    ?assertNot(maps:is_key(<<"content-length">>, hornbeam_http2_reply:head(Headers, none))).

nothing_is_added_to_trailers_test() ->
    ?assertEqual(#{<<"x">> => <<"1">>}, hornbeam_http2_reply:fields([{<<"x">>, <<"1">>}])).
