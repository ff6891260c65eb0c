%%% What is checked of an HTTP/2 request's head, without a socket: one case for each rule (RFC 9113, 8; RFC 9110, 5.5 and 8.6).
-module(hornbeam_http2_head_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hornbeam_head.hrl").

limits() ->
    #{max_request_line => 100, max_headers => 12, max_header_size => 300, max_head_size => 1000, strict_target => false}.

req(Changes) ->
    maps:merge(#{method => <<"GET">>, path => <<"/">>, qs => <<>>, version => 'HTTP/2', scheme => <<"http">>,
                 host => <<"a">>, port => 80, has_body => false, body_length => 0, headers => #{}}, Changes).

headers(Headers) -> req(#{headers => Headers}).

read(Req) -> read(Req, limits()).

read(Req, Limits) ->
    Place = hornbeam_scope:place({{127, 0, 0, 1}, 1234}, {{127, 0, 0, 1}, 80}, none),
    hornbeam_http2_head:read(Req, Limits, Place).

refused(Req) -> {refuse, Reason, #head{}} = read(Req), Reason.

good_test_() ->
    [?_assertMatch({ok, #head{version = 'HTTP/2', peer = {{127, 0, 0, 1}, 1234}}}, read(Req)) || Req <- [
        req(#{}), req(#{path => <<"*">>}), req(#{path => <<"/%00/[x]@:;">>, qs => <<"a[]=1&b=?/">>}),
        req(#{path => <<"/ä"/utf8>>}), req(#{qs => <<"a|b{c}\\^`\"<>">>}),
        headers(#{<<"x-a">> => <<"\tä ~">>}), headers(#{<<"content-length">> => <<"0012">>}),
        headers(#{<<"host">> => <<"a:80">>}), headers(#{<<"host">> => <<"A">>}),
        req(#{scheme => <<"https">>, port => 443, headers => #{<<"host">> => <<"a">>}})]].

malformed_test_() ->
    [?_assertEqual(malformed, refused(Req)) || Req <- [
        req(#{path => <<"/\0">>}), req(#{path => <<"/a b">>}), req(#{path => <<"/a#b">>}), req(#{qs => <<"a", 127>>}), req(#{qs => <<"#">>}),
        headers(#{<<"x-a">> => <<"a\nb">>}), headers(#{<<"x a">> => <<>>}), headers(#{<<>> => <<"a">>}),
        headers(#{<<"content-length">> => <<"+1">>}), headers(#{<<"content-length">> => <<>>}),
        headers(#{<<"content-length">> => binary:copy(<<"1">>, 19)}),
        headers(#{<<"host">> => <<"a:+1">>}), headers(#{<<"host">> => <<"b">>}), headers(#{<<"host">> => <<"a:81">>})]].

strict_targets_test() ->
    Strict = (limits())#{strict_target := true},
    ?assertMatch({refuse, malformed, _}, read(req(#{path => <<"/ä"/utf8>>}), Strict)),
    ?assertMatch({refuse, malformed, _}, read(req(#{qs => <<"a|b">>}), Strict)),
    ?assertMatch({ok, _}, read(req(#{path => <<"/%00/[x]@:;">>, qs => <<"a[]=1&b=?/">>}), Strict)).

limits_test_() ->
    Many = fun(Count) -> headers(maps:from_list([{<<"x-", (integer_to_binary(N))/binary>>, <<>>} || N <- lists:seq(1, Count)])) end,
    %% "GET ", "/" and " HTTP/1.1" would be around it, the host field is one.
    [?_assertMatch({ok, _}, read(req(#{path => binary:copy(<<"/">>, 87)}))),
     ?_assertEqual(uri_too_long, refused(req(#{path => binary:copy(<<"/">>, 88)}))),
     ?_assertEqual(uri_too_long, refused(req(#{path => <<"/">>, qs => binary:copy(<<"/">>, 87)}))),
     ?_assertMatch({ok, _}, read(Many(11))),
     ?_assertEqual(header_too_large, refused(Many(12))),
     ?_assertMatch({ok, _}, read(headers(#{<<"x">> => binary:copy(<<"a">>, 300)}))),
     ?_assertEqual(header_too_large, refused(headers(#{<<"x">> => binary:copy(<<"a">>, 301)}))),
     ?_assertMatch({ok, _}, read(headers(#{binary:copy(<<"x">>, 256) => <<>>}))),
     ?_assertEqual(header_too_large, refused(headers(#{binary:copy(<<"x">>, 257) => <<>>}))),
     ?_assertEqual(header_too_large,
                   refused(headers(maps:from_list([{<<"x", N>>, binary:copy(<<"a">>, 250)} || N <- "abcd"]))))].

%% :authority arrives as host (ASGI, "headers"); without the port that its scheme has anyway.
authority_test_() ->
    Host = fun(Req) -> {ok, #head{fields = [{<<"host">>, Value}], host = Value}} = read(Req), Value end,
    [?_assertEqual(<<"h">>, Host(req(#{host => <<"h">>, port => 80}))),
     ?_assertEqual(<<"h:8080">>, Host(req(#{host => <<"h">>, port => 8080}))),
     ?_assertEqual(<<"h:80">>, Host(req(#{host => <<"h">>, port => 80, scheme => <<"https">>}))),
     ?_assertEqual(<<"h">>, Host(req(#{host => <<"h">>, port => 443, scheme => <<"https">>}))),
     ?_assertEqual(<<"h">>, Host(req(#{host => <<"h">>, headers => #{<<"host">> => <<"h">>}})))].

bodies_test_() ->
    Length = fun(Req) -> {ok, #head{length = L}} = read(Req), L end,
    [?_assertEqual(0, Length(req(#{has_body => false}))),
     ?_assertEqual(5, Length(req(#{has_body => true, body_length => 5}))),
     ?_assertEqual(unknown, Length(req(#{has_body => true, body_length => undefined})))].

expectations_test_() ->
    Expect = fun(Headers) -> {ok, #head{expect = E}} = read(headers(Headers)), E end,
    [?_assertEqual(none, Expect(#{})), ?_assertEqual(continue, Expect(#{<<"expect">> => <<"100-Continue">>}))].
