%%% A page of the dashboard: each worker, with buttons to look into it and to replace it, and the last crashes.
%%%
%%% Called by: hornbeam_dashboard_page. Calls: hornbeam_server (info/1), hornbeam_dashboard_html.
-module(hornbeam_dashboard_workers).
-behaviour(hornbeam_dashboard_page).

-export([title/0, live/0, parts/1]).

-import(hornbeam_dashboard_html, [table/3, button/3]).

%% Of the text of a reason: its last line says what it was, and what is before it is in the log.
-define(LONGEST, 200).

-spec title() -> string().
title() -> "Workers".

-spec live() -> pos_integer().
live() -> 1000.

-spec parts(hornbeam_dashboard_page:context()) -> [hornbeam_dashboard_page:part()].
parts(#{name := Name} = Context) ->
    case hornbeam_server:info(Name) of
        #{applications := Applications, services := Services, crashes := Crashes} ->
            Pools = [{"mount", Pool} || Pool <- Applications] ++ [{"service", Pool} || Pool <- Services],
            [{live, id(Number), pool(Kind, Pool, Crashes, Context)} || {Number, {Kind, Pool}} <- lists:enumerate(Pools)]
            ++ [{live, <<"crashes">>, [crashes(Crashes) || Crashes =/= []]}];
        {error, not_found} -> []
    end.

id(Number) -> <<"pool-", (integer_to_binary(Number))/binary>>.

pool(Kind, #{place := Place, app := App, workers := Workers}, Crashes, Context) ->
    table({lists:flatten(io_lib:format("~ts ~ts: ~ts", [Kind, Place, App])), "No workers."},
          [{number, "Worker"}, "State" | [{number, Heading} || Heading <- ["Pid", "In flight", "Requests", "Lag", "Behind", "Memory", "Age", "Restarts"]]]
          ++ ["Last crash", "Do"],
          [worker(Worker, Kind, Place, Crashes, Context) || Worker <- Workers]).

worker(#{number := Number, state := State} = Worker, Kind, Place, Crashes, Context) ->
    Get = fun(Key, Show) -> case Worker of #{Key := undefined} -> none; #{Key := Value} -> Show(Value); #{} -> none end end,
    Same = fun(Value) -> Value end,
    [Number, {html, ["<span class=\"state ", atom_to_list(State), "\">", atom_to_list(State), "</span>"]},
     Get(os_pid, Same), Get(in_flight, Same), Get(requests, Same), Get(lag, fun hornbeam_dashboard_html:duration/1),
     Get(behind, fun hornbeam_dashboard_html:duration/1), Get(memory, fun hornbeam_dashboard_html:bytes/1), Get(age, fun hornbeam_dashboard_html:duration/1),
     Get(restarts, Same), last_crash(name(Place, Number), Crashes),
     {html, ["<div class=\"do\">", [act(Text, Action, Number, Kind, Place, Context)
                                     || {Text, Action} <- [{"Stack", "stack"}, {"Profile 10 s", "profile"}, {"Memory 10 s", "memory"},
                                                           {"Replace", "replace"}, {"Drain", "drain"}]], "</div>"]}].

%% As hornbeam_worker_rows names it.
name(<<"/">>, Number) -> integer_to_binary(Number);
name(Place, Number) -> <<Place/binary, "/", (integer_to_binary(Number))/binary>>.

last_crash(Name, Crashes) ->
    case [Crash || #{worker := Worker} = Crash <- Crashes, Worker =:= Name] of
        [#{at := At, reason := Reason} | _] -> iolist_to_binary([time(At), " ", last_line(Reason)]);
        [] -> none
    end.

%% What is before it is in the log.
last_line(Reason) ->
    string:slice(lists:last([<<>> | binary:split(Reason, <<"\n">>, [global, trim_all])]), 0, ?LONGEST).

time(At) -> calendar:system_time_to_rfc3339(At div 1000, [{offset, "Z"}]).

crashes(Crashes) ->
    table({"Crashes", ""}, ["When (UTC)", "Worker", {number, "Pid"}, "Why", {number, "It ran for"}, {number, "Requests"}, "In progress", "What it left"],
          [[list_to_binary(time(At)), Worker, case Pid of undefined -> none; _ -> Pid end, last_line(Reason), hornbeam_dashboard_html:duration(Uptime), Requests,
            in_progress(Rows), left(Fatal)]
           || #{at := At, worker := Worker, pid := Pid, reason := Reason, uptime := Uptime, requests := Requests, in_progress := Rows, fatal := Fatal} <- Crashes]).

in_progress([]) -> none;
in_progress(Rows) -> iolist_to_binary(lists:join(", ", [[Method, " ", string:slice(Path, 0, ?LONGEST)] || #{method := Method, path := Path} <- Rows])).

left(none) -> none;
left(Fatal) -> {html, ["<details><summary>Stacks</summary><pre>", hornbeam_dashboard_html:escape(Fatal), "</pre></details>"]}.

act(Text, Action, Number, Kind, Place, #{csrf := Csrf}) ->
    button(Text, io_lib:format("~ts worker ~b of ~ts", [Text, Number, Place]),
           [{"csrf", Csrf}, {"action", Action}, {"kind", Kind}, {"place", Place}, {"worker", integer_to_list(Number)}]).
