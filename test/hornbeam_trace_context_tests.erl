%%% traceparent and tracestate as W3C Trace Context has them (the sections are those of level 1).
-module(hornbeam_trace_context_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hornbeam_head.hrl").

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
    Good = [<<"a=1">>, <<"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE">>, <<"a=1 , \tb=2">>, <<"a=1,,b=2,">>, <<"0t@v=x">>, <<"a_-*/9=!~ x">>, members(32),
            <<"a=", (binary:copy(<<"x">>, 256))/binary>>, <<"a", (binary:copy(<<"x">>, 255))/binary, "=1">>,
            <<"1a=1">>, <<"a@1b=1">>],
    Bad = [<<>>, <<"a">>, <<"a=">>, <<"=1">>, <<"A=1">>, <<"-a=1">>, <<"a=1=2">>, <<"a=é"/utf8>>, <<"a@-b=1">>, <<"a@=1">>, <<"@a=1">>,
           <<"a@abcdefghijklmno=1">>, members(33), <<"a=", (binary:copy(<<"x">>, 257))/binary>>, <<"a", (binary:copy(<<"x">>, 256))/binary, "=1">>,
           <<"a b=1">>, <<",">>, <<"a=1", (binary:copy(<<",">>, 8192))/binary>>],
    [{State, ?_assertEqual(State, hornbeam_trace_context:state([State]))} || State <- Good]
    ++ [{State, ?_assertEqual(none, hornbeam_trace_context:state([State]))} || State <- Bad].

%% 3.3.1.3: one entry for each key. The first is the one that was last on the way.
repeated_test_() ->
    [{Text, ?_assertEqual(Expected, hornbeam_trace_context:state([Text]))}
     || {Text, Expected} <- [{<<"a=1,a=1">>, <<"a=1">>}, {<<"b=0, a=1,c=3 ,a=2">>, <<"b=0,a=1,c=3">>}, {<<"a=2,a=1,b=1,b=2">>, <<"a=2,b=1">>}]].

members(N) -> iolist_to_binary(lists:join(",", [["k", integer_to_binary(M), "=v"] || M <- lists:seq(1, N)])).

%% The cases of the test suite of W3C Trace Context (w3c/trace-context, test/test.py), by their names there, as heads of HTTP/1: which of the two
%% trace-ids is taken, and which members of tracestate there are.
-define(W3C, "12345678901234567890123456789012").

suite_test_() ->
    [{Name, ?_assertEqual({Name, Fields, Expected}, {Name, Fields, suite(Fields)})}
     || {Name, Fields, Expected} <- suite_of_traceparent() ++ suite_of_tracestate() ++ suite_of_keys()].

%% As an application gets it.
suite(Fields) ->
    Parser = hornbeam_http1_head:new(#{max_request_line => 1000, max_header_size => 8192, max_headers => 100, max_head_size => 65536,
                                       strict_target => true}),
    Lines = [["GET / HTTP/1.1\r\nhost: a\r\n"], [[Name, ": ", Value, "\r\n"] || {Name, Value} <- Fields], "\r\n"],
    {ok, #head{fields = Read}, <<>>, _} = hornbeam_http1_head:feed(iolist_to_binary(Lines), Parser),
    case hornbeam_trace_context:read(Read) of
        {{Trace, <<"1234567890123456">>, _}, State} -> {Trace, State};
        {none, none} -> anew
    end.

suite_of_traceparent() ->
    Taken = {<<?W3C>>, none},
    Parent = fun(Trace) -> ["00-", Trace, "-1234567890123456-01"] end,
    Good = Parent(?W3C),
    [{Name, Fields, Expected}
     || {Name, Values, Expected} <- [
            {"both_traceparent_and_tracestate_missing", [], anew},
            {"traceparent_included_tracestate_missing", [Good], Taken},
            {"traceparent_duplicated", [Parent("12345678901234567890123456789011"), Good], anew},
            {"traceparent_header_name", [{"trace-parent", Good}], anew},
            {"traceparent_header_name", [{"trace.parent", Good}], anew},
            {"traceparent_header_name_valid_casing", [{"TraceParent", Good}], Taken},
            {"traceparent_header_name_valid_casing", [{"TrAcEpArEnT", Good}], Taken},
            {"traceparent_header_name_valid_casing", [{"TRACEPARENT", Good}], Taken},
            {"traceparent_version_0x00", [[Good, "."]], anew},
            {"traceparent_version_0x00", [[Good, "-what-the-future-will-be-like"]], anew},
            {"traceparent_version_0xcc", ["cc-" ?W3C "-1234567890123456-01"], Taken},
            {"traceparent_version_0xcc", ["cc-" ?W3C "-1234567890123456-01-what-the-future-will-be-like"], Taken},
            {"traceparent_version_0xcc", ["cc-" ?W3C "-1234567890123456-01.what-the-future-will-be-like"], anew},
            {"traceparent_version_0xff", ["ff-" ?W3C "-1234567890123456-01"], anew},
            {"traceparent_version_illegal_characters", [".0-" ?W3C "-1234567890123456-01"], anew},
            {"traceparent_version_illegal_characters", ["0.-" ?W3C "-1234567890123456-01"], anew},
            {"traceparent_version_too_long", ["000-" ?W3C "-1234567890123456-01"], anew},
            {"traceparent_version_too_long", ["0000-" ?W3C "-1234567890123456-01"], anew},
            {"traceparent_version_too_short", ["0-" ?W3C "-1234567890123456-01"], anew},
            {"traceparent_trace_id_all_zero", [Parent("00000000000000000000000000000000")], anew},
            {"traceparent_trace_id_illegal_characters", [Parent(".2345678901234567890123456789012")], anew},
            {"traceparent_trace_id_illegal_characters", [Parent("1234567890123456789012345678901.")], anew},
            {"traceparent_trace_id_too_long", [Parent("123456789012345678901234567890123")], anew},
            {"traceparent_trace_id_too_short", [Parent("1234567890123456789012345678901")], anew},
            {"traceparent_parent_id_all_zero", ["00-" ?W3C "-0000000000000000-01"], anew},
            {"traceparent_parent_id_illegal_characters", ["00-" ?W3C "-.234567890123456-01"], anew},
            {"traceparent_parent_id_illegal_characters", ["00-" ?W3C "-123456789012345.-01"], anew},
            {"traceparent_parent_id_too_long", ["00-" ?W3C "-12345678901234567-01"], anew},
            {"traceparent_parent_id_too_short", ["00-" ?W3C "-123456789012345-01"], anew},
            {"traceparent_trace_flags_illegal_characters", ["00-" ?W3C "-1234567890123456-.0"], anew},
            {"traceparent_trace_flags_illegal_characters", ["00-" ?W3C "-1234567890123456-0."], anew},
            {"traceparent_trace_flags_too_long", ["00-" ?W3C "-1234567890123456-001"], anew},
            {"traceparent_trace_flags_too_short", ["00-" ?W3C "-1234567890123456-1"], anew},
            {"traceparent_ows_handling", [[" ", Good]], Taken},
            {"traceparent_ows_handling", [["\t", Good]], Taken},
            {"traceparent_ows_handling", [[Good, " "]], Taken},
            {"traceparent_ows_handling", [[Good, "\t"]], Taken},
            {"traceparent_ows_handling", [["\t ", Good, " \t"]], Taken}],
        Fields <- [[case Value of {_, _} -> Value; _ -> {"traceparent", Value} end || Value <- Values]]].

suite_of_tracestate() ->
    Ows = "foo=1\t \t,\t \tbar=2,\t \tbaz=3",
    [{"tracestate_included_traceparent_missing", [{"tracestate", "foo=1"}], anew} | states([
        {"tracestate_included_traceparent_included", ["foo=1,bar=2"], "foo=1,bar=2"},
        {"tracestate_header_name", [{"trace-state", "foo=1"}], none},
        {"tracestate_header_name", [{"trace.state", "foo=1"}], none},
        {"tracestate_header_name_valid_casing", [{"TraceState", "foo=1"}], "foo=1"},
        {"tracestate_header_name_valid_casing", [{"TrAcEsTaTe", "foo=1"}], "foo=1"},
        {"tracestate_header_name_valid_casing", [{"TRACESTATE", "foo=1"}], "foo=1"},
        {"tracestate_empty_header", [""], none},
        {"tracestate_empty_header", ["foo=1", ""], "foo=1,"},
        {"tracestate_empty_header", ["", "foo=1"], ",foo=1"},
        {"tracestate_multiple_headers_different_keys", ["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3"},
        %% Until 2023 the suite wanted none of it; now it wants one of both at least.
        {"tracestate_duplicated_keys", ["foo=1,foo=1"], "foo=1"},
        {"tracestate_duplicated_keys", ["foo=1,foo=2"], "foo=1"},
        {"tracestate_duplicated_keys", ["foo=1", "foo=1"], "foo=1"},
        {"tracestate_duplicated_keys", ["foo=1", "foo=2"], "foo=1"},
        {"tracestate_ows_handling", ["foo=1 \t , \t bar=2, \t baz=3"], "foo=1 \t , \t bar=2, \t baz=3"},
        {"tracestate_ows_handling", [Ows], Ows},
        {"tracestate_ows_handling", [" foo=1"], "foo=1"},
        {"tracestate_ows_handling", ["\tfoo=1"], "foo=1"},
        {"tracestate_ows_handling", ["foo=1 "], "foo=1"},
        {"tracestate_ows_handling", ["foo=1\t"], "foo=1"},
        {"tracestate_ows_handling", ["\t foo=1 \t"], "foo=1"},
        {"tracestate_member_count_limit", [members(32)], members(32)},
        {"tracestate_member_count_limit", [members(33)], none},
        {"tracestate_value_illegal_characters", ["foo=bar=baz"], none},
        {"tracestate_value_illegal_characters", ["foo=,bar=3"], none}])].

suite_of_keys() ->
    Key = "abcdefghijklmnopqrstuvwxyz0123456789_-*/",
    Value = lists:seq($\s, $+) ++ lists:seq($-, $<) ++ lists:seq($>, $~),
    Of = fun(N, C) -> lists:duplicate(N, C) end,
    Longest = [Of(256, $z), "=1"],
    Vendor = [Of(241, $t), "@", Of(14, $v), "=1"],
    states([
        {"tracestate_all_allowed_characters", [[Key, "=", Value]], [Key, "=", Value]},
        {"tracestate_all_allowed_characters", [[Key, "@a-z0-9_-*/=", Value]], [Key, "@a-z0-9_-*/=", Value]},
        {"tracestate_key_illegal_characters", ["foo =1"], none},
        {"tracestate_key_illegal_characters", ["FOO=1"], none},
        {"tracestate_key_illegal_characters", ["foo.bar=1"], none},
        {"tracestate_key_illegal_vendor_format", ["foo@=1,bar=2"], none},
        {"tracestate_key_illegal_vendor_format", ["@foo=1,bar=2"], none},
        {"tracestate_key_illegal_vendor_format", ["foo@@bar=1,bar=2"], none},
        {"tracestate_key_illegal_vendor_format", ["foo@bar@baz=1,bar=2"], none},
        {"tracestate_key_length_limit", ["foo=1", Longest], ["foo=1,", Longest]},
        {"tracestate_key_length_limit", ["foo=1", [Of(257, $z), "=1"]], none},
        {"tracestate_key_length_limit", ["foo=1", Vendor], ["foo=1,", Vendor]},
        {"tracestate_key_length_limit", ["foo=1", [Of(242, $t), "@v=1"]], none},
        {"tracestate_key_length_limit", ["foo=1", ["t@", Of(15, $v), "=1"]], none}]).

states(Cases) ->
    [{Name, [{"traceparent", "00-" ?W3C "-1234567890123456-00"} | [named(Value) || Value <- Values]],
      {<<?W3C>>, case State of none -> none; _ -> iolist_to_binary(State) end}} || {Name, Values, State} <- Cases].

named({_, _} = Field) -> Field;
named(Value) -> {"tracestate", Value}.

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
    ?assertEqual(1000, length(lists:usort([Number || {_, Number} <- Drawn]))),
    ?assertEqual(1000, length(lists:usort([hornbeam_trace_context:drawn_span() || _ <- Drawn]))),
    ?assertMatch([_], lists:usort([Start || {Start, _} <- Drawn])),
    Half = length([Number || {_, Number} <- Drawn, Number < 1 bsl 55]),
    ?assert(Half > 300 andalso Half < 700),
    [{Begin, Low} | _] = Drawn,
    Text = hornbeam_trace_context:first(Begin, Low, 1),
    {ok, {Trace, Id, 1}} = hornbeam_trace_context:parse(Text),
    ?assertEqual({Low, Low}, {binary_to_integer(binary:part(Trace, 18, 14), 16), binary_to_integer(binary:part(Id, 2, 14), 16)}),
    ?assertMatch({ok, {Trace, _, 0}}, hornbeam_trace_context:parse(hornbeam_trace_context:traceparent(Trace, hornbeam_trace_context:drawn_span(), 0))),
    Self = self(),
    _ = spawn_link(fun() -> Self ! {other, hornbeam_trace_context:drawn()} end),
    receive {other, {Other, _}} -> ?assertNotEqual(Begin, Other) after 60000 -> error(nothing) end.

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
