%%% A page of the dashboard: the requests in progress, the oldest first, and a button for the stack of each.
%%%
%%% Called by: hornbeam_dashboard_page. Calls: hornbeam_in_progress (which asks the workers' Erlang processes), hornbeam_dashboard_html.
-module(hornbeam_dashboard_requests).
-behaviour(hornbeam_dashboard_page).

-export([title/0, live/0, parts/1]).

-import(hornbeam_dashboard_html, [table/3, duration/1, button/3]).

-define(SHOWN, 200).
-define(LONGEST, 200).

-spec title() -> string().
title() -> "In progress".

-spec live() -> pos_integer().
live() -> 1000.

-spec parts(hornbeam_dashboard_page:context()) -> [hornbeam_dashboard_page:part()].
parts(#{name := Name} = Context) ->
    Rows = hornbeam_in_progress:list(Name),
    [{live, <<"requests">>, [table({"Requests, WebSockets and calls that workers have", "Nothing is in progress."},
        ["Request", "Method", "Route", {number, "Age"}, "Worker", "Client", "Request id", "Do"], [row(Row, Context) || Row <- lists:sublist(Rows, ?SHOWN)]),
        [io_lib:format("<p>And ~b younger ones.</p>", [length(Rows) - ?SHOWN]) || length(Rows) > ?SHOWN]]}].

row(#{path := Path, method := Method, route := Route, age_us := Age, worker := Worker, client := Client, request_id := RequestId, id := Id}, #{csrf := Csrf}) ->
    Fields = [{"csrf", Csrf}, {"action", "request"}, {"worker", Worker}, {"stream", integer_to_list(Id)}],
    [string:slice(Path, 0, ?LONGEST), Method, Route, duration(Age / 1000), Worker, Client, RequestId,
     {html, button("Stack", ["Stack of ", Method, " ", string:slice(Path, 0, ?LONGEST), " on worker ", Worker], Fields)}].
