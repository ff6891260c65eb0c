%%% What a WebSocket connection reads: as much as the application may be sent, and no more is looked at.
%%%
%%% Called by: hornbeam_websocket, in the connection's process. Calls: hornbeam_websocket_codec, hornbeam_websocket_socket,
%%% hornbeam_credit (window: websocket's, to the application).
%%%
%%% next/2 gives one item after the other. When a window of messages is not consumed (`demand'), it says `full', and the socket is
%%% not read; what has been read by then (hornbeam_websocket_socket: some reads) stays as bytes in the codec. After
%%% drain/1, when nothing is for the application any more, it is never full.
%%%
%%% HTTP/2: the client may send anew what has been gone through, so while it is full its window is not opened.
-module(hornbeam_websocket_input).

-export([new/3, feed/2, next/2, demand/2, drain/1, is_reading/1]).
-export_type([input/0]).

-record(input, {
    socket :: hornbeam_websocket_socket:socket(),
    codec :: hornbeam_websocket_codec:codec(),
    window :: pos_integer() | none,             % none: drained
    reading = true :: boolean(),
    unread = 0 :: non_neg_integer(),            % given to the application and not consumed by it
    held = 0 :: non_neg_integer()               % bytes for which the client has no new window yet
}).
-opaque input() :: #input{}.

-spec new(hornbeam_websocket_socket:socket(), Window :: pos_integer(), MaxMessage :: pos_integer()) -> input().
new(Socket, Window, Max) ->
    #input{socket = Socket, window = Window, codec = hornbeam_websocket_codec:new(Max)}.

-spec is_reading(input()) -> boolean().
is_reading(#input{reading = Reading}) -> Reading.

%% @doc Bytes have come.
-spec feed(binary(), input()) -> input().
feed(Data, #input{codec = Codec, held = Held} = Input) ->
    Input#input{codec = hornbeam_websocket_codec:feed(Data, Codec), held = Held + byte_size(Data)}.

%% @doc The next item; `more' when all that has come is gone through, `full' when the application has to consume first.
-spec next(hornbeam_websocket_codec:deflate(), input()) -> {hornbeam_websocket_codec:item() | more | full, input()}.
next(Deflate, #input{window = Window, unread = Unread, codec = Codec} = Input) ->
    case Window =:= none orelse hornbeam_credit:may_send(Unread, Window) of
        true -> counted(hornbeam_websocket_codec:next(Codec, Deflate), Input);
        false -> {full, pause(Input)}
    end.

counted({{Type, Payload} = Message, Codec}, #input{unread = Unread} = Input) when Type =:= text; Type =:= binary ->
    {Message, Input#input{codec = Codec, unread = Unread + hornbeam_credit:message(byte_size(Payload))}};
counted({more, Codec}, Input) ->
    {more, resume(Input#input{codec = Codec})};
counted({Item, Codec}, Input) ->
    {Item, Input#input{codec = Codec}}.

%% @doc The application has consumed so much; error: more than it was given.
-spec demand(non_neg_integer(), input()) -> {ok, input()} | error.
demand(Count, #input{unread = Unread}) when Count > Unread ->
    error;
demand(Count, #input{unread = Unread} = Input) ->
    {ok, Input#input{unread = Unread - Count}}.

%% @doc From now on everything is read, whatever the application has consumed.
-spec drain(input()) -> input().
drain(Input) ->
    resume(Input#input{window = none}).

%% Credit comes in portions of a quarter of a window, so this does not go to and fro.
pause(#input{reading = true, socket = Socket} = Input) ->
    _ = hornbeam_websocket_socket:read(Socket, false),
    Input#input{reading = false};
pause(Input) ->
    Input.

resume(#input{reading = Reading, held = Held, socket = Socket} = Input) ->
    _ = Reading orelse hornbeam_websocket_socket:read(Socket, true),
    _ = Held > 0 andalso hornbeam_websocket_socket:read(Socket, {consumed, Held}),
    Input#input{reading = true, held = 0}.
