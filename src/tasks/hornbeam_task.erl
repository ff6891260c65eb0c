%%% One task: what is asked for, what came of an attempt, what there is to tell of it, and its form on disk. Pure, but for the ids of new ones.
%%%
%%% Called by: all of src/tasks. Calls: hornbeam_msgpack.
%%%
%%%     pending ──▶ running ──▶ done
%%%        ▲           ├──────▶ failed      no retry is left: the dead letters
%%%        │           └──────▶ retrying ──the backoff has passed──▶ running
%%%        │ (its worker had to leave: the attempt does not count)
%%%     and from any of these to cancelled, but for done and failed
-module(hornbeam_task).

-include("hornbeam_task.hrl").

-export([new/4, is_final/1, frame/1, ended/2, delay/1, kept_until/2, bytes/1, size/1, entry/1, info/1, event/1, outcome/1, to_disk/1, from_disk/2, from_map/2, text/1]).
-export_type([task/0, state/0, result/0, ending/0]).

-type task() :: #task{}.
-type state() :: pending | running | retrying | done | failed | cancelled.
%% ok: what it returned, packed. error: the exception's class, text and traceback.
-type result() :: {ok, binary()} | {error, Class :: binary(), Message :: binary(), Traceback :: binary()}.
%% not_run: nobody took it, or its worker had to leave: once more, and the attempt does not count.
-type ending() :: {final, done | failed, result()} | {retry, result()} | not_run.

