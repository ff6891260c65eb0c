%%% Python's operations on channels: arguments and answers as hornbeam_erlang/_channel_messages.py has them.
%%%
%%% Called by: hornbeam_services, which knows its name only, in a worker's process. Calls: hornbeam_channel.
-module(hornbeam_service_channels).
-behaviour(hornbeam_services).

-export([handle/3]).

%% A message takes as much of its receivers' sockets.
-define(MAX_PAYLOAD, 16777216).
-define(KEEP, 30000).

-spec handle(atom(), [term()], map()) -> hornbeam_services:outcome().
handle(channel_broadcast, [Topic, Event, Given, Except, History], _) ->
    case {payload(Given), History =/= none andalso not hornbeam_history:is_kept(Topic)} of
        {{ok, Payload}, false} -> sent(fun() -> broadcast(Topic, Event, Payload, Except) end);
        {{ok, Payload}, true} ->
            %% The relay may be busy.
            {run, ?KEEP, fun() ->
                {_, Limits} = hornbeam_history:keeper(History),
                sent(fun() -> ok = hornbeam_channel:keep(Topic, Limits), broadcast(Topic, Event, Payload, Except) end)
            end};
        {Error, _} -> Error
    end;
handle(channel_history, [Topic, LastId, Limit], _) when is_binary(Topic), is_binary(LastId), is_integer(Limit), Limit > 0 ->
    {walk, ?KEEP, fun() ->
        {Whole, Messages} = hornbeam_history:read(Topic, LastId, Limit),
        {ok, [Whole =:= ok, [[Id, Event, hornbeam_channel_python:sent(Payload)] || {Id, Event, Payload} <- Messages]]}
    end};
handle(channel_push, [{bytes, Token}, Topic, JoinRef, Event, Given], _) ->
    case payload(Given) of
        {ok, Payload} -> sent(fun() -> hornbeam_channel:push(#{token => Token, topic => Topic, join_ref => null(JoinRef)}, Event, Payload) end);
        Error -> Error
    end;
handle(channel_reply, [{bytes, Token}, Topic, JoinRef, Ref, Status, Given], _) when is_binary(Status), byte_size(Status) =< 255 ->
    case payload(Given) of
        {ok, Payload} ->
            Socket = #{token => Token, topic => Topic, join_ref => null(JoinRef), ref => null(Ref)},
            sent(fun() -> hornbeam_channel:reply(Socket, Status, Payload) end);
        Error -> Error
    end;
handle(channel_disconnect, [Id], _) when is_binary(Id), Id =/= <<>>, byte_size(Id) =< 255 ->
    {ok, hornbeam_channel:disconnect(Id) =:= ok};
handle(Operation, _Arguments, _) ->
    {error, type_error, <<"wrong arguments for ", (atom_to_binary(Operation))/binary>>}.

broadcast(Topic, Event, Payload, none) -> hornbeam_channel:broadcast(Topic, Event, Payload);
broadcast(Topic, Event, Payload, {bytes, Token}) -> hornbeam_channel:broadcast_from(Token, Topic, Event, Payload).

payload(Text) when is_binary(Text), byte_size(Text) =< ?MAX_PAYLOAD -> {ok, {json, Text}};
payload({bytes, Bytes}) when byte_size(Bytes) =< ?MAX_PAYLOAD -> {ok, {bytes, Bytes}};
payload(_) -> {error, value_error, <<"a message of a channel may have 16 MiB">>}.

null(none) -> null;
null(Ref) -> Ref.

%% Whether there was somebody to send it to: a connection that has ended is no error.
sent(Fun) ->
    try {ok, Fun() =:= ok}
    catch error:badarg -> {error, value_error, <<"topics and events have 1 to 255 bytes, and none ends with *">>}
    end.
