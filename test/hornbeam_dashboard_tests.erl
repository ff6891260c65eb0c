%%% The parts of the dashboard without a browser or a server: escaping, the rules of access, sessions and their limits, percentiles.
-module(hornbeam_dashboard_tests).

-include_lib("eunit/include/eunit.hrl").

-define(NAME, dashboard_tests).

escape_test_() ->
    [?_assertEqual(Expected, hornbeam_dashboard_html:escape(Given))
     || {Given, Expected} <- [{<<"plain">>, <<"plain">>},
                              {<<"<a href='x\"y'>&">>, <<"&lt;a href=&#39;x&quot;y&#39;&gt;&amp;">>},
                              {"<", <<"&lt;">>}, {'<b>', <<"&lt;b&gt;">>},
                              {<<0, 7, 127>>, <<16#fffd/utf8, 16#fffd/utf8, 16#fffd/utf8>>},
                              {<<255, $<, 16#c3>>, <<16#fffd/utf8, "&lt;", 16#fffd/utf8>>},
                              {<<"Grü&"/utf8>>, <<"Grü&amp;"/utf8>>}]].

%% Cells, captions, headings, names, labels, links, the fields of forms.
nothing_is_put_in_as_it_is_test() ->
    Bad = "<script>",
    Made = [hornbeam_dashboard_html:table({Bad, Bad}, [Bad, {number, Bad}], [[list_to_binary(Bad), 'a<script>']]),
            hornbeam_dashboard_html:table({Bad, Bad}, [Bad], []), hornbeam_dashboard_html:facts([{Bad, Bad}]), hornbeam_dashboard_html:section(Bad, []),
            hornbeam_dashboard_html:cell(hornbeam_dashboard_html:anchor(Bad, Bad)), hornbeam_dashboard_html:button(Bad, Bad, [{"x", Bad}])],
    ?assertEqual(nomatch, binary:match(iolist_to_binary(Made), <<"<script>">>)).

hosts_test_() ->
    Is = fun(Host) -> hornbeam_dashboard_access:is_host(Host, [<<"Dash.Example">>]) end,
    [?_assert(Is(Host)) || Host <- [<<"localhost">>, <<"127.0.0.1">>, <<"10.1.2.3">>, <<"[::1]">>, <<"dash.example">>]]
    ++ [?_assertNot(Is(Host)) || Host <- [<<"example">>, <<"dash.example.evil">>, <<"127.0.0.1.evil">>, <<"1.2">>, <<>>, <<"localhost.">>]].

own_test_() ->
    Is = fun(Fields) -> hornbeam_dashboard_access:is_own(maps:from_list(Fields)) end,
    Host = {<<"host">>, <<"a:1">>},
    [?_assert(Is([Host | Fields])) || Fields <- [[], [{<<"origin">>, <<"http://a:1">>}], [{<<"origin">>, <<"https://A:1">>}], [{<<"sec-fetch-site">>, <<"same-origin">>}]]]
    ++ [?_assertNot(Is([Host | Fields])) || Fields <- [[{<<"origin">>, <<"http://a:2">>}], [{<<"origin">>, <<"null">>}], [{<<"origin">>, <<"file://a:1">>}],
                                                       [{<<"sec-fetch-site">>, <<"cross-site">>}], [{<<"sec-fetch-site">>, <<"none">>}]]]
    ++ [?_assertNot(Is([{<<"origin">>, <<"http://a">>}]))].

passwords_test() ->
    %% What Python's hashlib.pbkdf2_hmac("sha512", b"secret", b"saltsalt", 1000) is.
    Derived = <<"sm09rUzS3++3+cqsWziIoWFO8bEknKwJwGEvyD1ra4PcWJt5OiWFlM/BVv8ybJe4XW8qMpq33ecFrOaibNGiHA==">>,
    Hash = <<"pbkdf2_sha512$1000$", (base64:encode(<<"saltsalt">>))/binary, $$, Derived/binary>>,
    ?assert(hornbeam_password:is_hash(Hash)),
    ?assertEqual({true, false}, {hornbeam_password:verify(<<"secret">>, Hash), hornbeam_password:verify(<<"Secret">>, Hash)}),
    [?assertNot(hornbeam_password:is_hash(Text))
     || Text <- [<<>>, <<"secret">>, <<"pbkdf2_sha512$0$c2FsdHNhbHQ=$", Derived/binary>>, <<"pbkdf2_sha512$x$c2FsdHNhbHQ=$", Derived/binary>>,
                 <<"pbkdf2_sha512$1000$c2FsdHNhbHQ=$abc">>, <<"pbkdf2_sha1$1000$c2FsdHNhbHQ=$", Derived/binary>>, <<"pbkdf2_sha512$99999999999$c2FsdHNhbHQ=$", Derived/binary>>]].

sessions_test_() ->
    {setup, fun() -> {ok, Pid} = hornbeam_dashboard_sessions:start_link(?NAME, #{token => crypto:hash(sha256, <<"t">>)}), unlink(Pid), Pid end,
     fun(Pid) -> exit(Pid, kill) end,
     [{"a session is found until it is closed", fun found/0}, {"a hundred at most", fun most/0}, {"tries", fun tries/0}]}.

found() ->
    Id = hornbeam_dashboard_sessions:open(?NAME),
    {ok, #{csrf := Csrf}} = hornbeam_dashboard_sessions:find(?NAME, Id),
    ?assertMatch({ok, #{csrf := Csrf}}, hornbeam_dashboard_sessions:find(?NAME, Id)),
    ?assertNotEqual(Id, Csrf),
    ?assertEqual(none, hornbeam_dashboard_sessions:find(?NAME, none)),
    ?assertEqual(none, hornbeam_dashboard_sessions:find(?NAME, <<Id/binary, "x">>)),
    ok = hornbeam_dashboard_sessions:close(?NAME, Id),
    ?assertEqual(none, hornbeam_dashboard_sessions:find(?NAME, Id)),
    ?assertEqual({true, false}, {hornbeam_dashboard_sessions:bearer(?NAME, <<"t">>), hornbeam_dashboard_sessions:bearer(?NAME, <<"u">>)}).

most() ->
    Ids = [hornbeam_dashboard_sessions:open(?NAME) || _ <- lists:seq(1, 150)],
    ?assertEqual(100, length([Id || Id <- Ids, {ok, _} <- [hornbeam_dashboard_sessions:find(?NAME, Id)]])).

tries() ->
    Try = fun(Address) -> hornbeam_dashboard_sessions:may_try(?NAME, Address) end,
    ?assertMatch([{ok, _}, {ok, _}, {ok, _}, {ok, _}, {ok, _}], [Try({10, 0, 0, 1}) || _ <- lists:seq(1, 5)]),
    ?assertMatch([_ | _], [Wait || {wait, Wait} <- [Try({10, 0, 0, 1}) || _ <- lists:seq(1, 100)], Wait > 0]),
    %% Many addresses have a limit for all of them.
    ?assertMatch([_ | _], [Wait || {wait, Wait} <- [Try({10, 0, A, B}) || A <- lists:seq(1, 8), B <- lists:seq(1, 250)], Wait > 0]).

%% The bounds are 1, 2.5, 5, 10 ... ms.
percentile_test_() ->
    Buckets = fun(Counts) -> Counts ++ lists:duplicate(13 - length(Counts), lists:last(Counts)) end,
    [?_assertEqual(none, hornbeam_series:percentile(0.5, {0, Buckets([0])})),
     ?_assertEqual(0.5, hornbeam_series:percentile(0.5, {10, Buckets([10])})),
     ?_assertEqual(3.75, hornbeam_series:percentile(0.5, {10, Buckets([0, 0, 10])})),
     ?_assertEqual(5.0, hornbeam_series:percentile(0.5, {10, Buckets([0, 0, 5, 10])})),
     ?_assertEqual(10.0, hornbeam_series:percentile(1.0, {10, Buckets([0, 0, 5, 10])})),
     ?_assertEqual(10000.0, hornbeam_series:percentile(0.99, {10, Buckets([0])}))].
