%%% The figures of a server's routes: how often, how long, with what status; by the templates that frameworks give them.
%%%
%%% Called by: hornbeam_observe (observe/5, in the connection's process; websocket/3), hornbeam_metrics_text, hornbeam_series, hornbeam_figures and whoever shows them
%%% (read/1, classes/1, exemplars/1, websockets/1), hornbeam_server_remains (forget/1). Calls: hornbeam_metrics (bounds of the buckets).
%%%
%%% Rows of one ETS table (hornbeam_tables owns it), one for each template, method and class of status that there was:
%%%
%%%     {{Server, Method, Route, Class}, Counters, Slowest}
%%%     Counters: waiting (us) | in Python (us) | the rest (us) | bytes received | bytes sent | bucket 1 | ... | longer
%%%     Slowest: us | when (ms)
%%%     {{route, Server, Route}}                 one for each template; their number is {{routes, Server}, Count}
%%%     {{exemplar, Server, Method, Route, Class, Bucket}, TraceId, Microseconds, Time (ms)}    the last one that was traced
%%%
%%%     {{websocket, Server, Route}, Counters}   of WebSockets that have ended: how many, us that they were open, bucket 1 | ... (?OPEN)
%%% Each counter only grows, and what is shown is sums of them: of a row how many requests and how long, of a class what its rows have. So a request
%%% is four additions, without a lock; `write_concurrency' gives each scheduler a copy.
%%%
%%% The process of a connection remembers its last row, in its dictionary: requests of one connection are often alike, and a look into the table is most of
%%% what counting costs. It remembers as well how slow the slowest was when it looked: that only grows.
%%%
%%% Bounds: metrics_max_routes templates; those beyond are one, "other". A method that HTTP does not name is "OTHER".
-module(hornbeam_routes).

-export([observe/5, websocket/3, read/1, classes/1, websockets/1, open_bounds/0, exemplars/1, forget/1]).
-export_type([row/0, where/0, class_row/0, spent/0]).

-type where() :: {Server :: atom(), MaxRoutes :: pos_integer()}.
-type row() :: #{route := binary(), method := binary(), status := hornbeam_metrics:class(), count := non_neg_integer(),
                 microseconds := non_neg_integer(), python_us := non_neg_integer(), buckets := [non_neg_integer()],
                 slowest_us := non_neg_integer(), last_slow_at := Milliseconds :: non_neg_integer()}.
-type class_row() :: #{requests := non_neg_integer(), microseconds := non_neg_integer(), queue_us := non_neg_integer(), python_us := non_neg_integer(),
                       server_us := non_neg_integer(), received := non_neg_integer(), sent := non_neg_integer(), buckets := [non_neg_integer()]}.
%% us of a request: waiting for a worker, in Python, the rest; bytes of the bodies.
-type spent() :: {Queue :: non_neg_integer(), Python :: non_neg_integer(), Rest :: non_neg_integer(), Received :: non_neg_integer(), Sent :: non_neg_integer()}.

-define(TABLE, ?MODULE).
-define(OTHER, <<"other">>).
-define(BUCKETS, 13).
%% Upper bounds of how long WebSockets are open, in seconds: they stay longer than requests take.
-define(OPEN, [1, 10, 60, 600, 3600, 21600, 86400]).
-compile({inline, [add/3, number/1, remembered/4]}).

%% Of the counters: before the buckets; all.
-define(SUMS, 5).
-define(ALL, (?SUMS + ?BUCKETS + 1)).

%% @doc A request is over. Exemplar: the id of its trace, if it is kept.
-spec observe(where(), {Method :: binary(), Route :: binary()}, Status :: pos_integer(), spent(), Exemplar :: binary() | none) -> ok.
observe(Where, {Method, Route}, Status, {Queue, Python, Rest, Received, Sent}, Exemplar) ->
    {{Key, Counters, Slowest} = Row, Known} = remembered(Where, Method, Route, min(5, max(1, Status div 100))),
    Microseconds = Queue + Python + Rest,
    Bucket = hornbeam_metrics:bucket(Microseconds),
    counters:add(Counters, ?SUMS + number(Bucket), 1),
    add(Counters, 1, Queue),
    add(Counters, 2, Python),
    add(Counters, 3, Rest),
    add(Counters, 4, Received),
    add(Counters, 5, Sent),
    _ = Microseconds =< Known orelse put(?MODULE, {Row, slowest(Microseconds, atomics:get(Slowest, 1), Slowest)}),
    _ = Exemplar =:= none orelse exemplar(Key, Bucket, Exemplar, Microseconds),
    ok.

add(_Counters, _Number, 0) -> ok;
add(Counters, Number, More) -> counters:add(Counters, Number, More).

number(none) -> ?BUCKETS + 1;
number(Bucket) -> Bucket.

exemplar({Server, Method, Route, Class}, Bucket, Trace, Microseconds) ->
    ets:insert(?TABLE, {{exemplar, Server, Method, Route, Class, Bucket}, Trace, Microseconds, erlang:system_time(millisecond)}).

%% @doc A WebSocket has ended that was open for so long.
-spec websocket(where(), Route :: binary(), Microseconds :: non_neg_integer()) -> ok.
websocket({Server, _} = Where, Route, Microseconds) ->
    Key = {websocket, Server, admitted(Where, Route)},
    _ = ets:member(?TABLE, Key) orelse ets:insert_new(?TABLE, {Key, counters:new(2 + length(?OPEN), [])}),
    Counters = ets:lookup_element(?TABLE, Key, 2),
    counters:add(Counters, 1, 1),
    counters:add(Counters, 2, Microseconds),
    case [Number || {Number, Bound} <- lists:enumerate(?OPEN), Microseconds =< Bound * 1000000] of
        [Number | _] -> counters:add(Counters, 2 + Number, 1);
        [] -> ok
    end.

slowest(Microseconds, Before, Slowest) when Microseconds > Before ->
    case atomics:compare_exchange(Slowest, 1, Before, Microseconds) of
        ok ->
            atomics:put(Slowest, 2, erlang:system_time(millisecond)),
            Microseconds;
        Now ->
            slowest(Microseconds, Now, Slowest)
    end;
slowest(_Microseconds, Before, _Slowest) ->
    Before.

%% The row, and how long the slowest of it took at least.
remembered({Server, _} = Where, Method, Route, Class) ->
    case get(?MODULE) of
        {{{Server, Method, Route, Class}, _, _}, _} = Remembered -> Remembered;
        _ ->
            {_, _, Slowest} = Row = row(Where, method(Method), Route, Class),
            Remembered = {Row, atomics:get(Slowest, 1)},
            put(?MODULE, Remembered),
            Remembered
    end.

row({Server, _} = Where, Method, Route, Class) ->
    case ets:lookup(?TABLE, {Server, Method, Route, Class}) of
        [Row] -> Row;
        [] -> new_row(Server, Method, admitted(Where, Route), Class)
    end.

%% Two may make it at once: the second takes that of the first.
new_row(Server, Method, Route, Class) ->
    Key = {Server, Method, Route, Class},
    case ets:lookup(?TABLE, Key) of
        [Row] ->
            Row;
        [] ->
            _ = ets:insert_new(?TABLE, {Key, counters:new(?ALL, [write_concurrency]), atomics:new(2, [{signed, false}])}),
            new_row(Server, Method, Route, Class)
    end.

%% The table's name for it: its own as long as there are few.
admitted(_Where, <<>>) ->
    <<>>;
admitted({Server, Max}, Route) ->
    Marker = {route, Server, Route},
    case ets:member(?TABLE, Marker) of
        true ->
            Route;
        false ->
            Number = {routes, Server},
            case ets:update_counter(?TABLE, Number, {2, 1}, {Number, 0}) of
                Count when Count =< Max ->
                    %% Another may have been there first, with the same one.
                    _ = ets:insert_new(?TABLE, {Marker}) orelse ets:update_counter(?TABLE, Number, {2, -1}),
                    Route;
                _ ->
                    _ = ets:update_counter(?TABLE, Number, {2, -1}),
                    ?OTHER
            end
    end.

method(Method) when Method =:= <<"GET">>; Method =:= <<"POST">>; Method =:= <<"PUT">>; Method =:= <<"PATCH">>; Method =:= <<"DELETE">>;
                    Method =:= <<"HEAD">>; Method =:= <<"OPTIONS">>; Method =:= <<"CONNECT">>; Method =:= <<"TRACE">>; Method =:= <<>> -> Method;
method(_Method) -> <<"OTHER">>.

%% @doc All rows of a server; `buckets' are cumulative, without the one for infinity. Route: empty for requests without a template.
-spec read(Server :: atom()) -> [row()].
read(Server) ->
    [maps:merge(maps:with([microseconds, python_us, buckets], Sums),
                #{route => Route, method => Method, status => class(Class), count => Count,
                  slowest_us => atomics:get(Slowest, 1), last_slow_at => atomics:get(Slowest, 2)})
     || {{_, Method, Route, Class}, Counters, Slowest} <- lists:sort(rows(Server)),
        #{requests := Count} = Sums <- [sums(values(Counters))]].

rows(Server) -> ets:match_object(?TABLE, {{Server, '_', '_', '_'}, '_', '_'}).

values(Counters) -> [counters:get(Counters, N) || N <- lists:seq(1, ?ALL)].

-spec sums([non_neg_integer()]) -> class_row().
sums([Queue, Python, Rest, Received, Sent | Buckets]) ->
    #{requests => lists:sum(Buckets), microseconds => Queue + Python + Rest, queue_us => Queue, python_us => Python, server_us => Rest, received => Received, sent => Sent,
      buckets => hornbeam_metrics:cumulative(lists:droplast(Buckets))}.

