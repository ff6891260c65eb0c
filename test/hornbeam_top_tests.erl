%%% The page of `hornbeam top', from figures to lines. (On a terminal: python_tests/ops/test_diagnose.py.)
-module(hornbeam_top_tests).

-include_lib("eunit/include/eunit.hrl").

figures(At, Workers, Answered) ->
    Numbers = maps:from_keys([<<"in_flight">>, <<"waiting">>, <<"refused">>, <<"restarts">>, <<"crashes">>, <<"connections">>, <<"websockets">>, <<"memory">>,
                              <<"processes">>, <<"run_queue">>], 0),
    Numbers#{<<"at">> => At, <<"name">> => <<"s">>, <<"binds">> => [<<"http://127.0.0.1:80">>], <<"workers">> => Workers, <<"answered">> => Answered}.

worker(Name, Pid, Requests, Memory) ->
    #{<<"name">> => Name, <<"app">> => <<"a:b">>, <<"state">> => <<"ready">>, <<"os_pid">> => Pid, <<"requests">> => Requests, <<"memory">> => Memory}.

%% `less': how many of so many requests took up to each bound.
class(Class, Requests, Less) -> [Class, Requests, lists:sublist(Less, length(hornbeam_metrics:bounds()))].

page(Order) ->
    None = lists:duplicate(13, 0),
    Before = figures(60000, [worker(<<"1">>, 10, 100, 5), worker(<<"2">>, 11, 100, 9)], [class(<<"2xx">>, 0, None), class(<<"5xx">>, 0, None)]),
    Now = figures(62000, [worker(<<"1">>, 10, 140, 5), worker(<<"2">>, 12, 900, 9)],
                  [class(<<"2xx">>, 40, [20, 30 | lists:duplicate(11, 40)]), class(<<"5xx">>, 2, [0, 0 | lists:duplicate(11, 0)])]),
    [unicode:characters_to_list(Line) || Line <- hornbeam_top_screen:lines(Before, Now, Order)].

%% Rates are of the time between; a worker's successor counts from its beginning.
rates_test() ->
    [First, Second | Lines] = page(name),
    ?assertEqual("hornbeam s on http://127.0.0.1:80, up 1 min", First),
    ?assertEqual("requests/s 20.0   errors/s 1.0   p50 1.1 ms   p90 4.4 ms   p99 more", Second),
    ?assertMatch([["1", "ready", "10", "-", "20.0", "140" | _], ["2", "ready", "12", "-", "0.0", "900" | _]], rows(Lines)).

order_test() ->
    ?assertMatch([["2" | _], ["1" | _]], rows(page(memory))),
    ?assertMatch([["1" | _], ["2" | _]], rows(page(requests))),
    ?assertEqual([{ok, name}, {ok, requests}, {ok, in_flight}, {ok, memory}, {ok, lag}, error], [hornbeam_top_screen:order(Key) || Key <- "nrimlx"]).

rows(Lines) -> [string:lexemes(Line, " ") || Line <- lists:nthtail(length(Lines) - 2, Lines)].

percentile_test() ->
    Buckets = [10, 10 | lists:duplicate(11, 20)],
    ?assertEqual(none, hornbeam_metrics:ranked(0.0, Buckets, 0)),
    ?assertEqual(1000.0, hornbeam_metrics:ranked(10.0, Buckets, 20)),
    ?assertEqual(3750.0, hornbeam_metrics:ranked(15.0, Buckets, 20)),
    ?assertEqual(more, hornbeam_metrics:ranked(19.8, lists:duplicate(13, 0), 20)).

not_counted_test() ->
    Figures = figures(60000, [], [class(<<"2xx">>, 0, lists:duplicate(13, 0))]),
    ?assertEqual("requests/s 0.0   errors and durations are not counted (metrics_bind)",
                 unicode:characters_to_list(lists:nth(2, hornbeam_top_screen:lines(Figures, Figures, name)))).
