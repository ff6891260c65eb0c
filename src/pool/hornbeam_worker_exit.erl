%%% The end of a Python worker: the wait for its exit while its supervisor waits, and the kill when it takes too long.
%%%
%%% Called by: hornbeam_worker (terminate/3, and its state `stopping'). Calls: hornbeam_python.
%%%
%%% A receive loop of its own, because a gen_statem gets no more events once it terminates.
-module(hornbeam_worker_exit).

-export([await/6, kill/2]).

%% @doc Returns when the process has ended: by itself, how, or killed at StopAt (monotonic ms). Handle takes every message
%% meanwhile.
-spec await(Number :: pos_integer(), port(), OsPid :: pos_integer(), StopAt :: integer(),
            Handle :: fun((Message :: term(), State) -> State), State) -> {{exit_status, integer()} | {pipe_closed, term()} | killed, State}.
await(Number, Port, OsPid, StopAt, Handle, State) ->
    receive
        {Port, {exit_status, Status}} ->
            {{exit_status, Status}, State};
        {'EXIT', Port, Reason} ->
            {{pipe_closed, Reason}, State};
        Message ->
            await(Number, Port, OsPid, StopAt, Handle, Handle(Message, State))
    after max(0, StopAt - erlang:monotonic_time(millisecond)) ->
        kill(Number, OsPid),
        {killed, State}
    end.

%% @doc For a worker that has not ended in its shutdown_timeout.
-spec kill(Number :: pos_integer(), OsPid :: pos_integer()) -> ok.
kill(Number, OsPid) ->
    logger:warning("worker ~b (pid ~p) did not finish its shutdown in time and is killed",
                   [Number, OsPid], #{hornbeam_worker => Number}),
    hornbeam_python:kill(OsPid).
