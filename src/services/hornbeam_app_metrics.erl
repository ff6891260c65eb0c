%%% The application's own metrics: sums over all workers of a server.
%%%
%%% Called by: hornbeam_service_metrics, in the workers' processes (push/5, left/1), hornbeam_metrics_text and whoever shows them (read/1),
%%% hornbeam_server_remains (forget/1). Calls: nothing.
%%%
%%% Workers add up by themselves and push what has been added since (hornbeam_erlang/_metrics.py). Two ETS tables (hornbeam_tables owns
%%% them), written by all workers at once; nothing runs while nobody pushes.
%%%
%%%     hornbeam_app_metrics
%%%       {{family, Server, Name}, Kind, Help, Mode, Bounds}
%%%       {{series, Server, Name}, Count}       {{refused, Server, Name}, Count}
%%%       {{sum, Server, Name, Labels}, Number}                               counters; the sums of histograms and summaries
%%%       {{count, Server, Name, Labels}, Count | Bucket 1, ..., beyond}      of a histogram and a summary
%%%     hornbeam_app_gauges
%%%       {{Worker, Server, Name, Labels}, Number, Time}                      what one worker has set
%%%
%%% Additions of integers are exact, whoever else adds. A float is added by compare and swap. What a gauge is over the workers, its mode
%%% says: sum, max, min, last. A worker's share goes with its process; what it has counted stays.
%%%
%%% Bounds: ?MAX_FAMILIES metrics, Max series of each: what is beyond is refused and counted. A metric that was declared otherwise before is
%%% refused as a whole.
-module(hornbeam_app_metrics).

-export([push/5, left/1, read/1, forget/1]).
-export_type([family/0, series/0, kind/0, mode/0]).

