%%% How many requests each client address has in progress, so that one client does not take every worker's every place.
%%%
%%% Called by: hornbeam_listener (new/1, forget/1), hornbeam_exchange (enter/4, leave/1), hornbeam_http2_streams (leave/1),
%%% hornbeam_connections (ended/1, connections/0), hornbeam_affinity (network/1). Calls nothing.
%%%
%%% An array of counters for each server, without locks, processes or rows that somebody would have to remove: an address is
%%% hashed, with a secret, to one of ?SIZE. Two addresses that share a counter share a limit, which is seldom
%%% (one in ?SIZE for a pair), changes with each start and cannot be brought about. A client with IPv6 has a network of its own:
%%% the first 64 bits are its address (RFC 6177).
%%%
%%% What a connection has taken is given back whatever ends it. It stands in an array of its own: a cell for each request in progress, with its
%%% number and the index of its counter. Table hornbeam_clients: {Pid, Counters, Cells}, written with the first request of a connection and
%%% when it has more in progress than ever before (then it gets twice as many cells), taken by ended/1.
%%%
%%% Cost: five atomic operations for each request, and a hash where the client is not that of the request before.
-module(hornbeam_clients).

-export([new/1, forget/1, enter/4, leave/1, ended/1, connections/0, network/1]).

%% In the dictionary of a connection's process.
-record(taken, {
    counters :: atomics:atomics_ref(),      % the server's
    ip :: inet:ip_address(),                % the client of the last request,
    index :: pos_integer(),                 % and its counter
    cells :: atomics:atomics_ref(),         % cell/2, or 0
    size = 1 :: pos_integer()               % of them
}).

-define(TABLE, ?MODULE).
-define(SIZE, 65536).
%% The last of the array: when a refusal was logged last (seconds since a minute before the start).
-define(LOGGED, (?SIZE + 1)).
-define(LOG_EVERY, 60).
%% Of a cell, for the index.
-define(BITS, 17).

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
    #taken{counters = Counters, index = Index} = Taken = of_client(Ip, Server, get(?MODULE)),
    case atomics:add_get(Counters, Index, 1) of
        Open when Open =< Max ->
            hold(cell(Number, Index), Number, Taken);
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
    noted(case Before of
        undefined -> with_row(#taken{counters = Counters, ip = Ip, index = Index, cells = atomics:new(1, [])});
        _ -> Before#taken{ip = Ip, index = Index}
    end).

noted(Taken) ->
    _ = put(?MODULE, Taken),
    Taken.

with_row(#taken{counters = Counters, cells = Cells} = Taken) ->
    true = ets:insert(?TABLE, {self(), Counters, Cells}),
    Taken.

cell(Number, Index) -> (Number bsl ?BITS) bor Index.

number(Cell) -> Cell bsr ?BITS.

index(Cell) -> Cell band ((1 bsl ?BITS) - 1).

hold(Cell, Number, #taken{cells = Cells} = Taken) ->
    case find(0, Number, Taken) of
        {At, 0} -> atomics:put(Cells, At, Cell);
        none -> hold(Cell, Number, grown(Taken))
    end.

%% The cell of a request (what it begins with is its number; 0: one that is free), sought from where it would be if it were alone.
find(Wanted, Number, #taken{cells = Cells, size = Size}) ->
    find(Wanted, Number rem Size, Size, Size, Cells).

find(_Wanted, _At, 0, _Size, _Cells) ->
    none;
find(Wanted, At, Left, Size, Cells) ->
    Cell = atomics:get(Cells, At + 1),
    case number(Cell) of
        Wanted -> {At + 1, Cell};
        _ -> find(Wanted, (At + 1) rem Size, Left - 1, Size, Cells)
    end.

%% The row changes when the new cells are complete.
grown(#taken{cells = Cells0, size = Size} = Taken0) ->
    Taken = Taken0#taken{cells = atomics:new(2 * Size, []), size = 2 * Size},
    lists:foreach(fun(At) -> Cell = atomics:get(Cells0, At), hold(Cell, number(Cell), Taken) end, lists:seq(1, Size)),
    noted(with_row(Taken)).

%% @doc What stands for one client. As hornbeam_forwarded: IPv4 behind an IPv6 socket is IPv4.
-spec network(inet:ip_address()) -> tuple().
network({0, 0, 0, 0, 0, 16#ffff, AB, CD}) -> {AB bsr 8, AB band 255, CD bsr 8, CD band 255};
network({A, B, C, D, _, _, _, _}) -> {A, B, C, D, ipv6};
network(Ip) -> Ip.

%% @doc A request has ended, if it was counted.
-spec leave(Number :: pos_integer()) -> ok.
leave(Number) ->
    case get(?MODULE) of
        #taken{cells = Cells, counters = Counters} = Taken ->
            case find(Number, Number, Taken) of
                {At, Cell} -> atomics:put(Cells, At, 0), atomics:sub(Counters, index(Cell), 1);
                none -> ok
            end;
        undefined ->
            ok
    end.

%% @doc A connection's process has ended, or counts no more requests.
-spec ended(pid()) -> ok.
ended(Pid) ->
    Held = [{Counters, Cell} || {_, Counters, Cells} <- ets:take(?TABLE, Pid), At <- lists:seq(1, maps:get(size, atomics:info(Cells))),
                                Cell <- [atomics:get(Cells, At)], Cell =/= 0],
    lists:foreach(fun({Counters, Cell}) -> atomics:sub(Counters, index(Cell), 1) end, Held).

%% @doc Those for which ended/1 has not been called yet.
-spec connections() -> [pid()].
connections() ->
    ets:select(?TABLE, [{{'$1', '_', '_'}, [], ['$1']}]).

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
