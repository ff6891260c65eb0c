%%% What there is to say of the cluster: for hornbeam:info/1, as lines for a person, as figures for /metrics; and whether this node is ready.
%%%
%%% Called by: hornbeam_server (describe/0), hornbeam_status and hornbeam_cluster_command (text/1), hornbeam_metrics_text (samples/0), hornbeam_metrics_handler and
%%% hornbeam_cli (is_ready/1). Calls: hornbeam_cluster (members, leader, log), hornbeam_cluster_links (nodes), hornbeam_cluster_traffic, hornbeam_unsent. Only where there is a cluster.
%%%
%%% A part that does not answer, because it is restarting, is left out.
-module(hornbeam_cluster_report).

-export([describe/0, text/1, samples/0, is_ready/1]).
-export_type([description/0]).

-type description() :: #{name := atom(), node := node(), quorum := boolean(), leader := node() | none, members := [node()], nodes := [map()], _ => _}.
-type sample() :: {Suffix :: iodata(), Labels :: [{iodata(), iodata()}], number()}.

-define(STATES, [up, down, stopped, refused]).
%% What of hornbeam_cluster:info/0 a person or a program may like to know.
-define(SHOWN, [phase, id, leader, members, term, commit_index, last_applied, snapshot_index]).

%% @doc This node, the others, who leads, whether there is a majority.
-spec describe() -> description().
describe() ->
    Alone = #{name => local, node => node(), discovery => <<"local">>, problem => none, nodes => [], connects => 0, reconnects => 0, failures => #{}},
    Member = maps:with(?SHOWN, asked(fun hornbeam_cluster:info/0, #{})),
    #{nodes := Nodes} = Links = asked(fun hornbeam_cluster_links:status/0, Alone),
    Bytes = hornbeam_cluster_traffic:read(),
    maps:merge(maps:merge(#{leader => none, members => [], phase => unknown}, Member),
               Links#{quorum => hornbeam_cluster:has_quorum(), nodes => [with_unsent(with_bytes(Node, Bytes)) || Node <- Nodes]}).

with_bytes(#{node := Node, state := up} = Other, Bytes) when is_map_key(Node, Bytes) -> Other#{bytes => map_get(Node, Bytes)};
with_bytes(Other, _Bytes) -> Other.

with_unsent(#{node := Node} = Other) -> Other#{unsent => maps:get(Node, hornbeam_unsent:read(), 0)}.

asked(Fun, Otherwise) ->
    try Fun()
    catch exit:_ -> Otherwise
    end.

%% @doc Whether a server with these options is ready as far as the cluster goes.
-spec is_ready(Config :: map()) -> boolean().
is_ready(#{cluster_ready := true, cluster := Cluster}) when Cluster =/= <<>> -> hornbeam_cluster:has_quorum();
is_ready(_) -> true.

%% --- for a person ----------------------------------------------------------------------------------------------------

%% @doc A line for the cluster and one for each node.
-spec text(description()) -> unicode:chardata().
text(#{name := Name, node := Node, nodes := Nodes, members := Members, discovery := Discovery, problem := Problem} = Info) ->
    Up = length([N || #{state := up} = N <- Nodes]) + 1,
    [io_lib:format("cluster ~ts (~ts): ~b of ~b nodes up, ~ts~n", [Name, Discovery, Up, length(all(Node, Nodes, Members)), standing(Info)]),
     [["  who there should be is not known: ", Problem, $\n] || Problem =/= none],
     row("node", "state", "for", "member", "version", "in", "out"), own(Info),
     [other(Other, Members) || Other <- Nodes],
     [row(Member, "unknown", "-", "yes", "-", "-", "-") || Member <- [atom_to_list(M) || M <- Members -- [Node | [N || #{node := N} <- Nodes]]]]].

all(Node, Nodes, Members) -> lists:usort([Node | Members ++ [N || #{node := N} <- Nodes]]).

standing(#{phase := Phase, members := []}) when Phase =:= left -> "this node has left it";
standing(#{members := []}) -> "not founded yet: waiting for cluster_size nodes";
standing(#{quorum := false}) -> "no majority: what is replicated is refused";
standing(#{leader := none}) -> "nobody leads yet";
standing(#{leader := Leader, term := Term}) -> io_lib:format("leader ~ts, term ~b", [Leader, Term]);
standing(#{leader := Leader}) -> io_lib:format("leader ~ts", [Leader]).

own(#{node := Node, members := Members} = Info) ->
    Version = case Info of #{hello := #{version := V}} -> V; #{} -> "-" end,
    row(atom_to_list(Node), "this one", "-", member(Node, Members), Version, "-", "-").

other(#{node := Node, state := State, for := For, hello := Hello, cause := Cause} = Other, Members) ->
    Version = case Hello of #{version := V} -> V; none -> "-" end,
    {In, Out} = case Other of
        #{bytes := {I, O}} -> {amount(I), amount(O)};
        #{} -> {"-", "-"}
    end,
    [row(atom_to_list(Node), atom_to_list(State), duration(For), member(Node, Members), Version, In, Out),
     [["    ", hornbeam_cluster_connect:explain(Node, Cause), $\n] || State =/= up, Cause =/= none],
     [io_lib:format("    ~b messages were not sent there: the link was congested, or gone~n", [N]) || #{unsent := N} <- [Other], N > 0]].

member(Node, Members) -> case lists:member(Node, Members) of true -> "yes"; false -> "no" end.

row(Node, State, For, Member, Version, In, Out) ->
    io_lib:format("  ~-31ts~-10ts~10ts~8ts~10ts~12ts~12ts~n", [Node, State, For, Member, Version, In, Out]).

duration(Ms) when Ms < 60000 -> io_lib:format("~b s", [Ms div 1000]);
duration(Ms) when Ms < 3600000 -> io_lib:format("~b min", [Ms div 60000]);
duration(Ms) when Ms < 172800000 -> io_lib:format("~b h", [Ms div 3600000]);
duration(Ms) -> io_lib:format("~b d", [Ms div 86400000]).

amount(Bytes) when Bytes < 1000000 -> io_lib:format("~.1f kB", [Bytes / 1000]);
amount(Bytes) -> io_lib:format("~.1f MB", [Bytes / 1000000]).

%% --- for /metrics --------------------------------------------------------------------------------------------------

-spec samples() -> #{binary() => [sample()]}.
samples() ->
    #{nodes := Nodes, connects := Connects, reconnects := Reconnects, failures := Failures, quorum := Quorum, leader := Leader, members := Members} = Info = describe(),
    Of = fun(State) -> length([N || #{state := S} = N <- Nodes, S =:= State]) end,
    maps:merge(
        #{<<"hornbeam_cluster_nodes">> => [{"", [{"state", atom_to_list(State)}], Of(State) + number(State =:= up)} || State <- ?STATES],
          <<"hornbeam_cluster_members">> => [{"", [], length(Members)}],
          <<"hornbeam_cluster_quorum">> => [{"", [], number(Quorum)}],
          <<"hornbeam_cluster_leader">> => [{"", [], number(Leader =:= node())}],
          <<"hornbeam_cluster_connects_total">> => [{"", [], Connects}],
          <<"hornbeam_cluster_reconnects_total">> => [{"", [], Reconnects}],
          <<"hornbeam_cluster_connect_failures_total">> => [{"", [{"reason", atom_to_list(Reason)}], N} || {Reason, N} <- lists:sort(maps:to_list(Failures))],
          <<"hornbeam_cluster_messages_not_sent_total">> => [{"", [{"node", atom_to_binary(Node)}], N} || #{node := Node, unsent := N} <- Nodes],
          <<"hornbeam_cluster_link_bytes_total">> => bytes(Nodes)},
        log(Info)).

bytes(Nodes) ->
    [{"", [{"node", atom_to_binary(Node)}, {"direction", Direction}], Bytes}
     || #{node := Node, bytes := {In, Out}} <- Nodes, {Direction, Bytes} <- [{"in", In}, {"out", Out}]].

log(#{term := Term, commit_index := Commit, last_applied := Applied}) ->
    #{<<"hornbeam_cluster_term">> => [{"", [], Term}],
      <<"hornbeam_cluster_commit_index">> => [{"", [], Commit}],
      <<"hornbeam_cluster_applied_index">> => [{"", [], Applied}]};
log(_) ->
    #{}.

number(true) -> 1;
number(false) -> 0.
