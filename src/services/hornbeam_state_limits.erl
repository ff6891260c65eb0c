%%% The limits of the shared state: the options state_max_entries and state_max_bytes.
%%%
%%% Policy: when an entry more would pass a limit, the entries that were written longest ago go first (set,
%%% add and cas write; incr of a number that is there does not), until both limits hold. The size of
%%% an entry is that of its key and its value in the external term format. A value that is larger than all
%%% may be is refused.
%%%
%%% Owns the table hornbeam_state_order, {Seq, Key}: the entries by the number of their last write. Called
%%% by: hornbeam_state_store, in the process that writes; hornbeam (configure/1). One node has one shared
%%% state: with several servers the limits hold that the one started last has set. Without limits, the
%%% default, an entry costs nothing of this (numbers and sizes are 0).
%%%
%%% Failure modes: a writer that is killed between its write and added/3 leaves an entry that is counted
%%% by number but not by size, and that is never chosen to go; the error is that one entry.
-module(hornbeam_state_limits).

-export([configure/1, entry/2, added/3, removed/2, keep/0, info/0]).

-define(ORDER, hornbeam_state_order).
%% The counters: the last number given out, bytes in the table, entries evicted.
-define(SEQ, 1).
-define(BYTES, 2).
-define(EVICTED, 3).

-record(limits, {
    entries :: pos_integer() | infinity,
    bytes :: pos_integer() | infinity,
    counters :: atomics:atomics_ref()
}).

%% @doc Sets the limits from a server's options. A server without any leaves those of others alone.
-spec configure(Options :: map()) -> ok.
configure(#{state_max_entries := infinity, state_max_bytes := infinity}) ->
    ok;
configure(#{state_max_entries := Entries, state_max_bytes := Bytes}) ->
    Counters = case limits() of
        none -> atomics:new(3, []);
        #limits{counters = Old} -> Old
    end,
    Limits = #limits{entries = Entries, bytes = Bytes, counters = Counters},
    persistent_term:put(?MODULE, Limits),
    adopt(),
    keep().

%% What was stored before there was a limit: written again, it gets its number and its size.
adopt() ->
    lists:foreach(fun(Stored) ->
        Key = hornbeam_state_store:original(Stored),
        case {hornbeam_state_store:is_counted(Stored), hornbeam_state:get(Key)} of
            {false, {ok, Value}} -> _ = hornbeam_state:cas(Key, Value, Value), ok;
            _ -> ok
        end
    end, hornbeam_state_store:all_keys()).

limits() ->
    persistent_term:get(?MODULE, none).

%% @doc The number and the size of an entry that is about to be written; zeros without limits.
-spec entry(hornbeam_state_store:stored(), term()) ->
    {ok, Seq :: non_neg_integer(), Size :: non_neg_integer()} | hornbeam_state:full().
entry(Key, Value) ->
    case limits() of
        none ->
            {ok, 0, 0};
        #limits{bytes = Max, counters = Counters} ->
            Size = erlang:external_size(Key) + erlang:external_size(Value),
            case Size > Max of  % a number is less than infinity, an atom
                true -> {error, too_large};
                false -> {ok, atomics:add_get(Counters, ?SEQ, 1), Size}
            end
    end.

%% @doc An entry has been written.
-spec added(hornbeam_state_store:stored(), non_neg_integer(), non_neg_integer()) -> ok.
added(_Key, 0, _Size) ->
    ok;
added(Key, Seq, Size) ->
    #limits{counters = Counters} = limits(),
    atomics:add(Counters, ?BYTES, Size),
    true = ets:insert(?ORDER, {Seq, Key}),
    ok.

%% @doc An entry has been removed or replaced.
-spec removed(non_neg_integer(), non_neg_integer()) -> ok.
removed(0, _Size) ->
    ok;
removed(Seq, Size) ->
    #limits{counters = Counters} = limits(),
    atomics:sub(Counters, ?BYTES, Size),
    true = ets:delete(?ORDER, Seq),
    ok.

%% @doc Evicts until the limits hold.
-spec keep() -> ok.
keep() ->
    case limits() of
        none -> ok;
        Limits -> keep(Limits)
    end.

keep(#limits{counters = Counters} = Limits) ->
    case is_over(Limits) andalso ets:first(?ORDER) of
        Seq when is_integer(Seq) ->
            Evicted = case ets:take(?ORDER, Seq) of
                [{_, Key}] -> hornbeam_state_store:remove(Key, Seq);
                [] -> 0
            end,
            atomics:add(Counters, ?EVICTED, Evicted),
            keep(Limits);
        _ ->
            ok
    end.

is_over(#limits{entries = Entries, bytes = Bytes, counters = Counters}) ->
    hornbeam_state_store:size() > Entries orelse atomics:get(Counters, ?BYTES) > Bytes.

%% @doc For hornbeam_state:info/0.
-spec info() -> #{bytes => integer(), evicted => non_neg_integer()}.
info() ->
    case limits() of
        none ->
            #{};
        #limits{counters = Counters} ->
            #{bytes => atomics:get(Counters, ?BYTES), evicted => atomics:get(Counters, ?EVICTED)}
    end.
