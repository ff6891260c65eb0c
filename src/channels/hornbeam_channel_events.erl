%%% A topic of channels as a stream of server-sent events (HTML, 9.2): GET /events/TOPIC, for a browser's EventSource.
%%%
%%% Called by: hornbeam_exchange, which takes it for the worker of the request (checkout/2): a process for each stream, that gets what hornbeam_worker would get and
%%% says what a Python process would say, so all that holds for responses holds here: credit, hooks, logs, both versions of HTTP. Calls: hornbeam_channel_python
%%% (whether the client may: once), hornbeam_websocket_fanout (what comes), hornbeam_history (what it has missed), hornbeam_websockets (it counts as one).
%%%
%%%     asking ──ok──▶ streaming ──the client has gone; the server stops; too slow (websocket_slow_consumer = close)──▶ over
%%%        └──refused: 403 or 404, with the reason as JSON──▶ over
%%%
%%%     id: Mfoo-17          of a topic with a history; the browser sends the last one as Last-Event-ID when it comes back; ?last_event_id= at first
%%%     event: shout         the event's name
%%%     data: {"by":"ada"}   its payload, as JSON; of a binary message its bytes in base64
%%%
%%% Limits: websocket_max_connections; a window of the response waits for the client, then websocket_slow_consumer. Every ?HEARTBEAT ms a comment
%%% keeps proxies from ending it. A hibernated process while nothing comes.
-module(hornbeam_channel_events).

-export([checkout/2]).
-export([init/3, loop/1]).

-include("hornbeam.hrl").
-include("hornbeam_head.hrl").

-define(HEARTBEAT, 15000).
%% How long a browser waits before it comes back.
-define(RETRY, 2000).
-define(IDLE, 1000).

-record(stream, {
    server :: atom(),
    settings :: map(),
    owner :: hornbeam_pool:owner() | undefined,
    topic :: binary(),
    last_id :: binary() | none,
    head :: boolean(),
    call = none :: none | hornbeam_invocation:invocation(),
    topics = hornbeam_websocket_fanout:none() :: hornbeam_websocket_fanout:subscriptions(),
    uncredited = 0 :: non_neg_integer(),
    enters = false :: boolean()
}).

