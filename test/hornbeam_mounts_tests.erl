%%% hornbeam_mounts: which application a path belongs to.
-module(hornbeam_mounts_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hornbeam.hrl").

config(App, Mounts, Root) ->
    {ok, Config} = hornbeam_options:resolve(#{mounts => Mounts, root_path => Root}),
    Config#{app => App}.

published(App, Mounts, Root, Test) ->
    Name = ?MODULE,
    ok = hornbeam_mounts:publish(Name, hornbeam_mounts:build(Name, config(App, Mounts, Root))),
    try Test(fun(Path) ->
        case hornbeam_mounts:find(Name, undefined, Path) of
            {ok, #mount{app = Found}} -> Found;
            error -> none
        end
    end)
    after hornbeam_mounts:forget(Name)
    end.

the_longest_prefix_wins_test() ->
    published(<<"root:app">>, [{"/api", "api:app"}, {"/api/v2", "v2:app"}, {"/x", "x:app"}], "", fun(Find) ->
        Expected = [{<<"/">>, <<"root:app">>}, {<<"/api">>, <<"api:app">>}, {<<"/api/">>, <<"api:app">>},
                    {<<"/api/v1">>, <<"api:app">>}, {<<"/api/v2">>, <<"v2:app">>}, {<<"/api/v2/y">>, <<"v2:app">>},
                    {<<"/api/v22">>, <<"api:app">>}, {<<"/apiary">>, <<"root:app">>}, {<<"/x">>, <<"x:app">>},
                    {<<"*">>, <<"root:app">>}],
        ?assertEqual(Expected, [{Path, Find(Path)} || {Path, _} <- Expected])
    end).

without_a_root_application_test() ->
    published(<<>>, [{"/api", "api:app"}], "", fun(Find) ->
        ?assertEqual([<<"api:app">>, none, none], [Find(P) || P <- [<<"/api/x">>, <<"/">>, <<"/apix">>]])
    end).

root_paths_test() ->
    Mounts = hornbeam_mounts:build(n, config(<<"root:app">>, [{"/api", "api:app"}], "/at")),
    ?assertEqual([{<<"/at/api">>, <<"/at">>}, {<<"/at">>, <<"/at">>}],
                 [{Root, Prefix} || #mount{root_path = Root, path_prefix = Prefix} <- Mounts]).

%% Each place is asked for by each way of writing its host.
hosts_test() ->
    Mounts = [{"/api", "any_api:app"}, {"api.example.org", "api:app"}, {"api.example.org/v1", "v1:app"}, {"*.Example.ORG/v1", "tenant:app"},
              {"*.example.org", "tenants:app"}, {{"intranet", ""}, "intranet:app"}, {"[::1]/x", "six:app"}],
    ok = hornbeam_mounts:publish(?MODULE, hornbeam_mounts:build(?MODULE, config(<<"root:app">>, Mounts, ""))),
    Expected = [{undefined, <<"/">>, <<"root:app">>}, {<<"other.org">>, <<"/api/x">>, <<"any_api:app">>},
                {<<"api.example.org">>, <<"/">>, <<"api:app">>}, {<<"API.example.ORG.:8443">>, <<"/v1/x">>, <<"v1:app">>},
                {<<"api.example.org:80">>, <<"/v12">>, <<"api:app">>}, {<<"api.example.org">>, <<"/api">>, <<"api:app">>},
                {<<"a.example.org">>, <<"/v1">>, <<"tenant:app">>}, {<<"A.example.org:1">>, <<"/">>, <<"tenants:app">>},
                {<<"a.b.example.org">>, <<"/">>, <<"root:app">>}, {<<"example.org">>, <<"/">>, <<"root:app">>},
                {<<".example.org">>, <<"/">>, <<"root:app">>}, {<<"intranet:8000">>, <<"/">>, <<"intranet:app">>},
                {<<"[::1]:8000">>, <<"/x">>, <<"six:app">>}, {<<"[::1]">>, <<"/">>, <<"root:app">>}, {<<>>, <<"/">>, <<"root:app">>},
                {<<"api.example.org">>, <<"*">>, <<"api:app">>}],
    Found = [begin {ok, #mount{app = App}} = hornbeam_mounts:find(?MODULE, Host, Path), {Host, Path, App} end || {Host, Path, _} <- Expected],
    ok = hornbeam_mounts:forget(?MODULE),
    ?assertEqual(Expected, Found).

%% A host with nothing for a path leaves it to the wildcard, and that to the mounts of any host.
a_host_without_a_mount_for_the_path_test() ->
    Mounts = [{"api.example.org/v1", "v1:app"}, {"*.example.org/v2", "v2:app"}, {"/v3", "v3:app"}],
    ok = hornbeam_mounts:publish(?MODULE, hornbeam_mounts:build(?MODULE, config(<<>>, Mounts, ""))),
    Found = [hornbeam_mounts:find(?MODULE, <<"api.example.org">>, Path) || Path <- [<<"/v1">>, <<"/v2/x">>, <<"/v3">>, <<"/">>]],
    ok = hornbeam_mounts:forget(?MODULE),
    ?assertMatch([{ok, #mount{app = <<"v1:app">>}}, {ok, #mount{app = <<"v2:app">>}}, {ok, #mount{app = <<"v3:app">>}}, error], Found).

places_test() ->
    Expected = [{"/api/", <<"/api">>}, {"api", <<"/api">>}, {"v/1.2", <<"/v/1.2">>}, {"Api.Example.org./v1/", <<"api.example.org/v1">>},
                {"*.example.org", <<"*.example.org">>}, {"localhost", <<"localhost">>}, {"intranet.", <<"intranet">>},
                {{"intranet", "v1"}, <<"intranet/v1">>}, {{"", "/v1"}, <<"/v1">>}, {"[::1]/x", <<"[::1]/x">>},
                {"xn--bcher-kva.example", <<"xn--bcher-kva.example">>}],
    ?assertEqual(Expected, [{Given, element(2, hornbeam_option_place:parse(Given))} || {Given, _} <- Expected]),
    ?assertEqual([], [Given || Given <- ["", "/", "a.b:80", "a.*.org", "*", "*.", "b\x{fc}cher.example", "a..b", "a.b/x y", {"", ""}, {1, 2}, "a b.org"],
                               element(1, hornbeam_option_place:parse(Given)) =:= ok]),
    ?assertEqual([{<<"a.org">>, <<"/v1/x">>}, {<<"a.org">>, <<>>}, {any, <<"/v1">>}, {any, <<>>}],
                 [hornbeam_option_place:split(Place) || Place <- [<<"a.org/v1/x">>, <<"a.org">>, <<"/v1">>, <<>>]]).

%% What is hidden has a pool and no requests; what requests find has both.
hidden_test() ->
    [Api, Root] = Mounts = hornbeam_mounts:build(?MODULE, config(<<"root:app">>, [{"/api", "api:app"}], "")),
    ok = hornbeam_mounts:publish(?MODULE, [Root]),
    ok = hornbeam_mounts:hide(?MODULE, [Api]),
    Seen = {hornbeam_mounts:find(?MODULE, undefined, <<"/api">>), hornbeam_mounts:of_pool(Api#mount.pool), hornbeam_mounts:is_served(Api#mount.pool),
            lists:sort(hornbeam_mounts:pools(?MODULE)), hornbeam_mounts:all(?MODULE), hornbeam_mounts:hidden(?MODULE)},
    ok = hornbeam_mounts:forget(?MODULE),
    ?assertEqual({{ok, Root}, Api, false, lists:sort([Pool || #mount{pool = Pool} <- Mounts]), [Root], [Api]}, Seen).

a_mount_has_its_own_settings_test() ->
    Mounts = hornbeam_mounts:build(n, config(<<"root:app">>, [{"/api", "api:app", #{workers => 3}}], "")),
    ?assertEqual([3, 1], [maps:get(workers, hornbeam_mounts:settings(Mount)) || Mount <- Mounts]).

what_is_forgotten_is_not_found_test() ->
    ?assertEqual(error, hornbeam_mounts:find(never_started, undefined, <<"/">>)),
    ?assertEqual([], hornbeam_mounts:all(never_started)).
