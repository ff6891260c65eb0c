%%% hornbeam_frame: the golden vectors, splitting of byte streams, what is no frame, payloads.
-module(hornbeam_frame_tests).

-include_lib("eunit/include/eunit.hrl").

vectors() ->
    [{binary_to_atom(Type), Stream, wire_vectors:bytes(Payload), wire_vectors:bytes(Hex), Worker}
     || #{<<"type">> := Type, <<"stream">> := Stream, <<"payload">> := Payload, <<"hex">> := Hex,
          <<"worker">> := Worker} <- wire_vectors:read(<<"frames">>)].

encodes_vectors_test_() ->
    [{atom_to_list(Type), ?_assertEqual(Bytes, iolist_to_binary(hornbeam_frame:encode(Type, Stream, Payload)))}
     || {Type, Stream, Payload, Bytes, _} <- vectors()].

splits_vectors_from_workers_test_() ->
    [{atom_to_list(Type), ?_assertEqual({ok, [{Type, Stream, Payload}], hornbeam_frame:new()},
                                        hornbeam_frame:feed(Bytes, hornbeam_frame:new()))}
     || {Type, Stream, Payload, Bytes, <<"from">>} <- vectors()].

%% A frame that is meant for a worker is garbage when it comes from one.
refuses_vectors_to_workers_test_() ->
    [{atom_to_list(Type), ?_assertMatch({error, {frame_type, _}},
                                        hornbeam_frame:feed(Bytes, hornbeam_frame:new()))}
     || {Type, _, _, Bytes, <<"to">>} <- vectors()].

malformed_vectors_test_() ->
    [{binary_to_list(Name),
      ?_assertEqual({error, wire_vectors:term(Reason)},
                    hornbeam_frame:feed(wire_vectors:bytes(Hex), hornbeam_frame:new()))}
     || #{<<"name">> := Name, <<"hex">> := Hex, <<"erlang">> := Reason}
            <- wire_vectors:read(<<"malformed_frames">>)].

request_is_the_same_as_encode_test() ->
    Payload = <<1, 3:32, "abc", "body">>,
    ?assertEqual(iolist_to_binary(hornbeam_frame:encode(request, 7, Payload)),
                 iolist_to_binary(hornbeam_frame:request(7, 1, <<"abc">>, [<<"bo">>, "dy"], 4))).

operations_test() ->
    ?assertEqual(wire_vectors:read(<<"operations">>), hornbeam_services:operations()).

abort_reasons_test_() ->
    [?_assertEqual({ok, binary_to_atom(Name)}, hornbeam_frame:parse(abort, <<1, Code>>))
     || {Name, Code} <- maps:to_list(wire_vectors:read(<<"abort_reasons">>))]
    ++ [?_assertEqual(error, hornbeam_frame:parse(abort, <<1, Code>>)) || Code <- [0, 4, 255]].

start_failures_test_() ->
    [?_assertEqual({ok, {binary_to_atom(Name), <<"why">>}},
                   hornbeam_frame:parse(failed, <<Code, "why">>))
     || {Name, Code} <- maps:to_list(wire_vectors:read(<<"start_failures">>))]
    ++ [?_assertEqual(error, hornbeam_frame:parse(failed, <<0, "why">>))].

