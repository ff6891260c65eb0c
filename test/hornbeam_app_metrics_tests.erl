%%% The application's own metrics: what many workers push at once.
-module(hornbeam_app_metrics_tests).

-include_lib("eunit/include/eunit.hrl").

-define(COUNTER(Name), {Name, counter, <<"Help">>, none, []}).
-define(GAUGE(Mode), {<<"g">>, gauge, <<>>, Mode, []}).

metrics_test_() ->
    {foreach, fun tables/0, fun([A, B]) -> ets:delete(A), ets:delete(B) end,
     [fun(_) -> {Name, Test} end || {Name, Test} <- [{"sums at once", fun at_once/0}, {"limit", fun limit/0}, {"gauges", fun gauges/0},
                                                       {"histogram", fun histogram/0}, {"otherwise", fun otherwise/0}, {"forgotten", fun forgotten/0},
                                                       {"what Python sends", fun arguments/0}, {"beyond all numbers", fun largest/0}]]}.

tables() ->
    [ets:new(hornbeam_app_metrics, [named_table, public, set]), ets:new(hornbeam_app_gauges, [named_table, public, ordered_set])].

together(Count, Fun) ->
    Pids = [spawn_monitor(fun() -> Fun(N) end) || N <- lists:seq(1, Count)],
    [receive {'DOWN', Ref, process, Pid, Reason} -> ?assertEqual(normal, Reason) end || {Pid, Ref} <- Pids].

%% Integers and floats, of which no addition is lost. (These floats add up exactly.)
at_once() ->
    Push = fun(N) -> [{ok, 0} = hornbeam_app_metrics:push(one, ?COUNTER(<<"c">>), [{[], N rem 2}, {[{<<"l">>, <<"v">>}], 0.5}], 0, 10) || _ <- lists:seq(1, 500)] end,
    _ = together(8, Push),
    ?assertEqual([{<<"c_total">>, counter, <<"Help">>, [{"", [], 2000}, {"", [{<<"l">>, <<"v">>}], 2000.0}]}], hornbeam_app_metrics:read(one)).

limit() ->
    Push = fun(N) -> hornbeam_app_metrics:push(one, ?COUNTER(<<"c">>), [{[{<<"n">>, integer_to_binary(M)}], 1} || M <- lists:seq(N, N + 9)], 0, 12) end,
    _ = together(5, fun(_) -> Push(1) end),
    ?assertEqual({ok, 8}, Push(11)),
    ?assertEqual({ok, 0}, Push(1)),
    [{_, _, _, Series}, {<<"hornbeam_app_metrics_refused_total">>, _, _, Refused}] = hornbeam_app_metrics:read(one),
    ?assertEqual({12, [{"", [{"metric", <<"c">>}], 8}]}, {length(Series), Refused}).

gauges() ->
    Labels = [{<<"l">>, <<"v">>}],
    Set = fun(Mode, Value) -> {ok, 0} = hornbeam_app_metrics:push(Mode, ?GAUGE(Mode), [{Labels, Value}], 0, 10) end,
    Modes = [sum, max, min, last],
    Test = self(),
    Others = [spawn_link(fun() ->
                             [Set(Mode, Value) || Mode <- Modes],
                             Test ! {set, self()},
                             receive stop -> ok = hornbeam_app_metrics:left(self()), Test ! {left, self()} end
                         end) || Value <- [7, 1.5]],
    [receive {set, Pid} -> ok end || Pid <- Others],
    [Set(Mode, 3) || Mode <- Modes],
    Read = fun(Mode) -> [{<<"g">>, gauge, <<>>, Lines}] = hornbeam_app_metrics:read(Mode), [Value || {"", L, Value} <- Lines, L =:= Labels] end,
    ?assertEqual([[11.5], [7], [1.5], [3]], [Read(Mode) || Mode <- Modes]),
    [begin Pid ! stop, receive {left, Pid} -> ok end end || Pid <- Others],
    ?assertEqual([[3], [3], [3], [3]], [Read(Mode) || Mode <- Modes]),
    {ok, 0} = hornbeam_app_metrics:push(sum, ?GAUGE(sum), [{Labels, none}], 0, 10),
    ?assertEqual([], Read(sum)),
    %% One whose process was killed is not read.
    {Killed, Ref} = spawn_monitor(fun() -> Set(max, 100) end),
    receive {'DOWN', Ref, process, Killed, _} -> ok end,
    ?assertEqual([3], Read(max)).

