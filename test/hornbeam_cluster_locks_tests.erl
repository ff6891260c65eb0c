%%% hornbeam_cluster_locks, hornbeam_lock and hornbeam_leader on a node, with a cluster that the test moves (fake_cluster). What must hold whatever happens:
%%% prop_hornbeam_cluster_claims; with real nodes: python_tests/cluster/test_locks.py.
-module(hornbeam_cluster_locks_tests).

-include_lib("eunit/include/eunit.hrl").

-define(X, {lock, <<"x">>}).

locks_test_() ->
    {foreach, fun start/0, fun stop/1,
     [{timeout, 60, {atom_to_list(Name), Test}} || {Name, Test} <- [
        {next_in_turn, fun next_in_turn/0}, {an_owner_ends, fun an_owner_ends/0}, {lost, fun lost/0}, {time_out, fun time_out/0},
        {renewals_go_together, fun renewals_go_together/0}, {in_doubt, fun in_doubt/0}, {events_are_missed, fun events_are_missed/0},
        {a_waiter_is_forgotten, fun a_waiter_is_forgotten/0}, {the_server_ends, fun the_server_ends/0}, {an_earlier_life, fun an_earlier_life/0},
        {with_lock, fun with_lock/0}, {so_many_of_an_owner, fun so_many_of_an_owner/0}, {bad_arguments, fun bad_arguments/0}, {leaders, fun leaders/0}, {a_leader_runs, fun a_leader_runs/0}]]}.

