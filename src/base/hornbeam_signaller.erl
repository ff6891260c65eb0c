%%% Sends signals to workers, through a shell that is started once.
%%%
%%% Called by: hornbeam_python (kill/1, signal/2). Erlang itself cannot send one; a program for each would need a new process and a
%%% port, which are not to be had just when a worker must be killed: at the limit of processes, of memory, of ports. By the
%%% shell's own `kill': small systems have no other.
%%%
%%% Failure modes: the shell ends (somebody killed it): another is started after ?AGAIN ms, tried again until that is possible;
%%% meanwhile callers are told. The VM ends: the shell reads end-of-file and ends.
-module(hornbeam_signaller).
-behaviour(gen_server).

-export([start_link/0, send/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

%% A terminal's Ctrl-C, and whoever stops a whole group of processes, must not end it before the workers.
-define(SCRIPT, "trap '' HUP INT TERM; while read -r signal pid; do kill -\"$signal\" \"$pid\" 2>/dev/null; done").
-define(AGAIN, 1000).

-type state() :: port() | none.

-spec start_link() -> {ok, pid()}.
start_link() ->
    {ok, _} = gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc Returns when the shell has been told.
-spec send(OsPid :: pos_integer(), Signal :: pos_integer()) -> ok | {error, no_shell}.
send(OsPid, Signal) ->
    gen_server:call(?MODULE, {send, OsPid, Signal}).

-spec init([]) -> {ok, state()}.
init([]) ->
    process_flag(trap_exit, true),
    {ok, open()}.

-spec handle_call({send, pos_integer(), pos_integer()}, gen_server:from(), state()) ->
    {reply, ok | {error, no_shell}, state()}.
handle_call({send, _OsPid, _Signal}, _From, none) ->
    {reply, {error, no_shell}, none};
handle_call({send, OsPid, Signal}, _From, Port) ->
    Line = [integer_to_binary(Signal), $\s, integer_to_binary(OsPid), $\n],
    try erlang:port_command(Port, Line) of
        true -> {reply, ok, Port}
    catch
        %% It has just ended; its exit signal says so.
        error:badarg -> {reply, {error, no_shell}, Port}
    end.

-spec handle_cast(term(), state()) -> {noreply, state()}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), state()) -> {noreply, state()}.
handle_info({'EXIT', Port, _Reason}, Port) ->
    _ = erlang:send_after(?AGAIN, self(), open),
    {noreply, none};
handle_info(open, none) ->
    {noreply, open()};
handle_info(_Message, State) ->
    {noreply, State}.

open() ->
    try
        open_port({spawn_executable, "/bin/sh"}, [{args, ["-c", ?SCRIPT, "hornbeam-signaller"]}, binary, hide])
    catch
        %% No process, port or descriptor is left.
        error:_ -> _ = erlang:send_after(?AGAIN, self(), open), none
    end.
