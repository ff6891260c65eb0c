%%% The messages of channels on a WebSocket: Phoenix's serialisation V2, with its names of the control events or with Hornbeam's. Pure.
%%%
%%% Called by: the modules of channels that write messages, or take names from elsewhere. Calls: hornbeam_json (strings), hornbeam_websocket_codec (frames),
%%% hornbeam_topic (patterns).
%%%
%%%     text     [join_ref, ref, topic, event, payload]         refs: strings or null
%%%     binary   from the client  0, |join_ref|, |ref|, |topic|, |event|, join_ref, ref, topic, event, payload
%%%              a push           0, |join_ref|, |topic|, |event|, join_ref, topic, event, payload
%%%              a reply          1, |join_ref|, |ref|, |topic|, |status|, join_ref, ref, topic, status, payload
%%%              a broadcast      2, |topic|, |event|, topic, event, payload
%%%
%%% The payload of a text message is not looked at: it is what stands before the last bracket, and whoever takes it reads it as JSON. It is never put
%%% into a message for others. In a broadcast of a topic with a history the ref is "#" and the message's id; no client takes it for an answer.
%%%
%%% Limits: topic and event have ?MAX_NAME bytes at most, and at least one; refs ?MAX_REF.
-module(hornbeam_channel_codec).

-export([decode/2, push/4, reply/6, broadcast/4, control/2, reason/1, is_name/1, is_topic/1]).
-export_type([message/0, payload/0, flavour/0, control/0]).

-type payload() :: {json, iodata()} | {bytes, binary()}.
%% Of the control events: phx_join, or hb_join.
-type flavour() :: phx | hb.
-type control() :: join | leave | reply | error | close.
-type message() :: #{join_ref := binary() | null, ref := binary() | null, topic := binary(),
                     event := {control, flavour(), control()} | binary(), payload := payload()}.

%% What the length of a name takes in a binary message.
-define(MAX_NAME, 255).
-define(MAX_REF, 64).

