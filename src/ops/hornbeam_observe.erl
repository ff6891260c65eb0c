%%% Looks at requests on their way: counts them, logs them, numbers them.
%%%
%%% Called by: Cowboy, as the stream handler in front of hornbeam_stream; hornbeam_listener (handlers/2), which puts it there only
%%% when one of metrics_bind, access_log or request_id asks for it. Without them a request does not meet this module.
%%% Calls: hornbeam_metrics, hornbeam_access_log, hornbeam_request_id; the next stream handler.
-module(hornbeam_observe).
-behaviour(cowboy_stream).

-export([handlers/2]).
-export([init/3, data/4, info/3, terminate/3, early_error/5]).

%% The client left before there was an answer (a widespread convention, not a registered status).
-define(CLIENT_GONE, 499).

-type settings() :: #{metrics := hornbeam_metrics:ref() | none, log := hornbeam_access_log:ref() | none,
                      ids := boolean()}.
-export_type([settings/0]).

-record(observed, {
    next :: {module(), term()} | undefined,
    settings :: settings(),
    req :: cowboy_req:req(),
    id :: binary() | undefined,
    name :: string() | undefined,   % the same, as logger_formatter shows text
    started :: integer(),
    status = ?CLIENT_GONE :: pos_integer(),
    received = 0 :: non_neg_integer(),
    sent = 0 :: non_neg_integer()
}).

%% @doc What a listener's protocol options need: the stream handlers to put in front, and this module's settings.
-spec handlers(Name :: atom(), Config :: map()) -> {[module()], settings()}.
handlers(Name, #{metrics_bind := MetricsBind, access_log := Log, request_id := Ids} = Config) ->
    Settings = #{metrics => case MetricsBind of [] -> none; _ -> hornbeam_metrics:ref(Name) end,
                 log => case Log of off -> none; _ -> hornbeam_access_log:ref(Name, Config) end,
                 ids => Ids},
    case Settings of
        #{metrics := none, log := none, ids := false} -> {[], Settings};
        _ -> {[?MODULE], Settings}
    end.

-spec init(cowboy_stream:streamid(), cowboy_req:req(), cowboy:opts()) -> {cowboy_stream:commands(), #observed{}}.
init(StreamId, Req0, #{observe := #{ids := Ids} = Settings} = Opts) ->
    {Id, Req} = case Ids of
        true -> hornbeam_request_id:take(Req0);
        false -> {undefined, Req0}
    end,
    State = #observed{settings = Settings, req = Req, id = Id, started = erlang:monotonic_time(),
                      name = case Id of undefined -> undefined; _ -> binary_to_list(Id) end},
    ok = name(State),
    {Commands, Next} = cowboy_stream:init(StreamId, Req, Opts),
    look(Commands, State#observed{next = Next}).

-spec data(cowboy_stream:streamid(), cowboy_stream:fin(), binary(), #observed{}) ->
    {cowboy_stream:commands(), #observed{}}.
data(StreamId, IsFin, Data, #observed{next = Next0, received = Received} = State) ->
    ok = name(State),
    {Commands, Next} = cowboy_stream:data(StreamId, IsFin, Data, Next0),
    look(Commands, State#observed{next = Next, received = Received + byte_size(Data)}).

-spec info(cowboy_stream:streamid(), term(), #observed{}) -> {cowboy_stream:commands(), #observed{}}.
info(StreamId, Info, #observed{next = Next0} = State) ->
    ok = name(State),
    {Commands, Next} = cowboy_stream:info(StreamId, Info, Next0),
    look(Commands, State#observed{next = Next}).

-spec terminate(cowboy_stream:streamid(), cowboy_stream:reason(), #observed{}) -> term().
terminate(StreamId, Reason, #observed{next = Next} = State) ->
    ok = name(State),
    Result = cowboy_stream:terminate(StreamId, Reason, Next),
    over(State),
    Result.

%% A request that never was one: no stream was begun for it.
-spec early_error(cowboy_stream:streamid(), cowboy_stream:reason(), cowboy_stream:partial_req(), Response,
                  cowboy:opts()) -> Response
    when Response :: cowboy_stream:resp_command().
early_error(StreamId, Reason, PartialReq, Response0, #{observe := Settings} = Opts) ->
    Response = cowboy_stream:early_error(StreamId, Reason, PartialReq, Response0, Opts),
    Status = element(2, Response),
    over(#observed{settings = Settings, req = PartialReq, started = erlang:monotonic_time(),
                   status = status(Status)}),
    Response.

%% So that what is logged in this process meanwhile says which request it was about.
name(#observed{name = undefined}) -> ok;
name(#observed{name = Name}) -> logger:set_process_metadata(#{request_id => Name}).

look([], State) ->
    {[], State};
look(Commands, State) ->
    lists:mapfoldl(fun command/2, State, Commands).

command({response, Status, Headers, Body}, #observed{sent = Sent} = State) ->
    {{response, Status, with_id(Headers, State), Body},
     State#observed{status = status(Status), sent = Sent + size_of(Body)}};
command({headers, Status, Headers}, State) ->
    {{headers, Status, with_id(Headers, State)}, State#observed{status = status(Status)}};
command({data, _, Data} = Command, #observed{sent = Sent} = State) ->
    {Command, State#observed{sent = Sent + size_of(Data)}};
command({error_response, Status, Headers, Body}, #observed{sent = Sent} = State) ->
    {{error_response, Status, with_id(Headers, State), Body},
     State#observed{status = status(Status), sent = Sent + size_of(Body)}};
command({switch_protocol, Headers, Module, Argument}, #observed{status = ?CLIENT_GONE} = State) ->
    {{switch_protocol, with_id(Headers, State), Module, Argument}, State#observed{status = 101}};
command(Command, State) ->
    {Command, State}.

with_id(Headers, #observed{id = undefined}) -> Headers;
with_id(Headers, #observed{id = Id}) -> hornbeam_request_id:add(Id, Headers).

status(Status) when is_integer(Status) -> Status;
status(<<Digits:3/binary, _/binary>>) -> binary_to_integer(Digits).

size_of({sendfile, _, Size, _}) -> Size;
size_of(Data) -> iolist_size(Data).

over(#observed{settings = #{metrics := Metrics, log := Log}, started = Started} = State) ->
    Duration = erlang:monotonic_time() - Started,
    #observed{status = Status, received = Received, sent = Sent, req = Req, id = Id} = State,
    _ = Metrics =:= none orelse hornbeam_metrics:observe(Metrics, Status, Duration, Received, Sent),
    _ = Log =:= none orelse hornbeam_access_log:write(Log, Req, Status, Sent, Duration, Id),
    ok.
