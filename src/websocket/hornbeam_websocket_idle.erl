%%% How long a WebSocket client has said nothing, and when it is due for a ping. The connection's process gets a `tick' for it.
%%%
%%% Called by: hornbeam_websocket. Calls nothing. A message costs one flag; the clock is looked at with the ticks only, since each
%%% wakes a hibernated process. So a client is closed between websocket_timeout and a quarter more.
-module(hornbeam_websocket_idle).

-export([new/0, heard/1, tick_later/1, tick/2]).
-export_type([idle/0]).

-record(idle, {
    heard = true :: boolean(),              % since the last tick
    quiet = 0 :: non_neg_integer(),         % ms
    unpinged = 0 :: non_neg_integer()
}).
-opaque idle() :: #idle{}.

-spec new() -> idle().
new() -> #idle{}.

-spec heard(idle()) -> idle().
heard(#idle{heard = true} = Idle) -> Idle;
heard(Idle) -> Idle#idle{heard = true}.

%% @doc The calling process gets the next `tick' in due time, if that is not never.
-spec tick_later(Settings :: map()) -> ok.
tick_later(Settings) ->
    case interval(Settings) of
        infinity -> ok;
        Time -> _ = erlang:send_after(Time, self(), tick), ok
    end.

%% ms.
interval(#{websocket_timeout := Timeout, websocket_ping_interval := Ping}) ->
    case {Timeout, Ping} of
        {infinity, infinity} -> infinity;
        {infinity, _} -> Ping;
        {_, infinity} -> max(1, Timeout div 4);
        _ -> max(1, min(Timeout div 4, Ping))
    end.

-spec tick(Settings :: map(), idle()) -> {ok | ping | timeout, idle()}.
tick(Settings, #idle{heard = Heard, quiet = Quiet0, unpinged = Unpinged0}) ->
    #{websocket_timeout := Timeout, websocket_ping_interval := Ping} = Settings,
    Time = interval(Settings),
    Quiet = case Heard of true -> 0; false -> Quiet0 + Time end,
    Idle = #idle{heard = false, quiet = Quiet, unpinged = Unpinged0 + Time},
    if
        Quiet >= Timeout -> {timeout, Idle};
        Unpinged0 + Time >= Ping -> {ping, Idle#idle{unpinged = 0}};
        true -> {ok, Idle}
    end.
