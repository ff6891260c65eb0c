%%% The option `affinity', its secrets, and what a request belongs to by its head. Requests: python_tests/http/test_affinity.py.
-module(hornbeam_affinity_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hornbeam.hrl").

resolved(Given) -> hornbeam_options:resolve(Given).

sources_test() ->
    Texts = ["cookie", "cookie:sessionid", "header:X-Session", "query:session_id", "path:2", "client", "off"],
    {ok, #{affinity := Sources}} = resolved(#{affinity => Texts}),
    ?assertEqual([cookie, {cookie, <<"sessionid">>}, {header, <<"x-session">>}, {query, <<"session_id">>}, {path, 2}, client, off], Sources),
    ?assertMatch({ok, #{affinity := Sources}}, resolved(#{affinity => Sources})),
    ?assertMatch({ok, #{affinity := [{header, <<"x">>}]}}, resolved(#{affinity => {header, "X"}})),
    ?assertMatch({ok, #{affinity := Sources}}, resolved(#{affinity => [hornbeam_option_affinity:format(Source) || Source <- Sources]})).

wrong_sources_test() ->
    [?assertMatch({error, {bad_option, affinity, <<"must be cookie, cookie:NAME, ", _/binary>>}}, resolved(#{affinity => [Wrong]}))
     || Wrong <- ["", "x", "cookie:", "cookie:a b", "header:", "header:a:b", "query:a=b", "path", "path:0", "path:101", "path:02", "client:1", 5,
                  {path, 0}, {query, 1}, {other, "a"}, [cookie]]],
    ?assertMatch({error, {bad_option, affinity_cookie, <<"must be the name of a cookie, got \"a;b\"">>}}, resolved(#{affinity_cookie => "a;b"})).

in_a_mount_test() ->
    {ok, Config} = resolved(#{affinity => cookie, mounts => ["/a=a:a", "/b=b:b;affinity=off", "/c=c:c;affinity=path:1;affinity=client"]}),
    Mounts = hornbeam_mounts:build(?MODULE, Config),
    ?assertMatch([{<<"/a">>, {[cookie], _}}, {<<"/b">>, none}, {<<"/c">>, {[{path, 1}, client], _}}],
                 lists:sort([{Prefix, Affinity} || #mount{prefix = Prefix, affinity = Affinity} <- Mounts])).

%% A random secret lasts as long as the server, whatever its mounts; a given one is everybody's.
secrets_test() ->
    Given = #{affinity => cookie, mounts => ["/a=a:a", "/b=b:b"]},
    {ok, Config} = resolved(Given),
    Secrets = fun(Of) -> [Secret || #mount{affinity = {_, Secret}} <- hornbeam_mounts:build(?MODULE, Of)] end,
    Mounts = hornbeam_mounts:build(?MODULE, Config),
    ?assertNotEqual([Secret || #mount{affinity = {_, Secret}} <- Mounts], Secrets(Config)),
    ok = hornbeam_mounts:publish(?MODULE, Mounts),
    try
        ?assertEqual([Secret || #mount{affinity = {_, Secret}} <- Mounts], Secrets(Config)),
        {ok, Same} = resolved(Given#{affinity_secret => "s"}),
        ?assertEqual([<<"s">>, <<"s">>], Secrets(Same))
    after hornbeam_mounts:forget(?MODULE)
    end.

a_secret_is_not_shown_test() ->
    {ok, Config} = resolved(#{affinity => cookie, affinity_secret => "hush-hush", mounts => ["/a=a:a"]}),
    [Mount] = hornbeam_mounts:build(?MODULE, Config),
    Shown = unicode:characters_to_binary(io_lib:format("~p ~p", [hornbeam_mounts:masked(Mount), hornbeam_options:mask(Config)])),
    ?assertEqual(nomatch, binary:match(Shown, <<"hush">>)).
