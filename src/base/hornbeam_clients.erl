%%% How many requests each client address has in progress, so that one client does not take every worker's every place.
%%%
%%% Called by: hornbeam_listener (new/1, forget/1), hornbeam_exchange (enter/4, leave/1), hornbeam_http2_streams (leave/1),
%%% hornbeam_connections (ended/1, connections/0). Calls nothing.
%%%
%%% An array of counters for each server, without locks, processes or rows that somebody would have to remove: an address is
%%% hashed, with a secret, to one of ?SIZE. Two addresses that share a counter share a limit, which is seldom
%%% (one in ?SIZE for a pair), changes with each start and cannot be brought about. A client with IPv6 has a network of its own:
%%% the first 64 bits are its address (RFC 6177).
%%%
%%% What a connection has taken is given back whatever ends it. It stands in arrays of its own: a cell for each request in progress, with the
%%% index of its counter. Table hornbeam_clients: {Pid, Counters, Arrays}, written with the first request of a connection and when it has more
%%% in progress than ever before (then it gets twice as many cells), taken by ended/1. Which request has which cell stands in the process's dictionary.
%%%
%%% Cost: four atomic operations for each request, and a hash where the client is not that of the request before.
-module(hornbeam_clients).

-export([new/1, forget/1, enter/4, leave/1, ended/1, connections/0]).

%% In the dictionary of a connection's process.
-record(taken, {
    counters :: atomics:atomics_ref(),      % the server's
    ip :: inet:ip_address(),                % the client of the last request,
    index :: pos_integer(),                 % and its counter
    cells = #{} :: #{Number :: pos_integer() => cell()},
    free = [] :: [cell()]
}).
-type cell() :: {Array :: atomics:atomics_ref(), At :: pos_integer()}.

-define(TABLE, ?MODULE).
-define(SIZE, 65536).
%% The last of the array: when a refusal was logged last (seconds since a minute before the start).
-define(LOGGED, (?SIZE + 1)).
-define(LOG_EVERY, 60).

%% @doc Counters for a server: those that there are when its listener has been started again, for its connections have gone on.
-spec new(Server :: atom()) -> ok.
new(Server) ->
    case persistent_term:get({?MODULE, Server}, none) of
        none ->
            Begun = erlang:monotonic_time(second) - ?LOG_EVERY,
            persistent_term:put({?MODULE, Server}, {atomics:new(?LOGGED, []), rand:bytes(16), Begun});
        _ ->
            ok
    end.

-spec forget(Server :: atom()) -> ok.
forget(Server) ->
    _ = persistent_term:erase({?MODULE, Server}),
    ok.

%% @doc Counts a request of a client, unless that would be more than Max. Number: of the request in its connection.
-spec enter(Server :: atom(), Number :: pos_integer(), inet:ip_address(), Max :: pos_integer()) -> ok | full.
enter(Server, Number, Ip, Max) ->
    #taken{counters = Counters, index = Index} = Taken0 = of_client(Ip, Server, get(?MODULE)),
    case atomics:add_get(Counters, Index, 1) of
        Open when Open =< Max ->
            #taken{cells = Cells, free = [{Array, At} = Cell | Free]} = Taken = with_room(Taken0),
            ok = atomics:put(Array, At, Index),
            _ = put(?MODULE, Taken#taken{cells = Cells#{Number => Cell}, free = Free}),
            ok;
        _ ->
            atomics:sub(Counters, Index, 1),
            log(Server, Ip, Max),
            full
    end.

%% Mostly the client of the request before.
of_client(Ip, _Server, #taken{ip = Ip} = Taken) ->
    Taken;
of_client(Ip, Server, Before) ->
    {Counters, Secret, _} = persistent_term:get({?MODULE, Server}),
    Index = erlang:phash2({Secret, network(Ip)}, ?SIZE) + 1,
    case Before of
        undefined -> #taken{counters = Counters, ip = Ip, index = Index};
        _ -> Before#taken{ip = Ip, index = Index}
    end.

with_room(#taken{free = [_ | _]} = Taken) ->
    Taken;
with_room(#taken{free = [], cells = Cells, counters = Counters} = Taken) ->
    {Size, Arrays} = case map_size(Cells) of
        0 -> {1, []};
        Open -> {Open, ets:lookup_element(?TABLE, self(), 3)}
    end,
    Array = atomics:new(Size, []),
    true = ets:insert(?TABLE, {self(), Counters, [Array | Arrays]}),
    Taken#taken{free = [{Array, At} || At <- lists:seq(1, Size)]}.

%% As hornbeam_forwarded: IPv4 behind an IPv6 socket is IPv4.
network({0, 0, 0, 0, 0, 16#ffff, AB, CD}) -> {AB bsr 8, AB band 255, CD bsr 8, CD band 255};
network({A, B, C, D, _, _, _, _}) -> {A, B, C, D, ipv6};
network(Ip) -> Ip.

%% @doc A request has ended, if it was counted.
-spec leave(Number :: pos_integer()) -> ok.
leave(Number) ->
    case get(?MODULE) of
        #taken{cells = #{Number := Cell} = Cells, free = Free, counters = Counters} = Taken ->
            _ = put(?MODULE, Taken#taken{cells = maps:remove(Number, Cells), free = [Cell | Free]}),
            give_back(Cell, Counters);
        _ ->
            ok
    end.

%% @doc A connection's process has ended, or counts no more requests.
-spec ended(pid()) -> ok.
ended(Pid) ->
    Cells = [{{Array, At}, Counters} || {_, Counters, Arrays} <- ets:take(?TABLE, Pid), Array <- Arrays,
                                        At <- lists:seq(1, maps:get(size, atomics:info(Array)))],
    lists:foreach(fun({Cell, Counters}) -> give_back(Cell, Counters) end, Cells).

%% @doc Those for which ended/1 has not been called yet.
-spec connections() -> [pid()].
connections() ->
    ets:select(?TABLE, [{{'$1', '_', '_'}, [], ['$1']}]).

give_back({Array, At}, Counters) ->
    case atomics:exchange(Array, At, 0) of
        0 -> ok;
        Index -> atomics:sub(Counters, Index, 1)
    end.

%% Once a minute: whoever refuses many must not write as many lines, but the owner of a proxy that nobody declared has to learn of it.
log(Server, Ip, Max) ->
    {Counters, _, Begun} = persistent_term:get({?MODULE, Server}),
    Now = erlang:monotonic_time(second) - Begun,
    Before = atomics:get(Counters, ?LOGGED),
    case Now - Before >= ?LOG_EVERY andalso atomics:compare_exchange(Counters, ?LOGGED, Before, Now) of
        ok ->
            logger:warning("~ts has ~b requests in progress (max_client_requests); more are answered with 429. If it is a "
                           "proxy, name it in forwarded_allow_ips.", [inet:ntoa(Ip), Max]);
        _ ->
            ok
    end.
