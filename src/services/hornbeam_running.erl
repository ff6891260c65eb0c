%%% Python's calls that take longer than a look at a table: each in a process of its own, with a deadline.
%%%
%%% Owns the calls of one Python process that are running. Called by: hornbeam_services, in the worker's
%%% process, which gets the messages below. Calls: hornbeam_call_sup, hornbeam_answer (the frame of an answer).
%%%
%%%     worker's process                     process of the call (hornbeam_call_sup)
%%%       start/4  ────────────────────────▶ links itself to the worker, runs the fun
%%%       {hornbeam_answer, Pid, Answer} ◀── the fun's answer, encoded there: a frame; then the process ends
%%%       {timeout, Timer, {hornbeam_deadline, Pid}}    the deadline: the process is killed
%%%       {'EXIT', Pid, Reason}              it ended without an answer
%%%     and of a `stream', whose fun is given a fun that sends a value, before its answer:
%%%       {hornbeam_part, Pid, Frame}    ◀── a value
%%%       taken/3  ────────────────────────▶ {hornbeam_taken, Count}: what Python has taken of them, as hornbeam_credit counts
%%%
%%% Failure modes: the fun raises: the exception is the answer. The process is killed from outside: so is
%%% that. The Python process ends: stop/1 kills what is running. The worker's process is killed: the link ends
%%% the calls.
%%%
%%% Limits, for each Python process: ?MAX_RUNNING calls, and ?MAX_BYTES of their arguments, as they travelled; one more is
%%% refused. Of the calls that look at a whole table (`walk') ?MAX_WALKS run, since each may hold as much as the
%%% table does; the others wait.
-module(hornbeam_running).

-export([new/1, start/4, cancel/2, taken/3, handle_info/2, stop/1]).
-export_type([calls/0, run/0]).

-define(MAX_RUNNING, 10000).
-define(MAX_BYTES, 268435456).
-define(MAX_WALKS, 2).

-type run() :: {run | walk, timeout(), fun(() -> hornbeam_answer:answer())}
             | {stream, timeout(), fun((Send :: fun((Packed :: iodata()) -> ok)) -> hornbeam_answer:answer())}.

