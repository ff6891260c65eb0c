%%% What a WebSocket connection writes: at once while the socket takes it, later when it is busy, never waiting.
%%%
%%% Called by: hornbeam_websocket, in the connection's process, which gets the message `retry' while the socket is busy, and
%%% `websocket_gone' when a write has failed. Calls: hornbeam_websocket_socket, hornbeam_websocket_codec, hornbeam_credit.
%%%
%%% Limits: what waits is bounded by the application's credit, which is given only for what has been written, and by
%%% hornbeam_websocket, which adds nothing published while the socket is busy. Of the pongs only the latest waits (RFC 6455, 5.5.3).
-module(hornbeam_websocket_output).

-export([new/1, write/2, pong/2, count/2, credit/2, stall/1, flush/1, retry/2, is_busy/1]).
-export_type([output/0]).

%% How often a busy socket is tried again, ms.
-define(RETRY, 50).

-record(output, {
    socket :: hornbeam_websocket_socket:socket(),
    taken = 0 :: non_neg_integer(),             % given by the application and not yet credited
    busy = false :: boolean(),
    %% While busy:
    queue = [] :: [iodata()],                   % newest first
    pong = none :: none | binary(),
    retrying = false :: boolean(),              % a `retry' is on its way
    stalled = 0 :: non_neg_integer()            % for so many ms
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
        ok -> Output;
        busy -> stall(Output#output{queue = [Data]});
        {error, _} -> lost(Output)
    end.

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

%% @doc The socket takes nothing more for now.
-spec stall(output()) -> output().
stall(#output{retrying = true} = Output) ->
    Output#output{busy = true};
stall(Output) ->
    _ = erlang:send_after(?RETRY, self(), retry),
    Output#output{busy = true, retrying = true}.

%% @doc The socket may have room again.
-spec flush(output()) -> output().
flush(#output{busy = false} = Output) ->
    Output;
flush(#output{queue = []} = Output) ->
    unblocked(Output);
flush(#output{queue = Queue, socket = Socket} = Output) ->
    case hornbeam_websocket_socket:write(Socket, lists:reverse(Queue)) of
        ok -> unblocked(Output#output{queue = []});
        busy -> stall(Output);
        {error, _} -> lost(Output#output{queue = []})
    end.

unblocked(#output{pong = none} = Output) ->
    Output#output{busy = false, stalled = 0};
unblocked(#output{pong = Payload} = Output) ->
    pong(Payload, unblocked(Output#output{pong = none})).

%% @doc The message `retry' has come. Limit: for how long a socket may be busy, ms.
-spec retry(Limit :: timeout(), output()) -> {ok, output()} | too_slow.
retry(_Limit, #output{busy = false} = Output) ->
    {ok, Output#output{retrying = false}};
retry(Limit, #output{stalled = Stalled}) when Stalled >= Limit ->
    too_slow;
retry(_Limit, #output{stalled = Stalled, socket = {stream, _, _}} = Output) ->
    %% HTTP/2: Cowboy says when it goes on.
    {ok, stall(Output#output{stalled = Stalled + ?RETRY, retrying = false})};
retry(_Limit, #output{stalled = Stalled} = Output) ->
    {ok, flush(Output#output{stalled = Stalled + ?RETRY, retrying = false})}.

lost(Output) ->
    self() ! websocket_gone,
    Output.
