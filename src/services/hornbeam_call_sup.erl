%%% The processes of the calls that take one: from Python to registered functions and other nodes
%%% (hornbeam_running), and from Erlang to Python (hornbeam_call). `temporary': a call that ends badly has its
%%% caller told and is not run again.
-module(hornbeam_call_sup).
-behaviour(supervisor).

-export([start_link/0, init/1, start_call/1, end_call/1, run/1, count/0]).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case supervisor:start_link({local, ?MODULE}, ?MODULE, []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    {ok, {#{strategy => simple_one_for_one}, [
        #{id => call, start => {?MODULE, run, []}, restart => temporary, shutdown => brutal_kill}
    ]}}.

%% @doc Runs a fun in a process of its own.
-spec start_call(fun(() -> term())) -> {ok, pid()}.
start_call(Fun) ->
    {ok, Pid} = supervisor:start_child(?MODULE, [Fun]),
    true = is_pid(Pid),
    {ok, Pid}.

%% @doc Kills a call, without waiting for it and without a report of the supervisor's.
-spec end_call(pid()) -> ok.
end_call(Pid) ->
    _ = spawn(supervisor, terminate_child, [?MODULE, Pid]),
    ok.

%% For the supervisor: does not wait for the fun to begin.
-spec run(fun(() -> term())) -> {ok, pid()}.
run(Fun) ->
    {ok, proc_lib:spawn_link(Fun)}.

%% @doc How many calls are running.
-spec count() -> non_neg_integer().
count() ->
    proplists:get_value(active, supervisor:count_children(?MODULE)).
