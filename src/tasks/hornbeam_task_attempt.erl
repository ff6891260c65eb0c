%%% One run of a Python function for the background: a call of a value (hornbeam_call_stream), whose payload is packed already.
%%%
%%% Called by: hornbeam_task_book, hornbeam_schedules, whose processes get the messages for ended/2. Calls: hornbeam_call_stream.
-module(hornbeam_task_attempt).

-export([start/3, ref/1, ended/2, stop/1]).
-export_type([attempt/0, failure/0]).

-opaque attempt() :: hornbeam_call_stream:stream().
%% worker_drained: its worker had to leave.
-type failure() :: hornbeam_call_stream:failure() | worker_drained.

%% @doc Packed: [target, arguments, keyword arguments]. The time begins when a place is waited for.
-spec start(hornbeam_pool:id(), Packed :: iodata(), timeout()) -> attempt().
start(Pool, Packed, Timeout) ->
    hornbeam_call_stream:start(#{pool => Pool, kind => value, timeout => Timeout, window => 1, caller => none, drained => worker_drained,
                                 open => fun(Id, _Left) -> hornbeam_frame:encode(invoke, Id, Packed) end}).

%% @doc What its messages are known by: {Ref, Event}.
-spec ref(attempt()) -> reference().
ref(Attempt) -> hornbeam_call_stream:ref(Attempt).

%% @doc What a message says of it: the value, still packed, or why there is none; or nothing.
-spec ended(Message :: term(), attempt()) -> {ok, Packed :: binary()} | {error, failure()} | ignore.
ended(Message, Attempt) ->
    case hornbeam_call_stream:event(Message, Attempt) of
        {done, Packed} -> {ok, Packed};
        {error, Failure} -> {error, Failure};
        _ -> ignore
    end.

%% @doc Gives it up: a coroutine is cancelled. No message of it is left.
-spec stop(attempt()) -> ok.
stop(Attempt) -> hornbeam_call_stream:stop(Attempt).
