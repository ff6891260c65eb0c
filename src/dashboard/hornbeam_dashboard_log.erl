%%% A page of the dashboard: the last lines of the log, those that fit what somebody looks for, the newest first.
%%%
%%% Called by: hornbeam_dashboard_page. Calls: hornbeam_log_ring (which hornbeam_dashboard_sup has keep the lines), hornbeam_dashboard_html.
-module(hornbeam_dashboard_log).
-behaviour(hornbeam_dashboard_page).

-export([title/0, live/0, parts/1]).

-import(hornbeam_dashboard_html, [escape/1]).

-define(SHOWN, 300).
-define(LEVELS, [debug, info, notice, warning, error, critical, alert, emergency]).
%% The other fields of the form, as hornbeam_log_ring:filter() has them.
-define(TEXTS, [{text, "Text"}, {logger, "Logger"}, {worker, "Worker"}, {request_id, "Request id"}, {trace_id, "Trace id"}]).

-spec title() -> string().
title() -> "Log".

-spec live() -> pos_integer().
live() -> 1000.

-spec parts(hornbeam_dashboard_page:context()) -> [hornbeam_dashboard_page:part()].
parts(#{query := Query}) ->
    Lines = hornbeam_log_ring:read((filter(Query))#{limit => ?SHOWN}),
    [{fixed, form(Query)},
     {live, <<"lines">>, hornbeam_dashboard_html:table({"The last lines", "No line fits."},
        ["Time (UTC)", "Level", "Message", "Logger", "Worker", "Request id", "Trace id"], [row(Line) || Line <- lists:reverse(Lines)])}].

filter(Query) ->
    Level = [{level, Level} || Level <- ?LEVELS, atom_to_binary(Level) =:= maps:get(<<"level">>, Query, <<>>)],
    maps:from_list(Level ++ [Field || {Key, _} <- ?TEXTS, Field <- wanted(Key, string:trim(maps:get(atom_to_binary(Key), Query, <<>>)))]).

wanted(_Key, <<>>) -> [];
wanted(worker, Text) ->
    case string:to_integer(Text) of
        {Number, <<>>} when is_integer(Number) -> [{worker, Number}];
        _ -> []
    end;
wanted(Key, Text) -> [{Key, Text}].

form(Query) ->
    ["<form class=\"filter\" method=\"get\" action=\"/log\"><label>Level, and worse<select name=\"level\"><option value=\"\">all</option>",
     [["<option", [" selected" || maps:get(<<"level">>, Query, <<>>) =:= Level], ">", Level, "</option>"] || Level <- [atom_to_binary(Level) || Level <- ?LEVELS]],
     "</select></label>",
     [["<label>", Text, "<input name=\"", atom_to_list(Key), "\" value=\"", escape(maps:get(atom_to_binary(Key), Query, <<>>)), "\"></label>"] || {Key, Text} <- ?TEXTS],
     "<button>Look</button></form>"].

row(#{time_us := Time, level := Level, message := Message} = Line) ->
    Get = fun(Key) -> maps:get(Key, Line, none) end,
    [list_to_binary(calendar:system_time_to_rfc3339(Time div 1000, [{unit, millisecond}, {offset, "Z"}])),
     {html, ["<span class=\"level ", atom_to_list(Level), "\">", atom_to_list(Level), "</span>"]}, message(Message, Line), Get(logger), Get(worker),
     Get(request_id), Get(trace_id)].

message(Message, Line) ->
    Exception = [["<details><summary>Exception</summary><pre>", escape(Text), "</pre></details>"] || #{exception := Text} <- [Line]],
    {html, ["<div class=\"message\">", escape(Message), "</div>", Exception]}.
