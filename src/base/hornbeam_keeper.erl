%%% Keeps one helper process running: what must not be missing for long, and must never take a server with it.
%%%
%%% Called by: hornbeam_server (access log, metrics, watcher of files, control socket), hornbeam_sup (sweeper of the state), as a
%%% child that stands for the helper. Calls: the helper's start function.
%%%
%%% A supervisor of OTP starts a child again at once and ends when that happens too often. For a helper both are wrong: a disk that is
%%% full or a folder that has vanished lasts, and requests go on without an access log. So this waits: ?FIRST ms after
%%% the first end, twice as long after each further one, up to ?LAST, and from the beginning when it has run for ?LAST.
%%%
%%%     running ──the helper ends──▶ waiting ──time──▶ running
%%%                                    ▲  └──its start fails──┐
%%%                                    └──────────────────────┘
%%%
%%% The first start is different: its failure, or `ignore', is the answer to whoever starts this. One log line for each end.
-module(hornbeam_keeper).
-behaviour(gen_server).

-export([start_link/2, spec/2, child/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-define(FIRST, 100).
-define(LAST, 30000).

-type start() :: {module(), Function :: atom(), Arguments :: [term()]}.

-record(state, {
    id :: term(),
    start :: start(),
    child :: pid() | undefined,
    started = 0 :: integer(),       % monotonic ms
    wait = ?FIRST :: pos_integer()  % before the next start
}).

%% @doc For a supervisor. Id: for the log, too.
-spec spec(Id :: term(), start()) -> supervisor:child_spec().
spec(Id, Start) ->
    #{id => Id, start => {?MODULE, start_link, [Id, Start]}, shutdown => infinity}.

-spec start_link(Id :: term(), start()) -> {ok, pid()} | ignore | {error, term()}.
start_link(Id, Start) ->
    gen_server:start_link(?MODULE, {Id, Start}, []).

%% @doc The helper, unless it is just missing.
-spec child(Keeper :: pid()) -> pid() | undefined.
child(Keeper) ->
    gen_server:call(Keeper, child).

-spec init({term(), start()}) -> {ok, #state{}} | ignore | {stop, term()}.
init({Id, Start}) ->
    process_flag(trap_exit, true),
    case run(Start) of
        {ok, Child} -> {ok, #state{id = Id, start = Start, child = Child, started = now_ms()}};
        ignore -> ignore;
        {error, Reason} -> {stop, Reason}
    end.

%% One that is still there belongs to a keeper that was killed, and is ending.
run({Module, Function, Arguments} = Start) ->
    case apply(Module, Function, Arguments) of
        {error, {already_started, Ending}} ->
            Monitor = monitor(process, Ending),
            receive {'DOWN', Monitor, process, _, _} -> run(Start) end;
        Result ->
            Result
    end.

-spec handle_call(child, gen_server:from(), #state{}) -> {reply, pid() | undefined, #state{}}.
handle_call(child, _From, #state{child = Child} = State) ->
    {reply, Child, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({'EXIT', Child, Reason}, #state{child = Child, started = Started} = State) ->
    case now_ms() - Started >= ?LAST of
        true -> {noreply, later(Reason, State#state{wait = ?FIRST})};
        false -> {noreply, later(Reason, State)}
    end;
handle_info(start, #state{start = Start} = State) ->
    case run(Start) of
        {ok, Child} -> {noreply, State#state{child = Child, started = now_ms()}};
        ignore -> {noreply, State};
        {error, Reason} -> {noreply, later(Reason, State)}
    end;
handle_info(_Message, State) ->
    %% The end of a start that has failed.
    {noreply, State}.

later(Reason, #state{id = Id, wait = Wait} = State) ->
    logger:error("~tp has ended and is started again in ~b ms: ~tp", [Id, Wait, Reason]),
    _ = erlang:send_after(Wait, self(), start),
    State#state{child = undefined, wait = min(?LAST, 2 * Wait)}.

-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{child = undefined}) ->
    ok;
terminate(_Reason, #state{child = Child}) ->
    exit(Child, shutdown),
    receive {'EXIT', Child, _} -> ok end.

now_ms() ->
    erlang:monotonic_time(millisecond).
