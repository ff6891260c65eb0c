%%% The bounds of a server's tasks and schedules, without workers: what is refused, what is forgotten, who is answered, who leads.
-module(hornbeam_task_book_tests).

-include_lib("eunit/include/eunit.hrl").
-include("../src/hornbeam_task.hrl").

-define(SERVER, book_test).

book_test_() ->
    {foreach,
     fun() -> {ok, Started} = application:ensure_all_started(hornbeam), Started end,
     fun(Started) ->
         ok = hornbeam_task_table:forget(?SERVER),
         ok = hornbeam_servers:forget(?SERVER),
         [ok = application:stop(App) || App <- lists:reverse(Started)]
     end,
     [{timeout, 60, Test} || Test <- [fun full/0, fun many_queues/0, fun results_are_bounded/0, fun a_waiter_that_goes/0, fun again_after_a_crash/0,
                                      fun storing/0, fun a_disk_that_fails/0, fun cancelled_before_it_is_stored/0, fun stopping/0, fun progress_is_bounded/0, fun schedules/0]]}.

config(Options) ->
    {ok, Config} = hornbeam_options:validate(maps:merge(#{app => "m:a"}, Options)),
    Config.

book(Options) -> hornbeam_task_book:new(?SERVER, config(Options)).

task(Options) -> task(Options, <<"body">>).

task(Options, Body) ->
    {ok, Task} = hornbeam_task:new(?SERVER, <<"m:f">>, {bytes, Body}, Options),
    Task.

%% As gen_server:call/2 would have it: the answer, and the book.
admit(Task, Book0) ->
    Tag = make_ref(),
    case hornbeam_task_book:admit(Task, {self(), Tag}, Book0) of
        {reply, Answer, Book} -> {Answer, Book};
        {noreply, Book} -> receive {Tag, Answer} -> {Answer, Book} after 0 -> {none, Book} end
    end.

admitted(Task, Book0) ->
    {{ok, Id}, Book} = admit(Task, Book0),
    {Id, Book}.

full() ->
    {First, Book1} = admitted(task(#{<<"unique">> => <<"k">>}), book(#{task_max_queue => 2})),
    {_, Book2} = admitted(task(#{<<"delay">> => 60000}), Book1),
    {{error, {full, Text}}, Book3} = admit(task(#{}), Book2),
    ?assertMatch({_, _}, binary:match(Text, <<"task_max_queue">>)),
    %% A key that is known is no further task.
    {{ok, First}, Book4} = admit(task(#{<<"unique">> => <<"k">>}), Book3),
    {reply, true, Book5} = hornbeam_task_book:cancel(First, Book4),
    {reply, false, Book6} = hornbeam_task_book:cancel(First, Book5),
    {Second, Book7} = admitted(task(#{<<"unique">> => <<"k">>}), Book6),
    ?assertNotEqual(First, Second),
    {{error, {wrong, _}}, _} = admit(task(#{<<"durable">> => true}), book(#{})),
    {reply, true, Book8} = hornbeam_task_book:cancel(Second, Book7),
    {reply, not_found, _} = hornbeam_task_book:cancel(<<"nothing">>, Book8).

many_queues() ->
    Book = lists:foldl(fun(N, Each) -> element(2, admitted(task(#{<<"queue">> => integer_to_binary(N)}), Each)) end, book(#{}), lists:seq(1, 1000)),
    {{error, {full, Text}}, Same} = admit(task(#{<<"queue">> => <<"one more">>}), Book),
    ?assertMatch({_, _}, binary:match(Text, <<"too many queues">>)),
    {{ok, _}, _} = admit(task(#{<<"queue">> => <<"7">>}), Same).

results_are_bounded() ->
    Body = binary:copy(<<"x">>, 400000),
    Book = lists:foldl(fun(_, Each) ->
        {Id, Added} = admitted(task(#{}, Body), Each),
        {reply, true, Over} = hornbeam_task_book:cancel(Id, Added),
        Over
    end, book(#{task_max_bytes => 1048576}), lists:seq(1, 10)),
    ?assertEqual(2, maps:get(cancelled, hornbeam_task_table:counts(?SERVER))),
    {reply, 2, _} = hornbeam_task_book:purge(all, Book),
    ?assertEqual([], hornbeam_task_table:of_server(?SERVER)).

a_waiter_that_goes() ->
    {Id, Book0} = admitted(task(#{}), book(#{})),
    Gone = spawn(fun() -> ok end),
    {noreply, Book1} = hornbeam_task_book:await(Id, {Gone, make_ref()}, Book0),
    Tag = make_ref(),
    {noreply, Book2} = hornbeam_task_book:await(Id, {self(), Tag}, Book1),
    Down = receive {'DOWN', _, process, Gone, _} = Message -> Message end,
    {reply, true, Book3} = hornbeam_task_book:cancel(Id, hornbeam_task_book:message(Down, Book2)),
    receive {Tag, {ok, #task{state = cancelled}}} -> ok end,
    {reply, {ok, #task{}}, _} = hornbeam_task_book:await(Id, {self(), Tag}, Book3),
    {reply, not_found, _} = hornbeam_task_book:await(<<"nothing">>, {self(), Tag}, Book3).

%% What is in the table is found: what ran waits again, what nobody was told of is not there.
again_after_a_crash() ->
    {Id, _} = admitted(task(#{<<"unique">> => <<"k">>}), book(#{})),
    ok = hornbeam_task_table:update(Id, [{#task.state, running}]),
    ok = hornbeam_task_table:insert(task(#{<<"durable">> => true})),
    Book = hornbeam_task_book:begin_again(book(#{})),
    ?assertMatch([#task{id = Id, state = pending}], hornbeam_task_table:of_server(?SERVER)),
    {{ok, Id}, _} = admit(task(#{<<"unique">> => <<"k">>}), Book).

%% This process is the store of the server.
durable(Book0) ->
    ok = hornbeam_task_table:set_store(?SERVER, self()),
    Tag = make_ref(),
    #task{id = Id} = Task = task(#{<<"durable">> => true}),
    {noreply, Book} = hornbeam_task_book:admit(Task, {self(), Tag}, Book0),
    receive {'$gen_cast', {write, {put, #task{id = Id, state = pending}}, _}} -> ok end,
    {Id, Tag, Book}.

stored(Id, Result, Book) -> hornbeam_task_book:message({hornbeam_task_store, [{Id, Result}]}, Book).

%% One begins while it is on its way to the disk, unless the last one has not come there.
storing() ->
    New = hornbeam_task_storing:new(),
    begun = hornbeam_task_storing:way(New),
    Both = hornbeam_task_storing:add(<<"2">>, held, from_2, hornbeam_task_storing:add(<<"1">>, begun, from_1, New)),
    ?assertEqual({1, 2}, {hornbeam_task_storing:held(Both), hornbeam_task_storing:size(Both)}),
    ?assertEqual([false, true], [hornbeam_task_storing:is_held(Id, Both) || Id <- [<<"1">>, <<"2">>]]),
    error = hornbeam_task_storing:join(<<"3">>, from_3, Both),
    {ok, Joined} = hornbeam_task_storing:join(<<"1">>, from_3, Both),
    {begun, [from_3, from_1], Failed} = hornbeam_task_storing:take(<<"1">>, false, Joined),
    held = hornbeam_task_storing:way(Failed),
    {held, [from_2], Well} = hornbeam_task_storing:take(<<"2">>, true, Failed),
    begun = hornbeam_task_storing:way(Well),
    ?assertEqual({0, 0, false}, {hornbeam_task_storing:held(Well), hornbeam_task_storing:size(Well), hornbeam_task_storing:is_member(<<"2">>, Well)}).

a_disk_that_fails() ->
    {First, Tag1, Book1} = durable(book(#{task_max_queue => 1})),
    Waits = make_ref(),
    {noreply, Book2} = hornbeam_task_book:await(First, {self(), Waits}, Book1),
    {{error, {full, _}}, _} = admit(task(#{}), Book2),
    Book3 = stored(First, {error, <<"no space">>}, Book2),
    receive {Tag1, {error, {not_stored, <<"no space">>}}} -> ok end,
    receive {Waits, not_found} -> ok end,
    receive {'$gen_cast', {write, {del, First}, none}} -> ok end,
    ?assertEqual({error, {0, 0}}, {hornbeam_task_table:find(First), hornbeam_task_book:running(Book3)}),
    %% The next one counts although it is in no queue yet; then it is.
    {Second, Tag2, Book4} = durable(Book3),
    {{error, {full, _}}, _} = admit(task(#{}), Book4),
    Book5 = stored(Second, ok, Book4),
    receive {Tag2, {ok, Second}} -> ok end,
    {{error, {full, _}}, _} = admit(task(#{}), Book5),
    {reply, true, Book6} = hornbeam_task_book:cancel(Second, Book5),
    {{ok, _}, _} = admit(task(#{}), Book6).

cancelled_before_it_is_stored() ->
    {First, Tag1, Book1} = durable(book(#{task_max_queue => 1})),
    {reply, true, Book2} = hornbeam_task_book:cancel(First, Book1),
    %% Not again before the disk has let go of it.
    {reply, false, Book3} = hornbeam_task_book:retry(First, Book2),
    Failed = stored(First, {error, <<"no space">>}, Book3),
    receive {Tag1, {error, {not_stored, _}}} -> ok end,
    {Second, Tag2, Book4} = durable(Failed),
    {reply, true, Book5} = hornbeam_task_book:cancel(Second, Book4),
    Book6 = stored(Second, ok, Book5),
    receive {Tag2, {ok, Second}} -> ok end,
    {reply, true, Book7} = hornbeam_task_book:retry(Second, Book6),
    {{error, {full, _}}, _} = admit(task(#{}), Book7).

stopping() ->
    ?assertMatch({error, {stopping, _}}, hornbeam_tasks:add(no_such_server, <<"m:f">>, [1], #{})),
    ?assertMatch({error, {wrong, _}}, hornbeam_tasks:add(no_such_server, <<"m:f">>, [self()], #{})),
    ?assertMatch({error, {wrong, _}}, hornbeam_tasks:add(no_such_server, <<"m:f">>, [1], #{<<"retries">> => -1})),
    {_, Book} = admitted(task(#{}), book(#{})),
    {Deadline, Stopped} = hornbeam_task_book:stop(hornbeam_task_book:stop_by(infinity, Book)),
    ?assertEqual(infinity, Deadline),
    {{error, {stopping, _}}, _} = admit(task(#{}), Stopped),
    ?assertEqual({{0, 0}, 1}, {hornbeam_task_book:running(Stopped), hornbeam_task_book:lost(Stopped)}).

progress_is_bounded() ->
    Task = task(#{}),
    ok = hornbeam_task_table:insert(Task),
    Say = fun(Value) -> hornbeam_service_tasks:handle(task_progress, [Task#task.id, Value], #{name => ?SERVER}) end,
    ?assertEqual({ok, true}, Say(half)),
    ?assertMatch({error, value_error, _}, Say(binary:copy(<<"x">>, 70000))),
    ?assertMatch({ok, #task{progress = half}}, hornbeam_task_table:find(Task#task.id)),
    ?assertMatch({error, type_error, _}, hornbeam_service_tasks:handle(task_info, [7], #{name => ?SERVER})).

schedules() ->
    ok = hornbeam_servers:set_config(?SERVER, config(#{schedules => ["option=m:f;every=1h"]})),
    {ok, Schedules} = hornbeam_schedules:start_link(?SERVER),
    Worker = spawn(fun() -> receive stop -> ok end end),
    Declare = fun(Name) ->
        {ok, Schedule} = hornbeam_schedule:new(Name, <<"m:f">>, {bytes, <<>>}, #{<<"every">> => 3600000}),
        hornbeam_schedules:declare(?SERVER, Schedule, Worker)
    end,
    ?assertEqual([ok], lists:usort([Declare(integer_to_binary(N)) || N <- lists:seq(1, 999)])),
    ?assertEqual(full, Declare(<<"one more">>)),
    ?assertEqual(ok, Declare(<<"7">>)),
    [#{leads := true, next := Next, rule := <<"every 3600 s">>} | _] = All = hornbeam_schedules:describe(?SERVER),
    ?assertEqual({1000, 0}, {length(All), Next rem 3600000}),
    %% They end with the worker, the option's does not.
    Worker ! stop,
    await:until(fun() -> length(hornbeam_schedules:describe(?SERVER)) =:= 1 end),
    ok = hornbeam_servers:set_config(?SERVER, config(#{})),
    ok = hornbeam_schedules:changed(?SERVER),
    ?assertEqual([], hornbeam_schedules:describe(?SERVER)),
    gen_server:stop(Schedules).
