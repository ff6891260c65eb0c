%%% Locks and semaphores of the cluster, for Erlang: one owner at a time, or so many, on all nodes.
%%%
%%%     {ok, #{token := Token} = Lock} = hornbeam_lock:acquire(<<"reports">>, #{ttl => 10000, timeout => 5000}),
%%%     ok = write(Report, Token),
%%%     ok = hornbeam_lock:release(Lock).
%%%
%%% Called by: any OTP application; hornbeam_leader, hornbeam_service_locks (request/2). Calls: hornbeam_cluster_locks, which holds it for the
%%% calling process and lets go when that ends; hornbeam_cluster.
%%%
%%% A lock is a lease that is renewed by itself. If it cannot be, because the node is cut off from the majority or stood still, the owner gets the message
%%% {hornbeam_lock, Ref, lost}, with the ref of the lock; from then on another one may have it. What must not be done twice even by an owner that has not
%%% read that yet takes the token along: each later holder has a larger one, and who is asked refuses a token that is smaller than one it has seen
%%% (docs/locks.md).
-module(hornbeam_lock).

-export([acquire/2, acquire/3, release/1, with_lock/3, holders/1, request/2]).
-export_type([lock/0, options/0, error/0]).

-type lock() :: #{ref := reference(), token := pos_integer()}.
%% ttl: ms that the lock outlives an owner that is gone, from 1000 on; default 10000. timeout: ms to wait for it; default infinity; 0: not at all.
-type options() :: #{ttl => pos_integer(), timeout => non_neg_integer() | infinity}.
-type error() :: {error, timeout | no_cluster | no_quorum | in_doubt | too_many | {refused, too_many | too_many_of_owner} | bad_name | bad_options | left}.

-define(DEFAULTS, #{limit => 1, ttl => 10000, timeout => infinity}).
-define(MIN_TTL, 1000).
-define(MAX_TTL, 86400000).
-define(MAX_TIMEOUT, 16#ffffffff).
-define(MAX_LIMIT, 1000000).

%% @doc Waits for a lock.
-spec acquire(Name :: binary(), options()) -> {ok, lock()} | error().
acquire(Name, Options) -> ask({lock, Name}, Options).

%% @doc Waits for a place in a semaphore that has Limit places.
-spec acquire(Name :: binary(), Limit :: pos_integer(), options()) -> {ok, lock()} | error().
acquire(Name, Limit, Options) -> ask({semaphore, Name}, Options#{limit => Limit}).

ask(Name, Options) ->
    case request(Name, Options) of
        {ok, #{key := Ref} = Request} ->
            case call({acquire, Request}) of
                {ok, Token} -> {ok, #{ref => Ref, token => Token}};
                {error, _} = Error -> Error
            end;
        Error ->
            Error
    end.

%% @doc Gives it back; by the process that has it. lost: it was over before, and somebody else may have had it. in_doubt: the cluster was not told yet.
-spec release(lock()) -> ok | {error, lost | not_held}.
release(#{ref := Ref}) ->
    Answer = call({release, Ref}),
    receive {hornbeam_lock, Ref, lost} -> ok after 0 -> ok end,
    case Answer of
        ok -> ok;
        lost -> {error, lost};
        _ -> {error, not_held}
    end.

%% @doc What the fun returns, that was called with the token while the lock was held; or that it was lost meanwhile.
-spec with_lock(Name :: binary(), options(), fun((Token :: pos_integer()) -> Value)) -> {ok, Value} | {error, lost} | error().
with_lock(Name, Options, Fun) ->
    case acquire(Name, Options) of
        {ok, #{token := Token} = Lock} ->
            try Fun(Token) of
                Value ->
                    case release(Lock) of
                        ok -> {ok, Value};
                        {error, _} -> {error, lost}
                    end
            catch
                Class:Reason:Stack ->
                    _ = release(Lock),
                    erlang:raise(Class, Reason, Stack)
            end;
        Error ->
            Error
    end.

%% @doc Who holds a name, with their tokens, and how many wait for it; as this node has heard.
-spec holders(hornbeam_cluster_leases:name()) ->
    {ok, #{holders := [{Token :: pos_integer(), node()}], waiting := non_neg_integer()}} | hornbeam_cluster:error().
holders(Name) ->
    hornbeam_cluster:query({leases, {who, Name}}, local).

%% @doc What hornbeam_cluster_locks is asked, checked; its owner is whoever asks.
-spec request(hornbeam_cluster_leases:name(), #{key => term(), limit => pos_integer(), ttl => pos_integer(), timeout => non_neg_integer() | infinity,
                                                notify => boolean()}) ->
    {ok, hornbeam_cluster_locks:request()} | {error, bad_name | bad_options}.
request(Name, Options) ->
    #{ttl := Ttl, timeout := Timeout, limit := Limit} = Request = maps:merge(?DEFAULTS, Options),
    case {hornbeam_cluster_leases:is_name(Name), is_in(Ttl, ?MIN_TTL, ?MAX_TTL) andalso is_in(Limit, 1, ?MAX_LIMIT) andalso is_timeout(Timeout)} of
        {true, true} -> {ok, maps:merge(#{key => make_ref(), notify => true}, Request#{name => Name})};
        {false, _} -> {error, bad_name};
        {true, false} -> {error, bad_options}
    end.

is_timeout(infinity) -> true;
is_timeout(Timeout) -> is_in(Timeout, 0, ?MAX_TIMEOUT).

is_in(Number, Least, Most) -> is_integer(Number) andalso Number >= Least andalso Number =< Most.

%% The process waits as long as the owner does. When it ends nobody of this node holds anything.
call(Request) ->
    try gen_server:call(hornbeam_cluster_locks, Request, infinity)
    catch exit:{_, _} -> {error, case hornbeam_cluster:enabled() of true -> no_quorum; false -> no_cluster end}
    end.
