%%% What is checked of an HTTP/2 request's head, without a socket: one case for each rule (RFC 9113, 8; RFC 9110, 5.5 and 8.6).
-module(hornbeam_http2_head_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hornbeam_head.hrl").

limits() ->
    #{max_request_line => 100, max_headers => 12, max_header_size => 300, max_head_size => 1000, strict_target => false}.

pseudo() ->
    [{<<":method">>, <<"GET">>}, {<<":scheme">>, <<"http">>}, {<<":authority">>, <<"a">>}, {<<":path">>, <<"/">>}].

%% Pseudo-headers other than the usual; `none' for one that is not there.
with(Changes) ->
    Known = [{Name, proplists:get_value(Name, Changes, Value)} || {Name, Value} <- pseudo()],
    [Field || {_, Value} = Field <- Known ++ [New || {Name, _} = New <- Changes, not lists:keymember(Name, 1, pseudo())], Value =/= none].

target(Target) -> with([{<<":path">>, Target}]).

fields(Fields) -> pseudo() ++ Fields.

read(Fields) -> read(Fields, 0).

read(Fields, Length) -> read(Fields, Length, limits()).

read(Fields, Length, Limits) ->
    Place = hornbeam_scope:place({{127, 0, 0, 1}, 1234}, {{127, 0, 0, 1}, 80}, none),
    hornbeam_http2_head:read(Fields, Length, Limits, Place).

refused(Fields) -> {refuse, Reason, #head{}} = read(Fields, unknown), Reason.

good_test_() ->
    [?_assertMatch({ok, #head{version = 'HTTP/2', peer = {{127, 0, 0, 1}, 1234}}}, read(Fields, unknown)) || Fields <- [
        pseudo(), with([{<<":method">>, <<"OPTIONS">>}, {<<":path">>, <<"*">>}]), target(<<"/%00/[x]@:;?a[]=1&b=?/">>),
        target(<<"/ä"/utf8>>), target(<<"/?a|b{c}\\^`\"<>">>), with([{<<":scheme">>, <<"https">>}]), with([{<<":method">>, <<"PURGE">>}]),
        fields([{<<"x-a">>, <<"\tä ~">>}]), fields([{<<"content-length">>, <<"0012">>}]), fields([{<<"te">>, <<"trailers">>}]),
        fields([{<<"host">>, <<"a:80">>}]), fields([{<<"host">>, <<"A">>}]),
        with([{<<":authority">>, none}]) ++ [{<<"host">>, <<"a">>}],
        with([{<<":scheme">>, <<"https">>}]) ++ [{<<"host">>, <<"a:443">>}]]].

%% RFC 9113, 8.1.1: the stream is reset.
malformed_test_() ->
    [?_assertEqual(malformed, read(Fields, unknown)) || Fields <- [
        [], with([{<<":method">>, none}]), with([{<<":scheme">>, none}]), with([{<<":path">>, none}]), target(<<>>),
        with([{<<":status">>, <<"200">>}]), with([{<<":protocol">>, <<"websocket">>}]),
        pseudo() ++ [{<<":path">>, <<"/">>}], [{<<"x">>, <<>>} | pseudo()], fields([{<<"x">>, <<>>}, {<<":path">>, <<"/">>}]),
        fields([{<<"X-A">>, <<>>}]), fields([{<<"connection">>, <<"close">>}]), fields([{<<"keep-alive">>, <<>>}]),
        fields([{<<"proxy-connection">>, <<>>}]), fields([{<<"transfer-encoding">>, <<"chunked">>}]), fields([{<<"upgrade">>, <<"h2c">>}]),
        fields([{<<"te">>, <<"gzip">>}]), with([{<<":method">>, <<"CONNECT">>}])]]
    ++ [?_assertEqual(malformed, read(fields([{<<"content-length">>, <<"5">>}]), 0))].

refused_test_() ->
    [?_assertEqual(malformed, refused(Fields)) || Fields <- [
        target(<<"/\0">>), target(<<"/a b">>), target(<<"/a#b">>), target(<<"/?a", 127>>), target(<<"/?#">>), target(<<"*">>), target(<<"a">>),
        with([{<<":method">>, <<"G T">>}]), with([{<<":authority">>, none}]), with([{<<":authority">>, <<"u@a">>}]),
        fields([{<<"x-a">>, <<"a\nb">>}]), fields([{<<"x a">>, <<>>}]), fields([{<<>>, <<"a">>}]),
        fields([{<<"content-length">>, <<"+1">>}]), fields([{<<"content-length">>, <<>>}]),
        fields([{<<"content-length">>, binary:copy(<<"1">>, 19)}]), fields([{<<"content-length">>, <<"1">>}, {<<"content-length">>, <<"1">>}]),
        fields([{<<"host">>, <<"a:+1">>}]), fields([{<<"host">>, <<"b">>}]), fields([{<<"host">>, <<"a:81">>}]),
        fields([{<<"host">>, <<"a">>}, {<<"host">>, <<"a">>}])]]
    ++ [?_assertEqual(expectation_failed, refused(fields([{<<"expect">>, <<"x">>}]))),
        ?_assertEqual(not_implemented, refused([{<<":method">>, <<"CONNECT">>}, {<<":authority">>, <<"a:1">>}])),
        ?_assertEqual(not_implemented, refused(with([{<<":method">>, <<"TRACE">>}])))].

