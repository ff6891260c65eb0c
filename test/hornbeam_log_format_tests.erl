%%% The log as JSON and in colour: one line per event, whatever is in it.
-module(hornbeam_log_format_tests).

-include_lib("eunit/include/eunit.hrl").

-define(PLAIN, {logger_formatter, #{template => [time, " ", level, " ", msg, "\n"], single_line => false}}).

line(Event, Format, Colours) ->
    {Module, Config} = hornbeam_log_format:formatter(Format, Colours, ?PLAIN),
    unicode:characters_to_binary(Module:format(Event, Config)).

event(Level, Message, Meta) ->
    #{level => Level, msg => Message, meta => maps:merge(#{time => 1234567, pid => self(), gl => group_leader()}, Meta)}.

json(Event) -> line(Event, json, true).

pid() -> iolist_to_binary(os:getpid()).

an_event_of_the_server_test() ->
    ?assertEqual(<<"{\"time\":\"1970-01-01T00:00:01.234567Z\",\"level\":\"notice\",\"logger\":\"hornbeam\","
                   "\"message\":\"a \\\"b\\\"\\u000Ac\",\"pid\":", (pid())/binary, "}\n">>,
                 json(event(notice, {"a ~ts\nc", ["\"b\""]}, #{}))).

a_record_of_a_worker_test() ->
    Meta = #{hornbeam_worker => 2, python_logger => <<"my.log">>, python_pid => 7, request_id => "id-1", trace_id => <<"t1">>, span_id => <<"s1">>,
             python_record => {<<"m\x{c3}\x{bc}"/utf8>>, <<"Traceback\n  x">>}},
    ?assertEqual(<<"{\"time\":\"1970-01-01T00:00:01.234567Z\",\"level\":\"error\",\"logger\":\"my.log\","
                   "\"message\":\"m\x{c3}\x{bc}\",\"exception\":\"Traceback\\u000A  x\",\"request_id\":\"id-1\",\"trace_id\":\"t1\",\"span_id\":\"s1\",\"worker\":2,\"pid\":7}\n"/utf8>>,
                 json(event(error, {"worker ~b", [2]}, Meta))).

the_crash_of_a_worker_is_an_object_test() ->
    Crash = #{pid => 7, signal => <<"SIGSEGV">>, stack => [<<"a \"b\"">>, <<"c">>]},
    {ok, Line} = hornbeam_json:decode(json(event(error, {"worker ~b ended", [2]}, #{hornbeam_worker => 2, hornbeam_crash => Crash}))),
    ?assertMatch(#{<<"message">> := <<"worker 2 ended">>, <<"worker">> := 2,
                   <<"crash">> := #{<<"pid">> := 7, <<"signal">> := <<"SIGSEGV">>, <<"stack">> := [<<"a \"b\"">>, <<"c">>]}}, Line).

reports_and_broken_texts_are_lines_as_well_test_() ->
    Events = [event(error, {report, #{label => {supervisor, child_terminated}, report => [{a, "b\nc"}]}}, #{domain => [otp, sasl]}),
              event(error, {string, [<<255>>, "\n\n", 16#1F600]}, #{}),
              event(error, {"~p ~p", [one]}, #{})],
    [?_assertMatch({match, [_]}, re:run(json(Event), "^\\{[^\\n]*\\}\\n$", [{capture, first}, dollar_endonly])) || Event <- Events].

otp_is_a_logger_of_its_own_test() ->
    ?assertMatch({match, _}, re:run(json(event(info, {string, "x"}, #{domain => [otp]})), "\"logger\":\"otp\"")).

levels_are_coloured_test_() ->
    [?_assertEqual(<<"1970-01-01T00:00:01.234567+00:00 \e[", Colour/binary, "m", (atom_to_binary(Level))/binary, "\e[0m x\n">>,
                   utc(line(event(Level, {string, "x"}, #{}), text, true)))
     || {Level, Colour} <- [{debug, <<"2">>}, {notice, <<"32">>}, {warning, <<"33">>}, {error, <<"31">>}, {critical, <<"1;31">>}]].

%% logger_formatter writes local time.
utc(<<_:26/binary, _Offset:6/binary, Rest/binary>>) -> <<"1970-01-01T00:00:01.234567+00:00", Rest/binary>>.

without_colour_the_formatter_stays_test() ->
    ?assertEqual(?PLAIN, hornbeam_log_format:formatter(text, false, ?PLAIN)).

when_there_is_colour_test_() ->
    {setup, fun() -> [os:getenv(Name) || Name <- names()] end,
     fun(Values) -> [set(Name, Value) || {Name, Value} <- lists:zip(names(), Values)] end,
     [{lists:flatten(io_lib:format("~p", [Given])),
       fun() ->
           _ = [set(Name, Value) || {Name, Value} <- lists:zip(names(), Given)],
           ?assertEqual(Expected, hornbeam_log:in_colour(Device, Option))
       end}
      || {Given, Device, Option, Expected} <-
             [{[false, "1", false], standard_error, auto, true},
              {["1", "1", false], standard_error, auto, false},
              {["1", false, false], standard_error, true, true},
              {[false, "1", false], standard_error, false, false},
              {[false, false, "dumb"], standard_error, auto, false}]]}.

names() -> ["NO_COLOR", "FORCE_COLOR", "TERM"].

set(Name, false) -> os:unsetenv(Name);
set(Name, Value) -> os:putenv(Name, Value).

%% A process that is a part of a trace says so in full where something is logged; what has its ids already keeps them.
traced_test_() ->
    Trace = <<"4bf92f3577b34da6a3ce929d0e0e4736">>,
    Span = <<"00f067aa0ba902b7">>,
    Parent = <<"00-", Trace/binary, $-, Span/binary, "-01">>,
    Of = fun(Meta) -> maps:without([traceparent], hornbeam_log_format:traced(Meta)) end,
    [?_assertEqual(#{trace_id => Trace, span_id => Span}, Of(#{traceparent => Parent})),
     ?_assertEqual(#{trace_id => <<"a">>}, Of(#{trace_id => <<"a">>, traceparent => Parent})),
     ?_assertEqual(#{}, Of(#{traceparent => <<"rubbish">>})),
     ?_assertEqual(#{}, Of(#{})),
     ?_assertMatch([_, _, _, _, {trace_id, Trace}, {span_id, Span}],
                   hornbeam_log_format:fields(#{level => error, msg => {string, "a"}, meta => #{time => 0, traceparent => Parent}}))].
