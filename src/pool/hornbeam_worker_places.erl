%%% The places of one worker: how many requests it has, whether it takes more, and who hears of one that is free.
%%%
%%% Owns the worker's slot (hornbeam.hrl), from which requests take places without asking anybody (hornbeam_pool_choice).
%%% Called by: hornbeam_worker and hornbeam_worker_session, in the worker's process, which gives back each place that was taken: with the
%%% end of a stream, or because it refuses it. Calls: hornbeam_worker_report (capacity/1), when requests wait in the pool.
-module(hornbeam_worker_places).

-export([new/3, told/2, slot/1, open/1, close/1, give_back/1, give_back/2, refuse/2, are_free/1, last_id/1, runs/2]).
-export_type([places/0]).

-include("hornbeam.hrl").

-record(places, {
    slot :: #slot{},
    pool :: pid(),
    waiting :: hornbeam_pool_waiting:counter()
}).
-opaque places() :: #places{}.

%% @doc Those of the calling process.
-spec new(Number :: pos_integer(), Pool :: pid(), hornbeam_pool_waiting:counter()) -> places().
new(Number, Pool, Waiting) ->
    #places{slot = #slot{worker = self(), number = Number, counters = atomics:new(?SLOT_SIZE, [])}, pool = Pool, waiting = Waiting}.

%% @doc With as many places as a Python process that has become ready says: the threads of a WSGI application, each of which has one
%% request. More would wait in Python for a thread that may hang, while another worker has one that is free; here they wait for
%% whichever is the first.
-spec told(About :: map(), places()) -> places().
told(#{<<"interface">> := <<"wsgi">>, <<"threads">> := Threads}, #places{slot = Slot} = Places) when is_integer(Threads), Threads > 0 ->
    Places#places{slot = Slot#slot{places = Threads}};
told(#{}, #places{slot = Slot} = Places) ->
    Places#places{slot = Slot#slot{places = infinity}}.

-spec slot(places()) -> #slot{}.
slot(#places{slot = Slot}) -> Slot.

%% @doc Requests are taken from now on, or no more.
-spec open(places()) -> ok.
open(#places{slot = #slot{counters = Counters}}) -> atomics:put(Counters, ?SLOT_OPEN, ?OPEN).

-spec close(places()) -> ok.
close(#places{slot = #slot{counters = Counters}}) -> atomics:put(Counters, ?SLOT_OPEN, ?CLOSED).

%% @doc One is free again.
-spec give_back(places()) -> ok.
give_back(#places{slot = #slot{counters = Counters}, waiting = {Waiting, Index}, pool = Pool}) ->
    atomics:sub(Counters, ?SLOT_LOAD, 1),
    case atomics:get(Waiting, Index) > 0 of
        true -> hornbeam_worker_report:capacity(Pool);
        false -> ok
    end.

%% @doc So many are free, of a worker that is closed.
-spec give_back(non_neg_integer(), places()) -> ok.
give_back(Count, #places{slot = #slot{counters = Counters}}) ->
    atomics:sub(Counters, ?SLOT_LOAD, Count).

%% @doc A stream is not taken: its owner may go elsewhere.
-spec refuse(hornbeam_pool:owner(), places()) -> ok.
refuse({Pid, _} = Owner, Places) ->
    Pid ! {Owner, {worker_lost, refused}},
    give_back(Places).

%% @doc Whether all of them are.
-spec are_free(places()) -> boolean().
are_free(#places{slot = #slot{counters = Counters}}) -> atomics:get(Counters, ?SLOT_LOAD) =:= 0.

%% @doc The highest stream id that was given to anybody.
-spec last_id(places()) -> hornbeam_frame:stream_id().
last_id(#places{slot = #slot{counters = Counters}}) -> atomics:get(Counters, ?SLOT_NEXT_ID).

%% @doc What the slot says of the Python process: its number, or none.
-spec runs(OsPid :: pos_integer() | undefined, places()) -> ok.
runs(OsPid, #places{slot = #slot{counters = Counters}}) ->
    atomics:put(Counters, ?SLOT_OS_PID, case OsPid of undefined -> 0; _ -> OsPid end).
