%%% The application's side of a WebSocket: the stream on a worker, and what is said on it.
%%%
%%% Called by: hornbeam_websocket, in the connection's process, which gets what the application says:
%%% {{self(), websocket}, {worker, Type, Payload}}. Calls: hornbeam_worker, hornbeam_frame.
-module(hornbeam_websocket_application).

-export([accepted/2, frame/3, send/2, credit/2, close/3, more/1]).
-export_type([application/0]).

-include("hornbeam.hrl").

-record(application, {
    slot :: #slot{},
    id :: hornbeam_frame:stream_id()
}).
-opaque application() :: #application{}.

%% @doc The calling process owns the stream from now on. The worker's answer is credit, for nothing: it tells Python that the handshake is
%% complete.
-spec accepted(#slot{}, hornbeam_frame:stream_id()) -> application().
accepted(Slot, Id) ->
    ok = hornbeam_worker:adopt(Slot, Id, {self(), websocket}, credit_frame(0, Id)),
    #application{slot = Slot, id = Id}.

%% @doc A message of the client, for send/2.
-spec frame(text | binary, iodata(), application()) -> iodata().
frame(text, Payload, #application{id = Id}) -> hornbeam_frame:encode(ws_text, Id, Payload);
frame(binary, Payload, #application{id = Id}) -> hornbeam_frame:encode(ws_binary, Id, Payload).

%% @doc Frames in their order.
-spec send([iodata()], application()) -> ok.
send([], _Application) -> ok;
send(Frames, #application{slot = Slot}) -> hornbeam_worker:send(Slot, Frames).

%% @doc So much of what it has sent has been taken. Nothing: a subscription is done (websocket.py waits for it).
-spec credit(non_neg_integer(), application()) -> ok.
credit(Count, #application{slot = Slot, id = Id}) ->
    hornbeam_worker:send(Slot, credit_frame(Count, Id)).

credit_frame(Count, Id) ->
    hornbeam_frame:encode(credit, Id, <<Count:32>>).

%% @doc The stream ends from this side.
-spec close(Code :: 0..65535, Reason :: iodata(), application()) -> ok.
close(Code, Reason, #application{slot = Slot, id = Id}) ->
    hornbeam_worker:close(Slot, Id, hornbeam_frame:encode(ws_close, Id, [<<Code:16>>, Reason])).

%% @doc So many messages, at most, that it has sent meanwhile.
-spec more(non_neg_integer()) -> [{text | binary, binary()}].
more(0) ->
    [];
more(Left) ->
    receive
        {{_, websocket}, {worker, ws_send_text, <<_Flags, Text/binary>>}} -> [{text, Text} | more(Left - 1)];
        {{_, websocket}, {worker, ws_send_bytes, <<_Flags, Bytes/binary>>}} -> [{binary, Bytes} | more(Left - 1)]
    after 0 ->
        []
    end.