-record(call, {
    id :: non_neg_integer(),            % of the call frame; 0: nobody waits for the answer
    kind :: run | walk | stream,
    size :: non_neg_integer(),          % of its arguments
    timer :: reference()
}).
-record(calls, {
    worker :: pos_integer(),
    running = #{} :: #{pid() => #call{}},
    bytes = 0 :: non_neg_integer(),
    walks = 0 :: non_neg_integer(),                     % that run
    waiting = gb_trees:empty() :: gb_trees:tree(integer(), {non_neg_integer(), non_neg_integer(), run()}),     % walks
    %% Those that have an id, to cancel them: the process, or the place in `waiting'.
    named = #{} :: #{pos_integer() => pid() | integer()}
}).
-opaque calls() :: #calls{}.

-spec new(Worker :: pos_integer()) -> calls().
new(Worker) ->
    #calls{worker = Worker}.

%% @doc Starts a call; its answer comes through handle_info/2. Size: of its arguments. The timeout is in ms.
-spec start(non_neg_integer(), Size :: non_neg_integer(), run(), calls()) -> {ok, calls()} | {error, too_many_calls}.
start(Id, Size, Run, #calls{running = Running, waiting = Waiting, bytes = Bytes} = Calls) ->
    case map_size(Running) + gb_trees:size(Waiting) < ?MAX_RUNNING andalso Bytes + Size =< ?MAX_BYTES of
        true -> {ok, run_or_wait(Id, Size, Run, Calls#calls{bytes = Bytes + Size})};
        false -> {error, too_many_calls}
    end.

run_or_wait(Id, Size, {walk, _, _} = Run, #calls{walks = Walks, waiting = Waiting} = Calls) when Walks >= ?MAX_WALKS ->
    Place = erlang:unique_integer([monotonic]),
    named(Id, Place, Calls#calls{waiting = gb_trees:insert(Place, {Id, Size, Run}, Waiting)});
run_or_wait(Id, Size, {Kind, Timeout, Fun}, #calls{worker = Number, running = Running, walks = Walks} = Calls) ->
    Worker = self(),
    {ok, Pid} = hornbeam_call_sup:start_call(fun() -> run(Worker, Number, Id, Fun) end),
    Timer = erlang:start_timer(Timeout, self(), {hornbeam_deadline, Pid}),
    Call = #call{id = Id, kind = Kind, size = Size, timer = Timer},
    named(Id, Pid, Calls#calls{running = Running#{Pid => Call}, walks = Walks + is_walk(Kind)}).

is_walk(walk) -> 1;
is_walk(_) -> 0.

named(0, _, Calls) -> Calls;
named(Id, PidOrPlace, #calls{named = Named} = Calls) -> Calls#calls{named = Named#{Id => PidOrPlace}}.

run(Worker, Number, Id, Fun) ->
    link(Worker),
    Answer = try result(Fun, Worker, Id)
    catch Class:Reason:Stack -> hornbeam_answer:raised(Class, Reason, Stack)
    end,
    Worker ! {hornbeam_answer, self(), reply(Number, Id, Answer)},
    %% The worker traps exits; without the link it need not hear of a normal end.
    unlink(Worker).

result(Fun, _Worker, _Id) when is_function(Fun, 0) ->
    Fun();
result(Fun, Worker, Id) ->
    Fun(fun(Packed) -> Worker ! {hornbeam_part, self(), iolist_to_binary(hornbeam_answer:more(Id, Packed))}, ok end).

%% One binary, which the message does not copy.
reply(Number, 0, {error, Kind, What}) ->
    logger:warning("worker ~b: a cast ended with ~ts: ~0tp", [Number, Kind, What]),
    none;
reply(_Number, 0, _Answer) ->
    none;
reply(_Number, Id, Answer) ->
    iolist_to_binary(hornbeam_answer:reply(Id, Answer)).

%% @doc Python waits for the answer of this call no longer.
-spec cancel(non_neg_integer(), calls()) -> calls().
cancel(Id, #calls{named = Named, waiting = Waiting, bytes = Bytes} = Calls) ->
    case Named of
        #{Id := Pid} when is_pid(Pid) ->
            {_, Rest} = finish(Pid, Calls),
            hornbeam_call_sup:end_call(Pid),
            Rest;
        #{Id := Place} ->
            {{_, Size, _}, Others} = gb_trees:take(Place, Waiting),
            Calls#calls{waiting = Others, bytes = Bytes - Size, named = maps:remove(Id, Named)};
        #{} ->
            Calls
    end.

%% @doc Python has taken so much of the values of this call; it may have ended meanwhile.
-spec taken(non_neg_integer(), pos_integer(), calls()) -> ok.
taken(Id, Count, #calls{named = Named, running = Running}) ->
    case Named of
        #{Id := Pid} when is_map_key(Pid, Running) -> Pid ! {hornbeam_taken, Count}, ok;
        #{} -> ok
    end.

%% @doc What a message means: the frame that answers a call, the end of one that nobody waits for, or nothing that is
%% known here.
-spec handle_info(term(), calls()) -> {reply, iodata(), calls()} | {done, calls()} | ignore.
handle_info({hornbeam_answer, Pid, Reply}, #calls{running = Running} = Calls) when is_map_key(Pid, Running) ->
    {_, Rest} = finish(Pid, Calls),
    replied(Reply, Rest);
handle_info({hornbeam_part, Pid, Frame}, #calls{running = Running} = Calls) when is_map_key(Pid, Running) ->
    {reply, Frame, Calls};
handle_info({timeout, _, {hornbeam_deadline, Pid}}, #calls{running = Running} = Calls) when is_map_key(Pid, Running) ->
    {Id, Rest} = finish(Pid, Calls),
    hornbeam_call_sup:end_call(Pid),
    Late = {error, timeout, <<"the call has not been answered in time">>},
    replied(reply(Rest#calls.worker, Id, Late), Rest);
handle_info({'EXIT', Pid, Reason}, #calls{running = Running} = Calls) when is_map_key(Pid, Running) ->
    {Id, Rest} = finish(Pid, Calls),
    replied(reply(Rest#calls.worker, Id, hornbeam_answer:raised(exit, Reason, [])), Rest);
handle_info(_Message, _Calls) ->
    ignore.

replied(none, Calls) -> {done, Calls};
replied(Reply, Calls) -> {reply, Reply, Calls}.

finish(Pid, #calls{running = Running, bytes = Bytes, walks = Walks, named = Named} = Calls) ->
    {#call{id = Id, kind = Kind, size = Size, timer = Timer}, Rest} = maps:take(Pid, Running),
    _ = erlang:cancel_timer(Timer),
    Left = case Named of
        #{Id := Pid} -> maps:remove(Id, Named);
        #{} -> Named
    end,
    {Id, walk_on(Calls#calls{running = Rest, bytes = Bytes - Size, walks = Walks - is_walk(Kind), named = Left})}.

%% A place for a walk may be free.
walk_on(#calls{waiting = Waiting, walks = Walks} = Calls) ->
    case Walks < ?MAX_WALKS andalso not gb_trees:is_empty(Waiting) of
        true ->
            {_, {Id, Size, Run}, Others} = gb_trees:take_smallest(Waiting),
            run_or_wait(Id, Size, Run, Calls#calls{waiting = Others});
        false ->
            Calls
    end.

%% @doc The Python process has ended: nobody is left who waits.
-spec stop(calls()) -> ok.
stop(#calls{running = Running}) ->
    maps:foreach(fun(Pid, #call{timer = Timer}) ->
        _ = erlang:cancel_timer(Timer),
        hornbeam_call_sup:end_call(Pid)
    end, Running).
