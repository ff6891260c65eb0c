%%% One started server: its pools (one per mount) and, once their workers are ready, its listener.
%%%
%%%     hornbeam_server (rest_for_one)
%%%     ├─ hornbeam_pool_sup       one per mount: hornbeam_pool, hornbeam_worker × N
%%%     ├─ hornbeam_access_log, hornbeam_metrics_listener    if they are asked for
%%%     ├─ hornbeam_listener       last to start and first to stop, but for
%%%     └─ hornbeam_watch, hornbeam_control     who may reload the server
%%%
%%% Called by: hornbeam. Calls: hornbeam_server_sup, hornbeam_pool (await_ready), hornbeam_mounts.
%%%
%%% The others are added one by one. Were they children from the beginning, a start that
%%% fails (a mistake in the application, a port in use) would also be reported by supervisors, at length; so
%%% its reason goes to the caller of hornbeam:start/2 and nowhere else.
-module(hornbeam_server).
-behaviour(supervisor).

-export([start/2, stop/1, listener/1, pool_ids/1, is_open/1, stop_by/2, farewell/1, config/1, set_config/2, check_interpreters/1]).
-export([start_link/1, start_module/2, init/1]).

-include("hornbeam.hrl").

%% @doc Starts a server; returns when its socket is open. After an error nothing is left running.
-spec start(Name :: atom(), Config :: map()) -> {ok, pid()} | {error, term()}.
start(Name, Config) ->
    case hornbeam_server_sup:find(Name) of
        {ok, _} -> {error, {already_started, Name}};
        error -> set_config(Name, Config), start(Name)
    end.

start(Name) ->
    case hornbeam_server_sup:start_server(Name) of
        {ok, Server} ->
            case open(Name, Server) of
                ok ->
                    {ok, Server};
                {error, Reason} ->
                    _ = stop(Name),
                    {error, Reason}
            end;
        {error, {already_started, _}} ->
            {error, {already_started, Name}};
        {error, Reason} ->
            {error, Reason}
    end.

%% The control socket is the last to start and the first to stop: nobody reloads a server that is being stopped.
open(Name, Server) ->
    run([fun() -> start_child(hornbeam_access_log, Name, Server) end,
         fun() -> start_child(hornbeam_metrics_listener, Name, Server) end,
         fun() -> await_ready(pool_ids(Name)) end,
         fun() -> start_child(hornbeam_listener, Name, Server) end,
         fun() -> start_child(hornbeam_watch, Name, Server) end,
         fun() -> start_child(hornbeam_control, Name, Server) end]).

run([]) ->
    ok;
run([Step | Rest]) ->
    case Step() of
        ok -> run(Rest);
        {error, Reason} -> {error, Reason}
    end.

%% The options are not among the arguments, which supervisors put into their reports: some are secrets.
start_child(Module, Name, Server) ->
    Spec = #{id => Module, start => {?MODULE, start_module, [Module, Name]}, shutdown => infinity},
    case supervisor:start_child(Server, Spec) of
        {ok, _} -> ok;
        {error, {{shutdown, Reason}, _Child}} -> {error, Reason};
        {error, {Reason, _Child}} -> {error, Reason}
    end.

-spec start_module(Module :: module(), Name :: atom()) -> {ok, pid()} | ignore | {error, term()}.
start_module(Module, Name) ->
    {ok, Config} = config(Name),
    Module:start_link(Name, Config).

%% @doc What a server runs with now, as hornbeam_options validated it, and its `app'.
-spec config(Name :: atom()) -> {ok, map()} | error.
config(Name) ->
    case persistent_term:get({?MODULE, Name}, none) of
        none -> error;
        Config -> {ok, Config}
    end.

-spec set_config(Name :: atom(), Config :: map()) -> ok.
set_config(Name, Config) ->
    persistent_term:put({?MODULE, Name}, Config).

%% @doc Whether the interpreter of every mount is there: a mistake that is better found before a worker is started.
-spec check_interpreters([hornbeam_mounts:mount()]) -> ok | {error, term()}.
check_interpreters(Mounts) ->
    case [Error || Mount <- Mounts,
                   {error, _} = Error <- [hornbeam_python:interpreter(hornbeam_mounts:settings(Mount))]] of
        [] -> ok;
        [Error | _] -> Error
    end.

%% The workers themselves keep startup_timeout.
await_ready([]) ->
    ok;
await_ready([Pool | Rest]) ->
    case hornbeam_pool:await_ready(Pool, infinity) of
        ok -> await_ready(Rest);
        {error, Reason} -> {error, Reason}
    end.

-spec stop(Name :: atom()) -> ok | {error, not_found}.
stop(Name) ->
    case hornbeam_server_sup:stop_server(Name) of
        ok ->
            _ = persistent_term:erase({?MODULE, Name}),
            hornbeam_metrics:forget(Name),
            hornbeam_access_log:forget(Name),
            hornbeam_mounts:forget(Name);
        {error, not_found} -> {error, not_found}
    end.

-spec listener(Server :: pid()) -> {ok, pid()} | error.
listener(Server) ->
    case lists:keyfind(hornbeam_listener, 1, supervisor:which_children(Server)) of
        {_, Pid, _, _} when is_pid(Pid) -> {ok, Pid};
        _ -> error
    end.

%% @doc Whether the socket is open and no stop has begun.
-spec is_open(Name :: atom()) -> boolean().
is_open(Name) ->
    persistent_term:get({?MODULE, Name}, none) =/= none andalso
        lists:any(fun({{hornbeam, N, _}, #{status := Status}}) -> N =:= Name andalso Status =:= running;
                     (_) -> false
                  end, maps:to_list(ranch:info())).

%% @doc The server is stopping: tasks of the applications may go on until then (monotonic ms).
-spec stop_by(Name :: atom(), Deadline :: integer() | infinity) -> ok.
stop_by(_Name, infinity) -> ok;
stop_by(Name, Deadline) -> lists:foreach(fun(Id) -> hornbeam_pool:stop_by(Id, Deadline) end, pool_ids(Name)).

%% @doc Tells whoever waits for an answer of a worker that it must end now.
-spec farewell(Name :: atom()) -> ok.
farewell(Name) -> lists:foreach(fun hornbeam_pool:farewell/1, pool_ids(Name)).

-spec pool_ids(Name :: atom()) -> [hornbeam_pool:id()].
pool_ids(Name) ->
    [Pool || #mount{pool = Pool} <- hornbeam_mounts:all(Name)].

-spec start_link(Name :: atom()) -> {ok, pid()} | {error, term()}.
start_link(Name) ->
    case supervisor:start_link(?MODULE, Name) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

-spec init(atom()) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(Name) ->
    {ok, Config} = config(Name),
    Mounts = hornbeam_mounts:build(Name, Config),
    ok = hornbeam_mounts:publish(Name, Mounts),
    {ok, {#{strategy => rest_for_one, intensity => 5, period => 30},
          [pool_spec(Mount) || Mount <- Mounts]}}.

pool_spec(#mount{pool = Id}) ->
    #{id => {pool, Id}, start => {hornbeam_pool_sup, start_link, [Id]},
      type => supervisor, shutdown => infinity}.
