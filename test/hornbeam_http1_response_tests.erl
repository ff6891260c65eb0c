%%% How a response is framed and whether the connection goes on after it: version x method x status x length x what is asked for
%%% (RFC 9112, 6.3 and 9.3).
-module(hornbeam_http1_response_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hornbeam_head.hrl").

response(Version, Method, Persistent) ->
    hornbeam_http1_response:new(#head{method = Method, path = <<"/">>, version = Version}, Persistent, plain).

%% What the bytes of a head say, as a client reads them: the fields that matter.
said(Bytes) ->
    [Head | _] = binary:split(iolist_to_binary(Bytes), <<"\r\n\r\n">>),
    Lines = binary:split(Head, <<"\r\n">>, [global]),
    Value = fun(Name) ->
        case [V || Line <- Lines, [N, V] <- [binary:split(Line, <<": ">>)], N =:= Name] of [] -> none; [V] -> V end
    end,
    {Value(<<"content-length">>), Value(<<"transfer-encoding">>), Value(<<"connection">>)}.

%% Every row: one that starts and goes on.
start_test_() ->
    [{lists:concat([Version, " ", Method, " ", Status, " ", Length, " ", Persistent]),
      fun() ->
          {Bytes, After} = hornbeam_http1_response:encode({start, Status, [], Length}, response(Version, list_to_binary(Method), Persistent)),
          Bodiless = Method =:= "HEAD" orelse Status =:= 204 orelse Status =:= 304,
          Framing = case Length of
              none when Bodiless -> {none, none};
              none when Version =:= 'HTTP/1.0' -> close;
              none -> {none, <<"chunked">>};
              _ -> {integer_to_binary(Length), none}
          end,
          Goes = Persistent andalso Framing =/= close,
          Connection = case {Goes, Version} of
              {false, _} -> <<"close">>;
              {true, 'HTTP/1.0'} -> <<"keep-alive">>;
              {true, 'HTTP/1.1'} -> none
          end,
          {L, T} = case Framing of close -> {none, none}; _ -> Framing end,
          ?assertEqual({L, T, Connection}, said(Bytes)),
          ?assertEqual(Goes, hornbeam_http1_response:is_persistent(After)),
          ?assertEqual(Framing =:= close, hornbeam_http1_response:is_close_delimited(After))
      end}
     || Version <- ['HTTP/1.0', 'HTTP/1.1'], Method <- ["GET", "HEAD", "POST"], Status <- [200, 204, 304, 404],
        Length <- [none, 0, 5], Persistent <- [true, false]].

%% And in one piece: its length is known, or there is none to know.
reply_test_() ->
    [{lists:concat([Version, " ", Status, " ", Length, " ", Persistent]),
      fun() ->
          Body = case Length of 5 -> <<"hello">>; _ -> <<>> end,
          {Bytes, After} = hornbeam_http1_response:encode({reply, Status, [], Length, Body}, response(Version, <<"GET">>, Persistent)),
          Connection = case {Persistent, Version} of
              {false, _} -> <<"close">>;
              {true, 'HTTP/1.0'} -> <<"keep-alive">>;
              {true, 'HTTP/1.1'} -> none
          end,
          ?assertEqual({case Length of none -> none; _ -> integer_to_binary(Length) end, none, Connection}, said(Bytes)),
          [_, Sent] = binary:split(iolist_to_binary(Bytes), <<"\r\n\r\n">>),
          ?assertEqual(Body, Sent),
          ?assertEqual(Persistent, hornbeam_http1_response:is_persistent(After)),
          ?assertNot(hornbeam_http1_response:is_close_delimited(After))
      end}
     || Version <- ['HTTP/1.0', 'HTTP/1.1'], {Status, Length} <- [{200, 0}, {200, 5}, {204, none}, {304, none}, {304, 5}],
        Persistent <- [true, false]].

file_test() ->
    {{file, Head, [{file, <<"/f">>, 0, 7}]}, _} =
        hornbeam_http1_response:encode({reply, 200, [], 7, {sendfile, 7, [{file, <<"/f">>, 0, 7}]}}, response('HTTP/1.1', <<"GET">>, true)),
    ?assertEqual({<<"7">>, none, none}, said(Head)).

sequence(Version, Length, Commands) ->
    {_, Response} = hornbeam_http1_response:encode({start, 200, [], Length}, response(Version, <<"GET">>, true)),
    {Bytes, _} = lists:mapfoldl(fun hornbeam_http1_response:encode/2, Response, Commands),
    iolist_to_binary(Bytes).

%% RFC 9112, 7: what follows the head, for each framing; trailers only where there are chunks. An empty piece is no last chunk.
bodies_test_() ->
    Pieces = [{data, nofin, <<"ab">>}, {data, nofin, <<>>}, {data, nofin, [<<"c">>]}],
    [?_assertEqual(<<"2\r\nab\r\n1\r\nc\r\n1\r\nd\r\n0\r\n\r\n">>, sequence('HTTP/1.1', none, Pieces ++ [{data, fin, <<"d">>}])),
     ?_assertEqual(<<"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n">>, sequence('HTTP/1.1', none, Pieces ++ [{data, fin, <<>>}])),
     ?_assertEqual(<<"2\r\nab\r\n1\r\nc\r\n0\r\nx: 1\r\n\r\n">>, sequence('HTTP/1.1', none, Pieces ++ [{trailers, [{<<"x">>, <<"1">>}]}])),
     ?_assertEqual(<<"abcd">>, sequence('HTTP/1.1', 4, Pieces ++ [{data, fin, <<"d">>}])),
     ?_assertEqual(<<"abc">>, sequence('HTTP/1.1', 3, Pieces ++ [{trailers, [{<<"x">>, <<"1">>}]}])),
     ?_assertEqual(<<"abcd">>, sequence('HTTP/1.0', none, Pieces ++ [{data, fin, <<"d">>}])),
     ?_assertEqual(<<"abc">>, sequence('HTTP/1.0', none, Pieces ++ [{trailers, [{<<"x">>, <<"1">>}]}]))].

%% RFC 9110, 15.2: none to HTTP/1.0; the response itself is still to come.
informational_test_() ->
    Inform = fun(Version) -> hornbeam_http1_response:encode({inform, 103, [{<<"link">>, <<"a">>}]}, response(Version, <<"GET">>, true)) end,
    [?_assertEqual({[], response('HTTP/1.0', <<"GET">>, true)}, Inform('HTTP/1.0')),
     ?_assertEqual(<<"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n">>, iolist_to_binary(element(1, Inform('HTTP/1.1')))),
     ?_assertEqual(response('HTTP/1.1', <<"GET">>, true), element(2, Inform('HTTP/1.1')))].

close_test() ->
    Response = hornbeam_http1_response:close(response('HTTP/1.1', <<"GET">>, true)),
    ?assertNot(hornbeam_http1_response:is_persistent(Response)),
    {Bytes, _} = hornbeam_http1_response:encode({reply, 200, [], 0, <<>>}, Response),
    ?assertEqual({<<"0">>, none, <<"close">>}, said(Bytes)).

%% A response of which the application says that it is the last one.
the_application_closes_test() ->
    {Bytes, After} = hornbeam_http1_response:encode({reply, 200, [{<<"connection">>, <<"close">>}], 0, <<>>},
                                                    response('HTTP/1.1', <<"GET">>, true)),
    ?assertEqual({<<"0">>, none, <<"close">>}, said(Bytes)),
    ?assertNot(hornbeam_http1_response:is_persistent(After)).
