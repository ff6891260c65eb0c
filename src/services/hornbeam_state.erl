%%% The shared state: a table of keys and values for all workers and for Erlang.
%%%
%%%     hornbeam_state:set(<<"user:1">>, #{name => <<"Ada">>}, 60000),
%%%     {ok, #{name := _}} = hornbeam_state:get(<<"user:1">>),
%%%     {ok, 1} = hornbeam_state:incr(<<"views">>, 1).
%%%
%%% Called by: hornbeam_service_state (Python), and any OTP application. Calls: hornbeam_prefix; hornbeam_state_store,
%%% which owns the form of a row. Every function runs in the calling process, straight on ETS; no process
%%% is asked, so none can be a bottleneck or be dead. hornbeam_state_sweeper removes what has expired.
%%%
%%% Keys and values are any terms; those of Python's come as hornbeam_msgpack maps them (a str is a
%%% binary, bytes are {bytes, binary()}). Keys are compared exactly: 1, 1.0 and true are three keys. Times are
%%% milliseconds. What has expired is never seen, whether it has been removed or not.
-module(hornbeam_state).

-export([get/1, get_multi/1, set/2, set/3, add/2, add/3, cas/3, pop/1, delete/1, touch/2]).
-export([incr/2, incr/3, keys/1, items/1, info/0, configure/1]).
-export_type([key/0, ttl/0, full/0, not_counted/0]).

-compile({no_auto_import, [get/1]}).

-type key() :: term().
%% Milliseconds.
-type ttl() :: pos_integer() | infinity.
%% The value alone is larger than the option state_max_bytes allows for all.
-type full() :: {error, too_large}.
-type not_counted() :: {error, not_a_number | out_of_range}.

%% @doc Sets the limits from a server's options (hornbeam_state_limits).
-spec configure(Options :: map()) -> ok.
configure(Options) ->
    hornbeam_state_limits:configure(Options, hornbeam_state_store).

%% @doc The value of a key.
-spec get(key()) -> {ok, term()} | error.
get(Key) ->
    hornbeam_state_store:read(hornbeam_state_store:key(Key)).

%% @doc The values of several keys, in their order.
-spec get_multi([key()]) -> [{ok, term()} | error].
get_multi(Keys) ->
    [get(Key) || Key <- Keys].

%% @doc Stores a value that stays.
-spec set(key(), term()) -> ok | full().
set(Key, Value) ->
    set(Key, Value, infinity).

%% @doc Stores a value that expires after Ttl ms.
-spec set(key(), term(), ttl()) -> ok | full().
set(Key, Value, Ttl) ->
    hornbeam_state_store:write(hornbeam_state_store:key(Key), Value, Ttl).

%% @doc Stores a value unless the key has one: of those who try at once exactly one gets true.
-spec add(key(), term()) -> boolean() | full().
add(Key, Value) ->
    add(Key, Value, infinity).

-spec add(key(), term(), ttl()) -> boolean() | full().
add(Key, Value, Ttl) ->
    hornbeam_state_store:write_new(hornbeam_state_store:key(Key), Value, Ttl).

%% @doc Replaces the value if it is exactly Old (1 is not 1.0): of those who try at once exactly one
%% gets true. The time of expiry stays. A key without a value equals nothing; see add/2.
-spec cas(key(), Old :: term(), New :: term()) -> boolean() | full().
cas(Key, Old, New) ->
    hornbeam_state_store:replace(hornbeam_state_store:key(Key), Old, New).

%% @doc Has a value expire after Ttl ms from now; false where there is none. What another writes meanwhile stays, with its own time or this one.
-spec touch(key(), ttl()) -> boolean() | full().
touch(Key, Ttl) ->
    Stored = hornbeam_state_store:key(Key),
    case hornbeam_state_store:read(Stored) of
        {ok, Value} ->
            case hornbeam_state_store:replace(Stored, Value, Value, Ttl) of
                false -> touch(Key, Ttl);
                Done -> Done
            end;
        error ->
            false
    end.

%% @doc Takes a value out; of those who try at once one gets it.
-spec pop(key()) -> {ok, term()} | error.
pop(Key) ->
    hornbeam_state_store:take(hornbeam_state_store:key(Key)).

%% @doc Whether there was something to delete.
-spec delete(key()) -> boolean().
delete(Key) ->
    pop(Key) =/= error.

%% @doc Adds to a number, 0 where there is none, and returns the sum. Exact, whoever else does so.
-spec incr(key(), number()) -> {ok, number()} | not_counted() | full().
incr(Key, Delta) ->
    incr(Key, Delta, infinity).

%% @doc As incr/2; Ttl holds when this call makes the number, and a later call does not prolong it. An
%% integer and a float give a float.
-spec incr(key(), number(), ttl()) -> {ok, number()} | not_counted() | full().
incr(Key, Delta, Ttl) when is_integer(Delta) ->
    hornbeam_state_store:count(hornbeam_state_store:key(Key), Delta, Ttl);
incr(Key, Delta, Ttl) when is_float(Delta) ->
    hornbeam_state_store:sum(hornbeam_state_store:key(Key), Delta, Ttl).

%% @doc All keys, or those that begin with Prefix: binaries with a binary, {bytes, _} with {bytes, _}.
%% Walks the whole table.
-spec keys(hornbeam_prefix:prefix()) -> [key()].
keys(Prefix) ->
    [Key || Stored <- hornbeam_state_store:all_keys(),
            Key <- [hornbeam_state_store:original(Stored)], hornbeam_prefix:has(Key, Prefix)].

%% @doc Keys and values of keys/1. Walks the whole table.
-spec items(hornbeam_prefix:prefix()) -> [{key(), term()}].
items(Prefix) ->
    %% One by one, so that only what is wanted is copied out of the table.
    [{Key, Value} || Key <- keys(Prefix), {ok, Value} <- [get(Key)]].

%% @doc How many entries there are; with a limit, the bytes they take and how many were evicted.
-spec info() -> #{entries := non_neg_integer(), bytes => non_neg_integer(),
                  evicted => non_neg_integer()}.
info() ->
    maps:merge(#{entries => hornbeam_state_store:size()}, hornbeam_state_limits:info()).