start() ->
    {ok, Cluster} = fake_cluster:start_link(),
    {ok, Locks} = hornbeam_cluster_locks:start_link(#{}, fake_cluster:ask()),
    ok = hornbeam_cluster_sup:set_options(#{}),
    true = unlink(Locks),
    true = unlink(Cluster),
    _ = fake_cluster:commands(),
    [].

stop([]) ->
    ok = hornbeam_cluster_sup:set_options(none),
    lists:foreach(fun(Pid) -> exit(Pid, kill), await:until(fun() -> not is_process_alive(Pid) end) end,
                  [Pid || Name <- [hornbeam_cluster_locks, fake_cluster], Pid <- [whereis(Name)], is_pid(Pid)]).

again() ->
    {ok, Locks} = hornbeam_cluster_locks:start_link(#{}, fake_cluster:ask()),
    true = unlink(Locks).

%% A process that gets a lock and says what it is told.
owner(Name, Options) ->
    Test = self(),
    spawn_link(fun() -> Test ! {self(), hornbeam_lock:acquire(Name, Options)}, told(Test) end).

told(Test) ->
    receive
        {hornbeam_lock, _, lost} -> Test ! {self(), lost}, told(Test);
        {release, Lock} -> Test ! {self(), hornbeam_lock:release(Lock)}, told(Test);
        done -> ok
    end.

says(Pid) -> receive {Pid, What} -> What after 30000 -> error({says_nothing, Pid}) end.

waiting(Number) -> await:until(fun() -> gen_server:call(hornbeam_cluster_locks, count) =:= Number end).

next_in_turn() ->
    A = owner(<<"x">>, #{}),
    {ok, #{token := First} = Lock} = says(A),
    B = owner(<<"x">>, #{}),
    waiting(2),
    C = owner(<<"x">>, #{}),
    waiting(3),
    A ! {release, Lock},
    ?assertEqual(ok, says(A)),
    {ok, #{token := Second} = Its} = says(B),
    B ! {release, Its},
    ?assertEqual(ok, says(B)),
    {ok, #{token := Third}} = says(C),
    ?assert(First < Second andalso Second < Third),
    ?assertEqual({error, not_held}, hornbeam_lock:release(Lock)),
    ?assertEqual({error, timeout}, hornbeam_lock:acquire(<<"x">>, #{timeout => 0})),
    %% Names of kinds are their own.
    {ok, Place} = hornbeam_lock:acquire(<<"x">>, 2, #{timeout => 0}),
    ?assertEqual(ok, hornbeam_lock:release(Place)),
    C ! done.

an_owner_ends() ->
    A = owner(<<"x">>, #{}),
    {ok, _} = says(A),
    B = owner(<<"x">>, #{}),
    waiting(2),
    A ! done,
    {ok, _} = says(B),
    %% A process that stays, and what it had is gone with its Python process.
    C = owner(<<"x">>, #{}),
    waiting(2),
    hornbeam_cluster_locks:left(B),
    {ok, _} = says(C),
    [Pid ! done || Pid <- [B, C]],
    waiting(0).

%% Nobody answers: lost is said without the cluster, and before its time is over there.
lost() ->
    A = owner(<<"x">>, #{ttl => 1000}),
    {ok, Lock} = says(A),
    ok = fake_cluster:say({error, no_quorum}),
    ?assertEqual(lost, says(A)),
    A ! {release, Lock},
    ?assertEqual({error, lost}, says(A)),
    ok = fake_cluster:say(normal),
    waiting(0),
    {ok, _} = hornbeam_lock:acquire(<<"x">>, #{timeout => 0}),
    A ! done.

time_out() ->
    A = owner(<<"x">>, #{}),
    {ok, _} = says(A),
    ?assertEqual({error, timeout}, hornbeam_lock:acquire(<<"x">>, #{timeout => 20})),
    waiting(1),
    ?assertEqual(#{names => 1, held => 1, waiting => 0}, fake_cluster:counts()),
    A ! done.

renewals_go_together() ->
    Locks = [begin {ok, Lock} = hornbeam_lock:acquire(<<"x", (integer_to_binary(N))/binary>>, #{ttl => 1500}), Lock end || N <- lists:seq(1, 20)],
    await:until(fun() ->
        [] =/= [Numbers || {renew, _, _, Numbers} <- fake_cluster:commands(), length(Numbers) =:= 20]
    end),
    [ok = hornbeam_lock:release(Lock) || Lock <- Locks].

%% The command was applied; nobody holds anything in the end.
in_doubt() ->
    ok = fake_cluster:say(doubt),
    ?assertEqual({error, in_doubt}, hornbeam_lock:acquire(<<"x">>, #{})),
    ok = fake_cluster:say(normal),
    waiting(0),
    ?assertMatch({ok, _}, hornbeam_lock:acquire(<<"x">>, #{timeout => 0})).

events_are_missed() ->
    {held, _} = fake_cluster:apply_as({acquire, ?X, {other@host, 1, 1}, 1, 100000, wait}),
    A = owner(<<"x">>, #{}),
    waiting(1),
    await:until(fun() -> maps:get(waiting, fake_cluster:counts()) =:= 1 end),
    ok = fake_cluster:say(doubt),
    [{other@host, 1, 1}] = fake_cluster:apply_as({release, [{other@host, 1, 1}]}),
    ok = fake_cluster:say(normal),
    hornbeam_cluster_locks ! {hornbeam_cluster, leases, 0, resync},
    {ok, _} = says(A),
    A ! done.

a_waiter_is_forgotten() ->
    {held, _} = fake_cluster:apply_as({acquire, ?X, {other@host, 1, 1}, 1, 100000, wait}),
    A = owner(<<"x">>, #{ttl => 2000}),
    waiting(1),
    await:until(fun() -> maps:get(waiting, fake_cluster:counts()) =:= 1 end),
    %% The node was cut off for longer than its lease: it asks again.
    [{gone, _}] = fake_cluster:pass(3000),
    await:until(fun() -> maps:get(waiting, fake_cluster:counts()) =:= 1 end),
    [_] = fake_cluster:apply_as({release, [{other@host, 1, 1}]}),
    {ok, _} = says(A),
    A ! done.

the_server_ends() ->
    A = owner(<<"x">>, #{}),
    {ok, _} = says(A),
    Pid = whereis(hornbeam_cluster_locks),
    ok = gen_server:stop(Pid),
    ?assertEqual(lost, says(A)),
    ?assertEqual(#{names => 0, held => 0, waiting => 0}, fake_cluster:counts()),
    ?assertEqual({error, no_quorum}, hornbeam_lock:acquire(<<"x">>, #{})),
    ok = hornbeam_cluster_sup:set_options(none),
    ?assertEqual({error, no_cluster}, hornbeam_lock:acquire(<<"x">>, #{})),
    A ! done.

%% What a node held before it was started anew is free at once.
an_earlier_life() ->
    {ok, _} = hornbeam_lock:acquire(<<"x">>, #{}),
    Pid = whereis(hornbeam_cluster_locks),
    exit(Pid, kill),
    await:until(fun() -> not is_process_alive(Pid) end),
    again(),
    {ok, _} = hornbeam_lock:acquire(<<"x">>, #{timeout => 30000}).

with_lock() ->
    ?assertMatch({ok, Token} when is_integer(Token), hornbeam_lock:with_lock(<<"x">>, #{}, fun(Token) -> Token end)),
    ?assertError(wrong, hornbeam_lock:with_lock(<<"x">>, #{}, fun(_) -> error(wrong) end)),
    ok = fake_cluster:say(normal),
    ?assertEqual({error, lost}, hornbeam_lock:with_lock(<<"x">>, #{}, fun(_) -> [{gone, _}] = fake_cluster:pass(20000) end)),
    ?assertEqual({ok, 1}, hornbeam_lock:with_lock(<<"x">>, #{timeout => 0}, fun(_) -> 1 end)).

so_many_of_an_owner() ->
    {ok, Request} = hornbeam_lock:request(?X, #{limit => 10001, ttl => 60000}),
    Ask = fun(Key) -> gen_server:call(hornbeam_cluster_locks, {acquire, Request#{key => Key, name => {semaphore, <<"s">>}}}) end,
    _ = [{ok, _} = Ask(N) || N <- lists:seq(1, 10000)],
    ?assertEqual({error, {refused, too_many_of_owner}}, Ask(10001)),
    ?assertEqual(ok, gen_server:call(hornbeam_cluster_locks, {release, 1})),
    ?assertMatch({ok, _}, Ask(10001)),
    ?assertEqual({error, {refused, known}}, Ask(2)).

bad_arguments() ->
    [?assertEqual({error, bad_name}, hornbeam_lock:acquire(Name, #{})) || Name <- [<<>>, x, binary:copy(<<"x">>, 513)]],
    [?assertEqual({error, bad_options}, hornbeam_lock:acquire(<<"x">>, Options))
     || Options <- [#{ttl => 999}, #{ttl => 86400001}, #{timeout => -1}, #{timeout => none}]],
    ?assertEqual({error, bad_options}, hornbeam_lock:acquire(<<"x">>, 0, #{})).

leads(Name) -> receive {hornbeam_leader, Name, What} -> What after 30000 -> error({nothing_of, Name}) end.

leaders() ->
    {ok, Campaign} = hornbeam_leader:campaign(<<"s">>, #{}),
    {gained, First} = leads(<<"s">>),
    [{gone, _}] = fake_cluster:pass(20000),
    ?assertEqual(lost, leads(<<"s">>)),
    {gained, Second} = leads(<<"s">>),
    ?assert(First < Second),
    %% Errors of the cluster are tried again, also the end of the server.
    Pid = whereis(hornbeam_cluster_locks),
    ok = gen_server:stop(Pid),
    ?assertEqual(lost, leads(<<"s">>)),
    again(),
    {gained, _} = leads(<<"s">>),
    ok = hornbeam_leader:resign(Campaign),
    ?assertEqual(lost, leads(<<"s">>)),
    waiting(0),
    ok = hornbeam_leader:resign(Campaign).

a_leader_runs() ->
    Test = self(),
    Options = #{gained => fun(Token) -> Test ! {gained, Token} end, lost => fun() -> Test ! lost end,
                run => fun(Token) -> Test ! {runs, self(), Token}, receive stop -> ok end end},
    {ok, _} = hornbeam_leader:campaign(<<"s">>, Options),
    {Token, Runner} = receive {runs, First, T} -> {T, First} end,
    receive {gained, Token} -> ok end,
    [{gone, _}] = fake_cluster:pass(20000),
    receive lost -> ?assertNot(is_process_alive(Runner)) end,
    receive {runs, Next, Larger} when Larger > Token -> Next ! stop end,
    %% It has returned: it leads no longer.
    waiting(0).