%% Erlang has no infinity; neither the push nor the reading of all others ends with it.
largest() ->
    Most = 1.7976931348623157e308,
    Push = fun(Family, Series) -> ?assertEqual({ok, 0}, hornbeam_app_metrics:push(one, Family, [Series], 0, 10)) end,
    Summary = {<<"s">>, summary, <<>>, none, []},
    [begin
         Push(?COUNTER(<<"c">>), {[], 1.7e308}),
         Push(Summary, {[], {-1.7e308, [1]}}),
         Pid = spawn_link(fun() -> Push(?GAUGE(sum), {[], 1.7e308}), receive stop -> ok end end),
         await:until(fun() -> ets:match(hornbeam_app_gauges, {{Pid, '_', '_', '_'}, '_', '_'}) =/= [] end)
     end || _ <- [1, 2]],
    ?assertEqual([{<<"c_total">>, [{"", [], Most}]}, {<<"g">>, [{"", [], Most}]}, {<<"s">>, [{"_count", [], 2}, {"_sum", [], -Most}]}],
                 [{Name, Lines} || {Name, _, _, Lines} <- hornbeam_app_metrics:read(one)]).

histogram() ->
    Family = {<<"h">>, histogram, <<>>, none, [0.5, 1.0]},
    _ = together(4, fun(_) -> [hornbeam_app_metrics:push(one, Family, [{[], {0.25, [1, 0, 2]}}], 0, 10) || _ <- lists:seq(1, 100)] end),
    ?assertEqual([{<<"h">>, histogram, <<>>,
                   [{"_bucket", [{"le", "0.5"}], 400}, {"_bucket", [{"le", "1.0"}], 400}, {"_bucket", [{"le", "+Inf"}], 1200},
                    {"_sum", [], 100.0}, {"_count", [], 1200}]}],
                 [{N, K, H, [{S, [{L, lists:flatten(V)} || {L, V} <- Ls], X} || {S, Ls, X} <- Lines]} || {N, K, H, Lines} <- hornbeam_app_metrics:read(one)]).

otherwise() ->
    {ok, 0} = hornbeam_app_metrics:push(one, ?COUNTER(<<"g">>), [{[], 1}], 0, 10),
    ?assertEqual({error, declared_otherwise}, hornbeam_app_metrics:push(one, ?GAUGE(sum), [{[], 1}], 0, 10)),
    [{ok, 0} = hornbeam_app_metrics:push(one, ?COUNTER(<<"c", (integer_to_binary(N))/binary>>), [{[], 1}], 0, 10) || N <- lists:seq(2, 1000)],
    ?assertEqual({error, too_many}, hornbeam_app_metrics:push(one, ?COUNTER(<<"c">>), [{[], 1}], 0, 10)),
    {_, _, _, Refused} = lists:last(hornbeam_app_metrics:read(one)),
    ?assertEqual([{"", [{"metric", <<>>}], 1}, {"", [{"metric", <<"g">>}], 1}], Refused).

forgotten() ->
    {ok, 0} = hornbeam_app_metrics:push(one, ?GAUGE(sum), [{[], 1}], 0, 10),
    {ok, 0} = hornbeam_app_metrics:push(one, {<<"s">>, summary, <<>>, none, []}, [{[], {1, [1]}}], 0, 10),
    {ok, 3} = hornbeam_app_metrics:push(two, ?COUNTER(<<"c">>), [{[], 1}], 3, 10),
    ok = hornbeam_app_metrics:forget(one),
    ?assertEqual([], hornbeam_app_metrics:read(one)),
    ?assertMatch([_, _], hornbeam_app_metrics:read(two)),
    ok = hornbeam_app_metrics:forget(two),
    ?assertEqual([], ets:tab2list(hornbeam_app_metrics) ++ ets:tab2list(hornbeam_app_gauges)).

arguments() ->
    Settings = #{name => one, metrics_max_series => 10},
    Push = fun(Families) -> hornbeam_service_metrics:handle(metrics_push, [Families], Settings) end,
    ?assertEqual({ok, none}, Push([[<<"c">>, <<"counter">>, <<>>, <<>>, [], [[2, <<"l">>, <<"v">>]], 0]])),
    {walk, _, Read} = hornbeam_service_metrics:handle(metrics_read, [], Settings),
    ?assertEqual({ok, [[<<"c_total">>, <<"counter">>, [[<<"l">>, <<"v">>]], 2]]}, Read()),
    [?assertError(_, Push([Family]))
     || Family <- [[<<"d">>, <<"counter">>, <<>>, <<>>, [], [[-1]], 0], [<<"d">>, <<"odd">>, <<>>, <<>>, [], [[1]], 0],
                   [<<"d">>, <<"histogram">>, <<>>, <<>>, [1.0], [[[1, 1]]], 0], [<<"d">>, <<"counter">>, <<>>, <<>>, [], [[1, <<"l">>]], 0],
                   [<<"d">>, <<"gauge">>, <<>>, <<"sum">>, [], [[<<"x">>]], 0]]],
    ?assertMatch({error, type_error, _}, hornbeam_service_metrics:handle(metrics_push, [], Settings)).
