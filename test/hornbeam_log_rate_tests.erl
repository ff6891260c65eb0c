%%% How much one place in the code may log: what passes, what is counted, what is said of it.
-module(hornbeam_log_rate_tests).

-include_lib("eunit/include/eunit.hrl").

-define(WAIT, 60000).

event(Message, Meta) -> #{level => error, msg => Message, meta => Meta}.

%% So many of a thousand pass that came within a few seconds, whatever the clock says; what did not is counted.
places_test_() ->
    {timeout, 120, [{Text, ?_test(place(First, Second))} || {Text, First, Second} <- [
        {"of Python", event({"~ts", ["x"]}, #{python_logger => <<"a">>, python_place => <<"a.py:1">>}),
                      event({"~ts", ["x"]}, #{python_logger => <<"a">>, python_place => <<"a.py:2">>})},
        {"of Erlang's macros", event({"~ts", ["x"]}, #{mfa => {a, b, 1}, line => 1}), event({"~ts", ["x"]}, #{mfa => {a, b, 1}, line => 2})},
        {"by the format", event({"a ~ts", ["x"]}, #{}), event({"b ~ts", ["x"]}, #{})},
        {"reports", event({report, #{label => {gen_server, terminate}}}, #{}), event({report, #{label => {proc_lib, crash}}}, #{})}]]}.

place(First, Second) ->
    Rate = hornbeam_log_rate:start(3),
    Before = erlang:monotonic_time(second),
    Passed = length([N || N <- lists:seq(1, 1000), hornbeam_log_rate:passes(First, Rate)]),
    Seconds = erlang:monotonic_time(second) - Before + 1,
    ?assert(Passed >= 3),
    ?assert(Passed =< 3 * Seconds),
    ?assertEqual(1000 - Passed, hornbeam_log_rate:suppressed(Rate)),
    ?assert(hornbeam_log_rate:passes(Second, Rate)),
    exit(hornbeam_log_rate:pid(Rate), kill).

said_test_() ->
    {timeout, 120, fun() ->
        Test = self(),
        Rate = hornbeam_log_rate:start(1),
        ok = logger:add_primary_filter(?MODULE, {fun(Event, _) -> Test ! {logged, Event}, stop end, []}),
        Event = event({"~ts", ["x"]}, #{python_logger => <<"a">>, python_place => <<"a.py:7">>}),
        Passed = [N || N <- lists:seq(1, 100), hornbeam_log_rate:passes(Event, Rate)],
        Said = said(100 - length(Passed)),
        ok = logger:remove_primary_filter(?MODULE),
        ?assertMatch({match, _}, re:run(Said, "more lines of a \\(a\\.py:7\\) were suppressed \\(log_rate\\)$"))
    end}.

%% All that was suppressed, in one line or more.
said(Number) ->
    receive
        {logged, #{level := error, msg := {Format, [N | _] = Arguments}, meta := #{mfa := {hornbeam_log_rate, _, _}}}} when N =:= Number ->
            lists:flatten(io_lib:format(Format, Arguments));
        {logged, #{msg := {_, [N | _]}, meta := #{mfa := {hornbeam_log_rate, _, _}}}} when N < Number -> said(Number - N);
        {logged, _} -> said(Number)
    after ?WAIT -> error(not_said)
    end.

without_its_process_everything_passes_test() ->
    Rate = hornbeam_log_rate:start(1),
    Monitor = monitor(process, hornbeam_log_rate:pid(Rate)),
    exit(hornbeam_log_rate:pid(Rate), kill),
    receive {'DOWN', Monitor, process, _, _} -> ok after ?WAIT -> error(alive) end,
    ?assert(lists:all(fun(_) -> hornbeam_log_rate:passes(event({"x", []}, #{}), Rate) end, lists:seq(1, 10))).
