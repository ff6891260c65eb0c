%%% What is over and kept for a time: until when, and how much memory it takes. Pure.
%%%
%%% Called by: hornbeam_task_book, hornbeam_task_part. Calls: nothing. Dead letters have no time; of them the last few stay, of the others those that fit.
-module(hornbeam_task_kept).

-export([new/1, add/5, remove/2, expire/3, next/1, bytes/1]).
-export_type([kept/0]).

-type key() :: {Until :: non_neg_integer() | infinity, Finished :: non_neg_integer(), Id :: binary()}.

-record(kept, {
    max_dead :: pos_integer(),
    timed = gb_sets:new() :: gb_sets:set(key()),
    dead = gb_sets:new() :: gb_sets:set({Finished :: non_neg_integer(), Id :: binary()}),
    known = #{} :: #{Id :: binary() => {key() | {dead, non_neg_integer()}, Bytes :: pos_integer()}},
    bytes = 0 :: non_neg_integer()
}).
-opaque kept() :: #kept{}.

-spec new(MaxDead :: pos_integer()) -> kept().
new(MaxDead) -> #kept{max_dead = MaxDead}.

-spec add(Id :: binary(), Finished :: non_neg_integer(), Until :: non_neg_integer() | infinity | dead, Bytes :: pos_integer(), kept()) -> kept().
add(Id, Finished, dead, Bytes, #kept{dead = Dead, known = Known, bytes = Total} = Kept) ->
    Kept#kept{dead = gb_sets:add_element({Finished, Id}, Dead), known = Known#{Id => {{dead, Finished}, Bytes}}, bytes = Total + Bytes};
add(Id, Finished, Until, Bytes, #kept{timed = Timed, known = Known, bytes = Total} = Kept) ->
    Key = {Until, Finished, Id},
    Kept#kept{timed = gb_sets:add_element(Key, Timed), known = Known#{Id => {Key, Bytes}}, bytes = Total + Bytes}.

-spec remove(Id :: binary(), kept()) -> kept().
remove(Id, #kept{timed = Timed, dead = Dead, known = Known, bytes = Total} = Kept) ->
    case maps:take(Id, Known) of
        {{{dead, Finished}, Bytes}, Rest} ->
            Kept#kept{dead = gb_sets:del_element({Finished, Id}, Dead), known = Rest, bytes = Total - Bytes};
        {{Key, Bytes}, Rest} ->
            Kept#kept{timed = gb_sets:del_element(Key, Timed), known = Rest, bytes = Total - Bytes};
        error ->
            Kept
    end.

%% @doc Those that are to be forgotten now.
-spec expire(Now :: non_neg_integer(), MaxBytes :: pos_integer(), kept()) -> {[Id :: binary()], kept()}.
expire(Now, MaxBytes, Kept) -> expire(Now, MaxBytes, Kept, []).

expire(Now, MaxBytes, #kept{timed = Timed, dead = Dead, bytes = Bytes, max_dead = MaxDead} = Kept, Ids) ->
    case oldest(Timed) of
        {Until, _, Id} when Until =< Now; Bytes > MaxBytes -> expire(Now, MaxBytes, remove(Id, Kept), [Id | Ids]);
        Oldest ->
            case gb_sets:size(Dead) > MaxDead orelse Oldest =:= none andalso Bytes > MaxBytes andalso not gb_sets:is_empty(Dead) of
                true -> {_, Id} = gb_sets:smallest(Dead), expire(Now, MaxBytes, remove(Id, Kept), [Id | Ids]);
                false -> {lists:reverse(Ids), Kept}
            end
    end.

oldest(Set) ->
    case gb_sets:is_empty(Set) of
        true -> none;
        false -> gb_sets:smallest(Set)
    end.

%% @doc When the next one is to be forgotten.
-spec next(kept()) -> non_neg_integer() | infinity.
next(#kept{timed = Timed}) ->
    case oldest(Timed) of
        {Until, _, _} -> Until;
        none -> infinity
    end.

%% @doc What all of them take.
-spec bytes(kept()) -> non_neg_integer().
bytes(#kept{bytes = Bytes}) -> Bytes.
