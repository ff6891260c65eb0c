%%% Nothing is quadratic: an operation on 100,000 of a thing costs at most ?FACTOR times what it costs on 1,000 of them.
%%%
%%% Cost is reductions, of the process that calls and of those that do the work for it: no clock, so a busy machine changes
%%% nothing. A row of table/0 is the operation, how many there are of its thing in the small case and in the large one, and a
%%% fun that makes so many and answers what one operation cost.
-module(hornbeam_linear_tests).

-include("hornbeam_head.hrl").
-include_lib("eunit/include/eunit.hrl").
-include("hornbeam.hrl").

-define(FACTOR, 3).
-define(POOL, {default, <<>>}).
%% How often something is tried that changes nothing.
-define(SAMPLE, 500).

linear_test_() ->
    {setup, fun setup/0, fun cleanup/1,
     {timeout, 1200, [{Name, {timeout, 300, fun() -> check(Small, Large, Cost) end}} || {Name, Small, Large, Cost} <- table()]}}.

table() ->
    [{"publish/subscribe: subscribe", 1000, 100000, fun subscribe/1},
     {"publish/subscribe: unsubscribe", 1000, 100000, fun unsubscribe/1},
     {"publish/subscribe: a process leaves all its topics", 1000, 100000, fun unsubscribe_all/1},
     {"publish/subscribe: a process with topics ends", 1000, 100000, fun process_ends/1},
     {"publish/subscribe: the same topic many times", 1000, 100000, fun same_topic/1},
     {"publish/subscribe: many processes with one topic", 300, 10000, fun many_processes/1},
     {"publish/subscribe: publish to one of many topics", 1000, 100000, fun publish/1},
     {"publish/subscribe: publish beside many patterns", 1000, 100000, fun publish_beside_patterns/1},
     {"publish/subscribe: many patterns come and go", 1000, 100000, fun patterns/1},
     {"fanout: topics of a connection come and go", 10, 1000, fun fanout_topics/1},
     {"fanout: connections with topics end", 1000, 20000, fun fanout_ends/1},
     {"fanout: connections with one topic end", 300, 10000, fun fanout_many_end/1},
     {"fanout: a message beside many patterns", 1000, 20000, fun fanout_message/1},
     {"fanout: many patterns come and go", 1000, 20000, fun fanout_patterns/1},
     {"pool: waiting and leaving", 1000, 100000, fun pool_cancel/1},
     {"pool: waiting and being woken", 1000, 100000, fun pool_wake/1},
     {"mounts: lookup", 10, 1000, fun mounts/1},
     {"mounts: lookup by host", 10, 1000, fun hosts/1},
     {"calls: start and cancel", 100, 5000, fun running/1},
     {"WebSockets: counted in and out", 300, 10000, fun websockets/1},
     {"state: set and delete", 1000, 100000, fun state_set/1},
     {"state: expiry", 1000, 100000, fun state_expiry/1},
     {"state: eviction", 1000, 100000, fun state_eviction/1},
     {"frames: a byte at a time", 1000, 100000, fun frame_bytes/1},
     {"frames: many in one read", 1000, 100000, fun frames_at_once/1},
     {"headers: one name many times", 1000, 60000, fun repeated_header/1},
     {"headers: many cookies", 1000, 60000, fun cookies/1},
     {"forwarded: a long list", 100, 10000, fun forwarded/1},
     {"command line: one flag many times", 100, 5000, fun flags/1}].

check(Small, Large, Cost) ->
    %% The first time code is loaded, and tables get their size.
    _ = alone(Cost, Small),
    {One, Other} = {alone(Cost, Small), alone(Cost, Large)},
    ?assertMatch({_, _, true}, {{Small, One}, {Large, Other}, Other =< ?FACTOR * One}).

%% In a process of its own, with a heap that need not grow: what it collects is not the operation's cost.
alone(Cost, Count) ->
    Self = self(),
    {Pid, Monitor} = spawn_opt(fun() -> Self ! {self(), Cost(Count)} end, [monitor, {min_heap_size, 5000000}]),
    receive
        {Pid, Reductions} -> true = demonitor(Monitor, [flush]), Reductions;
        {'DOWN', Monitor, process, Pid, Reason} -> error(Reason)
    end.

