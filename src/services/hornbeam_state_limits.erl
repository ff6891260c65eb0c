%%% The limits of the shared state: the options state_max_entries and state_max_bytes.
%%%
%%% Policy: when an entry more would pass a limit, the entries that were written longest ago go first (set,
%%% add and cas write; incr of a number that is there does not), until the limits hold. The size of
%%% an entry is that of its key and its value in the external term format. A value that is larger than all
%%% may be is refused. Since a term can take sixteen times as much in a table (a list of small numbers), the tables' own
%%% memory is limited too: to twice state_max_bytes and the ?EMPTY that they may take with nothing in them. So the state takes
%%% three times state_max_bytes at most: that, and the long binaries, which are not in a table.
%%%
%%% Owns the table hornbeam_state_order, {Seq, Key}: the entries by the number of their last write. Called
%%% by: hornbeam_state_store, in the process that writes; hornbeam_state_sweeper, as hornbeam_sup tells it; hornbeam_state (configure/2).
%%% Calls: hornbeam_cgroup, hornbeam_state_sweeper, and the rows by the callbacks below: the store accounts for each change here, and from here
%%% it is told what has to go. One node has one shared state: with several servers the limits hold that the one started last has set.
%%%
%%%     watched ──half of state_max_bytes may be in use──▶ (count) ──a quarter is──▶ exact
%%%        ▲                                                  │
%%%        └──────────────────────────less────────────────────┘
%%%
%%%   watched  the default. An entry gets its number, and what is written is added up: no less than what is there. Nothing is
%%%            noted of what is replaced or removed. 0.2 us for each write.
%%%   exact    the entries are kept in their order, and what each takes is taken off when it goes: 8 us for each write. From
%%%            the start with state_max_entries.
%%%
%%% The count, and the change, are the sweeper's work (for a small table the writer's own); writers go on meanwhile, which the
%%% other half of the limit is for. An entry of the time before has its size as a negative number, until it is settled.
%%%
%%% Failure modes: a writer that is killed between its write and added/3 leaves an entry that is counted
%%% by number but not by size, and that is never chosen to go; the error is that one entry. So is that of a writer that
%%% replaces an entry while the state becomes exact.
-module(hornbeam_state_limits).

-export([configure/2, bytes/1, entry/2, added/3, removed/2, keep/0, look/0, tighten/0, info/0]).
-export_type([key/0]).

-include_lib("kernel/include/logger.hrl").

-define(ORDER, hornbeam_state_order).
-define(EMPTY, 1048576).
-define(MOST_BYTES, 536870912).
-define(LEAST_BYTES, 1024).
-define(TABLES, [hornbeam_state, hornbeam_state_expiry, hornbeam_state_order]).
%% The counters: the last number given out, bytes in the table as counted exactly, entries evicted; while it is watched, no
%% less than the bytes in the table, and whether a count is asked for.
-define(SEQ, 1).
-define(BYTES, 2).
-define(EVICTED, 3).
-define(MOST, 4).
-define(ASKED, 5).
-define(COUNTERS, 5).
%% Entries that are counted in a few milliseconds.
-define(FEW, 10000).

%% As it stands in the table.
-type key() :: term().

-callback size() -> non_neg_integer().
%% Removes the row that was written with this number; how many that were (0 or 1).
-callback remove(key(), Seq :: pos_integer()) -> 0 | 1.
%% What the rows take whose size is not counted exactly, as far as it is known.
-callback uncounted_bytes() -> non_neg_integer().
%% The row that was written with this number has its size counted from now on, if it is still there; each of them that has not.
-callback settle(key(), Seq :: non_neg_integer(), Size :: integer()) -> ok.
-callback settle_all() -> ok.

-record(limits, {
    rows :: module(),
    entries :: pos_integer() | infinity,
    bytes :: pos_integer() | infinity,
    exact :: boolean(),
    counters :: atomics:atomics_ref()
}).