parses_test_() ->
    [?_assertEqual({ok, {true, 200, <<16#90>>, <<"body">>}},
                   hornbeam_frame:parse(response, <<1, 200:16, 1:32, 16#90, "body">>)),
     ?_assertEqual({ok, {false, <<"x">>}}, hornbeam_frame:parse(data, <<0, "x">>)),
     ?_assertEqual({ok, 65536}, hornbeam_frame:parse(demand, <<0, 65536:32>>)),
     ?_assertEqual({ok, {1, #{}}}, hornbeam_frame:parse(hello, <<1:16, 16#80>>)),
     ?_assertEqual({ok, {<<"hi">>, #{<<"a">> => 1}}},
                   hornbeam_frame:parse(pong, <<2:16, "hi", 16#81, 16#a1, $a, 1>>)),
     ?_assertEqual({ok, {1000, <<"bye">>}}, hornbeam_frame:parse(ws_end, <<1, 1000:16, "bye">>))].

%% What does not have the form of its type is an error and nothing else.
does_not_parse_test_() ->
    [{lists:concat([Type]), ?_assertEqual(error, hornbeam_frame:parse(Type, Payload))}
     || {Type, Payload} <- [{response, <<1, 200:16, 9:32, "short">>}, {response, <<>>}, {data, <<>>},
                            {demand, <<0, 1>>}, {hello, <<1:16, 16#c0>>}, {hello, <<1>>},
                            {log, <<16#c1>>}, {pong, <<9:16>>}, {ready, <<>>}, {ws_accept, <<0, 16#91, 1>>},
                            {ws_end, <<1>>}]].

last_test_() ->
    [?_assert(hornbeam_frame:is_last(<<1>>)), ?_assert(hornbeam_frame:is_last(<<3, "x">>)),
     ?_assertNot(hornbeam_frame:is_last(<<0>>)), ?_assertNot(hornbeam_frame:is_last(<<2, "x">>)),
     ?_assert(hornbeam_frame:is_last(<<>>))].

%% What a worker has measured stands where each type has it, and parse/2 gives what it gives without.
measured_test() ->
    Response = <<3, 200:16, 1:32, 1000999:64, 2, "/a", 16#90, "body">>,
    ?assertEqual({1000, <<"/a">>, true}, hornbeam_frame:measured(response, Response)),
    ?assertEqual({ok, {true, 200, <<16#90>>, <<"body">>}}, hornbeam_frame:parse(response, Response)),
    Begins = <<2, 200:16, 1:32, 7000:64, 0, 16#90, "body">>,
    ?assertEqual({7, <<>>, false}, hornbeam_frame:measured(response, Begins)),
    ?assertEqual({ok, {false, 200, <<16#90>>, <<"body">>}}, hornbeam_frame:parse(response, Begins)),
    File = <<3, 200:16, 1:32, 7000:64, 2, "/f", 16#90, "/data">>,
    ?assertEqual({7, <<"/f">>, true}, hornbeam_frame:measured(pathsend, File)),
    ?assertEqual({ok, {200, <<16#90>>, <<"/data">>}}, hornbeam_frame:parse(pathsend, File)),
    Abort = <<3, 1, 7000:64, 2, "/x">>,
    ?assertEqual({7, <<"/x">>, true}, hornbeam_frame:measured(abort, Abort)),
    ?assertEqual({ok, app_error}, hornbeam_frame:parse(abort, Abort)),
    Accept = <<2, 7000:64, 2, "/w", 16#92, 16#c0, 16#c4, 1, 16#90>>,
    ?assertEqual({7, <<"/w">>, true}, hornbeam_frame:measured(ws_accept, Accept)),
    ?assertEqual(hornbeam_frame:parse(ws_accept, <<0, 16#92, 16#c0, 16#c4, 1, 16#90>>), hornbeam_frame:parse(ws_accept, Accept)),
    Refusal = <<3, 7000:64, 2, "/w", 1000:16, "no">>,
    ?assertEqual({7, <<"/w">>, true}, hornbeam_frame:measured(ws_end, Refusal)),
    ?assertEqual({ok, {1000, <<"no">>}}, hornbeam_frame:parse(ws_end, Refusal)),
    [?assertEqual(none, hornbeam_frame:measured(Type, Payload))
     || {Type, Payload} <- [{ws_accept, <<0, 16#92, 16#c0, 16#c4, 1, 16#90>>}, {ws_end, <<1, 1000:16>>}, {response, <<1, 200:16, 1:32, 16#90>>}, {abort, <<1, 1>>}, {abort, <<3, 1, 7000:64, 9, "/x">>}]],
    %% A template that is not all there.
    [?assertEqual(error, hornbeam_frame:parse(Type, Payload))
     || {Type, Payload} <- [{ws_accept, <<2, 7000:64, 9, "/x">>}, {ws_end, <<3, 7000:64, 9, "/x">>}, {ws_end, <<3, 7000:64, 0, 1006:16>>},
                            {response, <<3, 200:16, 0:32, 7000:64, 9, "/x">>}, {abort, <<3, 1, 7000:64, 9, "/x">>}, {pathsend, <<2, 200:16, 0:32, 7000:64, 0, "/x">>}]].
