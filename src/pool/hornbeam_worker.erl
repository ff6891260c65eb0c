%%% One Python worker: owns its port, and brings frames from it to whom they are for and back.
%%%
%%% Called by: hornbeam_pool (start), hornbeam_worker_info, connection processes (open/4, send/2, close/3).
%%% Calls: hornbeam_frame, hornbeam_worker_streams (the streams that it is answering), hornbeam_worker_calls (what Python asks
%%% Erlang for), hornbeam_worker_report (what it tells its pool),
%%% hornbeam_worker_life (its Python process: what starts, what has ended), hornbeam_worker_health (heartbeat), hornbeam_worker_memory, hornbeam_worker_exit (the last wait of a stop).
%%%
%%% States
%%%
%%%     starting ──ready──▶ ready ──drain──▶ draining ──drained, deadline──▶ stopping ──exit──▶ (gone)
%%%        ▲  │               │                  │                              ▲
%%%        │  └──exit, failed─┴──▶ backoff ──────┼─ timeout ──▶ starting        │
%%%        └───────────────────────┘             └──exit──▶ (gone)   terminate/3 (the server stops)
%%%
%%%   starting  the process runs; hello, boot and ready are being exchanged; requests are refused
%%%   ready     requests are taken
%%%   draining  what it has is finished; what was already on its way is still taken. At the deadline the owners
%%%             of what is left get {Owner, drain} and ?LAST_MS to say farewell
%%%   stopping  tasks in progress are cancelled, the lifespan's shutdown runs; killed after shutdown_timeout
%%%   backoff   no process. The first restart after a worker was ready is immediate; each start that
%%%             fails doubles the wait, up to hornbeam_worker_life's ?MAX_BACKOFF. So a broken import never exhausts
%%%             a supervisor and never spins. A process that cannot even be made is tried for every ?NOT_STARTED ms.
%%%
%%% Messages from a connection process (none is answered at once, none blocks):
%%%   {open, Id, Owner, Frame}   a new stream; refused with {Owner, {worker_lost, refused}} when not ready
%%%   {send, Frame}              a further frame of a stream
%%%   {adopt, Id, Owner, Frame}  another owner from now on (hornbeam_websocket); tells it if the stream has ended already
%%%   {close, Id, Frame}         the client is gone or has given up; nothing more is sent to the owner
%%% Messages to the owner of a stream:
%%%   {Owner, {worker, Type, Payload}}   a frame of the stream, still encoded
%%%   {Owner, {worker_lost, Why}}        Why: refused (never reached Python), died, drained (it had to leave)
%%%   {Owner, drain}                     this worker leaves now; the stream will be lost within ?LAST_MS
%%%
%%% Failure modes: Python exits or closes its end: every stream gets `died'. Python breaks the protocol (what is no frame, a
%%% frame that may not come now, more than the window or the backlog allows): it is killed, with a log line, and what
%%% it has still written is not read. Its loop is blocked: hornbeam_worker_health. This process is
%%% killed: the table of streams goes to the pool, which tells the owners (an `open' that it had not read
%%% ends by its request's timeout). A connection process is killed without cleaning up: swept every ?SWEEP
%%% ms. The BEAM dies: Python reads end-of-file and ends itself.
%%%
%%% Limits: what is queued towards Python is bounded by the streams' credit and number (max_concurrency), and for what
%%% Python asks for by hornbeam_worker_backlog; a frame by hornbeam_frame:max_size/0.
-module(hornbeam_worker).
-behaviour(gen_statem).

-export([start_link/1, echo/1, open/4, send/2, adopt/4, close/3, drain/2, stop_by/2, farewell/1]).
-export([callback_mode/0, init/1, handle_event/4, terminate/3, format_status/1]).
-export_type([config/0]).

-include("hornbeam.hrl").

%% How long after a start that was not even possible (no process is left, say) the next is tried: it costs nothing.
-define(NOT_STARTED, 500).
-define(SWEEP, 10000).
%% What owners of streams have for a farewell when the drain's deadline has passed.
-define(LAST_MS, 500).
%% A place may be taken for a moment by a request that then sees that the worker is closed.
-define(RECHECK, 20).
%% What tasks get at least before they are cancelled.
-define(LEAST_PATIENCE, 300).
%% How many messages of connection processes are put into one write to the port.
-define(BATCH, 64).
%% Long before the numbers of streams, of 32 bits, are used up.
-define(LAST_ID, 16#7fffffff).

-type config() :: #{number := pos_integer(), pool := pid(),
                    waiting := {atomics:atomics_ref(), pos_integer()},
                    mount := hornbeam_mounts:mount(), answered := boolean()}.
