%%% The sizes of reads: small for heads, and as large as what a client sends of a body. This module is the transport.
-module(hornbeam_http1_socket_tests).

-include_lib("eunit/include/eunit.hrl").

-export([setopts/2]).

-define(SMALL, 1460).
-define(LARGE, 65536).
-define(HUGE, 262144).

%% What the socket's options are after some calls.
setopts(raw, Options) ->
    _ = [put(Name, Value) || {Name, Value} <- Options],
    ok.

heads_are_read_small_test() ->
    _ = hornbeam_http1_socket:watch(hornbeam_http1_socket:new(?MODULE, raw)),
    ?assertEqual({?SMALL, 64}, {get(buffer), get(active)}).

%% What may come (the driver adds what is asked for) is counted to the one that is the ninth from the end, and is 64 again then.
more_is_asked_for_before_it_is_passive_test() ->
    Watched = hornbeam_http1_socket:watch(hornbeam_http1_socket:new(?MODULE, raw)),
    lists:foldl(fun(Read, {Left0, Socket0}) ->
                    _ = put(active, none),
                    Socket = hornbeam_http1_socket:watch(hornbeam_http1_socket:received(100, Socket0)),
                    Left = Left0 - 1 + case get(active) of none -> 0; More -> More end,
                    ?assertMatch({_, true, _}, {Read, Left > 8 andalso Left =< 64, Left}),
                    {Left, Socket}
                end, {64, Watched}, lists:seq(1, 300)).

%% Off is off, whatever comes late.
passive_test() ->
    Off = hornbeam_http1_socket:pause(hornbeam_http1_socket:watch(hornbeam_http1_socket:new(?MODULE, raw))),
    ?assertEqual(false, get(active)),
    _ = [hornbeam_http1_socket:received(100, Off) || _ <- lists:seq(1, 100)],
    ?assertEqual(false, get(active)).

%% The next read is as large as this one was full.
bodies_are_read_as_large_as_they_come_test() ->
    Body = hornbeam_http1_socket:read(hornbeam_http1_socket:new(?MODULE, raw)),
    ?assertEqual({?LARGE, once}, {get(buffer), get(active)}),
    Sizes = [{1, ?LARGE}, {?LARGE - 1, ?LARGE}, {?LARGE, ?HUGE}, {?HUGE, ?HUGE}, {?LARGE, ?HUGE}, {?LARGE - 1, ?LARGE}, {?LARGE, ?HUGE}],
    Last = lists:foldl(fun({Came, Next}, Socket) ->
                           Read = hornbeam_http1_socket:read(hornbeam_http1_socket:received(Came, Socket)),
                           ?assertEqual({Came, Next, once}, {Came, get(buffer), get(active)}),
                           Read
                       end, Body, Sizes),
    %% Behind a body nobody has earned more than for a first piece.
    _ = hornbeam_http1_socket:watch(hornbeam_http1_socket:received(?HUGE, Last)),
    ?assertEqual({?LARGE, once}, {get(buffer), get(active)}).
