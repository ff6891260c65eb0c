%%% Rate limits on the shared state: the generic cell rate algorithm (GCRA), exact over all workers of the node.
%%%
%%% Called by: hornbeam_service_state, in a worker's process; anybody's Erlang code. Calls: hornbeam_state_store.
%%%
%%% A window {Interval, Tolerance} lets one request through each Interval ns, and Tolerance / Interval at once: "100/minute" is
%%% {600000000, 60000000000}. Of each window one number is kept, the time (ns since the VM's start) until which what was let
%%% through uses it up, and all windows of a key are one row of the state: a request passes all of them or counts in none.
%%%
%%% Exact: a row is replaced only if it is still what was decided upon (hornbeam_state_store:replace/4); else another request has
%%% succeeded, and it is decided again. A request that is refused writes nothing.
%%%
%%% Memory: a row of less than 300 bytes for each key that has a request now, gone when its windows are whole again (the longest
%%% window at most). The state's limits count it: where state_max_bytes is reached the keys that were let through longest ago are
%%% forgotten, and have their windows whole again.
-module(hornbeam_rate_limit).

-export([hit/3, decide/4]).
-export_type([window/0, verdict/0]).

-define(NAME, <<"hornbeam.rate_limit">>).

%% Both in ns.
-type window() :: {Interval :: pos_integer(), Tolerance :: pos_integer()}.

%% Whether it passes; after how many ns it would; for each window how many ns of its tolerance are used up.
-type verdict() :: {boolean(), Wait :: non_neg_integer(), Used :: [non_neg_integer()]}.

%% @doc Counts Cost requests of a key, if all of its windows let them through. A Cost of 0 changes nothing. A key must have the
%% same windows each time.
-spec hit(Key :: binary(), Cost :: non_neg_integer(), [window(), ...]) ->
    {ok, verdict()} | {error, too_large | not_a_rate_limit}.
hit(Key, Cost, Windows) ->
    try_hit(hornbeam_state_store:key({?NAME, {bytes, Key}}), Cost, Windows).

try_hit(Key, Cost, Windows) ->
    Before = hornbeam_state_store:read(Key),
    case until(Before, Windows) of
        {ok, Until} ->
            {Verdict, New} = decide(now_ns(), Cost, Windows, Until),
            keep(Key, Before, New, Verdict, Cost, Windows);
        error ->
            {error, not_a_rate_limit}
    end.

until(error, Windows) ->
    {ok, [0 || _ <- Windows]};
until({ok, Until}, Windows) when length(Until) =:= length(Windows) ->
    {ok, Until};
until({ok, _}, _Windows) ->
    error.

keep(_Key, _Before, _New, {false, _, _} = Verdict, _Cost, _Windows) ->
    {ok, Verdict};
keep(_Key, _Before, _New, Verdict, 0, _Windows) ->
    {ok, Verdict};
keep(Key, Before, New, {true, _, Used} = Verdict, Cost, Windows) ->
    Ttl = lists:max(Used) div 1000000 + 1,
    case write(Key, Before, New, Ttl) of
        true -> {ok, Verdict};
        false -> try_hit(Key, Cost, Windows);
        {error, too_large} = Error -> Error
    end.

write(Key, error, New, Ttl) -> hornbeam_state_store:write_new(Key, New, Ttl);
write(Key, {ok, Old}, New, Ttl) -> hornbeam_state_store:replace(Key, Old, New, Ttl).

%% @doc What becomes of Cost requests at Now, and until when the windows are used up then. Pure.
-spec decide(Now :: integer(), Cost :: non_neg_integer(), [window(), ...], Until :: [integer()]) -> {verdict(), [integer()]}.
decide(Now, Cost, Windows, Until) ->
    Bases = [max(Time, Now) || Time <- Until],
    News = lists:zipwith(fun(Base, {Interval, _}) -> Base + Cost * Interval end, Bases, Windows),
    Waits = lists:zipwith(fun(New, {_, Tolerance}) -> New - Now - Tolerance end, News, Windows),
    case max(0, lists:max(Waits)) of
        0 -> {{true, 0, [New - Now || New <- News]}, News};
        Wait -> {{false, Wait, [Base - Now || Base <- Bases]}, Until}
    end.

now_ns() ->
    erlang:convert_time_unit(erlang:monotonic_time() - erlang:system_info(start_time), native, nanosecond).
