%%% The rows of the shared state and every change of them.
%%%
%%% Owns the form of the tables hornbeam_state and hornbeam_state_expiry (hornbeam_tables owns the tables
%%% themselves). Called by: hornbeam_state; hornbeam_rate_limit; hornbeam_state_sweeper, as hornbeam_sup tells it; hornbeam_state_limits by its callbacks.
%%% Calls: hornbeam_state_limits, for what a limit has to know.
%%%
%%%   hornbeam_state          {Key, Value, Expires, Seq, Size}     set
%%%   hornbeam_state_expiry   {{Expires, Hash, Key}}               ordered_set: what to remove when
%%%
%%% Expires is in ms of the monotonic clock, ?NEVER for what stays. Seq and Size belong to
%%% hornbeam_state_limits: 0 while there is no limit, and Size is negative while the limit is far.
%%%
%%% Concurrency. Each change is one atomic operation on one row, or a loop around one that is tried again
%%% when another process has changed the row meanwhile: whoever fails, another has succeeded.
%%% An entry of the expiry table may be stale (its row has gone or has another time); it
%%% is then removed when its time comes, and harms nobody.
%%%
%%% Keys stand in match patterns, where a map matches larger maps and '_' and '$1' match anything. key/1
%%% packs those that could be taken for a pattern, so that a stored key matches itself alone.
-module(hornbeam_state_store).
-behaviour(hornbeam_state_limits).

-export([key/1, original/1, read/1, write/3, write_new/3, replace/3, replace/4, take/1, count/3, sum/3]).
-export([all_keys/0, sizes/1, remove_expired/0]).
-export([size/0, uncounted_bytes/0, settle/3, settle_all/0, remove/2]).     % hornbeam_state_limits
-export_type([stored/0]).

-define(TABLE, hornbeam_state).
-define(EXPIRY, hornbeam_state_expiry).
-define(NEVER, 0).
-define(PACKED, '$hornbeam_packed').
-define(CHUNK, 1000).

-type stored() :: hornbeam_state_limits:key().

-spec key(hornbeam_state:key()) -> stored().
key(Key) when is_binary(Key); is_number(Key) ->
    Key;
key(Key) ->
    case is_plain(Key) of
        true -> Key;
        false -> {?PACKED, term_to_binary(Key, [deterministic])}
    end.

is_plain(Key) when is_binary(Key); is_number(Key); is_pid(Key); is_reference(Key) -> true;
is_plain(?PACKED) -> false;
is_plain(Key) when is_atom(Key) ->
    case atom_to_list(Key) of
        "_" -> false;
        [$$ | _] -> false;
        _ -> true
    end;
is_plain([Head | Tail]) -> is_plain(Head) andalso is_plain(Tail);
is_plain([]) -> true;
is_plain(Key) when is_tuple(Key) -> lists:all(fun is_plain/1, tuple_to_list(Key));
is_plain(_) -> false.

-spec original(stored()) -> hornbeam_state:key().
original({?PACKED, Packed}) -> binary_to_term(Packed);
original(Key) -> Key.

-spec read(stored()) -> {ok, term()} | error.
read(Key) ->
    case ets:lookup(?TABLE, Key) of
        [{_, Value, ?NEVER, _, _}] -> {ok, Value};
        [{_, Value, Expires, _, _}] -> unexpired(Value, Expires);
        [] -> error
    end.

unexpired(Value, Expires) ->
    case is_current(Expires) of
        true -> {ok, Value};
        false -> error
    end.

is_current(Expires) ->
    Expires =:= ?NEVER orelse Expires > now_ms().

-spec write(stored(), term(), hornbeam_state:ttl()) -> ok | hornbeam_state:full().
write(Key, Value, Ttl) ->
    case hornbeam_state_limits:entry(Key, Value) of
        {ok, Seq, Size} ->
            Row = {Key, Value, expires(Ttl), Seq, Size},
            Before = expiry_of(Key),
            put_row(Row),
            note_expiry(Row),
            drop_expiry(Key, Before),
            hornbeam_state_limits:keep();
        {error, too_large} = Error ->
            Error
    end.

%% While no limit is near there is nothing to know of the row that is replaced.
put_row({Key, _, _, Seq, Size} = Row) when Size =< 0 ->
    true = ets:insert(?TABLE, Row),
    hornbeam_state_limits:added(Key, Seq, Size);
