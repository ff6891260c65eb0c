%%% This node as a member of a cluster: whose options it has, since when and until when.
%%%
%%% Called by: hornbeam_server (start/2, before its pools), hornbeam_server_remains (unused/0, after them), hornbeam_sup (start_link/0), hornbeam_cluster. Calls:
%%% hornbeam_cluster_sup, hornbeam_servers.
%%%
%%% The cluster is the VM's: servers with the same options cluster_* share it, one with others is refused; it ends with the last of them. hornbeam_sup has a place
%%% for it, before the servers and so stopped after them: applications use it until their end. Nothing waits for other nodes here:
%%% a node that is alone starts, and what needs a majority is refused until there is one.
%%%
%%% Failure modes: each reason of start/2 has its text in hornbeam_reason. Once it runs, hornbeam_keeper (in hornbeam_sup) restarts it.
-module(hornbeam_cluster_node).

-export([start/2, unused/0, open/1, close/0, options/0, start_link/0]).

-define(CHILD, hornbeam_cluster_sup).
%% What may differ between servers, or later.
-define(OWN, [cluster_ready, cluster_forget_after, cluster_nodes]).

%% @doc Makes this node a member as a server's options say, unless it is one.
-spec start(Server :: atom(), Config :: map()) -> ok | {error, term()}.
start(_Server, #{cluster := <<>>}) ->
    ok;
start(_Server, Config) ->
    case options() of
        none -> open(Config);
        Options -> same(Options, Config)
    end.

same(Options, Config) ->
    case [Key || {Key, Value} <- lists:sort(maps:to_list(Config)), is_ours(atom_to_list(Key)), not lists:member(Key, ?OWN),
                 maps:get(Key, Options, Value) =/= Value] of
        [] -> ok;
        [Key | _] -> {error, {cluster_differs, Key}}
    end.

is_ours("cluster" ++ _) -> true;
is_ours(_) -> false.

%% @doc Starts what makes it one.
-spec open(Options :: map()) -> ok | {error, term()}.
open(Options) ->
    ok = persistent_term:put(?MODULE, Options),
    case supervisor:restart_child(hornbeam_sup, ?CHILD) of
        {ok, Pid} when is_pid(Pid) -> ok;
        {error, running} -> {error, already_started};
        {error, Reason} -> ok = close(), {error, Reason}
    end.

%% @doc The opposite; its membership stays.
-spec close() -> ok.
close() ->
    _ = persistent_term:erase(?MODULE),
    _ = supervisor:terminate_child(hornbeam_sup, ?CHILD),
    ok.

%% @doc A server has ended. With the last one that has a cluster the cluster ends here.
-spec unused() -> ok.
unused() ->
    case [Name || Name <- hornbeam_servers:configured(), {ok, #{cluster := Cluster}} <- [hornbeam_servers:config(Name)], Cluster =/= <<>>] of
        [] -> close_opened(options());
        _ -> ok
    end.

%% What was opened without a server has no option `cluster'.
close_opened(#{cluster := _}) -> close();
close_opened(_) -> ok.

%% @doc What it runs with.
-spec options() -> map() | none.
options() -> persistent_term:get(?MODULE, none).

%% @doc For hornbeam_sup: nothing where nobody has asked for a cluster.
-spec start_link() -> {ok, pid()} | ignore | {error, term()}.
start_link() ->
    case options() of
        none -> ignore;
        Options -> hornbeam_cluster_sup:start_link(Options)
    end.
