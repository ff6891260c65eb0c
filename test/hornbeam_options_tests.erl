%%% What a user sees of the options: which values are taken, what is said of the others, which source wins, and that
%%% help and reference page hold every option. The property is in prop_hornbeam_options.
-module(hornbeam_options_tests).

-include_lib("eunit/include/eunit.hrl").

%% --- validate ------------------------------------------------------------------------------------------------------

every_default_is_valid_test_() ->
    [{atom_to_list(Key), ?_assertMatch({ok, #{Key := _}}, hornbeam_options:validate(#{Key => Default}))}
     || {Key, Default} <- maps:to_list(hornbeam_options:defaults())].

%% The shapes that the rest of the project relies on.
defaults_are_filled_in_and_normalised_test() ->
    {ok, Options} = hornbeam_options:validate(#{}),
    ?assertEqual(lists:sort(hornbeam_options:keys()), lists:sort(maps:keys(Options))),
    {ok, Here} = file:get_cwd(),
    ?assertMatch(#{bind := [{tcp, {127, 0, 0, 1}, 8000, <<"127.0.0.1">>}], workers := 1, timeout := 60000,
                   root_path := <<>>, python := <<"python3">>, venv := <<>>, chdir := <<>>, env := #{},
                   mounts := [], name := default, max_body_size := 1073741824}, Options),
    ?assertEqual([list_to_binary(Here)], maps:get(pythonpath, Options)).

a_validated_map_validates_to_itself_test() ->
    {ok, Options} = hornbeam_options:validate(#{
        bind => ["[::1]:0", "unix:run.sock", "fd://3", ":0"], timeout => 0, pythonpath => ".", env => ["A=1"],
        mounts => [{"/api", "api:app", #{workers => 2, python => "/bin/sh"}}]}),
    ?assertEqual({ok, Options}, hornbeam_options:validate(Options)).

strings_property_lists_and_case_test() ->
    {ok, Options} = hornbeam_options:validate([{root_path, <<"/a/b">>}, {lifespan, "ON"}, {log_level, <<"debug">>},
                                               {name, "other"}, {name, ignored}]),
    ?assertMatch(#{root_path := <<"/a/b">>, lifespan := on, log_level := debug, name := other}, Options).

unknown_options_are_refused_by_name_test_() ->
    [?_assertEqual({error, {bad_option, wrokers, <<"there is no such option; did you mean workers?">>}},
                   hornbeam_options:validate(#{wrokers => 2})),
     ?_assertEqual({error, {bad_option, <<"bind">>, <<"there is no such option; did you mean bind?">>}},
                   hornbeam_options:validate(#{<<"bind">> => ":0"})),
     ?_assertEqual({error, {bad_option, {what, ever}, <<"there is no such option">>}},
                   hornbeam_options:validate(#{{what, ever} => 1})),
     ?_assertEqual({error, {bad_option, options, <<"must be a map or a property list">>}},
                   hornbeam_options:validate([1]))].

bad_values_are_explained_test_() ->
    [{lists:flatten(io_lib:format("~0p", [{Key, Value}])),
      ?_assertEqual({error, {bad_option, Key, Reason}}, hornbeam_options:validate(#{Key => Value}))}
     || {Key, Value, Reason} <- bad_values()].

bad_values() ->
    [{workers, 0, <<"must be an integer from 1 to 1024, got 0">>},
     {workers, "4", <<"must be an integer from 1 to 1024, got \"4\"">>},
     {timeout, -1, <<"must be an integer from 1 to 4294967295, or infinity (also 0) for no limit, got -1">>},
     {send_timeout, 0, <<"must be an integer from 1 to 4294967295, or infinity, got 0">>},
     {max_worker_memory, 1048575, <<"must be an integer from 1048576 to 281474976710655, or infinity, or auto, got 1048575">>},
     {max_headers, infinity, <<"must be an integer from 1 to 10000, got infinity">>},
     {lifespan, perhaps, <<"must be auto, on or off, got perhaps">>},
     {loop, "trio\n", <<"must be auto, uvloop or asyncio, got \"trio?\"">>},
     {root_path, 7, <<"must be text, got 7">>},
     {root_path, "api", <<"must begin with \"/\" and not end with it, got \"api\"">>},
     {root_path, "/api/", <<"must begin with \"/\" and not end with it, got \"/api/\"">>},
     {root_path, "/", <<"must begin with \"/\" and not end with it, got \"/\"">>},
     {name, "no name", <<"must be a name of at most 64 letters, digits and \"_\", \"-\", \".\", \"@\" that begins "
                         "with a letter, got \"no name\"">>},
     {pythonpath, ["", "."], <<"must be a directory, got []">>},
     {pythonpath, ["/nowhere"], <<"names a directory that does not exist: /nowhere">>},
     {chdir, "/nowhere", <<"names a directory that does not exist: /nowhere">>},
     {venv, "/tmp", <<"must be a virtual environment, with bin/python in it: /tmp">>},
     {python, "/nowhere/python", <<"names an interpreter that does not exist: /nowhere/python">>},
     {python, "", <<"must be the name or the path of a Python interpreter, got []">>},
     {bind, [], <<"must name at least one address">>},
     {http_version, [], <<"must not be empty">>},
     {http_version, "HTTP/3", <<"must be HTTP/1.1 or HTTP/2, got \"HTTP/3\"">>},
     {forwarded_allow_ips, "10.0.0.0/33",
      <<"must be an IP address, a network such as \"10.0.0.0/8\", \"unix\" or \"*\", got \"10.0.0.0/33\"">>},
     {unix_mode, "999", <<"must be permissions in octal, such as 660, got \"999\"">>},
     {certfile, "/nowhere", <<"names a file that does not exist: /nowhere">>},
     {sni, "a=b", <<"must be {Host, CertFile, KeyFile} or \"HOST=CERTFILE;KEYFILE\", got \"a=b\"">>},
     {ciphers, "ROT13", <<"must be the OpenSSL name of a cipher suite, such as \"ECDHE-RSA-AES256-GCM-SHA384\", "
                          "got \"ROT13\"">>},
     {mounts, 1, <<"must be {Prefix, App}, {Prefix, App, Options} or "
                   "\"PREFIX=APP[;OPTION=VALUE]...\"">>},
     {mounts, [{"/", "a:b"}], <<"has a prefix that must be a path below \"/\", such as \"/api\", got \"/\"">>},
     {mounts, [{"/a", "a:"}],
      <<"has an application that must be \"module:attribute\", such as \"app:app\", or \"module\", got \"a:\"">>},
     {mounts, [{"/a", "a:b"}, {"a/", "c:d"}], <<"has two applications at \"/a\"">>},
     {mounts, [{"/a", "a:b", #{workers => 0}}],
      <<"in the mount /a: workers must be an integer from 1 to 1024, got 0">>},
     {mounts, [{"/a", "a:b", #{venv => "/tmp"}}],
      <<"in the mount /a: venv must be a virtual environment, with bin/python in it: /tmp">>},
     {mounts, [{"/a", "a:b", [odd]}], <<"in the mount /a: its options must be a map or a property list">>}].

tls_needs_its_files_test_() ->
    [?_assertEqual({error, {bad_option, Key, Text}}, hornbeam_options:validate(Given))
     || {Key, Text, Given} <- [
            {certfile, <<"is needed when ssl is true">>, #{ssl => true}},
            {certfile, <<"is needed beside keyfile">>, #{keyfile => "/etc/hostname"}},
            {certfile, <<"is needed beside sni">>, #{sni => [{"a", "/etc/hostname", "/etc/hostname"}]}},
            {ssl, <<"is false, but there is a certfile">>, #{ssl => false, certfile => "/etc/hostname"}},
            {ssl, <<"is false, but there is a keyfile">>, #{ssl => false, keyfile => "/etc/hostname"}},
            {ssl, <<"is false, but there is a sni">>,
             #{ssl => false, sni => [{"a", "/etc/hostname", "/etc/hostname"}]}},
            {cacertfile, <<"is needed to verify clients">>, #{verify => optional}},
            {verify, <<"needs ssl">>, #{verify => require, cacertfile => "/etc/hostname"}}]].

%% A certificate turns TLS on, from whatever source it and `ssl' come; only an explicit `false' is contradicted.
certificates_turn_tls_on_test_() ->
    File = "/etc/hostname",
    Refused = {error, {bad_option, ssl, <<"is false, but there is a certfile">>}},
    [?_assertMatch({ok, #{ssl := true}}, hornbeam_options:validate(#{certfile => File})),
     ?_assertMatch({ok, #{ssl := true}}, hornbeam_options:validate([{certfile, list_to_binary(File)}, {keyfile, File}])),
     ?_assertMatch({ok, #{ssl := false}}, hornbeam_options:validate(#{certfile => "", keyfile => <<>>, sni => []})),
     ?_assertMatch({ok, #{ssl := false}}, hornbeam_options:validate(#{ssl => false})),
     ?_assertMatch({ok, #{ssl := true}}, flags(["--certfile", File])),
     ?_assertEqual(Refused, flags(["--certfile", File, "--no-ssl"])),
     ?_assertEqual(Refused, flags(["--certfile", File, "--ssl=false"])),
     fun() ->
         {ok, Options} = hornbeam_options:validate(#{certfile => File}),
         ?assertEqual({ok, Options}, hornbeam_options:validate(Options))
     end].

flags(Args) ->
    {ok, [], Given} = hornbeam_options:from_args(Args),
    hornbeam_options:resolve(Given).

certificates_of_other_sources_turn_tls_on_test_() ->
    File = "/etc/hostname",
    Refused = {error, {bad_option, ssl, <<"is false, but there is a certfile">>}},
    {setup, fun() -> ok end,
     fun(_) -> os:unsetenv("HORNBEAM_CERTFILE"), application:unset_env(hornbeam, ssl) end,
     [fun() ->
         true = os:putenv("HORNBEAM_CERTFILE", File),
         ?assertMatch({ok, #{ssl := true}}, hornbeam_options:resolve(#{})),
         ok = application:set_env(hornbeam, ssl, false),
         ?assertEqual(Refused, hornbeam_options:resolve(#{})),
         ?assertMatch({ok, #{ssl := true}}, hornbeam_options:resolve(#{ssl => true}))
      end]}.

auto_or_a_limit_test_() ->
    [?_assertMatch({ok, #{max_worker_memory := Expected}}, hornbeam_options:validate(Given))
     || {Given, Expected} <- [{#{}, auto}, {#{max_worker_memory => "auto"}, auto}, {#{max_worker_memory => infinity}, infinity},
                              {#{max_worker_memory => 1048576}, 1048576}]]
    ++ [?_assertMatch({ok, #{max_worker_memory := Expected}}, flags(["--max-worker-memory", Text]))
        || {Text, Expected} <- [{"auto", auto}, {"infinity", infinity}, {"1048576", 1048576}]].

venv_and_python_exclude_each_other_test() ->
    Venv = a_venv(),
    {error, {bad_option, venv, Reason}} = hornbeam_options:validate(#{venv => Venv, python => "/bin/sh"}),
    ?assertMatch({match, _}, re:run(Reason, "^cannot be given together with python")),
    ?assertMatch({ok, _}, hornbeam_options:validate(#{venv => Venv, python => "python3"})).

relative_paths_start_from_chdir_test() ->
    Venv = a_venv(),
    {ok, Options} = hornbeam_options:validate(#{chdir => filename:dirname(Venv), venv => filename:basename(Venv),
                                                pythonpath => [".", "/usr"]}),
    Chdir = list_to_binary(filename:dirname(Venv)),
    ?assertMatch(#{chdir := Chdir, pythonpath := [Chdir, <<"/usr">>]}, Options),
    ?assertEqual(list_to_binary(Venv), maps:get(venv, Options)).

%% A directory that looks like a virtual environment, in a fresh folder.
a_venv() ->
    Unique = integer_to_list(erlang:unique_integer([positive])),
    Venv = filename:join([filename:basedir(user_cache, "hornbeam-tests"), os:getpid() ++ "-" ++ Unique, "venv"]),
    ok = filelib:ensure_dir(filename:join([Venv, "bin", "python"])),
    ok = file:write_file(filename:join([Venv, "bin", "python"]), ""),
    Venv.

%% --- mounts --------------------------------------------------------------------------------------------------------

mounts_are_normalised_test() ->
    {ok, #{mounts := Mounts}} = hornbeam_options:validate(#{mounts => [
        {"api/", 'api:app'},
        {<<"/a/b">>, "x.y:z.w", [{workers, 2}, {env, #{"K" => "V"}}]},
        "/text=t:app; timeout=0 ;env=A=1;env=B=x=y"]}),
    ?assertEqual([{<<"/api">>, <<"api:app">>, #{}},
                  {<<"/a/b">>, <<"x.y:z.w">>, #{workers => 2, env => #{<<"K">> => <<"V">>}}},
                  {<<"/text">>, <<"t:app">>,
                   #{timeout => infinity, env => #{<<"A">> => <<"1">>, <<"B">> => <<"x=y">>}}}],
                 Mounts).

only_options_per_mount_may_be_overridden_test() ->
    {error, {bad_option, mounts, Reason}} = hornbeam_options:validate(#{mounts => [{"/a", "a:b", #{bind => ":1"}}]}),
    ?assertMatch({match, _},
                 re:run(Reason, "^in the mount /a: bind is not an option of a mount; these are: .*workers")).

a_mount_replaces_the_servers_interpreter_test() ->
    Server = #{venv => <<"/v">>, python => <<"python3">>, workers => 4},
    ?assertEqual(Server#{python := <<"/p">>, venv := <<>>},
                 hornbeam_options:for_mount(Server, #{python => <<"/p">>})),
    ?assertEqual(#{venv => <<"/v">>, python => <<"python3">>, workers => 1},
                 hornbeam_options:for_mount(#{venv => <<>>, python => <<"/p">>, workers => 4},
                                            #{venv => <<"/v">>, workers => 1})),
    ?assertEqual(Server, hornbeam_options:for_mount(Server, #{})).

%% --- bind, app -----------------------------------------------------------------------------------------------------

binds_are_parsed_test_() ->
    [?_assertEqual({ok, Bind}, hornbeam_options:parse_bind(Text)) || {Text, Bind} <- [
        {"127.0.0.1:8000", {tcp, {127, 0, 0, 1}, 8000, <<"127.0.0.1">>}},
        {<<"0.0.0.0:0">>, {tcp, {0, 0, 0, 0}, 0, <<"0.0.0.0">>}},
        {":8000", {tcp, {0, 0, 0, 0}, 8000, <<"0.0.0.0">>}},
        {"[::1]:65535", {tcp, {0, 0, 0, 0, 0, 0, 0, 1}, 65535, <<"::1">>}},
        {"localhost:80", {tcp, {127, 0, 0, 1}, 80, <<"localhost">>}},
        {"unix:/run/a b.sock", {unix, <<"/run/a b.sock">>}},
        {"unix:a.sock", {unix, filename:absname(<<"a.sock">>)}},
        {"fd://3", {fd, 3}}]].

binds_are_formatted_as_they_are_parsed_test_() ->
    [?_assertEqual({ok, Bind}, hornbeam_options:parse_bind(hornbeam_options:format_bind(Bind)))
     || Text <- ["127.0.0.1:8000", ":0", "[::1]:1", "localhost:2", "unix:/x", "fd://4"],
        {ok, Bind} <- [hornbeam_options:parse_bind(Text)]].

%% A resolver that does not answer may take its time to say that it knows no such host.
bad_binds_are_explained_test_() ->
    Forms = " must be \"HOST:PORT\", \"[IPV6]:PORT\", \":PORT\", \"unix:PATH\" or \"fd://N\", got ",
    [{lists:flatten(io_lib:format("~0p", [Given])),
      {timeout, 60, fun() ->
          {error, {bad_option, bind, Reason}} = hornbeam_options:parse_bind(Given),
          ?assertEqual(iolist_to_binary(string:trim(Expected, leading)), Reason)
      end}} || {Given, Expected} <- [
        {8000, [Forms, "8000"]},
        {"8000", [Forms, "\"8000\""]},
        {"", [Forms, "[]"]},
        {"unix:", [Forms, "\"unix:\""]},
        {"[::1]", [Forms, "\"[::1]\""]},
        {"fd://x", [Forms, "\"fd://x\""]},
        {"a b:80", [Forms, "\"a b:80\""]},
        {"fd://1", "must not be standard input, output or error (0, 1, 2), got \"fd://1\""},
        {"h:65536", "must end with a port from 0 to 65535, got \"h:65536\""},
        {"h:-1", "must end with a port from 0 to 65535, got \"h:-1\""},
        {"h:", "must end with a port from 0 to 65535, got \"h:\""},
        {"[::1]:x", "must end with a port from 0 to 65535, got \"[::1]:x\""},
        {"::1:80", "must have an IPv6 address in brackets, as in \"[::1]:8000\", got \"::1:80\""},
        {"[1.2.3.4]:80", "must have an IPv6 address in the brackets, got \"[1.2.3.4]:80\""},
        {"1.2.3.400:80", "names a host that is not known: 1.2.3.400"},
        {"unix:/" ++ lists:duplicate(107, $x),
         ["must have a path of at most 107 bytes, got \"/", lists:duplicate(107, $x), "\""]}]].

applications_are_checked_test_() ->
    [?_assertEqual({ok, <<"app:app">>}, hornbeam_options:check_app('app:app')),
     ?_assertEqual({ok, <<"a.b:c.d">>}, hornbeam_options:check_app("a.b:c.d")),
     ?_assertEqual({ok, <<"a.b">>}, hornbeam_options:check_app("a.b")),
     ?_assertEqual({error, {bad_option, app, <<"must be \"module:attribute\", such as \"app:app\", or \"module\", "
                                               "got \"src/app.py\"">>}},
                   hornbeam_options:check_app("src/app.py"))]
    ++ [?_assertMatch({error, {bad_option, app, _}}, hornbeam_options:check_app(Bad))
        || Bad <- ["", ":", "a:", ":b", "a:b:c", "a/b:c", "a b:c", "1a:b", "a..b:c", 7, "a:b\n"]].

%% --- secrets -------------------------------------------------------------------------------------------------------

secrets_are_masked_test() ->
    {ok, Options} = hornbeam_options:validate(#{env => ["TOKEN=hush"],
                                                mounts => [{"/a", "a:b", #{env => ["KEY=hush"], workers => 2}}]}),
    ?assertMatch(#{env := #{<<"TOKEN">> := <<"***">>},
                   mounts := [{<<"/a">>, <<"a:b">>, #{env := #{<<"KEY">> := <<"***">>}, workers := 2}}],
                   workers := 1}, hornbeam_options:mask(Options)).

secrets_are_not_quoted_in_errors_test_() ->
    [fun() ->
         {error, Reason} = hornbeam_options:validate(Given),
         Text = unicode:characters_to_list(hornbeam_options:format_error(Reason)),
         ?assertEqual(nomatch, string:find(Text, "hush"))
     end || Given <- [#{env => ["hush"]},
                      #{env => #{"A" => {hush}}},
                      #{mounts => [{"/a", "a:b", [{env, ["hush"]}]}]},
                      #{mounts => [{"/a", "a:b", [{env, ["A=hush"]}, odd]}]},
                      #{mounts => ["/a=a:b;env=hush"]},
                      #{mounts => ["/a;env=A=hush"]}]].

%% --- sources -------------------------------------------------------------------------------------------------------

every_default_can_be_an_environment_variable_test_() ->
    {ok, Defaults} = hornbeam_options:validate(#{}),
    [{atom_to_list(Key), fun() ->
         Getenv = fun(Name) -> case Name of Variable -> Text; _ -> false end end,
         {ok, Given} = hornbeam_options:from_env(Getenv),
         ?assertMatch(#{Key := _}, Given),
         ?assertEqual({ok, Defaults}, hornbeam_options:validate(Given))
     end} || {Key, Text} <- texts(), Variable <- ["HORNBEAM_" ++ string:uppercase(atom_to_list(Key))]].

every_default_can_be_a_flag_test_() ->
    {ok, Defaults} = hornbeam_options:validate(#{}),
    [{atom_to_list(Key), fun() ->
         Name = lists:flatten(string:replace(atom_to_list(Key), "_", "-", all)),
         [begin
              {ok, ["app:app"], Given} = hornbeam_options:from_args(Args ++ ["app:app"]),
              ?assertMatch(#{Key := _}, Given),
              ?assertEqual({ok, Defaults}, hornbeam_options:validate(Given))
          end || Args <- flags(hornbeam_options:spec(Key), Name, Text)]
     end} || {Key, Text} <- texts(), not is_list_of_atoms(Key)].

%% A boolean's flag says its value by its name.
flags({ok, #{type := boolean}}, Name, "true") -> [["--" ++ Name]];
flags({ok, #{type := boolean}}, Name, "false") -> [["--no-" ++ Name]];
flags({ok, #{type := {auto, boolean}}}, Name, "auto") -> [["--" ++ Name ++ "=auto"]];
flags({ok, _}, Name, Text) -> [["--" ++ Name, Text], ["--" ++ Name ++ "=" ++ Text]].

%% A list's flag is repeated.
is_list_of_atoms(Key) ->
    {ok, #{default := Default}} = hornbeam_options:spec(Key),
    is_list(Default) andalso is_atom(hd(Default)).

lists_and_booleans_as_flags_test() ->
    {ok, ["app:app"], Given} = hornbeam_options:from_args(
        ["--http-version", "http/2", "--versions=tlsv1.2", "--versions", "TLSV1.3", "--no-compress", "--ssl", "app:app"]),
    ?assertEqual(#{http_version => ['HTTP/2'], versions => ['tlsv1.2', 'tlsv1.3'], compress => false, ssl => true},
                 Given).

%% The defaults as text; those that are nothing have none.
texts() ->
    [{Key, text(Default)} || {Key, Default} <- maps:to_list(hornbeam_options:defaults()), Default =/= []].

text(["."]) -> ".";
text([First | _] = Atoms) when is_atom(First) -> lists:flatten(lists:join(",", [atom_to_list(A) || A <- Atoms]));
text(Text) when is_list(Text) -> Text;
text(Term) -> lists:flatten(io_lib:format("~tp", [Term])).

environment_variables_test() ->
    Set = #{"HORNBEAM_WORKERS" => "4", "HORNBEAM_BIND" => "127.0.0.1:1, [::1]:2", "HORNBEAM_PYTHONPATH" => "/usr:/tmp",
            "HORNBEAM_ENV" => "A=1,B=2", "HORNBEAM_TIMEOUT" => "infinity", "HORNBEAM_VENV" => "", "HORNBEAM_X" => "y"},
    ?assertEqual({ok, #{workers => 4, pythonpath => [<<"/usr">>, <<"/tmp">>], timeout => infinity,
                        bind => [{tcp, {127, 0, 0, 1}, 1, <<"127.0.0.1">>},
                                 {tcp, {0, 0, 0, 0, 0, 0, 0, 1}, 2, <<"::1">>}],
                        env => #{<<"A">> => <<"1">>, <<"B">> => <<"2">>}}},
                 hornbeam_options:from_env(fun(Name) -> maps:get(Name, Set, false) end)).

bad_environment_variables_are_named_test() ->
    ?assertEqual({error, {bad_option, workers, <<"must be an integer from 1 to 1024, got \"four\" "
                                                 "(environment variable HORNBEAM_WORKERS)">>}},
                 hornbeam_options:from_env(fun(Name) -> Name =:= "HORNBEAM_WORKERS" andalso "four" end)).

flags_test() ->
    ?assertEqual({ok, ["app:app", "--workers"],
                  #{workers => 2, pythonpath => [<<"a">>, <<"b">>], root_path => <<"/x=y">>,
                    mounts => [{<<"/m">>, <<"m:app">>, #{workers => 3}}, {<<"/n">>, <<"n:app">>, #{}}]}},
                 hornbeam_options:from_args(["--pythonpath", "a", "app:app", "--workers=1", "--pythonpath=b",
                                             "--root-path=/x=y", "--mount", "/m=m:app;workers=3", "--mount=/n=n:app",
                                             "--workers", "2", "--", "--workers"])).

wrong_command_lines_are_usage_errors_test_() ->
    [?_assertEqual({error, {usage, Text}}, hornbeam_options:from_args(Args)) || {Args, Text} <- [
        {["--wrokers", "2"], <<"unknown flag --wrokers; did you mean --workers?">>},
        {["--xyzzy=2"], <<"unknown flag --xyzzy">>},
        {["-x", "2"], <<"unknown flag -x">>},
        {["--workers"], <<"the flag --workers needs a value">>},
        {["--workers", "--bind"], <<"the flag --workers needs a value">>}]].

bad_flags_are_named_test() ->
    ?assertEqual({error, {bad_option, workers, <<"must be an integer from 1 to 1024, got -1 (flag --workers)">>}},
                 hornbeam_options:from_args(["--workers", "-1"])).

%% A boolean option works as it is declared.
boolean_options_test_() ->
    Specs = [#{key => be_quiet, type => boolean, default => false, scope => server, group => limits, doc => "Hush."}],
    Args = fun(Args) -> hornbeam_option_sources:args(Args, Specs) end,
    Help = unicode:characters_to_list(hornbeam_option_docs:help_text(Specs)),
    [?_assertEqual({ok, ["x"], #{be_quiet => true}}, Args(["--be-quiet", "x"])),
     ?_assertEqual({ok, [], #{be_quiet => false}}, Args(["--no-be-quiet"])),
     ?_assertEqual({ok, [], #{be_quiet => false}}, Args(["--be-quiet=off"])),
     ?_assertEqual({ok, [], #{be_quiet => false}}, Args(["--be-quiet", "--no-be-quiet"])),
     ?_assertEqual({error, {usage, <<"the flag --no-be-quiet takes no value">>}}, Args(["--no-be-quiet=1"])),
     ?_assertEqual({error, {bad_option, be_quiet, <<"must be true or false, got \"2\" (flag --be-quiet)">>}},
                   Args(["--be-quiet=2"])),
     ?_assertEqual({ok, #{be_quiet => true}}, hornbeam_option_sources:env(fun(_) -> "Yes" end, Specs)),
     ?_assertNotEqual(nomatch, string:find(Help, "--be-quiet, --no-be-quiet"))].

sys_config_test_() ->
    {foreach, fun() -> application:get_all_env(hornbeam) end, fun restore_app_env/1, [
        fun() ->
            ok = application:set_env(hornbeam, workers, 3),
            ?assertEqual({ok, #{workers => 3}}, hornbeam_options:from_app_env())
        end,
        fun() ->
            ok = application:set_env(hornbeam, workers, none),
            ?assertEqual({error, {bad_option, workers, <<"must be an integer from 1 to 1024, got none (sys.config)">>}},
                         hornbeam_options:from_app_env())
        end,
        fun() ->
            ok = application:set_env(hornbeam, worker, 3),
            ?assertEqual({error, {bad_option, worker, <<"there is no such option; did you mean workers? "
                                                        "(sys.config)">>}}, hornbeam_options:from_app_env())
        end,
        fun what_is_explicit_wins/0]}.

what_is_explicit_wins() ->
    Resolved = fun(Explicit) -> {ok, #{workers := Workers}} = hornbeam_options:resolve(Explicit), Workers end,
    ?assertEqual(1, Resolved(#{})),
    ok = application:set_env(hornbeam, workers, 2),
    ?assertEqual(2, Resolved(#{})),
    true = os:putenv("HORNBEAM_WORKERS", "3"),
    ?assertEqual(3, Resolved([])),
    ?assertEqual(4, Resolved(#{workers => 4})).

restore_app_env(Env) ->
    true = os:unsetenv("HORNBEAM_WORKERS"),
    [ok = application:unset_env(hornbeam, Key) || {Key, _} <- application:get_all_env(hornbeam)],
    application:set_env([{hornbeam, Env}]).

%% --- documentation -------------------------------------------------------------------------------------------------

help_and_page_hold_every_option_test_() ->
    Help = unicode:characters_to_list(hornbeam_options:help_text()),
    Page = unicode:characters_to_list(hornbeam_options:markdown()),
    [{atom_to_list(Key), fun() ->
         {ok, Spec} = hornbeam_options:spec(Key),
         Shown = "^  --" ++ hornbeam_option_sources:flag(Spec) ++ "[ ,]",
         ?assertMatch({match, _}, re:run(Help, Shown, [multiline, unicode])),
         ?assertNotEqual(nomatch, string:find(Page, "\n| `" ++ atom_to_list(Key) ++ "` | "))
     end} || Key <- hornbeam_options:keys()].

help_fits_a_terminal_test_() ->
    Lines = string:split(unicode:characters_to_list(hornbeam_options:help_text()), "\n", all),
    [?_assert(string:length(Line) =< 80) || Line <- Lines].

the_reference_page_is_up_to_date_test() ->
    Page = project:read("docs/options.md"),
    ?assert(Page =:= hornbeam_options:markdown(), "docs/options.md is out of date: run make docs").

the_keyword_arguments_are_up_to_date_test() ->
    Module = project:read("priv/python/hornbeam/options.py"),
    ?assert(Module =:= hornbeam_options:python(), "priv/python/hornbeam/options.py is out of date: run make docs").

debug_takes_the_limits_off_test() ->
    Given = #{debug => true, timeout => 5, worker_heartbeat => 5, mounts => [{"/a", "a:a", #{timeout => 7}}]},
    {ok, #{mounts := [{_, _, Overrides}]} = Options} = hornbeam_options:validate(Given),
    Limits = #{timeout => infinity, queue_timeout => infinity, startup_timeout => infinity, worker_heartbeat => infinity},
    ?assertEqual(Limits, maps:with(maps:keys(Limits), Options)),
    ?assertMatch(#{timeout := infinity}, hornbeam_options:for_mount(Options, Overrides)),
    ?assertEqual({ok, Options}, hornbeam_options:validate(Options)).

the_defaults_of_a_command_are_the_weakest_test() ->
    ok = application:set_env(hornbeam, access_log, json),
    try
        {ok, Options, _} = hornbeam_options:resolve(#{workers => 2}, {"", #{}}, #{workers => 3, access_log => combined, reload => true}),
        ?assertMatch(#{workers := 2, access_log := json, reload := true}, Options)
    after
        application:unset_env(hornbeam, access_log)
    end.
