%%% hornbeam_scope: Cowboy's Req to the array that hornbeam_worker/asgi/scope.py reads.
-module(hornbeam_scope_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hornbeam.hrl").

-define(MOUNT, #mount{root_path = <<>>, path_prefix = <<>>, app = <<"a:b">>, pool = p, settings = #{}}).

req() ->
    #{method => <<"GET">>, path => <<"/a">>, qs => <<"q=1">>, version => 'HTTP/1.1', scheme => <<"http">>,
      headers => #{<<"host">> => <<"h">>}, host => <<"h">>, port => 80,
      peer => {{127, 0, 0, 1}, 1234}, sock => {{127, 0, 0, 1}, 80}}.

scope(Req) -> scope(Req, ?MOUNT).

scope(Req, Mount) ->
    {ok, Array} = hornbeam_msgpack:decode(hornbeam_scope:encode(Req, Mount)),
    Array.

every_field_in_its_place_test() ->
    ?assertEqual([<<"GET">>, none, {bytes, <<"/a">>}, {bytes, <<"q=1">>}, <<"1.1">>, <<"http">>, <<>>,
                  [<<"127.0.0.1">>, 1234], [<<"127.0.0.1">>, 80],
                  [[{bytes, <<"host">>}, {bytes, <<"h">>}]], none],
                 scope(req())).

field(Number, Req) -> lists:nth(Number, scope(Req)).

versions_test_() ->
    [?_assertEqual(Text, field(5, (req())#{version => Version}))
     || {Version, Text} <- [{'HTTP/1.0', <<"1.0">>}, {'HTTP/1.1', <<"1.1">>}, {'HTTP/2', <<"2">>}]].

addresses_test_() ->
    [?_assertEqual([<<"::1">>, 65535], field(8, (req())#{peer => {{0, 0, 0, 0, 0, 0, 0, 1}, 65535}})),
     %% A Unix socket: no client, and the path without a port as the server.
     ?_assertEqual(none, field(8, (req())#{peer => {local, <<>>}})),
     ?_assertEqual([<<"/run/x.sock">>, none], field(9, (req())#{peer => {local, <<>>},
                                                                sock => {local, <<"/run/x.sock">>}}))].

%% HTTP/2's :authority arrives as host.
authority_test_() ->
    Http2 = (req())#{version => 'HTTP/2', headers => #{}, host => <<"h">>},
    Host = fun(Req) -> [[_, {bytes, Value}]] = field(10, Req), Value end,
    [?_assertEqual(<<"h">>, Host(Http2#{port => 80})),
     ?_assertEqual(<<"h:8080">>, Host(Http2#{port => 8080})),
     ?_assertEqual(<<"h">>, Host(Http2#{port => 443, scheme => <<"https">>})),
     ?_assertEqual([], field(10, (req())#{headers => #{}, version => 'HTTP/1.0'}))].

root_path_test() ->
    Mount = ?MOUNT,
    Scope = scope((req())#{path => <<"/api/%41">>}, Mount#mount{root_path = <<"/r/api">>, path_prefix = <<"/r">>}),
    ?assertEqual([<<"/r/api/A">>, {bytes, <<"/r/api/%41">>}, <<"/r/api">>],
                 [lists:nth(N, Scope) || N <- [2, 3, 7]]).

%% RFC 3986, 2.1; what is no UTF-8 becomes U+FFFD.
decode_path_test_() ->
    [?_assertEqual(Decoded, hornbeam_scope:decode_path(Raw))
     || {Raw, Decoded} <- [{<<"/a">>, <<"/a">>}, {<<"/%41%62">>, <<"/Ab">>}, {<<"/%C3%A4">>, <<"/ä"/utf8>>},
                           {<<"/%c3%a4">>, <<"/ä"/utf8>>}, {<<"/a+b">>, <<"/a+b">>}, {<<"/%">>, <<"/%">>},
                           {<<"/%4">>, <<"/%4">>}, {<<"/%zz">>, <<"/%zz">>}, {<<"/%%41">>, <<"/%A">>},
                           {<<"/%2525">>, <<"/%25">>}, {<<"/%ff%41">>, <<"/", 16#fffd/utf8, "A">>},
                           {<<"/%e2%82">>, <<"/", 16#fffd/utf8, 16#fffd/utf8>>}, {<<"/%00">>, <<"/", 0>>}]].

long_texts_test_() ->
    [?_assertEqual({bytes, Path}, field(3, (req())#{path => Path}))
     || Size <- [31, 32, 255, 256, 5000], Path <- [binary:copy(<<"a">>, Size)]].
