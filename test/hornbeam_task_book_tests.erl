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
                                      fun stopping/0, fun progress_is_bounded/0, fun schedules/0]]}.

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
