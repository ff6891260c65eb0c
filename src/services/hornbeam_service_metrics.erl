%%% Python's metrics: arguments and answers as hornbeam_erlang/_metrics.py has them.
%%%
%%% Called by: hornbeam_services, in the worker's process. Calls: hornbeam_app_metrics. The end of the Python process takes its gauges (left/1).
%%%
%%% Pushes are not answered: what is refused is counted, and logged when it is the first of its metric.
-module(hornbeam_service_metrics).
-behaviour(hornbeam_services).

-export([handle/3, left/1]).

%% Of names and label values, of help texts.
-define(MAX_NAME, 200).
-define(MAX_TEXT, 1000).
-define(MAX_BUCKETS, 200).

-spec handle(atom(), [term()], map()) -> hornbeam_services:outcome().
handle(metrics_push, [Families], #{name := Server, metrics_max_series := Max}) when is_list(Families) ->
    lists:foreach(fun(Family) -> push(Server, Family, Max) end, Families),
    {ok, none};
handle(metrics_read, [], #{name := Server}) ->
    {walk, 10000, fun() -> {ok, [sample(Name, Kind, Line) || {Name, Kind, _, Lines} <- hornbeam_app_metrics:read(Server), Line <- Lines]} end};
handle(Operation, _Arguments, _) ->
    {error, type_error, <<"wrong arguments for ", (atom_to_binary(Operation))/binary>>}.

%% @doc The Python process of the calling worker has ended.
-spec left(Worker :: pid()) -> ok.
left(Worker) ->
    hornbeam_app_metrics:left(Worker).

push(Server, [Name, Kind0, Help, Mode0, Bounds, Series, Dropped], Max)
        when is_binary(Name), byte_size(Name) =< ?MAX_NAME, is_binary(Help), byte_size(Help) =< ?MAX_TEXT, is_list(Bounds),
             length(Bounds) =< ?MAX_BUCKETS, is_list(Series), is_integer(Dropped), Dropped >= 0 ->
    {Kind, Mode} = {kind(Kind0), mode(Mode0)},
    Numbers = case Kind of histogram -> length(Bounds) + 1; _ -> 1 end,
    case hornbeam_app_metrics:push(Server, {Name, Kind, Help, Mode, Bounds}, [series(Kind, Numbers, One) || One <- Series], Dropped, Max) of
        {ok, 0} -> ok;
        {ok, Refused} -> warn(Name, io_lib:format("has more than ~b series (metrics_max_series): ~b are refused", [Max, Refused]));
        {error, declared_otherwise} -> warn(Name, "was declared in another way by another worker, or before");
        {error, too_many} -> warn(Name, "is one too many: a server has up to 1,000")
    end.

%% Once for each Python process and metric.
warn(Name, Text) ->
    Key = {?MODULE, Name},
    case get(Key) of
        undefined ->
            put(Key, told),
            logger:warning("the metric ~ts ~ts", [Name, Text]);
        told ->
            ok
    end.

kind(<<"counter">>) -> counter;
kind(<<"gauge">>) -> gauge;
kind(<<"histogram">>) -> histogram;
kind(<<"summary">>) -> summary.

mode(<<"">>) -> none;
mode(<<"sum">>) -> sum;
mode(<<"max">>) -> max;
mode(<<"min">>) -> min;
mode(<<"last">>) -> last.

series(Kind, Numbers, [Value | Labels]) ->
    {labels(Labels), value(Kind, Numbers, Value)}.

labels([Name, Value | Rest]) when is_binary(Name), is_binary(Value), byte_size(Value) =< ?MAX_TEXT -> [{Name, Value} | labels(Rest)];
labels([]) -> [].

value(gauge, _, none) -> none;
value(gauge, _, Value) when is_number(Value) -> Value;
value(counter, _, Value) when is_number(Value), Value >= 0 -> Value;
value(Kind, Numbers, [Sum | Counts]) when Kind =/= gauge, Kind =/= counter, is_number(Sum), length(Counts) =:= Numbers ->
    true = lists:all(fun(Count) -> is_integer(Count) andalso Count >= 0 end, Counts),
    {Sum, Counts}.

sample(Name, Kind, {Suffix, Labels, Value}) ->
    [<<Name/binary, (iolist_to_binary(Suffix))/binary>>, atom_to_binary(Kind), [[iolist_to_binary(K), iolist_to_binary(V)] || {K, V} <- Labels], Value].
