%%% A page of the dashboard: the nodes of the cluster as this one sees them.
%%%
%%% Called by: hornbeam_dashboard_page. Calls: hornbeam_servers, hornbeam_cluster_report and _connect (where there is a cluster), hornbeam_dashboard_html.
-module(hornbeam_dashboard_cluster).
-behaviour(hornbeam_dashboard_page).

-export([title/0, live/0, parts/1]).

-import(hornbeam_dashboard_html, [table/3, facts/1, bytes/1, duration/1]).

-spec title() -> string().
title() -> "Cluster".

-spec live() -> pos_integer().
live() -> 2000.

-spec parts(hornbeam_dashboard_page:context()) -> [hornbeam_dashboard_page:part()].
parts(#{name := Name}) ->
    case hornbeam_servers:config(Name) of
        {ok, #{cluster := Cluster}} when Cluster =/= <<>> -> described(hornbeam_cluster_report:describe());
        _ -> [{live, <<"cluster">>, <<"<p class=\"none\">This server is in no cluster (option cluster).</p>">>}]
    end.

described(#{name := Name, node := Node, nodes := Nodes, members := Members, quorum := Quorum, leader := Leader, discovery := Discovery, problem := Problem} = Info) ->
    Raft = [{Text, Value} || {Key, Text} <- [{term, "Term"}, {commit_index, "Log committed to"}, {last_applied, "Applied to"}], #{Key := Value} <- [Info]],
    Known = [Node | [N || #{node := N} <- Nodes]],
    [{live, <<"cluster">>, facts([{"Cluster", Name}, {"This node", Node}, {"Leader", Leader}, {"Majority", Quorum}, {"Found by", Discovery}, {"Problem", Problem} | Raft])},
     {live, <<"nodes">>, table({"Nodes", ""}, ["Node", "State", "For", "Member", "Version", {number, "In"}, {number, "Out"}, {number, "Not sent"}, "Why not"],
        [[Node, <<"this one">>, none, lists:member(Node, Members), version(Info), none, none, none, none]
         | [other(Other, Members) || Other <- Nodes]] ++ [[Member, <<"unknown">>, none, true, none, none, none, none, none] || Member <- Members -- Known])}].

other(#{node := Node, state := State, for := For, hello := Hello, cause := Cause} = Other, Members) ->
    {In, Out} = case Other of
        #{bytes := {I, O}} -> {bytes(I), bytes(O)};
        #{} -> {none, none}
    end,
    Why = case State =/= up andalso Cause =/= none of
        true -> unicode:characters_to_binary(hornbeam_cluster_connect:explain(Node, Cause));
        false -> none
    end,
    [Node, State, duration(For), lists:member(Node, Members), version(#{hello => Hello}), In, Out, maps:get(unsent, Other, none), Why].

version(#{hello := #{version := Version}}) when is_list(Version); is_binary(Version) -> iolist_to_binary(Version);
version(_) -> none.
