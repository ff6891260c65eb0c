%%% A topic of channels as a stream of server-sent events (HTML, 9.2): GET /events/TOPIC, for a browser's EventSource.
%%%
%%% Called by: hornbeam_exchange, which takes it for the worker of the request (checkout/3): a process for each stream, that gets what hornbeam_worker would get and
%%% says what a Python process would say, so all that holds for responses holds here: credit, hooks, logs, both versions of HTTP. Calls: hornbeam_channel_python
%%% (whether the client may: once), hornbeam_websocket_fanout (what comes), hornbeam_history (what it has missed), hornbeam_websockets (it counts as one).
%%%
%%%     asking ──ok──▶ streaming ──the client has gone; the server stops; too slow (websocket_slow_consumer = close)──▶ over
%%%        └──refused: 403, 404, 405, 500 or 503, with the reason as JSON──▶ over
%%%
%%%     id: Mfoo-17          of a topic with a history; the browser sends the last one as Last-Event-ID when it comes back; ?last_event_id= at first
%%%     event: shout         the event's name
%%%     data: {"by":"ada"}   its payload, as JSON; of a binary message its bytes in base64
%%%
%%% What a channel intercepts is for each of its clients another message, which only its handler makes: streams get none of these events.
%%%
%%% Failure: whoever waits for an answer does not monitor this process; so what fails in it is caught, and said as the end of a worker is.
%%%
%%% Limits: websocket_max_connections; a window of the response is on its way to the client, ?MAX_WAITING bytes of what comes wait behind it, then
%%% websocket_slow_consumer (but a stream with ids ends: its client comes back and gets the rest). What was missed waits here as references. Every events_heartbeat ms a comment
%%% keeps proxies from ending it. A hibernated process while nothing comes.
-module(hornbeam_channel_events).

-export([checkout/3]).
-export([init/3, loop/1]).

-include("hornbeam.hrl").
-include("hornbeam_head.hrl").

%% How long a browser waits before it comes back.
-define(RETRY, 2000).
-define(IDLE, 1000).
-define(MAX_WAITING, 1048576).
-define(UNMATCHED, <<"unmatched topic">>).

-type message() :: {Id :: binary() | none, Event :: binary(), hornbeam_channel_codec:payload()}.
-record(stream, {
    server :: atom(),
    settings :: map(),
    owner :: hornbeam_pool:owner(),
    request :: map(),
    topic :: binary(),
    last_id :: binary() | none,
    hidden = [] :: [Event :: binary()],                         % that the channel intercepts
    call = none :: none | hornbeam_invocation:invocation(),
    topics = hornbeam_websocket_fanout:none() :: hornbeam_websocket_fanout:subscriptions(),
    uncredited = 0 :: non_neg_integer(),
    waiting = queue:new() :: queue:queue(message() | {live, message()}),
    behind = 0 :: non_neg_integer(),                            % bytes of what waits and was not missed
    enters = false :: boolean()
}).

