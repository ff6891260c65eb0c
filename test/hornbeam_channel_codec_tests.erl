%%% The messages of channels: examples as Phoenix's client sends them and reads them, what is refused, and the limits. Round trips are in
%%% prop_hornbeam_channel_codec; the published client itself is in clients/javascript.
-module(hornbeam_channel_codec_tests).

-include_lib("eunit/include/eunit.hrl").

-define(MAX_NAME, 255).
-define(MAX_REF, 64).

decode(Text) -> hornbeam_channel_codec:decode(text, unicode:characters_to_binary(Text)).

text_test_() ->
    [{Text, ?_assertEqual({ok, #{join_ref => JoinRef, ref => Ref, topic => Topic, event => Event, payload => {json, Payload}}}, decode(Text))}
     || {Text, JoinRef, Ref, Topic, Event, Payload} <- [
        {"[\"1\",\"2\",\"room:1\",\"new_msg\",{\"a\":[1]}]", <<"1">>, <<"2">>, <<"room:1">>, <<"new_msg">>, <<"{\"a\":[1]}">>},
        {"[\"3\",\"3\",\"room:1\",\"phx_join\",{}]", <<"3">>, <<"3">>, <<"room:1">>, {control, phx, join}, <<"{}">>},
        {"[\"3\",\"4\",\"room:1\",\"phx_leave\",{}]", <<"3">>, <<"4">>, <<"room:1">>, {control, phx, leave}, <<"{}">>},
        {"[\"3\",\"3\",\"room:1\",\"hb_join\",{}]", <<"3">>, <<"3">>, <<"room:1">>, {control, hb, join}, <<"{}">>},
        {"[\"3\",\"4\",\"room:1\",\"hb_leave\",{}]", <<"3">>, <<"4">>, <<"room:1">>, {control, hb, leave}, <<"{}">>},
        {"[null,\"5\",\"phoenix\",\"heartbeat\",{}]", null, <<"5">>, <<"phoenix">>, <<"heartbeat">>, <<"{}">>},
        {" [ null , null , \"t\\u00e9\" , \"e\\n\" , [1] ] ", null, null, <<"té"/utf8>>, <<"e\n">>, <<"[1] ">>},
        %% Whoever takes the payload reads it.
        {"[null,null,\"t\",\"e\",no json]", null, null, <<"t">>, <<"e">>, <<"no json">>},
        {"[null,null,\"t\",\"e\",1,2]", null, null, <<"t">>, <<"e">>, <<"1,2">>}]].

malformed_test_() ->
    [{Text, ?_assertEqual(error, decode(Text))} || Text <- [
        "", " ", "{}", "[]", "[null]", "[null,null]", "[null,null,\"t\"]", "[null,null,\"t\",\"e\"]", "[null,null,\"t\",\"e\",{}",
        "[null,null,null,\"e\",{}]", "[null,null,\"t\",null,{}]", "[1,null,\"t\",\"e\",{}]", "[null,2,\"t\",\"e\",{}]", "[null,null,1,\"e\",{}]",
        "[null null,\"t\",\"e\",{}]", "[null,null,\"\",\"e\",{}]", "[null,null,\"t\",\"\",{}]", "[null,null,\"t,\"e\",{}]", "x[null,null,\"t\",\"e\",{}]",
        "[null,null,\"t\",\"e\",{}]x", "[nullx,null,\"t\",\"e\",{}]"]].

not_utf8_test() ->
    ?assertEqual(error, hornbeam_channel_codec:decode(text, <<"[null,null,\"", 16#ff, "\",\"e\",{}]">>)).

binary_test_() ->
    [?_assertEqual({ok, #{join_ref => <<"1">>, ref => <<"22">>, topic => <<"top">>, event => <<"ev">>, payload => {bytes, <<0, 255>>}}},
                   hornbeam_channel_codec:decode(binary, <<0, 1, 2, 3, 2, "1", "22", "top", "ev", 0, 255>>)),
     ?_assertMatch({ok, #{payload := {bytes, <<>>}}}, hornbeam_channel_codec:decode(binary, <<0, 1, 1, 1, 1, "1", "2", "t", "e">>)),
     ?_assertMatch({ok, #{topic := <<"t">>}}, hornbeam_channel_codec:decode(binary, <<0, 0, 0, 1, 1, "t", "e">>))]
    ++ [?_assertEqual(error, hornbeam_channel_codec:decode(binary, Bytes)) || Bytes <- [
        <<>>, <<0>>, <<0, 1, 1, 1>>, <<0, 1, 1, 1, 2, "1", "2", "t", "e">>, <<1, 1, 1, 1, 1, "1", "2", "t", "e">>,
        <<0, 1, 1, 0, 1, "1", "2", "e">>, <<0, 1, 1, 1, 0, "1", "2", "t">>, <<0, 1, 1, 1, 1, "1", "2", 16#ff, "e">>]].

%% N passes, N + 1 does not.
limits_test_() ->
    Name = fun(Size) -> lists:duplicate(Size, $n) end,
    Text = fun(JoinRef, Ref, Topic, Event) -> decode(["[\"", JoinRef, "\",\"", Ref, "\",\"", Topic, "\",\"", Event, "\",{}]"]) end,
    [?_assertMatch({ok, _}, Text("1", "2", Name(?MAX_NAME), Name(?MAX_NAME))),
     ?_assertMatch({ok, _}, Text(Name(?MAX_REF), Name(?MAX_REF), "t", "e")),
     ?_assertEqual(error, Text("1", "2", Name(?MAX_NAME + 1), "e")),
     ?_assertEqual(error, Text("1", "2", "t", Name(?MAX_NAME + 1))),
     ?_assertEqual(error, Text(Name(?MAX_REF + 1), "2", "t", "e")),
     ?_assertEqual(error, Text("1", Name(?MAX_REF + 1), "t", "e")),
     ?_assertMatch({ok, _}, hornbeam_channel_codec:decode(binary, <<0, ?MAX_REF, ?MAX_REF, 1, 1, 0:(2 * ?MAX_REF)/unit:8, "te">>)),
     ?_assertEqual(error, hornbeam_channel_codec:decode(binary, <<0, (?MAX_REF + 1), 1, 1, 1, 0:(?MAX_REF + 2)/unit:8, "te">>))].

%% What is kept of a message must not keep the read that it came in.
names_are_copies_test_() ->
    Read = fun(Bytes) -> binary:part(<<Bytes/binary, 0:100000/unit:8>>, 0, byte_size(Bytes)) end,
    [{lists:concat([Type]), fun() ->
         {ok, #{join_ref := J, ref := R, topic := T, event := E}} = hornbeam_channel_codec:decode(Type, Read(Bytes)),
         [?assert(binary:referenced_byte_size(Part) < 100) || Part <- [J, R, T, E]]
     end} || {Type, Bytes} <- [{text, <<"[\"1\",\"2\",\"topic\",\"event\",{}]">>}, {binary, <<0, 1, 1, 5, 5, "12topicevent">>}]].

frame(IoData) ->
    Codec = hornbeam_websocket_codec:feed(masked(iolist_to_binary(IoData)), hornbeam_websocket_codec:new(1000000)),
    {Item, _} = hornbeam_websocket_codec:next(Codec, none),
    Item.

%% As a client's, with the mask 0: the codec reads those.
masked(<<Head, Size, Payload/binary>>) when Size < 126 -> <<Head, (Size + 128), 0:32, Payload/binary>>.

sent_test_() ->
    [?_assertEqual({text, <<"[\"1\",null,\"t\",\"e\",{}]">>}, frame(hornbeam_channel_codec:push(<<"1">>, <<"t">>, <<"e">>, {json, <<"{}">>}))),
     ?_assertEqual({binary, <<0, 1, 1, 2, "1", "t", "ev", 7>>}, frame(hornbeam_channel_codec:push(<<"1">>, <<"t">>, <<"ev">>, {bytes, <<7>>}))),
     ?_assertEqual({binary, <<0, 0, 1, 1, "t", "e">>}, frame(hornbeam_channel_codec:push(null, <<"t">>, <<"e">>, {bytes, <<>>}))),
     ?_assertEqual({text, <<"[\"1\",\"2\",\"t\",\"phx_reply\",{\"status\":\"ok\",\"response\":[]}]">>},
                   frame(hornbeam_channel_codec:reply(phx, <<"1">>, <<"2">>, <<"t">>, <<"ok">>, {json, <<"[]">>}))),
     ?_assertEqual({text, <<"[null,\"2\",\"t\",\"hb_reply\",{\"status\":\"error\",\"response\":{}}]">>},
                   frame(hornbeam_channel_codec:reply(hb, null, <<"2">>, <<"t">>, <<"error">>, {json, <<"{}">>}))),
     ?_assertEqual({binary, <<1, 1, 2, 1, 2, "1", "22", "t", "ok", 9>>},
                   frame(hornbeam_channel_codec:reply(phx, <<"1">>, <<"22">>, <<"t">>, <<"ok">>, {bytes, <<9>>}))),
     ?_assertEqual({text, <<"[null,null,\"a\\\"b\",\"e\",1]">>}, frame(hornbeam_channel_codec:broadcast(<<"a\"b">>, <<"e">>, {json, <<"1">>}, none))),
     ?_assertEqual({text, <<"[null,\"#Mfoo-1\",\"t\",\"e\",1]">>}, frame(hornbeam_channel_codec:broadcast(<<"t">>, <<"e">>, {json, <<"1">>}, <<"Mfoo-1">>))),
     ?_assertEqual({binary, <<2, 1, 1, "t", "e", 3>>}, frame(hornbeam_channel_codec:broadcast(<<"t">>, <<"e">>, {bytes, <<3>>}, none)))].

control_test_() ->
    [?_assertEqual(Name, hornbeam_channel_codec:control(Flavour, What)) || {Flavour, What, Name} <- [
        {phx, join, <<"phx_join">>}, {phx, leave, <<"phx_leave">>}, {phx, reply, <<"phx_reply">>}, {phx, error, <<"phx_error">>}, {phx, close, <<"phx_close">>},
        {hb, join, <<"hb_join">>}, {hb, leave, <<"hb_leave">>}, {hb, reply, <<"hb_reply">>}, {hb, error, <<"hb_error">>}, {hb, close, <<"hb_close">>}]].
