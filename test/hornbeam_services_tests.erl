%%% The services of Erlang without Python: publish/subscribe, registered functions, RPC, the table of operations,
%%% and what one Python process may ask for, message by message.
-module(hornbeam_services_tests).

-include_lib("eunit/include/eunit.hrl").

services_test_() ->
    {setup,
     fun() -> {ok, Started} = application:ensure_all_started(hornbeam), Started end,
     fun(Started) -> [ok = application:stop(App) || App <- lists:reverse(Started)] end,
     [{timeout, 120, Test}
      || Test <- [fun operations/0, fun pubsub/0, fun patterns/0, fun ends_with_the_process/0, fun callbacks/0, fun rpc/0,
                  fun one_message_for_many_subscriptions_is_one_frame/0, fun flow_of_events/0, fun deadline/0,
                  fun garbage/0, fun call_without_server/0, fun taken/0, fun subscriptions_are_bounded/0, fun walks_take_turns/0,
                  fun arguments_are_bounded/0, fun an_answer_is_bounded/0, fun errors_are_short/0, fun traces/0]]}.

%% The argument after the last one is a traceparent; a bad one is none.
traces() ->
    Parent = <<"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01">>,
    ok = hornbeam:register_function("trace", hornbeam_trace_context, current),
    Settings = #{rpc_allow => [{hornbeam_trace_context, current}]},
    Here = atom_to_binary(node()),
    Asked = [{hornbeam_service_callbacks, call, [5000, <<"trace">>, []]},
             {hornbeam_service_rpc, rpc_call, [60000, Here, <<"hornbeam_trace_context">>, <<"current">>, []]}],
    [?assertEqual(Expected, in_a_call(Module:handle(Operation, Arguments ++ Trace, Settings)))
     || {Module, Operation, Arguments} <- Asked, {Trace, Expected} <- [{[], {ok, []}}, {[Parent], {ok, [Parent]}}, {[<<"x">>], {ok, []}}]],
    [?assertMatch({error, type_error, _}, Module:handle(Operation, Arguments ++ Trace, Settings))
     || {Module, Operation, Arguments} <- Asked, Trace <- [[1], [Parent, Parent]]],
    ok = hornbeam:unregister_function("trace").

in_a_call({run, _Timeout, Fun}) ->
    Self = self(),
    {_, Monitor} = spawn_monitor(fun() -> Self ! {answer, Fun()} end),
    receive {answer, Answer} -> demonitor(Monitor, [flush]), Answer end.

operations() ->
    ?assertEqual(wire_vectors:read(<<"operations">>), hornbeam_services:operations()).

pubsub() ->
    ?assertEqual(0, hornbeam_pubsub:publish(<<"t">>, 1)),
    ok = hornbeam_pubsub:subscribe(<<"t">>),
    ok = hornbeam_pubsub:subscribe(<<"t">>),
    ?assertEqual(2, hornbeam_pubsub:publish(<<"t">>, {m, self()})),
    ?assertEqual([{hornbeam_pubsub, <<"t">>, {m, self()}}], messages()),
    ok = hornbeam_pubsub:unsubscribe(<<"t">>),
    ?assertEqual(1, hornbeam_pubsub:publish(<<"t">>, 2)),
    ok = hornbeam_pubsub:unsubscribe(<<"t">>),
    ?assertEqual(not_joined, hornbeam_pubsub:unsubscribe(<<"t">>)),
    ?assertEqual(0, hornbeam_pubsub:publish(<<"t">>, 3)),
    ?assertEqual([{hornbeam_pubsub, <<"t">>, 2}], messages()).

patterns() ->
    [ok = hornbeam_pubsub:subscribe(Topic) || Topic <- [<<"user:*">>, <<"*">>, <<"user:1">>, <<"u:*">>]],
    ?assertEqual(3, hornbeam_pubsub:publish(<<"user:1">>, a)),
    ?assertEqual(2, hornbeam_pubsub:publish(<<"user:">>, b)),
    ?assertEqual(1, hornbeam_pubsub:publish(<<>>, c)),
    ?assertEqual([{hornbeam_pubsub, <<"user:1">>, a}, {hornbeam_pubsub, <<"user:">>, b},
                  {hornbeam_pubsub, <<>>, c}], messages()),
    ?assertError(badarg, hornbeam_pubsub:publish(<<"user:*">>, d)),
    ?assertError(badarg, hornbeam_pubsub:subscribe(<<(binary:copy(<<"x">>, 129))/binary, "*">>)),
    ?assertEqual(4, hornbeam_pubsub:subscriptions()),
    ok = hornbeam_pubsub:unsubscribe_all(),
    ?assertEqual(0, hornbeam_pubsub:subscriptions()).

