%%% Requests as they end: who is told of which, and that nobody's mailbox grows.
-module(hornbeam_follow_tests).

-include_lib("eunit/include/eunit.hrl").

-define(WAIT, 60000).

ended(Path, Status, Duration) ->
    #{time_us => 0, method => <<"GET">>, path => Path, status => Status, duration_us => Duration, received => 0, sent => 0}.

follow_test_() ->
    {foreach, fun() -> hornbeam_follow:watch(?MODULE) end, fun(_) -> hornbeam_follow:forget(?MODULE) end,
     [fun(Watch) -> {Text, {timeout, 120, fun() -> Test(Watch) end}} end
      || {Text, Test} <- [{"nobody", fun nobody/1}, {"filters", fun filters/1}, {"slow", fun slow_reader/1}, {"gone", fun gone/1},
                          {"many", fun many/1}]]}.

nobody(Watch) ->
    ?assertNot(hornbeam_follow:is_followed(Watch)),
    {ok, _, Subscription} = hornbeam_follow:subscribe(?MODULE, #{}),
    ?assert(hornbeam_follow:is_followed(Watch)),
    ok = hornbeam_follow:unsubscribe(Subscription),
    ?assertNot(hornbeam_follow:is_followed(Watch)).

filters(Watch) ->
    Told = fun(Filter, Ended) ->
        {ok, Ref, Subscription} = hornbeam_follow:subscribe(?MODULE, Filter),
        ok = hornbeam_follow:ended(Watch, Ended),
        ok = hornbeam_follow:unsubscribe(Subscription),
        receive {hornbeam_follow, Ref, Ended, 0} -> true after 0 -> false end
    end,
    Cases = [{#{}, true}, {#{path => <<"/a">>}, true}, {#{path => <<"/a/b">>}, true}, {#{path => <<"/a/b/c">>}, false}, {#{path => <<"/">>}, true},
             {#{path => <<"/a/">>}, true}, {#{path => <<"/a/bc">>}, false}, {#{path => <<"/aa">>}, false}, {#{path => <<"/a/*">>}, true},
             {#{path => <<"*">>}, true}, {#{method => <<"GET">>}, true}, {#{method => <<"POST">>}, false}, {#{slow_us => 500}, true},
             {#{slow_us => 501}, false}, {#{status => [{500, 599}]}, true}, {#{status => [{404, 404}, {200, 299}]}, false},
             {#{status => [{404, 404}, {503, 503}], path => <<"/a">>}, true}, {#{status => [{503, 503}], path => <<"/b">>}, false}],
    [?assertEqual({Filter, Expected}, {Filter, Told(Filter, ended(<<"/a/b">>, 503, 500))}) || {Filter, Expected} <- Cases].

%% It is told how many it has missed.
slow_reader(Watch) ->
    {ok, Ref, Subscription} = hornbeam_follow:subscribe(?MODULE, #{}),
    _ = [hornbeam_follow:ended(Watch, ended(<<"/">>, 200, N)) || N <- lists:seq(1, 1007)],
    ?assertEqual({message_queue_len, 1000}, process_info(self(), message_queue_len)),
    receive {hornbeam_follow, Ref, #{duration_us := 1}, 0} -> hornbeam_follow:taken(Subscription) end,
    ok = hornbeam_follow:ended(Watch, ended(<<"/">>, 200, 2000)),
    receive {hornbeam_follow, Ref, #{duration_us := 2000}, Missed} -> ?assertEqual(7, Missed) after ?WAIT -> error(not_told) end,
    ok = hornbeam_follow:unsubscribe(Subscription).

gone(Watch) ->
    {Pid, Monitor} = spawn_monitor(fun() -> {ok, _, _} = hornbeam_follow:subscribe(?MODULE, #{}) end),
    receive {'DOWN', Monitor, process, Pid, normal} -> ok end,
    ok = hornbeam_follow:ended(Watch, ended(<<"/">>, 200, 1)),
    forgotten(Watch, erlang:monotonic_time(millisecond) + ?WAIT).

forgotten(Watch, Until) ->
    case hornbeam_follow:is_followed(Watch) andalso erlang:monotonic_time(millisecond) < Until of
        true -> erlang:yield(), forgotten(Watch, Until);
        false -> ?assertNot(hornbeam_follow:is_followed(Watch))
    end.

many(_Watch) ->
    Subscriptions = [element(3, hornbeam_follow:subscribe(?MODULE, #{})) || _ <- lists:seq(1, 32)],
    ?assertEqual({error, too_many}, hornbeam_follow:subscribe(?MODULE, #{})),
    lists:foreach(fun hornbeam_follow:unsubscribe/1, Subscriptions).
