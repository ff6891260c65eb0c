%%% The pools that a running server was given (hornbeam_server_pools), beside those that it was started with.
%%%
%%% Called by: hornbeam_server, whose child it is, before the listener: so that a stop ends the requests of these pools, too, before their
%%% workers. Calls: hornbeam_pool_sup, in whose name it is asked for children.
%%%
%%% A pool that fails too often ends the server, as one that it was started with does: this process is then missed by hornbeam_server
%%% (significant) and not started again, because its children would be forgotten.
-module(hornbeam_pools_sup).
-behaviour(supervisor).

-export([start_link/0, spec/0, init/1]).

-spec spec() -> supervisor:child_spec().
spec() ->
    #{id => ?MODULE, start => {?MODULE, start_link, []}, type => supervisor, restart => transient, significant => true,
      shutdown => infinity}.

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case supervisor:start_link(?MODULE, []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

-spec init([]) -> {ok, {supervisor:sup_flags(), []}}.
init([]) ->
    {ok, {#{strategy => one_for_one, intensity => 5, period => 30}, []}}.