ends_with_the_process() ->
    Self = self(),
    Pid = spawn(fun() -> hornbeam_pubsub:subscribe(<<"p*">>), Self ! ready, timer:sleep(infinity) end),
    receive ready -> ok end,
    ?assertEqual(1, hornbeam_pubsub:publish(<<"p">>, 1)),
    exit(Pid, kill),
    await:until(fun() -> hornbeam_pubsub:publish(<<"p">>, 1) =:= 0 end).

callbacks() ->
    ok = hornbeam:register_function("f", fun(X) -> X + 1 end),
    ok = hornbeam:register_function(g, erlang, abs),
    ?assertEqual(2, hornbeam_callbacks:call(<<"f">>, [1])),
    ?assertEqual(1, hornbeam_callbacks:call("g", [-1])),
    ?assertEqual([<<"f">>, <<"g">>], hornbeam_callbacks:names()),
    ok = hornbeam:unregister_function(f),
    ?assertEqual({error, not_registered}, hornbeam:unregister_function(f)),
    ?assertEqual({error, not_registered}, hornbeam_callbacks:call(f, [1])),
    ok = hornbeam:unregister_function(g).

rpc() ->
    ?assertEqual({ok, 1}, hornbeam_rpc:call(node(), erlang, abs, [-1], 5000)),
    ?assertMatch({error, {error, undef, [_ | _]}}, hornbeam_rpc:call(node(), erlang, nothing, [], 5000)),
    ?assertEqual({error, {throw, x, []}}, hornbeam_rpc:call(node(), erlang, throw, [x], 5000)),
    ?assertEqual({error, {exit, x, []}}, hornbeam_rpc:call(node(), erlang, exit, [x], 5000)),
    ?assertEqual({error, timeout}, hornbeam_rpc:call(node(), timer, sleep, [60000], 10)),
    ?assertEqual({error, noconnection}, hornbeam_rpc:call('no@where', erlang, abs, [1], 5000)),
    ?assertEqual([], hornbeam_rpc:nodes()),
    ?assertNot(hornbeam_rpc:connect('no@where')),
    ?assertNot(hornbeam_rpc:ping('no@where')),
    ?assert(hornbeam_rpc:connect(node())),
    ?assert(hornbeam_rpc:ping(node())).

