%%% Results that were computed once: rows in ETS, bounded by bytes, and the figures of each namespace.
%%%
%%% Owns the form of the tables below (hornbeam_tables owns the tables themselves). Called by: hornbeam_cache, in its process, the only one
%%% that writes rows; hornbeam_service_cache (read/1, stats/0), in a worker's process;
%%% hornbeam_cluster_cache_home (left/1, stats/0). Calls: hornbeam_cgroup.
%%%
%%%   hornbeam_cache             {{Namespace, Digest}, Packed, Expires, Used, Order, Size, Counters}     set
%%%   hornbeam_cache_order       {{Order, Key}}       ordered_set: who goes first
%%%   hornbeam_cache_expiry      {{Expires, Key}}     ordered_set: what expires when
%%%   hornbeam_cache_namespaces  {Namespace, Counters}
%%%
%%% Packed is msgpack, as Python packed it; nothing here reads it. A hit is a lookup, an addition to an atomic counter and, when something
%%% was stored since the row was last read, a mark in the row: 1 us, and no process is asked.
%%%
%%% What goes first. Each write has an even number; a row that is read is marked (Used) with the odd one after the last write's. Order is its
%%% place in the line, which a reader does not move: when room is needed, the first in the line goes, unless it was read since it got its place;
%%% then it gets the place of Used and the next one is looked at. So what was used least recently goes first; of those that were read between
%%% the same two writes any may. After ?CHANCES rows that were all read the next one goes in any case: a write costs some milliseconds at most.
%%%
%%% Limits: cache_max_bytes for packed values, keys and ?ROW for each; ?NAMESPACES namespaces have figures of their own, the others
%%% share those of ?OTHERS.
-module(hornbeam_cache_store).

-export([new/0, configure/1, bytes/1, read/1, peek/1, left/1, write/3, clear/1, remove_expired/0, has_expired/0, count/2, stats/0]).
-export_type([key/0, figure/0]).

-define(TABLE, hornbeam_cache).
-define(ORDER, hornbeam_cache_order).
-define(EXPIRY, hornbeam_cache_expiry).
-define(NAMES, hornbeam_cache_namespaces).

