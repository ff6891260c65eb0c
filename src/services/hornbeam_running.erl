%%% Python's calls that take longer than a look at a table: each in a process of its own, with a deadline.
%%%
%%% Owns the calls of one Python process that are running. Called by: hornbeam_services, in the worker's
%%% process, which gets the messages below. Calls: hornbeam_call_sup.
%%%
%%%     worker's process                     process of the call (hornbeam_call_sup)
%%%       start/4  ────────────────────────▶ links itself to the worker, runs the fun
%%%       {hornbeam_answer, Pid, Answer} ◀── the fun's answer; then the process ends
%%%       {timeout, Timer, {hornbeam_deadline, Pid}}    the deadline: the process is killed
%%%       {'EXIT', Pid, Reason}              it ended without an answer
%%%
%%% Failure modes: the fun raises: the exception is the answer. The process is killed from outside: so is
%%% that. The Python process ends: stop/1 kills what is running. The worker's process is killed: the link ends
%%% the calls. Limit: ?MAX_RUNNING calls for each Python process; one more is refused.
-module(hornbeam_running).

-export([new/0, start/4, cancel/2, handle_info/2, stop/1]).
-export_type([calls/0]).

-define(MAX_RUNNING, 10000).

-record(call, {
    id :: non_neg_integer(),            % of the call frame; 0: nobody waits for the answer
    timer :: reference()
}).
-record(calls, {
    running = #{} :: #{pid() => #call{}},
    pids = #{} :: #{pos_integer() => pid()}     % of the calls that have an id, to cancel them
}).
-opaque calls() :: #calls{}.

-spec new() -> calls().
new() ->
    #calls{}.

%% @doc Starts a call; its answer comes through handle_info/2. Timeout in ms.
-spec start(non_neg_integer(), timeout(), fun(() -> hornbeam_services:answer()), calls()) ->
    {ok, calls()} | {error, too_many_calls}.
start(_Id, _Timeout, _Fun, #calls{running = Running}) when map_size(Running) >= ?MAX_RUNNING ->
    {error, too_many_calls};
start(Id, Timeout, Fun, #calls{running = Running, pids = Pids} = Calls) ->
    Worker = self(),
    {ok, Pid} = hornbeam_call_sup:start_call(fun() -> run(Worker, Fun) end),
    Timer = erlang:start_timer(Timeout, self(), {hornbeam_deadline, Pid}),
    Named = case Id of
        0 -> Pids;
        _ -> Pids#{Id => Pid}
    end,
    {ok, Calls#calls{running = Running#{Pid => #call{id = Id, timer = Timer}}, pids = Named}}.

run(Worker, Fun) ->
    link(Worker),
    Answer = try Fun()
    catch Class:Reason:Stack -> hornbeam_services:raised(Class, Reason, Stack)
    end,
    Worker ! {hornbeam_answer, self(), Answer},
    %% The worker traps exits; without the link it need not hear of a normal end.
    unlink(Worker).

%% @doc Python waits for the answer of this call no longer.
-spec cancel(non_neg_integer(), calls()) -> calls().
cancel(Id, #calls{pids = Pids} = Calls) ->
    case Pids of
        #{Id := Pid} ->
            {_, Rest} = finish(Pid, Calls),
            hornbeam_call_sup:end_call(Pid),
            Rest;
        #{} ->
            Calls
    end.

%% @doc What a message means: the answer of a call, or nothing that is known here.
-spec handle_info(term(), calls()) ->
    {answer, non_neg_integer(), hornbeam_services:answer(), calls()} | ignore.
handle_info({hornbeam_answer, Pid, Answer}, #calls{running = Running} = Calls) when is_map_key(Pid, Running) ->
    {Id, Rest} = finish(Pid, Calls),
    {answer, Id, Answer, Rest};
handle_info({timeout, _, {hornbeam_deadline, Pid}}, #calls{running = Running} = Calls) when is_map_key(Pid, Running) ->
    {Id, Rest} = finish(Pid, Calls),
    hornbeam_call_sup:end_call(Pid),
    {answer, Id, {error, timeout, <<"the call has not been answered in time">>}, Rest};
handle_info({'EXIT', Pid, Reason}, #calls{running = Running} = Calls) when is_map_key(Pid, Running) ->
    {Id, Rest} = finish(Pid, Calls),
    {answer, Id, hornbeam_services:raised(exit, Reason, []), Rest};
handle_info(_Message, _Calls) ->
    ignore.

finish(Pid, #calls{running = Running, pids = Pids} = Calls) ->
    {#call{id = Id, timer = Timer}, Rest} = maps:take(Pid, Running),
    _ = erlang:cancel_timer(Timer),
    {Id, Calls#calls{running = Rest, pids = maps:remove(Id, Pids)}}.

%% @doc The Python process has ended: nobody is left who waits.
-spec stop(calls()) -> ok.
stop(#calls{running = Running}) ->
    maps:foreach(fun(Pid, #call{timer = Timer}) ->
        _ = erlang:cancel_timer(Timer),
        hornbeam_call_sup:end_call(Pid)
    end, Running).
