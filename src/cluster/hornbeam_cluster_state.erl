%%% The replicated state: keys and values that a majority of the cluster has written down before a change is answered.
%%%
%%%     ok = hornbeam_cluster_state:set(<<"user:1">>, #{name => <<"Ada">>}, 60000),
%%%     {ok, #{name := _}} = hornbeam_cluster_state:get(<<"user:1">>),
%%%     {ok, 1} = hornbeam_cluster_state:incr(<<"views">>, 1).
%%%
%%% Called by: hornbeam_service_cluster (Python), and any OTP application. Calls: hornbeam_cluster. Values are encoded and decoded here, in the calling process.
%%% As hornbeam_state has them: keys and values are any terms, keys are compared exactly, times are milliseconds. Every function may also
%%% return an error of hornbeam_cluster's. What holds when nodes fail: docs/cluster-state.md.
-module(hornbeam_cluster_state).

-export([get/1, get/2, get_multi/2, set/2, set/3, add/3, cas/3, replace/4, pop/1, delete/1, touch/2, incr/2, incr/3, page/4]).
-export([operation/1, reply/1, decoded/1]).
-export_type([error/0, request/0]).

-compile({no_auto_import, [get/1]}).

%% full: the option cluster_max_bytes. too_large: a key and its value together.
-type error() :: hornbeam_cluster:error() | {error, full | too_large | not_a_number | out_of_range}.
-type request() :: {set | add, key(), term(), hornbeam_cluster_kv:ttl()} | {cas, key(), term(), term()}
                 | {replace, key(), non_neg_integer(), term(), hornbeam_cluster_kv:ttl() | keep}
                 | {incr, key(), number(), hornbeam_cluster_kv:ttl()} | {pop, key()} | {touch, key(), hornbeam_cluster_kv:ttl()}.
-type key() :: term().
-type consistency() :: linearizable | local.

%% The log is for many small things: one that is large keeps the others waiting.
-define(MAX_ENTRY, 4194304).

%% @doc The value of a key, and the revision that it has had since it was written: linearizable.
-spec get(key()) -> {ok, term(), Revision :: pos_integer()} | error | error().
get(Key) -> get(Key, linearizable).

%% @doc local: what this node has heard of, which may be old, without a majority.
-spec get(key(), consistency()) -> {ok, term(), Revision :: pos_integer()} | error | error().
get(Key, Consistency) ->
    case ask({get, key(Key)}, Consistency) of
        {ok, {ok, Value, Revision}} -> {ok, decoded(Value), Revision};
        {ok, error} -> error;
        Error -> Error
    end.

%% @doc The values of several keys at one moment, in their order.
-spec get_multi([key()], consistency()) -> {ok, [{ok, term()} | error]} | error().
get_multi(Keys, Consistency) ->
    case ask({get_multi, [key(Key) || Key <- Keys]}, Consistency) of
        {ok, Answers} -> {ok, [case Answer of {ok, Value, _} -> {ok, decoded(Value)}; error -> error end || Answer <- Answers]};
        Error -> Error
    end.

%% @doc Keys that begin with a prefix, with values and revisions, in their order: as many as the limit says, from After on. Each page is of one moment.
-spec page(Prefix :: none | key(), After :: none | key(), Limit :: pos_integer(), consistency()) ->
    {ok, [{key(), term(), Revision :: pos_integer()}], done | {more, After :: key()}} | error().
page(Prefix, After, Limit, Consistency) ->
    case ask({page, optional(Prefix), optional(After), Limit}, Consistency) of
        {ok, {done, Found}} -> {ok, originals(Found), done};
        {ok, {more, Last, Found}} -> {ok, originals(Found), {more, original(Last)}};
        Error -> Error
    end.

optional(none) -> none;
optional(Key) -> key(Key).

originals(Found) -> [{original(Key), decoded(Value), Revision} || {Key, Value, Revision} <- Found].

ask(Question, Consistency) -> hornbeam_cluster:query({kv, Question}, Consistency).

%% @doc Stores a value that stays.
-spec set(key(), term()) -> ok | error().
set(Key, Value) -> set(Key, Value, infinity).

%% @doc Stores a value that expires after Ttl ms, or half a second later.
-spec set(key(), term(), hornbeam_cluster_kv:ttl()) -> ok | error().
set(Key, Value, Ttl) -> change({set, Key, Value, Ttl}).

%% @doc Stores a value unless the key has one.
-spec add(key(), term(), hornbeam_cluster_kv:ttl()) -> boolean() | error().
add(Key, Value, Ttl) -> change({add, Key, Value, Ttl}).

%% @doc Replaces the value if it is exactly Old. The time of expiry stays.
-spec cas(key(), Old :: term(), New :: term()) -> boolean() | error().
cas(Key, Old, New) -> change({cas, Key, Old, New}).

%% @doc Replaces the value if it has had this revision since; 0: if there is none.
-spec replace(key(), Revision :: non_neg_integer(), term(), hornbeam_cluster_kv:ttl() | keep) -> boolean() | error().
replace(Key, Revision, Value, Ttl) -> change({replace, Key, Revision, Value, Ttl}).

%% @doc Takes a value out.
-spec pop(key()) -> {ok, term()} | error | error().
pop(Key) -> change({pop, Key}).

%% @doc Whether there was something to delete.
-spec delete(key()) -> boolean() | error().
delete(Key) ->
    case pop(Key) of
        {ok, _} -> true;
        error -> false;
        Error -> Error
    end.

%% @doc Has a value expire after Ttl ms from now; false where there is none.
-spec touch(key(), hornbeam_cluster_kv:ttl()) -> boolean() | error().
touch(Key, Ttl) -> change({touch, Key, Ttl}).

%% @doc Adds to a number, 0 where there is none, and returns the sum.
-spec incr(key(), number()) -> {ok, number()} | error().
incr(Key, Delta) -> incr(Key, Delta, infinity).

-spec incr(key(), number(), hornbeam_cluster_kv:ttl()) -> {ok, number()} | error().
incr(Key, Delta, Ttl) -> change({incr, Key, Delta, Ttl}).

change(Request) ->
    case operation(Request) of
        {ok, Operation} -> reply(hornbeam_cluster:command(Operation));
        Error -> Error
    end.

%% @doc The operation of a request, for who asks without waiting (hornbeam_cluster:request/1); its answer goes through reply/1.
-spec operation(request()) -> {ok, {kv, hornbeam_cluster_kv:operation()}} | {error, no_cluster | too_large}.
operation(Request) ->
    case hornbeam_cluster:max_bytes() of
        {ok, Max} -> bounded(operation(Request, Max));
        Error -> Error
    end.

operation(Request, Max) ->
    case Request of
        {set, Key, Value, Ttl} -> {put, key(Key), encoded(Value), Ttl, Max};
        {add, Key, Value, Ttl} -> {add, key(Key), encoded(Value), Ttl, Max};
        {cas, Key, Old, New} -> {cas, key(Key), encoded(Old), encoded(New), Max};
        {replace, Key, Revision, Value, Ttl} -> {replace, key(Key), Revision, encoded(Value), Ttl, Max};
        {incr, Key, Delta, Ttl} -> {incr, key(Key), Delta, Ttl, Max};
        {pop, Key} -> {take, key(Key)};
        {touch, Key, Ttl} -> {touch, key(Key), Ttl}
    end.

bounded(Operation) ->
    case hornbeam_cluster_kv:largest(Operation) > ?MAX_ENTRY of
        true -> {error, too_large};
        false -> {ok, {kv, Operation}}
    end.

%% @doc What a command's answer means.
-spec reply({ok, term()} | hornbeam_cluster:error()) -> ok | boolean() | {ok, term()} | error | error().
reply({ok, {ok, Value}}) -> {ok, decoded(Value)};
reply({ok, Reply}) -> Reply;
reply(Error) -> Error.

%% The form of a key that compares exactly, and begins with what the key begins with.
key(Key) when is_binary(Key) -> Key;
key({bytes, Key}) when is_binary(Key) -> {bytes, Key};
key(Key) -> {term, term_to_binary(Key, [deterministic])}.

original({term, Binary}) -> binary_to_term(Binary);
original(Key) -> Key.

encoded(Number) when is_number(Number) -> Number;
encoded(Value) -> term_to_binary(Value, [deterministic]).

-spec decoded(hornbeam_cluster_kv:value()) -> term().
decoded(Binary) when is_binary(Binary) -> binary_to_term(Binary);
decoded(Number) -> Number.
