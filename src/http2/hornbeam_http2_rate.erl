%%% How often something happens in ten seconds: the bound on floods.
%%%
%%% Called by: hornbeam_http2_input, hornbeam_http2_streams. Calls nothing. Pure. A period begins with the first of what is
%%% counted and the next one when it is over; so a count costs no look at the clock before it is used up.
-module(hornbeam_http2_rate).

-export([new/1, count/2]).
-export_type([rate/0]).

-define(PERIOD_MS, 10000).

-record(rate, {
    max :: pos_integer(),
    left :: non_neg_integer(),
    since = 0 :: integer()
}).
-opaque rate() :: #rate{}.

-spec new(Max :: pos_integer()) -> rate().
new(Max) -> #rate{max = Max, left = Max}.

%% @doc One more; `over': too many. Now: monotonic ms.
-spec count(Now :: integer(), rate()) -> rate() | over.
count(Now, #rate{left = Max, max = Max} = Rate) -> Rate#rate{left = Max - 1, since = Now};
count(_Now, #rate{left = Left} = Rate) when Left > 0 -> Rate#rate{left = Left - 1};
count(Now, #rate{since = Since}) when Now - Since < ?PERIOD_MS -> over;
count(Now, #rate{max = Max} = Rate) -> Rate#rate{left = Max - 1, since = Now}.
