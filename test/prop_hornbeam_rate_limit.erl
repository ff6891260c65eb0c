%%% Rate limits against two oracles: a leaky bucket, and a count of what has passed between any two requests. Run by
%%% properties_tests.
-module(prop_hornbeam_rate_limit).

-include_lib("proper/include/proper.hrl").

-export([prop_is_a_leaky_bucket/0, prop_never_more_than_it_says/0]).

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
