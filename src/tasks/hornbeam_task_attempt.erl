%%% One run of a Python function for the background, whose payload is packed already: a stream on a worker.
%%%
%%% Called by: hornbeam_task_book, hornbeam_schedules, in their processes, which own the stream and get its messages. Calls: hornbeam_pool (a place on a worker, as
%%% for a request), hornbeam_worker (the `invoke' frame; a `result' frame comes back).
%%%
%%%     waiting ──try_again, and a place──▶ running ──its result; its worker's end──▶ ended
%%%      │  ▲───────────refused───────────────┘ │
%%%      └──────────no room; its time is over───┴──▶ ended
%%%
%%% hornbeam_call_stream has a process for each call, which whoever calls may wait for. Here nobody waits: the process that began it has a loop of its own,
%%% and one process less wakes up on the way from spawn/4 to Python. A process that is killed leaves its streams to the sweep of their workers.
%%%
%%% Messages: {{pid(), Ref}, _}, for event/2.
-module(hornbeam_task_attempt).

-export([start/3, ref/1, event/2, stop/1]).
-export_type([attempt/0, failure/0]).

-include("hornbeam.hrl").

-record(attempt, {
    pool :: hornbeam_pool:id(),
    owner :: {pid(), reference()},
    packed :: iodata(),
    place = waiting :: waiting | {#slot{}, hornbeam_frame:stream_id()},
    timer :: none | reference()
}).
-opaque attempt() :: #attempt{}.
%% python: what it raised: the name of its class ("ValueError", "package.module.Class"), its text and its traceback. worker_drained: its worker had to leave.
-type failure() :: timeout | overloaded | no_pool | worker_died | worker_drained | {python, Class :: binary(), Message :: binary(), Traceback :: binary()}.

%% @doc Packed: [target, arguments, keyword arguments]. The time begins when a place is waited for.
-spec start(hornbeam_pool:id(), Packed :: iodata(), timeout()) -> attempt().
start(Pool, Packed, Timeout) ->
    Owner = {self(), make_ref()},
    placed(back, #attempt{pool = Pool, owner = Owner, packed = Packed, timer = timer(Timeout, Owner)}).

timer(infinity, _Owner) -> none;
timer(Timeout, Owner) -> erlang:send_after(Timeout, self(), {Owner, timeout}).

%% Where: in the queue, if it is to wait.
placed(Where, #attempt{pool = Pool, owner = Owner, packed = Packed} = Attempt) ->
    case hornbeam_pool:checkout(Pool, call) of
        {ok, Slot, Id, _Load} ->
            ok = hornbeam_worker:open(Slot, Id, Owner, hornbeam_frame:encode(invoke, Id, Packed)),
            Attempt#attempt{place = {Slot, Id}};
        none ->
            _ = [self() ! {Owner, refusal(Reason)} || {error, Reason} <- [hornbeam_pool:wait(Pool, Owner, Where)]],
            Attempt#attempt{place = waiting}
    end.

refusal(queue_full) -> overloaded;
refusal(no_pool) -> no_pool.

%% @doc What its messages are known by: {{pid(), Ref}, _}.
-spec ref(attempt()) -> reference().
ref(#attempt{owner = {_, Ref}}) -> Ref.

%% @doc What a message says of it: it goes on, or has ended with the value, still packed, or why there is none.
-spec event({{pid(), reference()}, term()}, attempt()) -> {going, attempt()} | {ended, {ok, Packed :: binary()} | {error, failure()}}.
event({_, try_again}, #attempt{place = waiting} = Attempt) -> {going, placed(front, Attempt)};
event({_, {worker_lost, refused}}, Attempt) -> {going, placed(front, Attempt)};
%% Its worker leaves; what it has not finished by then is `drained'.
event({_, drain}, Attempt) -> {going, Attempt};
event({_, timeout}, Attempt) -> ok = stop(Attempt), {ended, {error, timeout}};
event({_, Event}, #attempt{timer = Timer}) ->
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
-spec stop(attempt()) -> ok.
stop(#attempt{timer = Timer} = Attempt) ->
    _ = Timer =/= none andalso erlang:cancel_timer(Timer),
    leave(Attempt).

leave(#attempt{place = waiting, pool = Pool, owner = Owner}) -> hornbeam_pool:cancel(Pool, Owner);
leave(#attempt{place = {Slot, Id}}) -> hornbeam_worker:close(Slot, Id, hornbeam_frame:encode(disconnect, Id, <<0>>)).
