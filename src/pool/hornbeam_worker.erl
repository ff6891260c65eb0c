%%% One worker: keeps a Python process running, starts the next when it has ended, and ends it in the end.
%%%
%%% Owns the port. Called by: hornbeam_pool (start, drain), hornbeam_worker_info, connection processes (open/4,
%%% send/2, adopt/4, close/3). Calls: hornbeam_worker_session (what is said to Python and by it), hornbeam_worker_places (what it
%%% may be given), hornbeam_worker_life (when the next process starts), hornbeam_worker_health (heartbeat), hornbeam_worker_retirement (when a
%%% successor is due), hornbeam_worker_crash (what is known of one that has died), hornbeam_worker_report (what its pool is told), hornbeam_worker_exit (the last wait of a stop), hornbeam_python.
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
%%%   backoff   no process, until the time that hornbeam_worker_life says
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
%%% Failure modes: Python exits or closes its end: every stream gets `died'. Python breaks the protocol: it is killed, with a log line.
%%% Its loop is blocked: hornbeam_worker_health. This process is killed: the table of streams goes to the pool, which tells the owners (an
%%% `open' that it had not read ends by its request's timeout). A connection process is killed without cleaning up: swept every ?SWEEP ms.
%%% The BEAM dies: Python reads end-of-file and ends itself.
%%%
%%% Limits: what is queued towards Python is bounded by the streams' credit and number (max_concurrency), and for what
%%% Python asks for by hornbeam_worker_backlog; a frame by hornbeam_frame:max_size/0.
-module(hornbeam_worker).
-behaviour(gen_statem).

-export([start_link/1, echo/1, open/4, send/2, adopt/4, close/3, drain/2, stop_by/2, farewell/1]).
-export([callback_mode/0, init/1, handle_event/4, terminate/3, format_status/1]).
-export_type([config/0]).

-include("hornbeam.hrl").

-define(SWEEP, 10000).
%% What owners of streams have for a farewell when the drain's deadline has passed.
-define(LAST_MS, 500).
%% A place may be taken for a moment by a request that then sees that the worker is closed.
-define(RECHECK, 20).
%% What tasks get at least before they are cancelled.
-define(LEAST_PATIENCE, 300).

-type config() :: #{number := pos_integer(), pool := pid(), waiting := hornbeam_pool_waiting:counter(),
                    mount := hornbeam_mounts:mount(), answered := boolean(),
                    preload := hornbeam_preload:preload()}.
-type state() :: starting | ready | draining | stopping | backoff.
-define(TAKES(State), (State =:= ready orelse State =:= draining)).

