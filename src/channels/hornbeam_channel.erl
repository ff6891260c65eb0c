%%% Channels for Erlang: handlers of topics, and messages to those who have joined them.
%%%
%%%     -behaviour(hornbeam_channel).
%%%     join(<<"room:", _/binary>>, #{<<"name">> := Name}, Socket) -> {ok, Socket#{assigns := #{name => Name}}}.
%%%     handle_in(<<"shout">>, Payload, #{topic := Topic} = Socket) -> ok = hornbeam_channel:broadcast(Topic, <<"shout">>, Payload), {noreply, Socket}.
%%%
%%% A handler runs in the process of its client's connection: what takes long holds up that client alone. Modules are named by the option
%%% channel_modules. Called by: any OTP application, hornbeam_service_channels (Python). Calls: hornbeam_channel_codec (a message's frame is made
%%% once, here), hornbeam_pubsub (it goes to all nodes that are connected), hornbeam_history (topics that keep their last messages).
-module(hornbeam_channel).

-export([broadcast/3, broadcast_from/4, keep/2, push/3, push_presence/1, reply/3, disconnect/1, token/2, with_token/2, encoded/1, id_topic/1]).
-export_type([socket/0, payload/0, token/0]).

%% What a pid takes in the external format: the node's name, of 255 characters, and its numbers.
-define(MAX_PID, 1100).

%% ref: of the message that is handled, for a reply/3 later; null: its client waits for none.
-type socket() :: #{topic := binary(), token := token(), join_ref := binary() | null, ref => binary() | null, assigns => term()}.
%% A map is encoded as JSON; {json, Text} is; {bytes, Binary} is a binary message.
-type payload() :: #{binary() | atom() => hornbeam_json:value()} | {json, iodata()} | {bytes, binary()}.
%% Names a connection on its node.
-type token() :: binary().

-callback join(Topic :: binary(), Params :: hornbeam_json:value(), socket()) -> {ok, socket()} | {ok, Response :: payload(), socket()} | {error, Reason :: payload()}.
-callback handle_in(Event :: binary(), hornbeam_json:value() | {bytes, binary()}, socket()) ->
    {noreply, socket()} | {reply, ok | error, payload(), socket()} | {stop, Reason :: term(), socket()}.
%% The events of broadcasts that handle_out/3 sees, and which it changes or drops.
-callback intercepts() -> [binary()].
-callback handle_out(Event :: binary(), hornbeam_json:value() | {bytes, binary()}, socket()) -> {noreply, socket()} | {push, payload(), socket()}.
-callback terminate(Reason :: term(), socket()) -> term().
-optional_callbacks([intercepts/0, handle_out/3, terminate/2]).

%% @doc Sends a message to all who have joined the topic, on every node. error: badarg, for a name without or with more than 255 bytes, or a pattern.
-spec broadcast(Topic :: binary(), Event :: binary(), payload()) -> ok.
broadcast(Topic, Event, Payload) ->
    send(Topic, Event, encoded(Payload), none).

%% @doc The same, but for the connection of this token; when that has ended, to all.
-spec broadcast_from(token(), Topic :: binary(), Event :: binary(), payload()) -> ok.
broadcast_from(Token, Topic, Event, Payload) ->
    send(Topic, Event, encoded(Payload), case with_token(Token, fun(Pid, _) -> Pid end) of not_found -> none; Pid -> Pid end).

send(Topic, Event, Payload, Except) ->
    true = hornbeam_channel_codec:is_topic(Topic) andalso hornbeam_channel_codec:is_name(Event) orelse error(badarg),
    Published = hornbeam_channels:topic(Topic),
    %% Other nodes that keep it give it no ids of their own then, and a client may come back to any of them.
    Id = case hornbeam_history:is_kept(Topic) orelse hornbeam_pubsub_peers:nodes_of(Published) =/= [] of
        true -> hornbeam_history:id();
        false -> none
    end,
    Frame = iolist_to_binary(hornbeam_channel_codec:broadcast(Topic, Event, Payload, Id)),
    _ = hornbeam_pubsub:publish(Published, {frame, Frame, Except, Event, Payload, Id}),
    ok.

%% @doc Has a topic keep its last messages, on this node. Limits as hornbeam_history has them: {Messages, Milliseconds}, each may be infinity.
-spec keep(Topic :: binary(), hornbeam_history:limits()) -> ok.
keep(Topic, Limits) ->
    hornbeam_websocket_fanout:keep(hornbeam_channels:topic(Topic), hornbeam_history, Limits).

%% @doc A payload as hornbeam_channel_codec has it, in one binary.
-spec encoded(payload()) -> {json | bytes, binary()}.
encoded({json, Text}) -> {json, iolist_to_binary(Text)};
encoded({bytes, Bytes}) when is_binary(Bytes) -> {bytes, Bytes};
encoded(Map) when is_map(Map) -> {json, iolist_to_binary(hornbeam_json:encode(Map))}.

%% @doc Sends a message to the one client of a socket.
-spec push(socket(), Event :: binary(), payload()) -> ok | not_found.
push(#{token := Token, topic := Topic, join_ref := JoinRef}, Event, Payload) ->
    true = hornbeam_channel_codec:is_name(Event) orelse error(badarg),
    tell(Token, {push, Topic, JoinRef, Event, encoded(Payload)}).

%% @doc Tells the one client of a socket who is there: the event presence_state.
-spec push_presence(socket()) -> ok | not_found.
push_presence(#{token := Token, topic := Topic, join_ref := JoinRef}) -> tell(Token, {presence, Topic, JoinRef}).

%% @doc Answers the message that the socket was handled with, later.
-spec reply(socket(), ok | error | binary(), payload()) -> ok | not_found.
reply(#{token := Token, topic := Topic, join_ref := JoinRef, ref := Ref}, Status, Payload) ->
    tell(Token, {reply, Topic, JoinRef, Ref, status(Status), encoded(Payload)}).

status(Status) when is_atom(Status) -> atom_to_binary(Status);
status(Status) -> Status.

tell(Token, What) ->
    with_token(Token, fun(Pid, Nonce) -> Pid ! {hornbeam_channel, Nonce, What}, ok end).

%% @doc Closes the connections with this id, which their `connect' has given them, on every node.
-spec disconnect(Id :: binary()) -> ok.
disconnect(Id) ->
    _ = hornbeam_pubsub:publish(id_topic(Id), disconnect),
    ok.

%% @doc The topic of publish/subscribe that reaches the connections with an id. It never ends with a "*", and is no pattern.
-spec id_topic(Id :: binary()) -> hornbeam_pubsub:topic().
id_topic(Id) -> <<"channel-id:", Id/binary, $.>>.

%%% Tokens: the process of a connection, and a number that nobody else knows

-spec token(pid(), Nonce :: binary()) -> token().
token(Pid, Nonce) -> <<Nonce/binary, (term_to_binary(Pid))/binary>>.

%% No more than a pid can be: Python might say anything.
%% @doc Hands the connection to a fun, when it is one of this node's that is open.
-spec with_token(token(), fun((pid(), Nonce :: binary()) -> Result)) -> Result | not_found.
with_token(<<Nonce:16/binary, Packed/binary>>, Fun) when byte_size(Packed) =< ?MAX_PID ->
    try binary_to_term(Packed, [safe]) of
        Pid when is_pid(Pid), node(Pid) =:= node() ->
            case hornbeam_websockets:is_open(Pid) of
                true -> Fun(Pid, Nonce);
                false -> not_found
            end;
        _ -> not_found
    catch error:badarg -> not_found
    end;
with_token(_Token, _Fun) ->
    not_found.
