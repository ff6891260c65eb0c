%%% What there is to say of workers, for a person.
%%%
%%% Called by: hornbeam_pool (ask/1), hornbeam_worker (told/3, its answer). Calls: hornbeam_worker_health, hornbeam_worker_memory.
-module(hornbeam_worker_info).

-export([ask/1, told/3]).

-include("hornbeam.hrl").

%% How long ask/1 waits.
-define(ANSWER, 1000).

%% @doc For a person: of each worker the state, the process id, requests in progress, resident memory in bytes, the
%% age of the Python process in ms, how often it was started again, hornbeam_worker_health:describe/1, and for how long (ms)
%% and with how many messages this process is behind. One that does not answer in ?ANSWER ms is `busy'.
-spec ask([{pid(), #slot{} | undefined}]) -> [map()].
ask(Workers) ->
    Until = erlang:monotonic_time(millisecond) + ?ANSWER,
    Asked = [{gen_statem:send_request(Worker, info), Worker, Slot} || {Worker, Slot} <- Workers],
    [case gen_statem:receive_response(Request, {abs, Until}) of
         {reply, Info} -> Info;
         timeout -> busy(Worker, Slot);
         {error, _} -> #{state => ended}
     end || {Request, Worker, Slot} <- Asked].

%% What can be seen from outside.
busy(Worker, Slot) ->
    case process_info(Worker, message_queue_len) of
        {message_queue_len, Length} -> (from_slot(Slot))#{state => busy, queue => Length};
        undefined -> #{state => ended}
    end.

from_slot(undefined) ->
    #{};
from_slot(#slot{counters = Counters}) ->
    OsPid = case atomics:get(Counters, ?SLOT_OS_PID) of
        0 -> undefined;
        Number -> Number
    end,
    #{os_pid => OsPid, memory => hornbeam_worker_memory:resident(OsPid),
      in_flight => atomics:get(Counters, ?SLOT_LOAD), requests => atomics:get(Counters, ?SLOT_NEXT_ID),
      behind => atomics:get(Counters, ?SLOT_BEHIND)}.

%% @doc What a worker says of itself, besides its age and its restarts.
-spec told(State :: atom(), #slot{}, hornbeam_worker_health:health() | undefined) -> map().
told(State, #slot{counters = Counters} = Slot, Health) ->
    Own = case Health of
        undefined -> #{lag => 0};
        _ -> hornbeam_worker_health:describe(Health)
    end,
    {message_queue_len, Length} = process_info(self(), message_queue_len),
    maps:merge(Own, (from_slot(Slot))#{state => shown(State, Counters), queue => Length}).

shown(ready, Counters) ->
    case atomics:get(Counters, ?SLOT_OPEN) of
        ?LATE -> late;
        ?BEHIND -> busy;
        _ -> ready
    end;
shown(State, _Counters) ->
    State.
