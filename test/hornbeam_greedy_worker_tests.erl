%%% A worker that does not read what it asks for, or sends without an end: what piles up is bounded, and one that is only slow
%%% is not killed. test/fake_worker.py stands for Python and is stopped (SIGSTOP); its frames come from the test.
-module(hornbeam_greedy_worker_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hornbeam.hrl").

-define(POOL, {default, <<>>}).
-define(MIB, 1048576).
%% The smallest that the option takes: calls wait from 8 MiB on.
-define(MAX, 64 * ?MIB).

greedy_worker_test_() ->
    {foreach, fun setup/0, fun cleanup/1,
     [{Name, {timeout, 300, Test}}
      || {Name, Test} <- [{"answers that are not read", fun answers/0},
                          {"calls beyond the limit", fun calls/0},
                          {"answers of functions", fun functions/0},
                          {"messages that are taken but not read", fun messages/0},
                          {"demand without reading", fun demand/0},
                          {"more than is dealt with", fun flood/0},
                          {"stacks in a file without an end", fun endless_stacks/0},
                          {"what streams are sent kills nobody", fun slow/0}]]}.

setup() ->
    ok = logger:set_primary_config(level, none),
    {ok, Started} = application:ensure_all_started(hornbeam),
    {ok, _} = start("hold", "0"),
    ok = signal(19),
    await:until(fun is_stopped/0),
    Started.

%% The signal is on its way until the kernel says so (proc(5)).
is_stopped() ->
    #{os_pid := OsPid} = worker(),
    {ok, Stat} = file:read_file("/proc/" ++ integer_to_list(OsPid) ++ "/stat"),
    [_, <<State, _/binary>>] = binary:split(Stat, <<") ">>),
    State =:= $T.

start(Mode, Flood) -> start(Mode, Flood, #{}).

%% One that is stopped answers nothing, for as long as a case takes.
start(Mode, Flood, Options) ->
    fake_worker:start(Mode, maps:merge(#{env => #{"FAKE" => Mode, "FLOOD" => Flood}, max_worker_backlog => ?MAX,
                                         worker_heartbeat => infinity}, Options)).

cleanup(Started) ->
    _ = signal(18),
    hornbeam:stop(),
    ok = logger:set_primary_config(level, notice),
    [ok = application:stop(App) || App <- lists:reverse(Started)].

%% 2 MB values: 8 MiB of them are answered, the rest wait; when the worker reads on, all are.
answers() ->
    ok = hornbeam_state:set(<<"k">>, binary:copy(<<"x">>, 2000000)),
    from_python([call(N, 1, [<<"k">>]) || N <- lists:seq(1, 100)]),
    ?assert(queued() >= 8 * ?MIB),
    ?assert(queued() < 11 * ?MIB),
    #{os_pid := OsPid} = worker(),
    ok = signal(18),
    await:until(fun() -> written() > 100 * 2000000 end),
    ?assertMatch(#{os_pid := OsPid}, worker()).

%% What waits counts its bytes and 100.
calls() ->
    ok = hornbeam_state:set(<<"k">>, binary:copy(<<"x">>, 9 * ?MIB)),
    from_python([call(1, 1, [<<"k">>])]),
    Megabyte = call(2, 1, [binary:copy(<<"x">>, ?MIB - 100 - 7)]),
    #{os_pid := OsPid} = worker(),
    %% One below, at and above the limit: 64 of them are it exactly.
    [from_python([Megabyte]) || _ <- lists:seq(1, 64)],
    ?assertMatch(#{os_pid := OsPid}, worker()),
    from_python([call(3, 1, [1])]),
    await:until(fun() -> case worker() of #{state := ready, os_pid := New} -> New =/= OsPid; _ -> false end end).

%% They come when they like; what does not fit is an error.
functions() ->
    ok = hornbeam:register_function("large", fun() -> binary:copy(<<"x">>, 10 * ?MIB) end),
    from_python([call(N, 30, [60000, <<"large">>, []]) || N <- lists:seq(1, 20)]),
    await:until(fun() -> hornbeam_call_sup:count() =:= 0 end),
    _ = worker(),
    ?assert(queued() > 50 * ?MIB),
    ?assert(queued() =< ?MAX + 64 * 1024),
    #{os_pid := OsPid} = worker(),
    ok = signal(18),
    await:until(fun() -> queued() =:= 0 end),
    ?assertMatch(#{os_pid := OsPid}, worker()).

%% It says that it has taken what it has not read.
messages() ->
    from_python([call(1, 21, [<<"t">>])]),
    Message = binary:copy(<<"x">>, ?MIB - 5),
    [begin
        1 = hornbeam_pubsub:publish(<<"t">>, Message),
        _ = worker(),
        from_python([call(0, 61, [1, 0])])
     end || _ <- lists:seq(1, 31)],
    [begin
        1 = hornbeam_pubsub:publish(<<"t">>, Message),
        _ = worker(),
        from_python([call(0, 61, [0, ?MIB])])
     end || _ <- lists:seq(1, 100)],
    ?assert(queued() =< ?MAX div 2 + ?MIB + 4096),
    ?assert(queued() > ?MAX div 4).

%% It says that it has consumed what it has not read: the client gets no credit for that until it has.
demand() ->
    {Slot, Id} = open(a, <<"1234">>),
    ok = hornbeam_worker:send(Slot, hornbeam_frame:encode(body, Id, binary:copy(<<"x">>, 9 * ?MIB))),
    _ = worker(),
    ok = hornbeam_state:set(<<"k">>, binary:copy(<<"x">>, 9 * ?MIB)),
    from_python([call(1, 1, [<<"k">>]), hornbeam_frame:encode(demand, Id, [0, <<(9 * ?MIB):32>>])]),
    Self = self(),
    ?assertEqual(silence, receive {{Self, a}, Event} -> Event after 0 -> silence end),
    ok = signal(18),
    ?assertMatch({worker, demand, _}, heard(a)).

%% The worker's process does not get to it: 60 MB may wait, 200 may not. They are six million frames, of which a busy machine
%% makes the events in ten seconds.
flood() ->
    [begin
        hornbeam:stop(),
        {ok, _} = start("flood", integer_to_list(Size)),
        {Process, Port} = {process(), port()},
        _ = open(a, <<>>),
        _ = worker(),
        true = erlang:suspend_process(Process),
        await:until(fun() -> erlang:port_info(Port, input) >= {input, Size} end),
        true = erlang:resume_process(Process),
        ?assertMatch({worker, response, _}, heard(a)),
        case heard(a) of
            {worker_lost, died} when Killed -> ok;
            {worker, data, _} when not Killed -> ok
        end
     end || {Size, Killed} <- [{60000000, false}, {200000000, true}]].

%% It says that its stacks are to be read from /dev/zero, and is blocked.
endless_stacks() ->
    hornbeam:stop(),
    {ok, _} = start("zero", "0", #{worker_heartbeat => 200}),
    #{os_pid := OsPid} = worker(),
    await:until(fun() -> case worker() of #{os_pid := New} -> New =/= OsPid; _ -> false end end).

%% 200 MB of bodies for a worker that stands still, with calls in progress: far more than the limit, and its clients' matter.
slow() ->
    #{os_pid := OsPid} = worker(),
    Streams = [open(N, binary:copy(<<"x">>, 2 * ?MIB)) || N <- lists:seq(1, 100)],
    from_python([call(N, 1, [N]) || N <- lists:seq(1, 1000)]),
    ?assert(queued() > 2 * ?MAX),
    ?assertMatch(#{os_pid := OsPid}, worker()),
    ok = signal(18),
    [ok = hornbeam_worker:send(Slot, hornbeam_frame:encode(body_end, Id, <<"end">>)) || {Slot, Id} <- Streams],
    [?assertMatch({worker, response, _}, heard(N)) || N <- lists:seq(1, 100)],
    ?assertMatch(#{os_pid := OsPid}, worker()).

%%% Helpers

open(Tag, Body) ->
    {ok, Slot, Id, _} = hornbeam_pool:checkout(?POOL),
    ok = hornbeam_worker:open(Slot, Id, {self(), Tag}, hornbeam_frame:request(Id, 0, <<16#90>>, Body, byte_size(Body))),
    {Slot, Id}.

call(Id, Operation, Arguments) ->
    hornbeam_frame:encode(call, Id, [Operation | hornbeam_msgpack:encode(Arguments)]).

%% As if Python had written them. When this returns the worker's process has dealt with them.
from_python(Frames) ->
    process() ! {port(), {data, iolist_to_binary(Frames)}},
    _ = worker(),
    ok.

port() ->
    #{os_pid := OsPid} = worker(),
    [Port] = [P || P <- erlang:ports(), erlang:port_info(P, os_pid) =:= {os_pid, OsPid}],
    Port.

queued() ->
    {queue_size, Bytes} = erlang:port_info(port(), queue_size),
    Bytes.

written() ->
    {output, Bytes} = erlang:port_info(port(), output),
    Bytes.

process() ->
    {ok, #slot{worker = Pid, counters = Counters}, _, _} = hornbeam_pool:checkout(?POOL),
    atomics:sub(Counters, ?SLOT_LOAD, 1),
    Pid.

worker() -> fake_worker:info().

signal(Number) ->
    case worker() of
        #{os_pid := OsPid} when is_integer(OsPid) -> hornbeam_python:signal(OsPid, Number);
        _ -> ok
    end.

heard(Tag) ->
    Self = self(),
    receive {{Self, Tag}, Event} -> Event end.
