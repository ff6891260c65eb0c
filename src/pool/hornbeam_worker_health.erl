%%% Whether a Python worker's loop still runs, and what it says of itself.
%%%
%%% Called by: hornbeam_worker, which sends the pings, keeps the timer and does what it is told; hornbeam_worker_stack (stacks/1). Calls:
%%% hornbeam_python (signal).
%%%
%%%     ping ──pong──▶ (wait ?INTERVAL) ──▶ ping
%%%      │ ?LATE_AFTER
%%%      ▼
%%%     late ──pong──▶ ...            new requests go to other workers (?SLOT_OPEN is ?LATE)
%%%      │ worker_heartbeat
%%%      ▼
%%%     blocked ──pong──▶ ...         every thread's stack is asked for by a signal
%%%      │ ?DUMP_TIME
%%%      ▼
%%%     dumped ──in a debugger──▶ (worker_heartbeat) ──▶ blocked
%%%      │                            else the stacks are logged, the process is to be killed
%%%
%%% A ping is a frame like any other and is answered by the loop itself. A worker that is merely busy, with many requests
%%% or with threads that hold the interpreter's lock, gets to it within moments: lateness is its load and costs it
%%% nothing but new requests. Only a loop that has not come round once in all of worker_heartbeat is blocked; and
%%% an answer that comes while its stack is being written still saves it. Nothing else is ever a reason to kill.
%%% A loop that stands in a debugger is waited for, and looked at again; when it is continued it has all of worker_heartbeat
%%% once more. What is recognised is the stack of a debugger that waits for its user, in whichever thread: a trace
%%% function alone (coverage) means nothing.
%%% A timer that fires much too late says that it was the VM itself that stood still (SIGSTOP, a laptop that slept, a machine
%%% that is overloaded): the worker then has all of its time again.
%%% While a lifespan starts or stops there is no heartbeat: startup_timeout and shutdown_timeout hold.
%%%
%%% The stacks: faulthandler writes them in the handler of a real-time signal, which needs neither the loop
%%% nor the interpreter's lock, into a file without a name that the worker holds open; it is read here
%%% through /proc, and emptied there before the signal. A process that is stopped (SIGSTOP) writes nothing: the log then
%%% says so.
-module(hornbeam_worker_health).

-export([start/5, beat/2, pong/2, describe/1, is_debugger/1, signal/1, stacks/1, last/1]).
-export_type([health/0, stage/0]).

-include("hornbeam.hrl").
-include_lib("kernel/include/file.hrl").

-define(INTERVAL, 2000).
-define(LATE_AFTER, 1000).
-define(DUMP_TIME, 500).
-define(MUCH_TOO_LATE, 1000).
%% Where a debugger stands while it waits: pdb (and what is made of it, also after the fact), any other made of bdb, and
%% pydevd (debugpy, PyCharm).
-define(DEBUGGER, <<"File \"(?:[^\"\n]*/)?(?:pdb\\.py\", line \\d+ in _cmdloop|"
                    "bdb\\.py\", line \\d+ in (?:trace_dispatch|dispatch_\\w+)|"
                    "pydevd\\.py\", line \\d+ in (?:_?do_wait_suspend|_wait_for_attach))$">>).
%% More of a dump is cut from its beginning: the main thread's stack is the last.
-define(MAX_DUMP, 65536).

-type stage() :: ping | late | blocked | dumped.
-type timer() :: {timeout(), stage()}.

-record(health, {
    number :: pos_integer(),
    os_pid :: pos_integer() | undefined,
    counters :: atomics:atomics_ref(),
    limit :: timeout(),
    python :: binary(),                 % the interpreter's version
    interface :: asgi | wsgi,           % of the application
    dump :: {Descriptor :: integer(), Signal :: integer()} | none,
    sequence = 0 :: non_neg_integer(),
    sent = 0 :: integer(),
    due = 0 :: integer(),       % when the timer is to fire
    lag = 0 :: non_neg_integer(),
    answered = 0 :: integer(),
    debugged = false :: boolean(),      % it stood in a debugger when it was last looked at
    figures = #{} :: map()
}).
-opaque health() :: #health{}.