%% @doc The sums of all rows by class of status, each class in order; `buckets' as those of rows.
-spec classes(Server :: atom()) -> [{hornbeam_metrics:class(), class_row()}].
classes(Server) ->
    Rows = [{Class, values(Counters)} || {{_, _, _, Class}, Counters, _} <- rows(Server)],
    Add = fun(Values, Sums) -> lists:zipwith(fun erlang:'+'/2, Values, Sums) end,
    [{class(Class), sums(lists:foldl(Add, lists:duplicate(?ALL, 0), [Values || {Of, Values} <- Rows, Of =:= Class]))} || Class <- lists:seq(1, 5)].

%% @doc By method, route, class and number of the bucket (`none': beyond the last): {TraceId, Microseconds, Milliseconds of the day}.
-spec exemplars(Server :: atom()) -> #{{binary(), binary(), hornbeam_metrics:class(), pos_integer() | none} => {binary(), non_neg_integer(), integer()}}.
exemplars(Server) ->
    Rows = ets:match_object(?TABLE, {{exemplar, Server, '_', '_', '_', '_'}, '_', '_', '_'}),
    maps:from_list([{{Method, Route, class(Class), Bucket}, {Trace, Microseconds, Time}}
                    || {{_, _, Method, Route, Class, Bucket}, Trace, Microseconds, Time} <- Rows]).

