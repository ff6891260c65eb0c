%%% The book of one server's tasks: which wait, run, are over; what follows when one is added, ends, is cancelled.
%%%
%%% Owns the rows of hornbeam_task_table. Called by: hornbeam_tasks, in whose process all of it runs, and which gets the messages for message/2.
%%% Calls: hornbeam_task, hornbeam_task_queue (which is next), hornbeam_task_places (how many may run), hornbeam_task_kept (what is over),
%%% hornbeam_task_limits, hornbeam_task_storing (those on their way to the disk), hornbeam_task_waiters, hornbeam_invocation (a stream on a worker, which takes a place as a request does),
%%% hornbeam_task_store (those that are durable), hornbeam_pubsub (the topic "task:ID").
%%%
%%% Limits: task_max_queue tasks wait; those that wait, and those that are over, each take task_max_bytes at most: more of the first are
%%% refused, of the second the oldest are forgotten, but for failed durable ones, of which ?MAX_DEAD stay.
-module(hornbeam_task_book).

-include("hornbeam_task.hrl").

-export([new/2, configured/2, begin_again/1, admit/3, await/3, cancel/2, retry/2, purge/2, message/2, stop_by/2, stop/1, running/1, lost/1]).
-export_type([book/0, refusal/0]).

%% full: a limit is reached. not_stored: it could not be put on disk. wrong: a mistake. With a text. cluster: an error of hornbeam_cluster's.
-type refusal() :: {full | not_stored | wrong | stopping, binary()} | {cluster, atom()}.
-type reply(Answer) :: {reply, Answer, book()}.

-define(MAX_DEAD, 10000).
%% How soon it is looked again whether workers have time.
-define(HELD, 20).
%% How long one waits that nobody took.
-define(NOT_RUN, 200).
%% Of one timer.
-define(LONGEST, 3600000).

-record(book, {
    server :: atom(),
    config :: map(),
    seq = 0 :: non_neg_integer(),
    queue = hornbeam_task_queue:new() :: hornbeam_task_queue:queue(),
    running = #{} :: #{Id :: binary() => {hornbeam_invocation:invocation(), Queue :: binary()}},
    attempts = #{} :: #{reference() => Id :: binary()},                 % the same
    storing = hornbeam_task_storing:new() :: hornbeam_task_storing:storing(),
    waiting = hornbeam_task_waiters:new() :: hornbeam_task_waiters:waiters(),
    unique = #{} :: #{binary() => Id :: binary()},
    kept :: hornbeam_task_kept:kept(),
    bytes = 0 :: non_neg_integer(),                                     % of those that are not over
    timer = none :: none | {At :: integer(), reference()},
    stop_by = none :: none | integer() | infinity                       % monotonic ms; none: the server is not being stopped
}).
-opaque book() :: #book{}.

