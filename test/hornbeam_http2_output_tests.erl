%%% hornbeam_http2_output: what is progress of a stream, and when one is overdue.
-module(hornbeam_http2_output_tests).

-include_lib("eunit/include/eunit.hrl").

%% ms; half of it is what a busy machine may be late by.
-define(TIMEOUT, 2000).

output_test_() ->
    {inparallel,
     [{Name, {spawn, {timeout, 30, fun() -> ok = hornbeam_http2_output:start(?TIMEOUT), Test() end}}}
      || {Name, Test} <- [{"a stream that takes nothing is overdue", fun nothing/0},
                          {"one that has taken all is not", fun all/0},
                          {"one that takes a little is not", fun little/0},
                          {"one that waits again has its time again", fun again/0},
                          {"frames of others, and empty ones, are no progress", fun others/0},
                          {"one that has ended is forgotten", fun ended/0}]]}.

%% Waits for the message of the timer and asks.
asked(StreamId) ->
    Me = self(),
    receive {{Me, StreamId}, overdue} -> hornbeam_http2_output:is_overdue(StreamId)
    after 4 * ?TIMEOUT -> no_message
    end.

data(StreamId, Data) -> cow_http2:data(StreamId, nofin, Data).

nothing() ->
    ok = hornbeam_http2_output:alarm(1, on),
    ?assert(hornbeam_http2_output:is_waiting(1)),
    ?assert(asked(1)).

all() ->
    ok = hornbeam_http2_output:alarm(1, on),
    ok = hornbeam_http2_output:alarm(1, off),
    ?assertNot(hornbeam_http2_output:is_waiting(1)),
    ?assertNot(asked(1)).

little() ->
    ok = hornbeam_http2_output:alarm(1, on),
    timer:sleep(?TIMEOUT div 2),
    ok = hornbeam_http2_output:sent([cow_http2:window_update(9), data(3, <<"abc">>), [data(1, <<"a">>)]]),
    ?assertNot(asked(1)),
    ?assert(asked(1)).

again() ->
    ok = hornbeam_http2_output:alarm(1, on),
    timer:sleep(?TIMEOUT div 2),
    ok = hornbeam_http2_output:alarm(1, off),
    ok = hornbeam_http2_output:alarm(1, on),
    ?assertNot(asked(1)),
    ?assert(asked(1)).

others() ->
    ok = hornbeam_http2_output:alarm(1, on),
    timer:sleep(?TIMEOUT div 2),
    %% Of the last only the head: the rest goes with sendfile.
    <<Head:9/binary, _/binary>> = iolist_to_binary(data(5, <<"file">>)),
    ok = hornbeam_http2_output:sent([data(3, <<0, 0, 1, 0, 0, 0, 0, 0, 1, 2>>), data(1, <<>>), cow_http2:rst_stream(1, cancel), Head]),
    ?assert(asked(1)).

ended() ->
    ok = hornbeam_http2_output:alarm(1, on),
    ok = hornbeam_http2_output:ended(1),
    ok = hornbeam_http2_output:ended(1),
    ok = hornbeam_http2_output:alarm(3, off),
    ?assertNot(hornbeam_http2_output:is_waiting(1)),
    ?assertNot(hornbeam_http2_output:is_waiting(3)).
