%%% The started servers: one supervisor (hornbeam_server) each, added by hornbeam:start/2 and removed
%%% by hornbeam:stop/1.
%%%
%%% A server is `temporary': when its own restart limit is reached something is broken for good, and
%%% restarting it forever would only hide it in the log. What its end means is hornbeam_server_monitor's matter.
-module(hornbeam_server_sup).
-behaviour(supervisor).

-export([start_link/0, init/1, start_server/1, stop_server/1, find/1, servers/0]).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, []).

-spec init([]) -> {ok, {supervisor:sup_flags(), []}}.
init([]) ->
    {ok, {#{strategy => one_for_one}, []}}.

%% @doc Starts a server and returns when its socket is open, or with the reason why it is not.
-spec start_server(Name :: atom()) -> {ok, pid()} | {error, term()}.
start_server(Name) ->
    supervisor:start_child(?MODULE, #{
        id => Name,
        start => {hornbeam_server, start_link, [Name]},
        restart => temporary,
        type => supervisor,
        shutdown => infinity
    }).

%% @doc Stops a server gracefully (see hornbeam_listener and hornbeam_worker for the order).
-spec stop_server(Name :: atom()) -> ok | {error, not_found}.
stop_server(Name) ->
    supervisor:terminate_child(?MODULE, Name).

-spec find(Name :: atom()) -> {ok, pid()} | error.
find(Name) ->
    case [Pid || {Id, Pid, _, _} <- supervisor:which_children(?MODULE), Id =:= Name, is_pid(Pid)] of
        [Pid] -> {ok, Pid};
        [] -> error
    end.

-spec servers() -> [atom()].
servers() ->
    [Name || {Name, Pid, _, _} <- supervisor:which_children(?MODULE), is_pid(Pid)].