%% @doc Sets the limits of these rows from a server's options. A server without any leaves those of others alone.
-spec configure(Options :: map(), Rows :: module()) -> ok.
configure(#{state_max_entries := infinity, state_max_bytes := infinity}, _Rows) ->
    ok;
configure(#{state_max_bytes := auto} = Options, Rows) ->
    configure(Options#{state_max_bytes := bytes(hornbeam_cgroup:memory_limit())}, Rows);
configure(#{state_max_entries := Entries, state_max_bytes := Bytes}, Rows) ->
    case limits() of
        #limits{exact = true} = Before ->
            put_limits(Before#limits{entries = Entries, bytes = Bytes}),
            keep();
        Before ->
            Counters = case Before of
                none -> atomics:new(?COUNTERS, []);
                #limits{counters = Old} -> Old
            end,
            Limits = #limits{rows = Rows, entries = Entries, bytes = Bytes, exact = false, counters = Counters},
            put_limits(Limits),
            case Entries of
                infinity -> tighten();
                _ -> make_exact(Limits)
            end
    end.

%% @doc What `auto' is with so much memory: three times that must leave enough below max_memory_percent, since what is refused above
%% it does not make the state smaller.
-spec bytes(Memory :: pos_integer() | unknown) -> pos_integer().
bytes(unknown) -> ?MOST_BYTES;
bytes(Memory) -> min(?MOST_BYTES, max(?LEAST_BYTES, Memory div 10)).

limits() ->
    persistent_term:get(?MODULE, none).

put_limits(#limits{} = Limits) ->
    persistent_term:put(?MODULE, Limits).

%% @doc The number and the size of an entry that is about to be written; zeros without limits.
-spec entry(key(), term()) ->
    {ok, Seq :: non_neg_integer(), Size :: integer()} | hornbeam_state:full().
entry(Key, Value) ->
    case limits() of
        none ->
            {ok, 0, 0};
        #limits{bytes = Max, exact = Exact, counters = Counters} ->
            Size = erlang:external_size(Key) + erlang:external_size(Value),
            case Size > Max of  % a number is less than infinity, an atom
                true -> {error, too_large};
                false when Exact -> {ok, atomics:add_get(Counters, ?SEQ, 1), Size};
                false -> {ok, atomics:add_get(Counters, ?SEQ, 1), -Size}
            end
    end.

%% @doc An entry has been written.
-spec added(key(), non_neg_integer(), integer()) -> ok.
added(_Key, 0, _Size) ->
    ok;
added(Key, Seq, Size) when Size > 0 ->
    #limits{counters = Counters} = limits(),
    atomics:add(Counters, ?BYTES, Size),
    true = ets:insert(?ORDER, {Seq, Key}),
    ok;
added(Key, Seq, Size) ->
    case limits() of
        #limits{exact = false, counters = Counters} -> atomics:add(Counters, ?MOST, -Size);
        #limits{exact = true, rows = Rows} -> Rows:settle(Key, Seq, Size)
    end.

%% @doc An entry has been removed or replaced.
-spec removed(non_neg_integer(), integer()) -> ok.
removed(_Seq, Size) when Size =< 0 ->
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
        none ->
            ok;
        #limits{exact = true} = Limits ->
            keep(Limits);
        #limits{bytes = Max, counters = Counters} = Limits ->
            case atomics:get(Counters, ?MOST) * 2 > Max of
                true -> ask(Limits);
                false -> ok
            end
    end.

keep(#limits{rows = Rows, counters = Counters} = Limits) ->
    case is_over(Limits) andalso ets:first(?ORDER) of
        Seq when is_integer(Seq) ->
            Evicted = case ets:take(?ORDER, Seq) of
                [{_, Key}] -> Rows:remove(Key, Seq);
                [] -> 0
            end,
            atomics:add(Counters, ?EVICTED, Evicted),
            keep(Limits);
        _ ->
            ok
    end.

is_over(#limits{rows = Rows, entries = Entries, bytes = Bytes, counters = Counters}) ->
    Rows:size() > Entries orelse atomics:get(Counters, ?BYTES) > Bytes
        orelse is_heavy(Bytes, 2).

is_heavy(infinity, _Times) ->
    false;
is_heavy(Bytes, Times) ->
    lists:sum([ets:info(Table, memory) || Table <- ?TABLES]) * erlang:system_info(wordsize)
        > Times * Bytes + ?EMPTY.

%% Once: whoever comes first.
ask(#limits{rows = Rows, counters = Counters}) ->
    case atomics:compare_exchange(Counters, ?ASKED, 0, 1) of
        ok ->
            case Rows:size() < ?FEW of
                true -> tighten();
                false -> hornbeam_state_sweeper:run(fun ?MODULE:tighten/0)
            end;
        _ ->
            ok
    end.

%% @doc Now and then: the tables' own memory, which writers do not look at while the state is watched.
-spec look() -> ok.
look() ->
    case limits() of
        #limits{exact = false, bytes = Max} = Limits ->
            case is_heavy(Max, 1) of
                true -> ask(Limits);
                false -> ok
            end;
        _ ->
            ok
    end.

%% @doc Counts what is there, and has it counted exactly from now on where that is much.
-spec tighten() -> ok.
tighten() ->
    case limits() of
        #limits{exact = false, rows = Rows, bytes = Max, counters = Counters} = Limits ->
            Most = atomics:get(Counters, ?MOST),
            Counted = Rows:uncounted_bytes(),
            case Counted * 4 > Max orelse is_heavy(Max, 1) of
                true ->
                    ?LOG_NOTICE("the shared state nears state_max_bytes (~b): beyond it, what was written longest ago is "
                                "evicted", [Max]),
                    make_exact(Limits);
                false ->
                    %% What is written meanwhile has been added to the counter and stays in it.
                    atomics:sub(Counters, ?MOST, Most - Counted),
                    atomics:put(Counters, ?ASKED, 0)
            end;
        _ ->
            ok
    end.

make_exact(#limits{rows = Rows} = Limits) ->
    put_limits(Limits#limits{exact = true}),
    Rows:settle_all(),
    keep().

%% @doc For hornbeam_state:info/0: nothing while it is not known.
-spec info() -> #{bytes => integer(), evicted => non_neg_integer()}.
info() ->
    case limits() of
        #limits{exact = true, counters = Counters} ->
            #{bytes => atomics:get(Counters, ?BYTES), evicted => atomics:get(Counters, ?EVICTED)};
        _ ->
            #{}
    end.
