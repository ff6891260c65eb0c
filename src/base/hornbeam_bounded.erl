%%% Messages to a process of which so many wait at most: what is beyond is dropped and counted. Whoever sends never waits and never fails.
%%%
%%% Called by: hornbeam_access_log, hornbeam_trace_exporter, in the connection's process. Calls: nothing. Owns nothing: the counters are the
%%% caller's, of which the first says how many wait, which the process that takes them subtracts, and the second how many were dropped.
-module(hornbeam_bounded).

-export([send/4]).

-define(WAITING, 1).
-define(DROPPED, 2).

%% @doc Sends to a registered process what a fun makes, which is asked only where it goes.
-spec send(Taker :: atom(), atomics:atomics_ref(), Max :: pos_integer(), fun(() -> term())) -> ok.
send(Taker, Counters, Max, Message) ->
    case atomics:add_get(Counters, ?WAITING, 1) =< Max andalso whereis(Taker) of
        Pid when is_pid(Pid) ->
            Pid ! Message(),
            ok;
        _ ->
            atomics:sub(Counters, ?WAITING, 1),
            atomics:add(Counters, ?DROPPED, 1)
    end.
