%%% The workers of one pool, and the processes that fork them (hornbeam_preload). `temporary': the pool monitors them and starts a successor itself.
%%% simple_one_for_one ends all of them at the same time, so a stop takes as long as the slowest.
-module(hornbeam_worker_sup).
-behaviour(supervisor).

-export([start_link/0, init/1, start_worker/2, start_preload/2, start_child/2]).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    supervisor:start_link(?MODULE, []).

-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    {ok, {#{strategy => simple_one_for_one}, [
        #{id => worker, start => {?MODULE, start_child, []},
          restart => temporary, shutdown => infinity}
    ]}}.

-spec start_worker(Sup :: pid(), hornbeam_worker:config()) -> {ok, pid()} | {error, term()}.
start_worker(Sup, Config) ->
    started(supervisor:start_child(Sup, [worker, Config])).

%% @doc What forks the workers of a generation, if its settings say so.
-spec start_preload(Sup :: pid(), hornbeam_mounts:mount()) -> hornbeam_preload:preload().
start_preload(Sup, Mount) ->
    hornbeam_preload:for_mount(Mount, fun(Name, M) -> started(supervisor:start_child(Sup, [{preload, Name}, M])) end).

started({ok, Pid}) when is_pid(Pid) -> {ok, Pid};
started({error, Reason}) -> {error, Reason}.

-spec start_child(worker, hornbeam_worker:config()) -> {ok, pid()} | {error, term()};
                 ({preload, binary()}, hornbeam_mounts:mount()) -> {ok, pid()} | {error, term()}.
start_child(worker, Config) -> hornbeam_worker:start_link(Config);
start_child({preload, Name}, Mount) -> hornbeam_preload:start_link(Name, Mount).
