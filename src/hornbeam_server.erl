%%% One started server: its pools (one per mount) and, once their workers are ready, its listener.
%%%
%%%     hornbeam_server (one_for_one)
%%%     ├─ hornbeam_pool_sup       one per mount: hornbeam_pool, hornbeam_worker × N
%%%     ├─ hornbeam_access_log, hornbeam_metrics_listener    if they are asked for; kept
%%%     ├─ hornbeam_listener       last to start and first to stop, but for
%%%     └─ hornbeam_watch, hornbeam_control     who may reload the server; kept
%%%
%%% Called by: hornbeam. Calls: hornbeam_server_sup, hornbeam_server_monitor, hornbeam_pool (await_ready), hornbeam_mounts, hornbeam_code,
%%% hornbeam_descriptors.
%%%
%%% What the failure of a child means. A pool or the listener is the server: it is restarted alone (a connection outlives both: its
%%% requests wait for the pool's new workers, and Ranch's sockets for their new owner), and more than five restarts in 30 s end the
%%% server (hornbeam_server_monitor says what follows). The others are helpers: a hornbeam_keeper restarts each, later and
%%% later, and never gives up, so that no full disk and no folder that has vanished takes the server down.
%%%
%%% The others are added one by one. Were they children from the beginning, a start that
%%% fails (a mistake in the application, a port in use) would also be reported by supervisors, at length; so
%%% its reason goes to the caller of hornbeam:start/2 and nowhere else.
-module(hornbeam_server).
-behaviour(supervisor).

-export([start/3, stop/1, forget/1, close_left/0, listener/1, pool_ids/1, is_open/1, stop_by/2, farewell/1, config/1, set_config/2, check_interpreters/1]).
-export([start_link/1, start_module/2, init/1]).

-include("hornbeam.hrl").

%% @doc Starts a server; returns when its socket is open. After an error nothing is left running. Bond: what follows when it
%% ends by itself.
-spec start(Name :: atom(), Config :: map(), hornbeam_server_monitor:bond()) -> {ok, pid()} | {error, term()}.
start(Name, Config, Bond) ->
    ok = hornbeam_server_monitor:settle(Name),
    case hornbeam_server_sup:find(Name) of
        {ok, _} -> {error, {already_started, Name}};
        error -> set_config(Name, Config), start(Name, Bond)
    end.

start(Name, Bond) ->
    case hornbeam_server_sup:start_server(Name) of
        {ok, Server} ->
            case open(Name, Server) of
                ok ->
                    ok = hornbeam_server_monitor:watch(Name, Server, Bond),
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

%% The control socket is the last to start and the first to stop: nobody reloads a server that is being stopped. The code is loaded
%% while the workers import theirs.
open(Name, Server) ->
    run([fun() -> keep_for(Name) end,
         fun() -> start_kept(hornbeam_access_log, Name, Server) end,
         fun() -> start_kept(hornbeam_metrics_listener, Name, Server) end,
         fun hornbeam_code:load/0,
         fun() -> await_ready(pool_ids(Name)) end,
         fun() -> start_listener(Name, Server) end,
         fun() -> start_kept(hornbeam_watch, Name, Server) end,
         fun() -> start_kept(hornbeam_control, Name, Server) end]).

run([]) ->
    ok;
run([Step | Rest]) ->
    case Step() of
        ok -> run(Rest);
        {error, Reason} -> {error, Reason}
    end.

%% Keeps descriptors back for this server, too, and says what is left for its connections.
keep_for(Name) ->
    {ok, #{max_connections := Max} = Config} = config(Name),
    case keep([Name | hornbeam_server_monitor:servers()]) of
        {ok, Room} when is_integer(Max), Max > Room ->
            logger:warning("max_connections (~b) is lowered to ~b, for all addresses together: the limit of open files (ulimit -n) is "
                           "~b, of which ~b are kept back for workers, control and metrics",
                           [Max, Room, hornbeam_descriptors:limit(), hornbeam_descriptors:kept(Config)]);
        {ok, _} -> ok;
        {error, Reason} -> {error, Reason}
    end.

keep(Names) ->
    hornbeam_descriptors:keep([Config || Name <- lists:usort(Names), {ok, Config} <- [config(Name)]]).

start_listener(Name, Server) ->
    start_child(#{id => hornbeam_listener, start => {?MODULE, start_module, [hornbeam_listener, Name]}, shutdown => infinity},
                Server).

start_kept(Module, Name, Server) ->
    start_child(hornbeam_keeper:spec(Module, {?MODULE, start_module, [Module, Name]}), Server).

%% The options are not among the arguments, which supervisors put into their reports: some are secrets.
start_child(Spec, Server) ->
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
    persistent_term:put({?MODULE, Name}, Config),
    _ = keep([Name | hornbeam_server_monitor:servers()]),
    ok.

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
    ok = hornbeam_server_monitor:release(Name),
    case hornbeam_server_sup:stop_server(Name) of
        ok -> forget(Name);
        {error, not_found} -> {error, not_found}
    end.

%% @doc Removes what a server that has ended leaves: its options and counters, and Ranch's sockets if their owner was killed.
-spec forget(Name :: atom()) -> ok.
forget(Name) ->
    ok = close_left(Name),
    ok = hornbeam_connection:forget(Name),
    ok = hornbeam_clients:forget(Name),
    _ = hornbeam_tls:forget(Name),
    _ = persistent_term:erase({?MODULE, Name}),
    hornbeam_metrics:forget(Name),
    hornbeam_access_log:forget(Name),
    hornbeam_mounts:forget(Name),
    _ = keep(hornbeam_server_monitor:servers()),
    ok.

close_left(Name) ->
    case config(Name) of
        {ok, Config} ->
            hornbeam_socket:close_left(hornbeam_listener:refs(Name, Config) ++ hornbeam_metrics_listener:refs(Name, Config));
        error ->
            ok
    end.

%% @doc The application has ended: no socket is left of any server.
-spec close_left() -> ok.
close_left() ->
    lists:foreach(fun close_left/1, [Name || {{?MODULE, Name}, _} <- persistent_term:get()]).

-spec listener(Server :: pid()) -> {ok, pid()} | error.
listener(Server) ->
    case lists:keyfind(hornbeam_listener, 1, supervisor:which_children(Server)) of
        {_, Pid, _, _} when is_pid(Pid) -> {ok, Pid};
        _ -> error
    end.

%% @doc Whether the socket is open and no stop has begun.
-spec is_open(Name :: atom()) -> boolean().
is_open(Name) ->
    case config(Name) of
        {ok, Config} -> lists:any(fun(Ref) -> hornbeam_socket:status(Ref) =:= running end, hornbeam_listener:refs(Name, Config));
        error -> false
    end.

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
    {ok, {#{strategy => one_for_one, intensity => 5, period => 30},
          [pool_spec(Mount) || Mount <- Mounts]}}.

pool_spec(#mount{pool = Id}) ->
    #{id => {pool, Id}, start => {hornbeam_pool_sup, start_link, [Id]},
      type => supervisor, shutdown => infinity}.
