%%% Looks at requests on their way: counts them, logs them, numbers them, traces them, tells them to those who follow.
%%%
%%% Called by: hornbeam_exchange, as its observer, in the connection's process; hornbeam_listener (observer/2), which names it only when one
%%% of metrics_bind, dashboard_bind, access_log, request_id or trace asks for it; hornbeam_follow_command (observer/3), while somebody follows; hornbeam_websockets (websocket_ended/1), in its process. Without them a request does not meet this module. Calls: hornbeam_metrics,
%%% hornbeam_routes, hornbeam_websocket_handshake (watched/2), hornbeam_access_log, hornbeam_request_id, hornbeam_error_page, hornbeam_follow, hornbeam_trace (where there are traces).
%%%
%%% What is kept of a request are two records (hornbeam_observed.hrl): the second from the first thing on that happens to it but to be placed and answered. A worker that was told to measure (hornbeam_options:measures/1) says with its answer how long
%%% the application took and which route it was.
-module(hornbeam_observe).
-behaviour(hornbeam_websockets).

-export([observer/2, observer/3]).
-export([opened/2, received/2, happened/2, sends/2, whole/3, over/2, websocket_ended/1]).
-export_type([settings/0]).

-include("hornbeam.hrl").
-include("hornbeam_head.hrl").
-include("hornbeam_observer.hrl").
-include("hornbeam_observed.hrl").

%% The client left before there was an answer (a widespread convention, not a registered status).
-define(CLIENT_GONE, 499).

%% Of most requests there is nothing to keep between their beginning and their end.
-type seen() :: #begun{} | #observed{}.
-record(settings, {
    metrics :: {hornbeam_metrics:ref(), hornbeam_routes:where()} | none,
    log :: hornbeam_access_log:ref() | none,
    ids :: boolean(),
    trace :: none | hornbeam_trace:settings(),
    follow :: hornbeam_follow:watch(),
    error_page :: plain | id
}).
-opaque settings() :: #settings{}.

%% Of a request's path through here little is in the caches: few places count more than few instructions.
-compile({inline, [observed/1, is_sampled/1, is_told/1, counted/5, named/2, size_of/1, microseconds/1]}).

%% @doc For a listener's connections.
-spec observer(Name :: atom(), Config :: map()) -> hornbeam_exchange:observer().
observer(Name, Config) -> observer(Name, Config, false).

%% @doc Followed: there is one in any case.
-spec observer(Name :: atom(), Config :: map(), Followed :: boolean()) -> hornbeam_exchange:observer().
observer(_Name, #{metrics_bind := [], dashboard_bind := [], access_log := off, request_id := false, trace := false}, false) ->
    none;
observer(Name, #{metrics_bind := MetricsBind, dashboard_bind := Dashboard, metrics_max_routes := MaxRoutes, access_log := Log, request_id := Ids, error_page := Page} = Config, _Followed) ->
    {#observer{opened = fun ?MODULE:opened/2, received = fun ?MODULE:received/2, happened = fun ?MODULE:happened/2,
               sends = fun ?MODULE:sends/2, whole = fun ?MODULE:whole/3, over = fun ?MODULE:over/2},
     #settings{metrics = case MetricsBind ++ Dashboard of [] -> none; _ -> {hornbeam_metrics:ref(Name), {Name, MaxRoutes}} end,
               log = case Log of off -> none; _ -> hornbeam_access_log:ref(Name, Config) end,
               ids = Ids, trace = trace(Name, Config), follow = hornbeam_follow:watch(Name), error_page = Page}}.

