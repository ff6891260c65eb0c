%%% The stacks of a worker: of all its threads and of all asyncio tasks.
%%%
%%% Called by: hornbeam_diagnose_command, hornbeam_slow, whoever wants to know; in the caller's process, which waits. Calls: hornbeam_worker_questions,
%%% hornbeam_worker_health (stacks/1).
%%%
%%% Python answers by itself within moments. When it does not in ?PATIENCE its loop is blocked, and faulthandler writes the stacks of the threads in the
%%% handler of a signal, which needs neither the loop nor the interpreter's lock; tasks are not in that, but what blocks is.
-module(hornbeam_worker_stack).

-export([take/1, of_streams/3, by_signal/1]).
-export_type([reason/0]).

-define(PATIENCE, 1000).
-define(LOOK, 20).
-define(LOOKS, 100).

-type reason() :: hornbeam_worker_questions:reason() | no_stacks | file:posix().

%% @doc As text for a person.
-spec take(Worker :: pid()) -> {ok, binary()} | {error, reason()}.
take(Worker) ->
    case hornbeam_worker_questions:ask(Worker, #{what => <<"stacks">>}, ?PATIENCE) of
        {ok, #{<<"text">> := Text}} -> {ok, Text};
        {error, timeout} -> blocked(by_signal(Worker));
        {error, Reason} -> {error, Reason}
    end.

blocked({ok, Text}) ->
    {ok, <<"The event loop does not answer: it is blocked. The stack of every thread, the innermost line first:\n\n", Text/binary>>};
blocked(Error) ->
    Error.

%% @doc Where these streams are, by their ids, or that of the whole process where its loop is blocked.
-spec of_streams(Worker :: pid(), [hornbeam_frame:stream_id()], timeout()) ->
    {streams, #{hornbeam_frame:stream_id() => binary()}} | {blocked, binary()} | {error, reason()}.
of_streams(Worker, Ids, Patience) ->
    case hornbeam_worker_questions:ask(Worker, #{what => <<"streams">>, streams => Ids}, Patience) of
        {ok, #{<<"texts">> := Texts}} -> {streams, Texts};
        {error, timeout} ->
            case by_signal(Worker) of
                {ok, Text} -> {blocked, Text};
                Error -> Error
            end;
        {error, Reason} -> {error, Reason}
    end.

%% @doc Of the threads, the innermost line of each first, whatever the process does.
-spec by_signal(Worker :: pid()) -> {ok, binary()} | {error, reason()}.
by_signal(Worker) ->
    case hornbeam_worker_questions:signal(Worker) of
        {ok, Path} -> written(Path, <<>>, ?LOOKS);
        Error -> Error
    end.

%% All of it has been written when there is something and no more comes.
written(Path, Before, Left) ->
    case hornbeam_worker_health:stacks(Path) of
        {ok, Before} when Before =/= <<>> -> {ok, Before};
        {ok, _} when Left =:= 0 -> {error, timeout};
        {ok, Text} -> receive after ?LOOK -> written(Path, Text, Left - 1) end;
        {error, Reason} -> {error, Reason}
    end.
