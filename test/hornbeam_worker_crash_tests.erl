%%% The record of a crash as the log's field `crash' has it, and which ends of a worker that is leaving are crashes.
-module(hornbeam_worker_crash_tests).

-include_lib("eunit/include/eunit.hrl").

report() ->
    #{at => 1, server => default, worker => <<"/w/2">>, app => <<"a:app">>, pid => 77, reason => <<"Python was ended by signal 11 (SIGSEGV)">>,
      status => 139, uptime => 1500, requests => 3,
      in_progress => [#{id => 1, pid => self(), kind => request, method => <<"GET">>, path => <<"/x">>, route => none, client => none,
                        request_id => <<"r-1">>, age_us => 2500}],
      max_memory => 1000, cpu => 20, figures_age => 5, fatal => <<"Fatal Python error: x\n\n  File \"a\"">>, core => none}.

all_that_is_known_test() ->
    ?assertEqual(#{worker => <<"/w/2">>, app => <<"a:app">>, pid => 77, reason => <<"Python was ended by signal 11 (SIGSEGV)">>, status => 139,
                   signal => <<"SIGSEGV">>, uptime_ms => 1500, requests => 3,
                   in_progress => [#{method => <<"GET">>, path => <<"/x">>, age_ms => 2, request_id => <<"r-1">>}],
                   rusage => #{max_memory_bytes => 1000, cpu_ms => 20, age_ms => 5},
                   stack => [<<"Fatal Python error: x">>, <<>>, <<"  File \"a\"">>]},
                 hornbeam_worker_crash:fields(report())).

what_is_not_known_is_not_there_test() ->
    Little = (report())#{status => none, max_memory => none, cpu => none, figures_age => none, fatal => none, in_progress => [], pid => undefined},
    ?assertEqual([app, in_progress, reason, requests, uptime_ms, worker], lists:sort(maps:keys(hornbeam_worker_crash:fields(Little)))).

it_is_json_test() ->
    Fields = hornbeam_worker_crash:fields(report()),
    {ok, Read} = hornbeam_json:decode(iolist_to_binary(hornbeam_json:encode(Fields))),
    ?assertEqual(hornbeam_worker_crash:fields(report()), maps:from_list([{binary_to_atom(Key), atoms(Value)} || {Key, Value} <- maps:to_list(Read)])).

atoms(Map) when is_map(Map) -> maps:from_list([{binary_to_atom(Key), Value} || {Key, Value} <- maps:to_list(Map)]);
atoms([Map | _] = Maps) when is_map(Map) -> lists:map(fun atoms/1, Maps);
atoms(Value) -> Value.

signals_test_() ->
    [?_assertEqual(Signal, hornbeam_reason:signal(Status))
     || {Status, Signal} <- [{139, <<"SIGSEGV">>}, {128 + 40, <<"40">>}, {0, none}, {3, none}, {none, none}]].

of_one_that_leaves_test_() ->
    [?_assertEqual(Is, hornbeam_worker_life:is_crash(State, Status, Failure))
     || {State, Status, Failure, Is} <- [
            {draining, {exit_status, 0}, undefined, true},          % nobody has told it to stop
            {draining, {exit_status, 139}, undefined, true},
            {draining, {pipe_closed, epipe}, undefined, true},
            {stopping, {exit_status, 0}, undefined, false},
            {stopping, {exit_status, 1}, undefined, true},
            {stopping, {exit_status, 139}, undefined, true},
            {stopping, {exit_status, 137}, shutdown_timeout, false},
            {stopping, {pipe_closed, epipe}, undefined, false},
            {stopping, killed, undefined, false}]].
