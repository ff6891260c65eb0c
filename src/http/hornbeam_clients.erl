%%% How many requests each client address has in progress, so that one client does not take every worker's every place.
%%%
%%% Called by: hornbeam_listener (new/1, forget/1), hornbeam_exchange (enter/4, leave/1), hornbeam_http2_stream (leave/1),
%%% hornbeam_connection (leave_all/0). Calls nothing.
%%%
%%% An array of counters for each server, without locks, processes or rows that somebody would have to remove: an address is
%%% hashed, with a secret, to one of ?SIZE. Two addresses that share a counter share a limit, which is seldom
%%% (one in ?SIZE for a pair), changes with each start and cannot be brought about. A client with IPv6 has a network of its own:
%%% the first 64 bits are its address (RFC 6177).
%%%
%%% What a connection has taken stands in its process's dictionary, by the number of the request: an HTTP/2 connection gives it back
%%% whatever ends it. An HTTP/1 connection has one at most, which is lost when its process crashes.
%%%
%%% Cost: a hash and two atomic operations for each request.
-module(hornbeam_clients).

-export([new/1, forget/1, enter/4, leave/1, leave_all/0]).

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
    {Counters, Secret, Begun} = persistent_term:get({?MODULE, Server}),
    Index = erlang:phash2({Secret, network(Ip)}, ?SIZE) + 1,
    case atomics:add_get(Counters, Index, 1) of
        Open when Open =< Max ->
            Mine = case get(?MODULE) of undefined -> #{}; Before -> Before end,
            _ = put(?MODULE, Mine#{Number => {Counters, Index}}),
            ok;
        _ ->
            atomics:sub(Counters, Index, 1),
            log(erlang:monotonic_time(second) - Begun, Counters, Ip, Max),
            full
    end.

%% As hornbeam_forwarded: IPv4 behind an IPv6 socket is IPv4.
network({0, 0, 0, 0, 0, 16#ffff, AB, CD}) -> {AB bsr 8, AB band 255, CD bsr 8, CD band 255};
network({A, B, C, D, _, _, _, _}) -> {A, B, C, D, ipv6};
network(Ip) -> Ip.

%% @doc A request has ended, if it was counted.
-spec leave(Number :: pos_integer()) -> ok.
leave(Number) ->
    case get(?MODULE) of
        #{Number := Place} = Mine ->
            _ = put(?MODULE, maps:remove(Number, Mine)),
            give_back(Place);
        _ ->
            ok
    end.

%% @doc The connection has ended.
-spec leave_all() -> ok.
leave_all() ->
    case erase(?MODULE) of
        undefined -> ok;
        Mine -> lists:foreach(fun give_back/1, maps:values(Mine))
    end.

give_back({Counters, Index}) ->
    atomics:sub(Counters, Index, 1).

%% Once a minute: whoever refuses many must not write as many lines, but the owner of a proxy that nobody declared has to learn of it.
log(Now, Counters, Ip, Max) ->
    Before = atomics:get(Counters, ?LOGGED),
    case Now - Before >= ?LOG_EVERY andalso atomics:compare_exchange(Counters, ?LOGGED, Before, Now) of
        ok ->
            logger:warning("~ts has ~b requests in progress (max_client_requests); more are answered with 429. If it is a "
                           "proxy, name it in forwarded_allow_ips.", [inet:ntoa(Ip), Max]);
        _ ->
            ok
    end.
