%%% The limits of an HTTP/1 connection: which is over when the one timer fires.
-module(hornbeam_http1_times_tests).

-include_lib("eunit/include/eunit.hrl").

-define(LONG, 60000).

%% Looked at until one is over.
over(Times) ->
    receive
        {timeout, Ref, deadline} ->
            case hornbeam_http1_times:fired(Ref, Times) of
                stale -> over(Times);
                {none, Next} -> over(hornbeam_http1_times:awake(Next));
                Over -> Over
            end
    after 10000 -> never
    end.

new() -> hornbeam_http1_times:new().

%% Once each, the earlier first.
each_once_test_() ->
    {timeout, 30, fun() ->
        Times = hornbeam_http1_times:body(30, hornbeam_http1_times:limit(header_timeout, 1, new())),
        {First, Rest} = over(Times),
        ?assertEqual({limit, header_timeout}, First),
        {Second, Last} = over(hornbeam_http1_times:awake(Rest)),
        ?assertEqual(body, Second),
        ok = hornbeam_http1_times:cancel(Last)
    end}.

%% A limit that has been replaced, or is over, is none.
replaced_test_() ->
    {timeout, 30, fun() ->
        Short = hornbeam_http1_times:body(1, hornbeam_http1_times:limit(response, 1, new())),
        Long = hornbeam_http1_times:body(infinity, hornbeam_http1_times:no_limit(Short)),
        {Over, Last} = over(hornbeam_http1_times:limit(queue, 20, Long)),
        ?assertEqual({limit, queue}, Over),
        ok = hornbeam_http1_times:cancel(Last)
    end}.

%% An awake connection is looked at however long its limits are; one that sleeps is not before they are over.
awake_test_() ->
    {timeout, 30, fun() ->
        Times = hornbeam_http1_times:limit(keepalive_timeout, ?LONG, new()),
        {none, Next} = receive {timeout, Ref, deadline} -> hornbeam_http1_times:fired(Ref, Times) after 10000 -> never end,
        Asleep = hornbeam_http1_times:asleep(Next),
        ?assertNotEqual(Next, Asleep),
        receive {timeout, _, deadline} -> ?assert(false) after 300 -> ok end,
        ok = hornbeam_http1_times:cancel(Asleep)
    end}.

infinity_test_() ->
    {timeout, 30, fun() ->
        Times = hornbeam_http1_times:limit(response, infinity, new()),
        {none, Next} = receive {timeout, Ref, deadline} -> hornbeam_http1_times:fired(Ref, Times) after 10000 -> never end,
        ?assertEqual(Next, hornbeam_http1_times:asleep(Next))
    end}.
