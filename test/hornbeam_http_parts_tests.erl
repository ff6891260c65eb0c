%%% Small parts of src/http that stand for themselves: authorities, dates, deadlines.
-module(hornbeam_http_parts_tests).

-include_lib("eunit/include/eunit.hrl").

%%% hornbeam_authority (RFC 9110, 7.2; RFC 3986, 3.2)

authorities_test_() ->
    [?_assertEqual({ok, {Name, Port}}, hornbeam_authority:parse(Text))
     || {Text, Name, Port} <- [
            {<<"a">>, <<"a">>, undefined}, {<<"A.Example">>, <<"a.example">>, undefined}, {<<"a:80">>, <<"a">>, 80}, {<<"a:">>, <<"a">>, undefined},
            {<<"a:0">>, <<"a">>, 0}, {<<"a:65535">>, <<"a">>, 65535}, {<<"a:00080">>, <<"a">>, 80}, {<<>>, <<>>, undefined},
            {<<"127.0.0.1:1">>, <<"127.0.0.1">>, 1}, {<<"[::1]">>, <<"[::1]">>, undefined}, {<<"[::1]:80">>, <<"[::1]">>, 80},
            {<<"[2001:DB8::A]:">>, <<"[2001:db8::a]">>, undefined}, {<<"a_b~c-d.">>, <<"a_b~c-d.">>, undefined}, {<<"a%41!$&'()*+,;=">>, <<"a%41!$&'()*+,;=">>, undefined}]].

no_authorities_test_() ->
    [?_assertEqual(error, hornbeam_authority:parse(Text))
     || Text <- [<<"u@a">>, <<"a/b">>, <<"a b">>, <<"a:b">>, <<"a:+1">>, <<"a:-1">>, <<"a:65536">>, <<"a:000080">>, <<"a:80:80">>, <<":80">>, <<"::1">>, <<"[::1">>,
                 <<"[::1]x">>, <<"[::1]:x">>, <<"[::1%eth0]">>, <<"[]">>, <<"[zz]">>, <<"[127.0.0.1]">>, <<"a?b">>, <<"a#b">>, <<"a\\b">>, <<"a|b">>, <<"<a>">>, <<"a", 0>>,
                 <<"a\t">>, <<16#c3, 16#a4>>, <<"[", (binary:copy(<<"1">>, 100))/binary, "]">>]].

authority_octets_test() ->
    Name = "!$&'()*+,;=-._~%" ++ lists:seq($0, $9) ++ lists:seq($a, $z) ++ lists:seq($A, $Z),
    [?assertEqual({C, lists:member(C, Name)}, {C, hornbeam_authority:parse(<<"a", C, "b">>) =/= error}) || C <- lists:seq(0, 255), C =/= $:].

%%% hornbeam_date (RFC 9110, 5.6.7)

%% Every day of the week and every month, and against Cowlib's.
dates_test_() ->
    [?_assertEqual(<<"Sun, 06 Nov 1994 08:49:37 GMT">>, hornbeam_date:format(784111777)),
     ?_assertEqual(<<"Thu, 01 Jan 1970 00:00:00 GMT">>, hornbeam_date:format(0)),
     ?_assertEqual(<<"Thu, 29 Feb 2024 23:59:59 GMT">>, hornbeam_date:format(1709251199))]
    ++ [?_assertEqual(iolist_to_binary(cow_date:rfc1123(calendar:system_time_to_universal_time(Second, second))), hornbeam_date:format(Second))
        || Day <- lists:seq(0, 400), Second <- [1700000000 + Day * 86400 + Day * 61]].

%% Kept for a second, in each process.
now_test() ->
    Self = self(),
    Of = fun() -> Self ! {date, hornbeam_date:now(), hornbeam_date:now()} end,
    Before = os:system_time(second),
    spawn_link(Of),
    {date, First, _} = receive {date, _, _} = Date -> Date end,
    After = os:system_time(second),
    ?assert(lists:member(First, [hornbeam_date:format(S) || S <- lists:seq(Before, After)])),
    %% What a process has kept is not given in the next second.
    _ = put(hornbeam_date, {Before - 1, <<"old">>}),
    ?assertNotEqual(<<"old">>, hornbeam_date:now()),
    _ = put(hornbeam_date, {Before + 3600, <<"of a clock that was set back">>}),
    ?assertMatch(<<_:29/binary>>, hornbeam_date:now()).

%%% hornbeam_deadline

ms() -> erlang:monotonic_time(millisecond).

fired(Deadline) ->
    receive {timeout, Ref, deadline} -> {ms(), hornbeam_deadline:fired(Ref, Deadline)} end.

%% No later than the earliest that was asked for, and once.
earliest_test() ->
    Begin = ms(),
    Deadline = lists:foldl(fun hornbeam_deadline:by/2, hornbeam_deadline:new(), [Begin + 60000, infinity, Begin + 20, Begin + 40000]),
    {At, Fired} = fired(Deadline),
    ?assertEqual({ok, hornbeam_deadline:new()}, Fired),
    ?assert(At >= Begin + 20),
    receive {timeout, _, deadline} -> error(twice) after 50 -> ok end.

%% A time that lies behind the one that runs costs no timer.
later_is_free_test() ->
    One = hornbeam_deadline:by(ms() + 60000, hornbeam_deadline:new()),
    ?assertEqual(One, hornbeam_deadline:by(ms() + 60001, One)),
    ?assertEqual(One, hornbeam_deadline:by(infinity, One)),
    ok = hornbeam_deadline:cancel(One).

%% One that had fired before it was replaced is known by its reference.
stale_test() ->
    First = hornbeam_deadline:by(ms() - 1, hornbeam_deadline:new()),
    Message = receive {timeout, _, deadline} = M -> M end,
    {timeout, Ref, deadline} = Message,
    Second = hornbeam_deadline:by(ms() + 60000, hornbeam_deadline:new()),
    ?assertEqual(stale, hornbeam_deadline:fired(Ref, Second)),
    ?assertEqual({ok, hornbeam_deadline:new()}, hornbeam_deadline:fired(Ref, First)),
    ok = hornbeam_deadline:cancel(Second),
    ok = hornbeam_deadline:cancel(hornbeam_deadline:new()).
