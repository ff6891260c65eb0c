%%% Rate limits on the shared state: the generic cell rate algorithm (GCRA), exact over all workers of the node.
%%%
%%% Called by: hornbeam_service_rates, in a worker's process; hornbeam_cluster_rate_gossip; anybody's Erlang code. Calls: hornbeam_state_store, hornbeam_gcra.
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

-export([hit/3, charge/3, reset/1]).
-export_type([window/0, verdict/0]).

-define(NAME, <<"hornbeam.rate_limit">>).

-type window() :: hornbeam_gcra:window().
-type verdict() :: hornbeam_gcra:verdict().

%% @doc Counts Cost requests of a key, if all of its windows let them through. A Cost of 0 changes nothing. A key must have the
%% same windows each time.
-spec hit(Key :: binary(), Cost :: non_neg_integer(), [window(), ...]) ->
    {ok, verdict()} | {error, too_large | not_a_rate_limit}.
hit(Key, Cost, Windows) ->
    try_hit(hornbeam_state_store:key({?NAME, {bytes, Key}}), Cost, Windows).

%% @doc Counts Cost requests that were let through elsewhere: they use the windows up, also beyond what may pass at once.
-spec charge(Key :: binary(), Cost :: pos_integer(), [window(), ...]) -> ok | {error, too_large | not_a_rate_limit}.
charge(Key, Cost, Windows) ->
    try_charge(hornbeam_state_store:key({?NAME, {bytes, Key}}), Cost, Windows).

try_charge(Key, Cost, Windows) ->
    Before = hornbeam_state_store:read(Key),
    case until(Before, Windows) of
        {ok, Until} ->
            Now = now_ns(),
            New = hornbeam_gcra:charge(Now, Cost, Windows, Until),
            case write(Key, Before, New, (lists:max(New) - Now) div 1000000 + 1) of
                true -> ok;
                false -> try_charge(Key, Cost, Windows);
                {error, too_large} = Error -> Error
            end;
        error ->
            {error, not_a_rate_limit}
    end.

%% @doc The windows of a key are whole again.
-spec reset(Key :: binary()) -> boolean().
reset(Key) ->
    hornbeam_state:delete({?NAME, {bytes, Key}}).

try_hit(Key, Cost, Windows) ->
    Before = hornbeam_state_store:read(Key),
    case until(Before, Windows) of
        {ok, Until} ->
            {Verdict, New} = hornbeam_gcra:decide(now_ns(), Cost, Windows, Until),
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

now_ns() ->
    erlang:convert_time_unit(erlang:monotonic_time() - erlang:system_info(start_time), native, nanosecond).