%% @doc Of WebSockets that have ended, by route: how many, for how long they were open, cumulative buckets.
-spec websockets(Server :: atom()) -> [{Route :: binary(), Count :: non_neg_integer(), Microseconds :: non_neg_integer(), [non_neg_integer()]}].
websockets(Server) ->
    [{Route, counters:get(Counters, 1), counters:get(Counters, 2),
      hornbeam_metrics:cumulative([counters:get(Counters, 2 + Number) || Number <- lists:seq(1, length(?OPEN))])}
     || {{websocket, _, Route}, Counters} <- lists:sort(ets:match_object(?TABLE, {{websocket, Server, '_'}, '_'}))].

%% @doc Of these buckets, in microseconds.
-spec open_bounds() -> [pos_integer()].
open_bounds() -> [Seconds * 1000000 || Seconds <- ?OPEN].

class(Number) -> <<($0 + Number), "xx">>.

-spec forget(Server :: atom()) -> ok.
forget(Server) ->
    true = ets:match_delete(?TABLE, {{Server, '_', '_', '_'}, '_', '_'}),
    true = ets:match_delete(?TABLE, {{exemplar, Server, '_', '_', '_', '_'}, '_', '_', '_'}),
    true = ets:match_delete(?TABLE, {{route, Server, '_'}}),
    true = ets:match_delete(?TABLE, {{websocket, Server, '_'}, '_'}),
    true = ets:delete(?TABLE, {routes, Server}),
    ok.
