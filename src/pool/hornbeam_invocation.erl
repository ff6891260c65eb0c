%%% One call of a Python function by a process that has a loop of its own, whose payload is packed already: a stream on a worker.
%%%
%%% Called by: hornbeam_task_book, hornbeam_schedules (background tasks), hornbeam_channel_connection (handlers of channels), in their processes, which own
%%% the stream and get its messages. Calls: hornbeam_pool (a place on a worker, as for a request), hornbeam_worker (the `invoke' frame; a `result' frame
%%% comes back).
%%%
%%%     waiting ──try_again, and a place──▶ running ──its result; its worker's end──▶ ended
%%%      │  ▲───────────refused───────────────┘ │
%%%      └──────────no room; its time is over───┴──▶ ended
%%%
%%% hornbeam_call_stream has a process for each call, which whoever calls may wait for. Here nobody waits, and one process less wakes up on the way to
%%% Python. A process that is killed leaves its streams to the sweep of their workers.
%%%
%%% Messages: {{pid(), Ref}, _}, for event/2.
-module(hornbeam_invocation).

-export([start/3, start/4, ref/1, worker/1, event/2, stop/1]).
-export_type([invocation/0, failure/0, worker/0]).

-include("hornbeam.hrl").

%% Which Python process it is, of a pool's: another one has another.
-type worker() :: {Number :: non_neg_integer(), OsPid :: non_neg_integer()}.
-type packed() :: iodata() | fun((worker()) -> iodata()).
-record(invocation, {
    pool :: hornbeam_pool:id(),
    belongs :: call | hornbeam_pool_affinity:belongs(),
    owner :: {pid(), reference()},
    packed :: packed(),
    place = waiting :: waiting | {#slot{}, hornbeam_frame:stream_id()},
    timer :: none | reference()
}).
-opaque invocation() :: #invocation{}.
%% python: what it raised: the name of its class ("ValueError", "package.module.Class"), its text and its traceback. worker_drained: its worker had to leave.
-type failure() :: timeout | overloaded | no_pool | worker_died | worker_drained | {python, Class :: binary(), Message :: binary(), Traceback :: binary()}.

%% @doc Packed: [target, arguments, keyword arguments]. The time, in ms, begins when a place is waited for.
-spec start(hornbeam_pool:id(), packed(), timeout()) -> invocation().
start(Pool, Packed, Timeout) ->
    start(Pool, call, Packed, Timeout).

%% @doc The same on the worker that it belongs to. Packed may depend on which that is.
-spec start(hornbeam_pool:id(), call | hornbeam_pool_affinity:belongs(), packed(), timeout()) -> invocation().
start(Pool, Belongs, Packed, Timeout) ->
    Owner = {self(), make_ref()},
    placed(back, #invocation{pool = Pool, belongs = Belongs, owner = Owner, packed = Packed, timer = timer(Timeout, Owner)}).

timer(infinity, _Owner) -> none;
timer(Timeout, Owner) -> erlang:send_after(Timeout, self(), {Owner, timeout}).

%% Where: in the queue, if it is to wait.
placed(Where, #invocation{pool = Pool, belongs = Belongs, owner = Owner} = Invocation) ->
    case hornbeam_pool:checkout(Pool, Belongs) of
        none ->
            _ = [self() ! {Owner, refusal(Reason)} || {error, Reason} <- [hornbeam_pool:wait(Pool, Owner, Where)]],
            Invocation#invocation{place = waiting};
        {moved, Taken} -> opened(Taken, Invocation);
        Taken -> opened(Taken, Invocation)
    end.

opened({ok, Slot, Id, _Load}, #invocation{owner = Owner, packed = Packed} = Invocation) ->
    ok = hornbeam_worker:open(Slot, Id, Owner, hornbeam_frame:encode(invoke, Id, packed(Packed, Slot))),
    Invocation#invocation{place = {Slot, Id}}.

packed(Packed, Slot) when is_function(Packed) -> Packed(worker_of(Slot));
packed(Packed, _Slot) -> Packed.

worker_of(#slot{number = Number, counters = Counters}) -> {Number, atomics:get(Counters, ?SLOT_OS_PID)}.

%% @doc The worker that it is on; none while it waits for one.
-spec worker(invocation()) -> worker() | none.
worker(#invocation{place = waiting}) -> none;
worker(#invocation{place = {Slot, _}}) -> worker_of(Slot).

refusal(queue_full) -> overloaded;
refusal(no_pool) -> no_pool.

%% @doc What its messages are known by: {{pid(), Ref}, _}.
-spec ref(invocation()) -> reference().
ref(#invocation{owner = {_, Ref}}) -> Ref.

%% @doc What a message says of it: it goes on, or has ended with the value, still packed, or why there is none.
-spec event({{pid(), reference()}, term()}, invocation()) -> {going, invocation()} | {ended, {ok, Packed :: binary()} | {error, failure()}}.
event({_, try_again}, #invocation{place = waiting} = Invocation) -> {going, placed(front, Invocation)};
event({_, {worker_lost, refused}}, Invocation) -> {going, placed(front, Invocation)};
%% Its worker leaves; what it has not finished by then is `drained'.
event({_, drain}, Invocation) -> {going, Invocation};
event({_, timeout}, Invocation) -> ok = stop(Invocation), {ended, {error, timeout}};
event({_, Event}, #invocation{timer = Timer}) ->
    _ = Timer =/= none andalso erlang:cancel_timer(Timer),
    {ended, result(Event)}.

result({worker, result, Payload}) ->
    case hornbeam_frame:parse(result, Payload) of
        {ok, {returned, Value}} -> {ok, Value};
        {ok, {raised, Class, Message, Traceback}} -> {error, {python, Class, Message, Traceback}}
    end;
result({worker_lost, drained}) -> {error, worker_drained};
result({worker_lost, _}) -> {error, worker_died};
result(NoPlace) when NoPlace =:= overloaded; NoPlace =:= no_pool -> {error, NoPlace}.

%% @doc Gives it up: a coroutine is cancelled. A message of it may still come.
-spec stop(invocation()) -> ok.
stop(#invocation{timer = Timer} = Invocation) ->
    _ = Timer =/= none andalso erlang:cancel_timer(Timer),
    leave(Invocation).

leave(#invocation{place = waiting, pool = Pool, owner = Owner}) -> hornbeam_pool:cancel(Pool, Owner);
leave(#invocation{place = {Slot, Id}}) -> hornbeam_worker:close(Slot, Id, hornbeam_frame:encode(disconnect, Id, <<0>>)).
