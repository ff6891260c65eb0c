%%% Which nodes there should be: asks what the option `cluster' names.
%%%
%%% Called by: hornbeam_cluster_sup (addresses/1, among which hornbeam_cluster_distribution finds this node's own), hornbeam_cluster_links (every few
%%% seconds, in a process that has a limit of time). Calls: the module of each way (_static, _dns, _folder; this is their behaviour). No process, no state.
%%%
%%% A member is {Name, Address}, Name <<>> where it is the cluster's; its node is NAME@ADDRESS. Members become atoms only here
%%% (nodes/2), at most ?MAX at a time.
%%%
%%% Failure modes: an answer that does not come or is none is an error with its text; whoever asks keeps the last answer.
-module(hornbeam_cluster_discovery).

-export([find/2, addresses/1, nodes/2, announce/2, withdraw/2]).
-export_type([discovery/0, member/0, context/0]).

-type discovery() :: hornbeam_option_cluster:discovery().
-type member() :: {Name :: binary(), Address :: binary()}.
%% Port: the one that all nodes have.
-type context() :: #{port := inet:port_number(), timeout := pos_integer()}.

%% Ignored: a line for each answer that is none of a node's.
-callback find(What :: term(), context()) -> {ok, [member()], Ignored :: [unicode:chardata()]} | {error, unicode:chardata()}.

-define(MAX, 256).
-define(LOOK_UP, 4000).
-define(PATIENCE, 5000).
-define(AGAIN, 500).

%% @doc The members that there should be, in order, each once.
-spec find(discovery(), context()) -> {ok, [member()], Ignored :: [unicode:chardata()]} | {error, unicode:chardata()}.
find(local, _Context) ->
    {ok, [], []};
find({Kind, What}, Context) ->
    Module = case Kind of
        static -> hornbeam_cluster_discovery_static;
        folder -> hornbeam_cluster_discovery_folder;
        _ -> hornbeam_cluster_discovery_dns
    end,
    case Module:find(case Module of hornbeam_cluster_discovery_dns -> {Kind, What}; _ -> What end, Context) of
        {ok, Members, Ignored} -> bounded(lists:usort(Members), Ignored);
        {error, Text} -> {error, Text}
    end.

bounded(Members, Ignored) when length(Members) =< ?MAX ->
    {ok, Members, Ignored};
bounded(Members, Ignored) ->
    {ok, lists:sublist(Members, ?MAX), [io_lib:format("of ~b addresses only ~b are taken", [length(Members), ?MAX]) | Ignored]}.

%% @doc The addresses of all that there should be, for whoever looks for this node's own among them. What begins may be a moment late in DNS, so an error is
%% not believed at once; none at last.
-spec addresses(map()) -> [binary()].
addresses(Options) -> addresses(Options, ?PATIENCE div ?AGAIN).

addresses(#{cluster := Discovery, cluster_port := Port} = Options, Times) ->
    case find(Discovery, #{port => Port, timeout => ?LOOK_UP}) of
        {ok, Members, _} -> [Address || {_, Address} <- Members];
        {error, _} when Times > 0 -> receive after ?AGAIN -> addresses(Options, Times - 1) end;
        {error, Text} ->
            logger:warning("cluster: who there should be is not known: ~ts", [unicode:characters_to_binary(Text)]),
            []
    end.

%% @doc The nodes of members.
-spec nodes([member()], ClusterName :: atom()) -> [node()].
nodes(Members, ClusterName) ->
    lists:usort([hornbeam_option_cluster:node_name(Member, ClusterName) || Member <- Members]).

%% @doc Lets the others find this node, where that is this node's to do.
-spec announce(discovery(), node()) -> ok | {error, unicode:chardata()}.
announce({folder, Path}, Node) -> hornbeam_cluster_discovery_folder:announce(Path, Node);
announce(_, _Node) -> ok.

%% @doc The opposite.
-spec withdraw(discovery(), node()) -> ok.
withdraw({folder, Path}, Node) -> hornbeam_cluster_discovery_folder:withdraw(Path, Node);
withdraw(_, _Node) -> ok.