%% @doc A message of the client.
-spec decode(text | binary, binary()) -> {ok, message()} | error.
decode(text, Text) ->
    case hornbeam_json:skip_space(Text) of
        <<$[, Rest/binary>> -> fields(Rest);
        _ -> error
    end;
decode(binary, <<0, J, R, T, E, JoinRef:J/binary, Ref:R/binary, Topic:T/binary, Event:E/binary, Payload/binary>>) ->
    checked(binary:copy(JoinRef), binary:copy(Ref), binary:copy(Topic), binary:copy(Event), {bytes, Payload});
decode(binary, _Other) ->
    error.

fields(Text) ->
    case text(ref(hornbeam_json:skip_space(Text))) of
        {JoinRef, Rest0} ->
            case text(ref(Rest0)) of
                {Ref, Rest1} -> names(JoinRef, Ref, Rest1);
                error -> error
            end;
        error -> error
    end.

names(JoinRef, Ref, Text) ->
    case text(name(Text)) of
        {Topic, Rest0} ->
            case text(name(Rest0)) of
                {Event, Rest1} -> payload(JoinRef, Ref, Topic, Event, Rest1);
                error -> error
            end;
        error -> error
    end.

ref(<<"null", Rest/binary>>) -> {ok, null, Rest};
ref(Text) -> name(Text).

name(<<$", Text/binary>>) -> hornbeam_json:string(Text);
name(_Text) -> error.

%% With the comma behind it.
text({ok, Value, Rest}) ->
    case hornbeam_json:skip_space(Rest) of
        <<$,, More/binary>> -> {Value, hornbeam_json:skip_space(More)};
        _ -> error
    end;
text(error) ->
    error.

payload(JoinRef, Ref, Topic, Event, Text) ->
    case before_bracket(Text, byte_size(Text)) of
        error -> error;
        Payload -> checked(JoinRef, Ref, Topic, Event, {json, Payload})
    end.

before_bracket(_Text, 0) -> error;
before_bracket(Text, Size) ->
    case binary:at(Text, Size - 1) of
        $] -> binary:part(Text, 0, Size - 1);
        C when C =:= $\s; C =:= $\n; C =:= $\t; C =:= $\r -> before_bracket(Text, Size - 1);
        _ -> error
    end.

checked(JoinRef, Ref, Topic, Event, Payload) ->
    case is_ref(JoinRef) andalso is_ref(Ref) andalso is_name(Topic) andalso is_name(Event) of
        true -> {ok, #{join_ref => JoinRef, ref => Ref, topic => Topic, event => event(Event), payload => Payload}};
        false -> error
    end.

is_ref(null) -> true;
is_ref(Ref) -> byte_size(Ref) =< ?MAX_REF andalso is_text(Ref).

%% @doc Whether it can be the name of a topic or an event, or a key of presence: UTF-8 of 1 to 255 bytes.
-spec is_name(term()) -> boolean().
is_name(Name) -> is_binary(Name) andalso Name =/= <<>> andalso byte_size(Name) =< ?MAX_NAME andalso is_text(Name).

%% @doc Whether it can be joined and sent to: a pattern is no topic, whoever joined it would hear all.
-spec is_topic(term()) -> boolean().
is_topic(Topic) -> is_name(Topic) andalso not hornbeam_topic:is_pattern(Topic).

is_text(Text) -> unicode:characters_to_binary(Text) =:= Text.

event(<<"phx_join">>) -> {control, phx, join};
event(<<"phx_leave">>) -> {control, phx, leave};
event(<<"hb_join">>) -> {control, hb, join};
event(<<"hb_leave">>) -> {control, hb, leave};
event(Event) -> Event.

%% @doc The name of a control event that the server sends.
-spec control(flavour(), control()) -> binary().
control(phx, reply) -> <<"phx_reply">>;
control(phx, error) -> <<"phx_error">>;
control(phx, close) -> <<"phx_close">>;
control(hb, reply) -> <<"hb_reply">>;
control(hb, error) -> <<"hb_error">>;
control(hb, close) -> <<"hb_close">>;
control(Flavour, Other) -> <<(atom_to_binary(Flavour))/binary, $_, (atom_to_binary(Other))/binary>>.

%% @doc The payload that says why something was refused or has failed. Reason: text that needs no escapes in JSON.
-spec reason(binary()) -> {json, iodata()}.
reason(Reason) -> {json, [<<"{\"reason\":\"">>, Reason, <<"\"}">>]}.

%% @doc The WebSocket frame of a message for one client.
-spec push(JoinRef :: binary() | null, Topic :: binary(), Event :: binary(), payload()) -> iodata().
push(JoinRef, Topic, Event, {json, Payload}) ->
    frame(text, array(JoinRef, null, Topic, Event, Payload));
push(JoinRef0, Topic, Event, {bytes, Payload}) ->
    JoinRef = sent(JoinRef0),
    frame(binary, [<<0, (byte_size(JoinRef)), (byte_size(Topic)), (byte_size(Event))>>, JoinRef, Topic, Event, Payload]).

%% @doc The frame of an answer to a message with a ref. Status: "ok", "error", or another of the application.
-spec reply(flavour(), JoinRef :: binary() | null, Ref :: binary() | null, Topic :: binary(), Status :: binary(), payload()) -> iodata().
reply(Flavour, JoinRef, Ref, Topic, Status, {json, Response}) ->
    Payload = [<<"{\"status\":">>, hornbeam_json:encode(Status), <<",\"response\":">>, Response, $}],
    frame(text, array(JoinRef, Ref, Topic, control(Flavour, reply), Payload));
reply(_Flavour, JoinRef0, Ref0, Topic, Status, {bytes, Payload}) ->
    {JoinRef, Ref} = {sent(JoinRef0), sent(Ref0)},
    frame(binary, [<<1, (byte_size(JoinRef)), (byte_size(Ref)), (byte_size(Topic)), (byte_size(Status))>>, JoinRef, Ref, Topic, Status, Payload]).

%% @doc The frame of a message for all who have joined a topic. Id: of a topic with a history.
-spec broadcast(Topic :: binary(), Event :: binary(), payload(), Id :: binary() | none) -> iodata().
broadcast(Topic, Event, {json, Payload}, none) ->
    frame(text, array(null, null, Topic, Event, Payload));
broadcast(Topic, Event, {json, Payload}, Id) ->
    frame(text, array(null, <<$#, Id/binary>>, Topic, Event, Payload));
broadcast(Topic, Event, {bytes, Payload}, _Id) ->
    frame(binary, [<<2, (byte_size(Topic)), (byte_size(Event))>>, Topic, Event, Payload]).

array(JoinRef, Ref, Topic, Event, Payload) ->
    [$[, hornbeam_json:encode(JoinRef), $,, hornbeam_json:encode(Ref), $,, hornbeam_json:encode(Topic), $,, hornbeam_json:encode(Event), $,, Payload, $]].

sent(null) -> <<>>;
sent(Ref) -> Ref.

frame(Type, Payload) -> hornbeam_websocket_codec:frame(Type, iolist_to_binary(Payload), none).
