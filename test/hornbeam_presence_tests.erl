%%% Presence on one node: what is read, what clients are told, limits; another node is a process of this one, which speaks the same messages. Three real
%%% nodes, and nets that split: hornbeam_presence_SUITE. Many orders of messages: prop_hornbeam_presence.
-module(hornbeam_presence_tests).

-include_lib("eunit/include/eunit.hrl").

-define(T, <<"room:1">>).

presence_test_() ->
    {foreach,
     fun() -> ok = logger:set_primary_config(level, none), {ok, _} = application:ensure_all_started(hornbeam), ok end,
     fun(_) -> ok = application:stop(hornbeam), ok = logger:set_primary_config(level, notice) end,
     [{timeout, 120, Test}
      || Test <- [fun tracks/0, fun many_metas/0, fun updates/0, fun untracks/0, fun ends_with_its_process/0, fun metas_are_objects/0,
                  fun refs_are_its_own/0, fun names/0, fun bytes_of_a_meta/0, fun entries_of_a_process/0, fun one_diff_a_turn/0, fun come_and_gone/0,
                  fun a_stray_message/0, fun long_turns/0, fun another_node/0, fun gaps/0, fun late_ends/0, fun strangers/0, fun itself/0, fun killed/0, fun five_thousand/0]]}.

limits_test_() ->
    {setup,
     fun() -> ok = logger:set_primary_config(level, none), {ok, _} = application:ensure_all_started(hornbeam), ok end,
     fun(_) -> ok = application:stop(hornbeam), ok = logger:set_primary_config(level, notice) end,
     fun entries_of_a_topic_and_a_node/0}.

member() -> spawn(fun() -> receive stop -> ok end end).

listed(Topic) -> json(hornbeam_presence:list(Topic)).

json(Text) -> {ok, Value} = hornbeam_json:decode(iolist_to_binary(Text)), Value.

