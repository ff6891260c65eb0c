%%% Which of a pool's ready workers gets a request: an atomic operation or two, no message.
%%%
%%% Called by: hornbeam_pool, in the process that has a request.
%%%
%%% Why no request is lost on a worker that leaves: this side counts itself in and then looks whether the worker is open;
%%% the worker closes and then looks whether anybody is counted. Atomics are sequentially consistent, so at
%%% least one sees the other.
-module(hornbeam_pool_choice).

-export([take/3, free/2, load/1]).

-include("hornbeam.hrl").

%% @doc A place on the least loaded worker, one that is late only if there is no other. Turn makes equals take turns. Load: how many
%% requests the worker now has, this one among them.
-spec take(Slots :: tuple(), Turn :: fun(() -> integer()), MaxLoad :: pos_integer()) ->
          {ok, #slot{}, hornbeam_frame:stream_id(), Load :: pos_integer()} | none.
take({Slot}, _Turn, MaxLoad) ->
    take(Slot, MaxLoad);
take(Slots, Turn, MaxLoad) ->
    Size = tuple_size(Slots),
    First = Turn() rem Size,
    case least_loaded(Slots, Size, First, Size, none, MaxLoad, open) of
        none -> take(least_loaded(Slots, Size, First, Size, none, MaxLoad, late), MaxLoad);
        Slot -> take(Slot, MaxLoad)
    end.

least_loaded(_Slots, _Size, _At, 0, Best, _BestLoad, _Which) ->
    Best;
least_loaded(Slots, Size, At, Left, Best, BestLoad, Which) ->
    #slot{counters = Counters} = Slot = element(At + 1, Slots),
    Load = atomics:get(Counters, ?SLOT_LOAD),
    Next = (At + 1) rem Size,
    case Load < BestLoad andalso is(Which, atomics:get(Counters, ?SLOT_OPEN)) of
        true -> least_loaded(Slots, Size, Next, Left - 1, Slot, Load, Which);
        false -> least_loaded(Slots, Size, Next, Left - 1, Best, BestLoad, Which)
    end.

is(open, State) -> State =:= ?OPEN;
is(late, State) -> State =/= ?CLOSED.

take(none, _MaxLoad) ->
    none;
take(#slot{counters = Counters} = Slot, MaxLoad) ->
    Load = atomics:add_get(Counters, ?SLOT_LOAD, 1),
    case Load =< MaxLoad andalso atomics:get(Counters, ?SLOT_OPEN) =/= ?CLOSED of
        true ->
            {ok, Slot, atomics:add_get(Counters, ?SLOT_NEXT_ID, 1), Load};
        false ->
            atomics:sub(Counters, ?SLOT_LOAD, 1),
            none
    end.

%% @doc How many places there are.
-spec free([#slot{}], MaxLoad :: pos_integer()) -> non_neg_integer().
free(Slots, MaxLoad) ->
    lists:sum([max(0, MaxLoad - atomics:get(Counters, ?SLOT_LOAD)) || #slot{counters = Counters} <- Slots,
               atomics:get(Counters, ?SLOT_OPEN) =/= ?CLOSED]).

%% @doc How many workers take requests, how many requests they have.
-spec load(Slots :: tuple()) -> {Ready :: non_neg_integer(), InFlight :: integer()}.
load(Slots) ->
    Counters = [C || #slot{counters = C} <- tuple_to_list(Slots)],
    {length([C || C <- Counters, atomics:get(C, ?SLOT_OPEN) =:= ?OPEN]), lists:sum([atomics:get(C, ?SLOT_LOAD) || C <- Counters])}.
