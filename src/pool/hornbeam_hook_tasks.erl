%%% Calls of hooks whose value is fetched later, by whoever has the task's id: execute_async, await_result.
%%%
%%% Owns the table hornbeam_hook_tasks (hornbeam_tables owns the table itself). Called by: hornbeam_hooks (from Erlang), hornbeam_hook_calls (from
%%% Python). Calls: hornbeam_call_sup.
%%%
%%%     {Id, Language, Process, Bytes of a value that waits}
%%%     {bytes, Sum}
%%%
%%% Each runs in a process of its own, which makes the call, keeps its value, gives it to the first who asks, and ends. It belongs to
%%% nobody: the worker that began it may end. An id is random, so that nobody guesses another's; a task is fetched in the language that began it.
%%%
%%% Limits: ?MAX_TASKS tasks on a node; a value that is not fetched is kept for ?KEPT ms. One that runs for ?LONGEST ms is ended. Values that wait
%%% may take ?MAX_BYTES together: one for which there is no room is dropped, and whoever asks for it is told.
-module(hornbeam_hook_tasks).

-export([start/2, await/3]).
-export_type([id/0]).

-define(TABLE, hornbeam_hook_tasks).
-define(MAX_TASKS, 10000).
-define(KEPT, 600000).
-define(LONGEST, 3600000).
-define(MAX_BYTES, 268435456).

-type id() :: binary().

%% @doc Runs a fun in a process of its own; its value is fetched by the id.
-spec start(erlang | python, fun(() -> term())) -> {ok, id()} | {error, overloaded}.
start(Language, Fun) ->
    case ets:info(?TABLE, size) < ?MAX_TASKS orelse swept() of
        true ->
            Id = binary:encode_hex(crypto:strong_rand_bytes(16)),
            {ok, Pid} = hornbeam_call_sup:start_call(fun() -> run(Id, Fun) end),
            true = ets:insert(?TABLE, {Id, Language, Pid, 0}),
            Pid ! {Id, go},
            {ok, Id};
        false ->
            {error, overloaded}
    end.

%% A process that was killed has left its row, and its bytes in the sum.
swept() ->
    Rows = [Row || {_, _, _, _} = Row <- ets:tab2list(?TABLE)],
    {Living, Dead} = lists:partition(fun({_, _, Pid, _}) -> is_process_alive(Pid) end, Rows),
    lists:foreach(fun({Id, _, _, Bytes}) -> forget(Id, Bytes) end, Dead),
    length(Living) < ?MAX_TASKS.

forget(Id, Bytes) ->
    true = ets:delete(?TABLE, Id),
    _ = Bytes > 0 andalso ets:update_counter(?TABLE, bytes, -Bytes),
    ok.

%% @doc Waits for the value, which is then forgotten; after `timeout' it can be asked for again.
-spec await(erlang | python, id(), timeout()) -> {ok, term()} | {error, timeout | not_found | overloaded}.
await(Language, Id, Timeout) ->
    case ets:lookup(?TABLE, Id) of
        [{_, Language, Pid, _}] ->
            Monitor = monitor(process, Pid),
            Pid ! {Id, await, self(), Monitor},
            answer(Pid, Id, Monitor, Timeout);
        _ ->
            {error, not_found}
    end.

%% It says that it has taken note of the end of the wait, or has sent the value just before.
answer(Pid, Id, Monitor, Timeout) ->
    receive
        {Monitor, Value} -> true = demonitor(Monitor, [flush]), Value;
        {'DOWN', Monitor, process, _, _} -> {error, not_found}
    after Timeout ->
        Pid ! {Id, no_longer, self(), Monitor},
        answer(Pid, Id, Monitor, infinity)
    end.

%%% The process of a task, and the one that makes the call

run(Id, Fun) ->
    receive {Id, go} -> ok end,
    process_flag(trap_exit, true),
    Task = self(),
    Caller = spawn_link(fun() -> Task ! {self(), Fun()} end),
    Timer = erlang:start_timer(?LONGEST, self(), Id),
    running(Id, Caller, Timer, []).

%% Waiting: who asks, newest first.
running(Id, Caller, Timer, Waiting) ->
    receive
        {Caller, Value} -> finished(Id, {ok, Value}, Waiting);
        {'EXIT', Caller, _} -> finished(Id, {error, not_found}, Waiting);
        {'EXIT', _, Reason} -> exit(Reason);
        {timeout, Timer, _} -> exit(Caller, kill), finished(Id, {error, timeout}, Waiting);
        {Id, await, From, Monitor} -> running(Id, Caller, Timer, [{From, Monitor} | Waiting]);
        {Id, no_longer, From, Monitor} ->
            From ! {Monitor, {error, timeout}},
            running(Id, Caller, Timer, lists:delete({From, Monitor}, Waiting))
    end.

%% The first of those who are still there gets it; to the others the task is one that is not there.
finished(Id, Value, Waiting) ->
    case [Who || {From, _} = Who <- lists:reverse(Waiting), is_process_alive(From)] of
        [Who | _] -> give(Who, Value);
        [] -> keep(Id, Value)
    end,
    [{_, _, _, Bytes}] = ets:lookup(?TABLE, Id),
    forget(Id, Bytes).

keep(Id, Value) ->
    Kept = case fits(Id, erlang:external_size(Value)) of
        true -> Value;
        false -> {error, overloaded}
    end,
    receive
        {Id, await, From, Monitor} -> give({From, Monitor}, Kept)
    after ?KEPT ->
        ok
    end.

give({From, Monitor}, Value) ->
    From ! {Monitor, Value},
    ok.

fits(Id, Size) ->
    case ets:update_counter(?TABLE, bytes, Size, {bytes, 0}) =< ?MAX_BYTES of
        true -> ets:update_element(?TABLE, Id, {4, Size});
        false -> _ = ets:update_counter(?TABLE, bytes, -Size), false
    end.
