%%% A response's head and chunks as bytes (RFC 9112, 4 to 7).
-module(hornbeam_http1_reply_tests).

-include_lib("eunit/include/eunit.hrl").

-define(OWN, [{<<"date">>, <<"d">>}, {<<"server">>, <<"s">>}]).

head(Headers, Framing, Connection) ->
    {Bytes, Said} = hornbeam_http1_reply:head(200, Headers, Framing, Connection, plain),
    {lines(Bytes), Said}.

lines(Bytes) ->
    [Head, <<>>] = binary:split(iolist_to_binary(Bytes), <<"\r\n\r\n">>),
    binary:split(Head, <<"\r\n">>, [global]).

fields(Headers) ->
    {[_Status | Fields], _} = head(Headers, none, default),
    Fields.

%% In the application's order, as often as it said.
order_and_repeats_test() ->
    Headers = [{<<"b">>, <<"1">>}, {<<"set-cookie">>, <<"x">>}, {<<"a">>, <<"2">>}, {<<"b">>, <<"3">>} | ?OWN],
    ?assertEqual([<<"b: 1">>, <<"set-cookie: x">>, <<"a: 2">>, <<"b: 3">>, <<"date: d">>, <<"server: s">>], fields(Headers)).

keeps_the_application_s_date_and_server_test_() ->
    [?_assertEqual([<<"server: s">>, <<"date: d">>], fields(lists:reverse(?OWN))),
     ?_assertMatch([<<"date: d">>, <<"server: hornbeam">>], fields([{<<"date">>, <<"d">>}])),
     ?_assertMatch([<<"server: s">>, <<"date: ", _/binary>>], fields([{<<"server">>, <<"s">>}])),
     ?_assertMatch([<<"date: ", _/binary>>, <<"server: hornbeam">>], fields([]))].

%% What the options say is added, date and server are left out where they say so; the application's own fields win.
options_defaults_test_() ->
    Fields = fun(Headers, Defaults) ->
        {Bytes, default} = hornbeam_http1_reply:head(200, Headers, none, default, Defaults),
        tl(lines(Bytes))
    end,
    [?_assertEqual([], Fields([], {false, false, []})),
     ?_assertEqual([<<"server: hornbeam">>], Fields([], {false, true, []})),
     ?_assertMatch([<<"date: ", _/binary>>], Fields([], {true, false, []})),
     ?_assertEqual([<<"date: d">>, <<"server: s">>], Fields(?OWN, {false, false, []})),
     ?_assertEqual([<<"x: 1">>, <<"x: 2">>, <<"server: hornbeam">>],
                   Fields([], {false, true, [{<<"x">>, <<"1">>}, {<<"x">>, <<"2">>}]})),
     ?_assertEqual([<<"x: 3">>], Fields([{<<"x">>, <<"3">>}], {false, false, [{<<"x">>, <<"1">>}, {<<"x">>, <<"2">>}]})),
     ?_assertEqual([<<"server: other">>], Fields([], {false, true, [{<<"server">>, <<"other">>}]}))].

drops_what_is_the_connection_s_test_() ->
    Names = [<<"content-length">>, <<"transfer-encoding">>, <<"keep-alive">>, <<"proxy-connection">>, <<"te">>, <<"upgrade">>],
    [?_assertEqual([<<"date: d">>, <<"server: s">>], fields([{Name, <<"v">>} | ?OWN])) || Name <- Names].

%% Of what the application says of the connection "close" counts, as one element of a list (RFC 9110, 7.6.1).
the_application_closes_test_() ->
    [?_assertEqual({[<<"HTTP/1.1 200 OK">>, <<"date: d">>, <<"server: s">>, <<"content-length: 1">>, <<"connection: close">>], close},
                   head([{<<"connection">>, Value} | ?OWN], 1, default)) || Value <- [<<"close">>, <<"Close">>, <<"x, CLOSE">>]]
    ++ [?_assertEqual({[<<"HTTP/1.1 200 OK">>, <<"date: d">>, <<"server: s">>, <<"content-length: 1">>], default},
                      head([{<<"connection">>, Value} | ?OWN], 1, default)) || Value <- [<<"keep-alive">>, <<"closed">>, <<"a b">>, <<>>]].

framing_and_connection_test_() ->
    [?_assertEqual({[<<"HTTP/1.1 200 OK">>, <<"date: d">>, <<"server: s">>] ++ Framed ++ Said, Connection},
                   head(?OWN, Framing, Connection))
     || {Framing, Framed} <- [{0, [<<"content-length: 0">>]}, {5, [<<"content-length: 5">>]},
                              {chunked, [<<"transfer-encoding: chunked">>]}, {close, []}, {none, []}],
        {Connection, Said} <- [{default, []}, {keep_alive, [<<"connection: keep-alive">>]}, {close, [<<"connection: close">>]}]].

%% RFC 9112, 4: the phrase may be empty, the space before it not.
status_lines_test_() ->
    Line = fun(Status) -> {Bytes, _} = hornbeam_http1_reply:head(Status, [], none, default, plain), hd(lines(Bytes)) end,
    [?_assertEqual(<<"HTTP/1.1 200 OK">>, Line(200)), ?_assertEqual(<<"HTTP/1.1 404 Not Found">>, Line(404)),
     ?_assertEqual(<<"HTTP/1.1 599 ">>, Line(599)), ?_assertEqual(<<"HTTP/1.1 999 ">>, Line(999))].

informational_test() ->
    ?assertEqual(<<"HTTP/1.1 103 Early Hints\r\nlink: a\r\nlink: b\r\n\r\n">>,
                 iolist_to_binary(hornbeam_http1_reply:inform(103, [{<<"link">>, <<"a">>}, {<<"content-length">>, <<"5">>},
                                                                    {<<"transfer-encoding">>, <<"chunked">>}, {<<"link">>, <<"b">>}]))),
    ?assertEqual(<<"HTTP/1.1 100 Continue\r\n\r\n">>, iolist_to_binary(hornbeam_http1_reply:inform(100, []))).

switch_test() ->
    Own = [{<<"connection">>, <<"Upgrade">>}, {<<"upgrade">>, <<"websocket">>}],
    ?assertEqual(<<"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nx: 1\r\ndate: d\r\nserver: s\r\n\r\n">>,
                 iolist_to_binary(hornbeam_http1_reply:switch(Own, [{<<"x">>, <<"1">>}, {<<"upgrade">>, <<"other">>},
                                                                    {<<"content-length">>, <<"0">>} | ?OWN], plain))),
    ?assertEqual(<<"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nx: 1\r\n\r\n">>,
                 iolist_to_binary(hornbeam_http1_reply:switch(Own, [], {false, false, [{<<"x">>, <<"1">>}]}))).

chunks_test_() ->
    Bytes = fun(Data) -> iolist_to_binary(Data) end,
    [?_assertEqual(<<"1\r\na\r\n">>, Bytes(hornbeam_http1_reply:chunk(<<"a">>))),
     ?_assertEqual(<<"10\r\n0123456789abcdef\r\n">>, Bytes(hornbeam_http1_reply:chunk([<<"0123456789">>, "abcdef"]))),
     ?_assertEqual(<<"0\r\n\r\n">>, Bytes(hornbeam_http1_reply:last_chunk([]))),
     ?_assertEqual(<<"0\r\na: 1\r\na: 2\r\n\r\n">>,
                   Bytes(hornbeam_http1_reply:last_chunk([{<<"a">>, <<"1">>}, {<<"content-length">>, <<"1">>}, {<<"a">>, <<"2">>}])))].
