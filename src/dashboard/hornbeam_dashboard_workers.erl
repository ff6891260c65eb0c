%%% A page of the dashboard: each worker, and buttons to replace one.
%%%
%%% Called by: hornbeam_dashboard_page. Calls: hornbeam_server (info/1), hornbeam_reason (why one has ended), hornbeam_dashboard_html.
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
        #{applications := Applications, services := Services} ->
            Pools = [{"mount", Pool} || Pool <- Applications] ++ [{"service", Pool} || Pool <- Services],
            [{live, id(Number), pool(Kind, Pool, Context)} || {Number, {Kind, Pool}} <- lists:enumerate(Pools)];
        {error, not_found} -> []
    end.

id(Number) -> <<"pool-", (integer_to_binary(Number))/binary>>.

pool(Kind, #{place := Place, app := App, workers := Workers}, Context) ->
    table({lists:flatten(io_lib:format("~ts ~ts: ~ts", [Kind, Place, App])), "No workers."},
          [{number, "Worker"}, "State" | [{number, Heading} || Heading <- ["Pid", "In flight", "Requests", "Lag", "Behind", "Memory", "Age", "Restarts"]]]
          ++ ["Last end", "Do"],
          [worker(Worker, Kind, Place, Context) || Worker <- Workers]).

worker(#{number := Number, state := State} = Worker, Kind, Place, Context) ->
    Get = fun(Key, Show) -> case Worker of #{Key := undefined} -> none; #{Key := Value} -> Show(Value); #{} -> none end end,
    Same = fun(Value) -> Value end,
    [Number, {html, ["<span class=\"state ", atom_to_list(State), "\">", atom_to_list(State), "</span>"]}, Get(os_pid, Same), Get(in_flight, Same), Get(requests, Same), Get(lag, fun hornbeam_dashboard_html:duration/1), Get(behind, fun hornbeam_dashboard_html:duration/1),
     Get(memory, fun hornbeam_dashboard_html:bytes/1), Get(age, fun hornbeam_dashboard_html:duration/1), Get(restarts, Same), Get(last_end, fun last_end/1),
     {html, [act(Text, Action, Number, Kind, Place, Context) || {Text, Action} <- [{"Replace", "replace"}, {"Drain", "drain"}]]}].

last_end(none) -> none;
last_end({At, Reason}) ->
    Lines = string:lexemes(unicode:characters_to_list(hornbeam_reason:format(Reason)), "\n"),
    iolist_to_binary([calendar:system_time_to_rfc3339(At, [{offset, "Z"}]), " ",
                      unicode:characters_to_binary(string:slice(lists:last(["" | Lines]), 0, ?LONGEST))]).

act(Text, Action, Number, Kind, Place, #{csrf := Csrf}) ->
    button(Text, io_lib:format("~ts worker ~b of ~ts", [Text, Number, Place]),
           [{"csrf", Csrf}, {"action", Action}, {"kind", Kind}, {"place", Place}, {"worker", integer_to_list(Number)}]).
