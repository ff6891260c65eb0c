%%% Python's operations on the shared state: arguments and answers as hornbeam_erlang/_requests.py has them.
%%% Called by: hornbeam_services. Calls: hornbeam_state. Those that walk the whole table take a process.
-module(hornbeam_service_state).
-behaviour(hornbeam_services).

-export([handle/3]).

%% How long a walk through the table may take.
-define(WALK, 60000).

-define(IS_TTL(Ttl), (Ttl =:= none orelse is_integer(Ttl) andalso Ttl > 0 andalso Ttl < 16#7fffffffffffffff)).
-define(IS_PREFIX(Prefix), (Prefix =:= none orelse is_binary(Prefix)
                            orelse tuple_size(Prefix) =:= 2 andalso element(1, Prefix) =:= bytes)).

-spec handle(atom(), [term()], map()) -> hornbeam_services:outcome().
handle(state_get, [Key], _) ->
    value(hornbeam_state:get(Key));
handle(state_incr, [Key, Delta, Ttl], _) when is_number(Delta), ?IS_TTL(Ttl) ->
    counted(hornbeam_state:incr(Key, Delta, ttl(Ttl)));
handle(state_set, [Key, Value, Ttl], _) when ?IS_TTL(Ttl) ->
    stored(hornbeam_state:set(Key, Value, ttl(Ttl)));
handle(state_delete, [Key], _) ->
    {ok, hornbeam_state:delete(Key)};
handle(state_get_multi, [Keys], _) when is_list(Keys) ->
    hornbeam_answer:list(fun value_or_none/1, Keys);
handle(state_add, [Key, Value, Ttl], _) when ?IS_TTL(Ttl) ->
    stored(hornbeam_state:add(Key, Value, ttl(Ttl)));
handle(state_cas, [Key, Old, New], _) ->
    stored(hornbeam_state:cas(Key, Old, New));
handle(state_touch, [Key, Ttl], _) when ?IS_TTL(Ttl) ->
    stored(hornbeam_state:touch(Key, ttl(Ttl)));
handle(state_pop, [Key], _) ->
    value(hornbeam_state:pop(Key));
handle(state_keys, [Prefix], _) when ?IS_PREFIX(Prefix) ->
    {walk, ?WALK, fun() -> {ok, hornbeam_state:keys(Prefix)} end};
handle(state_items, [Prefix], _) when ?IS_PREFIX(Prefix) ->
    {walk, ?WALK, fun() -> hornbeam_answer:list(fun item/1, hornbeam_state:keys(Prefix)) end};
handle(Operation, _Arguments, _) ->
    {error, type_error, <<"wrong arguments for ", (atom_to_binary(Operation))/binary>>}.

value_or_none(Key) ->
    case hornbeam_state:get(Key) of
        {ok, Value} -> {ok, Value};
        error -> {ok, none}
    end.

item(Key) ->
    case hornbeam_state:get(Key) of
        {ok, Value} -> {ok, {Key, Value}};
        error -> none
    end.

value({ok, Value}) -> {ok, Value};
value(error) -> absent.

stored(ok) -> {ok, none};
stored(Done) when is_boolean(Done) -> {ok, Done};
stored({error, too_large}) ->
    {error, value_error, <<"the value is larger than the option state_max_bytes allows">>}.

counted({ok, Value}) ->
    {ok, Value};
counted({error, not_a_number}) ->
    {error, type_error, <<"the stored value is not a number">>};
counted({error, out_of_range}) ->
    {error, value_error, <<"the sum is out of the range of a float">>};
counted({error, too_large} = Error) ->
    stored(Error).

%% Python sends milliseconds or None.
ttl(none) -> infinity;
ttl(Milliseconds) -> Milliseconds.
