%%% The rule of flow control between the BEAM and a worker, for every stream and both directions.
%%%
%%% Called by: hornbeam_request, hornbeam_websocket, hornbeam_websocket_output, hornbeam_worker_session, hornbeam_call_stream. Calls nothing. Its mirror in Python is
%%% hornbeam_worker/credit.py; both read test/wire_vectors.json in their suites.
%%%
%%%     sender     may send while less than a window is not credited (may_send/2), however large the next piece is
%%%     receiver   credits what it has taken as soon as that is a quarter of a window (is_due/2), or more
%%%
%%% It cannot stop for ever: who may not send has a window or more that is not credited; less than a quarter of
%%% that is withheld by the receiver, the rest is still to be taken, and brings credit. (A rule that asked whether the next piece
%%% still fits would stop: with a byte taken and withheld, a piece of a whole window never fits.)
%%%
%%% Limits: what a sender has out is less than a window and one piece. The receiver can hold a sender to it exactly: when a
%%% frame arrives, what it has not credited before it is less than a window (credit on its way only makes the sender's
%%% own count larger).
%%%
%%% A request that is one of ?FEW on its worker gets more: what is in flight is what two processes can do at the same time, and how much they do
%%% each time that one has woken the other (wide/1; 100 MiB take half the time). It is the receiver that widens a window, by a credit of more than has
%%% been taken, so that the sender need not know.
%%%
%%%     stream                    piece                 counts                    window            credited by
%%%     response of HTTP          response, data        bytes of the body         window            credit
%%%     request of HTTP           what is read at once  bytes of the body         body_prefetch     demand
%%%     WebSocket, to the client  ws_send_text, _bytes  message/1                 window            credit
%%%     WebSocket, from it        ws_text, ws_binary    message/1                 window            demand
%%%     values of a call          result                message/1                 window            credit
%%%     log records of a worker   log                   message/1                 log_window/0      credit of stream 0
-module(hornbeam_credit).

-export([may_send/2, room/2, is_due/2, is_wide/1, wide/1, message/1, log_window/0]).

%% What a message counts besides its bytes, so that empty ones are bounded too.
-define(OVERHEAD, 64).
-define(FEW, 32).
-define(WIDE, 1048576).
-define(LOG_WINDOW, 1048576).

%% Negative where the window has been widened.
-spec may_send(Uncredited :: integer(), Window :: pos_integer()) -> boolean().
may_send(Uncredited, Window) ->
    Uncredited < Window.

%% @doc What is missing to a window: for a sender that is told a number instead of being asked (the `read' of hornbeam_request).
-spec room(Uncredited :: non_neg_integer(), Window :: pos_integer()) -> non_neg_integer().
room(Uncredited, Window) ->
    max(0, Window - Uncredited).

%% @doc Whether what has been taken and not yet credited is to be credited now.
-spec is_due(Taken :: non_neg_integer(), Window :: pos_integer()) -> boolean().
is_due(Taken, Window) ->
    Taken * 4 >= Window.

%% @doc Whether a request's windows are wide: its worker has few in progress, with it. No more than ?FEW are at a time, for they all are in progress when
%% the last of them is counted.
-spec is_wide(Load :: pos_integer()) -> boolean().
is_wide(Load) ->
    Load =< ?FEW.

%% @doc The window of one that is wide: four times as much, up to 1 MiB.
-spec wide(Window :: non_neg_integer()) -> non_neg_integer().
wide(Window) ->
    max(Window, min(4 * Window, ?WIDE)).

%% @doc What a WebSocket message or a log record of so many bytes counts.
-spec message(Size :: non_neg_integer()) -> pos_integer().
message(Size) ->
    Size + ?OVERHEAD.

%% @doc How much of what Python's processes log may be on its way to a worker's Erlang process, each.
-spec log_window() -> pos_integer().
log_window() ->
    ?LOG_WINDOW.
