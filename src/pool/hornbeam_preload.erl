%%% The Python process that has imported an application and forks its workers (the option `preload'): one for each generation of a pool.
%%%
%%% Owns its port. Called by: hornbeam_pool (leave/1), hornbeam_worker_sup (for_mount/2, start_link/2), hornbeam_worker (asks/1, forked/1, ended/3).
%%% Calls: hornbeam_python, hornbeam_worker_life (boot/2), hornbeam_frame, hornbeam_worker_log. Its other side is hornbeam_worker/preload.py.
%%%
%%% A worker starts launch.py on its port as another would start Python. That brings the pipe to the process here, by a socket whose name both were
%%% given, and what is forked there speaks on the worker's port as if it had been started by it. So this module sees no worker's bytes. It is told
%%% who waits for a fork, since only it can say why there will be none; and it knows how each fork has ended, since the port of the worker, which
%%% has started something else, cannot.
%%%
%%% States
%%%
%%%     none ──asks──▶ importing ──ready──▶ ready ──exit──▶ none
%%%      ▲                 │                  └──leave──▶ (leaves) ──the last fork has ended, exit──▶ (gone)
%%%      ├──exit, failed───┘  (leave here, or in none: killed, gone)
%%%      └── at each exit who waits hears why
%%%
%%% Failure modes: the import fails, or takes longer than startup_timeout: whoever waits fails with that, is started again after its own wait, and
%%% asks again. The process is killed: its forks go on, how they end is not known (`unknown'), and the next worker that starts
%%% has it imported again. This process crashes: its pool does, too (a link). The BEAM dies: preload.py ends what its forks leave.
%%%
%%% Limits: ?KEPT ends of forks are kept for those who ask; frames as everywhere.
-module(hornbeam_preload).
-behaviour(gen_server).

-export([for_mount/2, start_link/2, name/1, asks/1, forked/1, ended/3, leave/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2, format_status/1]).
-export_type([preload/0]).

-include("hornbeam.hrl").

-define(KEPT, 256).
%% For how long the end of a fork may be on its way, after that of its pipe.
-define(ON_ITS_WAY, 2000).
%% What the process gets for its own end, after that of its last fork.
-define(LAST_MS, 5000).

-type preload() :: none | {pid(), Name :: binary()}.
-type ended() :: {exit_status, non_neg_integer()} | {pipe_closed, unknown}.

-record(state, {
    name :: binary(),
    mount :: hornbeam_mounts:mount(),
    phase = none :: none | importing | ready,
    leaves = false :: boolean(),
    port :: port() | undefined,
    os_pid :: pos_integer() | undefined,
    buffer = hornbeam_frame:new() :: hornbeam_frame:buffer(),
    timer = make_ref() :: reference(),
    failure :: term(),
    waiting = #{} :: #{pid() => true},                          % workers
    ends = [] :: [{OsPid :: non_neg_integer(), Status :: non_neg_integer()}],
    asking = [] :: [{OsPid :: non_neg_integer(), {pid(), reference()}}]
}).

%% @doc For a generation of workers with a mount's settings; linked to the calling pool.
-spec for_mount(hornbeam_mounts:mount(), Start :: fun((Name :: binary(), hornbeam_mounts:mount()) -> {ok, pid()})) -> preload().
for_mount(#mount{settings = #{preload := true, worker_class := Class, workers := Workers}} = Mount, Start) when Class =/= service, Workers > 0 ->
    Name = <<"hornbeam-preload-", (binary:encode_hex(crypto:strong_rand_bytes(16)))/binary>>,
    {ok, Pid} = Start(Name, Mount),
    true = link(Pid),
    {Pid, Name};
for_mount(_Mount, _Start) ->
    none.

-spec start_link(Name :: binary(), hornbeam_mounts:mount()) -> {ok, pid()} | {error, term()}.
start_link(Name, Mount) ->
    case gen_server:start_link(?MODULE, {Name, Mount}, []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

%% @doc How a worker's Python process comes to be.
-spec name(preload()) -> hornbeam_python:role().
name(none) -> worker;
name({_, Name}) -> {fork, Name}.

%% @doc The calling worker has started what asks for a fork, and waits for it. Where there will be none it gets {preload_failed, Reason}.
-spec asks(preload()) -> ok.
asks(none) -> ok;
asks({Preload, _}) -> gen_server:cast(Preload, {asks, self()}).

%% @doc It does not wait any more.
-spec forked(preload()) -> ok.
forked(none) -> ok;
forked({Preload, _}) -> gen_server:cast(Preload, {forked, self()}).

%% @doc How a worker's process has ended, by what its port says and, where it was forked, what is known here.
-spec ended(preload(), OsPid :: pos_integer() | undefined, Status) -> Status | ended().
ended({Preload, _}, OsPid, {exit_status, 0}) when OsPid =/= undefined ->
    %% No call of gen_server: it is answered while that terminates, too.
    Ref = monitor(process, Preload),
    Preload ! {ended, OsPid, {self(), Ref}},
    receive
        {Ref, Status} -> true = demonitor(Ref, [flush]), Status;
        {'DOWN', Ref, process, _, _} -> {pipe_closed, unknown}
    end;
ended(_Preload, _OsPid, Status) ->
    Status.

%% @doc No more forks are wanted; it ends when those that there are have ended.
-spec leave(preload()) -> ok.
leave(none) -> ok;
leave({Preload, _}) ->
    true = unlink(Preload),
    gen_server:cast(Preload, leave).

%%% gen_server

-spec init({binary(), hornbeam_mounts:mount()}) -> {ok, #state{}}.
init({Name, Mount}) ->
    process_flag(trap_exit, true),
    {ok, #state{name = Name, mount = Mount}}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {noreply, #state{}}.
handle_call(_Request, _From, State) ->
    {noreply, State}.

-spec handle_cast({asks | forked, pid()} | leave, #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_cast({asks, Worker}, #state{phase = Phase, waiting = Waiting} = State) ->
    Asked = State#state{waiting = Waiting#{Worker => true}},
    {noreply, case Phase of none -> start(Asked); _ -> Asked end};
handle_cast({forked, Worker}, #state{waiting = Waiting} = State) ->
    {noreply, State#state{waiting = maps:remove(Worker, Waiting)}};
handle_cast(leave, #state{phase = none} = State) ->
    {stop, normal, State};
handle_cast(leave, State) ->
    {noreply, left(State)}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_info({Port, {data, Bytes}}, #state{port = Port} = State) ->
    {noreply, received(Bytes, State)};
handle_info({Port, {exit_status, Status}}, #state{port = Port} = State) ->
    gone(exited(Status), State);
handle_info({'EXIT', Port, _Reason}, #state{port = Port} = State) ->
    %% A write has found the pipe closed before the exit status came, which now never comes.
    gone({python_exited, {pipe_closed, epipe}}, State);
handle_info({timeout, Timer, startup}, #state{timer = Timer, phase = importing, mount = #mount{settings = #{startup_timeout := Timeout}}} = State) ->
    {noreply, fails({startup_timeout, Timeout}, State)};
handle_info({ended, OsPid, From}, State) ->
    next(asked(OsPid, From, State));
handle_info({unknown, OsPid, From}, #state{asking = Asking} = State) ->
    _ = lists:member({OsPid, From}, Asking) andalso answer(From, {pipe_closed, unknown}),
    {noreply, State#state{asking = lists:delete({OsPid, From}, Asking)}};
handle_info({forget, Old}, #state{ends = Ends} = State) ->
    next(State#state{ends = Ends -- Old});
handle_info(_Late, State) ->
    {noreply, State}.

%% No secret option in a crash report.
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{mount = Mount} = State} = Status) ->
    Status#{state := State#state{mount = hornbeam_mounts:masked(Mount)}};
format_status(Status) ->
    Status.

%% The supervisor ends the workers at the same time, which are answered until the last has asked.
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{port = undefined}) ->
    ok;
terminate(_Reason, #state{mount = #mount{settings = #{shutdown_timeout := Timeout}}} = State) ->
    last(left(State), erlang:monotonic_time(millisecond) + Timeout + ?LAST_MS).

last(#state{os_pid = OsPid} = State, Until) ->
    receive
        Message ->
            case handle_info(Message, State) of
                {noreply, Next} -> last(Next, Until);
                {stop, normal, _} -> ok
            end
    after max(0, Until - erlang:monotonic_time(millisecond)) ->
        hornbeam_python:kill(OsPid)
    end.

%% One that leaves stays until it has said all that it knows.
next(#state{leaves = true, port = undefined, ends = []} = State) -> {stop, normal, State};
next(State) -> {noreply, State}.

%%% The process

start(#state{mount = #mount{settings = #{startup_timeout := Timeout} = Settings}, name = Name} = State) ->
    case hornbeam_python:open(Settings, {preload, Name}) of
        {ok, Port} ->
            OsPid = case erlang:port_info(Port, os_pid) of
                {os_pid, Known} -> Known;
                undefined -> undefined
            end,
            Timer = case Timeout of infinity -> make_ref(); _ -> erlang:start_timer(Timeout, self(), startup) end,
            State#state{phase = importing, port = Port, os_pid = OsPid, buffer = hornbeam_frame:new(), timer = Timer, failure = undefined};
        {error, Reason} ->
            told(Reason, State)
    end.

%% It has nothing yet that could be waited for, or that it must be asked to end.
left(#state{phase = importing, os_pid = OsPid} = State) ->
    hornbeam_python:kill(OsPid),
    State#state{leaves = true, waiting = #{}};
left(#state{port = Port} = State) ->
    ok = hornbeam_python:write(Port, hornbeam_frame:encode(stop, 0, <<0:32>>)),
    State#state{leaves = true}.

fails(Reason, #state{os_pid = OsPid, failure = Before} = State) ->
    hornbeam_python:kill(OsPid),
    State#state{failure = case Before of undefined -> Reason; _ -> Before end}.

gone(Exited, #state{phase = Phase, leaves = Leaves, failure = Failure, asking = Asking, ends = Ends} = State) ->
    lists:foreach(fun({_, From}) -> answer(From, {pipe_closed, unknown}) end, Asking),
    Reason = case Failure of undefined -> Exited; _ -> Failure end,
    _ = Phase =:= ready andalso not Leaves andalso
        logger:warning("preload: the process that forks workers has ended: ~ts", [hornbeam_reason:format(Reason)]),
    _ = erlang:send_after(?ON_ITS_WAY, self(), {forget, Ends}),
    next(told(Reason, State#state{phase = none, port = undefined, os_pid = undefined, asking = []})).

told(Reason, #state{waiting = Waiting} = State) ->
    maps:foreach(fun(Worker, true) -> Worker ! {preload_failed, Reason} end, Waiting),
    State#state{waiting = #{}}.

asked(OsPid, From, #state{ends = Ends, asking = Asking, port = Port} = State) ->
    case lists:keytake(OsPid, 1, Ends) of
        {value, {OsPid, Status}, Rest} ->
            ok = answer(From, {exit_status, Status}),
            State#state{ends = Rest};
        false when Port =:= undefined ->
            ok = answer(From, {pipe_closed, unknown}),
            State;
        false ->
            _ = erlang:send_after(?ON_ITS_WAY, self(), {unknown, OsPid, From}),
            State#state{asking = [{OsPid, From} | Asking]}
    end.

answer({Pid, Ref}, Status) ->
    Pid ! {Ref, Status},
    ok.

exited(137) -> {python_killed, hornbeam_cgroup:oom_kills()};
exited(Status) -> {python_exited, {exit_status, Status}}.

%%% What it says

received(Bytes, #state{buffer = Buffer0} = State) ->
    case hornbeam_frame:feed(Bytes, Buffer0) of
        {ok, Frames, Buffer} -> lists:foldl(fun frame/2, State#state{buffer = Buffer}, Frames);
        {error, Reason} -> fails({bad_frame, Reason}, State)
    end.

frame({Type, 0, Payload}, State) ->
    case hornbeam_frame:parse(Type, Payload) of
        {ok, Said} -> said(Type, Said, credited(Type, Payload, State));
        error -> fails({bad_frame, {bad_payload, Type}}, State)
    end;
frame({Type, Id, _}, State) ->
    fails({bad_frame, {unknown_stream, Type, Id}}, State).

%% Python, which has a window for what it logs, may log as much again.
credited(log, Payload, #state{port = Port} = State) ->
    ok = hornbeam_python:write(Port, hornbeam_frame:encode(credit, 0, <<(hornbeam_credit:message(byte_size(Payload))):32>>)),
    State;
credited(_Type, _Payload, State) ->
    State.

said(hello, {_Version, _About}, #state{port = Port, mount = Mount} = State) ->
    ok = hornbeam_python:write(Port, hornbeam_worker_life:boot(0, Mount)),
    State;
said(ready, _About, #state{phase = importing} = State) ->
    State#state{phase = ready};
said(failed, Failure, #state{phase = importing} = State) ->
    State#state{failure = Failure};
said(log, Record, State) ->
    hornbeam_worker_log:write(preload, Record),
    State;
said(exited, {OsPid, Status}, #state{ends = Ends, asking = Asking} = State) ->
    case lists:keytake(OsPid, 1, Asking) of
        {value, {OsPid, From}, Rest} ->
            ok = answer(From, {exit_status, Status}),
            State#state{asking = Rest};
        false ->
            State#state{ends = lists:sublist([{OsPid, Status} | Ends], ?KEPT)}
    end;
said(Type, _Said, #state{phase = Phase} = State) ->
    fails({bad_frame, {unexpected_frame, Type, Phase}}, State).
