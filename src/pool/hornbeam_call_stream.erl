%%% A call of Python that is answered with a value, or with a stream of values: the room in which every such call is made, whoever
%%% makes it and whatever it runs.
%%%
%%% Called by: hornbeam_call (functions, from Erlang), hornbeam_service_calls (services, from Erlang and from Python's workers), hornbeam_hook_run
%%% (hooks in Python), in the process that wants the answer, its consumer. Calls: hornbeam_pool (a place on a worker, as for a request),
%%% hornbeam_worker (the frame that opens the stream; `result' frames come back), hornbeam_call_sup, hornbeam_credit.
%%%
%%%     consumer                        process of the call                      worker
%%%       start/1 ─────────────────────▶ takes a place, or waits for one ───────▶ invoke, perform
%%%       {Ref, {value, Packed}}  ◀───── each value, as it comes ◀─────────────── result
%%%       taken/2 ─────────────────────▶ passes the credit on ──────────────────▶ credit
%%%       {Ref, {done, Packed}}   ◀───── the last one ◀────────────────────────── result, the last
%%%       {Ref, {error, Failure}} ◀───── or why there is none
%%%       stop/1, or it ends ──────────▶ gives the call up ─────────────────────▶ disconnect
%%%
%%% Each call runs in a process of its own, which monitors its consumer: no late answer reaches anybody's mailbox (stop/1 takes out what is
%%% there), and a consumer that dies ends its call at once. What Python makes of a `disconnect': performance.py, invocation.py.
%%%
%%% Times. `timeout' is how long the consumer waits: for the answer of a call from the moment it is made; of a stream for each next value,
%%% but not while the consumer has a window of them that it has not taken. A call whose time is over is not begun.
%%%
%%% Limits: a call takes a place of max_concurrency, and waits for one (max_queue). Values that the consumer has not taken are less than a
%%% window and one of them (hornbeam_credit); nothing of them is held here.
-module(hornbeam_call_stream).

-export([start/1, event/2, await/1, taken/2, stop/1, forget/1, ref/1]).
-export_type([call/0, stream/0, failure/0]).

-include("hornbeam.hrl").

%% caller: those who wait for a place take turns by it (hornbeam_pool_turns); none: first come, first served.
%% open: the frame that opens the stream, for so many ms that are left. take: takes a place, at first (`back') and after a wait (`front'), where
%% not any worker of the pool will do.
-type call() :: #{pool := hornbeam_pool:id(), kind := value | stream, timeout := timeout(), window := pos_integer(),
                  caller := pid() | none,
                  take => fun((back | front) -> hornbeam_pool_choice:taken() | none | {error, failure()}),
                  open := fun((hornbeam_frame:stream_id(), Left :: timeout()) -> iodata())}.

%% python: what it raised: the name of its class ("ValueError", "package.module.Class"), its text and its traceback.
-type failure() :: timeout | overloaded | worker_died | no_pool | not_found
                 | {python, Class :: binary(), Message :: binary(), Traceback :: binary()}.

-record(stream, {ref :: reference(), pid :: pid(), monitor :: reference()}).
-opaque stream() :: #stream{}.

%% @doc Begins a call. Its events come as messages to the calling process: see event/2.
-spec start(call()) -> stream().
start(Call) ->
    Consumer = self(),
    Ref = make_ref(),
    {ok, Pid} = hornbeam_call_sup:start_call(fun() ->
        Down = monitor(process, Consumer),
        Result = attempt(Call#{owner => owner(Call, Ref), to => {Consumer, Ref}, down => Down,
                               deadline => deadline(maps:get(timeout, Call))}, back),
        Consumer ! {Ref, Result}
    end),
    #stream{ref = Ref, pid = Pid, monitor = monitor(process, Pid)}.

