%%% hornbeam_response without a request: what is said of a body, and whether the body is that.
-module(hornbeam_response_tests).

-include_lib("eunit/include/eunit.hrl").

packed(Fields) -> iolist_to_binary(hornbeam_msgpack:encode([[{bytes, Name}, {bytes, Value}] || {Name, Value} <- Fields])).

packed_length(none) -> packed([]);
packed_length(Length) -> packed([{<<"content-length">>, integer_to_binary(Length)}]).

whole(Method, Status, Length, Body) ->
    case hornbeam_response:whole(Method, Status, packed_length(Length), Body) of
        {ok, {reply, Status, _, Say, Sent}} -> {Say, Sent};
        {error, {bad_response, Reason}} -> Reason
    end.

whole_test_() ->
    [?_assertEqual(Said, whole(Method, Status, Length, Body))
     || {Method, Status, Length, Body, Said} <-
            [{<<"GET">>, 200, none, <<"abc">>, {3, <<"abc">>}}, {<<"GET">>, 200, 3, <<"abc">>, {3, <<"abc">>}},
             {<<"GET">>, 200, 4, <<"abc">>, body_too_short}, {<<"GET">>, 200, 2, <<"abc">>, body_too_long},
             {<<"GET">>, 204, 3, <<"abc">>, {none, <<>>}}, {<<"GET">>, 304, 3, <<>>, {3, <<>>}}, {<<"GET">>, 304, none, <<"abc">>, {none, <<>>}},
             {<<"HEAD">>, 200, none, <<>>, {none, <<>>}}, {<<"HEAD">>, 200, none, <<"abc">>, {3, <<>>}}, {<<"HEAD">>, 200, 9, <<"abc">>, {9, <<>>}}]].

start(Method, Status, Length) ->
    {ok, {start, Status, _, Say}, Response} =
        hornbeam_response:start(Method, 'HTTP/1.1', <<"gzip, Trailers">>, Status, packed_length(Length)),
    {Say, Response}.

%% A declared length is kept to the octet.
pieces_test() ->
    {5, Begun} = start(<<"GET">>, 200, 5),
    {ok, [{data, nofin, <<"abc">>}], Response} = hornbeam_response:data(false, <<"abc">>, Begun),
    ?assertEqual({ok, [], Response}, hornbeam_response:data(false, <<>>, Response)),
    ?assertEqual({error, {bad_response, body_too_short}}, hornbeam_response:data(true, <<"d">>, Response)),
    ?assertMatch({ok, [{data, fin, <<"de">>}], _}, hornbeam_response:data(true, <<"de">>, Response)),
    ?assertEqual({error, {bad_response, body_too_long}}, hornbeam_response:data(true, <<"def">>, Response)).

no_body_test_() ->
    [fun() ->
         {Said, Response} = start(Method, Status, 5),
         ?assertEqual({ok, [], Response}, hornbeam_response:data(false, <<"too much">>, Response)),
         ?assertEqual({ok, [], Response}, hornbeam_response:data(true, <<>>, Response)),
         ?assertEqual({ok, []}, hornbeam_response:trailers(packed([{<<"a">>, <<"b">>}]), Response))
     end || {Method, Status, Said} <- [{<<"HEAD">>, 200, 5}, {<<"GET">>, 204, none}, {<<"GET">>, 304, 5}]].

trailers_test_() ->
    Trailers = packed([{<<"a">>, <<"b">>}, {<<"set-cookie">>, <<"c">>}]),
    [fun() ->
         {ok, _, Response} = hornbeam_response:start(<<"GET">>, Version, TE, 200, packed_length(Length)),
         ?assertEqual({ok, Sent}, hornbeam_response:trailers(Trailers, Response))
     end || {Version, TE, Length, Sent} <-
                [{'HTTP/1.1', <<"gzip, Trailers">>, none, [{trailers, [{<<"a">>, <<"b">>}]}]},
                 {'HTTP/1.1', <<"trailers">>, 0, [{data, fin, <<>>}]}, {'HTTP/2', <<"trailers">>, 0, [{trailers, [{<<"a">>, <<"b">>}]}]},
                 {'HTTP/1.1', <<"xtrailers">>, none, [{data, fin, <<>>}]}, {'HTTP/1.1', undefined, none, [{data, fin, <<>>}]}]].

what_was_declared_comes_before_trailers_test() ->
    {5, Response} = start(<<"GET">>, 200, 5),
    ?assertEqual({error, {bad_response, body_too_short}}, hornbeam_response:trailers(packed([]), Response)).
