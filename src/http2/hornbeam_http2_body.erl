%%% What is known of the body of one HTTP/2 request: whether all of it is here, and whether the client has stopped in the middle.
%%%
%%% Called by: hornbeam_http2_stream. Calls nothing.
%%%
%%% Cowboy does not tell a stream handler of the trailer section that may end a request (RFC 9113, 8.1; 2.12 to 2.20 drop it). So a body with a
%%% Content-Length is complete when that many octets have come, whatever follows; one without, and any that pauses for body_timeout while it
%%% may go on, is given up. The process gets {Owner, body_pause} once in that time and looks whether anything has come since: a pause is
%%% noticed after once to twice the time, and a body costs one timer and not one for each of its frames.
-module(hornbeam_http2_body).

-export([new/3, more/2, data/3, is_read/1, paused/1, stop/1]).
-export_type([body/0]).

-record(body, {
    owner :: hornbeam_pool:owner(),
    left :: non_neg_integer() | unknown,    % to come
    flow = 0 :: non_neg_integer(),          % octets that the client may send now
    heard = true :: boolean(),              % something has come, or was not to come, since the timer began
    timeout :: timeout(),
    timer :: reference() | undefined
}).
-opaque body() :: #body{} | read.

%% @doc Length: as declared, 0 for no body. Timeout: ms.
-spec new(non_neg_integer() | unknown, timeout(), hornbeam_pool:owner()) -> body().
new(0, _Timeout, _Owner) -> read;
new(Length, Timeout, Owner) -> start(#body{owner = Owner, left = Length, timeout = Timeout}).

start(#body{timeout = infinity} = Body) ->
    Body;
start(#body{owner = {Pid, _} = Owner, timeout = Timeout} = Body) ->
    Body#body{timer = erlang:send_after(Timeout, Pid, {Owner, body_pause})}.

%% @doc So many octets more may come.
-spec more(non_neg_integer(), body()) -> body().
more(_Octets, read) -> read;
more(Octets, #body{flow = 0} = Body) -> Body#body{flow = Octets, heard = true};
more(Octets, #body{flow = Flow} = Body) -> Body#body{flow = Flow + Octets}.

%% @doc A piece has come. `fin': it is the last; `ignore': it comes after the last.
-spec data(fin | nofin, non_neg_integer(), body()) -> {fin | nofin | ignore, body()}.
data(_IsFin, _Size, read) -> {ignore, read};
data(fin, _Size, Body) -> {fin, done(Body)};
data(nofin, Size, #body{left = Left} = Body) when is_integer(Left), Size >= Left -> {fin, done(Body)};
data(nofin, Size, #body{left = Left, flow = Flow} = Body) ->
    Rest = case Left of unknown -> unknown; _ -> Left - Size end,
    {nofin, Body#body{left = Rest, flow = max(0, Flow - Size), heard = true}}.

done(Body) -> ok = stop(Body), read.

-spec is_read(body()) -> boolean().
is_read(Body) -> Body =:= read.

%% @doc The message has come: whether the client has stopped.
-spec paused(body()) -> {boolean(), body()}.
paused(read) -> {false, read};
paused(#body{heard = false, flow = Flow} = Body) when Flow > 0 -> {true, Body#body{timer = undefined}};
paused(Body) -> {false, start(Body#body{heard = false})}.

-spec stop(body()) -> ok.
stop(#body{timer = Timer}) when Timer =/= undefined ->
    _ = erlang:cancel_timer(Timer, [{async, true}, {info, false}]),
    ok;
stop(_Body) ->
    ok.