%% Not loaded where there are none.
trace(_Name, #{trace := false}) -> none;
trace(Name, Config) -> hornbeam_trace:settings(Name, Config).

-spec opened(#head{}, settings()) -> {#head{}, #begun{}}.
opened(Head0, #settings{ids = Ids, trace = Traces} = Settings) ->
    Started = os:perf_counter(),
    {Id, Head1} = case Ids of
        true -> hornbeam_request_id:take(Head0);
        false -> {undefined, Head0}
    end,
    {Head, Trace} = case Traces of
        none -> {Head1, none};
        _ -> hornbeam_trace:open(Head1, Traces)
    end,
    ok = name(Id, Trace),
    {Head, #begun{settings = Settings, head = Head, id = Id, trace = Trace, started = Started}}.

observed(#begun{} = Begun) -> #observed{begun = Begun, status = ?CLIENT_GONE};
observed(Observed) -> Observed.

-spec received(non_neg_integer(), seen()) -> #observed{}.
received(Size, Seen) ->
    #observed{received = Received} = Observed = observed(Seen),
    Observed#observed{received = Received + Size}.

-spec happened(waits | placed | {answers, {non_neg_integer(), binary(), boolean()} | none}, seen()) -> seen().
happened(waits, Seen) ->
    (observed(Seen))#observed{waits = os:perf_counter()};
happened(placed, #begun{trace = Trace} = Begun) ->
    %% Who has not waited was placed as it came, unless somebody will see how soon: to read the clock costs as much as all of the counting.
    case is_sampled(Trace) of
        true -> (observed(Begun))#observed{placed = os:perf_counter()};
        false -> Begun
    end;
happened(placed, #observed{waits = undefined} = Observed) ->
    Observed#observed{placed = os:perf_counter()};
happened(placed, #observed{waits = Since, queued = Before} = Observed) ->
    Now = os:perf_counter(),
    Observed#observed{placed = Now, waits = undefined, queued = Before + Now - Since};
happened({answers, {Python, Route, true}}, Seen) ->
    (observed(Seen))#observed{python = Python, route = Route, answers = over};
happened({answers, {Python, Route, false}}, Seen) ->
    %% The response may go on for long, and what was read with it should not.
    (observed(Seen))#observed{python = Python, route = binary:copy(Route), answers = os:perf_counter()};
happened({answers, none}, Seen) ->
    Seen.

-spec sends(hornbeam_exchange:command(), seen()) -> {hornbeam_exchange:command(), #observed{}}.
sends(Command, #begun{} = Begun) ->
    sends(Command, observed(Begun));
sends({reply, Status, Headers, Length0, Body0}, #observed{begun = Begun, sent = Sent} = Observed) ->
    {Length, Body} = page(Status, Length0, Body0, Begun),
    {{reply, Status, named(Headers, Begun), Length, Body}, Observed#observed{status = Status, sent = Sent + size_of(Body)}};
sends({start, Status, Headers, Length}, #observed{begun = Begun} = Observed) ->
    {{start, Status, named(Headers, Begun), Length}, Observed#observed{status = Status}};
sends({data, _, Data} = Command, #observed{sent = Sent} = Observed) ->
    {Command, Observed#observed{sent = Sent + size_of(Data)}};
sends({upgrade, Accepted}, #observed{begun = #begun{head = #head{version = Version}}} = Observed) ->
    {{upgrade, hornbeam_websocket_handshake:watched(watch(Observed), Accepted)}, Observed#observed{status = case Version of 'HTTP/2' -> 200; _ -> 101 end}}.

%% How long it is open counts for its route.
watch(#observed{begun = #begun{settings = #settings{metrics = none}}}) -> none;
watch(#observed{begun = #begun{settings = #settings{metrics = {_, Where}}}, route = Route}) ->
    {?MODULE, {Where, binary:copy(Route), erlang:monotonic_time()}}.

-spec websocket_ended({hornbeam_routes:where(), Route :: binary(), Since :: integer()}) -> ok.
websocket_ended({Where, Route, Since}) ->
    hornbeam_routes:websocket(Where, Route, erlang:convert_time_unit(erlang:monotonic_time() - Since, native, microsecond)).

page(Status, Length, Body, #begun{settings = #settings{error_page = id}, id = Id}) when Status >= 400 ->
    hornbeam_error_page:with_id(Status, Length, Body, Id);
page(_Status, Length, Body, _Begun) ->
    {Length, Body}.

%% So that what is logged in this process meanwhile says which request it was about.
name(undefined, none) -> ok;
name(Id, none) -> logger:set_process_metadata(#{request_id => binary_to_list(Id)});
name(undefined, Trace) -> logger:set_process_metadata(hornbeam_trace:metadata(Trace));
name(Id, Trace) -> logger:set_process_metadata((hornbeam_trace:metadata(Trace))#{request_id => binary_to_list(Id)}).

named(Headers, #begun{id = undefined, trace = none}) -> Headers;
named(Headers, #begun{id = Id, trace = none}) -> hornbeam_request_id:add(Id, Headers);
named(Headers, #begun{id = undefined, trace = Trace, settings = #settings{trace = Traces}}) -> hornbeam_trace:respond(Headers, Trace, Traces);
named(Headers, #begun{id = Id, trace = Trace, settings = #settings{trace = Traces}}) -> hornbeam_trace:respond(hornbeam_request_id:add(Id, Headers), Trace, Traces).

size_of({sendfile, Size, _}) -> Size;
size_of(Data) -> iolist_size(Data).

%% @doc A response in one piece, and with it the request is over: what `answers', sends/2 and over/2 would do one after the other.
-spec whole({non_neg_integer(), Route :: binary(), boolean()} | none, Reply, seen()) -> Reply when Reply :: hornbeam_exchange:command().
whole({Python, Route, true}, {reply, Status, Headers, Length, Body} = Reply, #begun{settings = #settings{log = none}} = Begun) when Status < 400 ->
    case is_told(Begun) of
        true ->
            in_steps({Python, Route, true}, Reply, Begun);
        false ->
            ok = counted(Python, Route, Status, Body, Begun),
            {reply, Status, named(Headers, Begun), Length, Body}
    end;
whole(Measured, Reply, Seen) ->
    in_steps(Measured, Reply, Seen).

in_steps(Measured, Reply0, Seen) ->
    {Reply, Observed} = sends(Reply0, happened({answers, Measured}, Seen)),
    ok = over(true, Observed),
    Reply.

is_told(#begun{trace = Trace, settings = #settings{follow = Watch}}) -> is_sampled(Trace) orelse hornbeam_follow:is_followed(Watch).

is_sampled(none) -> false;
is_sampled(Trace) -> hornbeam_trace:is_sampled(Trace).

%% Nearly all: without a wait and a body, and nobody wants more than its figures.
counted(_Python, _Route, _Status, _Body, #begun{settings = #settings{metrics = none}}) ->
    ok;
counted(Python0, Route, Status, Body, #begun{settings = #settings{metrics = {_, Where}}, started = Started, head = #head{method = Method}}) ->
    Duration = microseconds(os:perf_counter() - Started),
    Python = min(Python0, Duration),
    hornbeam_routes:observe(Where, {Method, Route}, Status, {0, Python, Duration - Python, 0, size_of(Body)}, none).

%% @doc The request is over. Placed: it was on a worker, as far as that was not told.
-spec over(Placed :: boolean(), seen()) -> ok.
over(Placed, #begun{started = Started} = Begun) ->
    over(Placed, (observed(Begun))#observed{placed = case Placed of true -> Started; false -> undefined end});
over(true, #observed{placed = undefined, waits = undefined, begun = #begun{started = Started}} = Observed) ->
    over(true, Observed#observed{placed = Started});
over(_Placed, #observed{begun = #begun{settings = #settings{metrics = Metrics, log = Log, follow = Watch, trace = Traces}, started = Started, trace = Trace}} = Observed) ->
    Now = os:perf_counter(),
    _ = Metrics =:= none orelse measured(Metrics, Now, Observed),
    _ = Log =:= none orelse logged(Log, erlang:convert_time_unit(Now - Started, perf_counter, native), Observed),
    _ = is_sampled(Trace) andalso hornbeam_trace:ended(hornbeam_observed:facts(Now, Observed), Trace, Traces),
    _ = hornbeam_follow:is_followed(Watch) andalso hornbeam_follow:ended(Watch, hornbeam_observed:ended(Now, ids(Trace), Observed)),
    ok.

logged(Log, Duration, #observed{status = Status, sent = Sent, begun = #begun{head = Head, id = Id, trace = Trace}}) ->
    hornbeam_access_log:write(Log, Head, Status, Sent, Duration, {Id, ids(Trace)}).

ids(none) -> none;
ids(Trace) -> hornbeam_trace:ids(Trace).

measured({Ref, Where}, Now, #observed{begun = #begun{started = Started, head = Head}, status = Status, received = Received, sent = Sent, route = Route} = Observed) ->
    Duration = microseconds(Now - Started),
    Queue = queue(Ref, Now, Observed),
    Python = min(python(Now, Observed), Duration - Queue),
    hornbeam_routes:observe(Where, {Head#head.method, Route}, Status, {Queue, Python, Duration - Queue - Python, Received, Sent}, exemplar(Observed)).

%% It may have waited in vain.
queue(_Ref, _Now, #observed{waits = undefined, queued = 0}) -> 0;
queue(Ref, _Now, #observed{waits = undefined, queued = Queued}) -> hornbeam_metrics:waited(Ref, microseconds(Queued));
queue(Ref, Now, #observed{waits = Since, queued = Queued}) -> hornbeam_metrics:waited(Ref, microseconds(Queued + Now - Since)).

%% Of a response that goes on, all that follows its beginning is Python's. So is what was given to a worker that has said nothing.
python(_Now, #observed{placed = undefined}) -> 0;
python(_Now, #observed{answers = over, python = Python}) -> Python;
python(Now, #observed{answers = undefined, placed = Placed}) -> microseconds(Now - Placed);
python(Now, #observed{answers = Since, python = Python}) -> Python + microseconds(Now - Since).

%% The id of its trace, where that is kept.
exemplar(#observed{begun = #begun{trace = none}}) -> none;
exemplar(#observed{begun = #begun{trace = Trace}}) -> hornbeam_trace:sampled_id(Trace).

microseconds(Time) ->
    erlang:convert_time_unit(Time, perf_counter, microsecond).