%% @doc A stream's process, as the worker of a request. Topic: what the path has behind that of the streams, percent-encoded.
-spec checkout(Topic :: binary(), #head{}, Server :: atom()) -> hornbeam_pool_choice:taken().
checkout(Topic, Head, Server) ->
    {ok, Pid} = hornbeam_call_sup:start_call(fun() -> init(Server, Topic, request(Head)) end),
    Counters = atomics:new(?SLOT_SIZE, []),
    {ok, #slot{worker = Pid, counters = Counters}, 1, 1}.

request(#head{method = Method, path = Path, query = Query, fields = Fields, peer = Peer, scheme = Scheme}) ->
    #{method => Method, path => Path, query => Query, fields => Fields, peer => Peer, scheme => Scheme}.

-spec init(Server :: atom(), Topic :: binary(), Request :: map()) -> ok.
init(Server, Topic, #{query := Query, fields := Fields} = Request) ->
    {ok, #{channel_timeout := Timeout} = Settings} = hornbeam_servers:config(Server),
    receive
        {open, 1, {Pid, _} = Owner, _Frame} ->
            _ = monitor(process, Pid),
            self() ! open,
            loop(#stream{server = Server, settings = Settings, owner = Owner, request = Request,
                         topic = hornbeam_scope:decode_path(Topic), last_id = last_id(Query, Fields)})
    after Timeout ->
        ok
    end.

%% What the browser says when it comes back is newer than what the page said at first.
last_id(Query, Fields) ->
    case hornbeam_headers:find(<<"last-event-id">>, Fields) of
        {ok, Id} -> utf8(Id);
        error ->
            case [Value || <<"last_event_id=", Value/binary>> <- binary:split(Query, <<"&">>, [global])] of
                [Id | _] -> hornbeam_scope:decode_path(Id);
                [] -> none
            end
    end.

utf8(Id) ->
    case unicode:characters_to_binary(Id) of
        Id -> Id;
        _ -> unicode:characters_to_binary(Id, latin1)
    end.

about(#{path := Path, query := Query, fields := Fields, peer := Peer, scheme := Scheme}) ->
    #{path => Path, query => Query, headers => [[{bytes, Name}, {bytes, Value}] || {Name, Value} <- Fields], client => client(Peer), scheme => Scheme}.

client({Ip, Port}) when is_tuple(Ip) -> [list_to_binary(inet:ntoa(Ip)), Port];
client(_) -> none.

%%% The loop

-spec loop(#stream{}) -> ok.
loop(Stream) ->
    receive
        Message ->
            case handled(Message, Stream) of
                #stream{} = Next -> loop(Next);
                over -> over(Stream)
            end
    after ?IDLE ->
        case Stream#stream.enters of
            true -> proc_lib:hibernate(?MODULE, loop, [Stream]);
            false -> loop(Stream)
        end
    end.

handled(Message, #stream{owner = {Pid, _} = Owner, topic = Topic} = Stream) ->
    try handle(Message, Stream)
    catch Class:Reason:Stack ->
        logger:error("the event stream of ~ts has failed: ~0tp", [hornbeam_json:encode(Topic), {Class, Reason, Stack}]),
        Pid ! {Owner, {worker_lost, died}},
        over
    end.

over(#stream{topics = Topics, call = Call}) ->
    _ = Call =/= none andalso hornbeam_invocation:stop(Call),
    _ = hornbeam_websocket_fanout:unsubscribe_all(Topics),
    ok.

handle(open, #stream{request = #{method := Method}, topic = Topic} = Stream) ->
    case hornbeam_channel_codec:is_topic(Topic) of
        _ when Method =/= <<"GET">>, Method =/= <<"HEAD">> -> refuse(405, <<"an event stream is read with GET">>, Stream);
        true -> ask(Stream);
        false -> refuse(404, ?UNMATCHED, Stream)
    end;
handle({{_, Ref}, _} = Message, #stream{call = Call} = Stream) when Call =/= none, is_reference(Ref) ->
    case hornbeam_invocation:event(Message, Call) of
        {going, Going} -> Stream#stream{call = Going};
        {ended, {ok, Packed}} -> allowed(hornbeam_msgpack:decode(Packed), Stream#stream{call = none});
        {ended, {error, Reason}} -> failed(Reason, Stream#stream{call = none})
    end;
handle({websocket_published, _Topic, {Event, Payload, Id}}, #stream{hidden = Hidden} = Stream) ->
    case lists:member(Event, Hidden) of
        true -> Stream;
        false -> published({Id, Event, Payload}, Stream)
    end;
handle({send, Frame}, #stream{uncredited = Uncredited} = Stream) ->
    flush(Stream#stream{uncredited = max(0, Uncredited - hornbeam_frame:credits(Frame))});
handle({close, 1, _Frame}, _Stream) ->
    over;
handle({'DOWN', Monitor, process, _, _}, #stream{topics = Topics} = Stream) ->
    case hornbeam_websocket_fanout:is_lost(Monitor, Topics) of
        true -> last(Stream);
        false -> over
    end;
%% The server stops: a browser comes back to its successor.
handle({{_, websocket}, drain}, Stream) ->
    last(Stream);
handle(heartbeat, Stream) ->
    ok = heartbeat_later(Stream),
    heartbeat(Stream);
handle(_Other, Stream) ->
    Stream.

heartbeat_later(#stream{settings = #{events_heartbeat := infinity}}) -> ok;
heartbeat_later(#stream{settings = #{events_heartbeat := Time}}) -> _ = erlang:send_after(Time, self(), heartbeat), ok.

%% A client that has a window to take needs no sign of life.
heartbeat(#stream{uncredited = Uncredited, settings = #{window := Window}} = Stream) ->
    case hornbeam_credit:may_send(Uncredited, Window) of
        true -> data(<<":\n\n">>, Stream);
        false -> Stream
    end.

%% Topics of Erlang's handlers are for their own clients alone.
ask(#stream{server = Server, topic = Topic, request = Request, settings = #{channel_modules := Modules, channel_timeout := Timeout}} = Stream) ->
    case hornbeam_channels:handler(Topic, Modules) of
        python ->
            Arguments = fun(_Worker) -> [Topic, about(Request)] end,
            Stream#stream{call = hornbeam_channel_python:call({Server, <<>>}, hornbeam_pool_affinity:key(self()), authorize, Arguments, Timeout)};
        _Module ->
            refuse(404, ?UNMATCHED, Stream)
    end.

failed(Reason, #stream{topic = Topic} = Stream) ->
    ok = hornbeam_channel_python:log(Reason, authorize, Topic),
    Status = case Reason of {python, _, _, _} -> 500; bad_answer -> 500; _ -> 503 end,
    refuse(Status, hornbeam_channel_python:reason(Reason), Stream).

allowed({ok, [<<"ok">>, Flags]}, #stream{request = #{method := <<"HEAD">>}} = Stream) when is_map(Flags) ->
    respond(200, <<>>, Stream);
allowed({ok, [<<"ok">>, Flags]}, #stream{server = Server, settings = #{websocket_max_connections := Max} = Settings} = Stream) when is_map(Flags) ->
    case hornbeam_websockets:enter(Server, Max) of
        ok ->
            ok = hornbeam_websockets:register(Server, self()),
            %% For years perhaps: what is needed no more goes.
            begun(hornbeam_history:keeper(maps:get(<<"history">>, Flags, none)),
                  Stream#stream{enters = true, request = #{}, settings = maps:with([window, websocket_slow_consumer, events_heartbeat], Settings),
                                hidden = [binary:copy(Event) || Event <- maps:get(<<"intercepts">>, Flags, [])]});
        full ->
            refuse(503, <<"too many connections (websocket_max_connections)">>, Stream)
    end;
allowed({ok, [<<"refused">>, Reason]}, Stream) when is_binary(Reason) ->
    respond(403, Reason, Stream);
allowed({ok, [<<"unmatched">>]}, Stream) ->
    refuse(404, ?UNMATCHED, Stream);
allowed(_, Stream) ->
    failed(bad_answer, Stream).

begun(Keeper, #stream{topic = Topic0, last_id = LastId, topics = Topics0, hidden = Hidden} = Stream) ->
    Topic = binary:copy(Topic0),
    {ok, Position, Topics} = hornbeam_websocket_fanout:subscribe(hornbeam_channels:topic(Topic), any, Keeper, Topics0),
    ok = heartbeat_later(Stream),
    First = iolist_to_binary([<<"retry: ">>, integer_to_binary(?RETRY), beginning(LastId, Position), <<"\n\n">>]),
    ok = say(response, <<0, 200:16, (fields(200))/binary, First/binary>>, Stream),
    Missed = [Message || {Id, Event, _} = Message <- hornbeam_history:missed(Topic, LastId, Position), Id =:= none orelse not lists:member(Event, Hidden)],
    flush(Stream#stream{topic = Topic, last_id = none, topics = Topics, uncredited = byte_size(First), waiting = queue:from_list(Missed)}).

%% Where one that comes for the first time begins: it comes back with this id when it has seen no other.
beginning(none, Position) when Position =/= none -> [<<"\nid: ">>, hornbeam_history:id_of(Position)];
beginning(_LastId, _Position) -> [].

%% A line of an event ends with its line: JSON in one line has none, and names have theirs replaced.
event({Id, Event, Payload}) ->
    [[[<<"id: ">>, Id, $\n] || Id =/= none], <<"event: ">>, binary:replace(Event, [<<"\n">>, <<"\r">>], <<" ">>, [global]), <<"\ndata: ">>, text(Payload), <<"\n\n">>].

text({json, Text}) -> binary:replace(Text, [<<"\r\n">>, <<"\n">>, <<"\r">>], <<"\ndata: ">>, [global]);
text({bytes, Bytes}) -> base64:encode(Bytes).

%% What was missed comes first.
published(Message, #stream{waiting = Waiting, behind = Behind} = Stream) ->
    case Behind =< ?MAX_WAITING of
        true -> flush(Stream#stream{waiting = queue:in({live, Message}, Waiting), behind = Behind + size_of(Message)});
        false -> too_slow(Message, Stream)
    end.

size_of({_, Event, {_, Payload}}) -> byte_size(Event) + byte_size(Payload).

%% As much as may be on its way.
flush(#stream{uncredited = Uncredited, settings = #{window := Window}, waiting = Waiting, behind = Behind} = Stream) ->
    case hornbeam_credit:may_send(Uncredited, Window) andalso queue:out(Waiting) of
        {{value, {live, Message}}, Rest} -> flush(data(event(Message), Stream#stream{waiting = Rest, behind = Behind - size_of(Message)}));
        {{value, Message}, Rest} -> flush(data(event(Message), Stream#stream{waiting = Rest}));
        _ -> Stream
    end.

too_slow({none, _, _}, #stream{server = Server, settings = #{websocket_slow_consumer := drop}} = Stream) ->
    ok = hornbeam_websockets:add(Server, slow_dropped),
    Stream;
too_slow(_Message, #stream{server = Server} = Stream) ->
    ok = hornbeam_websockets:add(Server, slow_closed),
    last(Stream).

%%% As a worker says it

data(Data, #stream{uncredited = Uncredited} = Stream) ->
    Size = iolist_size(Data),
    ok = say(data, iolist_to_binary([<<0>>, Data]), Stream),
    Stream#stream{uncredited = Uncredited + Size}.

last(Stream) ->
    ok = say(data, <<1>>, Stream),
    over.

refuse(Status, Reason, Stream) ->
    {json, Body} = hornbeam_channel_codec:reason(Reason),
    respond(Status, Body, Stream).

respond(Status, Body, Stream) ->
    ok = say(response, iolist_to_binary([<<1, Status:16>>, fields(Status), Body]), Stream),
    over.

say(Type, Payload, #stream{owner = {Pid, _} = Owner}) ->
    Pid ! {Owner, {worker, Type, Payload}},
    ok.

fields(200) -> packed([[<<"content-type">>, <<"text/event-stream; charset=utf-8">>], [<<"cache-control">>, <<"no-cache">>], [<<"x-accel-buffering">>, <<"no">>]]);
fields(Status) -> packed([[<<"content-type">>, <<"application/json">>], [<<"cache-control">>, <<"no-store">>] | [[<<"allow">>, <<"GET, HEAD">>] || Status =:= 405]]).

packed(Fields) ->
    Packed = iolist_to_binary(hornbeam_msgpack:encode([[{bytes, Name}, {bytes, Value}] || [Name, Value] <- Fields])),
    <<(byte_size(Packed)):32, Packed/binary>>.
