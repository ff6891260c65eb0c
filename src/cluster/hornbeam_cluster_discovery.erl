%%% Which nodes there should be: asks what the option `cluster' names, and finds this node among the answers.
%%%
%%% Called by: hornbeam_cluster_node (the address of this node, before it has a name), hornbeam_cluster_links (every few seconds, in a process
%%% that has a limit of time). Calls: the module of each way (_static, _dns, _folder; this is their behaviour). No process, no state.
%%%
%%% A member is {Name, Address}, Name <<>> where it is the cluster's; its node is NAME@ADDRESS. Members become atoms only here
%%% (nodes/2), at most ?MAX at a time.
%%%
%%% Failure modes: an answer that does not come or is none is an error with its text; whoever asks keeps the last answer.
-module(hornbeam_cluster_discovery).

-export([find/2, own/2, nodes/2, announce/2, withdraw/2, is_local/2, family/0]).
-export_type([discovery/0, member/0, context/0]).

-type discovery() :: hornbeam_option_cluster:discovery().
-type member() :: {Name :: binary(), Address :: binary()}.
%% Port: the one that all nodes have. Family: of the addresses that the VM's distribution takes.
-type context() :: #{port := inet:port_number(), family := inet | inet6, timeout := pos_integer()}.

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

%% @doc This node among them: the one that cluster_address names, or else the only one whose address is this machine's. IsLocal: is_local/2 with
%% the machine's addresses.
-spec own([member()], #{cluster_address := binary(), is_local := fun((binary()) -> boolean()), _ => _}) ->
    {ok, member()} | {error, {cluster_address, none | several, [binary()]}}.
own(Members, #{cluster_address := <<>>, is_local := IsLocal}) ->
    case [Member || {_, Address} = Member <- Members, IsLocal(Address)] of
        [Member] -> {ok, Member};
        [] -> {error, {cluster_address, none, addresses(Members)}};
        Several -> {error, {cluster_address, several, addresses(Several)}}
    end;
own(Members, #{cluster_address := Address}) ->
    case [Member || {_, A} = Member <- Members, A =:= Address] of
        [Member | _] -> {ok, Member};
        [] -> {ok, {<<>>, Address}}
    end.

addresses(Members) -> [Address || {_, Address} <- Members].

%% @doc Whether an address is one of this machine's: of its interfaces, or of the loopback network, all of which is. A name is when what it stands for is.
-spec is_local(Address :: binary(), Machine :: [inet:ip_address()]) -> boolean().
is_local(Address, Machine) ->
    case inet:parse_strict_address(binary_to_list(Address)) of
        {ok, {127, _, _, _}} ->
            true;
        {ok, Ip} ->
            lists:member(Ip, Machine);
        {error, _} ->
            case inet:getaddrs(binary_to_list(Address), family(), 5000) of
                {ok, Ips} -> lists:any(fun(Ip) -> lists:member(Ip, Machine) end, Ips);
                {error, _} -> false
            end
    end.

%% @doc The family of addresses that this VM's distribution uses: IPv4 unless it was started with -proto_dist inet6_tcp or inet6_tls.
-spec family() -> inet | inet6.
family() ->
    case init:get_argument(proto_dist) of
        {ok, Given} ->
            case lists:last(Given) of
                ["inet6_" ++ _] -> inet6;
                _ -> inet
            end;
        error ->
            inet
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