-type state() :: starting | ready | draining | stopping | backoff.
-define(TAKES(State), (State =:= ready orelse State =:= draining)).

-record(data, {
    %% For the life of this process:
    number :: pos_integer(),
    pool :: pid(),
    waiting :: {atomics:atomics_ref(), pos_integer()},
    mount :: hornbeam_mounts:mount(),
    slot :: #slot{},
    streams :: hornbeam_worker_streams:streams(),
    answered :: boolean(),              % the first failure is told to whoever asked for this worker
    stop_by = none :: none | integer(), % the server stops: until when tasks may run (monotonic ms)
    started = 0 :: non_neg_integer(),   % Python processes so far
    failures = 0 :: non_neg_integer(),  % starts in a row that did not become ready
    %% For the life of one Python process:
    port :: port() | undefined,
    os_pid :: pos_integer() | undefined,
    buffer = hornbeam_frame:new() :: hornbeam_frame:buffer() | broken,
    booted = false :: boolean(),        % it has said hello
    calls :: hornbeam_worker_calls:calls() | undefined,
    failure :: term(),                  % what it said before it exited
    ready_at :: integer() | undefined,  % monotonic ms
    health :: hornbeam_worker_health:health() | undefined,
    pinged = false :: boolean(),        % and has not answered
    retire_at = infinity :: non_neg_integer() | infinity,   % the stream id with which it is time for a successor
    memory :: hornbeam_worker_memory:watch() | undefined,
    heavy = false :: boolean(),         % max_worker_memory was reached
    drained = false :: boolean(),       % it has said so
    todo = [] :: [gen_statem:action()], % timers that a frame has set
    called_at = 0 :: integer(),         % the last call that came alone (monotonic us)
    stop_at = 0 :: integer()            % stopping: when it is killed (monotonic ms)
}).

%%% API

-spec start_link(config()) -> {ok, pid()} | {error, term()}.
start_link(Config) ->
    %% The heap is as large from the beginning as under load it becomes again and again: 4 % of the VM's CPU for a raw hello.
    gen_statem:start_link(?MODULE, Config,
                          [{spawn_opt, [{message_queue_data, off_heap}, {fullsweep_after, 20}, {min_heap_size, 28690}]}]).

%% @doc Has the worker send {echo, Worker, Now} to the calling process, when it gets to it (monotonic ms).
-spec echo(pid()) -> ok.
echo(Worker) ->
    Worker ! {echo, self()},
    ok.

%% @doc Lets the worker finish what it has, for Time ms, then ends it, and this process with it.
-spec drain(pid(), timeout()) -> ok.
drain(Worker, Time) ->
    gen_statem:cast(Worker, {drain, Time}).

%% @doc The server is about to stop: how long tasks in progress may go on then (monotonic ms).
-spec stop_by(pid(), integer()) -> ok.
stop_by(Worker, Deadline) ->
    gen_statem:cast(Worker, {stop_by, Deadline}).

