%%% What a worker tells its pool. Nothing is answered.
%%%
%%% Called by: hornbeam_worker, hornbeam_worker_places. The messages are hornbeam_pool's (handle_cast/2).
-module(hornbeam_worker_report).

-export([ready/3, lost/3, capacity/1, retire/3]).

-include("hornbeam.hrl").

%% @doc A worker takes requests from now on.
-spec ready(Pool :: pid(), Worker :: pid(), #slot{}) -> ok.
ready(Pool, Worker, Slot) ->
    gen_server:cast(Pool, {ready, Worker, Slot}).

%% @doc A worker's Python process has ended; the worker itself goes on and starts another.
-spec lost(Pool :: pid(), Worker :: pid(), Reason :: term()) -> ok.
lost(Pool, Worker, Reason) ->
    gen_server:cast(Pool, {lost, Worker, Reason}).

%% @doc A worker with waiters in the pool has become less loaded.
-spec capacity(Pool :: pid()) -> ok.
capacity(Pool) ->
    gen_server:cast(Pool, capacity).

%% @doc A worker has reached one of its limits and is to be replaced.
-spec retire(Pool :: pid(), Worker :: pid(), hornbeam_worker_retirement:reason()) -> ok.
retire(Pool, Worker, Reason) ->
    gen_server:cast(Pool, {retire, Worker, Reason}).