owner(#{caller := none}, Ref) -> {self(), Ref};
owner(#{caller := Caller}, Ref) -> {self(), hornbeam_pool_turns:tag(Caller, Ref)}.

%% @doc What a message says of the stream. After `done' and `error' nothing more comes.
-spec event(term(), stream()) -> {value | done, Packed :: binary()} | {error, failure()} | ignore.
event({Ref, {value, _} = Value}, #stream{ref = Ref}) ->
    Value;
event({Ref, Last}, #stream{ref = Ref, monitor = Monitor}) ->
    true = demonitor(Monitor, [flush]),
    Last;
event({'DOWN', Monitor, process, _, _}, #stream{monitor = Monitor}) ->
    {error, worker_died};
event(_Message, _Stream) ->
    ignore.

%% @doc Waits for the next event, as long as the call takes. Other messages stay.
-spec await(stream()) -> {value | done, Packed :: binary()} | {error, failure()}.
await(#stream{ref = Ref, monitor = Monitor} = Stream) ->
    receive
        {Ref, _} = Message -> event(Message, Stream);
        {'DOWN', Monitor, process, _, _} = Message -> event(Message, Stream)
    end.

%% @doc The consumer has taken so much, as hornbeam_credit:message/1 counts its values.
-spec taken(pos_integer(), stream()) -> ok.
taken(Count, #stream{pid = Pid, ref = Ref}) ->
    Pid ! {Ref, taken, Count},
    ok.

%% @doc The consumer wants no more. Nothing of the stream is left in its mailbox.
-spec stop(stream()) -> ok.
stop(#stream{pid = Pid, ref = Ref, monitor = Monitor}) ->
    Pid ! {Ref, stop},
    receive {'DOWN', Monitor, process, _, _} -> ok end,
    forget(Ref).

%% @doc Takes messages {Ref, _} out of the mailbox.
-spec forget(reference()) -> ok.
forget(Ref) ->
    receive {Ref, _} -> forget(Ref)
    after 0 -> ok
    end.

%% @doc By which a consumer with a loop of its own knows the messages of the stream: {Ref, Event}.
-spec ref(stream()) -> reference().
ref(#stream{ref = Ref}) -> Ref.

%%% The process of a call

deadline(infinity) -> infinity;
deadline(Timeout) -> erlang:monotonic_time(millisecond) + Timeout.

left(#{deadline := infinity}) -> infinity;
left(#{deadline := Deadline}) -> max(0, Deadline - erlang:monotonic_time(millisecond)).

%% Takes a place and sends the call; waits for a place when there is none. Where: in the queue, if it is to wait.
attempt(#{owner := Owner, open := Open} = Call, Where) ->
    case left(Call) =/= 0 andalso take(Call, Where) of
        {ok, Slot, Id, _Load} ->
            ok = hornbeam_worker:open(Slot, Id, Owner, Open(Id, left(Call))),
            answers(Slot, Id, 0, Call);
        none ->
            await_place(Call, Where);
        {error, _} = Error ->
            _ = leave(Call),
            Error;
        false ->
            leave(Call)
    end.

take(#{take := Take}, Where) -> Take(Where);
take(#{pool := Pool}, _Where) -> hornbeam_pool:checkout(Pool, call).

%% One that had been told to try again passes the place on.
leave(#{pool := Pool, owner := Owner}) ->
    ok = hornbeam_pool:cancel(Pool, Owner),
    {error, timeout}.

await_place(#{pool := Pool, owner := Owner, down := Down, to := {_, Ref}} = Call, Where) ->
    case hornbeam_pool:wait(Pool, Owner, Where) of
        ok ->
            receive
                {Owner, try_again} -> attempt(Call, front);
                {Owner, overloaded} -> {error, overloaded};
                {'DOWN', Down, process, _, _} -> leave(Call);
                {Ref, stop} -> leave(Call)
            after left(Call) ->
                leave(Call)
            end;
        {error, queue_full} ->
            {error, overloaded};
        {error, no_pool} ->
            {error, no_pool}
    end.

%% Uncredited: what has been passed on and is not taken.
answers(Slot, Id, Uncredited, #{owner := Owner, down := Down, to := {Consumer, Ref}} = Call) ->
    receive
        {Owner, {worker, result, Payload}} ->
            {ok, Result} = hornbeam_frame:parse(result, Payload),
            case Result of
                {yielded, Value} ->
                    Consumer ! {Ref, {value, Value}},
                    answers(Slot, Id, Uncredited + hornbeam_credit:message(byte_size(Value)), again(Call));
                {returned, Value} ->
                    {done, Value};
                {raised, Class, Message, Traceback} ->
                    {error, {python, Class, Message, Traceback}}
            end;
        {Owner, {worker_lost, refused}} ->
            attempt(Call, front);
        {Owner, {worker_lost, _}} ->
            {error, worker_died};
        {Ref, taken, Count} ->
            Taken = min(Count, Uncredited),
            _ = Taken > 0 andalso hornbeam_worker:send(Slot, hornbeam_frame:encode(credit, Id, <<Taken:32>>)),
            answers(Slot, Id, Uncredited - Taken, again(Call));
        {Ref, stop} ->
            give_up(Slot, Id);
        {'DOWN', Down, process, _, _} ->
            give_up(Slot, Id)
    after wait(Uncredited, Call) ->
        give_up(Slot, Id)
    end.

%% The time of a stream begins anew with each value, and with each that has been taken.
again(#{kind := stream, timeout := Timeout} = Call) -> Call#{deadline => deadline(Timeout)};
again(Call) -> Call.

%% It is the consumer that is waited for while it has a window.
wait(Uncredited, #{window := Window} = Call) ->
    case hornbeam_credit:may_send(Uncredited, Window) of
        true -> left(Call);
        false -> infinity
    end.

give_up(Slot, Id) ->
    ok = hornbeam_worker:close(Slot, Id, hornbeam_frame:encode(disconnect, Id, <<0>>)),
    {error, timeout}.
