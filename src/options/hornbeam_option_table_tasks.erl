%%% The options of background tasks and schedules: a part of the table of options (hornbeam_option_table, which says what an entry is).
-module(hornbeam_option_table_tasks).

-export([tasks/0, queues_once/1, one_name/1]).

-define(MAX_MS, 16#FFFFFFFF).
-define(MIB, 1048576).

-spec tasks() -> [hornbeam_option_types:spec()].
tasks() ->
    [#{group => tasks, key => task_workers, type => {integer, 0, 1024}, default => 0, scope => server,
       doc => "Python processes that run tasks and serve no requests, with the application of the root; 0: the web workers run tasks "
              "while they have time."},
     #{group => tasks, key => task_concurrency, type => {integer, 1, 10000}, default => 10, scope => server,
       doc => "Tasks that one worker runs at once."},
     #{group => tasks, key => task_queues, flag => "task-queue", metavar => "QUEUE=NUMBER", type => {list, {custom, hornbeam_option_task_queue}},
       default => [], scope => server, check => fun queues_once/1,
       doc => "How many tasks of a queue may run at once; 1: strictly one after the other. Queues not named have no limit of their own."},
     #{group => tasks, key => task_max_queue, type => {integer, 1, 100000000}, default => 100000, scope => server,
       doc => "Tasks that may wait, those with a delay among them; more are refused."},
     #{group => tasks, key => task_max_bytes, type => {integer, ?MIB, 16#FFFFFFFFFFFF}, unit => bytes, default => 256 * ?MIB, scope => server,
       doc => "What the tasks that wait may take in memory, and what those may that are over: of the first more are refused, of the second "
              "the oldest are forgotten."},
     #{group => tasks, key => task_result_ttl, type => {limit, 1000, ?MAX_MS}, unit => ms, default => 3600000, scope => server,
       doc => "How long the result of a task is kept, or its traceback. Durable tasks that have failed stay until they are retried or purged."},
     #{group => tasks, key => data_dir, metavar => "DIR", type => {optional, {custom, hornbeam_option_folder}}, default => "", scope => server,
       doc => "Folder of mode 0700 (made where it is not there) for durable tasks, of this server alone; \"\" for none."},
     #{group => tasks, key => schedules, flag => "schedule", metavar => "NAME=MODULE:FUNCTION;every=5m",
       type => {list, {custom, hornbeam_option_schedule}}, default => [], scope => server, check => fun one_name/1,
       doc => "Functions to run at times: every=5m or cron=0 3 * * *, with tz=, jitter=, missed=skip (once, all) and options of a task."}].

-spec queues_once([hornbeam_option_task_queue:limit()]) -> ok | {error, iodata()}.
queues_once(Limits) -> once([Name || {Name, _} <- Limits]).

-spec one_name([hornbeam_option_schedule:schedule()]) -> ok | {error, iodata()}.
one_name(Schedules) -> once([Name || {Name, _, _} <- Schedules]).

once(Names) ->
    case Names -- lists:usort(Names) of
        [] -> ok;
        [Twice | _] -> {error, ["names ", hornbeam_option_text:show(Twice), " twice"]}
    end.
