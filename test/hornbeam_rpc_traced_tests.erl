%%% Calls to other nodes as a part of a trace: to one that runs Hornbeam, and to one that does not know of it. A node is what calls; this VM is none.
-module(hornbeam_rpc_traced_tests).

-include_lib("eunit/include/eunit.hrl").

-export([traced/1, as_without/1, cast/1, tell/1, fail/0]).

-define(TRACE, <<"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01">>).
-define(LIMIT, 60000).

nodes_test_() ->
    {setup,
     fun() ->
         ok = peers:epmd(),
         {Caller, _} = peers:start([]),
         {Other, OtherNode} = peers:start([]),
         {ok, Plain, PlainNode} = peer:start(#{name => peer:random_name(), host => "127.0.0.1", longnames => true, connection => standard_io,
                                               wait_boot => 120000}),
         {Caller, {Other, OtherNode}, {Plain, PlainNode}}
     end,
     fun({Caller, {Other, _}, {Plain, _}}) -> [peers:stop(Peer) || Peer <- [Caller, Other, Plain]] end,
     fun({Caller, Other, Plain}) ->
         [{timeout, 600, fun() -> Test(Caller, Other, Plain) end}
          || Test <- [fun a_call_takes_it_on/3, fun a_cast_takes_it_on/3, fun what_is_raised_is_the_same/3, fun a_node_without_it/3,
                      fun a_node_that_is_not_there/3, fun a_node_that_went_is_asked_anew/3]]
     end}.

a_call_takes_it_on(Caller, {_, Node}, _) ->
    ?assertEqual([], remembered(Caller, Node)),
    ?assertEqual({ok, []}, peers:call(Caller, ?MODULE, as_without, [[Node, hornbeam_trace_context, current, [], ?LIMIT]])),
    ?assertEqual([], remembered(Caller, Node)),
    ?assertEqual({ok, [?TRACE]}, peers:call(Caller, ?MODULE, traced, [[Node, hornbeam_trace_context, current, [], ?LIMIT]])),
    ?assertEqual([{Node, true}], remembered(Caller, Node)),
    ?assertEqual({ok, [?TRACE]}, peers:call(Caller, ?MODULE, traced, [[Node, hornbeam_trace_context, current, [], infinity]])).

a_cast_takes_it_on(Caller, {_, Node}, _) ->
    ?assertEqual([?TRACE], peers:call(Caller, ?MODULE, cast, [Node])).

what_is_raised_is_the_same(Caller, {_, Node}, _) ->
    [?assertEqual(peers:call(Caller, ?MODULE, as_without, [Call]), peers:call(Caller, ?MODULE, traced, [Call]))
     || Call <- [[Node, ?MODULE, fail, [], ?LIMIT], [Node, ?MODULE, nothing, [], ?LIMIT], [Node, erlang, throw, [x], ?LIMIT],
                 [Node, erlang, exit, [x], ?LIMIT], [Node, timer, sleep, [infinity], 1]]].

a_node_without_it(Caller, _, {Plain, Node}) ->
    ?assertEqual({ok, [2, 1]}, peers:call(Caller, ?MODULE, traced, [[Node, lists, reverse, [[1, 2]], ?LIMIT]])),
    ?assertEqual([{Node, false}], remembered(Caller, Node)),
    ?assertEqual(ok, peers:call(Caller, ?MODULE, traced, [[Node, application, set_env, [kernel, told, 1]]])),
    await:until(fun() -> peers:call(Plain, application, get_env, [kernel, told]) =:= {ok, 1} end).

a_node_that_is_not_there(Caller, _, _) ->
    Gone = 'nobody@127.0.0.1',
    ?assertEqual({error, noconnection}, peers:call(Caller, ?MODULE, traced, [[Gone, erlang, node, [], ?LIMIT]])),
    ?assertEqual(ok, peers:call(Caller, ?MODULE, traced, [[Gone, erlang, node, []]])),
    ?assertEqual([], remembered(Caller, Gone)),
    await:until(fun() -> peers:call(Caller, hornbeam_call_sup, count, []) =:= 2 end).

a_node_that_went_is_asked_anew(Caller, {Other, Node}, _) ->
    ok = peers:stop(Other),
    await:until(fun() -> remembered(Caller, Node) =:= [] end),
    await:until(fun() -> peers:call(Caller, hornbeam_call_sup, count, []) =:= 1 end).

%% Nothing is remembered where the application does not run; nor is it needed for this node.
without_the_application_test() ->
    ?assertNot(hornbeam_rpc_traced:takes('nobody@127.0.0.1', 1)),
    ?assert(hornbeam_rpc_traced:takes(node(), 1)).

remembered(Caller, Node) -> peers:call(Caller, ets, lookup, [hornbeam_rpc_traced, Node]).

%%% On the node that calls. Five arguments are a call, four a cast.

traced(Call) ->
    Self = self(),
    {_, Monitor} = spawn_monitor(fun() -> ok = hornbeam_trace_context:join([?TRACE]), Self ! {answer, as_without(Call)} end),
    receive {answer, Answer} -> demonitor(Monitor, [flush]), Answer end.

as_without([_, _, _, _, _] = Call) -> apply(hornbeam_rpc, call, Call);
as_without([_, _, _, _] = Cast) -> apply(hornbeam_rpc, cast, Cast).

cast(Node) ->
    ok = traced([Node, ?MODULE, tell, [self()]]),
    receive {told, Trace} -> Trace end.

%%% On the one that is called.

tell(Pid) -> Pid ! {told, hornbeam_trace_context:current()}.

fail() -> _ = error(oops), ok.
