%%% What is in a file of environment variables (.env).
-module(hornbeam_option_env_file_tests).

-include_lib("eunit/include/eunit.hrl").

values_test_() ->
    [{Text, ?_assertEqual({ok, Expected}, hornbeam_option_env_file:parse(unicode:characters_to_binary(Text)))} || {Text, Expected} <- [
        {"", []},
        {"\n  \n# A=1\n   # comment\n", []},
        {"A=1", [{<<"A">>, <<"1">>}]},
        {"\x{feff}A=1\r\nB=2\r\n", [{<<"A">>, <<"1">>}, {<<"B">>, <<"2">>}]},
        {"  A = a b  \nB=", [{<<"A">>, <<"a b">>}, {<<"B">>, <<>>}]},
        {"export A=1\nexport\tB.c-d_2=2", [{<<"A">>, <<"1">>}, {<<"B.c-d_2">>, <<"2">>}]},
        {"A=x=y#z # comment\nB=#comment\nC=1", [{<<"A">>, <<"x=y#z">>}, {<<"B">>, <<>>}, {<<"C">>, <<"1">>}]},
        {"A='it\\n is # \"$B\"' # comment", [{<<"A">>, <<"it\\n is # \"$B\"">>}]},
        {"A=\"a\\n\\t\\r\\\"\\\\\\$\\x # b\" ", [{<<"A">>, <<"a\n\t\r\"\\$\\x # b">>}]},
        {"A='1\n2\n'\nB=\"3\n\n4\"\nC=5", [{<<"A">>, <<"1\n2\n">>}, {<<"B">>, <<"3\n\n4">>}, {<<"C">>, <<"5">>}]},
        {"A=''\nB=\"\"", [{<<"A">>, <<>>}, {<<"B">>, <<>>}]},
        {"A=${HOME}", [{<<"A">>, <<"${HOME}">>}]},
        {"A=\x{e9}\x{4e2d}", [{<<"A">>, <<"\x{e9}\x{4e2d}"/utf8>>}]}]].

what_is_no_variable_is_an_error_with_its_line_test_() ->
    [{Text, ?_assertEqual({error, Line}, hornbeam_option_env_file:parse(list_to_binary(Text)))} || {Text, Line} <- [
        {"A", 1}, {"A=1\n\nhush", 3}, {"=1", 1}, {"1A=1", 1}, {"A B=1", 1}, {"A='1", 1}, {"A=1\nB=\"2\n\n", 2}, {"A='1' 2", 1},
        {"A='\n\n'\nbad", 4}, {[$A, $=, 255], 1}, {[$A, $=, 0], 1}]].

%% As an option: where the mistake is, and never what the line holds.
mistakes_are_found_at_the_start_test() ->
    File = a_file("A=1\nhush\n"),
    {error, {bad_option, env_file, Reason}} = hornbeam_options:validate(#{env_file => File}),
    ?assertEqual(iolist_to_binary(["has no NAME=VALUE in line 2 of: ", File]), Reason),
    ok = file:write_file(File, "A=1\n"),
    {ok, Options} = hornbeam_options:validate(#{env_file => File}),
    ?assertMatch(#{env_file := [_]}, Options),
    ?assertEqual({ok, Options}, hornbeam_options:validate(Options)),
    ok = file:delete(File),
    ?assertMatch({error, {bad_option, env_file, <<"names a file that does not exist", _/binary>>}},
                 hornbeam_options:validate(#{env_file => File})).

relative_paths_start_from_chdir_test() ->
    File = a_file("A=1\n"),
    Given = #{chdir => filename:dirname(File), env_file => [filename:basename(File)]},
    {ok, #{env_file := Files}} = hornbeam_options:validate(Given),
    ?assertEqual([list_to_binary(File)], Files).

a_file(Content) ->
    Unique = integer_to_list(erlang:unique_integer([positive])),
    File = filename:join([filename:basedir(user_cache, "hornbeam-tests"), os:getpid() ++ "-" ++ Unique ++ ".env"]),
    ok = filelib:ensure_dir(File),
    ok = file:write_file(File, Content),
    File.
