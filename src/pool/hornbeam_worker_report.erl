%%% What a worker tells its pool, in its own process. Nothing is answered. What happens to it is counted (hornbeam_worker_events_total).
%%%
%%% Called by: hornbeam_worker, hornbeam_worker_places. The messages are hornbeam_pool's (handle_cast/2). Calls: hornbeam_counts.
-module(hornbeam_worker_report).

-export([ready/3, lost/3, capacity/1, retire/3]).

-include("hornbeam.hrl").

%% @doc A worker takes requests from now on.
-spec ready(Pool :: pid(), hornbeam_pool:id(), #slot{}) -> ok.
ready(Pool, Id, Slot) ->
    ok = count(Id, "ready", none),
    gen_server:cast(Pool, {ready, self(), Slot}).

%% @doc A worker's Python process has ended; the worker itself goes on and starts another.
-spec lost(Pool :: pid(), hornbeam_pool:id(), Reason :: term()) -> ok.
lost(Pool, Id, Reason) ->
    ok = count(Id, "lost", kind(Reason)),
    gen_server:cast(Pool, {lost, self(), Reason}).

%% @doc A worker with waiters in the pool has become less loaded.
-spec capacity(Pool :: pid()) -> ok.
capacity(Pool) ->
    gen_server:cast(Pool, capacity).

%% @doc A worker has reached one of its limits and is to be replaced.
-spec retire(Pool :: pid(), hornbeam_pool:id(), hornbeam_worker_retirement:reason()) -> ok.
retire(Pool, Id, Reason) ->
    ok = count(Id, "retired", Reason),
    gen_server:cast(Pool, {retire, self(), Reason}).

count({Server, Place}, Event, Reason) ->
    hornbeam_counts:count(Server, <<"hornbeam_worker_events_total">>,
                          [place(Place), {"event", Event} | [{"reason", atom_to_binary(Reason)} || Reason =/= none]]).

place({service, Service}) -> {"service", Service};
place(<<>>) -> {"mount", "/"};
place(Place) -> {"mount", Place}.

%% What says more than that, the log has.
kind(Reason) when is_atom(Reason) -> Reason;
kind(Reason) when is_tuple(Reason), is_atom(element(1, Reason)) -> element(1, Reason);
kind(_Reason) -> other.
