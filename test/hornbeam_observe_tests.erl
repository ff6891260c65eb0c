%%% A request as it is seen: all at once or step by step, with the same figures.
-module(hornbeam_observe_tests).

-include_lib("eunit/include/eunit.hrl").
-include("../src/hornbeam_head.hrl").
-include("../src/hornbeam_observer.hrl").

-define(CONFIG, #{metrics_bind => [x], dashboard_bind => [], metrics_max_routes => 10, access_log => off, request_id => false, error_page => plain, trace => false}).
-define(REPLY(Status), {reply, Status, [], 4, <<"body">>}).

observed_test_() ->
    {setup, fun() -> ets:new(hornbeam_routes, [named_table, public, set]) end,
     fun(Table) ->
        true = ets:delete(Table),
        [ok = Module:forget(Name) || Module <- [hornbeam_follow, hornbeam_metrics], Name <- [at_once, by_steps, with_a_body, an_error, unanswered, unplaced]]
     end,
     [{"at once", fun() -> ?assertEqual({1, 7, 4, <<"/a">>}, figures(at_once, fun at_once/2)) end},
      {"step by step", fun() -> ?assertEqual({1, 7, 4, <<"/a">>}, figures(by_steps, fun by_steps/2)) end},
      {"one with a body", fun() -> ?assertEqual({1, 7, 4, <<"/a">>}, figures(with_a_body, fun with_a_body/2)) end},
      {"an error", fun() -> ?assertEqual({1, 7, 4, <<"/a">>}, figures(an_error, fun an_error/2)) end},
      {"without an answer of its worker", fun() -> ?assertMatch({1, Python, 0, <<>>} when Python >= 1000, figures(unanswered, fun unanswered/2)) end},
      {"without a worker", fun() -> ?assertEqual({1, 0, 0, <<>>}, figures(unplaced, fun unplaced/2)) end}]}.

figures(Name, See) ->
    {Observer, Settings} = hornbeam_observe:observer(Name, ?CONFIG),
    {_, Opened} = (Observer#observer.opened)(#head{method = <<"GET">>, path = <<"/">>, version = 'HTTP/1.1', host = <<"a">>, peer = undefined, sock = undefined}, Settings),
    %% So that more time passes than the application is said to have taken.
    ok = busy(os:perf_counter() + erlang:convert_time_unit(1, millisecond, perf_counter)),
    ok = See(Observer, Opened),
    [#{count := Count, python_us := Python, route := Route}] = hornbeam_routes:read(Name),
    {Count, Python, lists:sum([Sent || {_, #{sent := Sent}} <- hornbeam_routes:classes(Name)]), Route}.

busy(Until) ->
    case os:perf_counter() > Until of
        true -> ok;
        false -> busy(Until)
    end.

at_once(#observer{happened = Happened, whole = Whole}, Opened) ->
    ?assertEqual(?REPLY(200), Whole({7, <<"/a">>, true}, ?REPLY(200), Happened(placed, Opened))),
    ok.

by_steps(#observer{happened = Happened, sends = Sends, over = Over}, Opened) ->
    {_, Sent} = Sends(?REPLY(200), Happened({answers, {7, <<"/a">>, true}}, Happened(placed, Opened))),
    Over(true, Sent).

with_a_body(#observer{received = Received, happened = Happened, whole = Whole}, Opened) ->
    ?assertEqual(?REPLY(200), Whole({7, <<"/a">>, true}, ?REPLY(200), Received(3, Happened(placed, Opened)))),
    ok.

an_error(#observer{happened = Happened, whole = Whole}, Opened) ->
    ?assertEqual(?REPLY(500), Whole({7, <<"/a">>, true}, ?REPLY(500), Happened(placed, Opened))),
    ok.

unanswered(#observer{happened = Happened, over = Over}, Opened) ->
    Over(true, Happened(placed, Opened)).

unplaced(#observer{over = Over}, Opened) ->
    Over(false, Opened).
