%%% Results that the cluster computes once, without another node: this one is the home of every key, and a process of the test may stand for one that
%%% has its home elsewhere, or for another node's hornbeam_cache. Real nodes: python_tests/cluster/test_spread.py.
-module(hornbeam_cluster_cache_tests).

-include_lib("eunit/include/eunit.hrl").

-define(KEY, {<<"n">>, <<"k">>}).

shared_test_() ->
    {foreach,
     fun() ->
         {ok, Started} = application:ensure_all_started(hornbeam),
         ok = hornbeam_cluster_sup:set_options(#{}),
         {ok, Group} = hornbeam_cluster_group:start_link(#{}),
         {ok, Home} = hornbeam_cluster_cache_home:start_link(#{}),
         true = unlink(Group) andalso unlink(Home),
         {Started, Group}
     end,
     fun({Started, Group}) ->
         ok = hornbeam_cluster_sup:set_options(none),
         ended(Group),
         [ok = application:stop(App) || App <- lists:reverse(Started)]
     end,
     [{timeout, 60, Test}
      || Test <- [fun callers_of_a_node_are_one/0, fun another_node_waits/0, fun it_waits_for_another_node/0, fun a_failure_is_for_all/0,
                  fun a_node_that_ends_has_a_successor/0, fun who_asked_leaves/0, fun all_who_asked_leave/0, fun a_leader_that_leaves_hands_on_to_its_node/0,
                  fun a_python_process_that_ends/0, fun the_home_ends/0, fun no_home/0, fun cleared_while_it_is_computed/0, fun what_is_late_is_nothing/0,
                  fun its_time_is_the_homes/0, fun the_end_of_the_scope/0]]}.

ended(Pid) ->
    Monitor = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Monitor, process, _, _} -> ok end.

%%% Callers of this node

caller() -> {make_ref(), erlang:unique_integer([positive])}.

ask(Who) -> ask(Who, none).

ask({_, Token} = Who, Wait) -> ok = hornbeam_cache:ask(Who, Token, ?KEY, {shared, thread}, Wait, self()).

%% What a caller is told, when everything that was sent before has been dealt with.
told({Session, Token}) ->
    settled(),
    receive {hornbeam_later, Session, Token, Answer} -> Answer
    after 0 -> nothing
    end.

settled() ->
    [_ = sys:get_state(Name) || _ <- [1, 2], Name <- [hornbeam_cache, hornbeam_cluster_cache_home], is_pid(whereis(Name))],
    ok.

put(Who) -> ok = hornbeam_cache:put(Who, <<"v">>, infinity).

%%% Another node's hornbeam_cache: this process

other() -> {make_ref(), 1}.

home(Message) -> hornbeam_cluster_cache_home ! Message, ok.

other_asks(Who) -> home({ask, self(), Who, ?KEY, coroutine}).

other_told(Who) ->
    settled(),
    receive {hornbeam_cluster_cache, Who, Answer} -> Answer
    after 0 -> nothing
    end.

callers_of_a_node_are_one() ->
    [One, Two, Three] = Callers = [caller() || _ <- [1, 2, 3]],
    [ask(Who) || Who <- Callers],
    ?assertEqual([absent, nothing, nothing], [told(Who) || Who <- Callers]),
    put(One),
    ?assertEqual([{packed, <<"v">>}, {packed, <<"v">>}], [told(Who) || Who <- [Two, Three]]),
    ?assertMatch(#{misses := 1, waits := 2, entries := 1}, hornbeam_cache_store:stats()).

another_node_waits() ->
    {Here, Other} = {caller(), other()},
    ask(Here),
    absent = told(Here),
    other_asks(Other),
    ?assertEqual(nothing, other_told(Other)),
    put(Here),
    ?assertEqual({packed, <<"v">>, infinity, waits}, other_told(Other)),
    Later = other(),
    other_asks(Later),
    ?assertEqual({packed, <<"v">>, infinity, hits}, other_told(Later)).

it_waits_for_another_node() ->
    {Here, Also, Other} = {caller(), caller(), other()},
    other_asks(Other),
    compute = other_told(Other),
    [ask(Who) || Who <- [Here, Also]],
    ?assertEqual([nothing, nothing], [told(Who) || Who <- [Here, Also]]),
    home({put, Other, <<"w">>, infinity}),
    ?assertEqual([{packed, <<"w">>}, {packed, <<"w">>}], [told(Who) || Who <- [Here, Also]]),
    ?assertEqual({ok, <<"w">>}, hornbeam_cache_store:read(?KEY)).

a_failure_is_for_all() ->
    {Here, Other} = {caller(), other()},
    other_asks(Other),
    ask(Here),
    nothing = told(Here),
    home({fail, Other, [<<"what">>]}),
    ?assertEqual({error, computation_error, [<<"what">>]}, told(Here)),
    Again = caller(),
    ask(Again),
    ?assertEqual(absent, told(Again)).

%% The other one's process, and then its node.
a_node_that_ends_has_a_successor() ->
    Self = self(),
    Gone = spawn(fun() -> receive stop -> ok end end),
    home({ask, Gone, {make_ref(), 1}, ?KEY, coroutine}),
    Here = caller(),
    ask(Here),
    nothing = told(Here),
    ended(Gone),
    await:until(fun() -> settled(), {messages, All} = process_info(Self, messages), lists:keymember(hornbeam_later, 1, All) end),
    ?assertEqual(absent, told(Here)).

%% A caller that gives up while its node waits: the next one of the node waits on.
who_asked_leaves() ->
    {Here, Also, Other} = {caller(), caller(), other()},
    other_asks(Other),
    [ask(Who) || Who <- [Here, Also]],
    ok = hornbeam_cache:leave(Here),
    ?assertEqual([nothing, nothing], [told(Who) || Who <- [Here, Also]]),
    home({leave, Other}),
    ?assertEqual(absent, told(Also)),
    put(Also).

%% In time, or when theirs is over.
all_who_asked_leave() ->
    {Here, Other, Later} = {caller(), other(), other()},
    other_asks(Other),
    compute = other_told(Other),
    ask(Here, 1),
    await:until(fun() -> told(Here) =:= {error, timeout, <<"the computation of another caller has not ended in time">>} end),
    other_asks(Later),
    home({leave, Other}),
    ?assertEqual(compute, other_told(Later)).

a_leader_that_leaves_hands_on_to_its_node() ->
    {Here, Also, Other} = {caller(), caller(), other()},
    ask(Here),
    absent = told(Here),
    other_asks(Other),
    ask(Also),
    ok = hornbeam_cache:leave(Here),
    ?assertEqual({absent, nothing}, {told(Also), other_told(Other)}),
    ok = hornbeam_cache:leave(Also),
    ?assertEqual(compute, other_told(Other)).

a_python_process_that_ends() ->
    {{Session, _} = Here, Other} = {caller(), other()},
    ask(Here),
    absent = told(Here),
    other_asks(Other),
    ok = hornbeam_cache:left(Session),
    ?assertEqual(compute, other_told(Other)).

%% Who waits asks the next home, of which there is none here; who computes goes on.
the_home_ends() ->
    {Here, Other} = {caller(), other()},
    other_asks(Other),
    ask(Here),
    nothing = told(Here),
    ended(whereis(hornbeam_cluster_cache_home)),
    await:until(fun() -> told(Here) =:= absent end),
    put(Here),
    settled(),
    ?assertEqual({ok, <<"v">>}, hornbeam_cache_store:read(?KEY)).

no_home() ->
    ended(whereis(hornbeam_cluster_cache_home)),
    await:until(fun() -> hornbeam_cluster_cache_asker:homes(?KEY) =:= [] end),
    Here = caller(),
    ask(Here),
    ?assertEqual(absent, told(Here)).

%% What was begun before is for those who wait already.
cleared_while_it_is_computed() ->
    {Here, Other} = {caller(), other()},
    ask(Here),
    absent = told(Here),
    other_asks(Other),
    ?assertEqual(0, hornbeam_cluster_cache_home:clear(<<"n">>)),
    put(Here),
    ?assertEqual({packed, <<"v">>, infinity, waits}, other_told(Other)),
    ?assertEqual(error, hornbeam_cache_store:read(?KEY)),
    Again = caller(),
    ask(Again),
    absent = told(Again),
    put(Again),
    settled(),
    ?assertEqual(1, hornbeam_cluster_cache_home:clear(all)),
    ?assertMatch([{_, #{entries := 0}}], hornbeam_cluster_cache_home:stats()).

what_is_late_is_nothing() ->
    hornbeam_cache ! {hornbeam_cluster_cache, {make_ref(), 1}, compute},
    home({put, other(), <<"v">>, infinity}),
    home({leave, other()}),
    home(what),
    Here = caller(),
    ask(Here),
    ?assertEqual(absent, told(Here)),
    ?assertEqual(error, hornbeam_cache_store:read(?KEY)).

%% What is got from the home lives no longer than it does there.
its_time_is_the_homes() ->
    {Here, Other} = {caller(), other()},
    ask(Here),
    absent = told(Here),
    ok = hornbeam_cache:put(Here, <<"v">>, 60000),
    settled(),
    other_asks(Other),
    {packed, <<"v">>, Left, hits} = other_told(Other),
    ?assert(Left > 0 andalso Left =< 60000).

the_end_of_the_scope() ->
    Home = whereis(hornbeam_cluster_cache_home),
    Monitor = monitor(process, Home),
    ended(whereis(hornbeam_cluster_group)),
    ?assertEqual(shutdown, receive {'DOWN', Monitor, process, _, Reason} -> Reason end),
    ?assertEqual([], hornbeam_cluster_group:members({cache, 1})),
    {ok, _} = hornbeam_cluster_group:start_link(#{}).
