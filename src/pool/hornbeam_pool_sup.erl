%%% One application's pool: the process that keeps its workers and the workers themselves.
%%%
%%% one_for_all: the pool knows its workers by their processes and a worker its pool, so neither
%%% is of use without the other. Python processes that die are no matter of this supervisor: a
%%% hornbeam_worker outlives them and starts the next one itself; and a hornbeam_worker that ends is its pool's.
%%% Crashes of the pool are a defect: more than five in 30 s end this supervisor, which hornbeam_server starts anew, five times.
-module(hornbeam_pool_sup).
-behaviour(supervisor).

-export([spec/1, start_link/1, init/1]).

%% @doc For hornbeam_server and hornbeam_pools_sup.
-spec spec(hornbeam_pool:id()) -> supervisor:child_spec().
spec(Id) ->
    #{id => {pool, Id}, start => {?MODULE, start_link, [Id]}, type => supervisor, shutdown => infinity}.

%% The mount is not among the arguments: a reload may change it, and supervisors put them into their reports, secret options too.
-spec start_link(hornbeam_pool:id()) -> {ok, pid()} | {error, term()}.
start_link(Id) ->
    supervisor:start_link(?MODULE, Id).

-spec init(hornbeam_pool:id()) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(Id) ->
    {ok, {#{strategy => one_for_all, intensity => 5, period => 30}, [
        #{id => workers, start => {hornbeam_worker_sup, start_link, []},
          type => supervisor, shutdown => infinity},
        #{id => pool, start => {hornbeam_pool, start_link, [self(), Id]}}
    ]}}.
