%%% hornbeam_scope: the head of a request to the array that hornbeam_worker/asgi/scope.py reads.
-module(hornbeam_scope_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hornbeam.hrl").
-include("hornbeam_head.hrl").

-define(MOUNT, #mount{root_path = <<>>, path_prefix = <<>>, app = <<"a:b">>, pool = p, settings = #{}}).

head() ->
    #head{method = <<"GET">>, path = <<"/a">>, query = <<"q=1">>, version = 'HTTP/1.1', scheme = <<"http">>,
          fields = [{<<"host">>, <<"h">>}], host = <<"h">>,
          peer = {{127, 0, 0, 1}, 1234}, sock = {{127, 0, 0, 1}, 80}}.

scope(Head) -> scope(Head, ?MOUNT).

%% The connection's own ends: those of the request, unless a proxy has spoken of others.
scope(#head{peer = Peer, sock = Sock} = Head, Mount) ->
    scope(Head, Mount, hornbeam_scope:place(Peer, Sock, none)).

scope(Head, Mount, Place) ->
    {ok, Array} = hornbeam_msgpack:decode(hornbeam_scope:encode(Head, Mount, Place)),
    Array.

every_field_in_its_place_test() ->
    ?assertEqual([<<"GET">>, none, {bytes, <<"/a">>}, {bytes, <<"q=1">>}, <<"1.1">>, <<"http">>, <<>>,
                  [<<"127.0.0.1">>, 1234], [<<"127.0.0.1">>, 80],
                  [[{bytes, <<"host">>}, {bytes, <<"h">>}]], none],
                 scope(head())).

field(Number, Head) -> lists:nth(Number, scope(Head)).

versions_test_() ->
    [?_assertEqual(Text, field(5, (head())#head{version = Version}))
     || {Version, Text} <- [{'HTTP/1.0', <<"1.0">>}, {'HTTP/1.1', <<"1.1">>}, {'HTTP/2', <<"2">>}]].

addresses_test_() ->
    [?_assertEqual([<<"::1">>, 65535], field(8, (head())#head{peer = {{0, 0, 0, 0, 0, 0, 0, 1}, 65535}})),
     %% A Unix socket: no client, and the path without a port as the server.
     ?_assertEqual(none, field(8, (head())#head{peer = {local, <<>>}})),
     ?_assertEqual([<<"/run/x.sock">>, none], field(9, (head())#head{peer = {local, <<>>},
                                                                     sock = {local, <<"/run/x.sock">>}})),
     %% A client that has gone already has no address.
     ?_assertEqual(none, field(8, (head())#head{peer = undefined})),
     ?_assertEqual(none, field(9, (head())#head{sock = undefined}))].

%% What a proxy says of the client is encoded anew; the rest is what the connection has.
proxied_test() ->
    Place = hornbeam_scope:place({{127, 0, 0, 1}, 1234}, {{127, 0, 0, 1}, 80}, none),
    Scope = scope((head())#head{peer = {{192, 0, 2, 1}, 0}}, ?MOUNT, Place),
    ?assertEqual([[<<"192.0.2.1">>, 0], [<<"127.0.0.1">>, 80]], [lists:nth(N, Scope) || N <- [8, 9]]),
    ?assertEqual({{{127, 0, 0, 1}, 1234}, {{127, 0, 0, 1}, 80}}, hornbeam_scope:ends(Place)).

%% TLS's own map is there as it was encoded, and only where the scheme says that the client came by TLS.
tls_test() ->
    Tls = iolist_to_binary(hornbeam_msgpack:encode(#{<<"tls">> => 1})),
    Place = hornbeam_scope:place({{127, 0, 0, 1}, 1234}, {{127, 0, 0, 1}, 80}, Tls),
    ?assertEqual([#{<<"tls">> => 1}, none],
                 [lists:nth(11, scope((head())#head{scheme = Scheme}, ?MOUNT, Place)) || Scheme <- [<<"https">>, <<"http">>]]).

%% In the client's order, repeated as it did.
fields_test() ->
    Fields = [{<<"x">>, <<"1">>}, {<<"host">>, <<"h">>}, {<<"x">>, <<"2">>}, {<<"cookie">>, <<"a=1">>}, {<<"cookie">>, <<"b=2">>}],
    ?assertEqual([[{bytes, Name}, {bytes, Value}] || {Name, Value} <- Fields], field(10, (head())#head{fields = Fields})),
    ?assertEqual([], field(10, (head())#head{fields = [], version = 'HTTP/1.0'})).

root_path_test() ->
    Mount = ?MOUNT,
    Scope = scope((head())#head{path = <<"/api/%41">>}, Mount#mount{root_path = <<"/r/api">>, path_prefix = <<"/r">>}),
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
    [?_assertEqual({bytes, Path}, field(3, (head())#head{path = Path}))
     || Size <- [31, 32, 255, 256, 5000], Path <- [binary:copy(<<"a">>, Size)]].

%% "OPTIONS *" speaks of the server as a whole: it lies below no prefix.
asterisk_test() ->
    Mount = ?MOUNT,
    ?assertEqual({bytes, <<"*">>}, lists:nth(3, scope((head())#head{path = <<"*">>}, Mount#mount{path_prefix = <<"/r">>}))).

%% `path' is nil where raw_path says the same in ASCII; bytes of UTF-8 that came as they are do not.
paths_test_() ->
    [?_assertEqual(Path, field(2, (head())#head{path = Raw}))
     || {Raw, Path} <- [{<<"/a|{}">>, none}, {<<"/ä"/utf8>>, <<"/ä"/utf8>>}, {<<"/", 16#e4>>, <<"/", 16#fffd/utf8>>}, {<<"/%41">>, <<"/A">>}]].

%% What is no UTF-8 costs what it costs once, and not for all that follows it. Reductions do not depend on the machine.
cost_of_what_is_no_utf8_test() ->
    Reductions = fun(Count) ->
        Path = binary:copy(<<255>>, Count),
        {_, Before} = process_info(self(), reductions),
        _ = hornbeam_scope:decode_path(Path),
        {_, After} = process_info(self(), reductions),
        After - Before
    end,
    ?assert(Reductions(16000) < 3 * Reductions(8000)).
