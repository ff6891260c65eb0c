%%% The Python processes of one worker, one after the other: what one is told at its start, why it has ended, when the next one
%%% starts; and the log lines of that.
%%%
%%% Called by: hornbeam_worker, which starts and ends them and keeps the timer. Calls: hornbeam_frame, hornbeam_reason, hornbeam_cgroup, hornbeam_worker_crash (text/1, fields/1), logger.
%%%
%%% The first restart after a worker was ready is immediate; each start that fails doubles the wait, up to ?MAX_BACKOFF. So a broken import
%%% never exhausts a supervisor and never spins. A process that cannot even be made is tried for every ?NOT_STARTED.
%%% A failure of the first start is the answer to whoever asked for the worker (hornbeam:start/2, reload/1), where anybody did, and
%%% needs no line in the log as well.
-module(hornbeam_worker_life).

-export([new/2, boot/2, started/1, not_started/2, ready/1, killed/3, reason/2, ended/4, is_crash/3, left/4, restarts/1, last_end/1]).
-export_type([life/0]).

-include("hornbeam.hrl").

-define(MAX_BACKOFF, 30000).
%% It costs nothing, where no process is left, say.
-define(NOT_STARTED, 500).
%% The exit status of a process that SIGKILL has ended.
-define(KILLED, 137).

