%%% hornbeam_headers: request fields to bytes, an application's fields checked; lists of tokens. What travels of them and how:
%%% hornbeam_http1_reply_tests, hornbeam_http2_reply_tests.
-module(hornbeam_headers_tests).

-include_lib("eunit/include/eunit.hrl").

packed(Pairs) ->
    iolist_to_binary(hornbeam_msgpack:encode([[{bytes, Name}, {bytes, Value}] || {Name, Value} <- Pairs])).

%%% Requests

%% In the order of the client, repeated as often as it did.
encodes_for_msgpack_test_() ->
    Long = binary:copy(<<"x">>, 300),
    Huge = binary:copy(<<"y">>, 70000),
    [?_assertEqual(Fields, decoded(iolist_to_binary(hornbeam_headers:encode_request(Fields))))
     || Fields <- [[], [{<<"a">>, <<>>}], [{<<"host">>, <<"h">>}, {<<"x">>, Long}, {<<"y">>, Huge}], [{Long, <<"1">>}],
                   [{<<"b">>, <<"1">>}, {<<"a">>, <<"2">>}, {<<"b">>, <<"3">>}, {<<"b">>, <<"1">>}],
                   many(15), many(16), many(300)]].

many(Count) -> [{<<"x-", (integer_to_binary(N))/binary>>, <<"v">>} || N <- lists:seq(Count, 1, -1)].

decoded(Bytes) ->
    {ok, Pairs} = hornbeam_msgpack:decode_raw(Bytes),
    [{Name, Value} || [Name, Value] <- Pairs].

%%% Responses: what is refused (RFC 9110, 5.1 and 5.5)

decodes_and_lowers_names_test() ->
    ?assertEqual({ok, [{<<"content-type">>, <<"text/plain">>}, {<<"x">>, <<>>}]},
                 hornbeam_headers:decode(packed([{<<"Content-Type">>, <<"text/plain">>}, {<<"X">>, <<>>}]))).

decodes_every_width_test_() ->
    [?_assertEqual({ok, Pairs}, hornbeam_headers:decode(packed(Pairs)))
     || Pairs <- [[], [{<<"a">>, binary:copy(<<"v">>, 300)}], [{<<"a">>, binary:copy(<<"v">>, 70000)}],
                  lists:duplicate(20, {<<"set-cookie">>, <<"a=1">>})]].

refuses_test_() ->
    [?_assertMatch({error, {bad_header, _}}, hornbeam_headers:decode(packed([{Name, Value}])))
     || {Name, Value} <- [{<<"x">>, <<"a\r\nb">>}, {<<"x">>, <<"a\nb">>}, {<<"x">>, <<"a\rb">>},
                          {<<"x">>, <<0>>}, {<<>>, <<"v">>}, {<<"a b">>, <<"v">>}, {<<"a:">>, <<"v">>},
                          {<<"a\r\nb">>, <<"v">>}, {<<"a", 0>>, <<"v">>}, {<<"ä"/utf8>>, <<"v">>}]].