%% @doc Opens a stream. The caller has taken a place and the id with hornbeam_pool:checkout/1.
-spec open(#slot{}, hornbeam_frame:stream_id(), hornbeam_pool:owner(), iodata()) -> ok.
open(#slot{worker = Worker}, Id, Owner, Frame) ->
    Worker ! {open, Id, Owner, Frame},
    ok.

%% @doc Sends a further frame of an open stream.
-spec send(#slot{}, iodata()) -> ok.
send(#slot{worker = Worker}, Frame) ->
    Worker ! {send, Frame},
    ok.

%% @doc Makes another owner of a stream, and sends a frame of it.
-spec adopt(#slot{}, hornbeam_frame:stream_id(), hornbeam_pool:owner(), iodata()) -> ok.
adopt(#slot{worker = Worker}, Id, Owner, Frame) ->
    Worker ! {adopt, Id, Owner, Frame},
    ok.

%% @doc Ends a stream from this side; the frame tells Python.
-spec close(#slot{}, hornbeam_frame:stream_id(), iodata()) -> ok.
close(#slot{worker = Worker}, Id, Frame) ->
    Worker ! {close, Id, Frame},
    ok.

%% @doc Tells the owners of all streams {Owner, drain}.
-spec farewell(pid()) -> ok.
farewell(Worker) ->
    gen_statem:cast(Worker, farewell).

%%% gen_statem

-spec callback_mode() -> gen_statem:callback_mode_result().
callback_mode() -> handle_event_function.

-spec init(config()) -> {ok, state(), #data{}, [gen_statem:action()]}.
init(#{number := Number, pool := Pool, waiting := Waiting, mount := Mount, answered := Answered}) ->
    process_flag(trap_exit, true),
    #mount{settings = #{window := Window}} = Mount,
    Data = #data{
        number = Number, pool = Pool, waiting = Waiting, mount = Mount,
        answered = Answered,
        slot = #slot{worker = self(), counters = atomics:new(?SLOT_SIZE, [])},
        streams = hornbeam_worker_streams:new(Pool, Window)
    },
    {ok, backoff, Data, [{state_timeout, 0, start}, {{timeout, sweep}, ?SWEEP, sweep}]}.

-spec handle_event(gen_statem:event_type(), term(), state(), #data{}) ->
    gen_statem:event_handler_result(state()).
%% The three that make up a request come first.
handle_event(info, {open, Id, Owner, Frame}, State, #data{retire_at = RetireAt} = Data) when ?TAKES(State) ->
    ok = hornbeam_worker_streams:open(Id, Owner, Frame, Data#data.streams),
    write(Data, [Frame | more_to_send(Data, ?BATCH)]),
    case Id >= RetireAt of
        false -> keep_state_and_data;
        true when Id >= ?LAST_ID -> retire(last_stream_id, Data);
        true -> retire(max_requests, Data)
    end;
handle_event(info, {Port, {data, Bytes}}, State, #data{port = Port} = Data) ->
    case received(Bytes, State, Data) of
        {Frames, NextState, #data{todo = []} = NextData} -> poll(Frames, NextState, NextData);
        {_, NextState, NextData} -> {next_state, NextState, NextData#data{todo = []}, NextData#data.todo}
    end;
handle_event(info, {send, Frame}, State, Data) when ?TAKES(State) ->
    ok = hornbeam_worker_streams:sent(Frame, Data#data.streams),
    write(Data, [Frame | more_to_send(Data, ?BATCH)]),
    keep_state_and_data;
handle_event(info, {adopt, Id, {Pid, _} = Owner, Frame}, _State, #data{streams = Streams} = Data) ->
    case hornbeam_worker_streams:adopt(Id, Owner, Streams) of
        true ->
            write(Data, Frame);
        false ->
            Pid ! {Owner, {worker_lost, died}},
            ok
    end,
    keep_state_and_data;
handle_event(info, {close, Id, Frame}, State, Data) ->
    release(Id, Data),
    _ = ?TAKES(State) andalso write(Data, Frame),
    keep_state_and_data;
handle_event(info, {open, _Id, Owner, _Frame}, _State, Data) ->
    refuse(Owner, Data),
    keep_state_and_data;
handle_event(info, {send, _Frame}, _State, _Data) ->
    keep_state_and_data;
handle_event(info, {echo, From}, _State, _Data) ->
    From ! {echo, self(), erlang:monotonic_time(millisecond)},
    keep_state_and_data;
handle_event({call, From}, info, State, Data) ->
    Told = hornbeam_worker_info:told(State, Data#data.slot, Data#data.health),
    {keep_state_and_data, [{reply, From, Told#{age => age(Data), restarts => max(0, Data#data.started - 1)}}]};
handle_event({timeout, beat}, Stage, State, Data) when ?TAKES(State) ->
    beat(hornbeam_worker_health:beat(Stage, Data#data.health), Data);
handle_event({timeout, beat}, _Stage, _State, _Data) ->
    keep_state_and_data;
handle_event({timeout, lifetime}, retire, ready, Data) ->
    retire(max_worker_lifetime, Data);
handle_event({timeout, lifetime}, retire, _State, _Data) ->
    keep_state_and_data;
handle_event(cast, {drain, Time}, State, Data) ->
    drain(State, Time, Data);
handle_event(cast, {stop_by, Deadline}, _State, Data) ->
    {keep_state, Data#data{stop_by = Deadline}};
handle_event(state_timeout, deadline, draining, Data) ->
    %% Who sends from now on, or is sent to, is too late anyway.
    hornbeam_worker_streams:tell(drain, Data#data.streams),
    {keep_state_and_data, [{state_timeout, ?LAST_MS, last}]};
handle_event(cast, farewell, _State, Data) ->
    hornbeam_worker_streams:tell(drain, Data#data.streams),
    keep_state_and_data;
handle_event(state_timeout, last, draining, Data) ->
    stop_python(Data);
handle_event({timeout, recheck}, recheck, draining, Data) ->
    is_drained(Data);
handle_event({timeout, recheck}, recheck, _State, _Data) ->
    keep_state_and_data;
handle_event(state_timeout, kill, stopping, #data{number = Number, os_pid = OsPid}) ->
    hornbeam_worker_exit:kill(Number, OsPid),
    keep_state_and_data;
handle_event(state_timeout, start, backoff, Data) ->
    start_python(Data);
handle_event(state_timeout, not_ready, starting, #data{os_pid = OsPid, failure = Failure}) when Failure =/= undefined ->
    hornbeam_python:kill(OsPid),
    keep_state_and_data;
handle_event(state_timeout, not_ready, starting, #data{os_pid = OsPid} = Data) ->
    hornbeam_python:kill(OsPid),
    #mount{settings = #{startup_timeout := Timeout}} = Data#data.mount,
    {keep_state, Data#data{failure = {startup_timeout, Timeout}}};
handle_event({timeout, sweep}, sweep, _State, Data) ->
    sweep(Data),
    {keep_state_and_data, [{{timeout, sweep}, ?SWEEP, sweep}]};
handle_event(info, {Port, {exit_status, Status}}, State, #data{port = Port} = Data) ->
    python_ended({exit_status, Status}, State, Data);
handle_event(info, {'EXIT', Port, Reason}, State, #data{port = Port} = Data) ->
    %% A write has found the pipe closed before the exit status came, which now never comes.
    python_ended({pipe_closed, Reason}, State, Data);
handle_event(info, {'EXIT', Port, _Reason}, _State, _Data) when is_port(Port) ->
    %% Its exit status has said the same, or it was the port of kill/1.
    keep_state_and_data;
handle_event(info, Message, _State, Data) ->
    {keep_state, for_calls(Message, Data)}.

%% No secret option in a crash report.
-spec format_status(gen_statem:format_status()) -> gen_statem:format_status().
format_status(#{data := #data{mount = Mount} = Data} = Status) ->
    %% What is in `calls' has the options too.
    Status#{data := Data#data{mount = hornbeam_mounts:masked(Mount), calls = undefined}};
format_status(Status) ->
    Status.

-spec terminate(term(), state(), #data{}) -> ok.
terminate(_Reason, State, #data{slot = Slot, streams = Streams} = Data) ->
    atomics:put(Slot#slot.counters, ?SLOT_OPEN, ?CLOSED),
    case State of
        _ when Data#data.port =:= undefined ->
            ok;
        starting ->
            hornbeam_python:kill(Data#data.os_pid);
        stopping ->
            await_exit(Data);
        _ ->
            {next_state, stopping, Stopping, _} = stop_python(Data),
            await_exit(Stopping)
    end,
    hornbeam_worker_streams:fail(Streams, drained),
    refuse_rest(Data).

%% While the lifespan's shutdown runs, its log records and its calls to Erlang are served as ever.
await_exit(#data{number = Number, port = Port, os_pid = OsPid, stop_at = StopAt} = Data) ->
    Left = hornbeam_worker_exit:await(Number, Port, OsPid, StopAt, fun last_words/2, Data),
    hornbeam_worker_calls:stop(Left#data.calls).

last_words({Port, {data, Bytes}}, #data{port = Port} = Data) ->
    {_, stopping, Fed} = received(Bytes, stopping, Data),
    Fed;
last_words({open, _Id, Owner, _Frame}, Data) ->
    refuse(Owner, Data),
    Data;
last_words(Message, Data) ->
    for_calls(Message, Data).

%%% Leaving

drain(ready, Time, #data{slot = #slot{counters = Counters}} = Data) ->
    atomics:put(Counters, ?SLOT_OPEN, ?CLOSED),
    write(Data, hornbeam_frame:encode(drain, 0, <<>>)),
    {next_state, draining, Data, [{state_timeout, Time, deadline}]};
drain(State, _Time, Data) when State =:= starting; State =:= backoff ->
    {stop, normal, Data};
drain(_State, _Time, _Data) ->
    keep_state_and_data.

%% Python has nothing left. A place that is still taken belongs to a request that is on its way here
%% (its end brings `drained' again), or to one that is about to see that the worker is closed.
is_drained(#data{drained = true, slot = #slot{counters = Counters}} = Data) ->
    case atomics:get(Counters, ?SLOT_LOAD) of
        0 -> stop_python(Data);
        _ -> {keep_state_and_data, [{{timeout, recheck}, ?RECHECK, recheck}]}
    end;
is_drained(_Data) ->
    keep_state_and_data.

stop_python(#data{mount = #mount{settings = #{shutdown_timeout := Timeout}}} = Data) ->
    Now = erlang:monotonic_time(millisecond),
    Patience = case Data#data.stop_by of
        none -> Timeout div 2;
        Deadline -> min(Timeout div 2, max(?LEAST_PATIENCE, Deadline - Now))
    end,
    write(Data, hornbeam_frame:encode(stop, 0, <<Patience:32>>)),
    {next_state, stopping, Data#data{stop_at = Now + Timeout}, [{state_timeout, Timeout, kill}]}.

%% Asks once: the pool starts a successor and then says drain/2.
retire(Reason, #data{pool = Pool} = Data) ->
    hornbeam_worker_report:retire(Pool, self(), Reason),
    {keep_state, Data#data{retire_at = infinity}}.

%%% The life of the Python process

start_python(#data{mount = #mount{settings = Settings}, failure = Before} = Data) ->
    case hornbeam_python:open(Settings) of
        {ok, Port} -> python_started(Port, Data);
        {error, Before} -> {keep_state_and_data, [{state_timeout, ?NOT_STARTED, start}]};
        {error, Reason} -> not_started(Reason, Data)
    end.

%% The pool and the log hear of it once, however often it is tried.
not_started(Reason, #data{pool = Pool, number = Number, started = Started, answered = Answered} = Data) ->
    hornbeam_worker_report:lost(Pool, self(), Reason),
    _ = Started =:= 0 andalso Answered orelse hornbeam_worker_life:log_not_started(Number, Reason, ?NOT_STARTED),
    {keep_state, Data#data{failure = Reason, started = max(1, Started)}, [{state_timeout, ?NOT_STARTED, start}]}.

python_started(Port, #data{mount = #mount{settings = Settings}} = Data) ->
    #{startup_timeout := Timeout} = Settings,
    OsPid = case erlang:port_info(Port, os_pid) of
        {os_pid, Number} -> Number;
        undefined -> undefined
    end,
    says_os_pid(OsPid, Data),
    {next_state, starting,
     Data#data{heavy = false, port = Port, os_pid = OsPid, buffer = hornbeam_frame:new(), failure = undefined,
               booted = false, pinged = false, drained = false,
               calls = hornbeam_worker_calls:new(Port, Data#data.number, Settings),
               started = Data#data.started + 1},
     [{state_timeout, Timeout, not_ready}]}.

python_ended(_Status, State, #data{streams = Streams} = Data) when State =:= draining; State =:= stopping ->
    Why = case State of draining -> died; stopping -> drained end,
    _ = hornbeam_worker_streams:clear(Streams, Why),
    ok = hornbeam_worker_calls:stop(Data#data.calls),
    {stop, normal, Data#data{port = undefined}};
python_ended(Status, State, #data{slot = #slot{counters = Counters}} = Data0) ->
    atomics:put(Counters, ?SLOT_OPEN, ?CLOSED),
    says_os_pid(undefined, Data0),
    Reason = case Data0#data.failure of
        undefined -> hornbeam_worker_life:exited(Status);
        Failure -> Failure
    end,
    hornbeam_worker_report:lost(Data0#data.pool, self(), Reason),
    atomics:sub(Counters, ?SLOT_LOAD, hornbeam_worker_streams:clear(Data0#data.streams, died)),
    ok = hornbeam_worker_calls:stop(Data0#data.calls),
    {Wait, Failures} = hornbeam_worker_life:backoff(State, Data0#data.failures),
    %% The first start's failure is the answer of hornbeam:start/2 or reload/1 and needs no line in the log as well.
    _ = State =:= starting andalso Data0#data.started =:= 1 andalso Data0#data.answered
        orelse hornbeam_worker_life:log_end(Data0#data.number, Data0#data.os_pid, Reason, Wait),
    {next_state, backoff,
     Data0#data{port = undefined, os_pid = undefined, calls = undefined, ready_at = undefined, health = undefined,
                failures = Failures},
     [{state_timeout, Wait, start}]}.

%% The only answer to a worker that breaks the protocol: nothing that it says can be believed any more.
kill(Failure, #data{number = Number, os_pid = OsPid, slot = #slot{counters = Counters}} = Data) ->
    atomics:put(Counters, ?SLOT_OPEN, ?CLOSED),
    hornbeam_worker_life:log_kill(Number, OsPid, Failure),
    hornbeam_python:kill(OsPid),
    Data#data{failure = Failure, buffer = broken}.

%%% Frames from Python

%% The frames are returned for poll/3.
received(_Bytes, State, #data{buffer = broken} = Data) ->
    {[], State, Data};
received(Bytes, State0, #data{buffer = Buffer0, calls = Calls0} = Data) ->
    case {hornbeam_frame:feed(Bytes, Buffer0), hornbeam_worker_calls:read(byte_size(Bytes), Calls0)} of
        {{ok, Frames, Buffer}, {ok, Calls}} ->
            {State, Fed} = frames(Frames, State0, Data#data{buffer = Buffer, calls = Calls}),
            {Frames, State, Fed};
        {{error, Reason}, _} ->
            {[], State0, kill({bad_frame, Reason}, Data)};
        {_, {broken, Reason}} ->
            {[], State0, kill(Reason, Data)}
    end.

frames(_Frames, State, #data{buffer = broken} = Data) ->
    {State, Data};
frames([], State, #data{calls = Calls} = Data) ->
    {State, Data#data{calls = hornbeam_worker_calls:flush(Calls)}};
frames([{Type, _, _} | _], State, #data{booted = false} = Data) when Type =/= hello ->
    {State, kill({bad_frame, {unexpected_frame, Type, State}}, Data)};
frames([{Type, Id, _} = Frame | Rest], State, #data{calls = Calls} = Data)
        when Type =:= call; Type =:= demand, Id > 0 ->
    frames(Rest, State, dealt(hornbeam_worker_calls:asked(Frame, Calls), Data));
frames([{Type, 0, Payload} | Rest], State0, Data0) ->
    {State, Data} = control(Type, hornbeam_frame:parse(Type, Payload), State0, Data0),
    frames(Rest, State, Data);
frames([Frame | Rest], State, Data) ->
    frames(Rest, State, about_stream(Frame, Data)).

dealt({ok, [], Calls}, Data) -> Data#data{calls = Calls};
dealt({ok, Demands, Calls}, Data) -> lists:foldl(fun about_stream/2, Data#data{calls = Calls}, Demands);
dealt({broken, Reason}, Data) -> kill(Reason, Data).

%% Every message that is not known here: without a Python process it is late.
for_calls(_Message, #data{calls = undefined} = Data) ->
    Data;
for_calls(_Message, #data{buffer = broken} = Data) ->
    Data;
for_calls(room, #data{calls = Calls} = Data) ->
    dealt(hornbeam_worker_calls:resume(Calls), Data);
for_calls(Message, #data{calls = Calls} = Data) ->
    Data#data{calls = hornbeam_worker_calls:info(Message, Calls)}.

about_stream(_Frame, #data{buffer = broken} = Data) ->
    Data;
about_stream({Type, Id, Payload}, #data{streams = Streams} = Data) ->
    case hornbeam_worker_streams:frame(Type, Id, Payload, Streams) of
        {ends, {Pid, _} = Owner, Passed} ->
            give_back(Data),
            Pid ! {Owner, {worker, Type, Passed}},
            Data;
        {pass, {Pid, _} = Owner, Passed} ->
            Pid ! {Owner, {worker, Type, Passed}},
            Data;
        nothing ->
            Data;
        late ->
            late(Type, Id, Data);
        {broken, Reason} ->
            kill({bad_frame, Reason}, Data)
    end.

%% Closed from this side, unless nobody has been given this id yet.
late(Type, Id, #data{slot = #slot{counters = Counters}} = Data) ->
    case Id =< atomics:get(Counters, ?SLOT_NEXT_ID) of
        true -> Data;
        false -> kill({bad_frame, {unknown_stream, Type, Id}}, Data)
    end.

%%% Frames about the worker as a whole

control(hello, {ok, {Version, _About}}, starting, #data{booted = false} = Data) ->
    case hornbeam_frame:protocol_version() of
        Version ->
            write(Data, hornbeam_worker_life:boot(Data#data.number, Data#data.mount)),
            {starting, Data#data{booted = true}};
        Ours ->
            {starting, kill({bad_frame, {protocol_version, Version, Ours}}, Data)}
    end;
control(ready, {ok, About}, starting, Data) ->
    {ready, became_ready(About, Data)};
control(pong, {ok, Pong}, State, #data{pinged = true, health = Health0} = Data) ->
    case hornbeam_worker_health:pong(Pong, Health0) of
        {ok, {Time, Stage}, Health} ->
            Beat = {{timeout, beat}, Time, Stage},
            {State, weighed(Data#data{health = Health, pinged = false, todo = [Beat | Data#data.todo]})};
        error ->
            {State, kill({bad_frame, unexpected_pong}, Data)}
    end;
control(drained, {ok, _}, draining, Data) ->
    {draining, Data#data{drained = true, todo = [{{timeout, recheck}, 0, recheck} | Data#data.todo]}};
control(drained, {ok, _}, stopping, Data) ->
    {stopping, Data};
control(failed, {ok, Failure}, starting, #data{mount = #mount{settings = #{shutdown_timeout := Timeout}}} = Data) ->
    %% What it has left behind must not hold up the news.
    Timer = [{state_timeout, Timeout, not_ready} || Data#data.failure =:= undefined],
    {starting, Data#data{failure = Failure, todo = Timer}};
control(log, {ok, Record}, State, #data{number = Number} = Data) ->
    hornbeam_worker_log:write(Number, Record),
    {State, Data};
control(Type, error, State, Data) ->
    {State, kill({bad_frame, {bad_payload, Type}}, Data)};
control(Type, _, State, Data) ->
    {State, kill({bad_frame, {unexpected_frame, Type, State}}, Data)}.

became_ready(About, #data{slot = #slot{counters = Counters} = Slot, pool = Pool, mount = Mount} = Data) ->
    #mount{settings = #{worker_heartbeat := Limit, max_worker_lifetime := Lifetime} = Settings} = Mount,
    {{Time, Stage}, Health} =
        hornbeam_worker_health:start(Data#data.number, Data#data.os_pid, Counters, Limit, About),
    Beat = [{{timeout, beat}, Time, Stage} || Limit =/= infinity],
    atomics:put(Counters, ?SLOT_OPEN, ?OPEN),
    hornbeam_worker_report:ready(Pool, self(), Slot),
    Data#data{failures = 0, ready_at = erlang:monotonic_time(millisecond), health = Health,
              memory = hornbeam_worker_memory:new(Settings),
              retire_at = retire_at(atomics:get(Counters, ?SLOT_NEXT_ID), Settings),
              todo = [{{timeout, lifetime}, jittered(Lifetime), retire} | Beat]}.

retire_at(_Now, #{max_requests := infinity}) -> ?LAST_ID;
retire_at(Now, #{max_requests := Max, max_requests_jitter := Jitter}) -> min(?LAST_ID, Now + Max + rand:uniform(Jitter + 1) - 1).

%% Workers that started together must not all come of age together: a tenth of the lifetime lies between.
jittered(infinity) -> infinity;
jittered(Lifetime) -> Lifetime - rand:uniform(max(1, Lifetime div 10)) + 1.

beat({{send, Frame}, {Time, Stage}, Health}, Data) ->
    write(Data, Frame),
    {keep_state, Data#data{health = Health, pinged = true}, [{{timeout, beat}, Time, Stage}]};
beat({nothing, {Time, Stage}, Health}, Data) ->
    {keep_state, Data#data{health = Health}, [{{timeout, beat}, Time, Stage}]};
beat({kill, Reason, Health}, #data{os_pid = OsPid} = Data) ->
    hornbeam_python:kill(OsPid),
    {keep_state, Data#data{health = Health, failure = Reason}}.

%% After each pong: has it grown too large?
weighed(#data{heavy = true} = Data) ->
    Data;
weighed(#data{memory = Memory0, pool = Pool, os_pid = OsPid} = Data) ->
    case hornbeam_worker_memory:look(Memory0, OsPid, age(Data), "/") of
        {ok, Memory} ->
            Data#data{memory = Memory};
        {too_large, Memory} ->
            hornbeam_worker_report:retire(Pool, self(), max_worker_memory),
            Data#data{memory = Memory, heavy = true}
    end.

%% One call alone is what a synchronous caller sends; the next of a row comes soon (hornbeam_worker_poll).
poll([{call, _, _}], State, #data{port = Port, called_at = Before, mount = Mount} = Data0) ->
    #mount{settings = #{call_poll_time := PollTime}} = Mount,
    Now = erlang:monotonic_time(microsecond),
    Data = Data0#data{called_at = Now},
    case hornbeam_worker_poll:is_row(Before, Now) andalso hornbeam_worker_poll:next(Port, Now + PollTime) of
        {Port, _} = Message -> {next_state, State, Data, [{next_event, info, Message}]};
        _ -> {next_state, State, Data}
    end;
poll(_Frames, State, Data) ->
    {next_state, State, Data}.

%%% Small things

write(#data{port = Port}, Frames) ->
    hornbeam_python:write(Port, Frames).

%% What other connection processes have sent meanwhile goes out in the same write (a write wakes
%% Python, which is the dear part). Messages of one stream keep their order: `open' comes before `send'
%% in the mailbox, and a `close' that is left for later is the last of its stream.
more_to_send(_Data, 0) ->
    [];
more_to_send(#data{streams = Streams} = Data, Left) ->
    receive
        {open, Id, Owner, Frame} ->
            ok = hornbeam_worker_streams:open(Id, Owner, Frame, Streams),
            [Frame | more_to_send(Data, Left - 1)];
        {send, Frame} ->
            ok = hornbeam_worker_streams:sent(Frame, Streams),
            [Frame | more_to_send(Data, Left - 1)]
    after 0 ->
        []
    end.

%% Takes a stream out of the table and gives its place back.
release(Id, #data{streams = Streams} = Data) ->
    case hornbeam_worker_streams:release(Id, Streams) of
        true -> give_back(Data);
        false -> ok
    end.

give_back(#data{slot = #slot{counters = Counters}, waiting = {Waiting, Index}, pool = Pool}) ->
    atomics:sub(Counters, ?SLOT_LOAD, 1),
    case atomics:get(Waiting, Index) > 0 of
        true -> hornbeam_worker_report:capacity(Pool);
        false -> ok
    end.

refuse({Pid, _} = Owner, Data) ->
    Pid ! {Owner, {worker_lost, refused}},
    give_back(Data).

refuse_rest(Data) ->
    receive
        {open, _Id, Owner, _Frame} -> refuse(Owner, Data), refuse_rest(Data)
    after 0 ->
        ok
    end.

sweep(#data{streams = Streams} = Data) ->
    lists:foreach(fun(Id) ->
        release(Id, Data),
        write(Data, hornbeam_frame:encode(disconnect, Id, <<0>>))
    end, hornbeam_worker_streams:abandoned(Streams)).

says_os_pid(undefined, Data) -> says_os_pid(0, Data);
says_os_pid(OsPid, #data{slot = #slot{counters = Counters}}) -> atomics:put(Counters, ?SLOT_OS_PID, OsPid).

age(#data{ready_at = undefined}) -> 0;
age(#data{ready_at = ReadyAt}) -> erlang:monotonic_time(millisecond) - ReadyAt.