%% When (seconds of the system's clock) and why the last process has ended.
-type last_end() :: none | {At :: integer(), Reason :: term()}.

-record(life, {
    number :: pos_integer(),            % of the worker
    answered :: boolean(),              % the first failure is told to whoever asked for the worker
    started = 0 :: non_neg_integer(),   % processes so far
    failures = 0 :: non_neg_integer(),  % starts in a row that did not become ready
    missing :: term(),                  % why the next process cannot be made
    last_end = none :: last_end()
}).
-opaque life() :: #life{}.

-spec new(Number :: pos_integer(), Answered :: boolean()) -> life().
new(Number, Answered) ->
    #life{number = Number, answered = Answered}.

%% @doc The `boot' frame: what the process runs. Number 0: it forks those that have one.
-spec boot(Number :: non_neg_integer(), hornbeam_mounts:mount()) -> iodata().
boot(Number, #mount{app = App, settings = Settings} = Mount) ->
    Keys = [worker_class, threads, workers, factory, lifespan, root_path, pythonpath, window, body_prefetch, log_level, log_config, loop,
            call_poll_time, shutdown_timeout, request_id, trace, metrics_opentelemetry, max_concurrency],
    Boot = maps:merge(maps:with(Keys, Settings), maps:merge(channels(Mount), #{app => App, number => Number, measure => hornbeam_options:measures(Settings)})),
    hornbeam_frame:encode(boot, 0, hornbeam_msgpack:encode(Boot)).

%% Those of the root application; without a path there are none.
channels(#mount{host = any, prefix = <<>>, settings = #{channels := Channels, channel_modules := Modules, channels_path := Path}})
        when Channels =/= <<>>; Modules =/= [] ->
    #{channels => Channels, channels_path => Path};
channels(_Mount) ->
    #{channels => <<>>, channels_path => <<>>}.

-spec started(life()) -> life().
started(#life{started = Started} = Life) ->
    Life#life{started = Started + 1, missing = undefined}.

%% @doc There is no process: `new', or for the same reason as before; and for how many ms the next start waits.
-spec not_started(Reason :: term(), life()) -> {new | same, Wait :: pos_integer(), life()}.
not_started(Reason, #life{missing = Reason} = Life) ->
    {same, ?NOT_STARTED, Life};
not_started(Reason, #life{number = Number, started = Started, answered = Answered} = Life) ->
    _ = Started =:= 0 andalso Answered orelse
        logger:error("worker ~b is not started: ~ts; it is tried again every ~b ms", [Number, hornbeam_reason:format(Reason), ?NOT_STARTED],
                     #{hornbeam_worker => Number}),
    {new, ?NOT_STARTED, Life#life{started = max(1, Started), missing = Reason}}.

-spec ready(life()) -> life().
ready(Life) ->
    Life#life{failures = 0}.

%% @doc The process has broken the protocol, and this server ends it.
-spec killed(Failure :: tuple(), OsPid :: pos_integer() | undefined, life()) -> ok.
killed(Failure, OsPid, #life{number = Number}) ->
    logger:error("worker ~b (pid ~p) ~ts and is killed", [Number, OsPid, deed(Failure)], #{hornbeam_worker => Number}).

deed({bad_frame, Reason}) ->
    io_lib:format("sent what is no frame (~0tp)", [Reason]);
deed({backlog, Bytes, Max}) ->
    io_lib:format("has sent ~b bytes that wait, without reading what it is answered or without an end "
                  "(max_worker_backlog: ~b)", [Bytes, Max]).

%% @doc Why a process has ended, with this status, for Failure if it has said why or was ended by this server.
-spec reason({exit_status, integer()} | {pipe_closed, term()}, Failure :: term()) -> term().
reason(Status, undefined) -> exited(Status);
reason(_Status, Failure) -> Failure.

%% @doc It has ended, and there is something to say of it: for how many ms the next start waits.
-spec ended(State :: ready | starting, Reason :: term(), hornbeam_crashes:report(), life()) -> {Wait :: non_neg_integer(), life()}.
ended(State, Reason, #{pid := OsPid, fatal := Fatal} = Report, #life{number = Number, started = Started, answered = Answered} = Life0) ->
    {Wait, Life} = backoff(State, Life0),
    %% Where somebody is told why a first start has failed, that does not have the stack of a crash.
    _ = State =:= starting andalso Started =:= 1 andalso Answered andalso Fatal =:= none orelse
        logger:error("worker ~b (pid ~p) ended: ~ts; it is started again in ~b ms~ts",
                     [Number, OsPid, hornbeam_reason:format(Reason), Wait, told(State, Report)], meta(State, Report, Life0)),
    {Wait, Life#life{last_end = {erlang:system_time(second), Reason}}}.

%% @doc Whether one that was to leave has ended otherwise. What was told to stop exits with status 0; what it says no more may have come too late.
-spec is_crash(draining | stopping, Status :: term(), Failure :: term()) -> boolean().
is_crash(draining, _Status, _Failure) -> true;
is_crash(stopping, {exit_status, Status}, Failure) -> Status =/= 0 andalso Failure =/= shutdown_timeout;
is_crash(stopping, _Status, _Failure) -> false.

%% @doc It was to leave and has ended by a crash. No other one follows.
-spec left(draining | stopping, Reason :: term(), hornbeam_crashes:report(), life()) -> ok.
left(State, Reason, #{pid := OsPid} = Report, #life{number = Number} = Life) ->
    logger:error("worker ~b (pid ~p) ended ~s: ~ts~ts",
                 [Number, OsPid, case State of draining -> "before it had finished what it had"; stopping -> "in its shutdown" end,
                  hornbeam_reason:format(Reason), told(State, Report)], meta(State, Report, Life)).

%% A start that has failed by itself is none.
meta(starting, #{fatal := none}, #life{number = Number}) -> #{hornbeam_worker => Number};
meta(_State, Report, #life{number = Number}) -> #{hornbeam_worker => Number, hornbeam_crash => hornbeam_worker_crash:fields(Report)}.

told(starting, #{fatal := none}) -> "";
told(_State, Report) -> hornbeam_worker_crash:text(Report).

exited({exit_status, ?KILLED}) -> {python_killed, hornbeam_cgroup:oom_kills()};
exited(Status) -> {python_exited, Status}.

backoff(ready, Life) ->
    {0, Life#life{failures = 0}};
backoff(starting, #life{failures = Failures} = Life) ->
    {min(?MAX_BACKOFF, 500 bsl min(Failures, 10)), Life#life{failures = Failures + 1}}.

%% @doc How often the worker's process was started again.
-spec restarts(life()) -> non_neg_integer().
restarts(#life{started = Started}) ->
    max(0, Started - 1).

-spec last_end(life()) -> last_end().
last_end(#life{last_end = LastEnd}) -> LastEnd.
