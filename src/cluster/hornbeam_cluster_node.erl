%%% This node as a member of a cluster: whose options it has, since when and until when.
%%%
%%% Called by: hornbeam_cli (prepare/1), hornbeam_server (start/2, before its pools), hornbeam_server_pools (changed/1), hornbeam_server_remains (unused/0, after them), hornbeam_app (stopped/0), hornbeam_sup (start_link/0),
%%% hornbeam_cluster. Calls: hornbeam_cluster_discovery (which address is this node's), hornbeam_cluster_distribution (Erlang's distribution there),
%%% hornbeam_cluster_sup, hornbeam_cluster_engine, hornbeam_servers.
%%%
%%% The cluster is the VM's: servers with the same options cluster_* share it, one with others is refused; it ends with the last of them. hornbeam_sup has a place
%%% for it, before the servers and so stopped after them: applications use it until their end. Nothing waits for other nodes here:
%%% a node that is alone starts, and what needs a majority is refused until there is one.
%%%
%%% Failure modes: each reason of start/2 has its text in hornbeam_reason. Once it runs, hornbeam_keeper (in hornbeam_sup) restarts it.
-module(hornbeam_cluster_node).

-export([prepare/1, start/2, changed/1, unused/0, stopped/0, open/1, close/0, options/0, start_link/0]).

-define(PATIENCE, 10000).
-define(AGAIN, 500).
-define(LOOK_UP, 4000).
-define(CHILD, hornbeam_cluster_sup).
%% What may differ between servers, or later.
-define(OWN, [cluster_ready, cluster_forget_after, cluster_nodes]).

%% @doc Before the application hornbeam starts, where that is known: applications stop in the reverse order of their start, and Ra must be there until the last
%% request has been answered and the leadership handed over.
-spec prepare(Config :: map()) -> ok.
prepare(#{cluster := <<>>}) -> ok;
prepare(_) ->
    %% What it fails with is said when it is needed.
    _ = application:ensure_all_started(ra),
    ok.

%% @doc Makes this node a member as a server's options say, unless it is one.
-spec start(Server :: atom(), Config :: map()) -> ok | {error, term()}.
start(_Server, #{cluster := <<>>}) ->
    ok;
start(_Server, Config) ->
    case options() of
        none -> named(distributed(Config), Config);
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

%% @doc A server has been reloaded: its options may be others, where they may be.
-spec changed(Config :: map()) -> ok.
changed(Config) ->
    case options() of
        none -> ok;
        Options ->
            ok = hornbeam_cluster_sup:set_options(maps:merge(Options, maps:with(?OWN, Config))),
            hornbeam_cluster_engine:changed(Config)
    end.

named(ok, Config) -> open(Config);
named(Error, _Config) -> Error.

%% --- the name of this node, and its distribution ---------------------------------------------------------------------

distributed(#{cluster := local}) -> ok;
distributed(Config) ->
    case is_alive() of
        %% This VM was a node before; it keeps its name.
        true -> hornbeam_cluster_distribution:start(Config#{node => node()});
        false -> distributed(own(Config, now_ms() + ?PATIENCE), Config)
    end.

distributed({ok, Member}, #{cluster_name := Name} = Config) ->
    [Node] = hornbeam_cluster_discovery:nodes([Member], Name),
    hornbeam_cluster_distribution:start(Config#{node => Node});
distributed(Error, _Config) ->
    Error.

%% DNS may be a moment late, or down. A list is as wrong later as it is now.
own(#{cluster := Discovery, cluster_port := Port} = Config, Ends) ->
    {ok, Interfaces} = inet:getifaddrs(),
    Machine = lists:usort([Ip || {_, Properties} <- Interfaces, {addr, {_, _, _, _} = Ip} <- Properties]),
    Members = case hornbeam_cluster_discovery:find(Discovery, #{port => Port, timeout => ?LOOK_UP}) of
        {ok, Found, _} -> Found;
        {error, _} -> []
    end,
    case hornbeam_cluster_discovery:own(Members, Config, Machine) of
        {ok, Member} -> {ok, Member};
        {error, Reason} ->
            case element(1, Discovery) =/= static andalso now_ms() < Ends of
                true -> receive after ?AGAIN -> own(Config, Ends) end;
                false -> {error, Reason}
            end
    end.

now_ms() -> erlang:monotonic_time(millisecond).

%% --- what runs -------------------------------------------------------------------------------------------------------

%% @doc Starts what makes it one.
-spec open(Options :: map()) -> ok | {error, term()}.
open(Options) ->
    ok = hornbeam_cluster_sup:set_options(Options),
    case supervisor:restart_child(hornbeam_sup, ?CHILD) of
        {ok, Pid} when is_pid(Pid) -> ok;
        {error, running} -> {error, already_started};
        {error, {shutdown, Reason}} -> ok = close(), {error, Reason};
        {error, Reason} -> ok = close(), {error, Reason}
    end.

%% @doc The opposite; its membership stays.
-spec close() -> ok.
close() ->
    ok = hornbeam_cluster_sup:set_options(none),
    _ = supervisor:terminate_child(hornbeam_sup, ?CHILD),
    hornbeam_cluster_distribution:stop().

%% @doc The application has ended, and with it all of this but the links.
-spec stopped() -> ok.
stopped() ->
    ok = hornbeam_cluster_sup:set_options(none),
    hornbeam_cluster_distribution:stop().

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
options() -> hornbeam_cluster_sup:options().

%% @doc For hornbeam_sup: nothing where nobody has asked for a cluster.
-spec start_link() -> {ok, pid()} | ignore | {error, term()}.
start_link() ->
    case options() of
        none -> ignore;
        _ -> hornbeam_cluster_sup:start_link()
    end.
