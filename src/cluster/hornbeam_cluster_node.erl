%%% This node as a member of a cluster: what has to be there before hornbeam_cluster_sup, and who started it.
%%%
%%% Called by: hornbeam_server (start/2, before its pools), hornbeam_server_remains (unused/0, after them), hornbeam_app (stopped/0), hornbeam_sup (start_link/0). Calls:
%%% hornbeam_cluster_discovery (which address is this node's), hornbeam_cluster_distribution (Erlang's distribution at it), hornbeam_cluster_sup.
%%%
%%% The cluster is the VM's: servers with the same cluster options share it, one with others is refused; it ends with the last of them. hornbeam_sup has a place
%%% for it, before the servers and so stopped after them: applications use it until their end. Nothing waits for other nodes here:
%%% a node that is alone starts, and what needs a majority is refused until there is one.
%%%
%%% Failure modes: each reason of start/2 has its text in hornbeam_reason.
-module(hornbeam_cluster_node).

-export([start/2, unused/0, stopped/0, start_link/0]).

%% The address of this node may be a moment late in DNS.
-define(PATIENCE, 15000).
-define(AGAIN, 500).
-define(LOOK_UP, 4000).
-define(CHILD, hornbeam_cluster_sup).
%% Those that may differ between servers, or later.
-define(OWN, [cluster_ready, cluster_forget_after]).

%% @doc Makes this node a member as a server's options say, unless it is one.
-spec start(Server :: atom(), Config :: map()) -> ok | {error, term()}.
start(_Server, #{cluster := <<>>}) ->
    ok;
start(Server, Config) ->
    case persistent_term:get(?MODULE, none) of
        none -> begin_with(Server, Config);
        Options -> same(Options, Config)
    end.

same(Options, Config) ->
    case [Key || {Key, Value} <- cluster_options(Config), map_get(Key, Options) =/= Value] of
        [] -> ok;
        [Key | _] -> {error, {cluster_differs, Key}}
    end.

cluster_options(Config) ->
    [{Key, Value} || {Key, Value} <- lists:sort(maps:to_list(Config)), lists:prefix("cluster", atom_to_list(Key)), Key =/= cluster_nodes, not lists:member(Key, ?OWN)].

begin_with(Server, #{cluster := Discovery} = Config) ->
    case distributed(Discovery, Config) of
        {ok, Port} -> supervised(Config#{server => Server, port => Port});
        {error, Reason} -> {error, Reason}
    end.

supervised(Options) ->
    ok = persistent_term:put(?MODULE, Options),
    case supervisor:restart_child(hornbeam_sup, ?CHILD) of
        {ok, _} -> ok;
        {error, running} -> ok;
        {error, Reason} -> ok = unused(), {error, {cluster_failed, Reason}}
    end.

%% @doc For hornbeam_sup: nothing where nobody has asked for a cluster.
-spec start_link() -> {ok, pid()} | ignore | {error, term()}.
start_link() ->
    case persistent_term:get(?MODULE, none) of
        none -> ignore;
        Options -> hornbeam_cluster_sup:start_link(Options)
    end.

%% @doc A server has ended. The last one with a cluster: the others hear a goodbye, the links are closed.
-spec unused() -> ok.
unused() ->
    Others = [Name || Name <- hornbeam_servers:configured(), {ok, #{cluster := Cluster}} <- [hornbeam_servers:config(Name)], Cluster =/= <<>>],
    case persistent_term:get(?MODULE, none) of
        Options when Options =/= none, Others =:= [] ->
            _ = persistent_term:erase(?MODULE),
            _ = supervisor:terminate_child(hornbeam_sup, ?CHILD),
            stopped();
        _ ->
            ok
    end.

%% @doc The application has ended, or the cluster.
-spec stopped() -> ok.
stopped() ->
    hornbeam_cluster_distribution:stop().

%% --- the name of this node, and its distribution ---------------------------------------------------------------------

%% Port: where others are tried; none where this VM was a node before it was ours to say.
distributed(local, _Config) ->
    {ok, none};
distributed(_Discovery, Config) ->
    case is_alive() of
        true -> named_before(Config);
        false -> named(own(Config, now_ms() + ?PATIENCE), Config)
    end.

named_before(Config) ->
    case hornbeam_cluster_distribution:start(Config#{node => node()}) of
        ok -> {ok, none};
        {error, Reason} -> {error, Reason}
    end.

named({ok, Member}, #{cluster_name := Name, cluster_port := Port} = Config) ->
    [Node] = hornbeam_cluster_discovery:nodes([Member], Name),
    case hornbeam_cluster_distribution:start(Config#{node => Node}) of
        ok -> {ok, Port};
        {error, Reason} -> {error, Reason}
    end;
named({error, Reason}, _Config) ->
    {error, Reason}.

own(#{cluster := {folder, _}, cluster_address := <<>>}, _Ends) ->
    {error, {cluster_address, folder, []}};
own(#{cluster := {folder, _}, cluster_address := Address}, _Ends) ->
    {ok, {<<>>, Address}};
own(#{cluster := {Kind, _}, cluster_address := Address}, _Ends) when Kind =/= static, Address =/= <<>> ->
    {ok, {<<>>, Address}};
own(#{cluster := Discovery, cluster_address := Address} = Config, Ends) ->
    {ok, Interfaces} = inet:getifaddrs(),
    Machine = [Ip || {_, Options} <- Interfaces, {addr, Ip} <- Options],
    IsLocal = fun(A) -> hornbeam_cluster_discovery:is_local(A, Machine) end,
    Context = #{port => map_get(cluster_port, Config), family => hornbeam_cluster_discovery:family(), timeout => ?LOOK_UP},
    case hornbeam_cluster_discovery:find(Discovery, Context) of
        {ok, Members, _} -> later(hornbeam_cluster_discovery:own(Members, #{cluster_address => Address, is_local => IsLocal}), Config, Ends);
        {error, Text} -> later({error, {cluster_discovery, unicode:characters_to_binary(Text)}}, Config, Ends)
    end.

%% A list is as wrong later as it is now.
later({error, _} = Error, #{cluster := Discovery} = Config, Ends) ->
    case element(1, Discovery) =/= static andalso now_ms() < Ends of
        true -> receive after ?AGAIN -> own(Config, Ends) end;
        false -> Error
    end;
later(Found, _Config, _Ends) ->
    Found.

now_ms() -> erlang:monotonic_time(millisecond).
