%%% What Mnesia does as three nodes of a replicated state, beside Ra under hornbeam_cluster_state: the choice in docs/architecture.md. Not part of `make bench'.
%%%
%%%     mkdir /tmp/majority && cd /tmp/majority && erlc .../bench/mnesia_majority.erl && erl -name bench@127.0.0.1 -noshell -s mnesia_majority main
%%%
%%% A table with copies on the disks of three nodes and `majority', written by one of them with a transaction each; then one node is cut off and linked again. With sync_log a
%%% write is on the disks of all before it is answered; without, it is in the memory of all and on disk later. Links without TLS. Writes below ./data.
-module(mnesia_majority).

-export([main/0, run/2, write/2, watch/1]).

-define(SECONDS, 5).
-define(VALUE, binary:copy(<<"x">>, 100)).

main() ->
    _ = file:del_dir_r("data"),
    ok = file:make_dir("data"),
    Peers = [started(Number) || Number <- [1, 2, 3]],
    [{First, _} | _] = Peers,
    Nodes = [Node || {_, Node} <- Peers],
    _ = [true = peer:call(First, net_kernel, connect_node, [Node]) || Node <- Nodes],
    ok = peer:call(First, mnesia, create_schema, [Nodes]),
    [ok = peer:call(Peer, mnesia, start, []) || {Peer, _} <- Peers],
    {atomic, ok} = peer:call(First, mnesia, create_table, [state, [{disc_copies, Nodes}, {majority, true}]]),
    _ = [io:format("~s, ~b callers: ~p~n", [Kind, Callers, peer:call(First, ?MODULE, run, [Kind, Callers], 60000)])
         || Kind <- [sync_transaction, sync_log], Callers <- [1, 64]],
    partition(Peers),
    halt().

started(Number) ->
    Name = "mnesia" ++ integer_to_list(Number),
    Dir = filename:absname(filename:join("data", Name)),
    {ok, Peer, Node} = peer:start(#{name => list_to_atom(Name), host => "127.0.0.1", longnames => true, connection => standard_io,
                                    args => ["-pa", filename:dirname(code:which(?MODULE)), "-mnesia", "dir", "\"" ++ Dir ++ "\"",
                                             "-kernel", "prevent_overlapping_partitions", "false", "-connect_all", "false"]}),
    {Peer, Node}.

%% Writes a second, and how long the median and the hundredth of them take, in ms.
run(Kind, Callers) ->
    Until = erlang:monotonic_time(microsecond) + ?SECONDS * 1000000,
    Self = self(),
    Pids = [spawn_link(fun() -> Self ! {self(), writes(Kind, Until, [])} end) || _ <- lists:seq(1, Callers)],
    Took = lists:sort(lists:append([receive {Pid, Each} -> Each end || Pid <- Pids])),
    Count = length(Took),
    #{rate => Count div ?SECONDS, p50 => lists:nth(Count div 2 + 1, Took) / 1000, p99 => lists:nth(Count * 99 div 100 + 1, Took) / 1000}.

writes(Kind, Until, Took) ->
    case erlang:monotonic_time(microsecond) of
        Begun when Begun < Until ->
            {atomic, ok} = write(Kind, rand:uniform(1000)),
            writes(Kind, Until, [erlang:monotonic_time(microsecond) - Begun | Took]);
        _ -> Took
    end.

write(Kind, Key) ->
    Written = mnesia:sync_transaction(fun() -> mnesia:write({state, Key, ?VALUE}) end),
    case Kind of
        sync_log -> {[ok, ok, ok], []} = rpc:multicall(mnesia:table_info(state, disc_copies), mnesia, sync_log, []);
        sync_transaction -> ok
    end,
    Written.

%% The third is cut off from both others: who may write; what is there when it is linked again.
partition([{First, A}, {_, B} = Second, {Third, C}]) ->
    _ = [begin
             _ = peer:call(Third, erlang, set_cookie, [Node, cut]),
             _ = peer:call(Peer, erlang, set_cookie, [C, cut]),
             _ = peer:call(Third, erlang, disconnect_node, [Node])
         end || {Peer, Node} <- [{First, A}, Second]],
    timer:sleep(2000),
    io:format("cut off: the majority writes ~p, the node alone ~p, and reads ~p~n",
              [peer:call(First, ?MODULE, write, [sync_transaction, 1]), peer:call(Third, ?MODULE, write, [sync_transaction, 1]),
               element(1, peer:call(Third, mnesia, transaction, [fun mnesia:read/1, [{state, 1}]]))]),
    {atomic, ok} = peer:call(First, mnesia, sync_transaction, [fun mnesia:write/1, [{state, 1, new}]]),
    Cookie = peer:call(First, erlang, get_cookie, []),
    _ = [begin
             _ = peer:call(Third, erlang, set_cookie, [Node, Cookie]),
             _ = peer:call(Peer, erlang, set_cookie, [C, Cookie]),
             _ = peer:call(Third, net_kernel, connect_node, [Node])
         end || {Peer, Node} <- [{First, A}, {element(1, Second), B}]],
    timer:sleep(5000),
    io:format("linked again: running on ~p of them, as the node that was alone sees it; it reads ~p where ~p was written~n",
              [length(peer:call(Third, mnesia, system_info, [running_db_nodes])), peer:call(Third, ?MODULE, watch, [1]), new]).

watch(Key) ->
    case mnesia:transaction(fun() -> mnesia:read(state, Key) end) of
        {atomic, [{state, _, Value}]} when is_atom(Value) -> Value;
        {atomic, [{state, _, _}]} -> old;
        Other -> Other
    end.
