%%% The keys and values of the replicated state, as one member has them: a part of the cluster's machine, pure.
%%%
%%% Called by: hornbeam_cluster_machine. Calls: hornbeam_cluster_part, hornbeam_prefix. hornbeam_cluster_state makes its operations and reads its answers.
%%%
%%% Keys come in a form that compares exactly (hornbeam_cluster_state): binaries, {bytes, _}, {term, _}. A value is a number or
%%% what its owner has encoded: nothing is looked at but whether two are the same. Numbers are as they are, so that they can be added to.
%%%
%%%     tree      Key -> {Value, Revision, End}   Revision: the number of the last change. End: ms of the cluster's time, or infinity
%%%     ends      {End, Key}, of those that have one
%%%     bytes     keys and values, with ?ENTRY for each
%%%
%%% Limit: the operation says how many bytes all may take; what would go beyond is refused (`full'), so that all members decide alike. What makes
%%% nothing larger is never refused.
-module(hornbeam_cluster_kv).
-behaviour(hornbeam_cluster_part).

-export([new/0, apply/3, expire/2, waits/1, query/3, weight/1, largest/1, size/1]).
-export_type([operation/0, question/0, key/0, value/0, ttl/0]).

-compile({no_auto_import, [size/1]}).

-type key() :: binary() | {bytes | term, binary()}.
-type value() :: number() | binary().
-type ttl() :: pos_integer() | infinity.
-type operation() :: {put | add, key(), value(), ttl(), Max :: pos_integer()}
                   | {cas, key(), Old :: value(), New :: value(), Max :: pos_integer()}
                   | {replace, key(), revision(), New :: value(), ttl() | keep, Max :: pos_integer()}
                   | {incr, key(), number(), ttl(), Max :: pos_integer()}
                   | {take, key()} | {touch, key(), ttl()}.
-type question() :: {get, key()} | {get_multi, [key()]} | {page, Prefix :: none | key(), After :: none | key(), Limit :: pos_integer()} | size.
%% 0 where there is none.
-type revision() :: non_neg_integer().

%% What an entry takes besides its key and its value.
-define(ENTRY, 200).
-define(PAGE, 1048576).

-record(kv, {
    tree = gb_trees:empty() :: gb_trees:tree(key(), {value(), pos_integer(), integer() | infinity}),
    ends = gb_sets:empty() :: gb_sets:set({integer(), key()}),
    bytes = 0 :: non_neg_integer()
}).
-type kv() :: #kv{}.

-spec new() -> kv().
new() -> #kv{}.

-spec apply(operation(), hornbeam_cluster_part:context(), kv()) -> {term(), [hornbeam_cluster_part:event()], kv()}.
apply({put, Key, Value, Ttl, Max}, Context, Kv) ->
    write(Key, Value, ends(Ttl, Context), Max, ok, Context, Kv);
apply({add, Key, Value, Ttl, Max}, Context, Kv) ->
    case find(Key, Kv) of
        none -> write(Key, Value, ends(Ttl, Context), Max, true, Context, Kv);
        _ -> {false, [], Kv}
    end;
apply({cas, Key, Old, New, Max}, Context, Kv) ->
    case find(Key, Kv) of
        {Old, _, End} -> write(Key, New, End, Max, true, Context, Kv);
        _ -> {false, [], Kv}
    end;
apply({replace, Key, Revision, New, Ttl, Max}, Context, Kv) ->
    case find(Key, Kv) of
        none when Revision =:= 0 -> write(Key, New, kept(Ttl, infinity, Context), Max, true, Context, Kv);
        {_, Revision, End} -> write(Key, New, kept(Ttl, End, Context), Max, true, Context, Kv);
        _ -> {false, [], Kv}
    end;
apply({incr, Key, Delta, Ttl, Max}, Context, Kv) ->
    case find(Key, Kv) of
        none -> write(Key, Delta, ends(Ttl, Context), Max, {ok, Delta}, Context, Kv);
        {Number, _, End} when is_number(Number) -> counted(sum(Number, Delta), Key, End, Max, Context, Kv);
        _ -> {{error, not_a_number}, [], Kv}
    end;
apply({take, Key}, Context, Kv) ->
    case find(Key, Kv) of
        none -> {error, [], Kv};
        {Value, _, _} -> {{ok, Value}, [{delete, Key, revision(Context)}], remove(Key, Kv)}
    end;
apply({touch, Key, Ttl}, Context, Kv) ->
    case find(Key, Kv) of
        none -> {false, [], Kv};
        {Value, Revision, _} -> {true, [], insert(Key, Value, Revision, ends(Ttl, Context), Kv)}
    end;
apply(_Unknown, _Context, Kv) ->
    {{error, unknown}, [], Kv}.

counted({ok, Sum}, Key, End, Max, Context, Kv) -> write(Key, Sum, End, Max, {ok, Sum}, Context, Kv);
counted(Error, _Key, _End, _Max, _Context, Kv) -> {Error, [], Kv}.

sum(A, B) ->
    try {ok, A + B}
    catch error:badarith -> {error, out_of_range}
    end.

revision(#{index := Index}) -> Index.

ends(infinity, _) -> infinity;
ends(Ttl, #{now := Now}) -> hornbeam_cluster_part:ends(Now, Ttl).

kept(keep, End, _) -> End;
kept(Ttl, _, Context) -> ends(Ttl, Context).

find(Key, #kv{tree = Tree}) ->
    case gb_trees:lookup(Key, Tree) of
        {value, Entry} -> Entry;
        none -> none
    end.

write(Key, Value, End, Max, Reply, Context, Kv) ->
    Revision = revision(Context),
    New = #kv{bytes = Bytes} = insert(Key, Value, Revision, End, Kv),
    case Bytes > Max andalso Bytes > Kv#kv.bytes of
        true -> {{error, full}, [], Kv};
        false -> {Reply, [{put, Key, Value, Revision}], New}
    end.

insert(Key, Value, Revision, End, Kv) ->
    #kv{tree = Tree, ends = Ends, bytes = Bytes} = remove(Key, Kv),
    Kv#kv{tree = gb_trees:insert(Key, {Value, Revision, End}, Tree), bytes = Bytes + bytes(Key, Value),
          ends = case End of infinity -> Ends; _ -> gb_sets:add({End, Key}, Ends) end}.

remove(Key, #kv{tree = Tree, ends = Ends, bytes = Bytes} = Kv) ->
    case gb_trees:take_any(Key, Tree) of
        {{Value, _, End}, Rest} ->
            Kv#kv{tree = Rest, bytes = Bytes - bytes(Key, Value), ends = gb_sets:del_element({End, Key}, Ends)};
        error ->
            Kv
    end.

bytes(Key, Value) -> ?ENTRY + bytes(Key) + bytes(Value).

bytes({_, Binary}) -> byte_size(Binary);
bytes(Binary) when is_binary(Binary) -> byte_size(Binary);
bytes(Integer) when is_integer(Integer), abs(Integer) >= 1 bsl 59 -> byte_size(binary:encode_unsigned(abs(Integer)));
bytes(_Number) -> 8.

-spec expire(hornbeam_cluster_part:context(), kv()) -> {[hornbeam_cluster_part:event()], kv()}.
expire(Context, Kv) -> expire(Context, Kv, []).

expire(#{now := Now} = Context, #kv{ends = Ends} = Kv, Events) ->
    case gb_sets:is_empty(Ends) orelse gb_sets:smallest(Ends) of
        {End, Key} when End =< Now -> expire(Context, remove(Key, Kv), [{delete, Key, revision(Context)} | Events]);
        _ -> {lists:reverse(Events), Kv}
    end.

-spec waits(kv()) -> boolean().
waits(#kv{ends = Ends}) -> not gb_sets:is_empty(Ends).

%% A page has what comes after a key, as much as the limit says but no more than ?PAGE bytes, one entry at least; and `more' with the last one if that is
%% not all.
-spec query(question(), non_neg_integer(), kv()) -> term().
query({get, Key}, _, Kv) -> answer(find(Key, Kv));
query({get_multi, Keys}, _, Kv) -> [answer(find(Key, Kv)) || Key <- Keys];
query({page, Prefix, After, Limit}, _, #kv{tree = Tree}) ->
    From = case After of none -> first(Prefix); _ -> After end,
    page(gb_trees:next(gb_trees:iterator_from(From, Tree)), Prefix, After, {Limit, ?PAGE}, []);
query(size, _, Kv) -> size(Kv);
query(_Unknown, _, _Kv) -> unknown.

answer(none) -> error;
answer({Value, Revision, _}) -> {ok, Value, Revision}.

%% Below every key: numbers are smaller than what keys are.
first(none) -> 0;
first(Prefix) -> Prefix.

page(none, _, _, _, Found) ->
    {done, lists:reverse(Found)};
page({After, _, Rest}, Prefix, After, Limit, Found) ->
    page(gb_trees:next(Rest), Prefix, After, Limit, Found);
page({Key, {Value, Revision, _}, Rest}, Prefix, After, {Entries, Bytes}, Found) ->
    %% All keys with a prefix follow one another.
    case hornbeam_prefix:has(Key, Prefix) of
        true when Found =/= [], Entries =< 0; Found =/= [], Bytes =< 0 -> {more, element(1, hd(Found)), lists:reverse(Found)};
        true -> page(gb_trees:next(Rest), Prefix, After, {Entries - 1, Bytes - bytes(Key, Value)}, [{Key, Value, Revision} | Found]);
        false -> {done, lists:reverse(Found)}
    end.

-spec weight(operation()) -> non_neg_integer().
weight({Kind, Key, Value, _, _}) when Kind =:= put; Kind =:= add -> bytes(Key, Value);
weight({cas, Key, Old, New, _}) -> bytes(Key, New) + bytes(Old);
weight({replace, Key, _, New, _, _}) -> bytes(Key, New);
weight({incr, Key, Delta, _, _}) -> bytes(Key, Delta);
weight({take, Key}) -> bytes(Key, 0);
weight({touch, Key, _}) -> bytes(Key, 0);
weight(_) -> ?ENTRY.

%% @doc Of the larger of the entries that it names: what a limit of one entry is about.
-spec largest(operation()) -> non_neg_integer().
largest({cas, Key, Old, New, _}) -> max(bytes(Key, Old), bytes(Key, New));
largest(Operation) -> weight(Operation).

-spec size(kv()) -> {non_neg_integer(), non_neg_integer()}.
size(#kv{tree = Tree, bytes = Bytes}) -> {gb_trees:size(Tree), Bytes}.
