%%% When this node's Ra server that has ended is started again, and when that is in vain. Pure.
%%%
%%% Called by: hornbeam_cluster_engine, which looks and starts it. Calls: nothing. Why servers end: there.
%%%
%%%     runs ──look: it does not run──▶ failing: started every ?MEND ms ──look: it has run for as long──▶ runs
-module(hornbeam_cluster_mending).

-export([new/0, look/3, started/3, is_in_vain/1]).
-export_type([mending/0]).

-define(MEND, 2000).
-define(IN_VAIN, 5).

-record(mending, {
    failing = none :: none | integer(),     % when it was started last
    in_vain = 0 :: non_neg_integer()        % how often it has ended again
}).
-opaque mending() :: #mending{}.

-spec new() -> mending().
new() -> #mending{}.

%% @doc first: it has just ended. again: and was started before. mended: it runs again.
-spec look(IsRunning :: boolean(), Now :: integer(), mending()) -> wait | first | again | mended.
look(true, _Now, #mending{failing = none}) -> wait;
look(false, _Now, #mending{failing = none}) -> first;
look(IsRunning, Now, #mending{failing = At}) when Now - At >= ?MEND -> case IsRunning of true -> mended; false -> again end;
look(_IsRunning, _Now, _Mending) -> wait.

%% @doc Whether a start was possible; it may end again.
-spec started(IsStarted :: boolean(), Now :: integer(), mending()) -> mending().
started(true, Now, #mending{in_vain = Times}) -> #mending{failing = Now, in_vain = Times + 1};
started(false, Now, Mending) -> Mending#mending{failing = Now}.

%% @doc now: it has ended so often that it has to be given up, from time to time; before: was then, and may run by now.
-spec is_in_vain(mending()) -> now | before | no.
is_in_vain(#mending{in_vain = Times}) when Times < ?IN_VAIN -> no;
is_in_vain(#mending{in_vain = Times}) when Times rem ?IN_VAIN =:= 0 -> now;
is_in_vain(_) -> before.
