%%% The processes of the calls that take one: from Python to registered functions and other nodes
%%% (hornbeam_running), and from Erlang to Python (hornbeam_call).
%%%
%%% Each is linked to this process, which does nothing but end them when the application stops. A call that ends badly has
%%% its caller told and is not run again. (A supervisor would look through all its messages for each child that it
%%% ends: five thousand calls that are cancelled at once cost ten times as much each as a hundred.)
-module(hornbeam_call_sup).
-behaviour(gen_server).

-export([start_call/1, end_call/1, count/0]).
-export([start_link/0, init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

%% @doc Runs a fun in a process of its own.
-spec start_call(fun(() -> term())) -> {ok, pid()}.
start_call(Fun) ->
    Owner = whereis(?MODULE),
    true = is_pid(Owner),
    {ok, proc_lib:spawn(fun() -> link(Owner), Fun() end)}.

%% @doc Kills a call, without waiting for it.
-spec end_call(pid()) -> ok.
end_call(Pid) ->
    true = exit(Pid, kill),
    ok.

%% @doc How many calls are running.
-spec count() -> non_neg_integer().
count() ->
    length(calls(whereis(?MODULE))).

calls(Owner) ->
    Parent = whereis(hornbeam_sup),
    {links, Links} = process_info(Owner, links),
    [Pid || Pid <- Links, is_pid(Pid), Pid =/= Parent].

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, [], []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

-spec init([]) -> {ok, []}.
init([]) ->
    process_flag(trap_exit, true),
    {ok, []}.

-spec handle_call(term(), gen_server:from(), []) -> {reply, {error, not_supported}, []}.
handle_call(_Request, _From, State) ->
    {reply, {error, not_supported}, State}.

-spec handle_cast(term(), []) -> {noreply, []}.
handle_cast(_Request, State) ->
    {noreply, State}.

%% Calls that have ended.
-spec handle_info(term(), []) -> {noreply, []}.
handle_info(_Message, State) ->
    {noreply, State}.

-spec terminate(term(), []) -> ok.
terminate(_Reason, _State) ->
    lists:foreach(fun end_call/1, calls(self())).
