%%% Channels without clients: who handles a topic, tokens, what may be broadcast, and who gets it from the relays.
-module(hornbeam_channels_tests).

-include_lib("eunit/include/eunit.hrl").

handler_test_() ->
    Modules = [{<<"room:*">>, rooms}, {<<"room:private:*">>, private}, {<<"room:1">>, first}, {<<"lobby">>, lobby}],
    [{binary_to_list(Topic), ?_assertEqual(Handler, hornbeam_channels:handler(Topic, Modules))} || {Topic, Handler} <- [
        {<<"room:2">>, rooms}, {<<"room:">>, rooms}, {<<"room:private:1">>, private}, {<<"room:private:">>, private}, {<<"room:private">>, rooms},
        {<<"room:1">>, first}, {<<"room:12">>, rooms}, {<<"room">>, python}, {<<"lobby">>, lobby}, {<<"lobby:1">>, python}, {<<"x">>, python}]]
    ++ [?_assertEqual(python, hornbeam_channels:handler(<<"room:1">>, [])),
        ?_assertEqual(all, hornbeam_channels:handler(<<"x">>, [{<<"*">>, all}]))].

option_test_() ->
    Size = fun(N) -> binary:copy(<<"t">>, N) end,
    [?_assertEqual({ok, {<<"room:*">>, my_channel}}, hornbeam_option_channel:check(<<"room:*=my_channel">>)),
     ?_assertEqual({ok, {<<"a=b">>, my_channel}}, hornbeam_option_channel:check("a=b=my_channel")),
     ?_assertEqual({ok, {<<"*">>, my_channel}}, hornbeam_option_channel:check({"*", my_channel})),
     ?_assertMatch({ok, _}, hornbeam_option_channel:check({Size(255), m})),
     ?_assertMatch({ok, {Pattern, m}} when Pattern =:= <<"room:*">>, hornbeam_option_channel:check(hornbeam_option_channel:format({<<"room:*">>, m})))]
    ++ [?_assertMatch({error, _, _}, hornbeam_option_channel:check(Wrong)) || Wrong <- [
        {Size(256), m}, {<<>>, m}, {<<"a*b">>, m}, {<<"**">>, m}, {<<"a">>, "m"}, <<"room:*">>, <<"=m">>, <<"a=">>, <<"a=M">>, 1, {a, b, c}]].

