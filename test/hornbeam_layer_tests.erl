%%% hornbeam_layer: what waits for channels, who is told, the groups, and every limit at N and N + 1.
-module(hornbeam_layer_tests).

-include_lib("eunit/include/eunit.hrl").

-define(HOUR, 3600000).

layer_test_() ->
    {foreach,
     fun() ->
         {ok, Pid} = hornbeam_layer:start_link(#{bytes => 3000, members => 3, waits => 2}),
         true = unlink(Pid),
         Pid
     end,
     fun(Pid) -> gen_server:stop(Pid) end,
     [fun order_and_capacity/0, fun expires/0, fun bytes/0, fun told/0, fun forgotten/0, fun waits/0, fun groups/0,
      fun group_capacity/0, fun group_expires/0, fun members/0, fun flush/0, fun a_session_ends/0, fun a_worker_ends/0, fun messages/0]}.

order_and_capacity() ->
    ok = send(<<"a">>, <<"1">>, 2), ok = send(<<"a">>, <<"2">>, 2),
    ?assertEqual(full, send(<<"a">>, <<"3">>, 2)),
    ?assertEqual([{ok, <<"1">>}, {ok, <<"2">>}, empty], [take(<<"a">>) || _ <- lists:seq(1, 3)]),
    ?assertMatch(#{bytes := 0, channels := 0}, hornbeam_layer:counts()).

expires() ->
    ok = ask({send, key(<<"a">>), <<"1">>, 1, 1}),
    await:until(fun() -> take(<<"a">>) =:= empty end),
    ok = ask({send, key(<<"b">>), <<"1">>, 1, 1}),
    await:until(fun() -> send(<<"b">>, <<"2">>, 1) =:= ok end),
    ?assertEqual({ok, <<"2">>}, take(<<"b">>)).

%% 3000 bytes, 128 for each besides its own.
bytes() ->
    ok = send(<<"a">>, binary:copy(<<"x">>, 3000 - 128), 9),
    ?assertEqual(full, send(<<"b">>, <<>>, 9)),
    {ok, _} = take(<<"a">>),
    ?assertEqual(full, send(<<"a">>, binary:copy(<<"x">>, 3000 - 127), 9)),
    ?assertEqual(ok, send(<<"b">>, <<>>, 9)).

%% All who wait are told, once; who comes when there is something is told at once.
told() ->
    Session = make_ref(),
    [ok = hornbeam_layer:wait(key(<<"a">>), Session, Id, Id) || Id <- [1, 2]],
    ?assertMatch(#{waits := 2}, hornbeam_layer:counts()),
    ok = send(<<"a">>, <<"1">>, 9), ok = send(<<"a">>, <<"2">>, 9),
    ?assertEqual([1, 2], lists:sort([heard(Session), heard(Session)])),
    ok = hornbeam_layer:wait(key(<<"a">>), Session, 3, 3),
    ?assertEqual(3, heard(Session)),
    ?assertMatch(#{waits := 0}, hornbeam_layer:counts()),
    ?assertEqual(none, receive {hornbeam_later, Session, _, _} -> more after 0 -> none end).

forgotten() ->
    Session = make_ref(),
    [ok = hornbeam_layer:wait(key(<<"a">>), Session, Id, Id) || Id <- [1, 2]],
    ok = hornbeam_layer:forget(key(<<"a">>), Session, 1),
    ?assertMatch(#{waits := 1}, hornbeam_layer:counts()),
    ok = send(<<"a">>, <<"1">>, 9),
    ?assertEqual(2, heard(Session)).

waits() ->
    Session = make_ref(),
    [ok = hornbeam_layer:wait(key(<<"a">>), Session, Id, Id) || Id <- [1, 2, 3]],
    ?assertMatch({3, {error, value_error, _}}, receive {hornbeam_later, Session, Id, Answer} -> {Id, Answer} after 5000 -> none end),
    ?assertMatch(#{waits := 2}, hornbeam_layer:counts()).

groups() ->
    [ok = add(<<"g">>, Channel) || Channel <- [<<"a">>, <<"b">>, <<"a">>]],
    ?assertEqual({2, 0}, ask({group_send, key(<<"g">>), <<"m">>, ?HOUR})),
    ok = ask({group_discard, key(<<"g">>, <<"other">>), <<"a">>}),
    ok = ask({group_discard, key(<<"g">>), <<"a">>}),
    ?assertEqual({1, 0}, ask({group_send, key(<<"g">>), <<"n">>, ?HOUR})),
    ?assertEqual([{ok, <<"m">>}, empty, {ok, <<"m">>}, {ok, <<"n">>}], [take(C) || C <- [<<"a">>, <<"a">>, <<"b">>, <<"b">>]]),
    ?assertEqual({0, 0}, ask({group_send, key(<<"g">>, <<"other">>), <<"m">>, ?HOUR})).

group_capacity() ->
    ok = ask({group_add, key(<<"g">>), <<"a">>, ?HOUR, 1}), ok = add(<<"g">>, <<"b">>),
    ?assertEqual([{2, 0}, {2, 1}], [ask({group_send, key(<<"g">>), <<"m">>, ?HOUR}) || _ <- [1, 2]]).

group_expires() ->
    ok = ask({group_add, key(<<"g">>), <<"a">>, 1, 9}),
    await:until(fun() -> ask({group_send, key(<<"g">>), <<"m">>, ?HOUR}) =:= {0, 0} end),
    hornbeam_layer ! sweep,
    ?assertMatch(#{members := 0, groups := 0}, hornbeam_layer:counts()).

members() ->
    [ok = add(<<"g">>, Channel) || Channel <- [<<"a">>, <<"b">>, <<"c">>]],
    ?assertEqual(full, add(<<"h">>, <<"a">>)),
    ok = add(<<"g">>, <<"a">>),
    ok = ask({group_discard, key(<<"g">>), <<"a">>}),
    ?assertEqual(ok, add(<<"h">>, <<"a">>)).

flush() ->
    ok = send(<<"a">>, <<"1">>, 9), ok = add(<<"g">>, <<"a">>),
    ok = ask({send, key(<<"a">>, <<"other">>), <<"1">>, 9, ?HOUR}),
    ok = ask({flush, <<"asgi">>}),
    ?assertMatch(#{channels := 1, groups := 0, members := 0, bytes := 129}, hornbeam_layer:counts()).

%% Its own channels, their places in groups and its waits; nobody else's.
a_session_ends() ->
    Session = make_ref(),
    ok = owned(Session),
    ok = hornbeam_layer:wait(key(<<"z">>), Session, 1, 1),
    ok = hornbeam_layer:left(Session),
    ?assertMatch(#{channels := 1, groups := 1, members := 1, waits := 0}, hornbeam_layer:counts()),
    ?assertEqual({ok, <<"2">>}, take(<<"specific.y!1">>)).

a_worker_ends() ->
    {Worker, Monitor} = spawn_monitor(fun() -> owned(make_ref()) end),
    receive {'DOWN', Monitor, process, Worker, normal} -> ok end,
    await:until(fun() -> maps:with([channels, members], hornbeam_layer:counts()) =:= #{channels => 1, members => 1} end).

owned(Session) ->
    ok = hornbeam_layer:own(<<"asgi">>, <<"specific.x">>, Session),
    ok = send(<<"specific.x!1">>, <<"1">>, 9), ok = send(<<"specific.y!1">>, <<"2">>, 9),
    ok = add(<<"g">>, <<"specific.x!1">>), ok = add(<<"g">>, <<"specific.y!1">>).

%% A message has 1 MiB and not a byte more, whatever room there is.
messages() ->
    Send = fun(Size) -> hornbeam_service_layer:handle(layer_send, [<<"asgi">>, <<"a">>, {bytes, binary:copy(<<"x">>, Size)}, 1, 1], #{}) end,
    ?assertMatch({ask, _}, Send(1048576)),
    ?assertMatch({error, value_error, _}, Send(1048577)),
    ?assertMatch({error, type_error, _}, hornbeam_service_layer:handle(layer_send, [<<"asgi">>, <<"a">>, {bytes, <<>>}, 0, 1], #{})).

key(Name) -> key(Name, <<"asgi">>).
key(Name, Layer) -> {Layer, Name}.

ask(Request) -> gen_server:call(hornbeam_layer, Request).
send(Channel, Message, Capacity) -> ask({send, key(Channel), Message, Capacity, ?HOUR}).
take(Channel) -> ask({take, key(Channel)}).
add(Group, Channel) -> ask({group_add, key(Group), Channel, ?HOUR, 9}).

heard(Session) ->
    receive {hornbeam_later, Session, Id, {ok, true}} -> Id after 5000 -> error(not_told) end.
