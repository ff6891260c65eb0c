%%% A configuration file's settings, and what is printed of the options: which keys and values are taken, what is said of the
%%% others, where a value comes from, and that what is printed can be read again. The file itself is read in Python
%%% (python_tests/cli/test_configuration.py).
-module(hornbeam_configuration_tests).

-include_lib("eunit/include/eunit.hrl").

-define(FILE_NAME, "hornbeam.toml").

file(Settings) -> hornbeam_options:from_file(Settings, ?FILE_NAME).

values_test_() ->
    [?_assertEqual({ok, Expected}, file(Settings)) || {Expected, Settings} <- [
        {#{}, []},
        {#{workers => 4, max_queue => 10, reload => true},
         [{<<"workers">>, 4}, {<<"max-queue">>, 10}, {<<"reload">>, true}]},
        {#{timeout => infinity, queue_timeout => infinity, max_worker_memory => auto},
         [{<<"timeout">>, <<"infinity">>}, {<<"queue-timeout">>, <<"infinity">>}, {<<"max_worker_memory">>, <<"auto">>}]},
        {#{app => <<"main">>, lifespan => on, name => web},
         [{<<"app">>, <<"main">>}, {<<"lifespan">>, <<"on">>}, {<<"name">>, <<"web">>}]},
        %% One is a list of one; a list's flag is a name for it.
        {#{pythonpath => [<<"src">>], websocket_origins => [<<"https://a">>, <<"https://b">>]},
         [{<<"pythonpath">>, <<"src">>}, {<<"websocket-origin">>, [<<"https://a">>, <<"https://b">>]}]},
        {#{env => #{<<"A">> => <<"x=y">>, <<"PORT">> => <<"5432">>}},
         [{<<"env">>, #{<<"A">> => <<"x=y">>, <<"PORT">> => 5432}}]},
        {#{env => #{<<"A">> => <<"1">>}}, [{<<"env">>, [<<"A=1">>]}]},
        {#{mounts => [{<<"/api">>, <<"api">>, #{worker_heartbeat => infinity, env => #{<<"A">> => <<"1">>}}},
                      {<<"/b">>, <<"b:app">>, #{workers => 2}}]},
         [{<<"mount">>, [#{<<"prefix">> => <<"/api">>, <<"app">> => <<"api">>, <<"worker-heartbeat">> => <<"infinity">>,
                           <<"env">> => #{<<"A">> => 1}},
                         <<"/b=b:app;workers=2">>]}]},
        {#{mounts => [{<<"api.example/v1">>, <<"api">>, #{}}, {<<"intranet">>, <<"b">>, #{user => <<"33">>}}]},
         [{<<"mounts">>, [#{<<"host">> => <<"API.example">>, <<"prefix">> => <<"v1/">>, <<"app">> => <<"api">>},
                          #{<<"host">> => <<"intranet">>, <<"app">> => <<"b">>, <<"user">> => 33}]}]},
        {#{sni => [{<<"a.example">>, <<"c">>, <<"k">>}]},
         [{<<"sni">>, [#{<<"host">> => <<"a.example">>, <<"certfile">> => <<"c">>, <<"keyfile">> => <<"k">>}]}]}]].

errors_test_() ->
    [?_assertEqual({error, {bad_option, Key, Text}}, file(Settings)) || {Key, Text, Settings} <- [
        {<<"wrokers">>, <<"there is no such option; did you mean workers? (hornbeam.toml)">>, [{<<"wrokers">>, 4}]},
        {<<"max-quue">>, <<"there is no such option; did you mean max-queue? (hornbeam.toml)">>, [{<<"max-quue">>, 4}]},
        {<<"server">>, <<"there is no such option (hornbeam.toml)">>, [{<<"server">>, #{<<"workers">> => 4}}]},
        {max_queue, <<"is given twice (hornbeam.toml)">>, [{<<"max_queue">>, 4}, {<<"max-queue">>, 4}]},
        {workers, <<"must be an integer from 1 to 1024, got \"4\" (hornbeam.toml)">>, [{<<"workers">>, <<"4">>}]},
        {workers, <<"must be an integer from 1 to 1024, got true (hornbeam.toml)">>, [{<<"workers">>, true}]},
        {reload, <<"must be true or false, got \"yes\" (hornbeam.toml)">>, [{<<"reload">>, <<"yes">>}]},
        {workers, <<"must be an integer from 1 to 1024, got 'an array' (hornbeam.toml)">>, [{<<"workers">>, [4]}]},
        {root_path, <<"must be text, got 'a table' (hornbeam.toml)">>, [{<<"root_path">>, #{<<"a">> => 1}}]},
        {pythonpath, <<"must be a directory, got 'an array' (hornbeam.toml)">>, [{<<"pythonpath">>, [[47]]}]},
        {bind, <<"must be \"HOST:PORT\", \"[IPV6]:PORT\", \":PORT\", \"unix:PATH\" or \"fd://N\", got \"8000\" "
                 "(hornbeam.toml)">>, [{<<"bind">>, [8000]}]},
        {lifespan, <<"must be auto, on or off, got true (hornbeam.toml)">>, [{<<"lifespan">>, true}]},
        {env, <<"must be a map of names to values, or a list of \"NAME=VALUE\" (hornbeam.toml)">>,
         [{<<"env">>, #{<<"A">> => [<<"hush">>]}}]},
        {mounts, <<"has a prefix that must be a path below \"/\", such as \"/api\", got \"\" (hornbeam.toml)">>,
         [{<<"mounts">>, [#{<<"app">> => <<"a:b">>}]}]},
        {mounts, <<"in the mount /a: workers must be an integer from 1 to 1024, got 0 (hornbeam.toml)">>,
         [{<<"mounts">>, [#{<<"prefix">> => <<"/a">>, <<"app">> => <<"a:b">>, <<"workers">> => 0}]}]}]].

an_unknown_option_of_a_mount_has_a_suggestion_test() ->
    {error, {bad_option, mounts, Text}} =
        file([{<<"mounts">>, [#{<<"prefix">> => <<"/a">>, <<"app">> => <<"a:b">>, <<"wrokers">> => 1}]}]),
    ?assertNotEqual(nomatch, string:find(Text, "\"wrokers\" is not an option of a mount; did you mean workers?")).

%% --- where a value comes from --------------------------------------------------------------------------------------

precedence_test_() ->
    {foreach, fun() -> application:get_all_env(hornbeam) end, fun restore/1, [fun each_source_wins_over_the_weaker/0]}.

each_source_wins_over_the_weaker() ->
    Resolved = fun(Explicit, Settings) ->
        {ok, #{workers := Workers}, Sources} = hornbeam_options:resolve(Explicit, {?FILE_NAME, Settings}, #{}),
        {Workers, unicode:characters_to_list(maps:get(workers, Sources, "default"))}
    end,
    ?assertEqual({1, "default"}, Resolved(#{}, #{})),
    ok = application:set_env(hornbeam, workers, 2),
    ?assertEqual({2, "sys.config"}, Resolved(#{}, #{})),
    ?assertEqual({3, "hornbeam.toml"}, Resolved(#{}, #{workers => 3})),
    true = os:putenv("HORNBEAM_WORKERS", "4"),
    ?assertEqual({4, "environment HORNBEAM_WORKERS"}, Resolved(#{}, #{workers => 3})),
    ?assertEqual({5, "flag --workers"}, Resolved(#{workers => 5}, #{workers => 3})).

restore(Env) ->
    true = os:unsetenv("HORNBEAM_WORKERS"),
    [ok = application:unset_env(hornbeam, Key) || {Key, _} <- application:get_all_env(hornbeam)],
    application:set_env([{hornbeam, Env}]).

%% --- what is printed -----------------------------------------------------------------------------------------------

report(Given, Which) ->
    {ok, Options} = hornbeam_options:validate(Given),
    Sources = maps:map(fun(_, _) -> "here" end, Given),
    string:lexemes(unicode:characters_to_list(hornbeam_options:report(Options, Sources, Which)), "\n").

every_option_has_a_line_in_the_order_of_the_documentation_test() ->
    Lines = report(#{}, all),
    Page = unicode:characters_to_list(hornbeam_options:markdown()),
    {match, Documented} = re:run(Page, "^\\| `([a-z0-9_]+)` \\| `--", [multiline, global, {capture, [1], list}, unicode]),
    ?assertEqual([Key || [Key] <- Documented], [hd(string:split(Line, " = ")) || Line <- Lines]),
    ?assertEqual([], [Line || Line <- Lines, string:find(Line, "  # default") =:= nomatch]).

only_what_is_set_test() ->
    ?assertEqual([], report(#{}, changed)),
    ?assertMatch(["workers = 1 " ++ _], report(#{workers => 1}, changed)).

what_follows_from_another_option_says_so_test() ->
    Lines = report(#{certfile => "/etc/hostname"}, changed),
    ?assertMatch([_], [Line || "ssl = true" ++ Rest = Line <- Lines, string:find(Rest, "# implied by certfile") =/= nomatch]).

shapes_test_() ->
    [?_assertEqual([Line], [string:trim(hd(string:split(L, "  # here"))) || L <- report(Given, changed)]) || {Line, Given} <- [
        {"timeout = \"infinity\"", #{timeout => infinity}},
        {"reload = true", #{reload => true}},
        {"access_log_file = \"a\\\\b\\\"c\\u0009\"", #{access_log_file => "a\\b\"c\t"}},
        {"bind = [\"[::1]:1\", \"unix:/x\", \"fd://3\"]", #{bind => ["[::1]:1", "unix:/x", "fd://3"]}},
        {"forwarded_allow_ips = [\"10.0.0.0/8\", \"127.0.0.1\", \"fe80::/10\", \"unix\", \"*\"]",
         #{forwarded_allow_ips => ["10.0.0.0/8", "127.0.0.1", "fe80::/10", "unix", "*"]}},
        {"rpc_allow = [\"lists:max\", \"all\"]", #{rpc_allow => [{lists, max}, all]}},
        {"ciphers = [\"ECDHE-RSA-AES256-GCM-SHA384\"]", #{ciphers => ["ECDHE-RSA-AES256-GCM-SHA384"]}},
        {"env = { A = \"***\", \"B C\" = \"***\" }", #{env => #{"B C" => "hush", "A" => "hush"}}},
        {"mounts = [{ prefix = \"/a\", app = \"a\", env = { K = \"***\" }, workers = 2 }]",
         #{mounts => [{"/a", "a", #{workers => 2, env => ["K=hush"]}}]}},
        {"mounts = [{ host = \"a.example\", prefix = \"/v1\", app = \"a\" }, { host = \"*.example\", app = \"b\", user = \"web\" }]",
         #{mounts => [{"a.example/v1", "a"}, {"*.example", "b", #{user => "web"}}]}}]].

%% Every default as it is printed, read as TOML would be, is the default.
what_is_printed_is_what_is_read_test_() ->
    {ok, Defaults} = hornbeam_options:validate(#{}),
    [{atom_to_list(Key), fun() ->
         {ok, #{type := Type}} = hornbeam_options:spec(Key),
         {ok, Given} = file([{atom_to_binary(Key), toml(hornbeam_option_types:format(Type, Value))}]),
         ?assertEqual({ok, Defaults}, hornbeam_options:validate(Given))
     end} || {Key, Value} <- maps:to_list(Defaults)].

toml({table, Pairs}) -> maps:from_list([{Key, toml(Value)} || {Key, Value} <- Pairs]);
toml(Values) when is_list(Values) -> [toml(Value) || Value <- Values];
toml(Value) -> Value.
