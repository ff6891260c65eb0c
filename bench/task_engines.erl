%%% What puts a task on disk how fast: the choice in docs/architecture.md. Not part of `make bench'.
%%%
%%%     mkdir /tmp/engines && cd /tmp/engines && erlc .../bench/task_engines.erl && erl -noshell -s task_engines main
%%%
%%% Ra is measured where it is on the code path (RabbitMQ's source has it with aten, gen_batch_server and seshat). Writes below ./data.
-module(task_engines).

-export([main/0, init/1, apply/3]).

-record(task, {id, seq, state, args}).
-define(NUMBER, 5000).

main() ->
    _ = file:del_dir_r("data"),
    lists:foreach(fun mnesia/1, [1000, 100000]),
    lists:foreach(fun disk_log/1, [1, 64]),
    case code:which(ra) of
        non_existing -> io:format("ra is not on the code path~n");
        _ -> ra()
    end,
    halt().

mnesia(Threshold) ->
    ok = application:set_env(mnesia, dir, "data/mnesia" ++ integer_to_list(Threshold)),
    ok = application:set_env(mnesia, dump_log_write_threshold, Threshold),
    ok = mnesia:create_schema([node()]),
    ok = mnesia:start(),
    {atomic, ok} = mnesia:create_table(task, [{disc_copies, [node()]}, {attributes, record_info(fields, task)}]),
    ok = mnesia:wait_for_tables([task], 5000),
    Name = fun(Text) -> io_lib:format("mnesia, ~ts, dump ~b", [Text, Threshold]) end,
    lists:foreach(fun(Callers) ->
        measure(Name("a transaction each, not synced"), ?NUMBER, Callers, fun(I) -> transaction(I, fun() -> ok end) end),
        measure(Name("a transaction each, sync_log each"), 1000, Callers, fun(I) -> transaction(I, fun mnesia:sync_log/0) end),
        measure(Name("dirty, grouped sync_log"), ?NUMBER, Callers, client(fun(Ops) ->
            lists:foreach(fun dirty/1, Ops),
            ok = mnesia:sync_log()
        end)),
        measure(Name("a transaction a group, sync_log"), ?NUMBER, Callers, client(fun(Ops) ->
            {atomic, ok} = mnesia:transaction(fun() -> lists:foreach(fun written/1, Ops) end),
            ok = mnesia:sync_log()
        end))
    end, [1, 64]),
    stopped = mnesia:stop().

transaction(I, Sync) ->
    #task{id = Id} = Task = task(I),
    {atomic, ok} = mnesia:transaction(fun() -> mnesia:write(Task) end),
    ok = Sync(),
    {atomic, ok} = mnesia:transaction(fun() -> mnesia:delete({task, Id}) end).

dirty({put, Task}) -> mnesia:dirty_write(Task);
dirty({del, Id}) -> mnesia:dirty_delete(task, Id).

written({put, Task}) -> mnesia:write(Task);
written({del, Id}) -> mnesia:delete({task, Id}).

disk_log(Callers) ->
    ok = filelib:ensure_dir("data/x"),
    {ok, Log} = disk_log:open([{name, {log, Callers}}, {file, "data/log" ++ integer_to_list(Callers)}]),
    measure("disk_log, sync each", 1000, Callers, fun(I) ->
        #task{id = Id} = Task = task(I),
        ok = disk_log:log(Log, {put, Task}),
        ok = disk_log:sync(Log),
        ok = disk_log:log(Log, {del, Id})
    end),
    measure("disk_log, grouped sync", ?NUMBER, Callers, client(fun(Ops) ->
        ok = disk_log:log_terms(Log, Ops),
        ok = disk_log:sync(Log)
    end)).

ra() ->
    _ = application:load(ra),
    ok = application:set_env(ra, data_dir, "data/ra"),
    {ok, _} = application:ensure_all_started(ra),
    {ok, _} = ra_system:start_default(),
    Id = {bench, node()},
    {ok, [Id], []} = ra:start_cluster(default, bench, {module, ?MODULE, #{}}, [Id]),
    lists:foreach(fun(Callers) ->
        measure("ra, one member", ?NUMBER, Callers, fun(I) ->
            #task{id = Key} = Task = task(I),
            {ok, ok, _} = ra:process_command(Id, {put, Key, Task}),
            ok = ra:pipeline_command(Id, {del, Key}, no_correlation, low)
        end)
    end, [1, 64]).

%% ra_machine
init(_) -> #{}.

apply(#{index := Index}, {put, Id, Task}, Tasks) -> applied(Index, Tasks#{Id => Task});
apply(#{index := Index}, {del, Id}, Tasks) -> applied(Index, maps:remove(Id, Tasks)).

applied(Index, Tasks) -> {Tasks, ok, [{release_cursor, Index, Tasks} || Index rem 20000 =:= 0]}.

task(I) -> #task{id = <<I:64, (crypto:strong_rand_bytes(8))/binary>>, seq = I, state = pending, args = binary:copy(<<"x">>, 200)}.

%% So many puts and deletes by so many callers at a time, each of which waits until its put is on disk.
measure(Name, Number, Callers, Put) ->
    Self = self(),
    Begun = now_us(),
    Pids = [spawn_link(fun() -> Self ! {self(), [timed(Put, I) || I <- lists:seq(First, Number, Callers)]} end) || First <- lists:seq(1, Callers)],
    Times = lists:sort(lists:append([receive {Pid, Each} -> Each end || Pid <- Pids])),
    Took = now_us() - Begun,
    At = fun(Part) -> lists:nth(max(1, round(length(Times) * Part)), Times) end,
    io:format("~-60ts callers ~2b: ~7b/s, p50 ~b us, p99 ~b us~n", [Name, Callers, round(Number * 1.0e6 / Took), At(0.5), At(0.99)]).

timed(Put, I) ->
    Begun = now_us(),
    _ = Put(I),
    now_us() - Begun.

now_us() -> erlang:monotonic_time(microsecond).

client(Commit) ->
    Writer = spawn_link(fun() -> writer(Commit) end),
    fun(I) ->
        #task{id = Id} = Task = task(I),
        Ref = make_ref(),
        Writer ! {put, Task, {self(), Ref}},
        receive Ref -> ok end,
        Writer ! {del, Id}
    end.

writer(Commit) ->
    Group = [receive {put, _, _} = Put -> Put; {del, _} = Del -> Del end | more()],
    _ = Commit([op(Each) || Each <- Group]),
    _ = [Pid ! Ref || {put, _, {Pid, Ref}} <- Group],
    writer(Commit).

op({put, Task, _}) -> {put, Task};
op({del, Id}) -> {del, Id}.

more() -> receive {put, _, _} = Put -> [Put | more()]; {del, _} = Del -> [Del | more()] after 0 -> [] end.
