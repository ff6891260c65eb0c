%%% Durable tasks on disk: what is there after any end, what a damaged, missing or full disk means.
-module(hornbeam_task_store_tests).

-include_lib("eunit/include/eunit.hrl").
-include("../src/hornbeam_task.hrl").

store_test_() ->
    {foreach,
     fun() ->
         {ok, Started} = application:ensure_all_started(hornbeam),
         Dir = filename:join(os:getenv("TMPDIR", "/tmp"), "hornbeam-store-" ++ integer_to_list(erlang:unique_integer([positive])) ++ os:getpid()),
         {Started, unicode:characters_to_binary(Dir)}
     end,
     fun({Started, Dir}) ->
         _ = file:del_dir_r(Dir),
         [ok = application:stop(App) || App <- lists:reverse(Started)]
     end,
     [fun({_, Dir}) -> {timeout, 60, {Name, fun() -> Test(Dir) end}} end
      || {Name, Test} <- [{"comes back", fun comes_back/1}, {"cut off", fun cut_off/1}, {"no log", fun no_log/1}, {"full", fun full/1},
                          {"twice", fun twice/1}, {"garbage", fun garbage/1}]]}.

open(Dir) ->
    {ok, Store} = hornbeam_task_store:start_link(store_test, Dir),
    Store.

close(Store) ->
    unlink(Store),
    gen_server:stop(Store).

%% As hornbeam_tasks does: a row, then the write.
put_task(Store, Seq) ->
    {ok, New} = hornbeam_task:new(store_test, <<"m:f">>, {bytes, binary:copy(<<"x">>, 100)}, #{<<"durable">> => true}),
    Task = New#task{seq = Seq},
    ok = hornbeam_task_table:insert(Task),
    ok = hornbeam_task_store:write(Store, {put, Task}, true),
    receive {hornbeam_task_store, [{_, Result}]} -> {Task#task.id, Result} after 20000 -> error(no_answer) end.

forget() ->
    hornbeam_task_table:forget(store_test).

seqs() -> [Seq || #task{seq = Seq} <- hornbeam_task_table:of_server(store_test)].

comes_back(Dir) ->
    First = open(Dir),
    [{_, ok}, {Second, ok}, {_, ok}] = [put_task(First, N) || N <- [1, 2, 3]],
    {ok, #task{stored = true}} = hornbeam_task_table:find(Second),
    ok = hornbeam_task_table:delete(Second),
    ok = hornbeam_task_store:write(First, {del, Second}, false),
    ok = hornbeam_task_store:fired(First, <<"nightly">>, 12345),
    %% It ends as it does with the VM: nothing is closed.
    unlink(First),
    Monitor = monitor(process, First),
    _ = hornbeam_task_store:describe(First),
    exit(First, kill),
    receive {'DOWN', Monitor, process, _, _} -> ok end,
    ok = forget(),
    await:until(fun() -> disk_log:info({hornbeam_task_store, store_test}) =:= {error, no_such_log} end),
    Next = open(Dir),
    ?assertEqual([1, 3], seqs()),
    ?assertEqual({ok, 12345}, hornbeam_task_store:last_fired(Next, <<"nightly">>)),
    ?assertEqual(error, hornbeam_task_store:last_fired(Next, <<"other">>)),
    close(Next).

log(Dir) -> filename:join(Dir, "tasks.log").

%% The last entry is there in part: the others are whole.
cut_off(Dir) ->
    Store = open(Dir),
    _ = [put_task(Store, N) || N <- lists:seq(1, 10)],
    {ok, Whole} = file:read_file(log(Dir)),
    close(Store),
    ok = forget(),
    ok = file:write_file(log(Dir), binary:part(Whole, 0, byte_size(Whole) - 50)),
    close(open(Dir)),
    ?assertEqual(lists:seq(1, 9), seqs()).

no_log(Dir) ->
    ok = file:make_dir(Dir),
    ok = file:change_mode(Dir, 8#700),
    ok = file:write_file(log(Dir), <<"something else that is long enough to be read as a header of a log">>),
    process_flag(trap_exit, true),
    {error, {shutdown, {data_dir, Dir, Text} = Reason}} = hornbeam_task_store:start_link(store_test, Dir),
    ?assertMatch({_, _}, binary:match(Text, <<"is no log of tasks">>)),
    ?assertMatch({_, _}, binary:match(unicode:characters_to_binary(hornbeam_reason:format(Reason)), <<"(data_dir) cannot be used">>)),
    ok = file:change_mode(Dir, 8#755),
    ?assertMatch({error, {shutdown, {data_dir, _, _}}}, hornbeam_task_store:start_link(store_test, Dir)),
    ?assertMatch({error, {shutdown, {data_dir, _, _}}}, hornbeam_task_store:start_link(store_test, <<"/proc/no/such/place">>)),
    receive_exits(3).

receive_exits(0) -> ok;
receive_exits(N) -> receive {'EXIT', _, _} -> receive_exits(N - 1) after 1000 -> ok end.

%% The log fails, and then no other can be begun. What was not written is refused; when there is room again the next one finds it.
full(Dir) ->
    Store = open(Dir),
    {_, ok} = put_task(Store, 1),
    {links, Links} = process_info(Store, links),
    [Log] = [Pid || Pid <- Links, is_pid(Pid), Pid =/= self()],
    exit(Log, kill),
    await:until(fun() -> not is_process_alive(Log) end),
    New = <<(iolist_to_binary(log(Dir)))/binary, ".new">>,
    ok = file:make_dir(New),
    [begin
        {Refused, {error, Text}} = put_task(Store, 2),
        ?assert(byte_size(Text) > 0),
        ok = hornbeam_task_table:delete(Refused)
     end || _ <- [1, 2]],
    ok = file:del_dir(New),
    {_, ok} = put_task(Store, 3),
    close(Store),
    ok = forget(),
    close(open(Dir)),
    ?assertEqual([1, 3], seqs()).

twice(Dir) ->
    Store = open(Dir),
    process_flag(trap_exit, true),
    {error, {shutdown, {data_dir, _, Text}}} = hornbeam_task_store:start_link(other_server, Dir),
    ?assertEqual(<<"another server uses it">>, Text),
    receive_exits(1),
    process_flag(trap_exit, false),
    close(Store).

%% A start leaves nothing of the past in the log.
garbage(Dir) ->
    Store = open(Dir),
    Ids = [element(1, put_task(Store, N)) || N <- lists:seq(1, 200)],
    #{bytes := Before} = hornbeam_task_store:describe(Store),
    [begin ok = hornbeam_task_table:delete(Id), ok = hornbeam_task_store:write(Store, {del, Id}, false) end || Id <- Ids],
    close(Store),
    Next = open(Dir),
    #{bytes := After} = hornbeam_task_store:describe(Next),
    ?assert(After < Before div 10),
    close(Next).
