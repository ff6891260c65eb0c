%%% Watches how much memory the VM takes, and has requests refused before the machine runs out of it.
%%%
%%% Called by: hornbeam (configure/1), hornbeam_gate (flag/0, is_low/1). Calls: hornbeam_cgroup.
%%%
%%% Each bound of a connection, a stream, a queue is one that a machine survives many times over, but not as many times as there may be
%%% connections. Above max_memory_percent of what the cgroup (else the machine) allows, every request is answered with 503 and
%%% its HTTP/1 connection closed; what is in progress goes on. When it is too late for that, the kernel kills a worker rather than
%%% the VM (main.py), and at last the VM, which whoever supervises it starts again.
%%%
%%% The flag is an atomic that each request reads: a few nanoseconds. This process sets it, by a look each ?LOOK ms at what the VM's
%%% allocators have given out; that sinks at once when something is freed, unlike the resident memory. While the flag is set,
%%% processes that are idle are made to collect their garbage, since nothing else would. The node has one memory: with several servers
%%% the limit holds that the one started last has set. Flag and limit outlive this process.
-module(hornbeam_memory).
-behaviour(gen_server).

-export([start_link/0, configure/1, flag/0, is_low/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).
-export_type([flag/0]).

-define(LOOK, 500).
-define(COLLECT, 5000).
%% The flag is taken back below so much of the limit, in percent.
-define(BACK, 95).

%% The atomics: whether requests are refused; how much the VM may take, 0 for no limit.
-define(LOW, 1).
-define(LIMIT, 2).

-opaque flag() :: atomics:atomics_ref().

-record(state, {
    flag :: flag(),
    collected_at = 0 :: integer()           % monotonic ms
}).

-spec start_link() -> {ok, pid()}.
start_link() ->
    {ok, _} = gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc Sets the limit from a server's options.
-spec configure(Options :: map()) -> ok.
configure(#{max_memory_percent := Percent}) ->
    atomics:put(flag(), ?LIMIT, limit(Percent, hornbeam_cgroup:memory_limit())).

limit(100, _Known) -> 0;
limit(_Percent, unknown) -> 0;
limit(Percent, Known) -> max(1, Known * Percent div 100).

%% @doc What is_low/1 reads; the same for the life of the node.
-spec flag() -> flag().
flag() ->
    case persistent_term:get(?MODULE, none) of
        none ->
            Flag = atomics:new(2, []),
            persistent_term:put(?MODULE, Flag),
            Flag;
        Flag ->
            Flag
    end.

-spec is_low(flag()) -> boolean().
is_low(Flag) ->
    atomics:get(Flag, ?LOW) =/= 0.

-spec init([]) -> {ok, #state{}}.
init([]) ->
    _ = erlang:send_after(?LOOK, self(), look),
    {ok, #state{flag = flag()}}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, {error, not_supported}, #state{}}.
handle_call(_Request, _From, State) ->
    {reply, {error, not_supported}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info(look, #state{flag = Flag} = State) ->
    _ = erlang:send_after(?LOOK, self(), look),
    {noreply, look(atomics:get(Flag, ?LIMIT), State)};
handle_info(_Collected, State) ->
    {noreply, State}.

look(0, #state{flag = Flag} = State) ->
    ok = atomics:put(Flag, ?LOW, 0),
    State;
look(Limit, #state{flag = Flag} = State) ->
    Used = erlang:memory(total),
    case is_low(Flag) of
        false when Used > Limit ->
            logger:warning("the VM takes ~b MiB of memory, more than max_memory_percent allows (~b MiB): requests are refused",
                           [mib(Used), mib(Limit)]),
            ok = atomics:put(Flag, ?LOW, 1),
            collect(State);
        true when Used * 100 =< Limit * ?BACK ->
            ok = atomics:put(Flag, ?LOW, 0),
            logger:notice("the VM takes ~b MiB of memory: requests are taken again", [mib(Used)]),
            State;
        true ->
            collect(State);
        false ->
            State
    end.

%% Without waiting for those that cannot answer now.
collect(#state{collected_at = At} = State) ->
    Now = erlang:monotonic_time(millisecond),
    case At =:= 0 orelse Now - At >= ?COLLECT of
        true ->
            lists:foreach(fun(Pid) -> erlang:garbage_collect(Pid, [{async, collected}]) end, processes() -- [self()]),
            State#state{collected_at = Now};
        false ->
            State
    end.

mib(Bytes) ->
    Bytes div 1048576.
