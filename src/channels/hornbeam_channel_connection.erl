%%% One connection of a client of channels, over its WebSocket: which topics it has joined, and what comes for them.
%%%
%%% Called by: hornbeam_websocket, in the connection's process, as its guest (hornbeam_channels:context/2 names it). Calls: hornbeam_channel_codec,
%%% hornbeam_channel_joined (one channel), hornbeam_channels (who handles a topic), hornbeam_channel (tokens), hornbeam_pubsub (its id).
%%%
%%%     connecting ──the worker's first message: assigns, id──▶ open ──the WebSocket's end──▶ over
%%%
%%% A worker has accepted the handshake (hornbeam_worker/channels.py: whoever connects is known by then). Its first message brings what the application knows of
%%% the client, and then it is let go: a connection belongs to a worker (rendezvous hashing of its token), but takes no place of it while nothing runs, and no
%%% memory in Python. When that worker goes, its connections belong to others, each to its own.
%%%
%%% Messages: of invocations {{self(), Ref}, Event}; {hornbeam_channel, Nonce, {push | presence | reply, …}} (hornbeam_channel); {websocket_published, …} (broadcasts that a
%%% channel intercepts); {hornbeam_pubsub, _, disconnect}.
%%%
%%% Limits: channel_max_joins, channel_max_message, channel_rate; what its handlers have not come to is a window at most (hornbeam_websocket_input).
-module(hornbeam_channel_connection).
-behaviour(hornbeam_websocket).

-export([new/2, max_message/1, messages/2, info/2, closed/1]).

-record(connection, {
    settings :: map(),                                  % of the mount: a persistent term, which is not copied
    context :: hornbeam_channel_joined:context(),
    nonce :: binary(),
    phase = connecting :: connecting | open,
    held = [] :: [{text | binary, binary()}],           % that came before the first word of the worker, newest first
    assigns = <<>> :: binary(),
    flavour = phx :: hornbeam_channel_codec:flavour(),  % of what it joined last, for what is of no channel
    channels = #{} :: #{Topic :: binary() => hornbeam_channel_joined:channel()},
    calls = #{} :: #{reference() => Topic :: binary()},
    spent = 0 :: number(),                              % of its rate, at that time
    at :: integer()
}).

