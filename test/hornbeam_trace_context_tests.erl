%%% traceparent and tracestate as W3C Trace Context has them (the sections are those of level 1).
-module(hornbeam_trace_context_tests).

-include_lib("eunit/include/eunit.hrl").

-define(TRACE, <<"4bf92f3577b34da6a3ce929d0e0e4736">>).
-define(SPAN, <<"00f067aa0ba902b7">>).

traceparent_test_() ->
    Good = <<"00-", ?TRACE/binary, $-, ?SPAN/binary, "-01">>,
    Cases = [{"3.2.2", Good, {ok, {?TRACE, ?SPAN, 1}}},
             {"not sampled", <<"00-", ?TRACE/binary, $-, ?SPAN/binary, "-00">>, {ok, {?TRACE, ?SPAN, 0}}},
             {"level 2: the flag of random ids", <<"00-", ?TRACE/binary, $-, ?SPAN/binary, "-03">>, {ok, {?TRACE, ?SPAN, 3}}},
             {"flags that are not known", <<"00-", ?TRACE/binary, $-, ?SPAN/binary, "-f9">>, {ok, {?TRACE, ?SPAN, 1}}},
             {"3.2.2.1: ff is no version", <<"ff-", ?TRACE/binary, $-, ?SPAN/binary, "-01">>, error},
             {"3.2.4: a later version", <<"cc-", ?TRACE/binary, $-, ?SPAN/binary, "-01">>, {ok, {?TRACE, ?SPAN, 1}}},
             {"3.2.4: with more behind it", <<"cc-", ?TRACE/binary, $-, ?SPAN/binary, "-01-what-it-will-be">>, {ok, {?TRACE, ?SPAN, 1}}},
             {"3.2.4: but not without a dash", <<"cc-", ?TRACE/binary, $-, ?SPAN/binary, "-01.what">>, error},
             {"this version has no more", <<Good/binary, "-00">>, error},
             {"3.2.2.3: all zero", <<"00-00000000000000000000000000000000-", ?SPAN/binary, "-01">>, error},
             {"3.2.2.4: all zero", <<"00-", ?TRACE/binary, "-0000000000000000-01">>, error},
             {"upper case", string:uppercase(Good), error},
             {"no digit", <<"00-", ?TRACE/binary, "-00f067aa0ba902bg-01">>, error},
             {"too short", <<"00-4bf9-", ?SPAN/binary, "-01">>, error},
             {"spaces", <<Good/binary, " ">>, error},
             {"nothing", <<>>, error}],
    [{Text, ?_assertEqual(Expected, hornbeam_trace_context:parse(Field))} || {Text, Field, Expected} <- Cases].

tracestate_test_() ->
    Member = fun(N) -> iolist_to_binary(["k", integer_to_binary(N), "=v"]) end,
    Members = fun(N) -> iolist_to_binary(lists:join(",", [Member(M) || M <- lists:seq(1, N)])) end,
    Good = [<<"a=1">>, <<"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE">>, <<"a=1 , \tb=2">>, <<"a=1,,b=2,">>, <<"0t@v=x">>, <<"a_-*/9=!~ x">>, Members(32),
            <<"a=", (binary:copy(<<"x">>, 256))/binary>>, <<"a", (binary:copy(<<"x">>, 255))/binary, "=1">>],
    Bad = [<<>>, <<"a">>, <<"a=">>, <<"=1">>, <<"A=1">>, <<"1a=1">>, <<"a=1=2">>, <<"a=é"/utf8>>, <<"a=1,a=2">>, <<"a@1b=1">>, <<"a@=1">>, <<"@a=1">>,
           <<"a@abcdefghijklmno=1">>, Members(33), <<"a=", (binary:copy(<<"x">>, 257))/binary>>, <<"a", (binary:copy(<<"x">>, 256))/binary, "=1">>,
           <<"a b=1">>, <<",">>],
    [{State, ?_assert(hornbeam_trace_context:is_state(State))} || State <- Good]
    ++ [{State, ?_assertNot(hornbeam_trace_context:is_state(State))} || State <- Bad].