refuses_other_shapes_test_() ->
    [?_assertMatch({error, {bad_header, _}}, hornbeam_headers:decode(iolist_to_binary(hornbeam_msgpack:encode(Term))))
     || Term <- [none, 1, #{}, [1], [[<<"text">>, <<"text">>]], [[{bytes, <<"a">>}]],
                 [[{bytes, <<"a">>}, {bytes, <<"b">>}, {bytes, <<"c">>}]], [[{bytes, <<"a">>}, 1]]]]
    ++ [?_assertMatch({error, {bad_header, _}}, hornbeam_headers:decode(Bytes))
        || Bytes <- [<<>>, <<16#91>>, <<16#91, 16#92, 16#c4, 9, "short">>, <<16#90, 0>>]].

%%% Lengths

content_length_test_() ->
    Length = fun(Values) -> hornbeam_headers:content_length([{<<"content-length">>, V} || V <- Values]) end,
    [?_assertEqual(none, Length([])), ?_assertEqual(0, Length([<<"0">>])), ?_assertEqual(12, Length([<<"12">>])),
     ?_assertEqual(5, Length([<<"5">>, <<"5">>]))]
    ++ [?_assertMatch({error, {bad_header, _}}, Length(Values))
        || Values <- [[<<>>], [<<"-1">>], [<<"1x">>], [<<"+1">>], [<<" 1">>], [<<"1">>, <<"2">>],
                      [binary:copy(<<"9">>, 19)]]].

%%% Which fields are the message's and not the connection's (RFC 9110, 7.6.1)

drops_what_is_the_connection_s_test_() ->
    Names = [<<"content-length">>, <<"transfer-encoding">>, <<"connection">>, <<"keep-alive">>, <<"proxy-connection">>, <<"te">>,
             <<"upgrade">>],
    [?_assertEqual([{<<"a">>, <<"1">>}, {<<"b">>, <<"2">>}],
                   hornbeam_headers:end_to_end([{<<"a">>, <<"1">>}, {Name, <<"v">>}, {<<"b">>, <<"2">>}])) || Name <- Names].

keeps_the_application_s_date_and_server_test() ->
    Given = [{<<"server">>, <<"mine">>}, {<<"date">>, <<"today">>}],
    ?assertEqual(Given, hornbeam_headers:with_defaults(Given, plain)),
    ?assertMatch([{<<"x">>, <<>>}, {<<"date">>, _}, {<<"server">>, <<"hornbeam">>}], hornbeam_headers:with_defaults([{<<"x">>, <<>>}], plain)),
    ?assertMatch([{<<"date">>, <<"d">>}, {<<"server">>, <<"hornbeam">>}], hornbeam_headers:with_defaults([{<<"date">>, <<"d">>}], plain)).

options_say_what_is_added_test_() ->
    Own = [{<<"x">>, <<"1">>}],
    Plain = #{date_header => true, server_header => true, headers => []},
    [?_assertEqual(plain, hornbeam_headers:defaults(Plain)),
     ?_assertEqual({true, false, []}, hornbeam_headers:defaults(Plain#{server_header := false})),
     ?_assertEqual({false, true, Own}, hornbeam_headers:defaults(Plain#{date_header := false, headers := Own})),
     ?_assertEqual([{<<"a">>, <<>>} | Own], hornbeam_headers:with_defaults([{<<"a">>, <<>>}], {false, false, Own})),
     ?_assertEqual([{<<"x">>, <<"2">>}], hornbeam_headers:with_defaults([{<<"x">>, <<"2">>}], {false, false, Own})),
     ?_assertMatch([{<<"x">>, <<"1">>}, {<<"date">>, _}, {<<"server">>, <<"hornbeam">>}],
                   hornbeam_headers:with_defaults([], {true, true, Own})),
     ?_assertMatch([{<<"server">>, <<"s">>}], hornbeam_headers:with_defaults([], {false, true, [{<<"server">>, <<"s">>}]}))].

%%% Texts

lower_test_() ->
    All = << <<C>> || C <- lists:seq(0, 255) >>,
    Lower = << <<(case C >= $A andalso C =< $Z of true -> C + 32; false -> C end)>> || C <- lists:seq(0, 255) >>,
    [?_assertEqual(Lower, hornbeam_headers:lower(All)),
     ?_assertEqual(<<>>, hornbeam_headers:lower(<<>>)),
     %% ASCII alone: what is no letter there is no letter of a token.
     ?_assertEqual(<<16#c3, 16#84, "k">>, hornbeam_headers:lower(<<16#c3, 16#84, "K">>))].

%% RFC 9110, 5.6.2: every octet.
is_token_test() ->
    Token = "!#$%&'*+-.^_`|~" ++ lists:seq($0, $9) ++ lists:seq($a, $z) ++ lists:seq($A, $Z),
    [?assertEqual({C, lists:member(C, Token)}, {C, hornbeam_headers:is_token(Text)})
     || C <- lists:seq(0, 255), Text <- [<<C>>, <<"a", C>>, <<C, "a">>]],
    ?assertNot(hornbeam_headers:is_token(<<>>)).

%% RFC 9110, 5.6.1.2: empty elements count for nothing.
tokens_test_() ->
    [?_assertEqual({ok, Tokens}, hornbeam_headers:tokens(Value))
     || {Value, Tokens} <- [{<<>>, []}, {<<",">>, []}, {<<" , ,\t">>, []}, {<<"close">>, [<<"close">>]}, {<<"Close">>, [<<"close">>]},
                            {<<"a,b">>, [<<"a">>, <<"b">>]}, {<<" a\t,\tB ,">>, [<<"a">>, <<"b">>]}, {<<",,a">>, [<<"a">>]}]]
    ++ [?_assertEqual(error, hornbeam_headers:tokens(Value))
        || Value <- [<<"a b">>, <<"a;b">>, <<"\"a\"">>, <<"a,@">>, <<"a=1">>, <<"a", 0>>, <<16#c3, 16#a4>>]].

is_digits_test_() ->
    [?_assert(hornbeam_headers:is_digits(Text)) || Text <- [<<"0">>, <<"9">>, <<"0123456789">>]]
    ++ [?_assertNot(hornbeam_headers:is_digits(Text)) || Text <- [<<>>, <<"-1">>, <<"1 ">>, <<"a">>, <<"1a">>, <<16#d9, 16#a5>>]].

find_test() ->
    Fields = [{<<"a">>, <<"1">>}, {<<"a">>, <<"2">>}],
    ?assertEqual({ok, <<"1">>}, hornbeam_headers:find(<<"a">>, Fields)),
    ?assertEqual(error, hornbeam_headers:find(<<"b">>, Fields)).
