%%% What a server did of late: a point for each second of five minutes and for each minute of a day.
%%%
%%% Called by: hornbeam_dashboard_sup; hornbeam_dashboard_overview, hornbeam_dashboard_handler and _events (points/2, last/1). Calls: hornbeam_routes and hornbeam_metrics (what is counted
%%% as requests pass), hornbeam_connections, hornbeam_websockets, hornbeam_mounts, hornbeam_service_pools and hornbeam_pool (what is there now).
%%%
%%% A point is what lies between two readings of the counters: rates per second, and percentiles as they are estimated of a histogram, evenly spread within each
%%% bucket. Requests beyond the last bucket have its bound. What is there now is that of the end of the second, or of the minute.
%%%
%%% Limits: 300 and 1440 points, 0.3 MB. Restarted, it begins anew; who asks meanwhile hears of nothing, and a page that is open goes on.
-module(hornbeam_series).
-behaviour(gen_server).

-export([start_link/1, points/2, last/1, columns/0, percentile/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).
-export_type([span/0, point/0]).

-include("hornbeam.hrl").

-define(SECONDS, 300).
-define(MINUTES, 1440).

-type span() :: seconds | minutes.
%% In the order of columns/0. none: a percentile of no requests.
-type point() :: [number() | none].

-record(sample, {
    at :: integer(),            % ms of the system's clock
    time :: integer(),          % ms, monotonic
    requests :: non_neg_integer(),
    errors :: non_neg_integer(),
    buckets :: [non_neg_integer()],
    sent :: non_neg_integer()
}).
-record(state, {
    name :: atom(),
    last :: #sample{},          % of the last second
    minute :: #sample{},        % of the beginning of this minute
    seconds = queue:new() :: queue:queue(point()),
    minutes = queue:new() :: queue:queue(point())
}).

%% @doc What a point is made of. Times in ms of the system's clock, durations in ms; the last four are of the moment.
-spec columns() -> [atom()].
columns() -> [at, requests, errors, p50, p95, p99, bytes, connections, websockets, in_flight, waiting].

-spec start_link(Name :: atom()) -> {ok, pid()} | {error, term()}.
start_link(Name) ->
    case gen_server:start_link({local, process(Name)}, ?MODULE, Name, []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

process(Name) -> binary_to_atom(<<"hornbeam_series@", (atom_to_binary(Name))/binary>>).

%% @doc The oldest first.
-spec points(Name :: atom(), span()) -> [point()].
points(Name, Span) -> ask(Name, Span, []).

%% @doc The newest point, once there is one.
-spec last(Name :: atom()) -> {ok, point()} | none.
last(Name) -> ask(Name, last, none).

%% Without a limit of time there is one way to fail: it has just ended, and its supervisor starts the next.
ask(Name, Question, Nothing) ->
    try gen_server:call(process(Name), Question, infinity)
    catch exit:_ -> Nothing
    end.

-spec init(atom()) -> {ok, #state{}}.
init(Name) ->
    Sample = sample(Name),
    later(),
    {ok, #state{name = Name, last = Sample, minute = Sample}}.

-spec handle_call(span() | last, gen_server:from(), #state{}) -> {reply, [point()] | {ok, point()} | none, #state{}}.
handle_call(seconds, _From, #state{seconds = Seconds} = State) -> {reply, queue:to_list(Seconds), State};
handle_call(minutes, _From, #state{minutes = Minutes} = State) -> {reply, queue:to_list(Minutes), State};
handle_call(last, _From, #state{seconds = Seconds} = State) ->
    case queue:peek_r(Seconds) of
        {value, Point} -> {reply, {ok, Point}, State};
        empty -> {reply, none, State}
    end.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info(tick, #state{name = Name, last = Last, minute = Minute, seconds = Seconds, minutes = Minutes} = State) ->
    later(),
    Sample = sample(Name),
    Now = now_there(Name),
    New = State#state{last = Sample, seconds = kept(point(Last, Sample, Now), Seconds, ?SECONDS)},
    case Sample#sample.time - Minute#sample.time >= 60000 of
        true -> {noreply, New#state{minute = Sample, minutes = kept(point(Minute, Sample, Now), Minutes, ?MINUTES)}};
        false -> {noreply, New}
    end;
handle_info(_Message, State) ->
    {noreply, State}.

%% Shortly after each full second of the clock.
later() ->
    _ = erlang:send_after(1000 - erlang:system_time(millisecond) rem 1000, self(), tick),
    ok.

kept(Point, Queue, Max) ->
    case queue:len(Queue) >= Max of
        true -> queue:in(Point, queue:drop(Queue));
        false -> queue:in(Point, Queue)
    end.

sample(Name) ->
    Rows = hornbeam_routes:classes(Name),
    Sum = fun(Key) -> lists:sum([maps:get(Key, Row) || {_, Row} <- Rows]) end,
    [First | Rest] = [Buckets || {_, #{buckets := Buckets}} <- Rows],
    #sample{at = erlang:system_time(millisecond), time = erlang:monotonic_time(millisecond), requests = Sum(requests),
            errors = lists:sum([Requests || {<<"5xx">>, #{requests := Requests}} <- Rows]), sent = Sum(sent),
            buckets = lists:foldl(fun(Buckets, Acc) -> lists:zipwith(fun erlang:'+'/2, Buckets, Acc) end, First, Rest)}.

now_there(Name) ->
    Stats = [hornbeam_pool:stats(Pool) || #mount{pool = Pool} <- hornbeam_mounts:all(Name) ++ hornbeam_service_pools:all(Name)],
    #{open := WebSockets} = hornbeam_websockets:stats(Name),
    [hornbeam_connections:count(Name), WebSockets, lists:sum([N || #{in_flight := N} <- Stats]), lists:sum([N || #{waiting := N} <- Stats])].

point(#sample{time = Before} = A, #sample{time = After} = B, Now) ->
    Seconds = max(1, After - Before) / 1000,
    Rate = fun(Field) -> (element(Field, B) - element(Field, A)) / Seconds end,
    Counts = {B#sample.requests - A#sample.requests, lists:zipwith(fun erlang:'-'/2, B#sample.buckets, A#sample.buckets)},
    [B#sample.at, Rate(#sample.requests), Rate(#sample.errors)]
    ++ [percentile(Part, Counts) || Part <- [0.5, 0.95, 0.99]] ++ [Rate(#sample.sent) | Now].

%% @doc How long that part of the requests took at most, in ms. Buckets are cumulative, without the one for infinity. A reading is not one moment: a request may
%% be in a bucket and not yet in the number of all.
-spec percentile(Part :: float(), {Requests :: integer(), Buckets :: [integer()]}) -> float() | none.
percentile(Part, {Requests, Buckets}) ->
    case hornbeam_metrics:ranked(Part * Requests, Buckets, Requests) of
        none -> none;
        more -> lists:last(hornbeam_metrics:bounds()) / 1000;
        Microseconds -> Microseconds / 1000
    end.