put_row({Key, _, _, Seq, Size} = Row) ->
    case ets:lookup(?TABLE, Key) of
        [] ->
            case ets:insert_new(?TABLE, Row) of
                true -> hornbeam_state_limits:added(Key, Seq, Size);
                false -> put_row(Row)
            end;
        [{_, _, _, OldSeq, OldSize}] ->
            Match = {Key, '_', '_', OldSeq, OldSize},
            case ets:select_replace(?TABLE, [{Match, [], [{const, Row}]}]) of
                1 ->
                    hornbeam_state_limits:removed(OldSeq, OldSize),
                    hornbeam_state_limits:added(Key, Seq, Size);
                0 ->
                    put_row(Row)
            end
    end.

-spec write_new(stored(), term(), hornbeam_state:ttl()) -> boolean() | hornbeam_state:full().
write_new(Key, Value, Ttl) ->
    case hornbeam_state_limits:entry(Key, Value) of
        {ok, Seq, Size} -> insert_new({Key, Value, expires(Ttl), Seq, Size});
        {error, too_large} = Error -> Error
    end.

insert_new({Key, _, _, Seq, Size} = Row) ->
    case ets:insert_new(?TABLE, Row) of
        true ->
            hornbeam_state_limits:added(Key, Seq, Size),
            note_expiry(Row),
            ok = hornbeam_state_limits:keep(),
            true;
        false ->
            remove_stale(Key) andalso insert_new(Row)
    end.

%% Removes a row that has expired; false when there is one that has not.
remove_stale(Key) ->
    case ets:lookup(?TABLE, Key) of
        [{_, _, Expires, _, _}] ->
            case is_current(Expires) of
                true -> false;
                false -> _ = remove_at(Key, Expires), true
            end;
        [] ->
            true
    end.

-spec replace(stored(), Old :: term(), New :: term()) -> boolean() | hornbeam_state:full().
replace(Key, Old, New) ->
    replace(Key, Old, New, same).

%% As replace/3, with another time of expiry.
-spec replace(stored(), Old :: term(), New :: term(), hornbeam_state:ttl() | same) -> boolean() | hornbeam_state:full().
replace(Key, Old, New, Ttl) ->
    case hornbeam_state_limits:entry(Key, New) of
        {ok, Seq, Size} -> replace(Key, Old, New, Ttl, {Seq, Size});
        {error, too_large} = Error -> Error
    end.

replace(Key, Old, New, Ttl, {Seq, Size} = Numbers) ->
    case ets:lookup(?TABLE, Key) of
        [{_, Old, Expires, OldSeq, OldSize}] ->
            is_current(Expires) andalso
                case swap({Key, Old, Expires, OldSeq, OldSize}, {Key, New, expires(Ttl, Expires), Seq, Size}) of
                    true -> ok = hornbeam_state_limits:keep(), true;
                    false -> replace(Key, Old, New, Ttl, Numbers)
                end;
        _ ->
            false
    end.

expires(same, Before) -> Before;
expires(Ttl, _Before) -> expires(Ttl).

%% Puts New in the place of exactly that row. The value stands in a guard, as a constant: it is no pattern.
swap({Key, Old, Expires, OldSeq, OldSize}, {Key, _, NewExpires, Seq, Size} = New) ->
    Match = [{{Key, '$1', Expires, OldSeq, OldSize}, [{'=:=', '$1', {const, Old}}],
              [{const, New}]}],
    case ets:select_replace(?TABLE, Match) of
        1 ->
            hornbeam_state_limits:removed(OldSeq, OldSize),
            hornbeam_state_limits:added(Key, Seq, Size),
            _ = NewExpires =:= Expires orelse moved(New, Expires),
            true;
        0 ->
            false
    end.

moved({Key, _, _, _, _} = New, Before) ->
    ok = note_expiry(New),
    drop_expiry(Key, Before).

-spec take(stored()) -> {ok, term()} | error.
take(Key) ->
    case ets:take(?TABLE, Key) of
        [{_, Value, Expires, Seq, Size}] ->
            hornbeam_state_limits:removed(Seq, Size),
            drop_expiry(Key, Expires),
            unexpired(Value, Expires);
        [] ->
            error
    end.

%% Adds an integer: one atomic operation of ETS while the value is an integer.
-spec count(stored(), integer(), hornbeam_state:ttl()) ->
    {ok, number()} | hornbeam_state:not_counted() | hornbeam_state:full().
