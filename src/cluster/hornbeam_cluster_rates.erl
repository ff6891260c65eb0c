%%% Rate limits that are exact over all nodes, as one member has them: a part of the cluster's machine, pure.
%%%
%%% Called by: hornbeam_cluster_machine. Calls: hornbeam_gcra, hornbeam_cluster_part. hornbeam_service_rates makes its operations.
%%%
%%%     {hit, Row, Cost, Windows, Clock}   counts, if all windows let it through: the verdict of hornbeam_gcra, or {error, not_a_rate_limit}
%%%     {reset, Row}                       the windows are whole again
%%%
%%% The clock. The cluster's own goes in steps of 250 ms, too coarse for "100/second"; so Clock is that of the node that asks (ns, wall clock), and a row keeps
%%% the latest that it has seen: its time never goes back, whoever asks. A clock that is ahead by S ns, or is set forward by it, makes the windows whole by as
%%% much too early, once: after that all count in its time, and where it asks no more the row's time stands still until the others have come there. So in any T
%%% ns no more pass than what may at once and (T + S) / Interval. A clock that is behind changes nothing where others ask, too.
%%%
%%% Rows end by the cluster's time, when their windows are whole: a row that is not there is one whose windows are.
%%%
%%% Limit: ?MAX rows; those that end first are forgotten first, and begin anew.
-module(hornbeam_cluster_rates).
-behaviour(hornbeam_cluster_part).

-export([new/0, apply/3, expire/2, waits/1, query/3, weight/1, size/1]).
-export_type([operation/0]).

-compile({no_auto_import, [size/1]}).

-type operation() :: {hit, Row :: binary(), Cost :: non_neg_integer(), [hornbeam_gcra:window(), ...], Clock :: integer()} | {reset, Row :: binary()}.

-define(MAX, 100000).
%% What a row takes, or so.
-define(ROW, 300).

-record(rates, {
    rows = #{} :: #{binary() => {Latest :: integer(), Until :: [integer()], End :: integer()}},
    ends = gb_sets:empty() :: gb_sets:set({End :: integer(), binary()})
}).
-type rates() :: #rates{}.

-spec new() -> rates().
new() -> #rates{}.

-spec apply(operation(), hornbeam_cluster_part:context(), rates()) -> {term(), [], rates()}.
apply({hit, Row, Cost, Windows, Clock}, Context, #rates{rows = Rows} = Rates) ->
    {Latest, Until, _} = maps:get(Row, Rows, {Clock, [Clock || _ <- Windows], 0}),
    case length(Until) =:= length(Windows) of
        true ->
            Now = max(Clock, Latest),
            {Verdict, New} = hornbeam_gcra:decide(Now, Cost, Windows, Until),
            {Verdict, [], kept(Verdict, Row, Cost, Now, New, Context, Rates)};
        false ->
            {{error, not_a_rate_limit}, [], Rates}
    end;
apply({reset, Row}, _Context, #rates{rows = Rows} = Rates) ->
    {is_map_key(Row, Rows), [], remove(Row, Rates)};
apply(_Unknown, _Context, Rates) ->
    {{error, unknown}, [], Rates}.

kept({true, _, Used}, Row, Cost, Now, New, #{now := Time}, Rates) when Cost > 0 ->
    End = hornbeam_cluster_part:ends(Time, lists:max(Used) div 1000000 + 1),
    #rates{rows = Rows, ends = Ends} = Left = remove(Row, Rates),
    bounded(Left#rates{rows = Rows#{Row => {Now, New, End}}, ends = gb_sets:add({End, Row}, Ends)});
kept(_Verdict, _Row, _Cost, _Now, _New, _Context, Rates) ->
    Rates.

bounded(#rates{rows = Rows, ends = Ends} = Rates) when map_size(Rows) > ?MAX ->
    {_, Row} = gb_sets:smallest(Ends),
    remove(Row, Rates);
bounded(Rates) ->
    Rates.

remove(Row, #rates{rows = Rows, ends = Ends} = Rates) ->
    case Rows of
        #{Row := {_, _, End}} -> Rates#rates{rows = maps:remove(Row, Rows), ends = gb_sets:delete({End, Row}, Ends)};
        #{} -> Rates
    end.

-spec expire(hornbeam_cluster_part:context(), rates()) -> {[], rates()}.
expire(#{now := Now} = Context, #rates{ends = Ends} = Rates) ->
    case gb_sets:is_empty(Ends) orelse gb_sets:smallest(Ends) of
        {End, Row} when End =< Now -> expire(Context, remove(Row, Rates));
        _ -> {[], Rates}
    end.

-spec waits(rates()) -> boolean().
waits(#rates{rows = Rows}) -> map_size(Rows) > 0.

-spec query(size, non_neg_integer(), rates()) -> term().
query(size, _, Rates) -> size(Rates);
query(_Unknown, _, _Rates) -> unknown.

-spec weight(operation()) -> non_neg_integer().
weight(_) -> ?ROW.

-spec size(rates()) -> {non_neg_integer(), non_neg_integer()}.
size(#rates{rows = Rows}) -> {map_size(Rows), ?ROW * map_size(Rows)}.
