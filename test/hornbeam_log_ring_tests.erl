%%% The ring of log lines: what is kept, what fits a filter, who is told.
-module(hornbeam_log_ring_tests).

-include_lib("eunit/include/eunit.hrl").
-include_lib("kernel/include/logger.hrl").

-define(WAIT, 60000).

ring_test_() ->
    {foreach, fun setup/0, fun stop/1,
     [{Text, {timeout, 120, Test}}
      || {Text, Test} <- [{"lines", fun lines/0}, {"filters", fun filters/0}, {"bounds", fun bounds/0}, {"subscribers", fun subscribers/0},
                          {"ends with the last who keeps it", fun ends/0}]]}.

%% What these tests log is not for the terminal.
setup() ->
    ok = logger:add_handler_filter(default, ?MODULE, {fun(_, _) -> stop end, []}),
    Keeper = spawn(fun() -> receive stop -> ok end end),
    ok = hornbeam_log_ring:keep(Keeper),
    Keeper.

stop(Keeper) ->
    Ring = whereis(hornbeam_log_ring),
    Keeper ! stop,
    gone(Ring),
    ok = logger:remove_handler_filter(default, ?MODULE).

gone(undefined) -> ok;
gone(Ring) ->
    Monitor = monitor(process, Ring),
    receive {'DOWN', Monitor, process, _, _} -> ok after ?WAIT -> error(still_there) end.

lines() ->
    ?LOG_ERROR("one ~ts", ["ä"], #{request_id => "r-1", trace_id => <<"t">>, hornbeam_worker => 3}),
    ?LOG_WARNING("two"),
    [First, Second] = hornbeam_log_ring:read(#{}),
    ?assertMatch(#{level := error, logger := <<"hornbeam">>, message := <<"one ä"/utf8>>, request_id := <<"r-1">>, trace_id := <<"t">>,
                   worker := 3, time_us := Time} when is_integer(Time), First),
    ?assertMatch(#{level := warning, message := <<"two">>}, Second),
    ?assertNot(is_map_key(request_id, Second)),
    ?assert(maps:get(seq, First) < maps:get(seq, Second)).

filters() ->
    Python = fun(Name, Trace) -> #{python_logger => Name, python_record => {<<"Python says">>, Trace}} end,
    ?LOG_ERROR("x", [], Python(<<"app.db">>, <<"LookupError: Gone">>)),
    ?LOG_NOTICE("x", [], Python(<<"apple">>, none)),
    ?LOG_WARNING("Erlang says", [], #{request_id => "r-2"}),
    Of = fun(Filter) -> [maps:get(logger, Line) || Line <- hornbeam_log_ring:read(Filter)] end,
    ?assertEqual([<<"app.db">>, <<"hornbeam">>], Of(#{level => warning})),
    ?assertEqual([<<"app.db">>], Of(#{logger => <<"app">>})),
    ?assertEqual([<<"app.db">>], Of(#{text => <<"gone">>})),
    ?assertEqual([<<"app.db">>, <<"apple">>], Of(#{text => <<"python SAYS">>})),
    ?assertEqual([<<"hornbeam">>], Of(#{request_id => <<"r-2">>})),
    ?assertEqual([<<"apple">>, <<"hornbeam">>], Of(#{limit => 2})),
    [#{seq := Seq} | _] = hornbeam_log_ring:read(#{}),
    ?assertEqual([<<"apple">>, <<"hornbeam">>], Of(#{'after' => Seq})).

bounds() ->
    _ = [?LOG_NOTICE("~b", [N]) || N <- lists:seq(1, 1001)],
    Lines = hornbeam_log_ring:read(#{}),
    ?assertEqual(1000, length(Lines)),
    ?assertMatch(#{message := <<"2">>}, hd(Lines)),
    ?LOG_NOTICE("~ts", [[$x | lists:duplicate(4000, $ä)]]),
    [#{message := Long}] = hornbeam_log_ring:read(#{limit => 1}),
    ?assertEqual([4100, true], [4100, byte_size(Long) =< 4102]),
    ?assert(is_list(unicode:characters_to_list(Long))).

%% One message, however much is logged, and another after what is new was read.
subscribers() ->
    {ok, Ref, First} = hornbeam_log_ring:subscribe(#{level => error}),
    {Nothing, Waiting} = hornbeam_log_ring:next(First),
    ?assertEqual([], Nothing),
    _ = [?LOG_ERROR("~b", [N]) || N <- [1, 2, 3]],
    {Lines, Last} = new(3, Ref, Waiting),
    ?assertEqual([<<"1">>, <<"2">>, <<"3">>], [Message || #{message := Message} <- Lines]),
    ?LOG_ERROR("4"),
    told(Ref),
    ?assertMatch({[#{message := <<"4">>}], _}, hornbeam_log_ring:next(Last)),
    ok = hornbeam_log_ring:unsubscribe(Last).

%% So many lines, and then none.
new(0, _Ref, Subscription) ->
    hornbeam_log_ring:next(Subscription);
new(Count, Ref, Subscription) ->
    case hornbeam_log_ring:next(Subscription) of
        {[], Waiting} ->
            told(Ref),
            new(Count, Ref, Waiting);
        {Lines, Again} ->
            {More, Last} = new(Count - length(Lines), Ref, Again),
            {Lines ++ More, Last}
    end.

told(Ref) ->
    receive {hornbeam_log_ring, Ref} -> ok after ?WAIT -> error(not_told) end.

ends() ->
    Ring = whereis(hornbeam_log_ring),
    Other = spawn(fun() -> receive stop -> ok end end),
    ok = hornbeam_log_ring:keep(Other),
    Other ! stop,
    ?assert(is_pid(whereis(hornbeam_log_ring))),
    exit(Ring, shutdown),
    gone(Ring),
    ?assertEqual([], hornbeam_log_ring:read(#{})),
    ?assertEqual({error, not_kept}, hornbeam_log_ring:subscribe(#{})),
    ?assertNot(lists:member(hornbeam_log_ring, logger:get_handler_ids())).
