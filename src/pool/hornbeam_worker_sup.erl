%%% The workers of one pool. `temporary': the pool monitors them and starts a successor itself.
%%% simple_one_for_one ends all of them at the same time, so a stop takes as long as the slowest.
-module(hornbeam_worker_sup).
-behaviour(supervisor).

-export([start_link/0, init/1, start_worker/2]).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    supervisor:start_link(?MODULE, []).

-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    {ok, {#{strategy => simple_one_for_one}, [
        #{id => worker, start => {hornbeam_worker, start_link, []},
          restart => temporary, shutdown => infinity}
    ]}}.

-spec start_worker(Sup :: pid(), hornbeam_worker:config()) -> {ok, pid()} | {error, term()}.
start_worker(Sup, Config) ->
    case supervisor:start_child(Sup, [Config]) of
        {ok, Pid} when is_pid(Pid) -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.
