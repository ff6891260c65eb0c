%%% The life of a worker's Python process: what it is told at its start, why it has ended, when the next one starts; and the log lines
%%% of that.
%%%
%%% Called by: hornbeam_worker, which keeps the state. Calls: hornbeam_frame, hornbeam_reason, hornbeam_cgroup, logger.
-module(hornbeam_worker_life).

-export([boot/2, exited/1, backoff/2, log_not_started/3, log_end/4, log_kill/3]).

-include("hornbeam.hrl").

-define(MAX_BACKOFF, 30000).
%% The exit status of a process that SIGKILL has ended.
-define(KILLED, 137).

%% @doc The `boot' frame: what the process runs.
-spec boot(Number :: pos_integer(), hornbeam_mounts:mount()) -> iodata().
boot(Number, #mount{app = App, settings = Settings}) ->
    Keys = [worker_class, factory, lifespan, root_path, pythonpath, window, body_prefetch, log_level, loop,
            call_poll_time, shutdown_timeout, request_id],
    Boot = maps:merge(maps:with(Keys, Settings), #{app => App, number => Number}),
    hornbeam_frame:encode(boot, 0, hornbeam_msgpack:encode(Boot)).

%% @doc Why it has ended, unless it has said so itself or this server has ended it.
-spec exited({exit_status, integer()} | {pipe_closed, term()}) -> term().
exited({exit_status, ?KILLED}) -> {python_killed, hornbeam_cgroup:oom_kills()};
exited(Status) -> {python_exited, Status}.

%% @doc How many ms the next start waits, and how many have failed in a row by then.
-spec backoff(State :: ready | starting, Failures :: non_neg_integer()) -> {non_neg_integer(), non_neg_integer()}.
backoff(ready, _Failures) ->
    {0, 0};
backoff(_, Failures) ->
    {min(?MAX_BACKOFF, 500 bsl min(Failures, 10)), Failures + 1}.

-spec log_not_started(Number :: pos_integer(), Reason :: term(), Wait :: pos_integer()) -> ok.
log_not_started(Number, Reason, Wait) ->
    logger:error("worker ~b is not started: ~ts; it is tried again every ~b ms", [Number, hornbeam_reason:format(Reason), Wait],
                 #{hornbeam_worker => Number}).

-spec log_end(Number :: pos_integer(), OsPid :: pos_integer() | undefined, Reason :: term(), Wait :: non_neg_integer()) -> ok.
log_end(Number, OsPid, Reason, Wait) ->
    logger:error("worker ~b (pid ~p) ended: ~ts; it is started again in ~b ms",
                 [Number, OsPid, hornbeam_reason:format(Reason), Wait], #{hornbeam_worker => Number}).

-spec log_kill(Number :: pos_integer(), OsPid :: pos_integer() | undefined, Failure :: tuple()) -> ok.
log_kill(Number, OsPid, Failure) ->
    logger:error("worker ~b (pid ~p) ~ts and is killed", [Number, OsPid, deed(Failure)], #{hornbeam_worker => Number}).

deed({bad_frame, Reason}) ->
    io_lib:format("sent what is no frame (~0tp)", [Reason]);
deed({backlog, Bytes, Max}) ->
    io_lib:format("has sent ~b bytes that wait, without reading what it is answered or without an end "
                  "(max_worker_backlog: ~b)", [Bytes, Max]).
