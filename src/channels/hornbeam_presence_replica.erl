%%% What one node says who is present, as it and every other node holds it: a delta CRDT of one writer. Pure.
%%%
%%% Called by: hornbeam_presence. Calls nothing.
%%%
%%% An entry ends with a process of the node that made it, so no other node ever changes it: a node's entries are a set with a version, and the higher
%%% version is the newer one, whatever way it came. A delta leads from one version to the next; one that comes twice or too late changes nothing, one that
%%% comes too early is a gap, and the whole set is asked for. The state of all is the union: two nodes that have the same versions show the same, without
%%% tombstones. A node that starts anew is another replica, and what its predecessor said goes with it.
-module(hornbeam_presence_replica).

-export([new/0, change/3, merge/2, whole/1, replace/2, entries/1, version/1]).
-export_type([replica/0, delta/0, whole/0, entry/0, ref/0]).

-type ref() :: binary().
%% Meta: the inside of a JSON object.
-type entry() :: {Topic :: binary(), Key :: binary(), Meta :: binary()}.
-record(replica, {version = 0 :: non_neg_integer(), entries = #{} :: #{ref() => entry()}}).
-opaque replica() :: #replica{}.
-type delta() :: {Version :: pos_integer(), Added :: #{ref() => entry()}, Removed :: [ref()]}.
-type whole() :: {Version :: non_neg_integer(), #{ref() => entry()}}.
-type changes() :: {Added :: #{ref() => entry()}, Removed :: #{ref() => entry()}}.

-spec new() -> replica().
new() -> #replica{}.

-spec version(replica()) -> non_neg_integer().
version(#replica{version = Version}) -> Version.

-spec entries(replica()) -> #{ref() => entry()}.
entries(#replica{entries = Entries}) -> Entries.

%% @doc Its own node adds and removes.
-spec change(Added :: #{ref() => entry()}, Removed :: [ref()], replica()) -> {delta(), replica()}.
change(Added, Removed, #replica{version = Version, entries = Entries}) ->
    {{Version + 1, Added, Removed}, #replica{version = Version + 1, entries = maps:without(Removed, maps:merge(Entries, Added))}}.

%% @doc What another node has heard.
-spec merge(delta(), replica()) -> {ok, changes(), replica()} | old | gap.
merge({Next, Added, Removed}, #replica{version = Version, entries = Entries}) when Next =:= Version + 1 ->
    Merged = maps:without(Removed, maps:merge(Entries, Added)),
    {ok, {maps:without(Removed, Added), maps:with(Removed, Entries)}, #replica{version = Next, entries = Merged}};
merge({Next, _, _}, #replica{version = Version}) when Next =< Version -> old;
merge(_Delta, _Replica) -> gap.

-spec whole(replica()) -> whole().
whole(#replica{version = Version, entries = Entries}) -> {Version, Entries}.

%% @doc All of it has come; older than what is known, it changes nothing.
-spec replace(whole(), replica()) -> {changes(), replica()}.
replace({Version, _Entries}, #replica{version = Known} = Replica) when Version < Known -> {{#{}, #{}}, Replica};
replace({Version, Entries}, #replica{entries = Before}) ->
    {{maps:without(maps:keys(Before), Entries), maps:without(maps:keys(Entries), Before)}, #replica{version = Version, entries = Entries}}.