count(Key, Delta, Ttl) ->
    case hornbeam_state_limits:entry(Key, 0) of
        {ok, Seq, Size} -> count(Key, Delta, Ttl, {Key, 0, expires(Ttl), Seq, Size});
        {error, too_large} = Error -> Error
    end.

count(Key, Delta, Ttl, {_, _, New, NewSeq, Size} = Default) ->
    try ets:update_counter(?TABLE, Key, [{2, Delta}, {3, 0}, {4, 0}], Default) of
        [Value, Expires, Seq] ->
            case is_current(Expires) of
                true ->
                    _ = Seq =:= NewSeq andalso Expires =:= New andalso (Seq > 0 orelse New > 0)
                        andalso counter_made({Key, Delta, New, NewSeq, Size}),
                    {ok, Value};
                false ->
                    %% Of those who meet the expired number one removes it, and all count afresh.
                    _ = remove_at(Key, Expires),
                    count(Key, Delta, Ttl)
            end
    catch
        %% No integer. The row may also have vanished meanwhile: sum/3 looks.
        error:badarg -> sum(Key, Delta, Ttl)
    end.

%% Noting a time of expiry again, because two made the counter in the same millisecond, changes nothing;
%% Seq is each writer's own.
counter_made({Key, _, _, Seq, Size} = Row) ->
    hornbeam_state_limits:added(Key, Seq, Size),
    note_expiry(Row),
    hornbeam_state_limits:keep().

%% Adds where a float is involved: replaced if nobody has changed it meanwhile, or else tried again.
-spec sum(stored(), number(), hornbeam_state:ttl()) ->
    {ok, number()} | hornbeam_state:not_counted() | hornbeam_state:full().
sum(Key, Delta, Ttl) ->
    case ets:lookup(?TABLE, Key) of
        [{_, Value, Expires, Seq, Size} = Row] ->
            case is_current(Expires) of
                true -> sum(Row, {Key, add(Value, Delta), Expires, Seq, Size}, Delta, Ttl);
                false -> _ = remove_at(Key, Expires), sum(Key, Delta, Ttl)
            end;
        [] ->
            case write_new(Key, Delta, Ttl) of
                true -> {ok, Delta};
                false -> sum(Key, Delta, Ttl);
                {error, too_large} = Error -> Error
            end
    end.

sum(_Row, {_, {error, Reason}, _, _, _}, _Delta, _Ttl) ->
    {error, Reason};
sum({Key, _, _, _, _} = Row, {_, {ok, Sum}, Expires, Seq, Size}, Delta, Ttl) ->
    Match = {Key, '$1', Expires, Seq, Size},
    New = {Key, Sum, Expires, Seq, Size},
    case ets:select_replace(?TABLE, [{Match, [{'=:=', '$1', {const, element(2, Row)}}],
                                      [{const, New}]}]) of
        1 -> {ok, Sum};
        0 -> sum(Key, Delta, Ttl)
    end.

add(Value, Delta) when is_number(Value) ->
    try {ok, Value + Delta}
    catch error:badarith -> {error, out_of_range}
    end;
add(Value, _Delta) when Value =:= nan; Value =:= infinity; Value =:= '-infinity' ->
    {error, out_of_range};
add(_Value, _Delta) ->
    {error, not_a_number}.

-spec all_keys() -> [stored()].
all_keys() ->
    Current = {'orelse', {'=:=', '$2', ?NEVER}, {'>', '$2', now_ms()}},
    ets:select(?TABLE, [{{'$1', '_', '$2', '_', '_'}, [Current], ['$1']}]).

%% For a person: keys, what each takes (bytes of the external format; 0 where nothing is known), and when it expires, ms from now. No more than Max of
%% them, in no order.
-spec sizes(Max :: pos_integer()) -> [{hornbeam_state:key(), Bytes :: non_neg_integer(), Left :: integer() | never}].
sizes(Max) ->
    Now = now_ms(),
    case ets:select(?TABLE, [{{'$1', '_', '$2', '_', '$3'}, [], [{{'$1', '$2', '$3'}}]}], Max) of
        {Rows, _} -> [{original(Key), abs(Size), case Expires of ?NEVER -> never; _ -> Expires - Now end} || {Key, Expires, Size} <- Rows];
        '$end_of_table' -> []
    end.

%%% What the limits ask for

-spec uncounted_bytes() -> non_neg_integer().
uncounted_bytes() ->
    sum_sizes(ets:select(?TABLE, [{{'_', '_', '_', '_', '$1'}, [{'<', '$1', 0}], ['$1']}], ?CHUNK), 0).

