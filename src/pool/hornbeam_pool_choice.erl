%%% Which of a pool's ready workers gets a request: an atomic operation or two, no message.
%%%
%%% Called by: hornbeam_pool, in the process that has a request; hornbeam_websocket (forget/0). Calls: hornbeam_pool_affinity, for a request that belongs to a worker.
%%%
%%% The least loaded one. Of several workers the process remembers the number of the one that it had (in its dictionary: a connection's process
%%% has one request after the other), and begins to look there: among equals it stays where it was. It also stays while that one has up to an
%%% eighth more than the least loaded: of two workers with 30 requests each nobody moves for one more, while of two that have one or none
%%% everybody takes the idle one. (One more at any load was tried: two connections that had begun on the same worker went on to share it
%%% while the other was idle, for half the throughput.)
%%%
%%% Why no request is lost on a worker that leaves: this side counts itself in and then looks whether the worker is open;
%%% the worker closes and then looks whether anybody is counted. Atomics are sequentially consistent, so at
%%% least one sees the other.
-module(hornbeam_pool_choice).

-export([take/4, forget/0, free/2, load/1]).
-export_type([taken/0]).

-include("hornbeam.hrl").

%% Of which part of its load, as a power of two, the first one is relieved.
-define(STAYS, 3).
-define(NONE, 64).

