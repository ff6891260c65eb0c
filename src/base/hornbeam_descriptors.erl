%%% File descriptors: how many this process may have, how many are kept back, and whether one more connection may have one.
%%%
%%% Called by: hornbeam_tables (new/0), hornbeam_servers (keep/1), hornbeam_accept and hornbeam_connection (is there room; what is said of it),
%%% hornbeam_control (is_shortage/1, wait/1), hornbeam_request (has_room/0), hornbeam_metrics_text (stats/0),
%%% hornbeam_metrics_listener (for_metrics/0). Calls: hornbeam_options, the logger.
%%%
%%% Nobody counts. A new descriptor has the lowest number that is free (POSIX, open(2)), so an accepted socket with the number
%%% N says that N others are open, whatever holds them: connections of every listener, HTTP or WebSocket, files that are being
%%% sent, pipes of workers, logs, other applications of the VM. The kernel cannot forget one. A connection whose number is not below
%%% the ceiling is refused; what lies above is kept back, so a worker can be restarted and `hornbeam status' answered while
%%% clients hold all the rest. A number can be too high for a moment (one below was closed meanwhile): that refuses, and never exceeds.
%%% A TLS socket does not tell its number; of it the lowest free one is looked at, and the number of ports: every socket is one.
%%%
%%%     0 ... open ... | room for connections | kept back |
%%%                                         ceiling     limit (RLIMIT_NOFILE, soft)
%%%
%%% The VM's table of ports has a limit of its own (+Q), of which as much is kept back; and its table of processes (+P), of which a
%%% tenth is.
%%%
%%% Failure modes. No descriptor, port or memory for accept(2): whoever accepts waits ?WAIT ms and goes on, and never ends for it. A
%%% flood of refused connections: one line a second in the log, for all listeners together.
-module(hornbeam_descriptors).

-export([new/0, keep/1, kept/1, for_metrics/0, limit/0, kept_back/0, has_room/0, has_room/1, are_ports_free/0]).
-export([refused/0, is_shortage/1, wait/1, complain/2, stats/0]).

%% Sockets of acceptors, lookups of names, the code server, what other applications do.
-define(OTHERS, 32).
%% The log of durable tasks, the one that takes its place, their folder, its lock.
-define(STORE, 4).
%% A pipe has two descriptors here, and what a crash writes one; a reload has two generations of workers; the spare are for the shell that sends a signal, for
%% /proc, and for both ends of the pipes while a process is being started.
-define(WORKER, 8).
%% hornbeam_control: its socket and ?MAX_CLIENTS.
-define(CONTROL, 10).
%% Connections of each address of metrics_bind: a few who look, and their health checks.
-define(METRICS, 32).
%% A server that has no room for so many connections is better not started.
-define(LEAST_ROOM, 16).
%% How long an acceptor waits for a descriptor: what is free again is used soon, and waiting costs nothing.
-define(WAIT, 100).
-define(LOG_EVERY_MS, 1000).

%% Atomics: from which number on a connection is refused, at how many ports; when the last line was logged; what was refused.
-define(CEILING, 1).
-define(PORTS, 2).
-define(LOGGED, 3).
-define(REFUSED, 4).
-define(NO_PORTS, 5).       % descriptors that are no port's: epoll, the logger's files, what else was open at the start

-type shortage() :: emfile | enfile | enobufs | enomem | system_limit.

%% @doc Without a server nothing is refused.
-spec new() -> ok.
new() ->
    Atomics = atomics:new(5, []),
    ok = atomics:put(Atomics, ?CEILING, limit()),
    ok = atomics:put(Atomics, ?PORTS, erlang:system_info(port_limit)),
    ok = atomics:put(Atomics, ?NO_PORTS, max(0, lowest_free() - erlang:system_info(port_count))),
    ok = atomics:put(Atomics, ?LOGGED, erlang:monotonic_time(millisecond) - ?LOG_EVERY_MS),
    persistent_term:put(?MODULE, Atomics).

%% @doc Keeps back what these servers may need, by their options, besides connections. Room: for how many connections
%% there is place now.
-spec keep([map()]) -> {ok, Room :: pos_integer()} | {error, {few_descriptors, Limit :: pos_integer(), Needed :: pos_integer()}}.
keep(Configs) ->
    Kept = lists:sum([?OTHERS | [kept(Config) || Config <- Configs]]),
    Ceiling = limit() - Kept,
    Ports = min(erlang:system_info(port_limit) - Kept, Ceiling - atomics:get(atomics(), ?NO_PORTS)),
    atomics:put(atomics(), ?CEILING, Ceiling),
    atomics:put(atomics(), ?PORTS, Ports),
    Open = lowest_free(),
    case min(Ceiling - Open, Ports - erlang:system_info(port_count)) of
        Room when Room >= ?LEAST_ROOM -> {ok, Room};
        _ -> {error, {few_descriptors, limit(), Open + ?LEAST_ROOM + Kept}}
    end.

%% @doc What one server may need besides the connections of its clients.
-spec kept(map()) -> pos_integer().
kept(#{bind := Binds, acceptors := Acceptors, mounts := Mounts, app := App, workers := Own, metrics_bind := Metrics,
       task_workers := Tasks, data_dir := DataDir} = Config) ->
    Workers = lists:sum([Tasks | [Own || App =/= <<>>]]
                        ++ [maps:get(workers, hornbeam_options:for_mount(Config, Overrides)) || {_, _, Overrides} <- Mounts]
                        ++ [Processes || {_, _, Options} <- maps:get(services, Config, []),
                                         #{workers := Processes} <- [hornbeam_option_service:limits(Options)]]),
    %% An acceptor holds what it is about to refuse. (The sockets themselves are open already.)
    length(Binds) * (Acceptors + 1) + Workers * ?WORKER + ?CONTROL
        + length(Metrics) * (1 + ?METRICS) + case DataDir of <<>> -> 0; _ -> ?STORE end.

%% @doc How many connections of each address of metrics_bind a descriptor is kept back for.
-spec for_metrics() -> pos_integer().
for_metrics() ->
    ?METRICS.

%% @doc The soft limit of descriptors that the VM was started with (sysconf(3), _SC_OPEN_MAX).
-spec limit() -> pos_integer().
limit() ->
    lists:max([Max || PollSet <- erlang:system_info(check_io), {max_fds, Max} <- PollSet]).

%% @doc Whether a file may be opened for a client. Asks the kernel, which takes 30 us.
-spec has_room() -> boolean().
has_room() ->
    lowest_free() < atomics:get(atomics(), ?CEILING).

%% The number that the next descriptor gets.
lowest_free() ->
    case socket:open(inet, dgram, udp, #{use_registry => false}) of
        {ok, Socket} ->
            {ok, Number} = socket:getopt(Socket, otp, fd),
            ok = socket:close(Socket),
            Number;
        {error, _} ->
            limit()
    end.

%% @doc Whether a socket may stay that was accepted with this number; `unknown' for a TLS socket: to ask for the lowest free one
%% is nothing beside a handshake.
-spec has_room(Number :: non_neg_integer() | unknown) -> boolean().
has_room(unknown) ->
    are_ports_free() andalso are_processes_free() andalso has_room();
