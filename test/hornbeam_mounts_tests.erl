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
        case hornbeam_mounts:find(Name, Path) of
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

a_mount_has_its_own_settings_test() ->
    Mounts = hornbeam_mounts:build(n, config(<<"root:app">>, [{"/api", "api:app", #{workers => 3}}], "")),
    ?assertEqual([3, 1], [maps:get(workers, hornbeam_mounts:settings(Mount)) || Mount <- Mounts]).

what_is_forgotten_is_not_found_test() ->
    ?assertEqual(error, hornbeam_mounts:find(never_started, <<"/">>)),
    ?assertEqual([], hornbeam_mounts:all(never_started)).
