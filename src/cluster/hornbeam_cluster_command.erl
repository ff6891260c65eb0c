%%% `hornbeam cluster status|join|leave|forget', as the control socket of a running server has it.
%%%
%%% Called by: hornbeam_control. Calls: hornbeam_cluster, hornbeam_cluster_links, hornbeam_cluster_report. (`hornbeam cluster ca' needs no server: hornbeam_cli.)
-module(hornbeam_cluster_command).

-export([run/1]).

-define(USAGE, "cluster takes status, join ADDRESS, leave or forget NODE").

%% @doc Arguments: what follows `cluster' on the command line. The server has a cluster.
-spec run(Arguments :: [string()]) -> {ok | error, unicode:chardata()}.
run(["status"]) ->
    {ok, hornbeam_cluster_report:text(hornbeam_cluster_report:describe())};
run(["join", Address]) ->
    case hornbeam_option_cluster:check("static:" ++ Address) of
        {ok, {static, [Member]}} -> join(Member);
        _ -> {error, [hornbeam_option_text:show(Address), " is neither an address nor NAME@ADDRESS"]}
    end;
run(["leave"]) ->
    said(hornbeam_cluster:leave(), "this node is a member no longer; stop it, or start it anew to join again");
run(["forget", Name]) ->
    forget(Name, [Node || Node <- asked_members(), lists:member(Name, names(Node))]);
run(_) ->
    {error, ?USAGE}.

join(Member) ->
    try hornbeam_cluster_links:join(Member) of
        {ok, Node} -> {ok, ["connecting to ", atom_to_binary(Node), "; cluster status shows whether it is reached"]};
        {error, too_many} -> {error, "too many nodes are named like this; put them where the option cluster finds them"}
    catch
        exit:_ -> {error, "a cluster of this node alone (cluster: local) has no links"}
    end.

forget(_Name, [Node]) when Node =:= node() ->
    {error, "that is this node; use leave"};
forget(_Name, [Node]) ->
    case lists:member(Node, nodes()) of
        true ->
            {error, [atom_to_binary(Node), " is up; let it leave (hornbeam cluster leave, there), or stop it first"]};
        false ->
            ok = forget_link(Node),
            said(hornbeam_cluster:forget(Node), [atom_to_binary(Node), " is a member no longer"])
    end;
forget(Name, _) ->
    {error, [hornbeam_option_text:show(Name), " is no member; cluster status shows them"]}.

forget_link(Node) ->
    try hornbeam_cluster_links:forget(Node) catch exit:_ -> ok end.

%% By its name or its address.
names(Node) ->
    Name = atom_to_list(Node),
    [Name, lists:last(string:split(Name, "@"))].

asked_members() ->
    try hornbeam_cluster:members() catch exit:_ -> [] end.

said(ok, Text) -> {ok, Text};
said({error, no_cluster}, _) -> {error, "this server is in no cluster (option cluster)"};
said({error, no_quorum}, _) -> {error, "no majority of the members is up: membership cannot change"};
said({error, not_member}, _) -> {error, "this node is no member"};
said({error, Reason}, _) -> {error, io_lib:format("not done: ~0tp", [Reason])}.