%% What each of so many operations costs these processes and the calling one.
cost(Count, Servers, Run) ->
    served(Count, [self() | Servers], Run).

%% What it costs these alone: where the calling process waits, and looks how far they are.
served(Count, Servers, Run) ->
    Before = reductions(Servers),
    _ = Run(),
    (reductions(Servers) - Before) / Count.

reductions(Servers) ->
    lists:sum([N || Pid <- Servers, {reductions, N} <- [process_info(Pid, reductions)]]).

setup() ->
    ok = logger:set_primary_config(level, none),
    {ok, _} = application:ensure_all_started(hornbeam),
    ok.

cleanup(_) ->
    ok = application:stop(hornbeam),
    ok = logger:set_primary_config(level, notice).

%%% Publish and subscribe

servers() ->
    [Pid || Name <- [hornbeam_subscriptions], Pid <- [whereis(Name)], is_pid(Pid)].

topics(Count) ->
    [<<"topic:", (integer_to_binary(N))/binary>> || N <- lists:seq(1, Count)].

%% Of few lengths, as the names of real ones are.
patterns_of(Count) ->
    [<<Topic/binary, ":*">> || Topic <- topics(Count)].

subscribe(Count) ->
    Topics = topics(Count),
    Cost = cost(Count, servers(), fun() -> subscribe_all(Topics) end),
    ok = hornbeam_pubsub:unsubscribe_all(),
    Cost.

subscribe_all(Topics) -> lists:foreach(fun hornbeam_pubsub:subscribe/1, Topics).

%% In the order in which they came: the last place that a list has them in.
unsubscribe(Count) ->
    Topics = topics(Count),
    subscribe_all(Topics),
    Cost = cost(Count, servers(), fun() -> lists:foreach(fun(T) -> ok = hornbeam_pubsub:unsubscribe(T) end, Topics) end),
    ?assertEqual(0, hornbeam_pubsub:subscriptions()),
    Cost.

unsubscribe_all(Count) ->
    subscribe_all(topics(Count)),
    Cost = cost(Count, servers(), fun hornbeam_pubsub:unsubscribe_all/0),
    ?assertEqual(0, hornbeam_pubsub:subscriptions()),
    Cost.

process_ends(Count) ->
    [Pid] = in_processes(1, fun() -> subscribe_all(topics(Count)) end),
    ?assertEqual(Count, hornbeam_pubsub:subscriptions()),
    served(Count, servers(), fun() -> exit(Pid, kill), await:until(fun nobody_subscribes/0) end).

same_topic(Count) ->
    Same = lists:duplicate(Count, <<"same">>),
    cost(Count, servers(), fun() ->
        subscribe_all(Same),
        ?assertEqual(Count, hornbeam_pubsub:publish(<<"same">>, 1)),
        lists:foreach(fun(T) -> ok = hornbeam_pubsub:unsubscribe(T) end, Same)
    end).

many_processes(Count) ->
    served(Count, servers(), fun() ->
        Pids = in_processes(Count, fun() -> ok = hornbeam_pubsub:subscribe(<<"one">>) end),
        ?assertEqual(Count, hornbeam_pubsub:publish(<<"one">>, 1)),
        lists:foreach(fun(Pid) -> exit(Pid, kill) end, Pids),
        await:until(fun nobody_subscribes/0)
    end).

publish(Count) ->
    subscribe_all(topics(Count)),
    Cost = publish_some(),
    ok = hornbeam_pubsub:unsubscribe_all(),
    Cost.

publish_beside_patterns(Count) ->
    subscribe_all(patterns_of(Count)),
    ok = hornbeam_pubsub:subscribe(<<"topic:500">>),
    Cost = publish_some(),
    ok = hornbeam_pubsub:unsubscribe_all(),
    Cost.