-define(MAX_DELAY, 366 * 86400000).
-define(MAX_TIMEOUT, 16#FFFFFFFF).
-define(MAX_RETRIES, 1000).
-define(MAX_NAME, 255).
%% What runs a task in a worker.
-define(RUN, <<"hornbeam_erlang._run:run">>).
%% How many ids a process draws random octets for at once.
-define(DRAWN, 64).
%% Doubling ends here.
-define(MAX_BACKOFF, 3600000).

%% @doc A task of a server. Options: a map of Python's, with texts as keys.
-spec new(Server :: atom(), Function :: term(), Body :: term(), Options :: term()) -> {ok, task()} | {error, binary()}.
new(Server, Function, {bytes, Body}, Options) when is_binary(Function), byte_size(Function) =< 1024, is_map(Options) ->
    Now = erlang:system_time(millisecond),
    Task = #task{id = id(), server = Server, function = Function, body = Body, created = Now, due = Now},
    options(lists:sort(maps:to_list(Options)), Task);
new(_Server, _Function, _Body, _Options) ->
    {error, <<"not a task">>}.

%% The time makes them grow, the rest nobody can guess.
id() ->
    Id = <<(erlang:system_time(microsecond)):56, (unguessable())/binary>>,
    << <<(digit(Half))>> || <<Half:4>> <= Id >>.

%% 8 octets. Drawn many at once, for to draw takes longer than all else that is done for a new task: 20 us of a VM that was idle.
unguessable() ->
    case erase(?MODULE) of
        <<Octets:8/binary, Rest/binary>> -> put(?MODULE, Rest), Octets;
        _ -> put(?MODULE, crypto:strong_rand_bytes(8 * ?DRAWN)), unguessable()
    end.

digit(N) when N < 10 -> $0 + N;
digit(N) -> $a - 10 + N.

options([{_, none} | Rest], Task) ->
    options(Rest, Task);
options([{Key, Value} | Rest], Task) ->
    case option(Key, Value, Task) of
        #task{} = Changed -> options(Rest, Changed);
        wrong -> {error, <<"a task cannot have this ", Key/binary>>}
    end;
options([], Task) ->
    {ok, Task}.

option(<<"queue">>, Name, Task) when is_binary(Name), Name =/= <<>>, byte_size(Name) =< ?MAX_NAME -> Task#task{queue = Name};
option(<<"unique">>, Key, Task) when is_binary(Key), byte_size(Key) =< 1024 -> Task#task{unique = Key};
option(<<"priority">>, N, Task) when is_integer(N), N >= -100, N =< 100 -> Task#task{priority = N};
option(<<"durable">>, Durable, Task) when is_boolean(Durable) -> Task#task{durable = Durable};
option(<<"retries">>, N, Task) when is_integer(N), N >= 0, N =< ?MAX_RETRIES -> Task#task{retries = N};
option(<<"timeout">>, Ms, Task) when is_integer(Ms), Ms > 0, Ms =< ?MAX_TIMEOUT -> Task#task{timeout = Ms};
option(<<"delay">>, Ms, #task{created = Now} = Task) when is_integer(Ms), Ms >= 0, Ms =< ?MAX_DELAY -> Task#task{due = Now + Ms};
option(<<"backoff">>, Ms, Task) when is_integer(Ms), Ms >= 0, Ms =< ?MAX_DELAY -> Task#task{backoff = {doubling, Ms}};
option(<<"backoff">>, [_ | _] = Times, Task) when length(Times) =< ?MAX_RETRIES ->
    case lists:all(fun(Ms) -> is_integer(Ms) andalso Ms >= 0 andalso Ms =< ?MAX_DELAY end, Times) of
        true -> Task#task{backoff = Times};
        false -> wrong
    end;
option(_, _, _) -> wrong.

-spec is_final(task() | state()) -> boolean().
is_final(#task{state = State}) -> is_final(State);
is_final(State) -> lists:member(State, [done, failed, cancelled]).

%% @doc The payload of the `invoke' frame of an attempt (hornbeam_call has its form).
-spec frame(task()) -> iodata().
frame(#task{id = Id, attempts = Attempt, unique = Unique, queue = Queue, function = Function, body = Body}) ->
    %% The body is packed already.
    Arguments = hornbeam_msgpack:array([hornbeam_msgpack:encode(Argument) || Argument <- [Function, Id, Attempt, Unique, Queue]] ++ [Body]),
    hornbeam_msgpack:array([hornbeam_msgpack:encode(?RUN), Arguments, hornbeam_msgpack:encode(#{})]).

%% @doc What a call's answer means to a task. Its attempts count this one already.
-spec ended({ok, binary()} | {error, hornbeam_invocation:failure()}, task()) -> ending().
ended({ok, Packed}, _Task) ->
    %% It may be a part of all that one read has brought.
    {final, done, {ok, binary:copy(Packed)}};
ended({error, Reason}, #task{attempts = Attempts, retries = Retries, timeout = Timeout}) ->
    case error_result(Reason, Timeout) of
        not_run -> not_run;
        Result when Attempts > Retries -> {final, failed, Result};
        Result -> {retry, Result}
    end.

error_result({python, Class, Message, Traceback}, _) -> {error, Class, Message, Traceback};
error_result(timeout, Timeout) ->
    Text = io_lib:format("the task has not ended within ~p ms (timeout)", [Timeout]),
    {error, <<"TimeoutError">>, unicode:characters_to_binary(Text), <<>>};
error_result(worker_died, _) -> {error, <<"WorkerDied">>, <<"its worker died">>, <<>>};
error_result(worker_drained, _) -> not_run;
error_result(overloaded, _) -> not_run;
error_result(NoWorker, _) when NoWorker =:= no_pool; NoWorker =:= not_found -> not_run.

%% @doc How long a task waits before its next attempt, in ms: twice as long each time, a tenth more or less at random; or what a list
%% says, whose last number goes on.
-spec delay(task()) -> non_neg_integer().
delay(#task{backoff = {doubling, First}, attempts = Attempts}) ->
    Time = min(First bsl min(max(0, Attempts - 1), 24), max(First, ?MAX_BACKOFF)),
    max(0, Time - Time div 10 + rand:uniform(Time div 5 + 1) - 1);
delay(#task{backoff = Times, attempts = Attempts}) ->
    lists:nth(max(1, min(Attempts, length(Times))), Times).

%% @doc Until when it is remembered that is over. A failed durable one stays until somebody forgets it: a dead letter.
-spec kept_until(task(), Ttl :: pos_integer() | infinity) -> non_neg_integer() | infinity | dead.
kept_until(#task{state = failed, durable = true}, _Ttl) -> dead;
kept_until(_Task, infinity) -> infinity;
kept_until(#task{finished = At}, Ttl) when is_integer(At) -> At + Ttl.

%% @doc What it holds in memory, nearly.
-spec bytes(task()) -> pos_integer().
bytes(#task{body = Body, function = Function, result = Result}) ->
    500 + byte_size(Body) + byte_size(Function) + result_bytes(Result).

result_bytes(none) -> 0;
result_bytes({ok, Packed}) -> byte_size(Packed);
result_bytes({error, Class, Message, Traceback}) -> byte_size(Class) + byte_size(Message) + byte_size(Traceback).

%% @doc The same without a result: what counts while it is not over.
-spec size(task()) -> pos_integer().
size(Task) -> bytes(Task#task{result = none}).

%% @doc Its place in a queue.
-spec entry(task()) -> hornbeam_task_queue:entry().
entry(#task{id = Id, queue = Queue, priority = Priority, seq = Seq, due = Due}) ->
    #{id => Id, queue => Queue, priority => Priority, seq => Seq, due => Due}.

%% @doc What is published in its topic when it has changed.
-spec event(task()) -> map().
event(#task{id = Id, state = State, attempts = Attempts, progress = Progress, result = Result}) ->
    #{id => Id, state => State, attempts => Attempts, progress => Progress, error => error_of(Result)}.

%% @doc What Python's task_info and a person are told.
-spec info(task()) -> map().
info(#task{} = T) ->
    #{id => T#task.id, function => T#task.function, queue => T#task.queue, state => T#task.state, priority => T#task.priority,
      unique => T#task.unique, durable => T#task.durable, attempts => T#task.attempts, retries => T#task.retries,
      created => seconds(T#task.created), due => seconds(T#task.due), started => seconds(T#task.started),
      finished => seconds(T#task.finished), progress => T#task.progress, error => error_of(T#task.result)}.

seconds(none) -> none;
seconds(Ms) -> Ms / 1000.

error_of({error, Class, Message, Traceback}) -> [Class, Message, Traceback];
error_of(_) -> none.

%% @doc State and result, packed, as Python's task_result and await_task get it.
-spec outcome(task()) -> iodata().
outcome(#task{state = State, result = {ok, Packed}}) ->
    hornbeam_msgpack:array([hornbeam_msgpack:encode(State), Packed]);
outcome(#task{state = State, result = Result}) ->
    hornbeam_msgpack:encode([State, error_of(Result)]).

%% @doc As a map, whose keys a later version may add to.
-spec to_disk(task()) -> map().
to_disk(#task{} = Task) ->
    [task | Values] = tuple_to_list(Task),
    maps:without([server, stored, progress], maps:from_list(lists:zip(record_info(fields, task), Values))).

%% @doc What was running when all ended runs once more.
-spec from_disk(Server :: atom(), map()) -> {ok, task()} | error.
from_disk(Server, Map) ->
    case from_map(Server, Map) of
        {ok, #task{state = running} = Task} -> {ok, Task#task{state = pending}};
        Other -> Other
    end.

%% @doc As it is.
-spec from_map(Server :: atom(), map()) -> {ok, task()} | error.
from_map(Server, #{id := Id, function := Function, body := Body} = Map) ->
    Default = #task{id = Id, server = Server, function = Function, body = Body, stored = true},
    [task | Values] = tuple_to_list(Default),
    Fields = [maps:get(Field, Map, Value) || {Field, Value} <- lists:zip(record_info(fields, task), Values)],
    {ok, list_to_tuple([task | Fields])};
from_map(_Server, _Map) ->
    error.

%% @doc All of it, for a person.
-spec text(task()) -> unicode:chardata().
text(#task{result = Result} = Task) ->
    Info = info(Task),
    Shown = [id, function, queue, state, priority, unique, durable, attempts, retries, created, started, finished, progress],
    [[io_lib:format("~-10s~ts~n", [Key, shown(Key, maps:get(Key, Info))]) || Key <- Shown],
     case Result of
         {error, Class, Message, <<>>} -> io_lib:format("error     ~ts: ~ts~n", [Class, Message]);
         {error, _, _, Traceback} -> ["error\n", Traceback];
         _ -> []
     end].

shown(_, none) -> "-";
shown(Key, Time) when Key =:= created; Key =:= started; Key =:= finished ->
    calendar:system_time_to_rfc3339(round(Time * 1000), [{unit, millisecond}, {offset, "Z"}]);
shown(_, Text) when is_binary(Text) -> Text;
shown(_, Other) -> io_lib:format("~0tP", [Other, 30]).
