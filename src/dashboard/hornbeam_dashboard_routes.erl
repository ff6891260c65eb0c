%%% A page of the dashboard: routes by their templates, the slowest or those that fail first.
%%%
%%% Called by: hornbeam_dashboard_page. Calls: hornbeam_routes (the figures), hornbeam_series (percentile/2), hornbeam_dashboard_html. The numbers are those of /metrics.
-module(hornbeam_dashboard_routes).
-behaviour(hornbeam_dashboard_page).

-export([title/0, live/0, parts/1]).

-import(hornbeam_dashboard_html, [table/3, duration/1]).

-define(SHOWN, 100).
-define(ORDERS, [{<<"slow">>, "Slowest"}, {<<"failing">>, "Failing"}, {<<"time">>, "Most time"}, {<<"count">>, "Most requests"}]).

-record(route, {
    key :: {Method :: binary(), Route :: binary()},
    requests = 0 :: non_neg_integer(),
    refused = 0 :: non_neg_integer(),           % 4xx
    failed = 0 :: non_neg_integer(),            % 5xx
    microseconds = 0 :: non_neg_integer(),
    python = 0 :: non_neg_integer(),
    buckets = [] :: [non_neg_integer()],
    slowest = {0, 0} :: {Microseconds :: non_neg_integer(), At :: non_neg_integer()}
}).

-spec title() -> string().
title() -> "Routes".

-spec live() -> pos_integer().
live() -> 2000.

-spec parts(hornbeam_dashboard_page:context()) -> [hornbeam_dashboard_page:part()].
parts(#{name := Name, query := Query}) ->
    Order = hd([By || {By, _} <- ?ORDERS, maps:get(<<"by">>, Query, none) =:= By] ++ [<<"slow">>]),
    Routes = lists:foldl(fun add/2, #{}, hornbeam_routes:read(Name)),
    Sorted = lists:reverse(lists:sort([{weight(Order, Route), Route} || Route <- maps:values(Routes)])),
    [{fixed, ["<p class=\"switch\">", [["<a href=\"/routes?by=", By, "\"", [" aria-current=\"true\"" || By =:= Order], ">", Text, "</a> "] || {By, Text} <- ?ORDERS], "</p>"]},
     {live, <<"routes">>, table({"Routes since the start", "No request yet."},
        ["Route", "Method" | [{number, Heading} || Heading <- ["Requests", "4xx", "5xx", "Failing", "Mean", "95 %", "99 %", "In Python", "Slowest", "That was (UTC)"]]],
        [row(Route) || {_, Route} <- lists:sublist(Sorted, ?SHOWN)])},
     {live, <<"websockets">>, websockets(hornbeam_routes:websockets(Name))}].

%% Their handshakes are among the routes.
websockets([]) ->
    [];
websockets(Ended) ->
    table({"WebSockets that have ended", "None yet."}, ["Route" | [{number, Heading} || Heading <- ["Ended", "Open for, mean"]]],
          [[Route, Count, duration(Microseconds / max(1, Count) / 1000)]
           || {Route, Count, Microseconds, _} <- lists:sublist(lists:reverse(lists:keysort(2, Ended)), ?SHOWN)]).

%% One row for all classes of status.
add(#{route := Template, method := Method, status := Status, count := Count, microseconds := Microseconds, python_us := Python, buckets := Buckets,
      slowest_us := Slowest, last_slow_at := At}, Routes) ->
    Key = {Method, Template},
    #route{buckets = Before} = Route = maps:get(Key, Routes, #route{key = Key}),
    Sum = case Before of [] -> Buckets; _ -> lists:zipwith(fun erlang:'+'/2, Before, Buckets) end,
    New = Route#route{requests = Route#route.requests + Count, microseconds = Route#route.microseconds + Microseconds,
                      python = Route#route.python + Python, buckets = Sum, slowest = max(Route#route.slowest, {Slowest, At})},
    Routes#{Key => counted(Status, Count, New)}.

counted(<<"4xx">>, Count, #route{refused = Refused} = Route) -> Route#route{refused = Refused + Count};
counted(<<"5xx">>, Count, #route{failed = Failed} = Route) -> Route#route{failed = Failed + Count};
counted(_, _Count, Route) -> Route.

weight(<<"slow">>, #route{requests = Requests, buckets = Buckets}) -> percentile(0.99, Requests, Buckets);
weight(<<"failing">>, #route{failed = Failed, requests = Requests}) -> {Failed / max(1, Requests), Failed};
weight(<<"time">>, #route{microseconds = Microseconds}) -> Microseconds;
weight(<<"count">>, #route{requests = Requests}) -> Requests.

percentile(Part, Requests, Buckets) ->
    case hornbeam_series:percentile(Part, {Requests, Buckets}) of
        none -> 0;
        Ms -> Ms
    end.

row(#route{key = {Method, Template}, requests = Requests, refused = Refused, failed = Failed, microseconds = Microseconds, python = Python, buckets = Buckets,
           slowest = {Slowest, At}}) ->
    Mean = fun(Sum) -> duration(Sum / max(1, Requests) / 1000) end,
    [Template, Method, Requests, Refused, Failed, iolist_to_binary(io_lib:format("~.1f %", [Failed * 100 / max(1, Requests)])), Mean(Microseconds),
     duration(percentile(0.95, Requests, Buckets)), duration(percentile(0.99, Requests, Buckets)), Mean(Python), duration(Slowest / 1000),
     case At of 0 -> none; _ -> list_to_binary(calendar:system_time_to_rfc3339(At div 1000, [{offset, "Z"}])) end].