%% @doc A stream's process, as the worker of a request.
-spec checkout(#head{}, Server :: atom()) -> hornbeam_pool_choice:taken().
checkout(Head, Server) ->
    {ok, Pid} = hornbeam_call_sup:start_call(fun() -> init(Server, self(), request(Head)) end),
    Counters = atomics:new(?SLOT_SIZE, []),
    {ok, #slot{worker = Pid, counters = Counters}, 1, 1}.

request(#head{method = Method, path = Path, query = Query, fields = Fields, peer = Peer, scheme = Scheme}) ->
    #{method => Method, path => Path, query => Query, fields => Fields, peer => Peer, scheme => Scheme}.

-spec init(Server :: atom(), pid(), map()) -> ok.
init(Server, _Self, #{method := Method, path := Path, query := Query, fields := Fields} = Request) ->
    {ok, #{channel_timeout := Timeout} = Settings} = hornbeam_servers:config(Server),
    Topic = topic(Path, Settings),
    receive
        {open, 1, {Pid, _} = Owner, _Frame} ->
            _ = monitor(process, Pid),
            Stream = #stream{server = Server, settings = maps:with([window, websocket_slow_consumer, websocket_max_connections], Settings), owner = Owner, topic = Topic,
                             last_id = last_id(Query, Fields), head = Method =:= <<"HEAD">>},
            case is_topic(Topic) of
                true ->
                    Call = hornbeam_channel_python:call({Server, <<>>}, hornbeam_pool_affinity:key(self()), authorize, fun(_) -> [Topic, about(Request)] end, Timeout),
                    loop(Stream#stream{call = Call});
                false -> respond(404, <<"{\"reason\":\"unmatched topic\"}">>, Stream)
            end
    after Timeout ->
        ok
    end.

topic(Path, #{events_path := Events, root_path := Root}) ->
    [Encoded | _] = [Rest || Prefix <- [<<Root/binary, Events/binary, $/>>, <<Events/binary, $/>>], Rest <- [after_prefix(Prefix, Path)], Rest =/= none],
    hornbeam_scope:decode_path(Encoded).

after_prefix(Prefix, Path) ->
    case Path of
        <<Prefix:(byte_size(Prefix))/binary, Rest/binary>> -> Rest;
        _ -> none
    end.

is_topic(Topic) -> Topic =/= <<>> andalso byte_size(Topic) =< 255 andalso binary:last(Topic) =/= $* andalso unicode:characters_to_binary(Topic) =:= Topic.

%% What the browser says when it comes back is newer than what the page said at first.
last_id(Query, Fields) ->
    case hornbeam_headers:find(<<"last-event-id">>, Fields) of
        {ok, Id} -> Id;
        error ->
            case [Value || <<"last_event_id=", Value/binary>> <- binary:split(Query, <<"&">>, [global])] of
                [Id | _] -> hornbeam_scope:decode_path(Id);
                [] -> none
            end
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
            case handle(Message, Stream) of
                #stream{} = Next -> loop(Next);
                over -> over(Stream)
            end
    after ?IDLE ->
        case Stream#stream.enters of
            true -> proc_lib:hibernate(?MODULE, loop, [Stream]);
            false -> loop(Stream)
        end
    end.

over(#stream{topics = Topics, call = Call}) ->
    _ = Call =/= none andalso hornbeam_invocation:stop(Call),
    _ = hornbeam_websocket_fanout:unsubscribe_all(Topics),
    ok.

handle({{_, Ref}, _} = Message, #stream{call = Call} = Stream) when Call =/= none, is_reference(Ref) ->
    case hornbeam_invocation:event(Message, Call) of
        {going, Going} -> Stream#stream{call = Going};
        {ended, {ok, Packed}} -> allowed(hornbeam_msgpack:decode(Packed), Stream#stream{call = none});
        {ended, {error, _}} -> respond(503, <<"{\"reason\":\"unavailable\"}">>, Stream#stream{call = none})
    end;
handle({websocket_published, _Topic, {Event, Payload, Id}}, Stream) ->
    published(event({Id, Event, Payload}), Stream);
handle({send, Frame}, Stream) ->
    Stream#stream{uncredited = max(0, Stream#stream.uncredited - hornbeam_frame:credits(Frame))};
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
    _ = erlang:send_after(?HEARTBEAT, self(), heartbeat),
    heartbeat(Stream);
handle(_Other, Stream) ->
    Stream.

%% A client that has much to take needs no sign of life.
heartbeat(#stream{uncredited = 0} = Stream) -> data(<<":\n\n">>, Stream);
heartbeat(Stream) -> Stream.

allowed({ok, [<<"ok">>, Flags]}, #stream{head = true} = Stream) when is_map(Flags) ->
    respond(200, <<>>, Stream);
allowed({ok, [<<"ok">>, Flags]}, #stream{server = Server, settings = #{websocket_max_connections := Max}} = Stream) when is_map(Flags) ->
    case hornbeam_websockets:enter(Server, Max) of
        ok ->
            ok = hornbeam_websockets:register(Server, self()),
            begun(hornbeam_history:keeper(maps:get(<<"history">>, Flags, none)), Stream#stream{enters = true});
        full ->
            respond(503, <<"{\"reason\":\"too many connections\"}">>, Stream)
    end;
allowed({ok, [<<"refused">>, Reason]}, Stream) when is_binary(Reason) ->
    respond(403, Reason, Stream);
allowed({ok, [<<"unmatched">>]}, Stream) ->
    respond(404, <<"{\"reason\":\"unmatched topic\"}">>, Stream);
allowed(_, Stream) ->
    respond(500, <<"{\"reason\":\"failed\"}">>, Stream).

begun(Keeper, #stream{topic = Topic, last_id = LastId, topics = Topics0} = Stream) ->
    {ok, Position, Topics} = hornbeam_websocket_fanout:subscribe(hornbeam_channels:topic(Topic), any, Keeper, Topics0),
    _ = erlang:send_after(?HEARTBEAT, self(), heartbeat),
    First = iolist_to_binary([<<"retry: ">>, integer_to_binary(?RETRY), <<"\n\n">> | missed(LastId, Position, Topic)]),
    ok = say(response, <<0, 200:16, (fields(200))/binary, First/binary>>, Stream),
    Stream#stream{topics = Topics, uncredited = byte_size(First)}.

missed(none, _Position, _Topic) -> [];
missed(_LastId, none, _Topic) -> [];
missed(LastId, Position, Topic) ->
    {Whole, Messages} = hornbeam_history:since(Topic, LastId, Position),
    [event({none, <<"hb_missed">>, {json, iolist_to_binary([<<"{\"last_id\":">>, hornbeam_json:encode(LastId), $}])}}) || Whole =:= missed] ++ lists:map(fun event/1, Messages).

%% A line of an event ends with its line: JSON in one line has none, and names have theirs replaced.
event({Id, Event, Payload}) ->
    [[[<<"id: ">>, Id, $\n] || Id =/= none], <<"event: ">>, binary:replace(Event, [<<"\n">>, <<"\r">>], <<" ">>, [global]), <<"\ndata: ">>, text(Payload), <<"\n\n">>].

text({json, Text}) -> binary:replace(Text, [<<"\r\n">>, <<"\n">>, <<"\r">>], <<"\ndata: ">>, [global]);
text({bytes, Bytes}) -> base64:encode(Bytes).

published(Data, #stream{uncredited = Uncredited, settings = #{window := Window}} = Stream) ->
    case hornbeam_credit:may_send(Uncredited, Window) of
        true -> data(Data, Stream);
        false -> too_slow(Stream)
    end.

too_slow(#stream{server = Server, settings = #{websocket_slow_consumer := drop}} = Stream) ->
    ok = hornbeam_websockets:add(Server, slow_dropped),
    Stream;
too_slow(#stream{server = Server} = Stream) ->
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

respond(Status, Body, Stream) ->
    ok = say(response, <<1, Status:16, (fields(Status))/binary, Body/binary>>, Stream),
    over.

say(Type, Payload, #stream{owner = {Pid, _} = Owner}) ->
    Pid ! {Owner, {worker, Type, Payload}},
    ok.

fields(200) -> packed([[<<"content-type">>, <<"text/event-stream; charset=utf-8">>], [<<"cache-control">>, <<"no-cache">>], [<<"x-accel-buffering">>, <<"no">>]]);
fields(_) -> packed([[<<"content-type">>, <<"application/json">>], [<<"cache-control">>, <<"no-store">>]]).

packed(Fields) ->
    Packed = iolist_to_binary(hornbeam_msgpack:encode([[{bytes, Name}, {bytes, Value}] || [Name, Value] <- Fields])),
    <<(byte_size(Packed)):32, Packed/binary>>.
