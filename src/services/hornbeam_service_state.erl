%%% Python's operations on the shared state: arguments and answers as hornbeam_erlang/_requests.py has them.
%%% Called by: hornbeam_services. Calls: hornbeam_state. Those that walk the whole table take a process.
-module(hornbeam_service_state).
-behaviour(hornbeam_services).

-export([handle/3]).

%% How long a walk through the table may take.
-define(WALK, 60000).

-spec handle(atom(), [term()], map()) -> hornbeam_services:outcome().
handle(state_get, [Key], _) ->
    value(hornbeam_state:get(Key));
handle(state_incr, [Key, Delta, Ttl], _) when is_number(Delta) ->
    counted(hornbeam_state:incr(Key, Delta, ttl(Ttl)));
handle(state_set, [Key, Value, Ttl], _) ->
    stored(hornbeam_state:set(Key, Value, ttl(Ttl)));
handle(state_delete, [Key], _) ->
    {ok, hornbeam_state:delete(Key)};
handle(state_get_multi, [Keys], _) when is_list(Keys) ->
    {ok, [value_or_none(Found) || Found <- hornbeam_state:get_multi(Keys)]};
handle(state_add, [Key, Value, Ttl], _) ->
    stored(hornbeam_state:add(Key, Value, ttl(Ttl)));
handle(state_cas, [Key, Old, New], _) ->
    stored(hornbeam_state:cas(Key, Old, New));
handle(state_pop, [Key], _) ->
    value(hornbeam_state:pop(Key));
handle(state_keys, [Prefix], _) ->
    {run, ?WALK, fun() -> {ok, hornbeam_state:keys(Prefix)} end};
handle(state_items, [Prefix], _) ->
    {run, ?WALK, fun() -> {ok, hornbeam_state:items(Prefix)} end}.

value({ok, Value}) -> {ok, Value};
value(error) -> absent.

value_or_none({ok, Value}) -> Value;
value_or_none(error) -> none.

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
ttl(Milliseconds) when is_integer(Milliseconds), Milliseconds > 0 -> Milliseconds.
