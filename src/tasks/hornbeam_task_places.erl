%%% Which workers run a server's tasks, and how many more may begin now.
%%%
%%% Called by: hornbeam_task_book, hornbeam_schedules. Calls: hornbeam_servers, hornbeam_mounts, hornbeam_pool (stats/1: a look at a table, no message).
%%%
%%% With task_workers there is a pool of their own: task_concurrency at a time for each of its workers. Without, the web workers of the
%%% root application (or the first mount) run tasks while they have time: requests in progress take from those task_concurrency, and while
%%% a request waits for a worker nothing begins. One task runs in any case, so that a server that is never idle gets on with them, too.
-module(hornbeam_task_places).

-include("hornbeam.hrl").

-export([prefix/0, pool/1, free/3]).

%% @doc The name of the pool of tasks among a server's mounts: no path begins like this.
-spec prefix() -> binary().
prefix() -> <<"tasks">>.

-spec pool(Server :: atom()) -> {own | shared, hornbeam_pool:id()} | none.
pool(Server) ->
    Pools = [Pool || #mount{pool = Pool} <- hornbeam_mounts:all(Server)],
    case {lists:member({Server, prefix()}, Pools), lists:member({Server, <<>>}, Pools), Pools} of
        {true, _, _} -> {own, {Server, prefix()}};
        {false, true, _} -> {shared, {Server, <<>>}};
        {false, false, [First | _]} -> {shared, First};
        {false, false, []} -> none
    end.

-spec free(Server :: atom(), Config :: map(), Running :: non_neg_integer()) -> {hornbeam_pool:id(), Free :: integer()} | none.
free(Server, #{task_concurrency := Each} = Config, Running) ->
    %% Before its sockets are open it may still fail to start.
    case hornbeam_servers:is_open(Server) andalso pool(Server) of
        false ->
            none;
        {own, Pool} ->
            {Pool, Each * maps:get(task_workers, Config) - Running};
        {shared, Pool} ->
            #{ready := Ready, in_flight := InFlight, waiting := Waiting} = hornbeam_pool:stats(Pool),
            Spare = case Waiting of 0 -> Each * Ready - (InFlight - Running); _ -> 0 end,
            {Pool, max(1, Spare) - Running};
        none ->
            none
    end.
