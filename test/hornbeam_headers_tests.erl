%%% hornbeam_headers: request headers to bytes, response headers checked and shaped for Cowboy.
-module(hornbeam_headers_tests).

-include_lib("eunit/include/eunit.hrl").

packed(Pairs) ->
    iolist_to_binary(hornbeam_msgpack:encode([[{bytes, Name}, {bytes, Value}] || {Name, Value} <- Pairs])).

%%% Requests

encodes_for_msgpack_test_() ->
    Long = binary:copy(<<"x">>, 300),
    Huge = binary:copy(<<"y">>, 70000),
    [?_assertEqual(lists:sort(maps:to_list(Map)), lists:sort(decoded(hornbeam_headers:encode_request(Map))))
     || Map <- [#{}, #{<<"a">> => <<>>}, #{<<"host">> => <<"h">>, <<"x">> => Long, <<"y">> => Huge},
                #{Long => <<"1">>}, many(15), many(16), many(300)]].

many(Count) -> maps:from_list([{<<"x-", (integer_to_binary(N))/binary>>, <<"v">>} || N <- lists:seq(1, Count)]).

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

%%% What Cowboy gets

map(Headers) -> hornbeam_headers:response(Headers, none, 'HTTP/1.1', map).

keeps_the_application_s_date_and_server_test() ->
    Given = [{<<"date">>, <<"today">>}, {<<"server">>, <<"mine">>}],
    ?assertEqual(maps:from_list(Given), map(Given)),
    ?assertMatch(#{<<"date">> := _, <<"server">> := <<"hornbeam">>}, map([])).

joins_repeats_but_not_set_cookie_test() ->
    Headers = [{<<"vary">>, <<"a">>}, {<<"set-cookie">>, <<"1">>}, {<<"vary">>, <<"b">>}, {<<"set-cookie">>, <<"2">>}],
    ?assertMatch(#{<<"vary">> := <<"a, b">>, <<"set-cookie">> := [<<"1">>, <<"2">>]}, map(Headers)),
    ?assertMatch(#{<<"vary">> := <<"a, b">>, <<"set-cookie">> := [<<"1">>, <<"2">>]},
                 hornbeam_headers:response(Headers, none, 'HTTP/2', block)).

drops_what_is_the_connection_s_test_() ->
    Names = [<<"transfer-encoding">>, <<"keep-alive">>, <<"proxy-connection">>, <<"upgrade">>],
    [?_assertNot(maps:is_key(Name, map([{Name, <<"v">>}]))) || Name <- Names]
    ++ [?_assertMatch(#{<<"connection">> := <<"close">>}, map([{<<"connection">>, <<"Close">>}])),
        ?_assertNot(maps:is_key(<<"connection">>, map([{<<"connection">>, <<"keep-alive">>}]))),
        ?_assertNot(maps:is_key(<<"connection">>, hornbeam_headers:response([{<<"connection">>, <<"close">>}],
                                                                            none, 'HTTP/2', map)))].

says_the_length_that_it_is_told_test() ->
    Headers = [{<<"content-length">>, <<"5">>}],
    ?assertMatch(#{<<"content-length">> := <<"7">>}, hornbeam_headers:response(Headers, 7, 'HTTP/1.1', block)),
    ?assertNot(maps:is_key(<<"content-length">>, hornbeam_headers:response(Headers, none, 'HTTP/1.1', block))).

%% On HTTP/1 the fields go out in the application's order, as often as they were given.
block_keeps_the_order_test() ->
    Headers = [{<<"b">>, <<"1">>}, {<<"set-cookie">>, <<"x">>}, {<<"a">>, <<"2">>}, {<<"b">>, <<"3">>},
               {<<"date">>, <<"d">>}, {<<"server">>, <<"s">>}],
    Map = hornbeam_headers:response(Headers, none, 'HTTP/1.1', block),
    ?assertEqual([<<"b">>], maps:keys(Map)),
    ?assertEqual(<<"1\r\nset-cookie: x\r\na: 2\r\nb: 3\r\ndate: d\r\nserver: s">>,
                 iolist_to_binary(maps:get(<<"b">>, Map))).