publish_some() ->
    cost(?SAMPLE, [], fun() -> [1 = hornbeam_pubsub:publish(<<"topic:500">>, 1) || _ <- lists:seq(1, ?SAMPLE)] end).

patterns(Count) ->
    Patterns = patterns_of(Count),
    cost(Count, servers(), fun() -> subscribe_all(Patterns), ok = hornbeam_pubsub:unsubscribe_all() end).

nobody_subscribes() -> hornbeam_pubsub:subscriptions() =:= 0.

%%% What goes to WebSockets

relays() ->
    [Pid || N <- lists:seq(1, erlang:system_info(schedulers)),
            Pid <- [whereis(list_to_existing_atom("hornbeam_websocket_relay_" ++ integer_to_list(N)))]].

fanout_topics(Count) ->
    Topics = topics(Count),
    Rounds = 5000 div Count,
    cost(Count * Rounds, relays(), fun() ->
        [begin
            Joined = lists:foldl(fun fanout_subscribe/2, hornbeam_websocket_fanout:none(), Topics),
            lists:foldl(fun hornbeam_websocket_fanout:unsubscribe/2, Joined, Topics)
         end || _ <- lists:seq(1, Rounds)],
        relays_are_done()
    end).

fanout_subscribe(Topic, Subscriptions) ->
    {ok, Joined} = hornbeam_websocket_fanout:subscribe(Topic, Subscriptions),
    Joined.

%% Connections of 500 topics or patterns each.
fanout_connections(Topics) ->
    lists:append([in_processes(1, fun() -> lists:foldl(fun fanout_subscribe/2, hornbeam_websocket_fanout:none(), Some) end)
                  || Some <- parts(Topics)]).

parts([]) -> [];
parts(Topics) -> {Some, Rest} = lists:split(min(500, length(Topics)), Topics), [Some | parts(Rest)].

%% All of them have the same topic, and one of their own.
fanout_many_end(Count) ->
    Pids = [Pid || Own <- topics(Count),
                   Pid <- in_processes(1, fun() ->
                       fanout_subscribe(Own, fanout_subscribe(<<"all">>, hornbeam_websocket_fanout:none()))
                   end)],
    fanout_ends(Count, Pids).

fanout_ends(Count) -> fanout_ends(Count, fanout_connections(topics(Count))).

fanout_ends(Count, Pids) ->
    served(Count, relays(), fun() ->
        lists:foreach(fun(Pid) -> exit(Pid, kill) end, Pids),
        await:until(fun nobody_subscribes/0)
    end).

fanout_message(Count) ->
    Pids = fanout_connections(patterns_of(Count)),
    Cost = cost(?SAMPLE, relays(), fun() ->
        [1 = hornbeam_pubsub:publish(<<"topic:500:x">>, <<"text">>) || _ <- lists:seq(1, ?SAMPLE)],
        relays_are_done()
    end),
    _ = fanout_ends(Count, Pids),
    Cost.

fanout_patterns(Count) ->
    fanout_ends(Count, fanout_connections(patterns_of(Count))).

relays_are_done() ->
    lists:foreach(fun(Relay) ->
        await:until(fun() -> process_info(Relay, [message_queue_len, status]) =:= [{message_queue_len, 0}, {status, waiting}] end)
    end, relays()).

%%% The pool: one worker, whose only place is taken

