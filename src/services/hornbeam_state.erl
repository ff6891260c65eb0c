%%% The shared state: a table of keys and values for all workers and for Erlang.
%%%
%%% Called by: hornbeam_services, and any OTP application. Reads and writes go straight to ETS, never
%%% through a process; this module's process only removes what has expired, every ?SWEEP ms (a read
%%% never returns an expired value, whether it has been removed or not).
%%%
%%% A row is {Key, Value, Expires}: Expires in ms of the monotonic clock, or 0 for never.
-module(hornbeam_state).
-behaviour(gen_server).

-export([get/1, set/2, set/3, delete/1, incr/2, incr/3, get_multi/1, keys/1]).
-export([start_link/0, init/1, handle_call/3, handle_cast/2, handle_info/2]).

-compile({no_auto_import, [get/1]}).

-define(TABLE, hornbeam_state).
-define(NEVER, 0).
-define(SWEEP, 1000).

-type key() :: term().
%% Milliseconds.
-type ttl() :: pos_integer() | infinity.

-spec get(key()) -> {ok, term()} | error.
get(Key) ->
    case ets:lookup(?TABLE, Key) of
        [{_, Value, ?NEVER}] -> {ok, Value};
        [{_, Value, Expires}] -> current(Value, Expires);
        [] -> error
    end.

current(Value, Expires) ->
    case Expires > now_ms() of
        true -> {ok, Value};
        false -> error
    end.

-spec set(key(), term()) -> ok.
set(Key, Value) ->
    set(Key, Value, infinity).

-spec set(key(), term(), ttl()) -> ok.
set(Key, Value, Ttl) ->
    true = ets:insert(?TABLE, {Key, Value, expires(Ttl)}),
    ok.

%% @doc Whether there was something to delete.
-spec delete(key()) -> boolean().
delete(Key) ->
    case ets:take(?TABLE, Key) of
        [{_, _, ?NEVER}] -> true;
        [{_, _, Expires}] -> Expires > now_ms();
        [] -> false
    end.

-spec incr(key(), integer()) -> {ok, integer()} | {error, not_a_number}.
incr(Key, Delta) ->
    incr(Key, Delta, infinity).

%% @doc Adds to a counter, exactly, whoever else does so at the same time. The ttl holds when the counter
%% is made by this call; a later call does not prolong it.
-spec incr(key(), integer(), ttl()) -> {ok, integer()} | {error, not_a_number}.
incr(Key, Delta, Ttl) ->
    try ets:update_counter(?TABLE, Key, [{2, Delta}, {3, 0}], {Key, 0, expires(Ttl)}) of
        [Value, ?NEVER] ->
            {ok, Value};
        [Value, Expires] ->
            case Expires > now_ms() of
                true -> {ok, Value};
                false -> restart_counter(Key, Expires, Delta, Ttl)
            end
    catch
        error:badarg -> {error, not_a_number}
    end.

%% Of those who meet the expired counter at the same time one removes it, and all count afresh.
restart_counter(Key, Expires, Delta, Ttl) ->
    _ = ets:select_delete(?TABLE, [{{Key, '_', Expires}, [], [true]}]),
    incr(Key, Delta, Ttl).

%% @doc The values of the keys; `none' for those that are missing.
-spec get_multi([key()]) -> #{key() => term()}.
get_multi(Keys) ->
    maps:from_list([{Key, value_or_none(Key)} || Key <- Keys]).

value_or_none(Key) ->
    case get(Key) of
        {ok, Value} -> Value;
        error -> none
    end.

%% @doc The keys, or with a binary those binary keys that begin with it. Walks the whole table.
-spec keys(Prefix :: binary() | none) -> [key()].
keys(Prefix) ->
    Now = now_ms(),
    Rows = ets:select(?TABLE, [{{'$1', '_', '$2'}, [{'orelse', {'=:=', '$2', ?NEVER},
                                                     {'>', '$2', Now}}], ['$1']}]),
    case Prefix of
        none -> Rows;
        _ -> [Key || Key <- Rows, has_prefix(Key, Prefix)]
    end.

has_prefix(Key, Prefix) when is_binary(Key) ->
    Size = byte_size(Prefix),
    case Key of
        <<Prefix:Size/binary, _/binary>> -> true;
        _ -> false
    end;
has_prefix(_Key, _Prefix) ->
    false.

expires(infinity) -> ?NEVER;
expires(Ttl) -> now_ms() + Ttl.

%% Always positive, so that ?NEVER is no point in time.
now_ms() ->
    Elapsed = erlang:monotonic_time() - erlang:system_info(start_time),
    erlang:convert_time_unit(Elapsed, native, millisecond) + 1.

%%% The process that removes what has expired

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

-spec init([]) -> {ok, []}.
init([]) ->
    _ = erlang:send_after(?SWEEP, self(), sweep),
    {ok, []}.

-spec handle_call(term(), gen_server:from(), []) -> {reply, {error, not_supported}, []}.
handle_call(_Request, _From, State) ->
    {reply, {error, not_supported}, State}.

-spec handle_cast(term(), []) -> {noreply, []}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), []) -> {noreply, []}.
handle_info(sweep, State) ->
    _ = ets:select_delete(?TABLE, [{{'_', '_', '$1'},
                                    [{'>', '$1', ?NEVER}, {'=<', '$1', now_ms()}], [true]}]),
    _ = erlang:send_after(?SWEEP, self(), sweep),
    {noreply, State}.
