%%% Python's operations on rate limits: arguments and answers as hornbeam_erlang/_rates.py has them.
%%%
%%% Called by: hornbeam_services. Calls: hornbeam_rate_limit (the node's), hornbeam_cluster_rate_gossip (approximate over nodes), hornbeam_cluster (exact over nodes).
%%% Where there is no cluster this node is all there is, and its rows are exact.
-module(hornbeam_service_rates).
-behaviour(hornbeam_services).

-export([handle/3]).

%% What a request is told to wait that nobody could count, in ns.
-define(WAIT, 1000000000).
-define(IS_COST(Cost), (is_integer(Cost) andalso Cost >= 0)).

-spec handle(atom(), [term()], map()) -> hornbeam_services:outcome().
handle(rate_hit, [{bytes, Row}, Cost, Windows], _) when ?IS_COST(Cost) ->
    limited(hornbeam_rate_limit:hit(Row, Cost, windows(Windows)));
handle(rate_hit_cluster, [{bytes, Row}, Cost, Windows, Exact, Failing], _) when ?IS_COST(Cost), is_boolean(Exact), Failing >= 0, Failing =< 3 ->
    case hornbeam_cluster:enabled() of
        false -> limited(hornbeam_rate_limit:hit(Row, Cost, windows(Windows)));
        true when Exact -> exact(Row, Cost, windows(Windows), failing(Failing));
        true -> limited(hornbeam_cluster_rate_gossip:hit(Row, Cost, windows(Windows)))
    end;
handle(rate_reset, [{bytes, Row}, Exact], _) when is_boolean(Exact) ->
    case hornbeam_cluster:enabled() of
        false -> {ok, hornbeam_rate_limit:reset(Row)};
        true when Exact -> asked({reset, Row}, fun(Whole) -> {ok, Whole} end, fun hornbeam_service_cluster:failed/1);
        true -> {ok, hornbeam_cluster_rate_gossip:reset(Row)}
    end;
handle(Operation, _Arguments, _) ->
    {error, type_error, <<"wrong arguments for ", (atom_to_binary(Operation))/binary>>}.

failing(0) -> node;
failing(1) -> open;
failing(2) -> closed;
failing(3) -> raise.

windows(Windows) -> [window(Window) || Window <- Windows].

window({Interval, Tolerance}) when is_integer(Interval), Interval > 0, is_integer(Tolerance), Tolerance >= Interval ->
    {Interval, Tolerance}.

exact(Row, Cost, Windows, Failing) ->
    asked({hit, Row, Cost, Windows, os:system_time(nanosecond)},
          fun({error, _} = Error) -> limited(Error); (Verdict) -> {ok, Verdict} end,
          fun(Reason) -> failed(Failing, Reason, Row, Cost, Windows) end).

asked(Operation, Answer, Failed) ->
    case hornbeam_cluster:request({rates, Operation}) of
        {ok, {Pid, Request}} ->
            {ask, {Pid, Request, fun
                ({ok, {ok, Reply}}) -> Answer(Reply);
                ({ok, {error, Reason}}) -> Failed(Reason);
                (gone) -> Failed(in_doubt)
            end}};
        {error, Reason} ->
            Failed(Reason)
    end.

failed(node, _Reason, Row, Cost, Windows) -> limited(hornbeam_rate_limit:hit(Row, Cost, Windows));
failed(open, _Reason, _Row, _Cost, Windows) -> {ok, {true, 0, [0 || _ <- Windows]}};
failed(closed, _Reason, _Row, _Cost, Windows) -> {ok, {false, ?WAIT, [Tolerance || {_, Tolerance} <- Windows]}};
failed(raise, Reason, _Row, _Cost, _Windows) -> hornbeam_service_cluster:failed(Reason).

limited({ok, _Verdict} = Answer) ->
    Answer;
limited({error, not_a_rate_limit}) ->
    {error, type_error, <<"the stored value is no rate limit">>};
limited({error, too_large}) ->
    {error, value_error, <<"the value is larger than the option state_max_bytes allows">>}.