strict_targets_test() ->
    Strict = (limits())#{strict_target := true},
    ?assertMatch({refuse, malformed, _}, read(target(<<"/ä"/utf8>>), 0, Strict)),
    ?assertMatch({refuse, malformed, _}, read(target(<<"/?a|b">>), 0, Strict)),
    ?assertMatch({ok, _}, read(target(<<"/%00/[x]@:;?a[]=1&b=?/">>), 0, Strict)).

limits_test_() ->
    Many = fun(Count) -> fields([{<<"x-", (integer_to_binary(N))/binary>>, <<>>} || N <- lists:seq(1, Count)]) end,
    Cookies = fun(Count) -> fields([{<<"cookie">>, <<"a=1">>} || _ <- lists:seq(1, Count)]) end,
    %% "GET ", "/" and " HTTP/1.1" would be around it, the host field is one.
    [?_assertMatch({ok, _}, read(target(binary:copy(<<"/">>, 87)))),
     ?_assertEqual(uri_too_long, refused(target(binary:copy(<<"/">>, 88)))),
     ?_assertEqual(uri_too_long, refused(target(<<"/?", (binary:copy(<<"/">>, 87))/binary>>))),
     ?_assertMatch({ok, _}, read(Many(11))),
     ?_assertEqual(header_too_large, refused(Many(12))),
     ?_assertMatch({ok, _}, read(Cookies(13))),
     ?_assertMatch({ok, _}, read(fields([{<<"x">>, binary:copy(<<"a">>, 300)}]))),
     ?_assertEqual(header_too_large, refused(fields([{<<"x">>, binary:copy(<<"a">>, 301)}]))),
     ?_assertMatch({ok, _}, read(fields([{<<"cookie">>, binary:copy(<<"a">>, 150)}, {<<"cookie">>, binary:copy(<<"a">>, 148)}]))),
     ?_assertEqual(header_too_large, refused(fields([{<<"cookie">>, binary:copy(<<"a">>, 150)}, {<<"cookie">>, binary:copy(<<"a">>, 149)}]))),
     ?_assertMatch({ok, _}, read(fields([{binary:copy(<<"x">>, 256), <<>>}]))),
     ?_assertEqual(header_too_large, refused(fields([{binary:copy(<<"x">>, 257), <<>>}]))),
     %% "host" and "a" are nine octets.
     ?_assertMatch({ok, _}, read(fields([{<<"x", N>>, binary:copy(<<"a">>, 240)} || N <- "abcd"] ++ [{<<"y">>, <<"12">>}]))),
     ?_assertEqual(header_too_large, refused(fields([{<<"x", N>>, binary:copy(<<"a">>, 240)} || N <- "abcd"] ++ [{<<"y">>, <<"123">>}])))].

%% As the client sent them (ASGI, "headers"), but for a cookie's parts (RFC 9113, 8.2.3) and :authority, which is the host.
order_and_repetition_test_() ->
    Fields = fun(Given) -> {ok, #head{fields = Read}} = read(Given), Read end,
    [?_assertEqual([{<<"host">>, <<"a">>}, {<<"b">>, <<"1">>}, {<<"a">>, <<"2">>}, {<<"b">>, <<"3">>}],
                   Fields(fields([{<<"b">>, <<"1">>}, {<<"a">>, <<"2">>}, {<<"b">>, <<" 3\t">>}]))),
     ?_assertEqual([{<<"host">>, <<"a">>}, {<<"x">>, <<>>}, {<<"cookie">>, <<"a=1; b=2; c=3">>}, {<<"y">>, <<>>}],
                   Fields(fields([{<<"x">>, <<>>}, {<<"cookie">>, <<"a=1">>}, {<<"y">>, <<>>}, {<<"cookie">>, <<"b=2">>},
                                  {<<"cookie">>, <<"c=3">>}]))),
     ?_assertEqual([{<<"x">>, <<>>}, {<<"host">>, <<"a">>}], Fields(fields([{<<"x">>, <<>>}, {<<"host">>, <<"a">>}])))].

bodies_test_() ->
    Length = fun(Given, Known) -> {ok, #head{length = L}} = read(Given, Known), L end,
    [?_assertEqual(0, Length(pseudo(), 0)), ?_assertEqual(unknown, Length(pseudo(), unknown)),
     ?_assertEqual(5, Length(fields([{<<"content-length">>, <<"5">>}]), unknown)),
     ?_assertEqual(0, Length(fields([{<<"content-length">>, <<"0">>}]), 0))].

expectations_test_() ->
    Expect = fun(Fields) -> {ok, #head{expect = E}} = read(fields(Fields)), E end,
    [?_assertEqual(none, Expect([])), ?_assertEqual(continue, Expect([{<<"expect">>, <<"100-Continue">>}]))].

websockets_test() ->
    Connect = with([{<<":method">>, <<"CONNECT">>}, {<<":protocol">>, <<"websocket">>}]),
    ?assertMatch({ok, #head{protocol = <<"websocket">>, method = <<"CONNECT">>}}, read(Connect, unknown)).

trailers_test_() ->
    [?_assert(hornbeam_http2_head:is_trailers([{<<"x-sum">>, <<"1">>}])), ?_assert(hornbeam_http2_head:is_trailers([]))]
    ++ [?_assertNot(hornbeam_http2_head:is_trailers([{<<"x">>, <<"1">>}, Field]))
        || Field <- [{<<":path">>, <<"/">>}, {<<":x">>, <<>>}, {<<"X">>, <<>>}, {<<"connection">>, <<>>}, {<<"transfer-encoding">>, <<>>},
                     {<<"x y">>, <<>>}, {<<"x">>, <<"\n">>}, {<<>>, <<>>}]].
