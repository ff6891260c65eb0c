%%% What a WebSocket connection writes: at once while the socket takes it, later when it is busy, never waiting.
%%%
%%% Called by: hornbeam_websocket, in the connection's process, which gets the message `retry' while the socket is busy, and
%%% `websocket_gone' when a write has failed. Calls: hornbeam_websocket_socket, hornbeam_websocket_codec, hornbeam_credit.
%%%
%%% Limits: what waits is bounded by the application's credit, which is given only for what has been written, and by
%%% hornbeam_websocket, which adds nothing published while the socket is busy. Of the pongs only the latest waits (RFC 6455, 5.5.3).
%%% A stream of HTTP/2 is busy, too, when its connection's process has not come to ?AHEAD bytes of it.
-module(hornbeam_websocket_output).

-export([new/1, write/2, pong/2, count/2, credit/2, alarm/2, taken/2, retry/2, is_busy/1]).
-export_type([output/0]).

%% How often a busy socket is tried again, ms: at first and after some progress, and at last.
-define(SOON, 1).
-define(LATER, 50).
-define(AHEAD, 65536).

-record(output, {
    socket :: hornbeam_websocket_socket:socket(),
    taken = 0 :: non_neg_integer(),             % given by the application and not yet credited
    busy = false :: boolean(),
    %% While busy:
    queue = [] :: [iodata()],                   % newest first
    pong = none :: none | binary(),
    retry = none :: none | pos_integer(),       % a `retry' is on its way, sent to come after so many ms
    stalled = 0 :: non_neg_integer(),           % for so many ms
    %% HTTP/2: written, and the connection's process has not come to it; whether its buffer is full.
    ahead = 0 :: non_neg_integer(),
    alarm = off :: on | off
}).
-opaque output() :: #output{}.

-spec new(hornbeam_websocket_socket:socket()) -> output().
new(Socket) -> #output{socket = Socket}.

-spec is_busy(output()) -> boolean().
is_busy(#output{busy = Busy}) -> Busy.

%% @doc Writes frames, or keeps them.
-spec write(iodata(), output()) -> output().
write(Data, #output{busy = true, queue = Queue} = Output) ->
    Output#output{queue = [Data | Queue]};
write(Data, #output{socket = Socket} = Output) ->
    case hornbeam_websocket_socket:write(Socket, Data) of
        ok -> written(Data, Output);
        {busy, Rest} -> stall(Output#output{queue = [Rest]});
        {error, _} -> lost(Output)
    end.

written(Data, #output{socket = {stream, _, _}, ahead = Ahead0} = Output) ->
    case Ahead0 + iolist_size(Data) of
        Ahead when Ahead < ?AHEAD -> Output#output{ahead = Ahead};
        Ahead -> stall(Output#output{ahead = Ahead})
    end;
written(_Data, Output) ->
    Output.

-spec pong(Payload :: binary(), output()) -> output().
pong(Payload, #output{busy = true} = Output) -> Output#output{pong = Payload};
pong(Payload, Output) -> write(hornbeam_websocket_codec:pong(Payload), Output).

%% @doc Counts what the application has given.
-spec count(non_neg_integer(), output()) -> output().
count(Size, #output{taken = Taken} = Output) ->
    Output#output{taken = Taken + Size}.

%% @doc What the application is to be credited now: nothing while the socket is busy.
-spec credit(Window :: pos_integer(), output()) -> none | {pos_integer(), output()}.
credit(_Window, #output{busy = true}) ->
    none;
credit(Window, #output{taken = Taken} = Output) ->
    case hornbeam_credit:is_due(Taken, Window) of
        true -> {Taken, Output#output{taken = 0}};
        false -> none
    end.

%% @doc HTTP/2: the buffer of the connection's process is full, or has room again.
-spec alarm(on | off, output()) -> output().
alarm(on, Output) -> stall(Output#output{alarm = on});
alarm(off, Output) -> flush(Output#output{alarm = off}).

%% @doc HTTP/2: the connection's process has come to so much of what was written.
-spec taken(Size :: non_neg_integer(), output()) -> output().
taken(Size, #output{ahead = Ahead} = Output) ->
    flush(Output#output{ahead = Ahead - Size}).

%% The socket takes nothing more for now.
stall(#output{retry = none, stalled = Stalled} = Output) ->
    Time = max(?SOON, min(?LATER, Stalled)),
    _ = erlang:send_after(Time, self(), retry),
    Output#output{busy = true, retry = Time};
stall(Output) ->
    Output#output{busy = true}.

%% The socket may have room again.
flush(#output{busy = false} = Output) ->
    Output;
flush(#output{alarm = Alarm, ahead = Ahead} = Output) when Alarm =:= on; Ahead >= ?AHEAD ->
    Output;
flush(#output{queue = []} = Output) ->
    free(Output#output{busy = false});
flush(#output{queue = Queue} = Output) ->
    Data = lists:reverse(Queue),
    case write(Data, Output#output{queue = [], busy = false}) of
        #output{busy = false} = Written -> free(Written);
        #output{queue = Rest} = Busy -> progress(iolist_size(Rest) < iolist_size(Data), Busy)
    end.

free(#output{pong = none} = Output) ->
    Output#output{stalled = 0};
free(#output{pong = Payload} = Output) ->
    pong(Payload, Output#output{pong = none, stalled = 0}).

progress(true, Output) -> Output#output{stalled = 0};
progress(false, Output) -> Output.

%% @doc The message `retry' has come. Limit: for how long a socket may be busy, ms.
-spec retry(Limit :: timeout(), output()) -> {ok, output()} | too_slow.
retry(_Limit, #output{busy = false} = Output) ->
    {ok, Output#output{retry = none}};
%% HTTP/2: the end of the alarm brings it on, and hornbeam_http2 ends a stream whose client takes nothing.
retry(_Limit, #output{alarm = on} = Output) ->
    {ok, Output#output{retry = none}};
retry(Limit, #output{stalled = Stalled}) when Stalled >= Limit ->
    too_slow;
retry(_Limit, #output{stalled = Stalled, retry = Time} = Output0) ->
    case flush(Output0#output{stalled = Stalled + Time, retry = none}) of
        #output{busy = true} = Output -> {ok, stall(Output)};
        Output -> {ok, Output}
    end.

lost(Output) ->
    self() ! websocket_gone,
    Output.