-spec new(Server :: atom(), Config :: map()) -> book().
new(Server, Config) ->
    configured(Config, #book{server = Server, config = Config, kept = hornbeam_task_kept:new(?MAX_DEAD)}).

%% @doc The server's options as they are now.
-spec configured(Config :: map(), book()) -> book().
configured(#{task_queues := Queues} = Config, #book{queue = Queue} = Book) ->
    dispatch(Book#book{config = Config, queue = hornbeam_task_queue:limits(maps:from_list(Queues), Queue)}).

%% @doc Goes on with the rows that the store has read, or that are left of a predecessor.
-spec begin_again(book()) -> book().
begin_again(#book{server = Server} = Book) ->
    dispatch(lists:foldl(fun again/2, Book, hornbeam_task_table:of_server(Server))).

%% Of one that is not on disk nobody was told.
again(#task{id = Id, durable = true, stored = false}, Book) ->
    ok = hornbeam_task_table:delete(Id),
    Book;
again(#task{id = Id, seq = Seq} = Task, #book{seq = Last} = Book0) ->
    Book = Book0#book{seq = max(Seq, Last)},
    case hornbeam_task:is_final(Task) of
        true ->
            keep(Task, named(Task, Book));
        false ->
            ok = hornbeam_task_table:update(Id, [{#task.state, pending}]),
            enqueue(Task, counted(Task, named(Task, Book)))
    end.

%% @doc Answers From when the task is over.
-spec await(Id :: binary(), gen_server:from(), book()) -> reply({ok, hornbeam_task:task()} | not_found) | {noreply, book()}.
await(Id, From, #book{waiting = Waiting} = Book) ->
    case hornbeam_task_table:find(Id) of
        {ok, Task} ->
            case hornbeam_task:is_final(Task) of
                true -> {reply, {ok, Task}, Book};
                false -> {noreply, Book#book{waiting = hornbeam_task_waiters:add(Id, From, Waiting)}}
            end;
        error ->
            {reply, not_found, Book}
    end.

-spec cancel(Id :: binary(), book()) -> reply(boolean() | not_found).
cancel(Id, Book) ->
    with(Id, fun(Task) -> cancelled(hornbeam_task:is_final(Task), Task, Book) end, Book).

-spec retry(Id :: binary(), book()) -> reply(boolean() | not_found).
retry(Id, #book{storing = Storing} = Book) ->
    %% It may be cancelled, and the disk has not let go of it yet.
    CanBe = not hornbeam_task_storing:is_member(Id, Storing),
    with(Id, fun(#task{state = Was} = Task) -> retried(CanBe andalso (Was =:= failed orelse Was =:= cancelled), Task, Book) end, Book).

-spec purge(hornbeam_task:state() | all, book()) -> reply(non_neg_integer()).
purge(Which, #book{server = Server} = Book) ->
    Over = [Task || Task <- hornbeam_task_table:all(Server, Which), hornbeam_task:is_final(Task)],
    {reply, length(Over), lists:foldl(fun forget/2, Book, Over)}.

with(Id, Fun, #book{server = Server} = Book) ->
    case hornbeam_task_table:find(Id) of
        {ok, #task{server = Server} = Task} -> Fun(Task);
        _ -> {reply, not_found, Book}
    end.

%% @doc What a message of the process means: the end of an attempt or of a waiter, the store's word, the timer.
-spec message(term(), book()) -> book().
message({{_, Ref}, _} = Message, #book{attempts = Attempts} = Book) when is_map_key(Ref, Attempts) ->
    attempted(maps:get(Ref, Attempts), Message, Book);
message({'DOWN', Monitor, process, _, _}, #book{waiting = Waiting} = Book) ->
    Book#book{waiting = hornbeam_task_waiters:gone(Monitor, Waiting)};
message({hornbeam_task_store, Results}, Book) ->
    dispatch(lists:foldl(fun stored/2, Book, Results));
message({timeout, Timer, look}, #book{timer = {_, Timer}} = Book) ->
    dispatch(Book#book{timer = none});
message(_Message, Book) ->
    Book.

%% @doc No more are begun or taken; what runs has until then.
-spec stop_by(integer() | infinity, book()) -> book().
stop_by(Deadline, Book) -> Book#book{stop_by = Deadline}.

%% @doc As stop_by/2, if that has not been said: with the option graceful_timeout. Until when.
-spec stop(book()) -> {integer() | infinity, book()}.
stop(#book{stop_by = none, config = #{graceful_timeout := infinity}} = Book) -> {infinity, Book#book{stop_by = infinity}};
stop(#book{stop_by = none, config = #{graceful_timeout := Graceful}} = Book) ->
    Deadline = erlang:monotonic_time(millisecond) + Graceful,
    {Deadline, Book#book{stop_by = Deadline}};
stop(#book{stop_by = Deadline} = Book) -> {Deadline, Book}.

%% @doc How many run, and how many are on their way to the disk.
-spec running(book()) -> {non_neg_integer(), non_neg_integer()}.
running(#book{running = Running, storing = Storing}) -> {map_size(Running), hornbeam_task_storing:size(Storing)}.

%% @doc How many are lost when this process ends.
-spec lost(book()) -> non_neg_integer().
lost(#book{server = Server}) ->
    length([Id || #task{id = Id, durable = false} = Task <- hornbeam_task_table:of_server(Server), not hornbeam_task:is_final(Task)]).

%%% A new task

%% @doc Takes one, if there is room: answered at once, or when it is on disk.
-spec admit(hornbeam_task:task(), gen_server:from(), book()) ->
    reply({ok, Id :: binary()} | {error, refusal()}) | {noreply, book()}.
admit(_Task, _From, #book{stop_by = Deadline} = Book) when Deadline =/= none ->
    {reply, {error, {stopping, <<"the server is being stopped">>}}, Book};
admit(#task{unique = Key}, From, #book{unique = Unique, storing = Storing} = Book) when is_map_key(Key, Unique) ->
    #{Key := Id} = Unique,
    case hornbeam_task_storing:join(Id, From, Storing) of
        {ok, Joined} -> {noreply, Book#book{storing = Joined}};
        error -> {reply, {ok, Id}, Book}
    end;
admit(Task, From, Book) ->
    case refused(Task, Book) of
        none -> enter(Task, From, Book);
        Refusal -> {reply, {error, Refusal}, Book}
    end.

refused(#task{queue = Name, durable = Durable} = Task, #book{queue = Queue, storing = Storing, server = Server, config = Config} = Book) ->
    Waiting = #{number => hornbeam_task_queue:size(Queue) + hornbeam_task_storing:held(Storing), bytes => Book#book.bytes,
                has_room => hornbeam_task_queue:has_room(Name, Queue)},
    case hornbeam_task_limits:refused(Task, Waiting, Config) of
        none when Durable -> without_store(hornbeam_task_table:store(Server));
        none -> none;
        Limit -> {full, hornbeam_task_limits:text(Limit)}
    end.

without_store({ok, _}) -> none;
without_store(error) -> {wrong, <<"a durable task needs the option data_dir, or a cluster">>}.

enter(#task{durable = false} = Given, _From, Book0) ->
    {#task{id = Id} = Task, Book} = numbered(Given, Book0),
    {reply, {ok, Id}, arrived(Task, Book)};
enter(#task{durable = true} = Given, From, #book{server = Server, storing = Storing} = Book0) ->
    {#task{id = Id} = Task, Book1} = numbered(Given, Book0),
    Way = hornbeam_task_storing:way(Storing),
    Book = case Way of
        begun -> arrived(Task, Book1);
        held -> _ = inserted(Task), Book1
    end,
    {ok, Store} = hornbeam_task_table:store(Server),
    ok = hornbeam_task_store:write(Store, {put, Task}, true),
    {noreply, Book#book{storing = hornbeam_task_storing:add(Id, Way, From, Storing)}}.

numbered(Given, #book{seq = Last} = Book) ->
    Seq = max(Last + 1, erlang:system_time(microsecond)),
    Task = Given#task{seq = Seq},
    {Task, counted(Task, named(Task, Book#book{seq = Seq}))}.

%% It begins at once, without a row that says that it waits, where no other one does and there is a place.
arrived(Task, #book{queue = Queue0} = Book) ->
    case hornbeam_task_queue:pass(hornbeam_task:entry(Task), now_ms(), Queue0) of
        {ok, Queue} ->
            case places(Book) of
                {Pool, Free} when Free > 0 -> dispatch(run(inserted(begun(Task)), Pool, Book#book{queue = Queue}));
                _ -> waits(Task, Book)
            end;
        wait -> waits(Task, Book)
    end.

waits(Task, Book) -> dispatch(enqueue(inserted(Task), Book)).

inserted(Task) -> ok = hornbeam_task_table:insert(Task), Task.

%% Whoever spawned it hears of it. It may have been cancelled meanwhile, and forgotten.
stored({Id, Result}, #book{storing = Storing0} = Book0) ->
    {Way, Callers, Storing} = hornbeam_task_storing:take(Id, Result =:= ok, Storing0),
    Answer = case Result of ok -> {ok, Id}; {error, Text} -> {error, {not_stored, Text}} end,
    lists:foreach(fun(From) -> gen_server:reply(From, Answer) end, Callers),
    Book = Book0#book{storing = Storing},
    case {Result, hornbeam_task_table:find(Id)} of
        {ok, {ok, #task{state = pending} = Task}} when Way =:= held -> enqueue(Task, Book);
        {{error, _}, {ok, Task}} -> withdrawn(Way, Task, left(Way, Task, Book));
        _ -> Book
    end.

%% Neither waits nor runs any more, and does not count.
left(Way, #task{id = Id} = Task, #book{running = Running, queue = Queue} = Book) ->
    case {hornbeam_task:is_final(Task), Running, Way} of
        {true, _, _} -> Book;
        {false, #{Id := {Attempt, _}}, _} -> ok = hornbeam_invocation:stop(Attempt), discounted(Task, released(Id, Book));
        {false, _, begun} -> discounted(Task, Book#book{queue = hornbeam_task_queue:remove(hornbeam_task:entry(Task), Queue)});
        {false, _, held} -> discounted(Task, Book)
    end.

%% What became of one that has begun may have been written since.
withdrawn(Way, #task{id = Id, server = Server} = Task, #book{kept = Kept, waiting = Waiting} = Book) ->
    ok = hornbeam_task_table:delete(Id),
    _ = [hornbeam_task_store:write(Store, {del, Id}, false) || Way =:= begun, {ok, Store} <- [hornbeam_task_table:store(Server)]],
    unnamed(Task, Book#book{kept = hornbeam_task_kept:remove(Id, Kept), waiting = hornbeam_task_waiters:answer(Id, not_found, Waiting)}).

named(#task{unique = none}, Book) -> Book;
named(#task{state = Over}, Book) when Over =:= failed; Over =:= cancelled -> Book;
named(#task{unique = Key, id = Id}, #book{unique = Unique} = Book) -> Book#book{unique = Unique#{Key => Id}}.

unnamed(#task{unique = Key, id = Id}, #book{unique = Unique} = Book) ->
    case Unique of
        #{Key := Id} -> Book#book{unique = maps:remove(Key, Unique)};
        #{} -> Book
    end.

counted(Task, #book{bytes = Bytes} = Book) -> Book#book{bytes = Bytes + hornbeam_task:size(Task)}.

discounted(Task, #book{bytes = Bytes} = Book) -> Book#book{bytes = Bytes - hornbeam_task:size(Task)}.

enqueue(Task, #book{queue = Queue} = Book) ->
    Book#book{queue = hornbeam_task_queue:add(hornbeam_task:entry(Task), now_ms(), Queue)}.

now_ms() -> erlang:system_time(millisecond).

%%% Running

%% Begins what there is room for, forgets what has been kept long enough, and sees to it that this is looked at again.
dispatch(#book{stop_by = Deadline} = Book) when Deadline =/= none ->
    Book;
dispatch(#book{queue = Queue0} = Book0) ->
    Queue = hornbeam_task_queue:due(now_ms(), Queue0),
    Book = expire(Book0#book{queue = Queue}),
    later(case hornbeam_task_queue:ready(Queue) of
        true -> begin_some(places(Book), Book);
        false -> Book
    end).

places(#book{server = Server, config = Config, running = Running}) ->
    hornbeam_task_places:free(Server, Config, map_size(Running)).

begin_some({Pool, Free}, #book{queue = Queue0} = Book) when Free > 0 ->
    case hornbeam_task_queue:next(Queue0) of
        {Id, Queue} -> begin_some({Pool, Free - 1}, start(Id, Pool, Book#book{queue = Queue}));
        none -> Book
    end;
begin_some(_, Book) ->
    Book.

start(Id, Pool, Book) ->
    {ok, Waited} = hornbeam_task_table:find(Id),
    #task{attempts = Attempts, started = Started} = Task = begun(Waited),
    ok = hornbeam_task_table:update(Id, [{#task.state, running}, {#task.attempts, Attempts}, {#task.started, Started}]),
    run(Task, Pool, Book).

begun(#task{attempts = Before} = Task) -> Task#task{state = running, attempts = Before + 1, started = now_ms()}.

run(#task{id = Id, timeout = Timeout, queue = Name} = Task, Pool, #book{running = Running, attempts = Attempts} = Book) ->
    Attempt = hornbeam_invocation:start(Pool, hornbeam_task:frame(Task), Timeout),
    ok = give_way(),
    ok = tell(Task),
    Book#book{running = Running#{Id => {Attempt, Name}}, attempts = Attempts#{hornbeam_invocation:ref(Attempt) => Id}}.

%% The worker's process may write the frame before the rest is done here, where nobody else waits for this one. (Where some do, one write is better for
%% many frames.)
give_way() ->
    _ = process_info(self(), message_queue_len) =:= {message_queue_len, 0} andalso erlang:yield(),
    ok.

attempted(Id, Message, #book{running = Running} = Book) ->
    #{Id := {Attempt, Name}} = Running,
    case hornbeam_invocation:event(Message, Attempt) of
        {going, Goes} -> Book#book{running = Running#{Id := {Goes, Name}}};
        {ended, Result} -> dispatch(ended(Id, Result, Book))
    end.

ended(Id, Result, Book) ->
    {ok, #task{state = running} = Task} = hornbeam_task_table:find(Id),
    ending(hornbeam_task:ended(Result, Task), Task, released(Id, Book)).

released(Id, #book{running = Running0, attempts = Attempts, queue = Queue} = Book) ->
    {{Attempt, Name}, Running} = maps:take(Id, Running0),
    Book#book{running = Running, attempts = maps:remove(hornbeam_invocation:ref(Attempt), Attempts),
              queue = hornbeam_task_queue:finished(Name, Queue)}.

ending({final, How, Result}, Task, Book) ->
    over(Task#task{state = How, result = Result}, Book);
ending({retry, Result}, #task{attempts = Attempts} = Task, Book) ->
    again_at(Task#task{state = retrying, result = Result, attempts = Attempts, due = now_ms() + hornbeam_task:delay(Task)}, Book);
ending(not_run, #task{attempts = Attempts} = Task, Book) ->
    again_at(Task#task{state = pending, attempts = Attempts - 1, due = now_ms() + ?NOT_RUN}, Book).

again_at(#task{id = Id} = Task, Book) ->
    ok = hornbeam_task_table:update(Id, [{#task.state, Task#task.state}, {#task.result, Task#task.result}, {#task.due, Task#task.due},
                                         {#task.attempts, Task#task.attempts}]),
    ok = tell(Task),
    ok = save(Task),
    enqueue(Task, Book).

%%% The end of a task

over(#task{id = Id} = Task0, Book0) ->
    Task = Task0#task{finished = now_ms()},
    ok = hornbeam_task_table:update(Id, [{#task.state, Task#task.state}, {#task.result, Task#task.result},
                                         {#task.finished, Task#task.finished}]),
    ok = tell(Task),
    ok = save(Task),
    Book = discounted(Task, Book0),
    Waiting = hornbeam_task_waiters:answer(Id, {ok, Task}, Book#book.waiting),
    keep(Task, case Task#task.state of
        done -> Book#book{waiting = Waiting};
        _ -> unnamed(Task, Book#book{waiting = Waiting})
    end).

keep(#task{id = Id, finished = At} = Task, #book{kept = Kept, config = #{task_result_ttl := Ttl}} = Book) ->
    Book#book{kept = hornbeam_task_kept:add(Id, At, hornbeam_task:kept_until(Task, Ttl), hornbeam_task:bytes(Task), Kept)}.

expire(#book{kept = Kept0, config = #{task_max_bytes := Max}} = Book) ->
    {Ids, Kept} = hornbeam_task_kept:expire(now_ms(), Max, Kept0),
    lists:foldl(fun forget/2, Book#book{kept = Kept}, [Task || Id <- Ids, {ok, Task} <- [hornbeam_task_table:find(Id)]]).

forget(#task{id = Id, server = Server, durable = Durable} = Task, #book{kept = Kept} = Book) ->
    ok = hornbeam_task_table:delete(Id),
    _ = [hornbeam_task_store:write(Store, {del, Id}, false) || Durable, {ok, Store} <- [hornbeam_task_table:store(Server)]],
    unnamed(Task, Book#book{kept = hornbeam_task_kept:remove(Id, Kept)}).

cancelled(true, _Task, Book) ->
    {reply, false, Book};
cancelled(false, #task{id = Id} = Task, #book{running = Running, queue = Queue, storing = Storing} = Book0) ->
    Book = case {Running, hornbeam_task_storing:is_held(Id, Storing)} of
        {#{Id := {Attempt, _}}, _} -> ok = hornbeam_invocation:stop(Attempt), released(Id, Book0);
        {_, true} -> Book0;
        {_, false} -> Book0#book{queue = hornbeam_task_queue:remove(hornbeam_task:entry(Task), Queue)}
    end,
    {reply, true, dispatch(over(Task#task{state = cancelled, result = none}, Book))}.

retried(false, _Task, Book) ->
    {reply, false, Book};
retried(true, #task{id = Id} = Over, #book{kept = Kept} = Book) ->
    Task = Over#task{state = pending, attempts = 0, result = none, finished = none, due = now_ms()},
    ok = hornbeam_task_table:update(Id, [{#task.state, pending}, {#task.attempts, 0}, {#task.result, none}, {#task.finished, none},
                                         {#task.due, Task#task.due}]),
    ok = tell(Task),
    ok = save(Task),
    {reply, true, dispatch(enqueue(Task, counted(Task, named(Task, Book#book{kept = hornbeam_task_kept:remove(Id, Kept)}))))}.

save(#task{durable = false}) ->
    ok;
save(#task{server = Server} = Task) ->
    case hornbeam_task_table:store(Server) of
        {ok, Store} -> hornbeam_task_store:write(Store, {put, Task}, false);
        error -> ok
    end.

tell(#task{id = Id} = Task) ->
    _ = hornbeam_pubsub:publish(<<"task:", Id/binary>>, hornbeam_task:event(Task)),
    ok.

%% One timer: for the next whose time comes or is over; soon, while workers have no time.
later(#book{queue = Queue, kept = Kept, timer = Timer} = Book) ->
    Now = now_ms(),
    Next = case hornbeam_task_queue:ready(Queue) of
        true -> Now + ?HELD;
        false -> min(hornbeam_task_queue:next_due(Queue), hornbeam_task_kept:next(Kept))
    end,
    case {Timer, Next} of
        {{At, _}, _} when At =< Next, At > Now -> Book;
        {_, infinity} -> Book;
        _ ->
            _ = Timer =/= none andalso erlang:cancel_timer(element(2, Timer)),
            Wait = min(max(1, Next - Now), ?LONGEST),
            Book#book{timer = {Now + Wait, erlang:start_timer(Wait, self(), look)}}
    end.
