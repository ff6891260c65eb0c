%%% The waiting room of a pool: who waits for a place on a worker, first come first served, and how many they are.
%%%
%%% Owns the queue (hornbeam_pool_turns), and the number of those in it or on their way to it: a counter that bounds it (max_queue) before
%%% a message is sent, and by which a worker sees whether anybody waits (hornbeam_worker_places).
%%% Called by: hornbeam_pool: enter/3 in the process that has a request, the others in its own. Calls: hornbeam_pool_turns.
%%%
%%% A connection enters and casts `wait'. When a place may be free the one at the head gets `{Owner, try_again}' and then checks out by itself:
%%% no place is ever given to a request that has gone meanwhile. It keeps its own deadline and casts `cancel' when it leaves. One that loses
%%% the race for the place waits again, at the head. Where callers share the queue (Fair: its length then), the one that has the most is told
%%% {Owner, overloaded} for each that comes when the queue is full: twice as many may enter, for a moment.
-module(hornbeam_pool_waiting).

-export([new/2, enter/3, in/4, leave/2, wake/2]).
-export_type([waiting/0, counter/0]).

-type counter() :: {atomics:atomics_ref(), pos_integer()}.
-record(waiting, {
    counter :: counter(),
    refused :: counter(),
    queue = hornbeam_pool_turns:new() :: hornbeam_pool_turns:turns()
}).
-opaque waiting() :: #waiting{}.

%% @doc Refused counts those that are pushed out.
-spec new(counter(), Refused :: counter()) -> waiting().
new(Counter, Refused) -> #waiting{counter = Counter, refused = Refused}.

%% @doc Takes one of Max places to wait; one that goes to the front has had its own before.
-spec enter(front | back, Max :: non_neg_integer(), counter()) -> boolean().
enter(Where, Max, {Ref, Index}) ->
    case atomics:add_get(Ref, Index, 1) of
        Waiting when Waiting =< Max; Where =:= front -> true;
        _ -> atomics:sub(Ref, Index, 1), false
    end.

%% @doc One that has entered.
-spec in(hornbeam_pool:owner(), front | back, Fair :: non_neg_integer() | infinity, waiting()) -> waiting().
in(Owner, Where, Fair, #waiting{queue = Queue} = Waiting) ->
    push_out(Fair, Waiting#waiting{queue = hornbeam_pool_turns:in(Owner, Where, Queue)}).

push_out(Fair, #waiting{queue = Queue0, refused = {Ref, Index}} = Waiting) ->
    case hornbeam_pool_turns:size(Queue0) > Fair of
        true ->
            {Pid, _} = Owner = hornbeam_pool_turns:longest(Queue0),
            {ok, Queue} = hornbeam_pool_turns:delete(Owner, Queue0),
            ok = left(Waiting),
            atomics:add(Ref, Index, 1),
            Pid ! {Owner, overloaded},
            Waiting#waiting{queue = Queue};
        false ->
            Waiting
    end.

%% @doc One that waits no longer; `woken': it has been told to try again.
-spec leave(hornbeam_pool:owner(), waiting()) -> {left, waiting()} | woken.
leave(Owner, #waiting{queue = Queue0} = Waiting) ->
    case hornbeam_pool_turns:delete(Owner, Queue0) of
        {ok, Queue} -> ok = left(Waiting), {left, Waiting#waiting{queue = Queue}};
        error -> woken
    end.

%% @doc Wakes as many as there may be free places, which are counted only when anybody waits.
-spec wake(Free :: fun(() -> non_neg_integer()), waiting()) -> waiting().
wake(Free, #waiting{queue = Queue} = Waiting) ->
    case hornbeam_pool_turns:is_empty(Queue) of
        true -> Waiting;
        false -> wake_some(Free(), Waiting)
    end.

wake_some(0, Waiting) ->
    Waiting;
wake_some(Free, #waiting{queue = Queue0} = Waiting) ->
    case hornbeam_pool_turns:out(Queue0) of
        empty ->
            Waiting;
        {{Pid, _} = Owner, Queue} ->
            ok = left(Waiting),
            %% One that was killed has not cancelled, and would waste the place.
            Woken = case is_process_alive(Pid) of
                true -> Pid ! {Owner, try_again}, 1;
                false -> 0
            end,
            wake_some(Free - Woken, Waiting#waiting{queue = Queue})
    end.

left(#waiting{counter = {Ref, Index}}) ->
    atomics:sub(Ref, Index, 1).
