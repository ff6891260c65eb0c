%%% One task, one schedule, the options of both, without processes.
-module(hornbeam_tasks_tests).

-include_lib("eunit/include/eunit.hrl").
-include("../src/hornbeam_task.hrl").

task(Options) -> hornbeam_task:new(server, <<"m:f">>, {bytes, <<"body">>}, Options).

what_a_task_can_have_test() ->
    {ok, Task} = task(#{<<"queue">> => <<"q">>, <<"unique">> => <<"k">>, <<"priority">> => -100, <<"durable">> => true, <<"retries">> => 2,
                        <<"timeout">> => 5, <<"delay">> => 1000, <<"backoff">> => [1, 2]}),
    ?assertMatch(#task{queue = <<"q">>, unique = <<"k">>, priority = -100, durable = true, retries = 2, timeout = 5, backoff = [1, 2]}, Task),
    ?assertEqual(1000, Task#task.due - Task#task.created),
    {ok, Other} = task(#{<<"unique">> => none}),
    ?assertEqual(none, Other#task.unique),
    ?assertNotEqual(Task#task.id, Other#task.id),
    [?assertMatch({error, <<"a task cannot have this ", _/binary>>}, task(#{Key => Value}))
     || {Key, Value} <- [{<<"priority">>, 101}, {<<"retries">>, -1}, {<<"timeout">>, 0}, {<<"delay">>, -1}, {<<"backoff">>, [a]},
                         {<<"backoff">>, []}, {<<"queue">>, <<>>}, {<<"queue">>, binary:copy(<<"x">>, 256)}, {<<"other">>, 1},
                         {<<"unique">>, binary:copy(<<"x">>, 1025)}, {<<"durable">>, 1}]],
    ?assertMatch({error, _}, hornbeam_task:new(server, f, {bytes, <<>>}, #{})),
    ?assertMatch({error, _}, hornbeam_task:new(server, <<"m:f">>, <<>>, #{})).

what_an_answer_means_test() ->
    {ok, New} = task(#{<<"retries">> => 1, <<"timeout">> => 7}),
    First = New#task{attempts = 1},
    Last = New#task{attempts = 2},
    ?assertEqual({final, done, {ok, <<1>>}}, hornbeam_task:ended({ok, <<1>>}, First)),
    Raised = {python, <<"ValueError">>, <<"no">>, <<"traceback">>},
    ?assertEqual({retry, {error, <<"ValueError">>, <<"no">>, <<"traceback">>}}, hornbeam_task:ended({error, Raised}, First)),
    ?assertMatch({final, failed, {error, <<"ValueError">>, _, _}}, hornbeam_task:ended({error, Raised}, Last)),
    ?assertMatch({final, failed, {error, <<"WorkerDied">>, _, _}}, hornbeam_task:ended({error, worker_died}, Last)),
    ?assertMatch({final, failed, {error, <<"TimeoutError">>, <<"the task has not ended within 7 ms (timeout)">>, _}},
                 hornbeam_task:ended({error, timeout}, Last)),
    [?assertEqual(not_run, hornbeam_task:ended({error, Reason}, Last)) || Reason <- [worker_drained, overloaded, no_pool]].

delays_of_a_list_go_on_test() ->
    {ok, Task} = task(#{<<"backoff">> => [5, 50]}),
    ?assertEqual([5, 50, 50], [hornbeam_task:delay(Task#task{attempts = N}) || N <- [1, 2, 3]]).

on_disk_and_back_test() ->
    {ok, Task} = task(#{<<"durable">> => true}),
    Running = Task#task{state = running, seq = 9, result = {error, <<"A">>, <<"b">>, <<>>}, progress = half},
    Disk = hornbeam_task:to_disk(Running),
    ?assertNot(is_map_key(server, Disk) orelse is_map_key(progress, Disk) orelse is_map_key(stored, Disk)),
    ?assertEqual({ok, Running#task{state = pending, stored = true, progress = none, server = other}}, hornbeam_task:from_disk(other, Disk)),
    %% One of an earlier version had fewer fields.
    ?assertMatch({ok, #task{retries = 0}}, hornbeam_task:from_disk(other, maps:remove(retries, Disk))),
    ?assertEqual(error, hornbeam_task:from_disk(other, #{})).

a_task_as_text_test() ->
    {ok, Task} = task(#{}),
    Text = unicode:characters_to_binary(hornbeam_task:text(Task#task{result = {error, <<"A">>, <<"b">>, <<"Traceback\n">>}})),
    ?assertMatch({_, _}, binary:match(Text, <<"function  m:f">>)),
    ?assertMatch({_, _}, binary:match(Text, <<"Traceback">>)).

schedule(Options) -> hornbeam_schedule:new(<<"n">>, <<"m:f">>, {bytes, <<"body">>}, Options).

schedules_test() ->
    {ok, Every} = schedule(#{<<"every">> => 60000}),
    ?assertEqual({[120000], 180000}, hornbeam_schedule:next_of(Every, {60000, []}, 130000)),
    ?assertEqual({[], 120000}, hornbeam_schedule:next_of(Every, {60000, []}, 61000)),
    {ok, Cron} = schedule(#{<<"cron">> => <<"0 3 * * *">>, <<"tz">> => <<"Europe/Berlin">>, <<"missed">> => <<"once">>}),
    ?assertEqual({<<"0 3 * * *">>, <<"Europe/Berlin">>}, hornbeam_schedule:cron(Cron)),
    ?assertEqual({[10], 30}, hornbeam_schedule:next_of(Cron, {5, [5, 10, 30]}, 20)),
    ?assertEqual({[], unknown}, hornbeam_schedule:next_of(Cron, {30, [5, 10, 30]}, 20)),
    #task{unique = <<"schedule:n:120000">>, body = <<"body">>} = hornbeam_schedule:task(Every, server, 120000, 0),
    [?assertMatch({error, _}, schedule(Options))
     || Options <- [#{}, #{<<"every">> => 999}, #{<<"every">> => 5000, <<"missed">> => <<"never">>}, #{<<"cron">> => 1},
                    #{<<"every">> => 5000, <<"retries">> => -1}, #{<<"every">> => 5000, <<"jitter">> => -1}]].

%% More than a minute late is missed; of very many the last hundred.
missed_runs_test() ->
    Due = [1000 * N || N <- lists:seq(1, 200)],
    ?assertEqual([200000], hornbeam_schedule:run(skip, Due, 201000)),
    ?assertEqual([], hornbeam_schedule:run(skip, Due, 260001)),
    ?assertEqual([200000], hornbeam_schedule:run(once, Due, 9999999)),
    ?assertEqual(100, length(hornbeam_schedule:run(all, Due, 9999999))),
    ?assertEqual([], hornbeam_schedule:run(all, [], 5)),
    ?assertEqual(100, length(hornbeam_schedule:every(1000, 0, 1000000000))).

options_test() ->
    Check = fun hornbeam_option_schedule:check/1,
    Parsed = {<<"clean">>, <<"m:f">>, #{<<"every">> => 5400000, <<"durable">> => true, <<"retries">> => 3}},
    ?assertEqual({ok, Parsed}, Check("clean=m:f;every=1h30m;durable=true;retries=3")),
    ?assertEqual({ok, Parsed}, Check(Parsed)),
    ?assertEqual({ok, {<<"n">>, <<"m:f">>, #{<<"cron">> => <<"0 3 * * *">>, <<"tz">> => <<"UTC">>}}}, Check("n=m:f; cron=0 3 * * *; tz=UTC")),
    [?assertMatch({error, _, _}, Check(Wrong))
     || Wrong <- ["m:f;every=5m", "n=m;every=5m", "n=m:f", "n=m:f;every=5x", "n=m:f;every=10ms", "n=m:f;every=5m;cron=* * * * *", "n=m:f;cron=* *",
                  "n=m:f;every=5m;tz=UTC", "n=m:f;every=5m;color=red", "n=m:f;every=5m;missed=never", "n=m:f;every", 5, {a, 5, #{}}]],
    ?assertMatch({table, [{<<"name">>, <<"clean">>} | _]}, hornbeam_option_schedule:format(Parsed)),
    ?assertEqual([{ok, 90000}, {ok, 0}, {ok, 86400001}, error, error],
                 [hornbeam_option_schedule:duration(Text) || Text <- ["90s", 0, <<"1d1ms">>, "5", "m5"]]),
    ?assertEqual({ok, {<<"mail">>, 2}}, hornbeam_option_task_queue:check("mail=2")),
    [?assertMatch({error, _, _}, hornbeam_option_task_queue:check(Wrong)) || Wrong <- ["mail", "mail=0", "=1", {mail, 0}, 7]],
    ?assertMatch({error, {bad_option, task_queues, _}}, hornbeam_options:validate(#{task_queues => ["a=1", "a=2"]})),
    ?assertMatch({error, {bad_option, schedules, _}}, hornbeam_options:validate(#{schedules => ["a=m:f;every=5m", "a=m:g;every=5m"]})),
    ?assertMatch({ok, #{data_dir := <<"/", _/binary>>}}, hornbeam_options:validate(#{data_dir => "somewhere"})),
    ?assertMatch({ok, #{schedules := [{<<"n">>, <<"m:f">>, #{<<"every">> := 5000}}]}},
                 hornbeam_options:from_file([{<<"schedules">>, [#{<<"name">> => <<"n">>, <<"function">> => <<"m:f">>, <<"every">> => <<"5s">>}]}], "f")).
