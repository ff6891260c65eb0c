%%% Which nodes there should be: asks what the option `cluster' names, and finds this node among the answers.
%%%
%%% Called by: hornbeam_cluster_node (own/3, before this node has a name), hornbeam_cluster_links (every few seconds, in a process that has a
%%% limit of time). Calls: the module of each way (_static, _dns, _folder; this is their behaviour). No process, no state.
%%%
%%% A member is {Name, Address}, Name <<>> where it is the cluster's; its node is NAME@ADDRESS. Members become atoms only here
%%% (nodes/2), at most ?MAX at a time.
%%%
%%% Failure modes: an answer that does not come or is none is an error with its text; whoever asks keeps the last answer.
-module(hornbeam_cluster_discovery).

-export([find/2, own/3, nodes/2, announce/2, withdraw/2]).
-export_type([discovery/0, member/0, context/0]).

-type discovery() :: hornbeam_option_cluster:discovery().
-type member() :: {Name :: binary(), Address :: binary()}.
%% Port: the one that all nodes have.
-type context() :: #{port := inet:port_number(), timeout := pos_integer()}.

%% Ignored: a line for each answer that is none of a node's.
-callback find(What :: term(), context()) -> {ok, [member()], Ignored :: [unicode:chardata()]} | {error, unicode:chardata()}.

-define(MAX, 256).

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

%% @doc This node among them: the one that cluster_address names, or else the only one whose address is this machine's. Where nobody is named, the machine's
%% only address will do: whoever begins is not there to be discovered yet. Machine: its addresses.
-spec own([member()], #{cluster := discovery(), cluster_address := binary(), _ => _}, Machine :: [inet:ip4_address()]) ->
    {ok, member()} | {error, {cluster_address, none | several | machine, [binary()]}}.
own(Members, #{cluster_address := Address}, _Machine) when Address =/= <<>> ->
    case [Member || {_, A} = Member <- Members, A =:= Address] of
        [Member | _] -> {ok, Member};
        [] -> {ok, {<<>>, Address}}
    end;
own(Members, #{cluster := Discovery}, Machine) ->
    Outside = [list_to_binary(inet:ntoa(Ip)) || Ip <- Machine, element(1, Ip) =/= 127],
    case {[Member || {_, Address} = Member <- Members, is_local(Address, Machine)], Discovery, Outside} of
        {[Member], _, _} -> {ok, Member};
        {[_ | _] = Several, _, _} -> {error, {cluster_address, several, addresses(Several)}};
        {[], {static, _}, _} -> {error, {cluster_address, none, addresses(Members)}};
        {[], _, [Only]} -> {ok, {<<>>, Only}};
        {[], _, _} -> {error, {cluster_address, machine, Outside}}
    end.

addresses(Members) -> [Address || {_, Address} <- Members].

%% Of the loopback network every address is the machine's. A name is when what it stands for is.
is_local(Address, Machine) ->
    case inet:getaddr(binary_to_list(Address), inet) of
        {ok, {127, _, _, _}} -> true;
        {ok, Ip} -> lists:member(Ip, Machine);
        {error, _} -> false
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