%% @doc For a Python process that has said `ready': About is what it said. Limit: worker_heartbeat.
-spec start(pos_integer(), pos_integer() | undefined, atomics:atomics_ref(), Limit :: timeout(), About :: map()) ->
    {timer(), health()}.
start(Number, OsPid, Counters, Limit, About) ->
    Dump = case About of
        #{<<"dump">> := [Descriptor, Signal]}
                when is_integer(Descriptor), Descriptor >= 0, is_integer(Signal), Signal > 0, Signal =< 64 ->
            {Descriptor, Signal};
        #{} -> none
    end,
    Python = case About of
        #{<<"python">> := Version} when is_binary(Version), byte_size(Version) < 64 -> Version;
        #{} -> <<"of unknown version">>
    end,
    Interface = case About of
        #{<<"interface">> := <<"wsgi">>} -> wsgi;
        #{} -> asgi
    end,
    {{0, ping}, #health{number = Number, os_pid = OsPid, counters = Counters, limit = Limit, dump = Dump, python = Python,
                        interface = Interface}}.

%% @doc The timer has fired: what to do, and when to come again.
-spec beat(stage(), health()) -> {{ping, binary()} | nothing, timer(), health()} | {kill, Reason :: term(), health()}.
beat(Stage, #health{due = Due, limit = Limit} = Health) ->
    Now = now_ms(),
    case Stage =/= ping andalso Now - Due > ?MUCH_TOO_LATE of
        true -> due({nothing, {min(?LATE_AFTER, third(Limit)), late}, Health#health{sent = Now}});
        false -> due(fired(Stage, Health))
    end.

due({Action, {Time, _} = Timer, Health}) when is_integer(Time) -> {Action, Timer, Health#health{due = now_ms() + Time}};
due(NoTimer) -> NoTimer.

fired(ping, #health{sequence = Sequence, limit = Limit} = Health) ->
    {{ping, <<(Sequence + 1):32>>}, {min(?LATE_AFTER, third(Limit)), late}, Health#health{sequence = Sequence + 1, sent = now_ms()}};
fired(late, #health{counters = Counters, limit = Limit} = Health) ->
    mark(Counters, ?OPEN, ?LATE),
    {nothing, {left(Limit, Health), blocked}, Health};
fired(blocked, Health) ->
    _ = signal(Health),
    {nothing, {?DUMP_TIME, dumped}, Health};
fired(dumped, #health{number = Number, os_pid = OsPid, limit = Limit, debugged = Before} = Health) ->
    Dump = dump(Health),
    case {is_debugger(Dump), Before} of
        {false, false} ->
            logger:error("worker ~b (pid ~p) has not answered for ~b ms (worker_heartbeat) and is killed. ~ts",
                         [Number, OsPid, Limit, told(Dump)], #{hornbeam_worker => Number}),
            {kill, {blocked, Limit}, Health};
        {true, false} ->
            logger:notice("worker ~b (pid ~p) is stopped in a debugger and is waited for",
                          [Number, OsPid], #{hornbeam_worker => Number}),
            {nothing, {Limit, blocked}, Health#health{debugged = true}};
        {Now, true} ->
            {nothing, {Limit, blocked}, Health#health{debugged = Now}}
    end.

%% @doc Has the process write the stack of every thread, by a signal, into a file that stacks/1 reads.
-spec signal(health() | undefined) -> {ok, file:name_all()} | {error, not_ready | no_stacks}.
signal(undefined) ->
    {error, not_ready};
signal(#health{dump = none}) ->
    {error, no_stacks};
signal(#health{dump = {Descriptor, Signal}, os_pid = OsPid}) ->
    empty(OsPid, Descriptor),
    ok = hornbeam_python:signal(OsPid, Signal),
    {ok, path(OsPid, Descriptor)}.

%% @doc What it said of itself when it last answered, and how many ms ago that was.
-spec last(health()) -> {Figures :: map(), Ago :: non_neg_integer()}.
last(#health{figures = Figures, answered = Answered}) -> {Figures, max(0, now_ms() - Answered)}.

%% @doc The answer to the last ping.
-spec pong(Figures :: map(), health()) -> {timer(), health()}.
pong(Figures, #health{counters = Counters, sent = Sent} = Health) ->
    mark(Counters, ?LATE, ?OPEN),
    {{min(?INTERVAL, third(Health#health.limit)), ping},
     Health#health{lag = max(0, now_ms() - Sent), answered = now_ms(), debugged = false, figures = Figures}}.

%% @doc Figures for hornbeam:info/1 and the metrics: `lag' is how long the loop took to answer the last ping, or has
%% been taking so far, in ms; the others are the worker's own (health.py).
-spec describe(health()) -> #{atom() => non_neg_integer() | binary() | asgi | wsgi}.
describe(#health{lag = Lag, figures = Figures, sent = Sent, counters = Counters, python = Python, interface = Interface}) ->
    Now = case atomics:get(Counters, ?SLOT_OPEN) of
        ?LATE -> now_ms() - Sent;
        _ -> Lag
    end,
    Own = [{running, <<"running">>}, {threads, <<"threads">>}, {collections, <<"collections">>}],
    maps:from_list([{lag, Now}, {python, Python}, {interface, Interface} | [{Key, N} || {Key, Name} <- Own, #{Name := N} <- [Figures], is_integer(N), N >= 0]]).

%% A worker that has begun to leave stays closed.
mark(Counters, From, To) ->
    _ = atomics:compare_exchange(Counters, ?SLOT_OPEN, From, To),
    ok.

third(infinity) -> infinity;
third(Limit) -> max(1, Limit div 3).

left(infinity, _Health) -> infinity;
left(Limit, #health{sent = Sent}) -> max(0, Sent + Limit - now_ms()).

now_ms() ->
    erlang:monotonic_time(millisecond).

%% What the stacks of every thread are, or why they are not known.
dump(#health{dump = none}) ->
    none;
dump(#health{dump = {Descriptor, _}, os_pid = OsPid}) ->
    stacks(path(OsPid, Descriptor)).

%% @doc What is in such a file, from its end.
-spec stacks(file:name_all()) -> {ok, binary()} | {error, file:posix()}.
stacks(Path) ->
    case file:read_file_info(Path, [raw]) of
        {ok, #file_info{type = regular, size = Size}} -> read_end(file:open(Path, [raw, read, binary]), Size);
        {ok, _} -> {error, einval};
        {error, Reason} -> {error, Reason}
    end.

%% The worker says which descriptor it is: what is behind it may have no end, or never a beginning.
read_end({ok, File}, Size) ->
    Read = file:pread(File, max(0, Size - ?MAX_DUMP), ?MAX_DUMP),
    ok = file:close(File),
    case Read of
        eof -> {ok, <<>>};
        _ -> Read
    end;
read_end({error, Reason}, _Size) ->
    {error, Reason}.

empty(OsPid, Descriptor) ->
    %% What cannot be emptied cannot be read either, which dump/1 then says.
    Path = path(OsPid, Descriptor),
    _ = case file:read_file_info(Path, [raw]) of
        {ok, #file_info{type = regular}} -> file:write_file(Path, <<>>, [raw]);
        _ -> ok
    end,
    ok.

path(OsPid, Descriptor) ->
    ["/proc/", integer_to_list(OsPid), "/fd/", integer_to_list(Descriptor)].

%% @doc Whether these are the stacks of a process that stands in a debugger.
-spec is_debugger({ok, binary()} | {error, file:posix()} | none) -> boolean().
is_debugger({ok, Text}) -> re:run(Text, ?DEBUGGER, [multiline, {capture, none}]) =:= match;
is_debugger(_) -> false.

told(none) -> "Its stacks are not known: this platform has no way to read them.";
told({ok, <<>>}) -> "It wrote no stack: the whole process stands still (stopped, or waiting for a device).";
told({ok, Text}) -> ["The stack of every thread:\n", string:trim(newest(Text), trailing)];
told({error, Reason}) -> ["Its stacks cannot be read: ", file:format_error(Reason)].

newest(Text) when byte_size(Text) > ?MAX_DUMP -> binary:part(Text, byte_size(Text), -?MAX_DUMP);
newest(Text) -> Text.