%% What a row takes in the tables besides its key and its value: measured with 100,000 rows that expire (OTP 25, 64 bits), rounded up.
-define(ROW, 720).
-define(CHANCES, 1000).
-define(NAMESPACES, 1000).
-define(OTHERS, <<"*">>).
-define(MOST_BYTES, 134217728).
-define(NO_LIMIT, 16#7FFFFFFFFFFFFFFF).

%% Counters of the node.
-define(SEQ, 1).
-define(LIMIT, 2).
-define(BYTES, 3).

-type key() :: {Namespace :: binary(), Digest :: binary()}.
-type figure() :: hits | misses | waits | evictions | bytes | entries.

%% @doc Empty tables, and the limit that was set before.
-spec new() -> ok.
new() ->
    Limit = case persistent_term:get(?MODULE, none) of
        none -> ?MOST_BYTES;
        Before -> atomics:get(Before, ?LIMIT)
    end,
    [true = ets:delete_all_objects(Table) || Table <- [?TABLE, ?ORDER, ?EXPIRY, ?NAMES]],
    Node = atomics:new(3, []),
    ok = atomics:put(Node, ?LIMIT, Limit),
    persistent_term:put(?MODULE, Node).

node_counters() ->
    persistent_term:get(?MODULE).

%% @doc Sets the limit from a server's options; what is there already goes with the next write.
-spec configure(Options :: map()) -> ok.
configure(#{cache_max_bytes := auto}) ->
    set_limit(bytes(hornbeam_cgroup:memory_limit()));
configure(#{cache_max_bytes := infinity}) ->
    set_limit(?NO_LIMIT);
configure(#{cache_max_bytes := Bytes}) ->
    set_limit(Bytes).

set_limit(Bytes) ->
    atomics:put(node_counters(), ?LIMIT, Bytes).

%% @doc What `auto' is with so much memory.
-spec bytes(Memory :: pos_integer() | unknown) -> pos_integer().
bytes(unknown) -> ?MOST_BYTES;
bytes(Memory) -> min(?MOST_BYTES, max(1, Memory div 20)).

%%% Reading

%% @doc The packed value of a key: a hit.
-spec read(key()) -> {ok, Packed :: binary()} | error.
read(Key) ->
    case ets:lookup(?TABLE, Key) of
        [{_, Packed, Expires, Used, _, _, Counters}] ->
            case is_current(Expires) of
                true ->
                    counters:add(Counters, index(hits), 1),
                    mark(Key, Used, atomics:get(node_counters(), ?SEQ) + 1),
                    {ok, Packed};
                false ->
                    error
            end;
        [] ->
            error
    end.

mark(_Key, Now, Now) -> true;
mark(Key, _Used, Now) -> ets:update_element(?TABLE, Key, {4, Now}).

%% @doc As read/1, and no hit.
-spec peek(key()) -> {ok, Packed :: binary()} | error.
peek(Key) ->
    case left(Key) of
        {ok, Packed, _} -> {ok, Packed};
        error -> error
    end.

%% @doc As peek/1, with how many ms of its life are left.
-spec left(key()) -> {ok, Packed :: binary(), pos_integer() | infinity} | error.
left(Key) ->
    case ets:lookup(?TABLE, Key) of
        [{_, Packed, infinity, _, _, _, _}] -> {ok, Packed, infinity};
        [{_, Packed, Expires, _, _, _, _}] ->
            case Expires - now_ms() of
                Left when Left > 0 -> {ok, Packed, Left};
                _ -> error
            end;
        [] ->
            error
    end.

%% An atom is more than any number.
is_current(Expires) ->
    Expires > now_ms().

now_ms() ->
    erlang:monotonic_time(millisecond).

%%% Writing

%% @doc Stores a value for Ttl ms, and makes room for it; `too_large' for what is larger than all may be.
-spec write(key(), Packed :: binary(), Ttl :: pos_integer() | infinity) -> ok | too_large.
write({Namespace, Digest} = Key, Packed, Ttl) ->
    Node = node_counters(),
    Size = byte_size(Packed) + byte_size(Namespace) + byte_size(Digest) + ?ROW,
    _ = remove(Key),
    case Size > atomics:get(Node, ?LIMIT) of
        true ->
            too_large;
        false ->
            Seq = atomics:add_get(Node, ?SEQ, 2),
            Counters = counters(Namespace),
            Expires = expires(Ttl),
            true = ets:insert(?TABLE, {Key, Packed, Expires, Seq, Seq, Size, Counters}),
            true = ets:insert(?ORDER, {{Seq, Key}}),
            _ = Ttl =:= infinity orelse ets:insert(?EXPIRY, {{Expires, Key}}),
            account(Counters, 1, Size),
            evict(Node, ?CHANCES)
    end.

expires(infinity) -> infinity;
expires(Ttl) -> now_ms() + Ttl.

account(Counters, Entries, Bytes) ->
    atomics:add(node_counters(), ?BYTES, Bytes),
    counters:add(Counters, index(bytes), Bytes),
    counters:add(Counters, index(entries), Entries).

evict(Node, Chances) ->
    case atomics:get(Node, ?BYTES) > atomics:get(Node, ?LIMIT) andalso ets:first(?ORDER) of
        {Order, Key} -> evict(Node, Chances, Order, ets:lookup(?TABLE, Key));
        _ -> ok
    end.

evict(Node, Chances, Order, [{Key, _, _, Used, Order, _, _}]) when Used > Order, Chances > 0 ->
    true = ets:delete(?ORDER, {Order, Key}),
    true = ets:insert(?ORDER, {{Used, Key}}),
    true = ets:update_element(?TABLE, Key, {5, Used}),
    evict(Node, Chances - 1);
evict(Node, Chances, _Order, [{Key, _, _, _, _, _, Counters}]) ->
    counters:add(Counters, index(evictions), 1),
    _ = remove(Key),
    evict(Node, Chances).

remove(Key) ->
    case ets:take(?TABLE, Key) of
        [{_, _, Expires, _, Order, Size, Counters}] ->
            true = ets:delete(?ORDER, {Order, Key}),
            true = ets:delete(?EXPIRY, {Expires, Key}),
            account(Counters, -1, -Size),
            1;
        [] ->
            0
    end.

%% @doc Removes everything, or a namespace; how many rows that were. Walks the whole table.
-spec clear(all | Namespace :: binary()) -> non_neg_integer().
clear(all) ->
    remove_all([{{'$1', '_', '_', '_', '_', '_', '_'}, [], ['$1']}]);
clear(Namespace) ->
    remove_all([{{{Namespace, '$1'}, '_', '_', '_', '_', '_', '_'}, [], [{{Namespace, '$1'}}]}]).

remove_all(Match) ->
    lists:sum([remove(Key) || Key <- ets:select(?TABLE, Match)]).

%% @doc Removes what has expired.
-spec remove_expired() -> ok.
remove_expired() ->
    case has_expired() of
        true ->
            {_, Key} = ets:first(?EXPIRY),
            1 = remove(Key),
            remove_expired();
        false ->
            ok
    end.

-spec has_expired() -> boolean().
has_expired() ->
    case ets:first(?EXPIRY) of
        {Expires, _} -> not is_current(Expires);
        '$end_of_table' -> false
    end.

%%% Figures

index(hits) -> 1;
index(misses) -> 2;
index(waits) -> 3;
index(evictions) -> 4;
index(bytes) -> 5;
index(entries) -> 6.

counters(Namespace) ->
    case ets:lookup(?NAMES, Namespace) of
        [{_, Counters}] ->
            Counters;
        [] ->
            case Namespace =:= ?OTHERS orelse ets:info(?NAMES, size) < ?NAMESPACES of
                true ->
                    Counters = counters:new(6, []),
                    true = ets:insert(?NAMES, {Namespace, Counters}),
                    Counters;
                false ->
                    counters(?OTHERS)
            end
    end.

%% @doc One more of these in a namespace.
-spec count(figure(), Namespace :: binary()) -> ok.
count(Figure, Namespace) ->
    counters:add(counters(Namespace), index(Figure), 1).

%% @doc The figures of the node, and those of each namespace.
-spec stats() -> #{figure() | max_bytes | namespaces => term()}.
stats() ->
    Figures = [hits, misses, waits, evictions, bytes, entries],
    Each = maps:from_list([{Namespace, maps:from_list([{Figure, counters:get(Counters, index(Figure))} || Figure <- Figures])}
                           || {Namespace, Counters} <- ets:tab2list(?NAMES)]),
    Sum = fun(Figure) -> lists:sum([maps:get(Figure, Own) || Own <- maps:values(Each)]) end,
    Limit = case atomics:get(node_counters(), ?LIMIT) of
        ?NO_LIMIT -> none;
        Bytes -> Bytes
    end,
    maps:merge(maps:from_list([{Figure, Sum(Figure)} || Figure <- Figures]), #{max_bytes => Limit, namespaces => Each}).
