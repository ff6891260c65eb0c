%%% What is kept back, and how often it is said that nothing is left.
-module(hornbeam_descriptors_tests).

-include_lib("eunit/include/eunit.hrl").

-export([log/2]).

config(Options) ->
    {ok, Config} = hornbeam_options:validate(Options),
    Config.

kept(Options) ->
    hornbeam_descriptors:kept(config(Options)).

each_worker_has_its_share_test() ->
    One = kept(#{app => "a:b", workers => 1}),
    Two = kept(#{app => "a:b", workers => 2}),
    Mounted = kept(#{app => "a:b", workers => 1, mounts => [{"/x", "c:d", #{workers => 3}}]}),
    ?assert(Two - One >= 2 * 4),    % two generations, a pipe each way
    ?assertEqual(3 * (Two - One), Mounted - One).

metrics_and_addresses_have_their_share_test() ->
    One = kept(#{app => "a:b"}),
    ?assertEqual(1 + hornbeam_descriptors:for_metrics(), kept(#{app => "a:b", metrics_bind => "127.0.0.1:0"}) - One),
    ?assertEqual(11, kept(#{app => "a:b", bind => ["127.0.0.1:0", "127.0.0.1:1"]}) - One).

%% In VMs with limits of their own: how much room there is, or how many descriptors are needed.
room_test_() ->
    {timeout, 120, fun() ->
        {error, Needed} = keep(64),
        ?assertEqual({error, Needed}, keep(Needed - 1)),
        {ok, Least} = keep(Needed),
        ?assertEqual({ok, Least + 1}, keep(Needed + 1)),
        ?assertEqual(16, Least)
    end}.

keep(Limit) ->
    Ebin = filename:dirname(code:which(hornbeam_descriptors)),
    Expression = "{ok, C} = hornbeam_options:validate(#{app => <<\"a:b\">>}), hornbeam_descriptors:new(), "
                 "io:format(\"~w\", [hornbeam_descriptors:keep([C])]), halt().",
    Output = os:cmd(lists:flatten(io_lib:format("ulimit -n ~b; erl -noshell -pa ~ts -eval '~ts'", [Limit, Ebin, Expression]))),
    case Output of
        "{ok," ++ Rest -> {ok, list_to_integer(lists:droplast(Rest))};
        "{error,{few_descriptors," ++ Rest ->
            [Limit, Needed] = [list_to_integer(Part) || Part <- string:lexemes(Rest, ",}")],
            {error, Needed}
    end.

%% A flood of reasons is a line a second.
one_line_a_second_test() ->
    ok = hornbeam_descriptors:new(),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => self(), level => warning}),
    Since = erlang:monotonic_time(millisecond),
    Flood = fun Flood(0) -> ok; Flood(N) -> ok = hornbeam_descriptors:complain("full", []), Flood(N - 1) end,
    Pids = [spawn_monitor(fun() -> Flood(10000) end) || _ <- lists:seq(1, 4)],
    _ = [receive {'DOWN', Monitor, _, _, _} -> ok end || {_, Monitor} <- Pids],
    Seconds = (erlang:monotonic_time(millisecond) - Since) div 1000,
    ok = logger:remove_handler(?MODULE),
    Lines = logged(),
    ?assert(Lines >= 1 andalso Lines =< Seconds + 1).

log(#{msg := {"full", []}}, #{config := Pid}) -> Pid ! logged;
log(_, _) -> ok.

logged() ->
    receive logged -> 1 + logged() after 0 -> 0 end.

what_passes_is_waited_for_test() ->
    ?assertEqual([true, true, true, true, true, false, false],
                 [hornbeam_descriptors:is_shortage(Reason)
                  || Reason <- [emfile, enfile, enobufs, enomem, system_limit, closed, econnaborted]]).
