%%% The background tasks and schedules of one server. Nothing of them runs before it is asked for: by options, or by a first call.
%%%
%%%     hornbeam_tasks_sup (rest_for_one)
%%%     ├─ hornbeam_task_store     with data_dir: durable tasks on disk
%%%     ├─ hornbeam_tasks          takes tasks and has them run
%%%     ├─ hornbeam_task_member    in a cluster: this node's share of the cluster's tasks
%%%     └─ hornbeam_schedules      what begins at given times
%%%
%%% Called by: hornbeam_server (a kept child, started before the listener and so stopped after it), hornbeam_service_tasks (ensure/1). Whoever
%%% comes later finds what came before: the rows are in a table that outlives them all.
-module(hornbeam_tasks_sup).
-behaviour(supervisor).

-export([start_link/2, ensure/1, init/1]).

-define(AGAIN, 20).

-spec start_link(Server :: atom(), Config :: map()) -> {ok, pid()} | {error, term()}.
start_link(Server, Config) ->
    %% Who has been there before is missed.
    Wanted = is_wanted(Config) orelse hornbeam_task_table:keeper(Server) =/= error,
    case supervisor:start_link(?MODULE, {Server, Wanted, Config}) of
        {ok, Pid} -> ok = hornbeam_task_table:set_supervisor(Server, Pid), {ok, Pid};
        {error, {shutdown, {failed_to_start_child, _, {shutdown, Reason}}}} -> {error, {shutdown, Reason}};
        {error, Reason} -> {error, Reason}
    end.

is_wanted(#{data_dir := <<>>, schedules := [], task_workers := 0, cluster := <<>>}) -> false;
is_wanted(_) -> true.

%% @doc Has tasks and schedules there. A worker may ask while its server is being started, or this is started anew: then it waits, in a
%% process that has a deadline.
-spec ensure(Server :: atom()) -> ok.
ensure(Server) ->
    case hornbeam_task_table:supervisor(Server) of
        {ok, Sup} ->
            try
                _ = [supervisor:start_child(Sup, Spec) || Spec <- specs(Server)],
                ok
            catch
                exit:{_, {gen_server, call, _}} -> later(Server)
            end;
        error ->
            later(Server)
    end.

later(Server) ->
    receive after ?AGAIN -> ensure(Server) end.

-spec init({atom(), boolean(), map()}) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init({Server, Wanted, #{data_dir := Dir}}) ->
    Store = [#{id => store, start => {hornbeam_task_store, start_link, [Server, Dir]}, shutdown => 30000} || Dir =/= <<>>],
    Specs = case Wanted of true -> specs(Server); false -> [] end,
    {ok, {#{strategy => rest_for_one, intensity => 5, period => 30}, Store ++ Specs}}.

specs(Server) ->
    {ok, #{cluster := Cluster}} = hornbeam_servers:config(Server),
    [#{id => tasks, start => {hornbeam_tasks, start_link, [Server]}, shutdown => infinity}]
    ++ [#{id => member, start => {hornbeam_task_member, start_link, [Server]}, shutdown => infinity} || Cluster =/= <<>>]
    ++ [#{id => schedules, start => {hornbeam_schedules, start_link, [Server]}}].