sum_sizes('$end_of_table', Sum) -> Sum;
sum_sizes({Sizes, More}, Sum) -> sum_sizes(ets:select(More), Sum - lists:sum(Sizes)).

%% Rows that are written meanwhile may be left out.
-spec settle_all() -> ok.
settle_all() ->
    true = ets:safe_fixtable(?TABLE, true),
    settle_rows(ets:select(?TABLE, [{{'$1', '_', '_', '$2', '$3'}, [{'=<', '$3', 0}], [{{'$1', '$2', '$3'}}]}], ?CHUNK)),
    true = ets:safe_fixtable(?TABLE, false),
    ok.

settle_rows('$end_of_table') ->
    ok;
settle_rows({Rows, More}) ->
    lists:foreach(fun({Key, Seq, Size}) -> settle(Key, Seq, Size) end, Rows),
    settle_rows(ets:select(More)).

%% Exactly this row gets its size, or has been replaced meanwhile. One of the time without any limit is written again, and gets
%% its number and its size.
-spec settle(stored(), Seq :: non_neg_integer(), Size :: integer()) -> ok.
settle(Key, 0, _Size) ->
    case read(Key) of
        {ok, Value} -> _ = replace(Key, Value, Value), ok;
        error -> ok
    end;
settle(Key, Seq, Size) ->
    Row = {{{const, Key}, '$1', '$2', Seq, -Size}},
    case ets:select_replace(?TABLE, [{{Key, '$1', '$2', Seq, Size}, [], [Row]}]) of
        1 -> hornbeam_state_limits:added(Key, Seq, -Size);
        0 -> ok
    end.

-spec size() -> non_neg_integer().
size() ->
    ets:info(?TABLE, size).

%%% Expiry

%% @doc Removes what has expired; how many rows that were.
-spec remove_expired() -> non_neg_integer().
remove_expired() ->
    remove_expired(now_ms(), 0).

remove_expired(Now, Count) ->
    case ets:first(?EXPIRY) of
        {Expires, _, Key} = Entry when Expires =< Now ->
            true = ets:delete(?EXPIRY, Entry),
            remove_expired(Now, Count + remove_at(Key, Expires));
        _ ->
            Count
    end.

remove_at(Key, Expires) ->
    case ets:lookup(?TABLE, Key) of
        [{_, _, Expires, Seq, Size}] -> remove_row(Key, Expires, Seq, Size);
        _ -> 0
    end.

-spec remove(stored(), Seq :: pos_integer()) -> 0 | 1.
remove(Key, Seq) ->
    case ets:lookup(?TABLE, Key) of
        [{_, _, Expires, Seq, Size}] -> remove_row(Key, Expires, Seq, Size);
        _ -> 0
    end.

%% Exactly the row that was looked at, so that it is accounted for once.
remove_row(Key, Expires, Seq, Size) ->
    case ets:select_delete(?TABLE, [{{Key, '_', Expires, Seq, Size}, [], [true]}]) of
        1 ->
            hornbeam_state_limits:removed(Seq, Size),
            drop_expiry(Key, Expires),
            1;
        0 ->
            0
    end.

note_expiry({_, _, ?NEVER, _, _}) ->
    ok;
note_expiry({Key, _, Expires, _, _}) ->
    true = ets:insert(?EXPIRY, {expiry(Key, Expires)}),
    ok.

expiry_of(Key) ->
    try ets:lookup_element(?TABLE, Key, 3)
    catch error:badarg -> ?NEVER
    end.

%% Another process may have written the key with the very same time meanwhile: its entry is put back.
drop_expiry(_Key, ?NEVER) ->
    ok;
drop_expiry(Key, Expires) ->
    true = ets:delete(?EXPIRY, expiry(Key, Expires)),
    case expiry_of(Key) of
        Expires -> note_expiry({Key, none, Expires, 0, 0});
        _ -> ok
    end.

%% The hash keeps 1 and 1.0 apart, which are one key to an ordered_set.
expiry(Key, Expires) ->
    {Expires, erlang:phash2(Key), Key}.

expires(infinity) -> ?NEVER;
expires(Ttl) -> now_ms() + Ttl.

%% Always positive, so that ?NEVER is no point in time.
now_ms() ->
    Elapsed = erlang:monotonic_time() - erlang:system_info(start_time),
    erlang:convert_time_unit(Elapsed, native, millisecond) + 1.