has_room(Number) ->
    are_ports_free() andalso are_processes_free() andalso Number < atomics:get(atomics(), ?CEILING).

%% @doc Whether there are not more sockets and other ports than there may be.
-spec are_ports_free() -> boolean().
are_ports_free() ->
    erlang:system_info(port_count) =< atomics:get(atomics(), ?PORTS).

are_processes_free() ->
    erlang:system_info(process_count) =< erlang:system_info(process_limit) * 9 div 10.

%% @doc How many descriptors are kept back.
-spec kept_back() -> integer().
kept_back() ->
    limit() - atomics:get(atomics(), ?CEILING).

%% @doc Counts a connection that was refused.
-spec refused() -> ok.
refused() ->
    atomics:add(atomics(), ?REFUSED, 1).

%% @doc Whether accept(2) may succeed later, without anybody doing anything about the socket.
-spec is_shortage(term()) -> boolean().
is_shortage(Reason) ->
    lists:member(Reason, [emfile, enfile, enobufs, enomem, system_limit]).

%% @doc After a shortage: says so, and waits before the next try.
-spec wait(shortage()) -> ok.
wait(Reason) ->
    complain("no connection can be accepted for the moment: ~ts", [describe(Reason)]),
    timer:sleep(?WAIT).

describe(system_limit) -> "the VM's table of ports is full (+Q)";
describe(Posix) -> inet:format_error(Posix).

%% @doc A warning, unless there was one within the last second. What is worth it here can come thousands of times.
-spec complain(io:format(), [term()]) -> ok.
complain(Format, Arguments) ->
    Now = erlang:monotonic_time(millisecond),
    Last = atomics:get(atomics(), ?LOGGED),
    case Now - Last >= ?LOG_EVERY_MS andalso atomics:compare_exchange(atomics(), ?LOGGED, Last, Now) of
        ok -> logger:warning(Format, Arguments);
        _ -> ok
    end.

-spec stats() -> #{limit := pos_integer(), refused := non_neg_integer()}.
stats() ->
    #{limit => limit(), refused => atomics:get(atomics(), ?REFUSED)}.

atomics() ->
    persistent_term:get(?MODULE).
