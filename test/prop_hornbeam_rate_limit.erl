%%% Rate limits against two oracles: a leaky bucket, and a count of what has passed between any two requests; over nodes as well. Run by
%%% properties_tests.
-module(prop_hornbeam_rate_limit).

-include_lib("proper/include/proper.hrl").

-export([prop_is_a_leaky_bucket/0, prop_never_more_than_it_says/0, prop_nodes_that_tell_each_other/0, prop_clocks_that_differ/0]).

windows() ->
    non_empty(list(?LET({Interval, Burst}, {range(1, 20), range(1, 8)}, {Interval, Interval * Burst}))).

%% Times between requests, and what each costs.
requests() ->
    list({range(0, 25), range(0, 3)}).

%% Each request with its time and what became of it.
run(Windows, Requests) ->
    {Ran, _, _} = lists:foldl(fun({Pause, Cost}, {Done, Time, Until}) ->
        Now = Time + Pause,
        {Verdict, New} = hornbeam_gcra:decide(Now, Cost, Windows, Until),
        {[{Now, Cost, Verdict} | Done], Now, New}
    end, {[], 0, [0 || _ <- Windows]}, Requests),
    lists:reverse(Ran).

%% A bucket holds Tolerance and loses one unit in each unit of time; a request pours Cost * Interval in, if there is room in all.
-spec prop_is_a_leaky_bucket() -> proper:test().
prop_is_a_leaky_bucket() ->
    ?FORALL({Windows, Requests}, {windows(), requests()},
        begin
            {_, _, Same} = lists:foldl(fun({Now, Cost, {Passes, Wait, Used}}, {Before, Levels0, Ok}) ->
                Levels = [max(0, Level - (Now - Before)) || Level <- Levels0],
                Poured = lists:zipwith(fun(Level, {Interval, _}) -> Level + Cost * Interval end, Levels, Windows),
                Over = lists:max([0 | lists:zipwith(fun(Level, {_, Most}) -> Level - Most end, Poured, Windows)]),
                After = case Over of 0 -> Poured; _ -> Levels end,
                {Now, After, Ok andalso Passes =:= (Over =:= 0) andalso Wait =:= Over andalso Used =:= After}
            end, {0, [0 || _ <- Windows], true}, run(Windows, Requests)),
            Same
        end).

%% Between any two requests no more has passed than may at once, and one for each interval since.
-spec prop_never_more_than_it_says() -> proper:test().
prop_never_more_than_it_says() ->
    ?FORALL({Windows, Requests}, {windows(), requests()},
        begin
            Passed = [{Now, Cost} || {Now, Cost, {true, _, _}} <- run(Windows, Requests)],
            lists:all(fun({Interval, Most}) ->
                lists:all(fun({{From, _}, {To, _}}) ->
                    lists:sum([Cost || {Now, Cost} <- Passed, Now >= From, Now =< To]) * Interval =< Most + (To - From)
                end, [{A, B} || A <- Passed, B <- Passed, A =< B])
            end, Windows)
        end).

%% Nodes that charge what others let through, up to D later: between any two requests no more has passed on all of N than (N + 1) times what may at once, and
%% one for each interval since and of N times D; and never more than on N nodes that tell each other nothing.
-spec prop_nodes_that_tell_each_other() -> proper:test().
prop_nodes_that_tell_each_other() ->
    ?FORALL({N, D, Interval, Burst}, {range(1, 4), range(0, 40), range(1, 20), range(1, 8)},
        ?FORALL(Requests, list({range(0, 10), range(1, N), range(1, Burst), vector(N, range(0, D))}), begin
            Window = {Interval, Interval * Burst},
            Passed = lists:reverse(element(1, lists:foldl(fun(Request, Before) -> gossiped(Request, Window, Before) end,
                                                          {[], 0, maps:from_list([{Node, [0]} || Node <- lists:seq(1, N)]), []}, Requests))),
            lists:all(fun({{From, _}, {To, _}}) ->
                Used = lists:sum([Cost || {Now, Cost} <- Passed, Now >= From, Now =< To]) * Interval,
                Used =< (N + 1) * Interval * Burst + (To - From) + N * D andalso Used =< N * (Interval * Burst + (To - From))
            end, [{A, B} || A <- Passed, B <- Passed, element(1, A) =< element(1, B)])
        end)).

gossiped({Pause, Node, Cost, Delays}, Window, {Passed, Time, Until0, Told0}) ->
    Now = Time + Pause,
    {Due, Told} = lists:partition(fun({At, _, _}) -> At =< Now end, lists:sort(Told0)),
    Until = lists:foldl(fun({At, To, Of}, Each) -> Each#{To := hornbeam_gcra:charge(At, Of, [Window], map_get(To, Each))} end, Until0, Due),
    case hornbeam_gcra:decide(Now, Cost, [Window], map_get(Node, Until)) of
        {{true, _, _}, New} ->
            Tell = [{Now + Delay, To, Cost} || {To, Delay} <- lists:zip(lists:seq(1, maps:size(Until)), Delays), To =/= Node],
            {[{Now, Cost} | Passed], Now, Until#{Node := New}, Tell ++ Told};
        {{false, _, _}, _} ->
            {Passed, Now, Until, Told}
    end.

%% The replicated rows, asked with clocks that differ by up to S: no more passes than may at once, and one for each interval of the time and S.
-spec prop_clocks_that_differ() -> proper:test().
prop_clocks_that_differ() ->
    ?FORALL({S, Interval, Burst}, {range(0, 100), range(1, 20), range(1, 8)},
        ?FORALL(Requests, list({range(0, 10), range(0, S), range(1, Burst)}), begin
            Window = {Interval, Interval * Burst},
            {Passed, _, _} = lists:foldl(fun({Pause, Ahead, Cost}, {Done, Time, Rates0}) ->
                Now = Time + Pause,
                Operation = {hit, <<"row">>, Cost, [Window], Now + Ahead},
                {{Passes, _, _}, [], Rates} = hornbeam_cluster_rates:apply(Operation, #{index => 1, now => 0}, Rates0),
                {[{Now, Cost} || Passes] ++ Done, Now, Rates}
            end, {[], 0, hornbeam_cluster_rates:new()}, Requests),
            lists:all(fun({{From, _}, {To, _}}) ->
                lists:sum([Cost || {Now, Cost} <- Passed, Now >= From, Now =< To]) * Interval =< Interval * Burst + (To - From) + S
            end, [{A, B} || A <- Passed, B <- Passed, element(1, A) =< element(1, B)])
        end)).
