%%% What comes of the body of one HTTP/2 request: its window, its length, its end (RFC 9113, 5.2, 6.9 and 8.1.1).
%%%
%%% Called by: hornbeam_http2_stream. Calls nothing. Pure.
%%%
%%% `flow' is what the application may have (hornbeam_credit), `window' what the client may send. They differ when the client has not had the
%%% window that it is to have, or when it could send more than that: until it acknowledges the server's settings it knows no
%%% window but that of the RFC (6.5.3; Slack). And when the application may have anything the client may send a whole frame: octet by octet
%%% (body_prefetch 0) a body would take for ever. What padding takes of a window is given back at once, for no application will ask for it.
-module(hornbeam_http2_body).

-export([window/1, new/3, more/2, unbounded/1, data/5, is_read/1, is_awaited/1]).
-export_type([body/0]).

-define(LEAST, 16384).

-record(body, {
    left :: non_neg_integer() | unknown,    % to come
    window :: integer(),
    flow = 0 :: non_neg_integer()
}).
-opaque body() :: #body{} | read.

%% @doc What a client may send of a body before it is asked for: SETTINGS_INITIAL_WINDOW_SIZE.
-spec window(Prefetch :: non_neg_integer()) -> pos_integer().
window(Prefetch) -> max(?LEAST, Prefetch).

%% @doc Whether the head has ended the stream; Length: as declared.
-spec new(fin | nofin, Length :: non_neg_integer() | unknown, Window :: non_neg_integer()) -> body().
new(fin, _Length, _Window) -> read;
new(nofin, Length, Window) -> #body{left = Length, window = Window}.

%% @doc What comes has no length any more, and is all read: the stream is a WebSocket's.
-spec unbounded(body()) -> body().
unbounded(read) -> read;
unbounded(#body{window = Window} = Body) -> Body#body{left = unknown, flow = Window}.

%% @doc So many octets more may come. How much wider the client's window has to be.
-spec more(non_neg_integer(), body()) -> {non_neg_integer(), body()}.
more(_Octets, read) ->
    {0, read};
more(Octets, #body{flow = Flow, window = Window} = Body) ->
    Increment = max(0, max(?LEAST, Flow + Octets) - Window),
    {Increment, Body#body{flow = Flow + Octets, window = Window + Increment}}.

%% @doc A piece of Size octets in a frame of Length, padding and all. What of its window is given back.
-spec data(fin | nofin, Size :: non_neg_integer(), Length :: non_neg_integer(), Slack :: non_neg_integer(), body()) ->
    {ok, Padding :: non_neg_integer(), body()} | {error, stream_closed | flow_control_error | protocol_error}.
data(_IsFin, _Size, _Length, _Slack, read) ->
    {error, stream_closed};
data(_IsFin, _Size, Length, Slack, #body{window = Window}) when Length > 0, Length > Window + Slack ->
    {error, flow_control_error};
data(fin, Size, _Length, _Slack, #body{left = Left}) when Left =:= unknown; Left =:= Size ->
    {ok, 0, read};
data(fin, _Size, _Length, _Slack, _Body) ->
    {error, protocol_error};
data(nofin, Size, _Length, _Slack, #body{left = Left}) when Size > Left ->
    {error, protocol_error};
data(nofin, Size, Length, _Slack, #body{left = Left, window = Window, flow = Flow} = Body) ->
    Rest = case Left of unknown -> unknown; _ -> Left - Size end,
    {ok, Length - Size, Body#body{left = Rest, window = Window - Size, flow = max(0, Flow - Size)}}.

-spec is_read(body()) -> boolean().
is_read(Body) -> Body =:= read.

%% @doc Whether it is the client that something is waited for of.
-spec is_awaited(body()) -> boolean().
is_awaited(#body{flow = Flow}) -> Flow > 0;
is_awaited(read) -> false.
