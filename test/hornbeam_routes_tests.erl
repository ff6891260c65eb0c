%%% The figures of routes, and both formats of metrics as text.
-module(hornbeam_routes_tests).

-include_lib("eunit/include/eunit.hrl").

routes_test_() ->
    {foreach, fun table/0, fun ets:delete/1,
     [fun(_) -> {Name, Test} end || {Name, Test} <- [{"rows", fun rows/0}, {"bound", fun bound/0}, {"at once", fun at_once/0},
                                                       {"exemplars", fun exemplars/0}, {"websockets", fun websockets/0}, {"forgotten", fun forgotten/0}]]}.

table() ->
    ets:new(hornbeam_routes, [named_table, public, set]).

rows() ->
    Where = {one, 10},
    ok = hornbeam_routes:observe(Where, {<<"GET">>, <<"/a">>}, 200, {0, 500, 400, 0, 10}, none),
    ok = hornbeam_routes:observe(Where, {<<"GET">>, <<"/a">>}, 204, {500, 1000, 1500, 7, 20}, none),
    ok = hornbeam_routes:observe(Where, {<<"BREW">>, <<"/a">>}, 599, {0, 0, 20000000, 0, 0}, none),
    ok = hornbeam_routes:observe({two, 10}, {<<"GET">>, <<"/a">>}, 200, {0, 1, 0, 0, 0}, none),
    [Got, Brewed] = hornbeam_routes:read(one),
    ?assertMatch(#{method := <<"GET">>, route := <<"/a">>, status := <<"2xx">>, count := 2, microseconds := 3900, python_us := 1500,
                   buckets := [1, 1, 2, 2 | _], slowest_us := 3000}, Got),
    ?assertMatch(#{method := <<"OTHER">>, status := <<"5xx">>, count := 1, slowest_us := 20000000}, Brewed),
    ?assertEqual(0, lists:last(maps:get(buckets, Brewed))),
    ?assert(maps:get(last_slow_at, Got) > 1600000000000),
    Classes = hornbeam_routes:classes(one),
    ?assertEqual([<<"1xx">>, <<"2xx">>, <<"3xx">>, <<"4xx">>, <<"5xx">>], [Class || {Class, _} <- Classes]),
    #{<<"2xx">> := Good, <<"4xx">> := None, <<"5xx">> := Bad} = maps:from_list(Classes),
    ?assertMatch(#{requests := 2, microseconds := 3900, queue_us := 500, python_us := 1500, server_us := 1900, received := 7, sent := 30,
                   buckets := [1, 1, 2, 2 | _]}, Good),
    ?assertMatch(#{requests := 0, microseconds := 0}, None),
    ?assertMatch(#{requests := 1, buckets := [0, 0 | _]}, Bad).

bound() ->
    [ok = hornbeam_routes:observe({one, 3}, {<<"GET">>, <<$/, (integer_to_binary(N))/binary>>}, 200, {0, 1, 0, 0, 0}, none) || N <- lists:seq(1, 10)],
    ok = hornbeam_routes:observe({one, 3}, {<<"GET">>, <<>>}, 404, {0, 1, 0, 0, 0}, none),
    ok = hornbeam_routes:observe({one, 3}, {<<"POST">>, <<"/2">>}, 404, {0, 1, 0, 0, 0}, none),
    ?assertEqual([{<<>>, 1}, {<<"/1">>, 1}, {<<"/2">>, 1}, {<<"/2">>, 1}, {<<"/3">>, 1}, {<<"other">>, 7}],
                 lists:sort([{Route, Count} || #{route := Route, count := Count} <- hornbeam_routes:read(one)])).

%% They share the templates of requests, and their number.
websockets() ->
    ok = hornbeam_routes:observe({one, 2}, {<<"GET">>, <<"/a">>}, 101, {0, 1, 0, 0, 0}, none),
    [ok = hornbeam_routes:websocket({one, 2}, Route, Seconds * 1000000)
     || {Route, Seconds} <- [{<<"/a">>, 1}, {<<"/a">>, 9}, {<<"/b">>, 100000}, {<<"/c">>, 2}, {<<"/d">>, 3}, {<<>>, 4}]],
    ok = hornbeam_routes:websocket({two, 2}, <<"/a">>, 1),
    ?assertEqual([{<<>>, 1, 4000000, [0, 1, 1, 1, 1, 1, 1]}, {<<"/a">>, 2, 10000000, [1, 2, 2, 2, 2, 2, 2]},
                  {<<"/b">>, 1, 100000000000, [0, 0, 0, 0, 0, 0, 0]}, {<<"other">>, 2, 5000000, [0, 2, 2, 2, 2, 2, 2]}], hornbeam_routes:websockets(one)),
    ?assertEqual(7, length(hornbeam_routes:open_bounds())),
    ok = hornbeam_routes:forget(one),
    ?assertMatch({[], [{<<"/a">>, 1, 1, _}]}, {hornbeam_routes:websockets(one), hornbeam_routes:websockets(two)}).

%% Many processes make the same row and the last place.
at_once() ->
    Observe = fun(N) -> hornbeam_routes:observe({one, 2}, {<<"GET">>, <<"/", ($a + N rem 4)>>}, 200, {0, 0, N, 0, 0}, none) end,
    Pids = [spawn_monitor(fun() -> [Observe(N) || N <- lists:seq(1, 200)] end) || _ <- lists:seq(1, 20)],
    [receive {'DOWN', Ref, process, Pid, Reason} -> ?assertEqual(normal, Reason) end || {Pid, Ref} <- Pids],
    Rows = hornbeam_routes:read(one),
    ?assertEqual(4000, lists:sum([Count || #{count := Count} <- Rows])),
    ?assert(length([Route || #{route := Route} <- Rows, Route =/= <<"other">>]) =< 2),
    ?assertEqual(200, lists:max([Us || #{slowest_us := Us} <- Rows])).

exemplars() ->
    ok = hornbeam_routes:observe({one, 3}, {<<"GET">>, <<"/a">>}, 200, {0, 1, 899, 0, 0}, <<"t1">>),
    ok = hornbeam_routes:observe({one, 3}, {<<"GET">>, <<"/a">>}, 200, {0, 1, 799, 0, 0}, <<"t2">>),
    ok = hornbeam_routes:observe({one, 3}, {<<"GET">>, <<"/a">>}, 200, {0, 1, 89999999, 0, 0}, <<"t3">>),
    ?assertMatch(#{{<<"GET">>, <<"/a">>, <<"2xx">>, 1} := {<<"t2">>, 800, _}, {<<"GET">>, <<"/a">>, <<"2xx">>, none} := {<<"t3">>, 90000000, _}},
                 hornbeam_routes:exemplars(one)).

forgotten() ->
    ok = hornbeam_routes:observe({one, 3}, {<<"GET">>, <<"/a">>}, 200, {0, 1, 899, 0, 0}, <<"t1">>),
    ok = hornbeam_routes:observe({two, 3}, {<<"GET">>, <<"/a">>}, 200, {0, 1, 899, 0, 0}, none),
    ok = hornbeam_routes:forget(one),
    ?assertEqual({[], #{}}, {hornbeam_routes:read(one), hornbeam_routes:exemplars(one)}),
    ?assertMatch([_], hornbeam_routes:read(two)),
    ok = hornbeam_routes:forget(two),
    ?assertEqual([], ets:tab2list(hornbeam_routes)).

text_test() ->
    Families = [{<<"a_total">>, counter, <<"A \"b\" \\ \n c">>, [{"", [{"l", <<"x\"y\\z\nw">>}], 3}]},
                {<<"h">>, histogram, <<"H">>, [{"_bucket", [{"le", "0.5"}], 1, {<<"0af7">>, 0.25, 1700000000123}}, {"_bucket", [{"le", "+Inf"}], 1},
                                               {"_sum", [], 0.25}, {"_count", [], 1}]}],
    ?assertEqual(<<"# HELP a_total A \"b\" \\\\ \\n c\n# TYPE a_total counter\na_total{l=\"x\\\"y\\\\z\\nw\"} 3\n"
                   "# HELP h H\n# TYPE h histogram\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 0.25\nh_count 1\n">>,
                 iolist_to_binary(hornbeam_metrics_format:render(text, Families))),
    ?assertEqual(<<"# HELP a A \\\"b\\\" \\\\ \\n c\n# TYPE a counter\na_total{l=\"x\\\"y\\\\z\\nw\"} 3\n"
                   "# HELP h H\n# TYPE h histogram\nh_bucket{le=\"0.5\"} 1 # {trace_id=\"0af7\"} 0.25 1700000000.123\n"
                   "h_bucket{le=\"+Inf\"} 1\nh_sum 0.25\nh_count 1\n# EOF\n">>,
                 iolist_to_binary(hornbeam_metrics_format:render(openmetrics, Families))).

choose_test_() ->
    [?_assertEqual(Format, hornbeam_metrics_format:choose([{<<"accept">>, Accept}]))
     || {Format, Accept} <- [{openmetrics, <<"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1">>},
                             {openmetrics, <<"application/openmetrics-text">>}, {text, <<"*/*">>}, {text, <<"application/openmetrics-text;q=0">>},
                             {text, <<"text/plain;version=0.0.4;q=0.9,application/openmetrics-text;q=0.5">>}]].