refs(Topic) -> lists:sort([Ref || #{<<"metas">> := Metas} <- maps:values(listed(Topic)), #{<<"phx_ref">> := Ref} <- Metas]).

%% As a relay hears it: this process subscribes as a connection does.
hears(Topic) -> hornbeam_pubsub:subscribe(hornbeam_channels:topic(Topic)).

diff() ->
    receive {hornbeam_pubsub, _, {frame, _, none, <<"presence_diff">>, {json, Text}, never}} -> json(Text)
    after 5000 -> error(no_diff)
    end.

silent() ->
    _ = sys:get_state(hornbeam_presence),
    receive {hornbeam_pubsub, _, Message} -> error({heard, Message}) after 0 -> ok end.

%% A turn: all of it waits when the process goes on.
turn(Fun) ->
    ok = sys:suspend(hornbeam_presence),
    Result = Fun(),
    ok = sys:resume(hornbeam_presence),
    Result.

tracks() ->
    ok = hears(?T),
    {ok, Ref} = hornbeam_presence:track(?T, member(), <<"ada">>, <<" { \"a\" : [1, {}] } ">>),
    Ada = #{<<"ada">> => #{<<"metas">> => [#{<<"phx_ref">> => Ref, <<"a">> => [1, #{}]}]}},
    ?assertEqual(Ada, listed(?T)),
    ?assertEqual(#{<<"joins">> => Ada, <<"leaves">> => #{}}, diff()),
    {ok, Metas} = hornbeam_presence:get(?T, <<"ada">>),
    ?assertEqual(maps:get(<<"ada">>, Ada), json(Metas)),
    ?assertEqual({error, #{}}, {hornbeam_presence:get(?T, <<"bob">>), listed(<<"room:2">>)}).

many_metas() ->
    Refs = [element(2, {ok, _} = hornbeam_presence:track(?T, member(), <<"ada">>, <<"{}">>)) || _ <- [1, 2]],
    ?assertMatch(#{<<"ada">> := #{<<"metas">> := [_, _]}}, listed(?T)),
    ?assertEqual(lists:sort(Refs), refs(?T)).

updates() ->
    Pid = member(),
    ?assertEqual({error, not_tracked}, hornbeam_presence:update(?T, Pid, <<"ada">>, <<"{}">>)),
    {ok, One} = hornbeam_presence:track(?T, Pid, <<"ada">>, <<"{\"n\":1}">>),
    ok = hears(?T),
    {ok, Two} = hornbeam_presence:update(?T, Pid, <<"ada">>, <<"{\"n\":2}">>),
    New = #{<<"ada">> => #{<<"metas">> => [#{<<"phx_ref">> => Two, <<"phx_ref_prev">> => One, <<"n">> => 2}]}},
    ?assertEqual(New, listed(?T)),
    ?assertEqual(#{<<"joins">> => New, <<"leaves">> => #{<<"ada">> => #{<<"metas">> => [#{<<"phx_ref">> => One, <<"n">> => 1}]}}}, diff()),
    %% The same key of the same process is no second meta.
    {ok, Three} = hornbeam_presence:track(?T, Pid, <<"ada">>, <<"{}">>),
    ?assertEqual(#{<<"ada">> => #{<<"metas">> => [#{<<"phx_ref">> => Three, <<"phx_ref_prev">> => Two}]}}, listed(?T)).

untracks() ->
    Pid = member(),
    [{ok, _} = hornbeam_presence:track(T, Pid, K, <<"{}">>) || T <- [?T, <<"room:2">>], K <- [<<"a">>, <<"b">>]],
    ?assertEqual([true, false], [hornbeam_presence:untrack(?T, Pid, <<"a">>) || _ <- [1, 2]]),
    ?assertEqual([<<"b">>], maps:keys(listed(?T))),
    ok = hornbeam_presence:untrack(?T, Pid),
    _ = sys:get_state(hornbeam_presence),
    ?assertEqual([0, 2], [map_size(listed(T)) || T <- [?T, <<"room:2">>]]),
    ok = hornbeam_presence:untrack(Pid),
    _ = sys:get_state(hornbeam_presence),
    ?assertEqual(0, ets:info(hornbeam_presences, size)).

ends_with_its_process() ->
    Pid = member(),
    {ok, Ref} = hornbeam_presence:track(?T, Pid, <<"ada">>, <<"{}">>),
    ok = hears(?T),
    Pid ! stop,
    ?assertEqual(#{<<"joins">> => #{}, <<"leaves">> => #{<<"ada">> => #{<<"metas">> => [#{<<"phx_ref">> => Ref}]}}}, diff()),
    ?assertEqual(#{}, listed(?T)),
    %% One that has ended before.
    {ok, _} = hornbeam_presence:track(?T, Pid, <<"ada">>, <<"{}">>),
    await:until(fun() -> listed(?T) =:= #{} end).

metas_are_objects() ->
    ok = hears(?T),
    [?assertEqual({error, not_object}, hornbeam_presence:track(?T, self(), <<"a">>, Meta))
     || Meta <- [<<>>, <<"1">>, <<"[]">>, <<"null">>, <<"{">>, <<"{}}">>, <<"{}, \"x\": {}">>, <<"{\"a\":1},{\"b\":2}">>, <<"{\"a\":", 255, "}">>]],
    [{ok, _} = hornbeam_presence:track(?T, self(), <<"a">>, Meta) || Meta <- [<<"{ }">>, <<"\t{\"}\":\"{\"}\n">>]],
    ?assertMatch(#{<<"a">> := #{<<"metas">> := [#{<<"}">> := <<"{">>}]}}, listed(?T)).

%% Clients tell metas apart by the ref: an application, or what it has from a client, does not say it.
refs_are_its_own() ->
    [begin
         {ok, Ref} = hornbeam_presence:track(?T, self(), <<"a">>, Meta),
         {ok, Text} = hornbeam_presence:get(?T, <<"a">>),
         ?assertMatch(#{<<"metas">> := [#{<<"phx_ref">> := Ref}]}, json(Text)),
         ?assertEqual(nomatch, binary:match(iolist_to_binary(Text), <<"mine">>))
     end || Meta <- [<<"{\"phx_ref\":\"mine\"}">>, <<"{\"a\":1,\"phx_ref_prev\":\"mine\"}">>, <<"{\"phx\\u005fref\":\"mine\",\"b\":{\"c\":[]}}">>]],
    ?assertMatch(#{<<"a">> := #{<<"metas">> := [#{<<"b">> := #{<<"c">> := []}}]}}, listed(?T)).

names() ->
    Name = fun(N) -> binary:copy(<<"n">>, N) end,
    [?assertMatch({ok, _}, hornbeam_presence:track(T, self(), K, <<"{}">>)) || {T, K} <- [{Name(255), Name(1)}, {Name(1), Name(255)}]],
    [?assertEqual({error, bad_topic}, hornbeam_presence:track(T, self(), <<"k">>, <<"{}">>)) || T <- [<<>>, Name(256), <<255>>]],
    [?assertEqual({error, bad_key}, hornbeam_presence:track(?T, self(), K, <<"{}">>)) || K <- [<<>>, Name(256), <<"a", 255>>]],
    Odd = <<"\"}]\\", 0, "ü"/utf8>>,
    {ok, _} = hornbeam_presence:track(?T, self(), Odd, <<"{}">>),
    ?assertEqual([Odd], maps:keys(listed(?T))).

bytes_of_a_meta() ->
    Meta = fun(Size) -> <<"{\"a\":\"", (binary:copy(<<"x">>, Size - 8))/binary, "\"}">> end,
    ?assertMatch({ok, _}, hornbeam_presence:track(?T, self(), <<"a">>, Meta(16384))),
    ?assertEqual({error, bad_meta}, hornbeam_presence:track(?T, self(), <<"a">>, Meta(16385))).

entries_of_a_process() ->
    [{ok, _} = hornbeam_presence:track(?T, self(), integer_to_binary(N), <<"{}">>) || N <- lists:seq(1, 1000)],
    ?assertEqual({error, too_many}, hornbeam_presence:track(?T, self(), <<"more">>, <<"{}">>)),
    ?assertMatch({ok, _}, hornbeam_presence:track(?T, self(), <<"1">>, <<"{}">>)),
    ?assertMatch({ok, _}, hornbeam_presence:track(?T, member(), <<"more">>, <<"{}">>)).

%% With 2 in a topic and 3 in all.
entries_of_a_topic_and_a_node() ->
    ok = supervisor:terminate_child(hornbeam_sup, hornbeam_presence),
    {ok, Pid} = hornbeam_presence:start_link(2, 3),
    Track = fun(Topic, Key) -> hornbeam_presence:track(Topic, self(), Key, <<"{}">>) end,
    [{ok, _} = Track(?T, Key) || Key <- [<<"a">>, <<"b">>]],
    ?assertEqual({error, too_many}, Track(?T, <<"c">>)),
    {ok, _} = Track(<<"room:2">>, <<"a">>),
    ?assertEqual({error, too_many}, Track(<<"room:2">>, <<"b">>)),
    {ok, _} = hornbeam_presence:update(?T, self(), <<"a">>, <<"{}">>),
    true = hornbeam_presence:untrack(?T, self(), <<"a">>),
    {ok, _} = Track(?T, <<"c">>),
    ?assertEqual([<<"b">>, <<"c">>], lists:sort(maps:keys(listed(?T)))),
    ok = gen_server:stop(Pid).

one_diff_a_turn() ->
    ok = hears(?T),
    Members = [member() || _ <- lists:seq(1, 50)],
    turn(fun() -> calls([{track, ?T, Pid, integer_to_binary(N), <<>>} || {N, Pid} <- lists:zip(lists:seq(1, 50), Members)]) end),
    #{<<"joins">> := Joins} = diff(),
    ?assertEqual(50, map_size(Joins)),
    turn(fun() -> [Pid ! stop || Pid <- Members], await:until(fun() -> queued() >= 50 end) end),
    #{<<"leaves">> := Leaves} = diff(),
    ?assertEqual(50, map_size(Leaves)),
    silent().

queued() -> element(2, process_info(whereis(hornbeam_presence), message_queue_len)).

%% Without waiting for the answers.
calls(Requests) -> [gen_server:send_request(hornbeam_presence, Request) || Request <- Requests].

%% Who has read the table within the turn is told to forget it.
come_and_gone() ->
    ok = hears(?T),
    Pid = member(),
    turn(fun() -> calls([{track, ?T, Pid, <<"a">>, <<>>}, {untrack, ?T, Pid, <<"a">>}]) end),
    ?assertMatch(#{<<"joins">> := Joins, <<"leaves">> := #{<<"a">> := #{<<"metas">> := [_]}}} when Joins =:= #{}, diff()).

%% What means nothing, after what means something.
a_stray_message() ->
    ok = hears(?T),
    turn(fun() -> calls([{track, ?T, self(), <<"a">>, <<>>}]), hornbeam_presence ! {nodedown, 'a@b'} end),
    ?assertMatch(#{<<"joins">> := #{<<"a">> := _}}, diff()).

%% However many wait, some are told meanwhile.
long_turns() ->
    ok = hears(?T),
    Pids = [member() || _ <- lists:seq(1, 3)],
    turn(fun() -> calls([{track, ?T, Pid, integer_to_binary(N), <<>>} || Pid <- Pids, N <- lists:seq(1, 1000)]) end),
    Sizes = [map_size(maps:get(<<"joins">>, diff())) || _ <- [1, 2, 3]],
    ?assertEqual(1000, lists:max(Sizes)),
    silent().

%%% Another node

%% A process that is the other node's: hands on what it hears.
peer() ->
    Self = self(),
    Peer = spawn(fun() -> relay(Self) end),
    hornbeam_presence ! {hello, Peer},
    {hello, _} = heard(Peer),
    {Peer, heard(Peer)}.

relay(To) -> receive stop -> ok; Message -> To ! {self(), Message}, relay(To) end.

heard(Peer) -> receive {Peer, Message} -> Message after 5000 -> error(nothing) end.

tell(Message) -> hornbeam_presence ! Message, _ = sys:get_state(hornbeam_presence), ok.

entry(Key) -> {?T, Key, <<>>}.

another_node() ->
    {ok, Mine} = hornbeam_presence:track(?T, member(), <<"me">>, <<"{}">>),
    _ = sys:get_state(hornbeam_presence),
    {Peer, {whole, Here, {_, Whole}}} = peer(),
    ?assertEqual({whereis(hornbeam_presence), #{Mine => {?T, <<"me">>, <<>>}}}, {Here, Whole}),
    ok = hears(?T),
    ok = tell({whole, Peer, {7, #{<<"r1">> => entry(<<"ada">>)}}}),
    ?assertMatch(#{<<"joins">> := #{<<"ada">> := _}}, diff()),
    ok = tell({delta, Peer, {8, #{<<"r2">> => entry(<<"bob">>)}, [<<"r1">>]}}),
    ?assertMatch(#{<<"joins">> := #{<<"bob">> := _}, <<"leaves">> := #{<<"ada">> := _}}, diff()),
    ?assertEqual([<<"bob">>, <<"me">>], maps:keys(listed(?T))),
    {ok, Next} = hornbeam_presence:track(?T, member(), <<"too">>, <<"{}">>),
    ?assertMatch({delta, Here, {_, #{Next := _}, []}}, heard(Peer)),
    _ = diff(),
    Peer ! stop,
    ?assertMatch(#{<<"leaves">> := #{<<"bob">> := _}}, diff()),
    ?assertEqual([<<"me">>, <<"too">>], maps:keys(listed(?T))).

gaps() ->
    {Peer, _} = peer(),
    ok = tell({delta, Peer, {2, #{<<"r">> => entry(<<"ada">>)}, []}}),
    ?assertMatch({again, _}, heard(Peer)),
    ?assertEqual(#{}, listed(?T)),
    ok = tell({whole, Peer, {3, #{<<"s">> => entry(<<"bob">>)}}}),
    %% What comes twice or late.
    ok = tell({whole, Peer, {2, #{<<"r">> => entry(<<"ada">>)}}}),
    ok = tell({delta, Peer, {3, #{<<"r">> => entry(<<"ada">>)}, []}}),
    ?assertEqual([<<"s">>], refs(?T)).

%% It has said hello anew, by another connection; then the end of the one before is heard of.
late_ends() ->
    {Peer, _} = peer(),
    ok = tell({whole, Peer, {1, #{<<"r">> => entry(<<"ada">>)}}}),
    ok = tell({hello, Peer}),
    ?assertMatch({whole, _, _}, heard(Peer)),
    ok = tell({'DOWN', make_ref(), process, Peer, noconnection}),
    ?assertEqual([<<"r">>], refs(?T)),
    Peer ! stop,
    await:until(fun() -> listed(?T) =:= #{} end).

strangers() ->
    ok = tell({delta, self(), {1, #{<<"r">> => entry(<<"ada">>)}, []}}),
    ?assertEqual(#{}, listed(?T)).

%% Distribution has started, and says so of this node.
itself() ->
    Member = member(),
    {ok, _} = hornbeam_presence:track(?T, Member, <<"ada">>, <<"{}">>),
    hornbeam_presence ! {nodeup, node()},
    _ = [sys:get_state(hornbeam_presence) || _ <- [1, 2, 3, 4]],
    {ok, _} = hornbeam_presence:track(?T, Member, <<"bob">>, <<"{}">>),
    _ = [sys:get_state(hornbeam_presence) || _ <- [1, 2, 3, 4]],
    ?assertEqual(2, length(refs(?T))),
    true = hornbeam_presence:untrack(?T, Member, <<"ada">>),
    _ = [sys:get_state(hornbeam_presence) || _ <- [1, 2, 3, 4]],
    ?assertEqual([<<"bob">>], maps:keys(listed(?T))).

%% Those who live are there still, by other refs; what the other node said comes again.
killed() ->
    [Lives, Ended] = [member(), member()],
    [{ok, _} = hornbeam_presence:track(?T, Pid, Key, <<"{\"n\":1}">>) || {Pid, Key} <- [{Lives, <<"a">>}, {Ended, <<"b">>}]],
    [Ref, _] = refs(?T),
    Killed = whereis(hornbeam_presence),
    true = erlang:suspend_process(Killed),
    ok = hears(?T),
    Ended ! stop,
    await:until(fun() -> not is_process_alive(Ended) end),
    exit(Killed, kill),
    await:until(fun() -> not lists:member(whereis(hornbeam_presence), [undefined, Killed]) end),
    ?assertMatch(#{<<"joins">> := #{<<"a">> := _}, <<"leaves">> := #{<<"a">> := _, <<"b">> := _}}, diff()),
    ?assertMatch(#{<<"a">> := #{<<"metas">> := [#{<<"n">> := 1}]}}, listed(?T)),
    ?assertNotEqual([Ref], refs(?T)),
    Lives ! stop,
    await:until(fun() -> listed(?T) =:= #{} end).

%% Who joins a large room is told of all; a machine that is busy takes a tenth of this.
five_thousand() ->
    Members = [member() || _ <- lists:seq(1, 5000)],
    {Microseconds, _} = timer:tc(fun() ->
        [{ok, _} = hornbeam_presence:track(?T, Pid, pid(Pid), <<"{\"a\":1}">>) || Pid <- Members],
        5000 = map_size(listed(?T))
    end),
    ?assert(Microseconds < 10000000),
    [Pid ! stop || Pid <- Members],
    await:until(fun() -> ets:info(hornbeam_presences, size) =:= 0 end).

pid(Pid) -> list_to_binary(pid_to_list(Pid)).
