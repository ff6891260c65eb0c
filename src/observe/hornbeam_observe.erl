%%% Looks at requests on their way: counts them, logs them, numbers them.
%%%
%%% Called by: hornbeam_exchange, as its observer, in the connection's process; hornbeam_listener (observer/2), which names it only when one
%%% of metrics_bind, dashboard_bind, access_log or request_id asks for it. Without them a request does not meet this module. Calls: hornbeam_metrics,
%%% hornbeam_access_log, hornbeam_request_id.
-module(hornbeam_observe).
-behaviour(hornbeam_exchange).

-export([observer/2]).
-export([opened/2, received/2, sends/2, over/1]).

-include("hornbeam_head.hrl").

%% The client left before there was an answer (a widespread convention, not a registered status).
-define(CLIENT_GONE, 499).

-type settings() :: #{metrics := hornbeam_metrics:ref() | none, log := hornbeam_access_log:ref() | none,
                      ids := boolean()}.

-record(observed, {
    settings :: settings(),
    head :: #head{},
    id :: binary() | undefined,
    started :: integer(),
    status = ?CLIENT_GONE :: pos_integer(),
    received = 0 :: non_neg_integer(),
    sent = 0 :: non_neg_integer()
}).

%% @doc For a listener's connections.
-spec observer(Name :: atom(), Config :: map()) -> none | {module(), settings()}.
observer(Name, #{metrics_bind := MetricsBind, dashboard_bind := Dashboard, access_log := Log, request_id := Ids} = Config) ->
    Settings = #{metrics => case MetricsBind ++ Dashboard of [] -> none; _ -> hornbeam_metrics:ref(Name) end,
                 log => case Log of off -> none; _ -> hornbeam_access_log:ref(Name, Config) end,
                 ids => Ids},
    case Settings of
        #{metrics := none, log := none, ids := false} -> none;
        _ -> {?MODULE, Settings}
    end.

-spec opened(#head{}, settings()) -> {#head{}, #observed{}}.
opened(Head0, #{ids := Ids} = Settings) ->
    {Id, Head} = case Ids of
        true -> hornbeam_request_id:take(Head0);
        false -> {undefined, Head0}
    end,
    ok = name(Id),
    {Head, #observed{settings = Settings, head = Head, id = Id, started = erlang:monotonic_time()}}.

-spec received(non_neg_integer(), #observed{}) -> #observed{}.
received(Size, #observed{received = Received} = Observed) ->
    Observed#observed{received = Received + Size}.

-spec sends(hornbeam_exchange:command(), #observed{}) -> {hornbeam_exchange:command(), #observed{}}.
sends({reply, Status, Headers, Length, Body}, #observed{sent = Sent} = Observed) ->
    {{reply, Status, with_id(Headers, Observed), Length, Body}, Observed#observed{status = Status, sent = Sent + size_of(Body)}};
sends({start, Status, Headers, Length}, Observed) ->
    {{start, Status, with_id(Headers, Observed), Length}, Observed#observed{status = Status}};
sends({data, _, Data} = Command, #observed{sent = Sent} = Observed) ->
    {Command, Observed#observed{sent = Sent + size_of(Data)}};
sends({upgrade, _} = Command, #observed{head = #head{version = Version}} = Observed) ->
    {Command, Observed#observed{status = case Version of 'HTTP/2' -> 200; _ -> 101 end}};
sends(Command, Observed) ->
    {Command, Observed}.

%% So that what is logged in this process meanwhile says which request it was about.
name(undefined) -> ok;
name(Id) -> logger:set_process_metadata(#{request_id => binary_to_list(Id)}).

with_id(Headers, #observed{id = undefined}) -> Headers;
with_id(Headers, #observed{id = Id}) -> hornbeam_request_id:add(Id, Headers).

size_of({sendfile, Size, _}) -> Size;
size_of(Data) -> iolist_size(Data).

-spec over(#observed{}) -> ok.
over(#observed{settings = #{metrics := Metrics, log := Log}, started = Started} = Observed) ->
    Duration = erlang:monotonic_time() - Started,
    #observed{status = Status, received = Received, sent = Sent, head = Head, id = Id} = Observed,
    _ = Metrics =:= none orelse hornbeam_metrics:observe(Metrics, Status, Duration, Received, Sent),
    _ = Log =:= none orelse hornbeam_access_log:write(Log, Head, Status, Sent, Duration, Id),
    ok.
