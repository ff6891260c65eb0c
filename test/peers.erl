%%% VMs beside that of a suite, told what to do over their standard input, however busy the machine is.
-module(peers).

-export([start/1, start/2, call/4, call/5, stop/1, epmd/0, distributed/0]).

-define(LIMIT_MS, 120000).

%% @doc A node at 127.0.0.1 on which hornbeam runs. Arguments: of `erl', beside the path of the code.
-spec start(Arguments :: [string()]) -> {pid(), node()}.
start(Arguments) -> start(peer:random_name(), Arguments).

-spec start(Name :: string() | atom(), Arguments :: [string()]) -> {pid(), node()}.
start(Name, Arguments) ->
    {ok, Peer, Node} = peer:start(#{name => Name, host => "127.0.0.1", longnames => true, connection => standard_io, wait_boot => ?LIMIT_MS,
                                    args => Arguments ++ ["-kernel", "prevent_overlapping_partitions", "false", "-pa" | code:get_path()]}),
    ok = call(Peer, logger, set_primary_config, [level, error]),
    {ok, _} = call(Peer, application, ensure_all_started, [hornbeam]),
    {Peer, Node}.

%% @doc As peer:call/4, whose limit is 5 s.
-spec call(pid(), module(), atom(), [term()]) -> term().
call(Peer, Module, Function, Arguments) -> call(Peer, Module, Function, Arguments, ?LIMIT_MS).

-spec call(pid(), module(), atom(), [term()], timeout()) -> term().
call(Peer, Module, Function, Arguments, Limit) -> peer:call(Peer, Module, Function, Arguments, Limit).

%% @doc Also one that was killed.
-spec stop(pid()) -> ok.
stop(Peer) ->
    try peer:stop(Peer)
    catch exit:_ -> ok
    end.

%% @doc Returns when epmd listens: its command comes back a moment before.
-spec epmd() -> ok.
epmd() ->
    _ = os:cmd("epmd -daemon"),
    await:until(fun() -> element(1, erl_epmd:names({127, 0, 0, 1})) =:= ok end).

%% @doc Makes this VM a node, by a name that nobody has: epmd forgets one a moment after its node has gone.
-spec distributed() -> ok.
distributed() ->
    ok = epmd(),
    Name = lists:concat(["ct-", os:getpid(), "-", erlang:unique_integer([positive]), "@127.0.0.1"]),
    {ok, _} = net_kernel:start([list_to_atom(Name), longnames]),
    ok.
