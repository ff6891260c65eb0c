%%% Python's locks, semaphores and elections of the cluster: arguments and answers as hornbeam_erlang/_lock_requests.py has them.
%%%
%%% Called by: hornbeam_services, in the worker's process, which is the owner of all that its Python process holds; a token, which Python gives, tells its
%%% claims apart. Calls: hornbeam_lock (what may be asked), hornbeam_cluster_locks (without a process of their own), hornbeam_service_cluster (errors).
%%% The end of the Python process gives all back (left/1), the end of the worker's process too.
-module(hornbeam_service_locks).
-behaviour(hornbeam_services).

-export([handle/3, left/1]).

-define(HOLDERS, 10000).

-spec handle(atom(), [term()], map()) -> hornbeam_services:outcome().
handle(lock_acquire, [Kind, Name, Limit, Ttl, Timeout, Token], _) when is_binary(Name), is_integer(Token) ->
    Options = #{key => Token, limit => Limit, ttl => Ttl, timeout => timeout(Timeout), notify => false},
    case hornbeam_lock:request({kind(Kind), Name}, Options) of
        {ok, Request} -> ask({acquire, Request}, fun acquired/1);
        {error, bad_name} -> {error, value_error, <<"a name has 1 to 512 bytes">>};
        {error, bad_options} -> {error, value_error, <<"a lease has 1 second to a day, a semaphore 1 to 1,000,000 places">>}
    end;
handle(lock_release, [Token], _) when is_integer(Token) ->
    ask({release, Token}, fun(Answer) -> {ok, Answer =:= ok} end);
handle(lock_leave, [Token], _) when is_integer(Token) ->
    ok = gen_server:cast(hornbeam_cluster_locks, {leave, self(), Token}),
    {ok, none};
handle(lock_lost, [Token], _) when is_integer(Token) ->
    ask({watch, Token}, fun(Lost) -> {ok, Lost =/= false} end);
handle(lock_holders, [Kind, Name], _) when is_binary(Name) ->
    case hornbeam_cluster:enabled() of
        true -> {run, ?HOLDERS, fun() -> holders(hornbeam_lock:holders({kind(Kind), Name})) end};
        false -> hornbeam_service_cluster:failed(no_cluster)
    end;
handle(Operation, _Arguments, _) ->
    {error, type_error, <<"wrong arguments for ", (atom_to_binary(Operation))/binary>>}.

%% @doc The Python process of the calling worker has ended.
-spec left(Worker :: pid()) -> ok.
left(Worker) ->
    case whereis(hornbeam_cluster_locks) of
        undefined -> ok;
        _ -> hornbeam_cluster_locks:left(Worker)
    end.

kind(<<"lock">>) -> lock;
kind(<<"semaphore">>) -> semaphore;
kind(<<"leader">>) -> leader.

timeout(none) -> infinity;
timeout(Timeout) -> Timeout.

%% The end of the process is a loss of all that is held.
ask(Request, Meaning) ->
    case whereis(hornbeam_cluster_locks) of
        undefined -> hornbeam_service_cluster:failed(case hornbeam_cluster:enabled() of true -> no_quorum; false -> no_cluster end);
        Pid -> {ask, {Pid, Request, fun({ok, Answer}) -> Meaning(Answer); (gone) -> Meaning({error, no_quorum}) end}}
    end.

acquired({ok, Token}) -> {ok, Token};
acquired({error, timeout}) -> {error, timeout, <<"it was not free in time">>};
acquired({error, left}) -> absent;
acquired({error, {refused, too_many}}) -> {error, value_error, <<"the cluster has as many locks and waiters for locks as it may (200,000)">>};
acquired({error, {refused, too_many_of_owner}}) -> {error, value_error, <<"this process has as many locks and waits for locks as it may (10,000)">>};
acquired({error, {refused, known}}) -> {error, value_error, <<"the token is in use">>};
acquired({error, Reason}) -> hornbeam_service_cluster:failed(Reason).

holders({ok, #{holders := Holders, waiting := Waiting}}) ->
    {ok, [[[Token, atom_to_binary(Node)] || {Token, Node} <- Holders], Waiting]};
holders({error, Reason}) ->
    hornbeam_service_cluster:failed(Reason).