%% @doc The longest message of a client.
-spec max_message(Settings :: map()) -> pos_integer().
max_message(#{channel_max_message := Max}) -> Max.

-spec new(Server :: atom(), Settings :: map()) -> #connection{}.
new(Server, #{channel_timeout := Timeout} = Settings) ->
    Nonce = crypto:strong_rand_bytes(16),
    Token = hornbeam_channel:token(self(), Nonce),
    Context = #{pool => {Server, <<>>}, belongs => hornbeam_pool_affinity:key(Token), token => Token, timeout => Timeout},
    #connection{settings = Settings, context = Context, nonce = Nonce, at = now_ms()}.

now_ms() -> erlang:monotonic_time(millisecond).

%% @doc Messages of the client.
-spec messages([{text | binary, binary()}], #connection{}) -> {[hornbeam_websocket:effect()], #connection{}}.
messages(Messages, #connection{phase = connecting, held = Held} = Connection) ->
    {[], Connection#connection{held = lists:reverse(Messages, Held)}};
messages(Messages, Connection) ->
    each(Messages, [], Connection).

%% Effects: newest first, in lists.
each([], Effects, Connection) ->
    {lists:append(lists:reverse(Effects)), Connection};
each([{Type, Payload} | Rest], Effects, Connection0) ->
    case within_rate(Connection0) of
        {true, Connection} ->
            case hornbeam_channel_codec:decode(Type, Payload) of
                {ok, Message} ->
                    {More, Next} = message(Message, hornbeam_credit:message(byte_size(Payload)), Connection),
                    each(Rest, [More | Effects], Next);
                error ->
                    each([], [[{close, 1007, <<"not a message of a channel">>}] | Effects], Connection)
            end;
        false ->
            each([], [[{close, 1008, <<"too many messages (channel_rate)">>}] | Effects], Connection0)
    end.

%% A bucket that holds two seconds' worth.
within_rate(#connection{settings = #{channel_rate := infinity}} = Connection) ->
    {true, Connection};
within_rate(#connection{settings = #{channel_rate := Rate}, spent = Spent, at = At} = Connection) ->
    Now = now_ms(),
    case max(0, Spent - (Now - At) * Rate / 1000) of
        Left when Left + 1 =< 2 * Rate -> {true, Connection#connection{spent = Left + 1, at = Now}};
        _ -> false
    end.

message(#{topic := Topic, event := <<"heartbeat">>, ref := Ref, join_ref := JoinRef}, Count, Connection)
        when Topic =:= <<"phoenix">>; Topic =:= <<"hornbeam">> ->
    Flavour = case Topic of <<"phoenix">> -> phx; _ -> hb end,
    {[{reply, hornbeam_channel_codec:reply(Flavour, JoinRef, Ref, Topic, <<"ok">>, {json, <<"{}">>})}, {consumed, Count}], Connection};
message(#{event := {control, _, join}} = Message, Count, Connection) ->
    join(Message, Count, Connection);
message(#{topic := Topic, event := Event, join_ref := JoinRef, ref := Ref, payload := Payload} = Message, Count, #connection{channels = Channels} = Connection) ->
    case Channels of
        #{Topic := Channel} ->
            case {hornbeam_channel_joined:is_of(JoinRef, Channel), Event} of
                {false, _} -> unmatched(Message, Count, Connection);
                {true, {control, _, leave}} -> done(Topic, {hornbeam_channel_joined:leave(Ref, Count, Channel), Channel}, Connection);
                {true, _} -> done(Topic, hornbeam_channel_joined:event(Event, Payload, {Ref, Count}, Channel), Connection)
            end;
        #{} ->
            unmatched(Message, Count, Connection)
    end.

unmatched(Message, Count, Connection) -> {refusal(<<"unmatched topic">>, Message, Count, Connection), Connection}.

refusal(Reason, #{join_ref := JoinRef, ref := Ref, topic := Topic} = Message, Count, #connection{flavour = Own}) ->
    Flavour = case Message of #{event := {control, Of, _}} -> Of; _ -> Own end,
    [{reply, hornbeam_channel_codec:reply(Flavour, JoinRef, Ref, Topic, <<"error">>, hornbeam_channel_codec:reason(Reason))}, {consumed, Count}].

join(#{topic := Topic, event := {control, Flavour, join}} = Message, Count, #connection{channels = Channels} = Connection0) ->
    {Before, Connection1} = case Channels of
        #{Topic := Channel} -> done(Topic, {hornbeam_channel_joined:close(replaced, Channel), Channel}, Connection0);
        #{} -> {[], Connection0}
    end,
    Connection = Connection1#connection{flavour = Flavour},
    {Effects, Joined} = joining(Message, Count, hornbeam_channel_codec:is_topic(Topic), Connection),
    {Before ++ Effects, Joined}.

joining(Message, Count, false, Connection) ->
    unmatched(Message, Count, Connection);
joining(Message, Count, true, #connection{channels = Channels, settings = #{channel_max_joins := Max}} = Connection) when map_size(Channels) >= Max ->
    {refusal(<<"too many joins (channel_max_joins)">>, Message, Count, Connection), Connection};
joining(#{topic := Topic} = Message, Count, true, #connection{settings = #{channel_modules := Modules}, assigns = Assigns, context = Context} = Connection) ->
    Handler = hornbeam_channels:handler(Topic, Modules),
    Own = case Handler of python -> Assigns; _ -> #{} end,
    done(Topic, hornbeam_channel_joined:join(Message, Count, {Handler, Own}, Context), Connection).

%% What a channel has said is to be done: some of it here.
done(Topic, {Effects, Channel}, #connection{channels = Channels} = Connection) ->
    lists:foldl(fun(Effect, {Others, Each}) -> own(Effect, Topic, Others, Each) end, {[], Connection#connection{channels = Channels#{Topic => Channel}}},
                Effects).

own({called, Ref}, Topic, Others, #connection{calls = Calls} = Connection) -> {Others, Connection#connection{calls = Calls#{Ref => Topic}}};
own({ended, Ref}, _Topic, Others, #connection{calls = Calls} = Connection) -> {Others, Connection#connection{calls = maps:remove(Ref, Calls)}};
own(continue, Topic, Others, Connection) -> {Others ++ [{continue, Topic}], Connection};
own(over, Topic, Others, #connection{channels = Channels} = Connection) -> {Others, Connection#connection{channels = maps:remove(Topic, Channels)}};
own(Effect, _Topic, Others, Connection) -> {Others ++ [Effect], Connection}.

%% @doc All other messages.
-spec info(term(), #connection{}) -> {[hornbeam_websocket:effect()], #connection{}}.
info({worker, ws_send_bytes, Payload}, #connection{phase = connecting, held = Held} = Connection) ->
    case hornbeam_frame:parse(ws_send_bytes, Payload) of
        {ok, First} -> connected(hornbeam_msgpack:decode(First), lists:reverse(Held), Connection#connection{held = []});
        error -> {[{close, 1011, <<>>}], Connection}
    end;
info({worker, _Type, _Payload}, #connection{phase = connecting} = Connection) ->
    {[{close, 1011, <<>>}], Connection};
info({worker_lost, _}, #connection{phase = connecting} = Connection) ->
    {[{close, 1012, <<"the server restarts">>}], Connection};
info({{_, Ref}, _} = Message, #connection{calls = Calls, channels = Channels} = Connection) when is_map_key(Ref, Calls) ->
    #{Ref := Topic} = Calls,
    #{Topic := Channel} = Channels,
    done(Topic, hornbeam_channel_joined:told(Message, Ref, Channel), Connection);
info({continue, Topic}, Connection) ->
    with(Topic, null, fun hornbeam_channel_joined:continue/1, Connection);
info({websocket_published, Published, {Event, Payload, _Id}}, Connection) ->
    with(hornbeam_channels:of_topic(Published), null, fun(Channel) -> hornbeam_channel_joined:intercept(Event, Payload, Channel) end, Connection);
info({hornbeam_channel, Nonce, {push, Topic, JoinRef, Event, Payload}}, #connection{nonce = Nonce} = Connection) ->
    with(Topic, JoinRef, fun(Channel) -> hornbeam_channel_joined:pushed(Event, Payload, Channel) end, Connection);
info({hornbeam_channel, Nonce, {presence, Topic, JoinRef}}, #connection{nonce = Nonce} = Connection) ->
    with(Topic, JoinRef, fun hornbeam_channel_joined:presence_state/1, Connection);
info({hornbeam_channel, Nonce, {reply, Topic, JoinRef, Ref, Status, Payload}}, #connection{nonce = Nonce} = Connection) ->
    with(Topic, JoinRef, fun(Channel) -> hornbeam_channel_joined:replied(Ref, Status, Payload, Channel) end, Connection);
info({hornbeam_pubsub, _, disconnect}, Connection) ->
    {[{close, 1008, <<"disconnected">>}], Connection};
info(_Late, Connection) ->
    {[], Connection}.

connected({ok, [{bytes, Assigns}, Id]}, Held, Connection) when Id =:= none; is_binary(Id) ->
    _ = Id =/= none andalso hornbeam_pubsub:subscribe(hornbeam_channel:id_topic(Id)),
    {Effects, Open} = messages(Held, Connection#connection{phase = open, assigns = binary:copy(Assigns)}),
    {[release | Effects], Open};
connected(_, _Held, Connection) ->
    {[{close, 1011, <<>>}], Connection}.

with(Topic, JoinRef, Fun, #connection{channels = Channels} = Connection) ->
    case Channels of
        #{Topic := Channel} ->
            case hornbeam_channel_joined:is_of(JoinRef, Channel) of
                true -> done(Topic, Fun(Channel), Connection);
                false -> {[], Connection}
            end;
        #{} ->
            {[], Connection}
    end.

%% @doc The WebSocket is no longer open.
-spec closed(#connection{}) -> ok.
closed(#connection{channels = Channels}) ->
    maps:foreach(fun(_Topic, Channel) -> hornbeam_channel_joined:close(closed, Channel) end, Channels).