-type kind() :: counter | gauge | histogram | summary.
-type mode() :: none | sum | max | min | last.
-type family() :: {Name :: binary(), kind(), Help :: binary(), mode(), Bounds :: [number()]}.
-type labels() :: [{binary(), binary()}].
%% A gauge: its value, `none' for one that is not there any more. Numbers of a histogram: by bucket, with one beyond the last bound.
-type series() :: {labels(), number() | none | {Sum :: number(), [non_neg_integer()]}}.

-define(TABLE, ?MODULE).
-define(GAUGES, hornbeam_app_gauges).
-define(MAX_FAMILIES, 1000).
-define(LARGEST, 1.7976931348623157e308).

%% @doc What one worker has to say of one metric; Dropped: how many changes it has dropped itself. How many series were refused; or why all were.
-spec push(Server :: atom(), family(), [series()], Dropped :: non_neg_integer(), MaxSeries :: pos_integer()) -> {ok, Refused :: non_neg_integer()} | {error, declared_otherwise | too_many}.
push(Server, {Name, Kind, _, Mode, Bounds} = Family, Series, Dropped, Max) ->
    case declared(Server, Family) of
        {Kind, Mode, Bounds} ->
            Refused = Dropped + length([refused || One <- Series, not pushed(Server, Name, Kind, One, Max)]),
            ok = refused(Server, Name, Refused),
            {ok, Refused};
        Other ->
            ok = refused(Server, Name, Dropped + length(Series)),
            {error, case Other of too_many -> too_many; _ -> declared_otherwise end}
    end.

declared(Server, {Name, Kind, Help, Mode, Bounds}) ->
    case ets:lookup(?TABLE, {family, Server, Name}) of
        [{_, Known, _, KnownMode, KnownBounds}] ->
            {Known, KnownMode, KnownBounds};
        [] ->
            case ets:update_counter(?TABLE, {families, Server}, {2, 1}, {{families, Server}, 0}) of
                Count when Count > ?MAX_FAMILIES ->
                    _ = ets:update_counter(?TABLE, {families, Server}, {2, -1}),
                    too_many;
                _ ->
                    _ = ets:insert_new(?TABLE, {{family, Server, Name}, Kind, Help, Mode, Bounds})
                        orelse ets:update_counter(?TABLE, {families, Server}, {2, -1}),
                    declared(Server, {Name, Kind, Help, Mode, Bounds})
            end
    end.

%% Of a metric that is not known any name could come.
refused(_Server, _Name, 0) ->
    ok;
refused(Server, Name, Count) ->
    Key = {refused, Server, case ets:member(?TABLE, {family, Server, Name}) of true -> Name; false -> <<>> end},
    _ = ets:update_counter(?TABLE, Key, {2, Count}, {Key, 0}),
    ok.

pushed(Server, Name, gauge, {Labels, Value}, Max) ->
    gauge({self(), Server, Name, Labels}, Value, Max);
pushed(Server, Name, counter, {Labels, Delta}, Max) ->
    Key = {sum, Server, Name, Labels},
    admitted(Key, {Key, 0}, Max) andalso add(Key, Delta);
pushed(Server, Name, _Kind, {Labels, {Sum, Counts}}, Max) ->
    Key = {count, Server, Name, Labels},
    admitted(Key, list_to_tuple([Key | [0 || _ <- Counts]]), Max) andalso begin
        _ = ets:update_counter(?TABLE, Key, [{Position, Count} || {Position, Count} <- lists:enumerate(2, Counts), Count > 0]),
        SumKey = {sum, Server, Name, Labels},
        _ = ets:insert_new(?TABLE, {SumKey, 0}),
        add(SumKey, Sum)
    end.

%% One that is there, or has room.
admitted({_, Server, Name, _} = Key, New, Max) ->
    ets:member(?TABLE, Key) orelse room(Server, Name, fun() -> ets:insert_new(?TABLE, New) end, Max).

room(Server, Name, Insert, Max) ->
    Number = {series, Server, Name},
    case ets:update_counter(?TABLE, Number, {2, 1}, {Number, 0}) of
        Count when Count =< Max ->
            %% Another worker may have been there first.
            _ = Insert() orelse ets:update_counter(?TABLE, Number, {2, -1}),
            true;
        _ ->
            _ = ets:update_counter(?TABLE, Number, {2, -1}),
            false
    end.

%% Each worker's share counts: a gauge's series are those of all workers.
gauge({_, Server, Name, _} = Key, none, _Max) ->
    _ = ets:take(?GAUGES, Key) =/= [] andalso ets:update_counter(?TABLE, {series, Server, Name}, {2, -1}),
    true;
gauge({_, Server, Name, _} = Key, Value, Max) ->
    Row = {Key, Value, erlang:monotonic_time()},
    ets:update_element(?GAUGES, Key, [{2, Value}, {3, element(3, Row)}])
        orelse room(Server, Name, fun() -> ets:insert_new(?GAUGES, Row) end, Max).

add(_Key, 0) ->
    true;
add(Key, Delta) when is_integer(Delta) ->
    try ets:update_counter(?TABLE, Key, {2, Delta}) of
        _ -> true
    catch
        error:badarg -> swap(Key, Delta)
    end;
add(Key, Delta) ->
    swap(Key, Delta).

%% A float is in it: again, until nobody else has been faster.
swap(Key, Delta) ->
    case ets:lookup(?TABLE, Key) of
        [{_, Before} = Row] -> ets:select_replace(?TABLE, [{Row, [], [{const, {Key, plus(Before, Delta)}}]}]) =:= 1 orelse swap(Key, Delta);
        [] -> true
    end.

%% @doc The Python process of this worker has ended: its gauges end, too.
-spec left(Worker :: pid()) -> ok.
left(Worker) ->
    Rows = ets:match(?GAUGES, {{Worker, '$1', '$2', '$3'}, '_', '_'}),
    lists:foreach(fun([Server, Name, Labels]) -> gauge({Worker, Server, Name, Labels}, none, 0) end, Rows).

%% @doc All metrics of a server by name, with what was refused of them as the last.
-spec read(Server :: atom()) -> [hornbeam_metrics_family()].
-type hornbeam_metrics_family() :: {binary(), kind(), binary(), [{iodata(), [{iodata(), iodata()}], number()}]}.
read(Server) ->
    Families = lists:sort(ets:match(?TABLE, {{family, Server, '$1'}, '$2', '$3', '$4', '$5'})),
    Found = found(Server),
    [{total(Kind, Name), Kind, Help, lists:append([lines(Kind, Bounds, One) || One <- lists:sort(series(Kind, Mode, maps:get({Kind =:= gauge, Name}, Found, [])))])}
     || [Name, Kind, Help, Mode, Bounds] <- Families]
    ++ refusals(lists:sort(ets:match(?TABLE, {{refused, Server, '$1'}, '$2'}))).

%% What there is by metric, {IsGauge, Name}: each table is gone through once, however many metrics there are.
found(Server) ->
    Rows = ets:select(?TABLE, [{'$1', [{'=:=', {element, 1, {element, 1, '$1'}}, Kind}, {'=:=', {element, 2, {element, 1, '$1'}}, Server}], ['$1']}
                               || Kind <- [sum, count]]),
    Gauges = ets:match_object(?GAUGES, {{'_', Server, '_', '_'}, '_', '_'}),
    Add = fun(Key, Row, Found) -> maps:update_with(Key, fun(Before) -> [Row | Before] end, [Row], Found) end,
    Sums = lists:foldl(fun(Row, Found) -> Add({false, element(3, element(1, Row))}, Row, Found) end, #{}, Rows),
    lists:foldl(fun({{_, _, Name, _}, _, _} = Row, Found) -> Add({true, Name}, Row, Found) end, Sums, Gauges).

refusals([]) -> [];
refusals(Refused) ->
    [{<<"hornbeam_app_metrics_refused_total">>, counter, <<"Changes of the application's metrics that were refused: too many series, or declared otherwise.">>,
      [{"", [{"metric", Name}], Count} || [Name, Count] <- Refused]}].

total(counter, Name) -> <<Name/binary, "_total">>;
total(_Kind, Name) -> Name.

series(counter, none, Rows) ->
    [{Labels, Value} || {{sum, _, _, Labels}, Value} <- Rows];
series(gauge, Mode, Rows) ->
    maps:to_list(lists:foldl(fun({{Worker, _, _, Labels}, Value, Time}, Sums) ->
                                     case is_process_alive(Worker) of
                                         true -> maps:update_with(Labels, fun(Other) -> merged(Mode, {Time, Value}, Other) end, {Time, Value}, Sums);
                                         false -> Sums
                                     end
                             end, #{}, Rows));
series(_Kind, none, Rows) ->
    Sums = maps:from_list([{Labels, Sum} || {{sum, _, _, Labels}, Sum} <- Rows]),
    [{Labels, {maps:get(Labels, Sums, 0), Counts}} || Row <- Rows, [{count, _, _, Labels} | Counts] <- [tuple_to_list(Row)]].

merged(sum, {Time, Value}, {_, Other}) -> {Time, plus(Value, Other)};
merged(max, {Time, Value}, {_, Other}) -> {Time, max(Value, Other)};
merged(min, {Time, Value}, {_, Other}) -> {Time, min(Value, Other)};
merged(last, Newer, Older) -> max(Newer, Older).

%% Erlang has no infinity: what is beyond the largest number is that.
plus(A, B) ->
    try A + B
    catch error:badarith when A > 0 -> ?LARGEST;
          error:badarith -> -?LARGEST
    end.

lines(counter, _, {Labels, Value}) -> [{"", Labels, Value}];
lines(gauge, _, {Labels, {_Time, Value}}) -> [{"", Labels, Value}];
lines(summary, _, {Labels, {Sum, [Count]}}) -> [{"_count", Labels, Count}, {"_sum", Labels, Sum}];
lines(histogram, Bounds, {Labels, {Sum, Counts}}) ->
    {Buckets, Count} = lists:mapfoldl(fun(N, Below) -> {Below + N, Below + N} end, 0, Counts),
    [{"_bucket", Labels ++ [{"le", bound(Bound)}], N} || {Bound, N} <- lists:zip(Bounds ++ [infinity], Buckets)]
    ++ [{"_sum", Labels, Sum}, {"_count", Labels, Count}].

bound(infinity) -> "+Inf";
bound(Bound) -> io_lib:format("~w", [float(Bound)]).

-spec forget(Server :: atom()) -> ok.
forget(Server) ->
    true = ets:match_delete(?TABLE, {{family, Server, '_'}, '_', '_', '_', '_'}),
    _ = ets:select_delete(?TABLE, [{'$1', [{'=:=', {element, 2, {element, 1, '$1'}}, Server}], [true]}]),
    true = ets:match_delete(?GAUGES, {{'_', Server, '_', '_'}, '_', '_'}),
    ok.