check_test_() ->
    Check = fun(Module) -> hornbeam_channels:check(#{channel_modules => [{<<"a">>, Module}]}) end,
    [?_assertEqual(ok, hornbeam_channels:check(#{channel_modules => []})),
     ?_assertMatch({error, {bad_option, channel_modules, <<"names the module no_such_module, which is in no folder", _/binary>>}}, Check(no_such_module)),
     ?_assertMatch({error, {bad_option, channel_modules, <<"names the module lists, which does not export join/3", _/binary>>}}, Check(lists))].

%%% With the tables and relays of the application

with_application_test_() ->
    {setup, fun() -> {ok, Started} = application:ensure_all_started(hornbeam), Started end,
     fun(Started) -> [application:stop(App) || App <- lists:reverse(Started)] end,
     [{Text, Test} || {Text, Test} <- [{"tokens", fun tokens/0}, {"names", fun names/0}, {"relays", fun relays/0}, {"ids", fun ids/0}, {"payloads", fun payloads/0}]]}.

%% One reaches its connection while that is open, and nobody is reached by another.
tokens() ->
    Nonce = binary:copy(<<7>>, 16),
    Token = hornbeam_channel:token(self(), Nonce),
    Find = fun(Given) -> hornbeam_channel:with_token(Given, fun(Pid, Of) -> {Pid, Of} end) end,
    ?assertEqual(not_found, Find(Token)),
    _ = hornbeam_websockets:enter(channels_test, infinity),
    ok = hornbeam_websockets:register(channels_test, self()),
    ?assertEqual({self(), Nonce}, Find(Token)),
    [?assertEqual(not_found, Find(Wrong)) || Wrong <- [
        <<>>, Nonce, <<Nonce/binary, 131>>, <<Nonce/binary, (term_to_binary(atom))/binary>>, <<Nonce/binary, (term_to_binary(binary:copy(<<"a">>, 100000), [compressed]))/binary>>,
        <<Nonce/binary, (term_to_binary(whereis(hornbeam_websockets)))/binary>>, <<Nonce/binary, 131, 100, 0, 12, "no_such_atom">>,
        <<Nonce/binary, (term_to_binary(binary:copy(<<"a">>, 2000)))/binary>>]],
    Socket = #{token => Token, topic => <<"t">>, join_ref => <<"1">>, ref => <<"2">>},
    ok = hornbeam_channel:push(Socket, <<"e">>, #{a => 1}),
    ?assertEqual({hornbeam_channel, Nonce, {push, <<"t">>, <<"1">>, <<"e">>, {json, <<"{\"a\":1}">>}}}, next()),
    ok = hornbeam_channel:reply(Socket, ok, {bytes, <<1>>}),
    ?assertEqual({hornbeam_channel, Nonce, {reply, <<"t">>, <<"1">>, <<"2">>, <<"ok">>, {bytes, <<1>>}}}, next()),
    ?assertEqual(not_found, hornbeam_channel:push(Socket#{token := Nonce}, <<"e">>, #{})).

names() ->
    Long = binary:copy(<<"n">>, 255),
    ok = hornbeam_channel:broadcast(Long, Long, #{}),
    [?assertError(badarg, hornbeam_channel:broadcast(Topic, Event, Payload)) || {Topic, Event, Payload} <- [
        {<<>>, <<"e">>, #{}}, {<<"t">>, <<>>, #{}}, {<<Long/binary, "n">>, <<"e">>, #{}}, {<<"t">>, <<Long/binary, "n">>, #{}}, {<<"t*">>, <<"e">>, #{}},
        {<<16#ff>>, <<"e">>, #{}}, {"t", <<"e">>, #{}}, {<<"t">>, <<"e">>, #{a => self()}}]].

%% The relay's rule: frames to channels and not to the sender, what they intercept in its place, what is published not.
relays() ->
    Topic = hornbeam_channels:topic(<<"relayed">>),
    {ok, none, Subscribed} = hornbeam_websocket_fanout:subscribe(Topic, [<<"seen">>], none, hornbeam_websocket_fanout:none()),
    _ = hornbeam_pubsub:publish(Topic, <<"not for channels">>),
    ok = hornbeam_channel:broadcast_from(hornbeam_channel:token(self(), binary:copy(<<1>>, 16)), <<"relayed">>, <<"mine">>, #{}),
    ok = hornbeam_channel:broadcast(<<"relayed">>, <<"seen">>, #{a => 1}),
    ok = hornbeam_channel:broadcast(<<"relayed">>, <<"other">>, #{b => 2}),
    ?assertMatch({websocket_published, Topic, {<<"seen">>, {json, <<"{\"a\":1}">>}, _}}, next()),
    Frame = iolist_to_binary(hornbeam_channel_codec:broadcast(<<"relayed">>, <<"other">>, {json, <<"{\"b\":2}">>}, none)),
    ?assertEqual({websocket_frame, Frame}, next()),
    _ = hornbeam_websocket_fanout:unsubscribe_all(Subscribed).

ids() ->
    ok = hornbeam_pubsub:subscribe(hornbeam_channel:id_topic(<<"user:*">>)),
    ok = hornbeam_channel:disconnect(<<"user:1">>),
    ok = hornbeam_channel:disconnect(<<"user:*">>),
    ?assertEqual({hornbeam_pubsub, hornbeam_channel:id_topic(<<"user:*">>), disconnect}, next()).

%% 16 MiB of text or bytes, and no more.
payloads() ->
    Payload = binary:copy(<<"1">>, 16777216),
    Handle = fun(Operation, Arguments) -> hornbeam_service_channels:handle(Operation, Arguments, #{}) end,
    Token = {bytes, <<0:128>>},
    [begin
         ?assertEqual({ok, true}, Handle(channel_broadcast, [<<"t">>, <<"e">>, Given(Payload), none, none])),
         ?assertMatch({error, value_error, _}, Handle(channel_broadcast, [<<"t">>, <<"e">>, Given(<<Payload/binary, "1">>), none, none])),
         ?assertEqual({ok, false}, Handle(channel_push, [Token, <<"t">>, none, <<"e">>, Given(Payload)])),
         ?assertMatch({error, value_error, _}, Handle(channel_push, [Token, <<"t">>, none, <<"e">>, Given(<<Payload/binary, "1">>)])),
         ?assertEqual({ok, false}, Handle(channel_reply, [Token, <<"t">>, none, <<"1">>, <<"ok">>, Given(Payload)])),
         ?assertMatch({error, value_error, _}, Handle(channel_reply, [Token, <<"t">>, none, <<"1">>, <<"ok">>, Given(<<Payload/binary, "1">>)]))
     end || Given <- [fun(Text) -> Text end, fun(Bytes) -> {bytes, Bytes} end]],
    ?assertMatch({error, value_error, _}, Handle(channel_broadcast, [<<"t*">>, <<"e">>, <<"1">>, none, none])),
    [?assertMatch({error, type_error, _}, Handle(Operation, Arguments)) || {Operation, Arguments} <- [
        {channel_push, [<<"no token">>, <<"t">>, none, <<"e">>, <<"1">>]}, {channel_disconnect, [<<>>]}, {channel_disconnect, [binary:copy(<<"i">>, 256)]},
        {channel_reply, [Token, <<"t">>, none, <<"1">>, binary:copy(<<"s">>, 256), <<"1">>]}, {channel_broadcast, []}]].

next() -> receive Message -> Message after 5000 -> error(no_message) end.