fields_test_() ->
    Parent = {<<"traceparent">>, <<"00-", ?TRACE/binary, $-, ?SPAN/binary, "-01">>},
    State = fun(Text) -> {<<"tracestate">>, Text} end,
    [{Text, ?_assertEqual(Expected, hornbeam_trace_context:read(Fields))}
     || {Text, Fields, Expected} <- [
            {"none", [], {none, none}},
            {"both", [Parent, State(<<"a=1">>)], {{?TRACE, ?SPAN, 1}, <<"a=1">>}},
            {"3.3.1.1: several fields of tracestate", [State(<<"a=1">>), Parent, State(<<"b=2">>)], {{?TRACE, ?SPAN, 1}, <<"a=1,b=2">>}},
            {"a bad tracestate", [Parent, State(<<"A=1">>)], {{?TRACE, ?SPAN, 1}, none}},
            {"only tracestate", [State(<<"a=1">>)], {none, none}},
            {"two of traceparent", [Parent, Parent, State(<<"a=1">>)], {none, none}}]].

digits_test() ->
    All = [0, 1, 16#0123456789abcd, 16#fedcba98765432, 16#ffffffffffffff | [Digit bsl Bit || Digit <- lists:seq(0, 15), Bit <- lists:seq(0, 52, 4)]],
    [?assertEqual(string:lowercase(binary:encode_hex(<<N:56>>)), hornbeam_trace_context:digits(N)) || N <- All].

%% What a process draws begins alike, and is never twice the same; a value of 56 bits has all of its digits.
drawn_test() ->
    Drawn = [hornbeam_trace_context:drawn() || _ <- lists:seq(1, 1000)],
    ?assertEqual(1000, length(lists:usort([Trace || {_, Trace, _} <- Drawn]))),
    ?assertEqual(1000, length(lists:usort([Span || {_, _, Span} <- Drawn]))),
    ?assertMatch([_], lists:usort([Start || {Start, _, _} <- Drawn])),
    Half = length([Trace || {_, Trace, _} <- Drawn, Trace < 1 bsl 55]),
    ?assert(Half > 300 andalso Half < 700),
    [{Begin, Low, Span} | _] = Drawn,
    Text = hornbeam_trace_context:traceparent(Begin, Low, Span, 1),
    {ok, {Trace, Id, 1}} = hornbeam_trace_context:parse(Text),
    ?assertEqual({Low, Span}, {binary_to_integer(binary:part(Trace, 18, 14), 16), binary_to_integer(binary:part(Id, 2, 14), 16)}),
    ?assertMatch({ok, {Trace, _, 0}}, hornbeam_trace_context:parse(hornbeam_trace_context:traceparent(Trace, hornbeam_trace_context:drawn_span(), 0))),
    Self = self(),
    _ = spawn_link(fun() -> Self ! {other, hornbeam_trace_context:drawn()} end),
    receive {other, {Other, _, _}} -> ?assertNotEqual(Begin, Other) after 60000 -> error(nothing) end.

of_a_process_test() ->
    Before = logger:get_process_metadata(),
    ?assertEqual([], hornbeam_trace_context:current()),
    Parent = hornbeam_trace_context:traceparent(?TRACE, ?SPAN, 1),
    ok = hornbeam_trace_context:join([Parent]),
    ?assertEqual([Parent], hornbeam_trace_context:current()),
    ?assertMatch(#{trace_id := ?TRACE, span_id := ?SPAN}, logger:get_process_metadata()),
    ok = hornbeam_trace_context:join([]),
    ok = hornbeam_trace_context:join([<<"rubbish">>]),
    ?assertEqual([Parent], hornbeam_trace_context:current()),
    ok = case Before of undefined -> logger:unset_process_metadata(); _ -> logger:set_process_metadata(Before) end.
