%%% A page of the dashboard: background tasks, by state and some of them, and schedules.
%%%
%%% Called by: hornbeam_dashboard_page. Calls: hornbeam_task_command (describe/1), hornbeam_task_table, hornbeam_task_cluster, hornbeam_dashboard_html.
-module(hornbeam_dashboard_background).
-behaviour(hornbeam_dashboard_page).

-export([title/0, live/0, parts/1]).

-import(hornbeam_dashboard_html, [table/3, facts/1]).

-include("hornbeam_task.hrl").

-define(STATES, [pending, running, retrying, done, failed, cancelled]).
%% How many are looked at, and how many of them are shown.
-define(LOOKED_AT, 1000).
-define(SHOWN, 100).

-spec title() -> string().
title() -> "Tasks".

-spec live() -> pos_integer().
live() -> 2000.

-spec parts(hornbeam_dashboard_page:context()) -> [hornbeam_dashboard_page:part()].
parts(#{name := Name, query := Query}) ->
    #{counts := Counts, shared := Shared, schedules := Schedules} = hornbeam_task_command:describe(Name),
    Which = which(Query),
    [{live, <<"counts">>, counts("Tasks of this node", Counts)},
     {live, <<"shared">>, [counts("Durable tasks of the cluster", Shared) || Shared =/= none]},
     {fixed, ["<p class=\"switch\">", [["<a href=\"/background", Path, "\"", [" aria-current=\"true\"" || State =:= Which], ">", atom_to_list(State), "</a> "]
                                       || {State, Path} <- [{all, ""} | [{State, ["?state=", atom_to_list(State)]} || State <- ?STATES]]], "</p>"]},
     {live, <<"tasks">>, tasks(Which, here(Counts, Name, Which), there(Shared, Name, Which))},
     {live, <<"schedules">>, table({"Schedules", "There are no schedules."}, ["Name", "Rule", "Next (UTC)", "Last (UTC)", "Runs here", "Problem"],
        [[Schedule, Rule, time(Next), time(Last), Leads, Problem]
         || #{name := Schedule, rule := Rule, last := Last, next := Next, leads := Leads, problem := Problem} <- Schedules])}].

which(#{<<"state">> := Text}) ->
    hd([State || State <- ?STATES, atom_to_binary(State) =:= Text] ++ [all]);
which(_) -> all.

counts(Heading, none) ->
    ["<h2>", Heading, "</h2><p class=\"none\">There have been none.</p>"];
counts(Heading, Counts) ->
    ["<h2>", Heading, "</h2>", facts([{atom_to_list(State), maps:get(State, Counts)} || State <- ?STATES])].

here(none, _Name, _Which) -> [];
here(_, Name, Which) -> [Task#{where => <<"this node">>} || Task <- hornbeam_task_table:some(Name, Which, ?LOOKED_AT)].

there(none, _Name, _Which) -> [];
there(_, Name, Which) ->
    [#{id => Id, seq => Seq, state => State, function => Function, queue => Queue, attempts => Attempts, created => Created, finished => Finished,
       where => <<"the cluster">>}
     || #task{id = Id, seq = Seq, state = State, function = Function, queue = Queue, attempts = Attempts, created = Created, finished = Finished}
            <- hornbeam_task_cluster:list(Name, Which, none, ?SHOWN)].

tasks(Which, Here, There) ->
    Newest = lists:sublist(lists:reverse(lists:sort([{Created, Seq, Task} || #{created := Created, seq := Seq} = Task <- Here ++ There])), ?SHOWN),
    More = length(Here) + length(There) > length(Newest) orelse length(Here) >= ?LOOKED_AT,
    [table({case Which of all -> "Tasks"; _ -> "Tasks that are " ++ atom_to_list(Which) end, "None."},
           ["Id", "State", "Function", "Queue", {number, "Attempts"}, "Made (UTC)", "Ended (UTC)", "Of"],
           [[Id, State, Function, Queue, Attempts, time(Created), time(Finished), Where]
            || {_, _, #{id := Id, state := State, function := Function, queue := Queue, attempts := Attempts, created := Created, finished := Finished, where := Where}}
                   <- Newest]),
     ["<p>There are more than are shown.</p>" || More]].

time(Ms) when is_integer(Ms) -> list_to_binary(calendar:system_time_to_rfc3339(Ms div 1000, [{offset, "Z"}]));
time(Other) -> Other.
