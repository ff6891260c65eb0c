%%% Python's operations on computed results: arguments and answers as hornbeam_erlang/_requests.py has them.
%%% Called by: hornbeam_services. Calls: hornbeam_cache_store (a hit, the figures), hornbeam_cache.
-module(hornbeam_service_cache).
-behaviour(hornbeam_services).

-export([handle/3]).

-define(CLEAR, 60000).
%% Bytes of a namespace, of a digest, and of what a failure says.
-define(MAX_NAMESPACE, 255).
-define(MAX_DIGEST, 64).
-define(MAX_FAILURE, 262144).

-define(IS_MS(Ms), (Ms =:= none orelse is_integer(Ms) andalso Ms > 0 andalso Ms =< 16#ffffffff)).
-define(IS_TTL(Ttl), (Ttl =:= none orelse is_integer(Ttl) andalso Ttl > 0 andalso Ttl < 16#7fffffffffffff)).
-define(IS_NAMESPACE(Namespace), (byte_size(Namespace) =< ?MAX_NAMESPACE)).

-spec handle(atom(), [term()], map()) -> hornbeam_services:outcome().
handle(cache_get, [Namespace, {bytes, Digest}, Token, Mode, Wait], #{session := Session})
        when ?IS_NAMESPACE(Namespace), byte_size(Digest) =< ?MAX_DIGEST, is_integer(Token), Mode >= 0, Mode =< 2, ?IS_MS(Wait) ->
    Key = {Namespace, Digest},
    case hornbeam_cache_store:read(Key) of
        {ok, Packed} ->
            {packed, Packed};
        error ->
            Worker = self(),
            {later, fun(Id) -> hornbeam_cache:ask({Session, Token}, Id, Key, mode(Mode), Wait, Worker) end}
    end;
handle(cache_put, [Token, {bytes, Packed}, Ttl], #{session := Session})
        when is_integer(Token), is_binary(Packed), ?IS_TTL(Ttl) ->
    ok = hornbeam_cache:put({Session, Token}, Packed, ttl(Ttl)),
    {ok, none};
handle(cache_fail, [Token, What], #{session := Session}) when is_integer(Token), is_list(What) ->
    case erlang:external_size(What) =< ?MAX_FAILURE of
        true -> ok = hornbeam_cache:fail({Session, Token}, What), {ok, none};
        false -> {error, value_error, <<"what has failed is described too long">>}
    end;
handle(cache_leave, [Token], #{session := Session}) when is_integer(Token) ->
    ok = hornbeam_cache:leave({Session, Token}),
    {ok, none};
handle(cache_clear, [none], _) ->
    {run, ?CLEAR, fun() -> {ok, hornbeam_cache:clear(all)} end};
handle(cache_clear, [Namespace], _) when is_binary(Namespace) ->
    {run, ?CLEAR, fun() -> {ok, hornbeam_cache:clear(Namespace)} end};
handle(cache_stats, [], _) ->
    {ok, hornbeam_cache_store:stats()};
handle(Operation, _Arguments, _) ->
    {error, type_error, <<"wrong arguments for ", (atom_to_binary(Operation))/binary>>}.

mode(0) -> thread;
mode(1) -> coroutine;
mode(2) -> blocked.

ttl(none) -> infinity;
ttl(Milliseconds) -> Milliseconds.
