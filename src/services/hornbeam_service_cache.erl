%%% Python's operations on computed results: arguments and answers as hornbeam_erlang/_requests.py has them.
%%% Called by: hornbeam_services. Calls: hornbeam_cache_store (a hit, the figures), hornbeam_cache; where there is a cluster
%%% hornbeam_cluster_cache_home, which asks all nodes.
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
        when ?IS_NAMESPACE(Namespace), byte_size(Digest) =< ?MAX_DIGEST, is_integer(Token), Mode >= 0, Mode =< 6, Mode =/= 3, ?IS_MS(Wait) ->
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
    {run, ?CLEAR, fun() -> {ok, cleared(all)} end};
handle(cache_clear, [Namespace], _) when is_binary(Namespace) ->
    {run, ?CLEAR, fun() -> {ok, cleared(Namespace)} end};
handle(cache_stats, [false], _) ->
    {ok, hornbeam_cache_store:stats()};
handle(cache_stats, [true], _) ->
    {run, ?CLEAR, fun() -> {ok, maps:from_list([{atom_to_binary(Node), Stats} || {Node, Stats} <- everywhere()])} end};
handle(Operation, _Arguments, _) ->
    {error, type_error, <<"wrong arguments for ", (atom_to_binary(Operation))/binary>>}.

cleared(Which) ->
    case hornbeam_cluster:enabled() of
        true -> hornbeam_cluster_cache_home:clear(Which);
        false -> hornbeam_cache:clear(Which)
    end.

everywhere() ->
    case hornbeam_cluster:enabled() of
        true -> hornbeam_cluster_cache_home:stats();
        false -> [{node(), hornbeam_cache_store:stats()}]
    end.

mode(0) -> thread;
mode(1) -> coroutine;
mode(2) -> blocked;
mode(Shared) -> {shared, mode(Shared - 4)}.

ttl(none) -> infinity;
ttl(Milliseconds) -> Milliseconds.
