%%% The exporter of spans: what waits is bounded and counted, and nobody waits for it.
-module(hornbeam_trace_exporter_tests).

-include_lib("eunit/include/eunit.hrl").

-define(CONFIG, #{trace => true, trace_endpoint => <<"http://127.0.0.1:1/v1/traces">>, trace_protocol => protobuf, trace_headers => [],
                  trace_service => <<"s">>, app => <<"a:b">>, name => ?MODULE, bind => []}).

request() ->
    Id = <<"4bf92f3577b34da6a3ce929d0e0e4736">>,
    {{Id, <<"00f067aa0ba902b7">>, none, 1, none},
     #{method => <<"GET">>, path => <<"/">>, query => <<>>, scheme => <<"http">>, version => 'HTTP/1.1', host => undefined, client => undefined,
       user_agent => undefined, route => none, status => 200, received => 0, sent => 0, offset => 0, started => 0, waits => none, placed => 1,
       answers => none, over => 2}}.

%% The process is suspended, as one would be that is far behind.
what_waits_is_bounded_test_() ->
    {timeout, 120, fun() ->
        ok = application_is_loaded(),
        {ok, Pid} = hornbeam_trace_exporter:start_link(?MODULE, ?CONFIG),
        true = unlink(Pid),
        Ref = hornbeam_trace_exporter:ref(?MODULE),
        ok = sys:suspend(Pid, infinity),
        _ = [hornbeam_trace_exporter:put(Ref, request()) || _ <- lists:seq(1, 8192 + 10)],
        ?assertEqual(#{sent => 0, failed => 0, dropped => 10}, hornbeam_trace_exporter:counts(?MODULE)),
        ended(Pid),
        %% Without a process all are dropped; the one that follows counts what its predecessor had.
        ok = hornbeam_trace_exporter:put(Ref, request()),
        ?assertMatch(#{dropped := 11}, hornbeam_trace_exporter:counts(?MODULE)),
        {ok, Next} = hornbeam_trace_exporter:start_link(?MODULE, ?CONFIG),
        true = unlink(Next),
        ?assertMatch(#{dropped := 8203}, hornbeam_trace_exporter:counts(?MODULE)),
        ended(Next),
        ok = hornbeam_trace_exporter:forget(?MODULE),
        ?assertEqual(none, hornbeam_trace_exporter:counts(?MODULE))
    end}.

application_is_loaded() ->
    case application:load(hornbeam) of
        ok -> ok;
        {error, {already_loaded, hornbeam}} -> ok
    end.

ended(Pid) ->
    Monitor = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Monitor, process, _, _} -> ok after 60000 -> error(alive) end.

%% A share is one of all ids, and the option is what it was given as.
shares_test_() ->
    [?_assertEqual(Expected, hornbeam_option_share:check(Given))
     || {Given, Expected} <- [{0, {ok, 0.0}}, {1, {ok, 1.0}}, {0.25, {ok, 0.25}}, {"0.01", {ok, 0.01}}, {<<"1%">>, {ok, 0.01}}, {"100%", {ok, 1.0}},
                              {"0.5%", {ok, 0.005}}, {"1", {ok, 1.0}}]]
    ++ [?_assertMatch({error, _, Given}, hornbeam_option_share:check(Given)) || Given <- ["101%", "1.5", -1, 2, "x", "", "%", [one], ".5"]]
    ++ [?_assertEqual({ok, Share}, hornbeam_option_share:check(hornbeam_option_share:format(Share))) || Share <- [0.0, 1.0, 0.25, 0.01, 0.000125]].

%% Of Host: a port is one to five digits behind the last colon; without one it is the server's.
host_test_() ->
    Of = fun(Host) ->
        {Ids, Facts} = request(),
        [#{attributes := Attributes} | _] = hornbeam_trace_spans:spans({Ids, Facts#{host := Host}}, #{port => 1}),
        {proplists:get_value(<<"server.address">>, Attributes), proplists:get_value(<<"server.port">>, Attributes)}
    end,
    [{Host, ?_assertEqual({list_to_binary(Name), Port}, Of(list_to_binary(Host)))}
     || {Host, Name, Port} <- [{"a:80", "a", 80}, {"a", "a", 1}, {"a:", "a:", 1}, {"[::1]:65535", "[::1]", 65535}, {"[::1]", "[::1]", 1},
                               {"a:123456", "a:123456", 1}, {"a:x1", "a:x1", 1}, {"80", "80", 1}, {"a:1:2", "a:1", 2}, {"", "", 1}]].