%% Load: how many requests the worker now has, this one among them.
-type taken() :: {ok, #slot{}, hornbeam_frame:stream_id(), Load :: pos_integer()}.

%% @doc A place for a request: on the worker that it belongs to (hornbeam_pool_affinity), else on the least loaded one, on one that is late only
%% if there is no other. moved: what it belonged to is not there, and it will not go back. Turn makes equals take turns where nothing is
%% remembered. Slots: by their numbers, in ascending order. call: one from Erlang, which has a thread of its own where the worker's are its
%% places, since the request that waits for it may have one of those.
-spec take(any | call | hornbeam_pool_affinity:belongs(), Slots :: tuple(), Turn :: fun(() -> integer()), MaxLoad :: pos_integer()) ->
    taken() | {moved, taken()} | none.
take(any, {Slot}, _Turn, MaxLoad) ->
    take(Slot, MaxLoad);
take(any, Slots, Turn, MaxLoad) ->
    {First, Advantage} = first(get(?MODULE), Slots, Turn),
    case least_loaded(Slots, First, Advantage, MaxLoad, open) of
        none -> take(least_loaded(Slots, First, Advantage, MaxLoad, late), MaxLoad);
        Slot -> take(noted(Slot), MaxLoad)
    end;
take(call, Slots, Turn, MaxLoad) ->
    take(any, list_to_tuple([Slot#slot{places = infinity} || Slot <- tuple_to_list(Slots)]), Turn, MaxLoad);
take(Belongs, Slots, Turn, MaxLoad) ->
    case in_order(hornbeam_pool_affinity:order(Belongs, Slots), MaxLoad, absent) of
        full -> take(any, Slots, Turn, MaxLoad);
        absent -> moved(take(any, Slots, Turn, MaxLoad));
        Taken -> Taken
    end.

%% The first of them that has room. One that is late keeps what belongs to it: nobody else has it. One that was killed cannot say
%% that it is closed; the pool hears of it in a moment.
in_order([#slot{worker = Worker, counters = Counters} = Slot | Rest], MaxLoad, Otherwise) ->
    case atomics:get(Counters, ?SLOT_OPEN) =/= ?CLOSED andalso is_process_alive(Worker) of
        true ->
            case take(Slot, MaxLoad) of
                none -> in_order(Rest, MaxLoad, full);
                Taken -> Taken
            end;
        false ->
            in_order(Rest, MaxLoad, Otherwise)
    end;
in_order([], _MaxLoad, Otherwise) ->
    Otherwise.

moved(none) -> none;
moved(Taken) -> {moved, Taken}.

%% Where the search begins: at the worker that the process had, if it is there.
first(undefined, Slots, Turn) ->
    {Turn() rem tuple_size(Slots), ?NONE};
first(Number, Slots, Turn) ->
    case Number =< tuple_size(Slots) andalso element(Number, Slots) of
        #slot{number = Number} -> {Number - 1, ?STAYS};
        _ -> search(Number, 1, Slots, Turn)
    end.

search(_Number, At, Slots, Turn) when At > tuple_size(Slots) ->
    first(undefined, Slots, Turn);
search(Number, At, Slots, Turn) ->
    case element(At, Slots) of
        #slot{number = Number} -> {At - 1, ?STAYS};
        _ -> search(Number, At + 1, Slots, Turn)
    end.

noted(#slot{number = Number} = Slot) ->
    _ = put(?MODULE, Number),
    Slot.

%% @doc The process has no further requests.
-spec forget() -> ok.
forget() ->
    _ = erase(?MODULE),
    ok.

least_loaded(Slots, First, Advantage, MaxLoad, Which) ->
    Size = tuple_size(Slots),
    #slot{counters = Counters, places = Places} = Slot = element(First + 1, Slots),
    Load = atomics:get(Counters, ?SLOT_LOAD),
    case Load < MaxLoad andalso Load < Places andalso is(Which, atomics:get(Counters, ?SLOT_OPEN)) of
        true -> least_loaded(Slots, Size, (First + 1) rem Size, Size - 1, Slot, Load - (Load bsr Advantage), Which);
        false -> least_loaded(Slots, Size, (First + 1) rem Size, Size - 1, none, MaxLoad, Which)
    end.

least_loaded(_Slots, _Size, _At, 0, Best, _BestLoad, _Which) ->
    Best;
least_loaded(Slots, Size, At, Left, Best, BestLoad, Which) ->
    #slot{counters = Counters, places = Places} = Slot = element(At + 1, Slots),
    Load = atomics:get(Counters, ?SLOT_LOAD),
    Next = (At + 1) rem Size,
    case Load < BestLoad andalso Load < Places andalso is(Which, atomics:get(Counters, ?SLOT_OPEN)) of
        true -> least_loaded(Slots, Size, Next, Left - 1, Slot, Load, Which);
        false -> least_loaded(Slots, Size, Next, Left - 1, Best, BestLoad, Which)
    end.

is(open, State) -> State =:= ?OPEN;
is(late, State) -> State =/= ?CLOSED.

take(none, _MaxLoad) ->
    none;
%% Any number is less than `infinity'.
take(#slot{counters = Counters, places = Places} = Slot, MaxLoad) ->
    Load = atomics:add_get(Counters, ?SLOT_LOAD, 1),
    case Load =< MaxLoad andalso Load =< Places andalso atomics:get(Counters, ?SLOT_OPEN) =/= ?CLOSED of
        true ->
            {ok, Slot, atomics:add_get(Counters, ?SLOT_NEXT_ID, 1), Load};
        false ->
            atomics:sub(Counters, ?SLOT_LOAD, 1),
            none
    end.

%% @doc How many places there are.
-spec free([#slot{}], MaxLoad :: pos_integer()) -> non_neg_integer().
free(Slots, MaxLoad) ->
    lists:sum([max(0, min(Places, MaxLoad) - atomics:get(Counters, ?SLOT_LOAD)) || #slot{counters = Counters, places = Places} <- Slots,
               atomics:get(Counters, ?SLOT_OPEN) =/= ?CLOSED]).

%% @doc How many workers take requests, how many requests they have.
-spec load(Slots :: tuple()) -> {Ready :: non_neg_integer(), InFlight :: integer()}.
load(Slots) ->
    Counters = [C || #slot{counters = C} <- tuple_to_list(Slots)],
    {length([C || C <- Counters, atomics:get(C, ?SLOT_OPEN) =:= ?OPEN]), lists:sum([atomics:get(C, ?SLOT_LOAD) || C <- Counters])}.
