%%% hornbeam_error: statuses and bodies. hornbeam_reason: a text for every reason that a person can meet.
-module(hornbeam_error_tests).

-include_lib("eunit/include/eunit.hrl").

text(Reason) -> unicode:characters_to_list(hornbeam_reason:format(Reason)).

statuses_test_() ->
    [?_assertMatch({Status, Body, _} when is_binary(Body), hornbeam_error:answer(Reason))
     || {Reason, Status} <- [{app_error, 500}, {no_response, 500}, {incomplete_response, 500},
                             {bad_response, 500}, {worker_died, 502}, {timeout, 504}, {overloaded, 503},
                             {no_worker, 503}, {not_found, 404}, {body_too_large, 413}]].

%% An application's own mistakes are logged by its process, with the traceback, and only there.
logged_once_test_() ->
    [?_assertMatch({_, _, none}, hornbeam_error:answer(Reason)) || Reason <- [app_error, no_response, incomplete_response]].

texts_test_() ->
    [?_assertEqual(Text, text(Reason))
     || {Reason, Text} <- [
         {{python_not_found, <<"/x/python">>}, "there is no Python interpreter /x/python"},
         {{msgpack_missing, <<"/x/python">>}, "the Python package msgpack is missing in /x/python; "
                                              "install it with: /x/python -m pip install msgpack"},
         {{python_exited, {exit_status, 3}}, "Python exited with status 3"},
         {{python_exited, {exit_status, 137}}, "Python was ended by signal 9 (SIGKILL)"},
         {{python_exited, {exit_status, 139}}, "Python was ended by signal 11 (SIGSEGV)"},
         {{python_exited, {exit_status, 165}}, "Python was ended by signal 37"},
         {{python_killed, 0}, "Python was ended by signal 9 (SIGKILL)"},
         {{cannot_start, system_limit}, "its process cannot be started: the VM's table of ports is full (+Q)"},
         {{cannot_start, enomem}, "its process cannot be started: not enough memory"},
         {{python_exited, {pipe_closed, epipe}}, "Python closed its end of the pipe"},
         {{listen_failed, <<"127.0.0.1:80">>, eacces}, "cannot listen on 127.0.0.1:80: permission denied"},
         {{listen_failed, <<"127.0.0.1:80">>, enotconn}, "cannot listen on 127.0.0.1:80: "
                                                         ++ inet:format_error(enotconn)},
         {{already_started, default}, "a server named default runs already"},
         {no_application, "neither an application nor a mount is given"},
         {{startup_timeout, 5}, "the application was not ready after 5 ms (startup_timeout)"},
         {{import_failed, <<"Traceback\n  File\n">>}, "the application could not be imported:\nTraceback\n  File"},
         {{lifespan_failed, <<"nö"/utf8>>}, "the application's lifespan failed: nö"}]].

anything_has_a_text_test() ->
    ?assertEqual("{never,heard}", text({never, heard})).