with_pool(Run) ->
    {ok, _} = fake_worker:start("hold", #{max_concurrency => 1, max_queue => 100000}),
    try
        {ok, Slot, Id, _} = hornbeam_pool:checkout(?POOL),
        ok = hornbeam_worker:open(Slot, Id, {self(), stream}, hornbeam_frame:request(Id, 0, <<16#90>>, <<>>, 0)),
        Pool = element(3, hd(ets:lookup(hornbeam_pools, ?POOL))),
        Run(Pool, fun() -> hornbeam_worker:close(Slot, Id, hornbeam_frame:encode(disconnect, Id, <<0>>)) end)
    after
        ok = hornbeam:stop()
    end.

owners(Count) -> [{self(), N} || N <- lists:seq(1, Count)].

wait(Owners) -> lists:foreach(fun(Owner) -> ok = hornbeam_pool:wait(?POOL, Owner, back) end, Owners).

waiting() -> maps:get(waiting, hornbeam_pool:stats(?POOL)).

%% The last to come are the first to give up.
pool_cancel(Count) ->
    with_pool(fun(Pool, _) ->
        Owners = owners(Count),
        cost(Count, [Pool], fun() ->
            wait(Owners),
            lists:foreach(fun(Owner) -> ok = hornbeam_pool:cancel(?POOL, Owner) end, lists:reverse(Owners)),
            await:until(fun() -> waiting() =:= 0 end)
        end)
    end).

pool_wake(Count) ->
    with_pool(fun(Pool, Finish) ->
        Owners = [First | Others] = owners(Count),
        cost(Count, [Pool], fun() ->
            wait(Owners),
            ok = Finish(),
            receive {First, try_again} -> ok end,
            %% None of them takes the place: each says so, and the next one is woken.
            lists:foreach(fun(Owner) -> hornbeam_pool:cancel(?POOL, First), receive {Owner, try_again} -> ok end end, Others)
        end)
    end).

%%% Others

hosts(Count) ->
    Mounts = [#mount{host = <<"h", (integer_to_binary(N))/binary, ".example.org">>, prefix = <<"/v1">>, app = <<"a">>, pool = {?MODULE, N},
                     settings = #{}} || N <- lists:seq(1, Count)],
    ok = hornbeam_mounts:publish(?MODULE, Mounts),
    Cost = cost(?SAMPLE, [], fun() ->
        [{ok, #mount{}} = hornbeam_mounts:find(?MODULE, <<"H9.example.org:8000">>, <<"/v1/x">>) || _ <- lists:seq(1, ?SAMPLE)],
        [error = hornbeam_mounts:find(?MODULE, <<"x.example.org">>, <<"/v1/x">>) || _ <- lists:seq(1, ?SAMPLE)]
    end),
    ok = hornbeam_mounts:forget(?MODULE),
    Cost.

mounts(Count) ->
    Mounts = [#mount{prefix = <<"/application/", (integer_to_binary(N))/binary>>, app = <<"a">>, pool = {?MODULE, N},
                     settings = #{}} || N <- lists:seq(1, Count)],
    ok = hornbeam_mounts:publish(?MODULE, Mounts),
    Cost = cost(?SAMPLE, [], fun() ->
        [{ok, #mount{}} = hornbeam_mounts:find(?MODULE, undefined, <<"/application/9/x">>) || _ <- lists:seq(1, ?SAMPLE)],
        [error = hornbeam_mounts:find(?MODULE, undefined, <<"/applications/9">>) || _ <- lists:seq(1, ?SAMPLE)]
    end),
    ok = hornbeam_mounts:forget(?MODULE),
    Cost.

running(Count) ->
    process_flag(trap_exit, true),
    cost(Count, [whereis(hornbeam_call_sup)], fun() ->
        Calls = lists:foldl(fun(Id, Calls0) ->
            {ok, Calls1} = hornbeam_running:start(Id, 0, {run, 60000, fun() -> timer:sleep(infinity) end}, Calls0),
            Calls1
        end, hornbeam_running:new(1), lists:seq(1, Count)),
        _ = lists:foldl(fun hornbeam_running:cancel/2, Calls, lists:seq(1, Count)),
        await:until(fun() -> hornbeam_call_sup:count() =:= 0 end)
    end).

websockets(Count) ->
    served(Count, [whereis(hornbeam_websockets)], fun() ->
        Pids = in_processes(Count, fun() -> ok = hornbeam_websockets:register(?MODULE, self()) end),
        [ok = hornbeam_websockets:enter(?MODULE, Count) || _ <- Pids],
        lists:foreach(fun(Pid) -> exit(Pid, kill) end, Pids),
        await:until(fun() -> maps:get(open, hornbeam_websockets:stats(?MODULE)) =:= 0 end)
    end).

keys(Count) -> [{key, N} || N <- lists:seq(1, Count)].

state_set(Count) ->
    Keys = keys(Count),
    cost(Count, [], fun() ->
        lists:foreach(fun(Key) -> ok = hornbeam_state:set(Key, 1) end, Keys),
        lists:foreach(fun(Key) -> {ok, 2} = hornbeam_state:incr(Key, 1) end, Keys),
        lists:foreach(fun(Key) -> true = hornbeam_state:delete(Key) end, Keys)
    end).

state_expiry(Count) ->
    Sweeper = [whereis(hornbeam_state_sweeper)],
    cost(Count, Sweeper, fun() ->
        lists:foreach(fun(Key) -> ok = hornbeam_state:set(Key, 1, 1) end, keys(Count)),
        await:until(fun() -> _ = hornbeam_state_store:remove_expired(), maps:get(entries, hornbeam_state:info()) =:= 0 end)
    end).

state_eviction(Count) ->
    ok = hornbeam_state:configure(#{state_max_entries => Count, state_max_bytes => infinity}),
    lists:foreach(fun(Key) -> ok = hornbeam_state:set(Key, 1) end, keys(Count)),
    Cost = cost(Count, [], fun() ->
        lists:foreach(fun(Key) -> ok = hornbeam_state:set({new, Key}, 1) end, keys(Count))
    end),
    ?assertEqual(Count, maps:get(entries, hornbeam_state:info())),
    lists:foreach(fun hornbeam_state:delete/1, hornbeam_state:keys(none)),
    true = persistent_term:erase(hornbeam_state_limits),
    Cost.

frame_bytes(Count) ->
    Frame = iolist_to_binary(hornbeam_frame:encode(data, 1, binary:copy(<<"x">>, Count))),
    cost(Count, [], fun() ->
        {[{data, 1, _}], _} = lists:foldl(fun(Byte, {[], Buffer0}) ->
            {ok, Frames, Buffer} = hornbeam_frame:feed(<<Byte>>, Buffer0),
            {Frames, Buffer}
        end, {[], hornbeam_frame:new()}, binary_to_list(Frame))
    end).

frames_at_once(Count) ->
    Read = binary:copy(iolist_to_binary(hornbeam_frame:encode(data, 1, <<"x">>)), Count),
    cost(Count, [], fun() -> {ok, [_ | _], _} = hornbeam_frame:feed(Read, hornbeam_frame:new()) end).

repeated_header(Count) -> fields(<<"x-repeated">>, Count).

cookies(Count) -> fields(<<"set-cookie">>, Count).

fields(Name, Count) ->
    Headers = [{Name, <<"value">>} || _ <- lists:seq(1, Count)],
    cost(Count, [], fun() -> [{Name, _} | _] = hornbeam_http2_reply:fields(Headers) end).

forwarded(Count) ->
    Peer = {127, 0, 0, 1},
    For = iolist_to_binary(lists:join(", ", lists:duplicate(Count, <<"10.0.0.1">>))),
    {ok, Trusted} = hornbeam_option_proxy:check(<<"*">>),
    Head = #head{method = <<"GET">>, path = <<"/">>, version = 'HTTP/1.1', peer = {Peer, 1}, sock = undefined,
                 fields = [{<<"x-forwarded-for">>, For}]},
    cost(Count, [], fun() -> {#head{peer = {{10, 0, 0, 1}, _}}, _} = hornbeam_forwarded:apply(Head, [Trusted]) end).

flags(Count) ->
    Flags = lists:duplicate(Count, "--pythonpath=/tmp"),
    cost(Count, [], fun() -> {ok, [], #{pythonpath := [_ | _]}} = hornbeam_options:from_args(Flags) end).

%%% Helpers

%% So many processes that have done it and live on.
in_processes(Count, Do) ->
    Self = self(),
    Pids = [spawn(fun() -> _ = Do(), Self ! {done, self()}, receive stop -> ok end end) || _ <- lists:seq(1, Count)],
    %% In whatever order: to wait for each in turn would itself be quadratic.
    [receive {done, Pid} -> Pid end || _ <- Pids].
