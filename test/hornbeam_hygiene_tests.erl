%%% The checks of a head, without a socket: one case for each rule of hornbeam_hygiene (python_tests/http/test_hygiene.py has all
%%% of them, as bytes), and what they cost.
-module(hornbeam_hygiene_tests).

-include_lib("eunit/include/eunit.hrl").

limits() ->
    #{max_request_line => 100, max_headers => 12, max_header_size => 300, max_head_size => 1000,
      relaxed_target => false}.

req(Changes) ->
    maps:merge(#{method => <<"GET">>, path => <<"/">>, qs => <<>>, version => 'HTTP/1.1', scheme => <<"http">>,
                 host => <<"a">>, port => 80, has_body => false, body_length => 0,
                 headers => #{<<"host">> => <<"a">>}}, Changes).

headers(Headers) -> req(#{headers => maps:merge(#{<<"host">> => <<"a">>}, Headers)}).

check(Req) -> hornbeam_hygiene:check(Req, limits()).

good_test_() ->
    [?_assertEqual(ok, check(Req)) || Req <- [
        req(#{}), req(#{path => <<"*">>}), req(#{path => <<"/%00/[x]@:;">>, qs => <<"a[]=1&b=?/">>}),
        headers(#{<<"x-a">> => <<"\tä ~">>}), headers(#{<<"content-length">> => <<"0012">>}),
        headers(#{<<"connection">> => <<"Upgrade, HTTP2-Settings">>}),
        req(#{version => 'HTTP/1.0', headers => #{}}),
        req(#{version => 'HTTP/2', headers => #{<<"host">> => <<"a:80">>}})]].

malformed_test_() ->
    [?_assertEqual({error, malformed}, check(Req)) || Req <- [
        req(#{path => <<"/\0">>}), req(#{path => <<"/ä"/utf8>>}), req(#{qs => <<"a|b">>}),
        headers(#{<<"x-a">> => <<"a\nb">>}), headers(#{<<"x a">> => <<>>}), headers(#{<<>> => <<"a">>}),
        headers(#{<<"content-length">> => <<"+1">>}), headers(#{<<"content-length">> => <<>>}),
        headers(#{<<"connection">> => <<"a b">>}), headers(#{<<"host">> => <<"a:+1">>}),
        req(#{version => 'HTTP/1.0', has_body => true, body_length => undefined}),
        req(#{version => 'HTTP/2', headers => #{<<"host">> => <<"b">>}})]].

limits_test_() ->
    Many = maps:from_list([{<<"x-", (integer_to_binary(N))/binary>>, <<>>} || N <- lists:seq(1, 12)]),
    [?_assertEqual({error, uri_too_long}, check(req(#{path => binary:copy(<<"/">>, 100)}))),
     ?_assertEqual({error, header_too_large}, check(headers(Many))),
     ?_assertEqual({error, header_too_large}, check(headers(#{<<"x">> => binary:copy(<<"a">>, 301)}))),
     ?_assertEqual({error, header_too_large}, check(headers(#{binary:copy(<<"x">>, 257) => <<>>}))),
     ?_assertEqual({error, header_too_large},
                   check(headers(maps:from_list([{<<"x", N>>, binary:copy(<<"a">>, 250)} || N <- "abcd"]))))].

relaxed_targets_test_() ->
    [?_assertEqual({lists:member(C, Strict), C > 32 andalso C < 127 andalso C =/= $#},
                   {hornbeam_hygiene:is_target(<<C>>, false), hornbeam_hygiene:is_target(<<C>>, true)})
     || Strict <- ["-._~:/?[]@!$&'()*+,;=%" ++ lists:seq($a, $z) ++ lists:seq($A, $Z) ++ lists:seq($0, $9)],
        C <- lists:seq(0, 255)].

underscores_test() ->
    #{headers := Headers} = hornbeam_hygiene:without_underscores(headers(#{<<"x_a">> => <<>>, <<"x-a">> => <<>>})),
    ?assertEqual([<<"host">>, <<"x-a">>], maps:keys(Headers)).

%% What a browser sends. The bound is far above what is measured (see hornbeam_hygiene): it is there to notice a mistake.
cost_test() ->
    Headers = #{<<"host">> => <<"www.example.org">>, <<"connection">> => <<"keep-alive">>,
                <<"user-agent">> => <<"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0">>,
                <<"accept">> => <<"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8">>,
                <<"accept-language">> => <<"en-US,en;q=0.5">>, <<"accept-encoding">> => <<"gzip, deflate, br">>,
                <<"referer">> => <<"https://www.example.org/a/page">>, <<"cookie">> => binary:copy(<<"session=0123456789;">>, 5),
                <<"upgrade-insecure-requests">> => <<"1">>, <<"sec-fetch-dest">> => <<"document">>,
                <<"sec-fetch-mode">> => <<"navigate">>, <<"cache-control">> => <<"max-age=0">>},
    Req = req(#{path => <<"/a/path/of/some/length">>, qs => <<"page=1&size=20">>, headers => Headers}),
    Settings = (limits())#{max_head_size => 65536, max_headers => 100, max_request_line => 8192},
    Times = 20000,
    {Us, ok} = timer:tc(fun() -> [ok = hornbeam_hygiene:check(Req, Settings) || _ <- lists:seq(1, Times)], ok end),
    ?debugFmt("~.2f us", [Us / Times]),
    ?assert(Us / Times < 100).
