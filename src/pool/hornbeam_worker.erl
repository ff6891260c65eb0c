%%% One Python worker: owns its port and the table of the streams that it is answering.
%%%
%%% Called by: hornbeam_pool (start, info), connection processes (open/4, send/2, close/3).
%%% Calls: hornbeam_frame, hornbeam_services (calls from Python), hornbeam_pool (ready, lost, capacity).
%%%
%%% States
%%%
%%%     starting ──ready──▶ ready ──stop──▶ (terminate/3)
%%%        ▲  │               │
%%%        │  └──exit, failed─┴──▶ backoff ──timeout──▶ starting
%%%
%%%   starting  the process runs; hello, boot and ready are being exchanged; requests are refused
%%%   ready     requests are taken
%%%   backoff   no process. The first restart after a worker was ready is immediate; each start that
%%%             fails doubles the wait, up to ?MAX_BACKOFF. So a broken import never exhausts
%%%             a supervisor and never spins.
%%%
%%% Messages from a connection process (none is answered at once, none blocks):
%%%   {open, Id, Owner, Frame}   a new stream; refused with {Owner, {worker_lost, refused}} when not ready
%%%   {send, Frame}              a further frame of a stream
%%%   {adopt, Id, Owner, Frame}  another owner from now on (hornbeam_websocket); tells it if the stream has ended already
%%%   {close, Id, Frame}         the client is gone or has given up; nothing more is sent to the owner
%%% Messages to the owner of a stream:
%%%   {Owner, {worker, Type, Payload}}   a frame of the stream, still encoded
%%%   {Owner, {worker_lost, Why}}        Why: refused (never reached Python), died
%%%
%%% Failure modes: Python exits or closes its end: every stream gets `died'. Python sends what is no
%%% frame: it is killed, with a log line. This process is killed: the table of streams goes to the pool,
%%% which tells the owners. A connection process is killed without cleaning up: swept every ?SWEEP ms.
%%% The BEAM dies: Python reads end-of-file and ends itself.
%%%
%%% Limits: what is queued towards Python is bounded by the streams' credit (hornbeam_request) and
%%% their number (max_concurrency); a frame by hornbeam_frame:max_size/0.
-module(hornbeam_worker).
-behaviour(gen_statem).

-export([start_link/1, info/1, open/4, send/2, adopt/4, close/3, fail_streams/1]).
-export([callback_mode/0, init/1, handle_event/4, terminate/3]).
-export_type([config/0]).

-include("hornbeam.hrl").

-define(MAX_BACKOFF, 30000).
-define(SWEEP, 10000).
%% How many messages of connection processes are put into one write to the port.
-define(BATCH, 64).

-type config() :: #{number := pos_integer(), pool := pid(),
                    waiting := {atomics:atomics_ref(), pos_integer()},
                    mount := hornbeam_mounts:mount()}.
-type state() :: starting | ready | backoff.

-record(data, {
    %% For the life of this process:
    number :: pos_integer(),
    pool :: pid(),
    waiting :: {atomics:atomics_ref(), pos_integer()},
    mount :: hornbeam_mounts:mount(),
    interpreter :: file:filename(),
    slot :: #slot{},
    streams :: ets:tid(),               % {Id, Owner}
    started = 0 :: non_neg_integer(),   % Python processes so far
    failures = 0 :: non_neg_integer(),  % starts in a row that did not become ready
    %% For the life of one Python process:
    port :: port() | undefined,
    os_pid :: pos_integer() | undefined,
    buffer = hornbeam_frame:new() :: hornbeam_frame:buffer(),
    services :: hornbeam_services:state() | undefined,
    failure :: term(),                  % what it said before it exited
    ready_at :: integer() | undefined   % monotonic ms
}).

%%% API

-spec start_link(config()) -> {ok, pid()} | {error, term()}.
start_link(Config) ->
    gen_statem:start_link(?MODULE, Config,
                          [{spawn_opt, [{message_queue_data, off_heap}, {fullsweep_after, 20}]}]).

%% @doc For a person: the state, the process id, requests in progress, resident memory in bytes, the
%% age of the Python process in ms, and how often it was started again.
-spec info(pid()) -> map().
info(Worker) ->
    try gen_statem:call(Worker, info, 1000)
    catch exit:{_, _} -> #{state => unresponsive}
    end.

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

%% @doc Tells the owners of all streams of a table that their worker has died.
-spec fail_streams(ets:tid()) -> ok.
fail_streams(Streams) ->
    ets:foldl(fun({_Id, {Pid, _} = Owner}, ok) -> Pid ! {Owner, {worker_lost, died}}, ok end,
              ok, Streams).

%%% gen_statem

-spec callback_mode() -> gen_statem:callback_mode_result().
callback_mode() -> handle_event_function.

-spec init(config()) -> {ok, state(), #data{}, [gen_statem:action()]}.
init(#{number := Number, pool := Pool, waiting := Waiting, mount := Mount}) ->
    process_flag(trap_exit, true),
    {ok, Interpreter} = hornbeam_python:interpreter(Mount#mount.settings),
    Data = #data{
        number = Number, pool = Pool, waiting = Waiting, mount = Mount, interpreter = Interpreter,
        slot = #slot{worker = self(), counters = atomics:new(?SLOT_SIZE, [])},
        streams = ets:new(streams, [set, protected, {heir, Pool, streams}])
    },
    {ok, backoff, Data, [{state_timeout, 0, start}, {{timeout, sweep}, ?SWEEP, sweep}]}.

-spec handle_event(gen_statem:event_type(), term(), state(), #data{}) ->
    gen_statem:event_handler_result(state()).
%% The three that make up a request come first.
handle_event(info, {open, Id, Owner, Frame}, ready, Data) ->
    true = ets:insert(Data#data.streams, {Id, Owner}),
    write(Data, [Frame | more_to_send(Data, ?BATCH)]),
    keep_state_and_data;
handle_event(info, {Port, {data, Bytes}}, State, #data{port = Port, buffer = Buffer0} = Data) ->
    case hornbeam_frame:feed(Bytes, Buffer0) of
        {ok, Frames, Buffer} ->
            {NextState, NextData} = frames(Frames, State, Data#data{buffer = Buffer}, []),
            {next_state, NextState, NextData};
        {error, Reason} ->
            {keep_state, garbage(Reason, Data)}
    end;
handle_event(info, {send, Frame}, ready, Data) ->
    write(Data, [Frame | more_to_send(Data, ?BATCH)]),
    keep_state_and_data;
handle_event(info, {adopt, Id, {Pid, _} = Owner, Frame}, _State, #data{streams = Streams} = Data) ->
    case ets:member(Streams, Id) of
        true ->
            true = ets:insert(Streams, {Id, Owner}),
            write(Data, Frame);
        false ->
            Pid ! {Owner, {worker_lost, died}}
    end,
    keep_state_and_data;
handle_event(info, {close, Id, Frame}, State, Data) ->
    _ = release(Id, Data),
    _ = State =:= ready andalso write(Data, Frame),
    keep_state_and_data;
handle_event(info, {open, _Id, Owner, _Frame}, _State, Data) ->
    refuse(Owner, Data),
    keep_state_and_data;
handle_event(info, {send, _Frame}, _State, _Data) ->
    keep_state_and_data;
handle_event({call, From}, info, State, Data) ->
    {keep_state_and_data, [{reply, From, describe(State, Data)}]};
handle_event(state_timeout, start, backoff, Data) ->
    start_python(Data);
handle_event(state_timeout, not_ready, starting, #data{os_pid = OsPid} = Data) ->
    hornbeam_python:kill(OsPid),
    #mount{settings = #{startup_timeout := Timeout}} = Data#data.mount,
    {keep_state, Data#data{failure = {startup_timeout, Timeout}}};
handle_event({timeout, sweep}, sweep, _State, Data) ->
    sweep(Data),
    {keep_state_and_data, [{{timeout, sweep}, ?SWEEP, sweep}]};
handle_event(info, {Port, {exit_status, Status}}, State, #data{port = Port} = Data) ->
    python_ended({exit_status, Status}, State, Data);
handle_event(info, {'EXIT', Port, _Reason}, _State, _Data) when is_port(Port) ->
    %% A port's exit status has said the same.
    keep_state_and_data;
handle_event(info, _Message, _State, #data{services = undefined}) ->
    keep_state_and_data;
handle_event(info, Message, _State, #data{services = Services0} = Data) ->
    %% What is left are answers to calls of Python's that took a process of their own.
    {Frames, Services} = hornbeam_services:handle_info(Message, Services0),
    write(Data, Frames),
    {keep_state, Data#data{services = Services}}.

-spec terminate(term(), state(), #data{}) -> ok.
terminate(_Reason, State, #data{slot = Slot, streams = Streams} = Data) ->
    atomics:put(Slot#slot.counters, ?SLOT_OPEN, 0),
    case State of
        ready ->
            write(Data, hornbeam_frame:encode(stop, 0, <<>>)),
            #mount{settings = #{shutdown_timeout := Timeout}} = Data#data.mount,
            await_exit(Data, erlang:monotonic_time(millisecond) + Timeout),
            hornbeam_services:stop(Data#data.services);
        starting ->
            hornbeam_python:kill(Data#data.os_pid);
        backoff ->
            ok
    end,
    fail_streams(Streams),
    refuse_rest(Data).

%%% The life of the Python process

start_python(#data{mount = #mount{settings = Settings}, interpreter = Interpreter} = Data) ->
    #{startup_timeout := Timeout} = Settings,
    Port = hornbeam_python:open(Interpreter, Settings),
    OsPid = case erlang:port_info(Port, os_pid) of
        {os_pid, Number} -> Number;
        undefined -> undefined
    end,
    {next_state, starting,
     Data#data{port = Port, os_pid = OsPid, buffer = hornbeam_frame:new(), failure = undefined,
               services = hornbeam_services:new(Data#data.number, Settings),
               started = Data#data.started + 1},
     [{state_timeout, Timeout, not_ready}]}.

%% The map of the `boot' frame.
boot(#data{number = Number, mount = #mount{app = App, settings = Settings}}) ->
    Keys = [worker_class, lifespan, root_path, pythonpath, window, body_prefetch, log_level, loop,
            call_poll_time, shutdown_timeout],
    Boot = maps:merge(maps:with(Keys, Settings), #{app => App, number => Number}),
    hornbeam_frame:encode(boot, 0, hornbeam_msgpack:encode(Boot)).

python_ended(Status, State, #data{slot = #slot{counters = Counters}} = Data0) ->
    atomics:put(Counters, ?SLOT_OPEN, 0),
    Reason = case Data0#data.failure of
        undefined -> {python_exited, Status};
        Failure -> Failure
    end,
    hornbeam_pool:lost(Data0#data.pool, self(), Reason),
    fail_streams(Data0#data.streams),
    atomics:sub(Counters, ?SLOT_LOAD, ets:info(Data0#data.streams, size)),
    true = ets:delete_all_objects(Data0#data.streams),
    _ = Data0#data.services =/= undefined andalso hornbeam_services:stop(Data0#data.services),
    {Wait, Failures} = backoff(State, Data0#data.failures),
    log_end(State, Reason, Wait, Data0),
    {next_state, backoff,
     Data0#data{port = undefined, os_pid = undefined, services = undefined, ready_at = undefined,
                failures = Failures},
     [{state_timeout, Wait, start}]}.

backoff(ready, _Failures) ->
    {0, 0};
backoff(_, Failures) ->
    {min(?MAX_BACKOFF, 500 bsl min(Failures, 10)), Failures + 1}.

%% The first start's failure is the answer of hornbeam:start/2 and needs no line in the log as well.
log_end(starting, _Reason, _Wait, #data{started = 1}) ->
    ok;
log_end(_State, Reason, Wait, #data{number = Number, os_pid = OsPid}) ->
    logger:error("worker ~b (pid ~p) ended: ~ts; it is started again in ~b ms",
                 [Number, OsPid, hornbeam_error:format(Reason), Wait],
                 #{hornbeam_worker => Number}).

garbage(Reason, #data{number = Number, os_pid = OsPid} = Data) ->
    logger:error("worker ~b (pid ~p) sent what is no frame (~tp) and is killed",
                 [Number, OsPid, Reason], #{hornbeam_worker => Number}),
    hornbeam_python:kill(OsPid),
    Data#data{failure = {bad_frame, Reason}, buffer = hornbeam_frame:new()}.

%% While the lifespan's shutdown runs, its log records and its calls to Erlang are served as ever.
await_exit(#data{port = Port, os_pid = OsPid, buffer = Buffer0} = Data, Deadline) ->
    receive
        {Port, {data, Bytes}} ->
            case hornbeam_frame:feed(Bytes, Buffer0) of
                {ok, Frames, Buffer} ->
                    {ready, Data1} = frames(Frames, ready, Data#data{buffer = Buffer}, []),
                    await_exit(Data1, Deadline);
                {error, _} ->
                    hornbeam_python:kill(OsPid)
            end;
        {Port, {exit_status, _}} ->
            ok;
        {open, _Id, Owner, _Frame} ->
            refuse(Owner, Data),
            await_exit(Data, Deadline);
        Message ->
            {Frames, Services} = hornbeam_services:handle_info(Message, Data#data.services),
            write(Data, Frames),
            await_exit(Data#data{services = Services}, Deadline)
    after max(0, Deadline - erlang:monotonic_time(millisecond)) ->
        logger:warning("worker ~b (pid ~p) did not finish its shutdown in time and is killed",
                       [Data#data.number, OsPid]),
        hornbeam_python:kill(OsPid)
    end.

%%% Frames from Python

%% Out: frames to send back, collected (newest first) so that one read is answered by one write.
frames([], State, Data, Out) ->
    write(Data, lists:reverse(Out)),
    {State, Data};
frames([{call, Id, Payload} | Rest], State, #data{services = Services0} = Data, Out) ->
    case hornbeam_services:call(Id, Payload, Services0) of
        {reply, Frame, Services} ->
            frames(Rest, State, Data#data{services = Services}, [Frame | Out]);
        {noreply, Services} ->
            frames(Rest, State, Data#data{services = Services}, Out)
    end;
frames([{Type, 0, Payload} | Rest], State0, Data0, Out) ->
    case control(Type, hornbeam_frame:parse(Type, Payload), State0, Data0) of
        {error, Reason} ->
            {State0, garbage(Reason, Data0)};
        {State, Data, Reply} ->
            frames(Rest, State, Data, Reply ++ Out)
    end;
frames([{Type, Id, Payload} | Rest], State, Data, Out) ->
    route(Type, Id, Payload, Data),
    frames(Rest, State, Data, Out).

%% A stream that is not in the table was closed from this side: what still comes of it is dropped.
route(Type, Id, Payload, #data{streams = Streams} = Data) ->
    Entry = case hornbeam_frame:is_last(Payload) of
        true -> release(Id, Data);
        false -> ets:lookup(Streams, Id)
    end,
    case Entry of
        [{_, {Pid, _} = Owner}] -> Pid ! {Owner, {worker, Type, Payload}}, ok;
        [] -> ok
    end.

control(hello, {ok, {Version, _About}}, starting, Data) ->
    case hornbeam_frame:protocol_version() of
        Version -> {starting, Data, [boot(Data)]};
        Ours -> {error, {protocol_version, Version, Ours}}
    end;
control(ready, {ok, _About}, starting, #data{slot = Slot, pool = Pool} = Data) ->
    atomics:put(Slot#slot.counters, ?SLOT_OPEN, 1),
    hornbeam_pool:ready(Pool, self(), Slot),
    {ready, Data#data{failures = 0, ready_at = erlang:monotonic_time(millisecond)}, []};
control(failed, {ok, Failure}, State, Data) ->
    {State, Data#data{failure = Failure}, []};
control(log, {ok, Record}, State, #data{number = Number} = Data) ->
    hornbeam_worker_log:write(Number, Record),
    {State, Data, []};
control(Type, _, State, _Data) ->
    {error, {unexpected_frame, Type, State}}.

%%% Small things

write(_Data, []) ->
    ok;
write(#data{port = undefined}, _Frames) ->
    ok;
write(#data{port = Port}, Frames) ->
    try erlang:port_command(Port, Frames) of
        true -> ok
    catch
        %% Python has just ended; the exit status is in the mailbox.
        error:badarg -> ok
    end.

%% What other connection processes have sent meanwhile goes out in the same write (a write wakes
%% Python, which is the dear part). Messages of one stream keep their order: `open' comes before `send'
%% in the mailbox, and a `close' that is left for later is the last of its stream.
more_to_send(_Data, 0) ->
    [];
more_to_send(#data{streams = Streams} = Data, Left) ->
    receive
        {open, Id, Owner, Frame} ->
            true = ets:insert(Streams, {Id, Owner}),
            [Frame | more_to_send(Data, Left - 1)];
        {send, Frame} ->
            [Frame | more_to_send(Data, Left - 1)]
    after 0 ->
        []
    end.

%% Takes a stream out of the table and gives its place back.
release(Id, #data{streams = Streams} = Data) ->
    case ets:take(Streams, Id) of
        [] -> [];
        Entry -> give_back(Data), Entry
    end.

give_back(#data{slot = #slot{counters = Counters}, waiting = {Waiting, Index}, pool = Pool}) ->
    atomics:sub(Counters, ?SLOT_LOAD, 1),
    case atomics:get(Waiting, Index) > 0 of
        true -> hornbeam_pool:capacity(Pool);
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
    Gone = [Id || {Id, {Pid, _}} <- ets:tab2list(Streams), not is_process_alive(Pid)],
    lists:foreach(fun(Id) ->
        [_] = release(Id, Data),
        write(Data, hornbeam_frame:encode(disconnect, Id, <<0>>))
    end, Gone).

describe(State, #data{os_pid = OsPid, slot = #slot{counters = Counters}} = Data) ->
    Age = case Data#data.ready_at of
        undefined -> 0;
        ReadyAt -> erlang:monotonic_time(millisecond) - ReadyAt
    end,
    #{state => State, os_pid => OsPid, age => Age,
      in_flight => atomics:get(Counters, ?SLOT_LOAD),
      requests => atomics:get(Counters, ?SLOT_NEXT_ID),
      memory => hornbeam_python:resident_memory(OsPid),
      restarts => max(0, Data#data.started - 1)}.