one_message_for_many_subscriptions_is_one_frame() ->
    Services0 = new(),
    Services = lists:foldl(fun(_, S0) ->
        {reply, _, S} = ask(21, [<<"one">>], S0),
        S
    end, Services0, lists:seq(1, 100)),
    ?assertEqual(100, hornbeam_pubsub:publish(<<"one">>, [1])),
    [Message] = messages(),
    {[Frame], _} = hornbeam_services:handle_info(Message, Services),
    ?assertEqual(<<16:32, 6, 0:32, 0:32, 3:16, "one", 16#91, 1>>, iolist_to_binary([Frame])),
    ok = hornbeam_services:stop(Services),
    ?assertEqual(0, hornbeam_pubsub:publish(<<"one">>, [1])).

%% What Python does not take is dropped from a limit on, and it is told how many.
flow_of_events() ->
    {Sent, Flow1} = publish(20000, hornbeam_events:new(), 0),
    ?assertEqual(16384, Sent),
    {ok, Taken} = hornbeam_events:taken(10, 100, Flow1),
    {[Frame], _} = hornbeam_events:published(<<"t">>, 1, Taken),
    ?assertMatch(<<_:72, Lost:32, _/binary>> when Lost =:= 20000 - 16384, iolist_to_binary(Frame)),
    {[], Flow2} = hornbeam_events:published(<<"t">>, self(), hornbeam_events:new()),
    {[After], _} = hornbeam_events:published(<<"t">>, 1, Flow2),
    ?assertMatch(<<_:72, 1:32, _/binary>>, iolist_to_binary(After)).

publish(0, Flow, Sent) -> {Sent, Flow};
publish(Left, Flow0, Sent) ->
    {Frames, Flow} = hornbeam_events:published(<<"t">>, 1, Flow0),
    publish(Left - 1, Flow, Sent + length(Frames)).

deadline() ->
    %% As a worker does.
    process_flag(trap_exit, true),
    ok = hornbeam:register_function("sleep", fun() -> timer:sleep(infinity) end),
    {noreply, Services1} = ask(30, [10, <<"sleep">>, []], new()),
    Deadline = receive {timeout, _, _} = Message -> Message end,
    {[Reply], Services2} = hornbeam_services:handle_info(Deadline, Services1),
    ?assertMatch(<<_:32, 5, 1:32, 1, _/binary>>, iolist_to_binary(Reply)),
    await:until(fun() -> hornbeam_call_sup:count() =:= 0 end),
    %% What arrives late means nothing any more.
    ?assertMatch({[], _}, hornbeam_services:handle_info(Deadline, Services2)),
    %% The end of the Python process ends its calls.
    {noreply, Services3} = ask(30, [60000, <<"sleep">>, []], Services2),
    await:until(fun() -> hornbeam_call_sup:count() =:= 1 end),
    ok = hornbeam_services:stop(Services3),
    await:until(fun() -> hornbeam_call_sup:count() =:= 0 end).

garbage() ->
    [begin
        {reply, Reply, _} = hornbeam_services:call(1, Payload, new()),
        ?assertMatch(<<_:32, 5, 1:32, 1, _/binary>>, iolist_to_binary(Reply))
     end || Payload <- [<<>>, <<1>>, <<1, 255>>, <<255, 16#90>>, <<1, 16#90>>, <<4, 16#93, 1, 16#a1, "x", 16#c0>>]].

call_without_server() ->
    ?assertEqual({error, {no_application, default, <<>>}}, hornbeam:call("math:sqrt", [4])),
    ?assertMatch({error, {not_encodable, _}}, hornbeam:call("math:sqrt", [self()])).

%% Python cannot have taken what it has not got.
taken() ->
    {_, Flow} = publish(3, hornbeam_events:new(), 0),
    Bytes = 3 * 8,
    [?assertMatch({ok, _}, hornbeam_events:taken(Count, Size, Flow)) || {Count, Size} <- [{0, 0}, {2, Bytes}, {3, Bytes}]],
    [?assertEqual(error, hornbeam_events:taken(Count, Size, Flow))
     || {Count, Size} <- [{4, Bytes}, {3, Bytes + 1}, {-1, 0}, {0, -1}, {<<"a">>, <<"a">>}, {1.0, 1}, {1 bsl 80, 1}]],
    ?assertEqual({broken, {bad_call, events_taken}}, ask(61, [<<"a">>, <<"a">>], new())),
    ?assertEqual({broken, {bad_call, cancel}}, ask(60, [none], new())).

%% 32 MiB of topics, 256 bytes besides for each.
subscriptions_are_bounded() ->
    Topic = fun(N, Size) -> <<N:32, (binary:copy(<<"x">>, Size - 4))/binary>> end,
    Text = fun(N, Size) -> binary:encode_hex(Topic(N, Size div 2)) end,
    Subscribe = fun(N, Size, S0) -> {reply, Reply, S} = ask(21, [Text(N, Size)], S0), {iolist_to_binary(Reply), S} end,
    Full = lists:foldl(fun(N, S0) -> {<<_:32, 5, 1:32, 0, _/binary>>, S} = Subscribe(N, 65536 - 256, S0), S end,
                       new(), lists:seq(1, 511)),
    {<<_:32, 5, 1:32, Over, _/binary>>, _} = Subscribe(512, 65536 - 254, Full),
    ?assertEqual(1, Over),
    {<<_:32, 5, 1:32, Fits, _/binary>>, Whole} = Subscribe(512, 65536 - 256, Full),
    ?assertEqual(0, Fits),
    {<<_:32, 5, 1:32, More, _/binary>>, _} = Subscribe(513, 8, Whole),
    ?assertEqual(1, More),
    {reply, _, Less} = ask(22, [Text(512, 65536 - 256)], Whole),
    {<<_:32, 5, 1:32, Again, _/binary>>, _} = Subscribe(513, 8, Less),
    ?assertEqual(0, Again),
    ok = hornbeam_services:stop(Less).

%% Two walks through a table run at a time; one that waits can be cancelled.
walks_take_turns() ->
    process_flag(trap_exit, true),
    Self = self(),
    Walk = fun(N) -> {walk, 60000, fun() -> Self ! {walks, N, self()}, receive go -> {ok, N} end end} end,
    Calls1 = lists:foldl(fun(N, C0) -> {ok, C} = hornbeam_running:start(N, 0, Walk(N), C0), C end,
                         hornbeam_running:new(1), [1, 2, 3, 4, 5]),
    [One, Two] = [receive {walks, N, Pid} -> Pid end || N <- [1, 2]],
    ?assertEqual([One, Two], [One, Two] -- messages()),
    Calls2 = hornbeam_running:cancel(3, Calls1),
    One ! go,
    Answer = receive {hornbeam_answer, One, _} = Message -> Message end,
    {reply, Reply, Calls3} = hornbeam_running:handle_info(Answer, Calls2),
    ?assertEqual(<<7:32, 5, 1:32, 0, 1>>, iolist_to_binary(Reply)),
    receive {walks, 4, _} -> ok end,
    Calls4 = hornbeam_running:cancel(2, Calls3),
    receive {walks, 5, _} -> ok end,
    ok = hornbeam_running:stop(Calls4),
    await:until(fun() -> hornbeam_call_sup:count() =:= 0 end).

%% 256 MiB of arguments in calls that run.
arguments_are_bounded() ->
    process_flag(trap_exit, true),
    Run = {run, 60000, fun() -> timer:sleep(infinity) end},
    {ok, Calls1} = hornbeam_running:start(1, 268435455, Run, hornbeam_running:new(1)),
    {ok, Calls2} = hornbeam_running:start(2, 1, Run, Calls1),
    ?assertEqual({error, too_many_calls}, hornbeam_running:start(3, 1, Run, Calls2)),
    {ok, Calls3} = hornbeam_running:start(3, 1, Run, hornbeam_running:cancel(2, Calls2)),
    ok = hornbeam_running:stop(Calls3),
    await:until(fun() -> hornbeam_call_sup:count() =:= 0 end).

%% One value asked for 100,000 times is not put together: that would take 10 GB, and this process has 400 MB.
an_answer_is_bounded() ->
    ok = hornbeam_state:set(<<"large">>, [binary:copy(<<"x">>, 60) || _ <- lists:seq(1, 1000)]),
    Packed = iolist_to_binary([5 | hornbeam_msgpack:encode([lists:duplicate(100000, <<"large">>)])]),
    Services = new(),
    Asker = spawn_opt(fun() ->
        {reply, Reply, _} = hornbeam_services:call(1, Packed, Services),
        exit({said, iolist_to_binary(Reply)})
    end, [monitor, {max_heap_size, #{size => 50000000, kill => true, error_logger => false}}]),
    {Pid, Monitor} = Asker,
    Said = receive {'DOWN', Monitor, process, Pid, Reason} -> Reason end,
    ?assertMatch({said, <<_:32, 5, 1:32, 1, _/binary>>}, Said),
    true = hornbeam_state:delete(<<"large">>).

%% A number of half a megabyte, the largest that OTP 27 and later know, would take a minute to be written down in decimal.
errors_are_short() ->
    Number = 1 bsl 4194000,
    [begin
        {reply, Reply, _} = ask(Operation, Arguments, new()),
        ?assert(iolist_size(Reply) < 1000)
     end || {Operation, Arguments} <- [{2, [k, v, -Number]}, {4, [k, {Number}, none]}, {30, [Number, <<"f">>, []]},
                                       {21, [Number]}, {44, [Number]}, {40, [Number, Number, Number, Number, Number]}]],
    {error, erlang_error, [error, _, Text, Stack]} =
        hornbeam_answer:raised(error, {badmatch, Number}, [{m, f, [Number], []}]),
    ?assert(byte_size(Text) < 100),
    ?assertNotEqual(nomatch, binary:match(Stack, <<"m:f/1">>)).

new() ->
    hornbeam_services:new(1, #{rpc_allow => [], cluster_nodes => []}).

ask(Operation, Arguments, Services) ->
    Payload = iolist_to_binary([Operation | hornbeam_msgpack:encode(Arguments)]),
    hornbeam_services:call(1, Payload, Services).

messages() ->
    receive Message -> [Message | messages()]
    after 0 -> []
    end.
