%%% The generic cell rate algorithm: what becomes of requests in windows. Pure.
%%%
%%% Called by: hornbeam_rate_limit (rows of the node's state), hornbeam_cluster_rates (rows of the replicated state). Calls: nothing. Its mirror for the
%%% stand-in is hornbeam_erlang/_rates.py.
%%%
%%% A window {Interval, Tolerance} lets one request through each Interval ns, and Tolerance / Interval at once. Of each one number is kept: the time (ns, of
%%% whichever clock the caller has) until which what was let through uses it up.
-module(hornbeam_gcra).

-export([decide/4, charge/4]).
-export_type([window/0, verdict/0]).

%% Both in ns.
-type window() :: {Interval :: pos_integer(), Tolerance :: pos_integer()}.

%% Whether it passes; after how many ns it would; for each window how many ns of its tolerance are used up (more than that: a debt).
-type verdict() :: {boolean(), Wait :: non_neg_integer(), Used :: [non_neg_integer()]}.

%% @doc What becomes of Cost requests at Now, and until when the windows are used up then.
-spec decide(Now :: integer(), Cost :: non_neg_integer(), [window(), ...], Until :: [integer()]) -> {verdict(), [integer()]}.
decide(Now, Cost, Windows, Until) ->
    Bases = [max(Time, Now) || Time <- Until],
    News = charged(Cost, Windows, Bases),
    Waits = lists:zipwith(fun(New, {_, Tolerance}) -> New - Now - Tolerance end, News, Windows),
    case max(0, lists:max(Waits)) of
        0 -> {{true, 0, [New - Now || New <- News]}, News};
        Wait -> {{false, Wait, [Base - Now || Base <- Bases]}, Until}
    end.

%% @doc Until when the windows are used up after Cost requests that another has let through, whether they would have passed here or not.
-spec charge(Now :: integer(), Cost :: non_neg_integer(), [window(), ...], Until :: [integer()]) -> [integer()].
charge(Now, Cost, Windows, Until) ->
    charged(Cost, Windows, [max(Time, Now) || Time <- Until]).

charged(Cost, Windows, Bases) ->
    lists:zipwith(fun(Base, {Interval, _}) -> Base + Cost * Interval end, Bases, Windows).