-record(data, {
    %% For the life of this process:
    number :: pos_integer(),
    pool :: pid(),
    mount :: hornbeam_mounts:mount(),
    preload :: hornbeam_preload:preload(),
    places :: hornbeam_worker_places:places(),
    life :: hornbeam_worker_life:life(),
    stop_by = none :: none | integer(), % the server stops: until when tasks may run (monotonic ms)
    %% For the life of one Python process:
    port :: port() | undefined,
    os_pid :: pos_integer() | undefined,
    session :: hornbeam_worker_session:session() | undefined,
    crash :: hornbeam_worker_crash:crash() | undefined,
    failure :: term(),                  % what it said before it exited, or why it was killed
    stop_at = 0 :: integer(),           % stopping: when it is killed (monotonic ms)
    %% From ready on:
    health :: hornbeam_worker_health:health() | undefined,
    retirement :: hornbeam_worker_retirement:retirement() | undefined
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
init(#{number := Number, pool := Pool, waiting := Waiting, mount := Mount, answered := Answered, preload := Preload}) ->
    process_flag(trap_exit, true),
    Data = #data{number = Number, pool = Pool, mount = Mount, preload = Preload, places = hornbeam_worker_places:new(Number, Pool, Waiting),
                 life = hornbeam_worker_life:new(Number, Answered)},
    {ok, backoff, Data, [{state_timeout, 0, start}, {{timeout, sweep}, ?SWEEP, sweep}]}.

-spec handle_event(gen_statem:event_type(), term(), state(), #data{}) -> gen_statem:event_handler_result(state()).
%% The three that make up a request come first.
handle_event(info, {open, Id, Owner, Frame}, State, #data{session = Session, retirement = Retirement} = Data) when ?TAKES(State) ->
    ok = hornbeam_worker_session:open(Id, Owner, Frame, Session),
    case hornbeam_worker_retirement:opened(Id, Retirement) of
        ok -> keep_state_and_data;
        {due, Reason, Due} -> retire(Reason, Data), {keep_state, Data#data{retirement = Due}}
    end;
handle_event(info, {Port, {data, Bytes}}, State, #data{port = Port, session = Session} = Data) ->
    heard(hornbeam_worker_session:received(Bytes, Session), State, Data);
handle_event(info, {send, Frame}, State, #data{session = Session}) when ?TAKES(State) ->
    ok = hornbeam_worker_session:send(Frame, Session),
    keep_state_and_data;
handle_event(info, {close, Id, Frame}, _State, #data{session = Session}) when Session =/= undefined ->
    ok = hornbeam_worker_session:close(Id, Frame, Session),
    keep_state_and_data;
handle_event(info, {adopt, Id, Owner, Frame}, _State, #data{session = Session}) when Session =/= undefined ->
    ok = hornbeam_worker_session:adopt(Id, Owner, Frame, Session),
    keep_state_and_data;
handle_event(info, {open, _Id, Owner, _Frame}, _State, #data{places = Places}) ->
    ok = hornbeam_worker_places:refuse(Owner, Places),
    keep_state_and_data;
handle_event(info, {adopt, _Id, {Pid, _} = Owner, _Frame}, _State, _Data) ->
    Pid ! {Owner, {worker_lost, died}},
    keep_state_and_data;
handle_event(info, {send, _Frame}, _State, _Data) ->
    keep_state_and_data;
handle_event(info, {echo, From}, _State, _Data) ->
    From ! {echo, self(), erlang:monotonic_time(millisecond)},
    keep_state_and_data;
handle_event({call, From}, info, State, #data{places = Places, health = Health, retirement = Retirement, life = Life}) ->
    Told = hornbeam_worker_info:told(State, hornbeam_worker_places:slot(Places), Health),
    {keep_state_and_data, [{reply, From, Told#{age => hornbeam_worker_retirement:age(Retirement),
                                               restarts => hornbeam_worker_life:restarts(Life),

                                               last_end => hornbeam_worker_life:last_end(Life)}}]};
handle_event({call, From}, {diagnose, Question}, _State, Data) ->
    {keep_state, asked(Question, From, Data)};
handle_event({timeout, beat}, Stage, State, Data) when ?TAKES(State) ->
    beat(hornbeam_worker_health:beat(Stage, Data#data.health), Data);
handle_event({timeout, beat}, _Stage, _State, _Data) ->
    keep_state_and_data;
handle_event({timeout, lifetime}, retire, ready, Data) ->
    retire(max_worker_lifetime, Data),
    keep_state_and_data;
handle_event({timeout, lifetime}, retire, _State, _Data) ->
    keep_state_and_data;
handle_event(cast, {drain, Time}, State, Data) ->
    drain(State, Time, Data);
handle_event(cast, {stop_by, Deadline}, _State, Data) ->
    {keep_state, Data#data{stop_by = Deadline}};
handle_event(state_timeout, deadline, draining, #data{session = Session}) ->
    %% Who sends from now on, or is sent to, is too late anyway.
    ok = hornbeam_worker_session:farewell(Session),
    {keep_state_and_data, [{state_timeout, ?LAST_MS, last}]};
handle_event(cast, farewell, _State, #data{session = Session}) ->
    _ = Session =:= undefined orelse hornbeam_worker_session:farewell(Session),
    keep_state_and_data;
handle_event(state_timeout, last, draining, Data) ->
    stop_python(Data);
handle_event({timeout, drained}, drained, draining, Data) ->
    drained(Data);
handle_event({timeout, drained}, drained, _State, _Data) ->
    keep_state_and_data;
handle_event(state_timeout, kill, stopping, #data{number = Number, os_pid = OsPid} = Data) ->
    hornbeam_worker_exit:kill(Number, OsPid),
    {keep_state, Data#data{failure = shutdown_timeout}};
handle_event(state_timeout, start, backoff, Data) ->
    start_python(Data);
handle_event(state_timeout, not_ready, starting, #data{os_pid = OsPid, failure = Failure}) when Failure =/= undefined ->
    hornbeam_python:kill(OsPid),
    keep_state_and_data;
handle_event(state_timeout, not_ready, starting, #data{os_pid = OsPid} = Data) ->
    hornbeam_python:kill(OsPid),
    #mount{settings = #{startup_timeout := Timeout}} = Data#data.mount,
    {keep_state, Data#data{failure = {startup_timeout, Timeout}}};
handle_event(info, {preload_failed, Reason}, starting, #data{os_pid = OsPid, failure = Before} = Data) ->
    hornbeam_python:kill(OsPid),
    {keep_state, case Before of undefined -> Data#data{failure = Reason}; _ -> Data end};
handle_event({timeout, sweep}, sweep, _State, #data{session = Session}) ->
    _ = Session =:= undefined orelse hornbeam_worker_session:sweep(Session),
    {keep_state_and_data, [{{timeout, sweep}, ?SWEEP, sweep}]};
handle_event(info, {Port, {exit_status, Status}}, State, #data{port = Port} = Data) ->
    python_ended(how({exit_status, Status}, Data), State, Data);
handle_event(info, {'EXIT', Port, Reason}, State, #data{port = Port} = Data) ->
    %% A write has found the pipe closed before the exit status came, which now never comes.
    python_ended({pipe_closed, Reason}, State, Data);
handle_event(info, {'EXIT', Port, _Reason}, _State, _Data) when is_port(Port) ->
    %% Its exit status has said the same, or it was the port of kill/1.
    keep_state_and_data;
handle_event(info, _Late, _State, #data{session = undefined}) ->
    keep_state_and_data;
handle_event(info, Message, State, #data{session = Session} = Data) ->
    heard(hornbeam_worker_session:info(Message, Session), State, Data).

%% No secret option in a crash report.
-spec format_status(gen_statem:format_status()) -> gen_statem:format_status().
format_status(#{data := #data{mount = Mount} = Data} = Status) ->
    %% What is in `session' has the options too.
    Status#{data := Data#data{mount = hornbeam_mounts:masked(Mount), session = undefined}};
format_status(Status) ->
    Status.

-spec terminate(term(), state(), #data{}) -> ok.
terminate(_Reason, State, #data{places = Places} = Data) ->
    hornbeam_worker_places:close(Places),
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
    refuse_rest(Places).

%% While the lifespan's shutdown runs, its log records and its calls to Erlang are served as ever.
await_exit(#data{number = Number, port = Port, os_pid = OsPid, stop_at = StopAt} = Data) ->
    {Status, Left} = hornbeam_worker_exit:await(Number, Port, OsPid, StopAt, fun last_words/2, Data),
    ok = has_left(how(Status, Left), stopping, Left),
    hornbeam_worker_session:ended(drained, Left#data.session).

last_words({open, _Id, Owner, _Frame}, #data{places = Places} = Data) ->
    hornbeam_worker_places:refuse(Owner, Places),
    Data;
last_words(Message, #data{port = Port, session = Session} = Data) ->
    Heard = case Message of
        {Port, {data, Bytes}} -> hornbeam_worker_session:received(Bytes, Session);
        _ -> hornbeam_worker_session:info(Message, Session)
    end,
    {next_state, stopping, Next, _} = next(Heard, stopping, Data),
    Next.

refuse_rest(Places) ->
    receive
        {open, _Id, Owner, _Frame} -> hornbeam_worker_places:refuse(Owner, Places), refuse_rest(Places)
    after 0 ->
        ok
    end.

%%% The life of a Python process

start_python(#data{mount = #mount{settings = #{startup_timeout := Timeout} = Settings}, preload = Preload, life = Life} = Data) ->
    case hornbeam_python:open(Settings, hornbeam_preload:name(Preload)) of
        {ok, Port} -> ok = hornbeam_preload:asks(Preload), {next_state, starting, started(Port, Data), [{state_timeout, Timeout, not_ready}]};
        {error, Reason} -> not_started(Reason, hornbeam_worker_life:not_started(Reason, Life), Data)
    end.

%% The pool hears of it once, however often it is tried.
not_started(Reason, {New, Wait, Life}, #data{pool = Pool, mount = Mount} = Data) ->
    _ = New =:= new andalso hornbeam_worker_report:lost(Pool, Mount#mount.pool, Reason),
    {keep_state, Data#data{life = Life}, [{state_timeout, Wait, start}]}.

started(Port, #data{number = Number, pool = Pool, mount = #mount{pool = Id, settings = Settings}, places = Places, life = Life} = Data) ->
    OsPid = case erlang:port_info(Port, os_pid) of
        {os_pid, Known} -> Known;
        undefined -> undefined
    end,
    hornbeam_worker_places:runs(OsPid, Places),
    Data#data{port = Port, os_pid = OsPid, failure = undefined, crash = hornbeam_worker_crash:new(Number, Data#data.mount, OsPid, hornbeam_worker_places:last_id(Places)),
              life = hornbeam_worker_life:started(Life),
              session = hornbeam_worker_session:new(Port, Number, Pool, Places, Settings#{pool => Id})}.

%% What it has said: its events in their order.
heard({[], Session}, _State, Data) -> {keep_state, Data#data{session = Session}};
heard(Heard, State, Data) -> next(Heard, State, Data).

next({Events, Session}, State0, Data0) ->
    {State, Data, Timers} = lists:foldl(fun event/2, {State0, Data0#data{session = Session}, []}, Events),
    {next_state, State, Data, Timers}.

event({hello, About}, {starting, #data{number = Number, mount = Mount, crash = Crash} = Data0, Timers}) ->
    #data{os_pid = OsPid} = Data = is(About, Data0),
    ok = hornbeam_python:write(Data#data.port, hornbeam_worker_life:boot(Number, Mount)),
    {starting, Data#data{crash = hornbeam_worker_crash:told(About, OsPid, Crash)}, Timers};
event({ready, About}, {starting, Data, _Timers}) ->
    became_ready(About, Data);
event({failed, Failure}, {starting, #data{mount = #mount{settings = #{shutdown_timeout := Timeout}}} = Data, _Timers}) ->
    %% What it has left behind must not hold up the news.
    {starting, Data#data{failure = Failure}, [{state_timeout, Timeout, not_ready} || Data#data.failure =:= undefined]};
event({pong, Figures}, {State, #data{health = Health0} = Data, Timers}) ->
    {{Time, Stage}, Health} = hornbeam_worker_health:pong(Figures, Health0),
    {State, weighed(Figures, Data#data{health = Health}), [{{timeout, beat}, Time, Stage} | Timers]};
event(drained, {draining, Data, Timers}) ->
    {draining, Data, [{{timeout, drained}, 0, drained} | Timers]};
event({broken, Failure}, {State, #data{places = Places, os_pid = OsPid, life = Life} = Data, Timers}) ->
    hornbeam_worker_places:close(Places),
    hornbeam_worker_life:killed(Failure, OsPid, Life),
    hornbeam_python:kill(OsPid),
    {State, Data#data{failure = Failure}, Timers}.

%% One that was forked is another process than the one that has asked for it.
is(#{<<"pid">> := OsPid}, #data{preload = Preload, places = Places, failure = Failure} = Data) when is_integer(OsPid), OsPid > 0 ->
    ok = hornbeam_preload:forked(Preload),
    hornbeam_worker_places:runs(OsPid, Places),
    _ = Failure =:= undefined orelse hornbeam_python:kill(OsPid),
    Data#data{os_pid = OsPid};
is(_About, Data) ->
    Data.

became_ready(About, #data{places = Places0, pool = Pool, life = Life, mount = #mount{settings = Settings} = Mount} = Data) ->
    #{worker_heartbeat := Limit} = Settings,
    Places = hornbeam_worker_places:told(About, Places0),
    Slot = hornbeam_worker_places:slot(Places),
    {{Time, Stage}, Health} =
        hornbeam_worker_health:start(Data#data.number, Data#data.os_pid, Slot#slot.counters, Limit, About),
    hornbeam_worker_places:open(Places),
    hornbeam_worker_report:ready(Pool, Mount#mount.pool, Slot),
    {ready,
     Data#data{health = Health, places = Places, life = hornbeam_worker_life:ready(Life),
               retirement = hornbeam_worker_retirement:new(hornbeam_worker_places:last_id(Places), Settings)},
     [{{timeout, lifetime}, hornbeam_worker_retirement:lifetime(Settings), retire}
      | [{{timeout, beat}, Time, Stage} || Limit =/= infinity]]}.

beat({{ping, Ping}, {Time, Stage}, Health}, #data{session = Session} = Data) ->
    {keep_state, Data#data{health = Health, session = hornbeam_worker_session:ping(Ping, Session)}, [{{timeout, beat}, Time, Stage}]};
beat({nothing, {Time, Stage}, Health}, Data) ->
    {keep_state, Data#data{health = Health}, [{{timeout, beat}, Time, Stage}]};
beat({kill, Reason, Health}, #data{os_pid = OsPid} = Data) ->
    hornbeam_python:kill(OsPid),
    {keep_state, Data#data{health = Health, failure = Reason}}.

%% After each pong.
weighed(Figures, #data{retirement = Retirement0, os_pid = OsPid} = Data) ->
    case hornbeam_worker_retirement:look(OsPid, Figures, Retirement0) of
        {ok, Retirement} -> Data#data{retirement = Retirement};
        {due, Reason, Retirement} -> retire(Reason, Data), Data#data{retirement = Retirement}
    end.

%% The pool starts a successor and then says drain/2.
retire(Reason, #data{pool = Pool, mount = #mount{pool = Id}}) ->
    hornbeam_worker_report:retire(Pool, Id, Reason).

python_ended(Status, State, #data{session = Session} = Data) when State =:= draining; State =:= stopping ->
    ok = has_left(Status, State, Data),
    ok = hornbeam_worker_session:ended(case State of draining -> died; stopping -> drained end, Session),
    {stop, normal, Data#data{port = undefined}};
python_ended(Status, State, #data{places = Places, mount = Mount} = Data) ->
    hornbeam_worker_places:close(Places),
    hornbeam_worker_places:runs(undefined, Places),
    {Reason, Report} = crashed(Status, Data),
    {Wait, Life} = hornbeam_worker_life:ended(State, Reason, Report, Data#data.life),
    hornbeam_worker_report:lost(Data#data.pool, Mount#mount.pool, Reason),
    ok = hornbeam_worker_session:ended(died, Data#data.session),
    {next_state, backoff,
     Data#data{port = undefined, os_pid = undefined, session = undefined, health = undefined, retirement = undefined, crash = undefined, life = Life},
     [{state_timeout, Wait, start}]}.

%% Of one that was forked the port knows no more than that its pipe is closed.
how(Status, #data{preload = Preload, os_pid = OsPid}) ->
    hornbeam_preload:ended(Preload, OsPid, Status).

%% One that was to leave: as it should, or by a crash.
has_left(Status, State, #data{failure = Failure, life = Life} = Data) ->
    case hornbeam_worker_life:is_crash(State, Status, Failure) of
        true ->
            {Reason, Report} = crashed(Status, Data),
            hornbeam_worker_life:left(State, Reason, Report, Life);
        false ->
            ok
    end.

crashed(Status, #data{places = Places, failure = Failure, crash = Crash, session = Session, health = Health}) ->
    Reason = hornbeam_worker_life:reason(Status, Failure),
    Rows = hornbeam_worker_rows:describe(hornbeam_worker_streams:rows(hornbeam_worker_session:streams(Session), erlang:monotonic_time())),
    Report = hornbeam_worker_crash:report({Reason, Status}, {Health, Rows}, hornbeam_worker_places:last_id(Places), Crash),
    ok = hornbeam_worker_crash:close(Crash),
    {Reason, Report}.

%%% What it is asked (hornbeam_worker_questions)

asked(Question, From, #data{os_pid = OsPid} = Data) ->
    case Question =/= streams andalso hornbeam_python:stopped(OsPid) of
        State when State =:= $T; State =:= $t -> gen_statem:reply(From, {error, {stopped, State, OsPid}}), Data;
        _ -> answered(Question, From, Data)
    end.

answered({ask, Question}, From, #data{session = Session} = Data) when Session =/= undefined ->
    Data#data{session = hornbeam_worker_session:ask(From, Question, Session)};
answered(Question, From, #data{session = Session, health = Health} = Data) ->
    gen_statem:reply(From, case Question of
        streams when Session =/= undefined -> {ok, hornbeam_worker_session:streams(Session)};
        signal -> hornbeam_worker_health:signal(Health);
        stopped when Session =/= undefined -> {ok, no};
        _ -> {error, not_ready}
    end),
    Data.

%%% Leaving

drain(ready, Time, #data{places = Places, session = Session} = Data) ->
    hornbeam_worker_places:close(Places),
    {next_state, draining, Data#data{session = hornbeam_worker_session:drain(Session)}, [{state_timeout, Time, deadline}]};
drain(State, _Time, Data) when State =:= starting; State =:= backoff ->
    {stop, normal, Data};
drain(_State, _Time, _Data) ->
    keep_state_and_data.

%% Python has nothing left. A place that is still taken belongs to a request that is on its way here
%% (its end brings `drained' again), or to one that is about to see that the worker is closed.
drained(#data{places = Places} = Data) ->
    case hornbeam_worker_places:are_free(Places) of
        true -> stop_python(Data);
        false -> {keep_state_and_data, [{{timeout, drained}, ?RECHECK, drained}]}
    end.

stop_python(#data{mount = #mount{settings = #{shutdown_timeout := Timeout}}, session = Session} = Data) ->
    Now = erlang:monotonic_time(millisecond),
    Patience = case Data#data.stop_by of
        none -> Timeout div 2;
        Deadline -> min(Timeout div 2, max(?LEAST_PATIENCE, Deadline - Now))
    end,
    {next_state, stopping, Data#data{stop_at = Now + Timeout, session = hornbeam_worker_session:stop(Patience, Session)},
     [{state_timeout, Timeout, kill}]}.
