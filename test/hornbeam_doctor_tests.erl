%%% `hornbeam doctor', check by check, each with the fault made. (The command: python_tests/ops/test_doctor.py.)
-module(hornbeam_doctor_tests).

-include_lib("eunit/include/eunit.hrl").

kind({Kind, _, _}) -> Kind.

said(Findings) -> [{Kind, unicode:characters_to_list(What)} || {Kind, What, _} <- Findings].

files_test() ->
    {ok, Config0} = hornbeam_options:resolve(#{app => "a:b", workers => 2}),
    Config = Config0#{max_connections => 1000},
    ?assertEqual([ok, warning, wrong], [kind(hornbeam_doctor_machine:files(Limit, Config)) || Limit <- [4096, 900, 64]]).

system_test() ->
    ?assertEqual([], hornbeam_doctor_machine:system({unix, linux})),
    [{warning, What, ToDo}] = hornbeam_doctor_machine:system({unix, freebsd}),
    ?assertEqual("system: freebsd, where Hornbeam is not tested", lists:flatten(What)),
    ?assertMatch({match, _}, re:run(ToDo, "no /proc")),
    ?assertEqual(unknown, hornbeam_terminal:raw({unix, darwin})).

dashboard_test_() ->
    {setup, fun folder/0, fun file:del_dir_r/1,
     fun(Folder) ->
         Hash = hornbeam_password:hash(<<"secret">>),
         Config = #{dashboard_bind => [{tcp, {127, 0, 0, 1}, 0, <<"127.0.0.1">>}], dashboard_password_file => <<>>, dashboard_token_file => <<>>, dashboard_certfile => <<>>},
         Plain = fun(Text, Path) -> unicode:characters_to_list(string:replace(unicode:characters_to_list(Text), Path, "FILE")) end,
         Found = fun(Given, Path) ->
             [{Kind, What, ToDo}] = hornbeam_doctor_dashboard:examine(Given),
             {Kind, Plain(What, Path), Plain(ToDo, Path)}
         end,
         Of = fun(Option, Name, Text, Mode) ->
             Path = filename:join(Folder, Name),
             ok = file:write_file(Path, Text),
             ok = file:change_mode(Path, Mode),
             Found(Config#{Option := list_to_binary(Path)}, Path)
         end,
         [?_assertEqual({ok, "dashboard: FILE has its password", ""}, Of(dashboard_password_file, "good", [Hash, "\n"], 8#600)),
          ?_assertEqual({ok, "dashboard: FILE has its token", ""}, Of(dashboard_token_file, "token", "01234567890123456789", 8#640)),
          ?_assertEqual({wrong, "dashboard: FILE: others may read or write it; chmod 600", "The start fails. chmod 600 FILE"},
                        Of(dashboard_password_file, "open", Hash, 8#644)),
          ?_assertMatch({wrong, "dashboard: FILE: it is empty", "The start fails. It is not the password itself: (umask 077; hornbeam password > FILE)"},
                        Of(dashboard_password_file, "empty", "\n", 8#600)),
          ?_assertMatch({wrong, "dashboard: FILE: it does not hold what hornbeam password prints", _}, Of(dashboard_password_file, "plain", "secret", 8#600)),
          ?_assertMatch({wrong, "dashboard: FILE: a token has 20 characters or more", "The start fails. Make one: " ++ _},
                        Of(dashboard_token_file, "short", "0123", 8#600)),
          ?_assertMatch({wrong, "dashboard: FILE: no such file or directory", "The start fails. Make one: " ++ _},
                        Found(Config#{dashboard_token_file := <<"/no/such/file">>}, "/no/such/file")),
          ?_assertMatch({wrong, "dashboard: FILE: illegal operation on a directory", "The start fails. Take another file."},
                        Found(Config#{dashboard_token_file := list_to_binary(Folder)}, Folder)),
          ?_assertMatch([{warning, ["dashboard: it speaks HTTP on ", _], _}],
                        hornbeam_doctor_dashboard:examine(Config#{dashboard_bind := [{tcp, {0, 0, 0, 0}, 9090, <<"0.0.0.0">>}]})),
          ?_assertEqual([], hornbeam_doctor_dashboard:examine(Config#{dashboard_bind := [], dashboard_token_file := <<"/no/such/file">>}))]
     end}.

memory_test() ->
    ?assertMatch([{ok, _, _}], hornbeam_doctor_machine:memory([{500, 1000}])),
    ?assertMatch([{warning, _, _}], hornbeam_doctor_machine:memory([{500, 1000}, {99, 1000}])),
    ?assertEqual([], hornbeam_doctor_machine:memory([])).

clock_test() ->
    ?assertEqual([ok, warning, ok], [kind(hornbeam_doctor_machine:clock(Said)) || Said <- ["yes", "no", ""]]).

%% An interpreter is what says so.
python_test_() ->
    {setup, fun folder/0, fun file:del_dir_r/1,
     fun(Folder) ->
         Of = fun(Name, Says, Loop) ->
             Path = filename:join(Folder, Name),
             ok = file:write_file(Path, ["#!/bin/sh\n", Says, "\n"]),
             ok = file:change_mode(Path, 8#755),
             hornbeam_doctor_python:examine(#{app => <<"a:b">>, mounts => [], venv => <<>>, python => list_to_binary(Path), loop => Loop})
         end,
         [?_assertMatch([{ok, _, _}], Of("good", "echo 3.12.1 1.0.7 0.21.0", uvloop)),
          ?_assertMatch([{ok, _, _}], Of("slow", "echo 3.12.1 1.0.7 -", auto)),
          ?_assertMatch([{wrong, _, "Hornbeam needs" ++ _}], Of("old", "echo 3.9.18 1.0.7 -", auto)),
          ?_assertMatch([{wrong, _, ["msgpack is missing" ++ _ | _]}], Of("without", "echo 3.12.1 - -", auto)),
          ?_assertMatch([{wrong, _, ["loop is uvloop" ++ _ | _]}], Of("loop", "echo 3.12.1 1.0.7 -", uvloop)),
          ?_assertMatch([{wrong, ["Python: ", _, " does not run"], _}], Of("broken", "exit 3", auto)),
          ?_assertMatch([{wrong, _, _}], hornbeam_doctor_python:examine(#{app => <<"a:b">>, mounts => [], venv => <<>>, python => <<"/no/python">>, loop => auto}))]
     end}.

folder() ->
    Folder = filename:join("/tmp", "hornbeam-doctor-" ++ os:getpid() ++ "-" ++ integer_to_list(erlang:unique_integer([positive]))),
    ok = file:make_dir(Folder),
    Folder.

%% This VM has the port.
ports_test() ->
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    Text = integer_to_list(Port),
    Taken = #{bind => [{tcp, {127, 0, 0, 1}, Port, <<"127.0.0.1">>}], metrics_bind => [], cluster => <<>>},
    [{wrong, What}] = said(hornbeam_doctor_ports:examine(Taken, not_running)),
    ?assertMatch({match, _}, re:run(What, "^address: 127\\.0\\.0\\.1:" ++ Text ++ " is used by .*\\(pid " ++ os:getpid() ++ "\\)$")),
    ?assertEqual([{wrong, What}], said(hornbeam_doctor_ports:examine(Taken#{bind := [], dashboard_bind => maps:get(bind, Taken)}, not_running))),
    ?assertEqual([], hornbeam_doctor_ports:examine(Taken, running)),
    ok = gen_tcp:close(Socket),
    ?assertEqual([{ok, "address: 127.0.0.1:" ++ Text ++ " is free"}], said(hornbeam_doctor_ports:examine(Taken, not_running))),
    Other = #{bind => [{tcp, {192, 0, 2, 1}, 80, <<"192.0.2.1">>}, {unix, <<"/dev/null">>}, {fd, 3}], metrics_bind => [], cluster => <<>>},
    ?assertMatch([{wrong, "address: 192.0.2.1:80 is none of this machine's"}, _], said(hornbeam_doctor_ports:examine(Other, not_running))),
    Clustered = #{bind => [], metrics_bind => [], cluster => {static, []}, cluster_port => Port, cluster_address => <<"127.0.0.1">>},
    ?assertEqual([{ok, "address: 127.0.0.1:" ++ Text ++ " is free"}], said(hornbeam_doctor_ports:examine(Clustered, not_running))).

cluster_test() ->
    Report = #{nodes => [], quorum => true, problem => none, members => [node()]},
    Up = #{node => b@b, state => up},
    ?assertEqual([], hornbeam_doctor_cluster:judged(Report)),
    ?assertMatch([{ok, _, _}], hornbeam_doctor_cluster:judged(Report#{nodes := [Up]})),
    [?assertMatch([{wrong, _, _}], hornbeam_doctor_cluster:judged(Broken))
     || Broken <- [Report#{nodes := [Up#{state := down}]}, Report#{nodes := [Up#{state := refused, reason => cookie}]}, Report#{quorum := false},
                   Report#{problem := "the folder is not there"}]],
    ?assertEqual([], hornbeam_doctor_cluster:examine(#{cluster => <<>>}, running)).

clocks_test() ->
    ?assertEqual([ok, ok, wrong, wrong, warning],
                 [kind(hornbeam_doctor_cluster:clock(b@b, Said, 1000))
                  || Said <- [{ok, 900, 0}, {ok, -1400, 500}, {ok, 1100, 50}, {ok, -90000, 5}, error]]).

options_test() ->
    Given = #{app => "a:b", python => "python3"},
    Found = fun(More) ->
        {ok, Config} = hornbeam_options:resolve(maps:merge(Given, More)),
        [{Kind, lists:flatten(What)} || {Kind, What} <- said(hornbeam_doctor_options:examine(Config))]
    end,
    ?assertEqual([{ok, "options: fit together"}], Found(#{workers => 1})),
    [?assertMatch([{Kind, "options: " ++ _}], Found(maps:merge(#{workers => 1}, More)))
     || {Kind, More} <- [{warning, #{workers => 1000}}, {warning, #{max_worker_memory => 16#FFFFFFFFFFF}}, {wrong, #{worker_class => wsgi, lifespan => on}},
                         {warning, #{slow_request => 5000, timeout => 5000, queue_timeout => 100}}, {warning, #{queue_timeout => 9000, timeout => 5000}},
                         {warning, #{forwarded_allow_ips => ["*"], bind => "0.0.0.0:0"}}, {warning, #{metrics_bind => "0.0.0.0:0"}},
                         {wrong, #{bind => "127.0.0.1:4000", dashboard_bind => "localhost:4000"}}, {warning, #{debug => true}}]],
    {ok, Config} = hornbeam_options:resolve(Given#{workers => 1}),
    ?assertMatch([{warning, _, _}], hornbeam_doctor_options:examine(Config#{cluster := {static, []}, cluster_insecure := true})).

text_test() ->
    Findings = [{ok, "a", ""}, {warning, "b", "do c"}, {wrong, "d", "do e"}],
    ?assert(hornbeam_doctor:is_wrong(Findings)),
    ?assertNot(hornbeam_doctor:is_wrong(lists:droplast(Findings))),
    ?assertEqual("ok       a\nwarning  b\n         do c\nWRONG    d\n         do e\n1 in order, 1 warnings, 1 wrong\n", lists:flatten(hornbeam_doctor:text(Findings))).
