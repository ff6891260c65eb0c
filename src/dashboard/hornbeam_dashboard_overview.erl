%%% The overview of the dashboard: what the server does now, has done since its start, and did of late, as charts and as a table.
%%%
%%% Called by: hornbeam_dashboard_page; hornbeam_dashboard_handler (span/1). Calls: hornbeam_series, hornbeam_routes, hornbeam_connections, hornbeam_websockets,
%%% hornbeam_server (info/1, for the addresses and the cluster), hornbeam_dashboard_html. The numbers are those of /metrics.
-module(hornbeam_dashboard_overview).
-behaviour(hornbeam_dashboard_page).

-export([title/0, live/0, parts/1, span/1]).

-import(hornbeam_dashboard_html, [table/3, facts/1, section/2, bytes/1, duration/1]).

%% The rows of the table beside the charts.
-define(ROWS, 15).

-spec title() -> string().
title() -> "Overview".

-spec live() -> pos_integer().
live() -> 1000.

%% @doc What is shown of the past.
-spec span(#{binary() => binary()}) -> hornbeam_series:span().
span(#{<<"span">> := <<"minutes">>}) -> minutes;
span(_) -> seconds.

-spec parts(hornbeam_dashboard_page:context()) -> [hornbeam_dashboard_page:part()].
parts(#{name := Name, query := Query}) ->
    Span = span(Query),
    [{live, <<"now">>, now_(Name)},
     {fixed, charts(Span)},
     {live, <<"recent">>, recent(Name, Span)},
     {live, <<"total">>, total(Name)},
     {live, <<"nodes">>, nodes_(Name)}].

now_(Name) ->
    Point = case hornbeam_series:last(Name) of
        {ok, Last} -> maps:from_list(lists:zip(hornbeam_series:columns(), Last));
        none -> maps:from_keys(hornbeam_series:columns(), none)
    end,
    #{requests := Requests, errors := Errors, p50 := P50, p95 := P95, p99 := P99} = Point,
    Binds = case hornbeam_server:info(Name) of #{binds := Open} -> Open; {error, not_found} -> [] end,
    ["<p>Serves ", hornbeam_dashboard_html:escape(lists:join(", ", Binds)), "</p>",
     facts([{"Requests/s", Requests}, {"Errors/s", Errors}, {"Median", ms(P50)}, {"95 %", ms(P95)}, {"99 %", ms(P99)}
            | [{Heading, maps:get(Key, Point)} || {Heading, Key} <- [{"Connections", connections}, {"WebSockets", websockets},
                                                                     {"In flight", in_flight}, {"Waiting", waiting}]]])].

ms(none) -> none;
ms(Ms) -> duration(Ms).

%% Drawn by dashboard.js; the table below says the same.
charts(Span) ->
    Links = [["<a href=\"/?span=", Of, "\"", [" aria-current=\"true\"" || Of =:= atom_to_list(Span)], ">", Text, "</a>"]
             || {Of, Text} <- [{"seconds", "5 minutes, by second"}, {"minutes", "a day, by minute"}]],
    section("Of late", ["<p class=\"switch\">", lists:join(" ", Links), "</p><div class=\"charts\" id=\"charts\" data-span=\"", atom_to_list(Span), "\">",
                        [["<figure class=\"chart\" data-columns=\"", Columns, "\" data-unit=\"", Unit, "\"><figcaption>", Caption, "</figcaption></figure>"]
                         || {Columns, Unit, Caption} <- [{"requests,errors", "/s", "Requests and errors per second"},
                                                         {"p50,p95,p99", "ms", "Latency: median, 95 %, 99 %"},
                                                         {"connections,websockets", "", "Connections and WebSockets"},
                                                         {"in_flight,waiting", "", "Requests in flight and waiting"}]],
                        "</div>"]).

recent(Name, Span) ->
    Points = lists:sublist(lists:reverse(hornbeam_series:points(Name, Span)), ?ROWS),
    Table = table({"The last " ++ integer_to_list(?ROWS), "Nothing yet."},
                  ["Until (UTC)" | [{number, Heading} || Heading <- ["Requests/s", "Errors/s", "Median", "95 %", "99 %", "Sent/s", "Connections", "WebSockets",
                                                                     "In flight", "Waiting"]]],
                  [row(Point) || Point <- Points]),
    ["<details><summary>As a table</summary>", Table, "</details>"].

row([At, Requests, Errors, P50, P95, P99, Sent | Now]) ->
    [clock(At), Requests, Errors, ms(P50), ms(P95), ms(P99), bytes(Sent) | Now].

clock(At) ->
    {_, {Hour, Minute, Second}} = calendar:system_time_to_universal_time(At div 1000, second),
    iolist_to_binary(io_lib:format("~2..0b:~2..0b:~2..0b", [Hour, Minute, Second])).

total(Name) ->
    Rows = hornbeam_routes:classes(Name),
    Of = fun(#{requests := Requests, microseconds := Microseconds, buckets := Buckets, received := Received, sent := Sent}) ->
        Mean = case Requests of 0 -> none; _ -> duration(Microseconds / Requests / 1000) end,
        [Requests, Mean, ms(hornbeam_series:percentile(0.99, {Requests, Buckets})), bytes(Received), bytes(Sent)]
    end,
    section("Since the start", table({"Requests by class of status", ""},
        ["Status" | [{number, Heading} || Heading <- ["Requests", "Mean", "99 %", "Received", "Sent"]]], [[Class | Of(Row)] || {Class, Row} <- Rows])).

nodes_(Name) ->
    case hornbeam_server:info(Name) of
        #{cluster := #{nodes := Nodes, quorum := Quorum, name := Cluster}} ->
            Up = 1 + length([Node || #{state := up} = Node <- Nodes]),
            section("Cluster", facts([{"Cluster", Cluster}, {"Nodes up", Up}, {"Majority", Quorum}, {"Nodes", hornbeam_dashboard_html:anchor("/cluster", "each of them")}]));
        _ -> []
    end.
