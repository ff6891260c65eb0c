%%% Hands what happens to a cluster's tasks to those of this node whom it concerns.
%%%
%%% Called by: hornbeam_cluster_sup; this node's member of the cluster, which sends {hornbeam_cluster, tasks, Index, Events} in the order of the log
%%% (hornbeam_cluster_machine). Calls: hornbeam_task_table (who is there), hornbeam_cluster. Each server's hornbeam_task_member gets {event, Event}, as does its
%%% hornbeam_schedules; a server that is not there has nobody who waits.
%%%
%%% A node that is gone is given no more tasks as soon as one of the others has said so; what it has is another's when its lease is over. It is given tasks again when it
%%% offers to run some, which it does when it finds that it is not (hornbeam_task_member).
-module(hornbeam_task_listener).
-behaviour(gen_server).

-export([start_link/1]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2]).

-spec start_link(map()) -> {ok, pid()} | {error, term()}.
start_link(_Options) ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, [], []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

-spec init([]) -> {ok, none, {continue, resync}}.
init([]) ->
    ok = net_kernel:monitor_nodes(true),
    {ok, none, {continue, resync}}.

-spec handle_continue(resync, none) -> {noreply, none}.
handle_continue(resync, State) ->
    _ = [hand(Role, Server, resync) || Server <- hornbeam_servers:configured(), Role <- [member, schedules]],
    {noreply, State}.

-spec handle_call(term(), gen_server:from(), none) -> {reply, {error, not_supported}, none}.
handle_call(_Request, _From, State) -> {reply, {error, not_supported}, State}.

-spec handle_cast(term(), none) -> {noreply, none}.
handle_cast(_Request, State) -> {noreply, State}.

-spec handle_info(term(), none) -> {noreply, none} | {noreply, none, {continue, resync}}.
handle_info({hornbeam_cluster, tasks, _Index, resync}, State) ->
    {noreply, State, {continue, resync}};
handle_info({hornbeam_cluster, tasks, _Index, Events}, State) ->
    lists:foreach(fun tell/1, Events),
    {noreply, State};
handle_info({nodedown, Node}, State) ->
    %% Its answer is a message that means nothing here.
    _ = [gen_server:send_request(Pid, Request) || {ok, {Pid, Request}} <- [hornbeam_cluster:request({tasks, {down, Node}})]],
    {noreply, State};
handle_info(_Message, State) ->
    {noreply, State}.

tell({run, Server, {Node, _} = Owner, Task}) when Node =:= node() -> hand(member, Server, {run, Owner, Task});
tell({stop, Server, {Node, _} = Owner, Id}) when Node =:= node() -> hand(member, Server, {stop, Owner, Id});
tell({over, Server, Id}) -> hand(member, Server, {over, Id});
tell({fired, Server, Schedule, Last, Node}) -> hand(schedules, Server, {fired, Schedule, Last, Node});
tell(_Event) -> ok.

hand(Role, Server, Event) ->
    case hornbeam_task_table:Role(Server) of
        {ok, Pid} -> gen_server:cast(Pid, {event, Event});
        error -> ok
    end.
