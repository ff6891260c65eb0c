%%% Python's operations on the replicated state: arguments and answers as hornbeam_erlang/_cluster_requests.py has them.
%%%
%%% Called by: hornbeam_services. Calls: hornbeam_cluster_state, hornbeam_cluster. Changes are asked of the client without a process of their own; a read waits in one.
-module(hornbeam_service_cluster).
-behaviour(hornbeam_services).

-export([handle/3, failed/1]).

%% Longer than the option cluster_timeout allows a read to take: what is told is the reader's answer.
-define(READ, 16#ffffffff).
-define(IS_TTL(Ttl), (Ttl =:= none orelse is_integer(Ttl) andalso Ttl > 0 andalso Ttl < 16#7fffffffffffffff)).
-define(IS_PREFIX(Prefix), (Prefix =:= none orelse is_binary(Prefix)
                            orelse tuple_size(Prefix) =:= 2 andalso element(1, Prefix) =:= bytes)).

-spec handle(atom(), [term()], map()) -> hornbeam_services:outcome().
handle(cluster_get, [Key, Local], _) when is_boolean(Local) ->
    read(fun() -> value(hornbeam_cluster_state:get(Key, consistency(Local))) end);
handle(cluster_read, [Key], _) ->
    read(fun() -> versioned(hornbeam_cluster_state:get(Key)) end);
handle(cluster_get_multi, [Keys, Local], _) when is_list(Keys), is_boolean(Local) ->
    read(fun() -> values(hornbeam_cluster_state:get_multi(Keys, consistency(Local))) end);
handle(cluster_page, [Prefix, After, Limit, Local], _)
        when ?IS_PREFIX(Prefix), is_list(After), is_integer(Limit), Limit > 0, is_boolean(Local) ->
    read(fun() -> page(hornbeam_cluster_state:page(Prefix, case After of [] -> none; [Key] -> Key end, Limit, consistency(Local))) end);
handle(cluster_set, [Key, Value, Ttl], _) when ?IS_TTL(Ttl) ->
    change({set, Key, Value, ttl(Ttl)});
handle(cluster_add, [Key, Value, Ttl], _) when ?IS_TTL(Ttl) ->
    change({add, Key, Value, ttl(Ttl)});
handle(cluster_cas, [Key, Old, New], _) ->
    change({cas, Key, Old, New});
handle(cluster_replace, [Key, Revision, Value, Ttl], _) when is_integer(Revision), Revision >= 0, ?IS_TTL(Ttl) ->
    change({replace, Key, Revision, Value, case Ttl of none -> keep; _ -> Ttl end});
handle(cluster_incr, [Key, Delta, Ttl], _) when is_number(Delta), ?IS_TTL(Ttl) ->
    change({incr, Key, Delta, ttl(Ttl)});
handle(cluster_pop, [Key], _) ->
    change({pop, Key});
handle(cluster_delete, [Key], _) ->
    change({pop, Key}, fun
        ({ok, _}) -> {ok, true};
        (error) -> {ok, false};
        (Other) -> answer(Other)
    end);
handle(cluster_touch, [Key, Ttl], _) when ?IS_TTL(Ttl) ->
    change({touch, Key, ttl(Ttl)});
handle(cluster_info, [], _) ->
    case hornbeam_cluster:enabled() of
        true -> read(fun() -> {ok, described(hornbeam_cluster:info())} end);
        false -> failed(no_cluster)
    end;
handle(Operation, _Arguments, _) ->
    {error, type_error, <<"wrong arguments for ", (atom_to_binary(Operation))/binary>>}.

%% Without a cluster there is nothing to wait for.
read(Fun) ->
    case hornbeam_cluster:enabled() of
        true -> {run, ?READ, Fun};
        false -> failed(no_cluster)
    end.

consistency(true) -> local;
consistency(false) -> linearizable.

ttl(none) -> infinity;
ttl(Milliseconds) -> Milliseconds.

change(Request) -> change(Request, fun answer/1).

change(Request, Answer) ->
    case hornbeam_cluster_state:operation(Request) of
        {ok, Operation} -> asked(hornbeam_cluster:request(Operation), Answer);
        Error -> answer(Error)
    end.

asked({ok, {Pid, Question}}, Answer) ->
    {ask, {Pid, Question, fun
        ({ok, Reply}) -> Answer(hornbeam_cluster_state:reply(Reply));
        (gone) -> failed(in_doubt)
    end}};
asked({error, Reason}, _Answer) ->
    failed(Reason).

answer(ok) -> {ok, none};
answer(error) -> absent;
answer({ok, Value}) -> {ok, Value};
answer({error, Reason}) -> failed(Reason);
answer(Done) when is_boolean(Done) -> {ok, Done}.

value({ok, Value, _Revision}) -> {ok, Value};
value(Other) -> answer(Other).

versioned({ok, Value, Revision}) -> {ok, [Value, Revision]};
versioned(Other) -> answer(Other).

values({ok, Found}) -> hornbeam_answer:list(fun({ok, Value}) -> {ok, Value}; (error) -> {ok, none} end, Found);
values(Other) -> answer(Other).

page({ok, Found, done}) -> {ok, [[[Key, Value, Revision] || {Key, Value, Revision} <- Found], []]};
page({ok, Found, {more, Last}}) -> {ok, [[[Key, Value, Revision] || {Key, Value, Revision} <- Found], [Last]]};
page(Other) -> answer(Other).

described(#{phase := Phase, members := Members} = Info) ->
    #{<<"node">> => atom_to_binary(node()),
      <<"phase">> => atom_to_binary(Phase),
      <<"id">> => maps:get(id, Info),
      <<"membership">> => case maps:get(membership, Info, none) of none -> none; Membership -> atom_to_binary(Membership) end,
      <<"members">> => [atom_to_binary(Node) || Node <- Members],
      <<"leader">> => case maps:get(leader, Info, none) of none -> none; Leader -> atom_to_binary(Leader) end,
      <<"quorum">> => hornbeam_cluster:has_quorum()}.

%% @doc The answer for an error of the cluster's.
-spec failed(atom()) -> hornbeam_answer:answer().
failed(no_cluster) -> {error, no_cluster, <<"this server is in no cluster (option cluster)">>};
failed(no_quorum) -> {error, no_quorum, <<"fewer than a majority of the cluster's members can be reached: nothing was done">>};
failed(in_doubt) -> {error, in_doubt, <<"the cluster has not answered in time: the change may be done, or not">>};
failed(too_many) -> {error, cluster_overloaded, <<"too many operations of this node wait for the cluster: this one was not done">>};
failed(full) -> {error, value_error, <<"the cluster's state is full (option cluster_max_bytes)">>};
failed(too_large) -> {error, value_error, <<"a key and its value may have 4 MiB together in the cluster's state">>};
failed(not_a_number) -> {error, type_error, <<"the stored value is not a number">>};
failed(out_of_range) -> {error, value_error, <<"the sum is out of the range of a float">>};
failed(Other) -> {error, value_error, <<"the cluster's members refuse: ", (atom_to_binary(Other))/binary>>}.
