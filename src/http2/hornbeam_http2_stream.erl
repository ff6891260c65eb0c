%%% One stream of an HTTP/2 connection: a request and its response, or a WebSocket (RFC 8441).
%%%
%%% Called by: hornbeam_http2_streams, in the connection's process. Calls: hornbeam_http2_head (by way of it), hornbeam_http2_body (what may still
%%% come), hornbeam_http2_reply, hornbeam_exchange, hornbeam_websocket. No process is made for a request.
%%%
%%% Every function answers with actions for the connection, in order:
%%%
%%%   {head, fin | nofin, Fields}           a HEADERS frame; fin: the stream's output has ended with it
%%%   {data, nofin | fin | {trailers, Fields}, Octets}, {file, Items}   what follows; files are the last
%%%   {window, Octets}                      the client may send so much more on this stream
%%%   {look, Time}                          due/2 is to be called by this time
%%%   {reset, Code}                         RST_STREAM, and nothing else
%%%
%%%   request ──upgrade──▶ websocket
%%%      └──done──▶ answered: what is left of the output is sent; what still comes of the body is counted and dropped
%%%
%%% Times: `timeout' and queue_timeout (hornbeam_request's), body_timeout, which runs while the application may have more of the body than has
%%% come, but not while the client waits for 100 (Continue). They are looked at by the connection; none is a timer.
-module(hornbeam_http2_stream).

-export([open/7, refuse/6, submit/1, data/6, heard/2, event/2, exit/3, held/2, due/2, next/1, is_read/1, gone/1]).
-export_type([stream/0, action/0, timeouts/0]).

-include("hornbeam_head.hrl").

-type action() :: {head, fin | nofin, hornbeam_headers:headers()} | {data, hornbeam_http2_output:fin(), binary()}
                | {file, [hornbeam_http2_output:item(), ...]} | {window, pos_integer()} | {look, integer()} | {reset, cow_http2:error()}.
-type timeouts() :: #{body_timeout := timeout(), body_prefetch := non_neg_integer(), _ => _}.

-record(stream, {
    id :: pos_integer(),
    source :: hornbeam_exchange:exchange() | {websocket, pid()},
    body :: hornbeam_http2_body:body(),
    body_timeout :: timeout(),
    defaults :: hornbeam_headers:defaults(),    % what every response gets
    is_whole = false :: boolean(),          % the exchange waits for nothing of it: there is none, or all has come
    sent = nothing :: nothing | head | ended,   % of the response
    expects = false :: boolean(),           % the client waits for 100 (Continue)
    until = infinity :: integer() | infinity,
    timer = response :: response | queue,   % what `until' is
    body_until = infinity :: integer() | infinity,
    held = false :: boolean()               % the output waits for the client
}).
-opaque stream() :: #stream{}.

%% @doc IsFin: the head has ended the stream. Window: what the client may send at first.
-spec open(pos_integer(), fin | nofin, #head{}, Window :: pos_integer(), timeout(), Now :: integer(), hornbeam_exchange:context()) ->
    {[action()], stream()}.
open(Id, IsFin, #head{length = Length, protocol = Protocol, expect = Expect} = Head, Window, BodyTimeout, Now, #{defaults := Defaults} = Context) ->
    %% For a WebSocket nothing may come before it is accepted.
    Expected = case Protocol of undefined -> Length; _ -> 0 end,
    {Commands, Exchange} = hornbeam_exchange:open(Head, {self(), Id}, Context),
    run(Commands, [], Now, #stream{id = Id, source = Exchange, body = hornbeam_http2_body:new(IsFin, Expected, Window),
                                   body_timeout = BodyTimeout, defaults = Defaults, is_whole = Expected =:= 0, expects = Expect =:= continue}).

%% @doc The answer to what was never a request.
-spec refuse(pos_integer(), fin | nofin, hornbeam_error:reason(), #head{}, Window :: pos_integer(), hornbeam_exchange:context()) ->
    {[action()], stream()}.
refuse(Id, IsFin, Reason, #head{length = Length} = Head, Window, #{defaults := Defaults} = Context) ->
    run(hornbeam_exchange:refuse(Reason, Head, Context), [], 0,
        #stream{id = Id, source = hornbeam_exchange:over(), body = hornbeam_http2_body:new(IsFin, Length, Window), body_timeout = infinity,
                defaults = Defaults}).

%% @doc What of the body came together with the head has been given; the rest is not waited for.
-spec submit(stream()) -> {[action()], stream()}.
submit(#stream{source = {websocket, _}} = Stream) ->
    {[], Stream};
submit(#stream{source = Exchange} = Stream) ->
    case hornbeam_exchange:is_gathering(Exchange) of
        true -> event(submit, Stream);
        false -> {[], Stream}
    end.

%% @doc A piece of the body, in a frame of so many octets with its padding; Slack: hornbeam_http2_body.
-spec data(fin | nofin, binary(), Length :: non_neg_integer(), Slack :: non_neg_integer(), Now :: integer(), stream()) ->
    {[action()], stream()} | {error, cow_http2:error()}.
data(IsFin, Data, Length, Slack, Now, #stream{body = Body0} = Stream0) ->
    case hornbeam_http2_body:data(IsFin, byte_size(Data), Length, Slack, Body0) of
        {ok, Padding, Body} ->
            {Actions, Stream} = given(IsFin, Data, waits(Now, Stream0#stream{body = Body, expects = false})),
            {[{window, Padding} || Padding > 0] ++ Actions, Stream};
        {error, _} = Error ->
            Error
    end.

%% @doc A part of a frame of the body has come.
-spec heard(Now :: integer(), stream()) -> stream().
heard(Now, Stream) -> waits(Now, Stream).

given(nofin, <<>>, Stream) -> {[], Stream};
given(IsFin, Data, #stream{source = {websocket, Pid}} = Stream) ->
    Pid ! {websocket_data, IsFin, Data},
    {[], Stream};
given(_IsFin, _Data, #stream{is_whole = true} = Stream) -> {[], Stream};
given(IsFin, Data, Stream) -> event({body, IsFin, Data}, Stream#stream{is_whole = IsFin =:= fin}).

%% How long the client may take for what comes next.
waits(Now, #stream{body = Body, body_timeout = Timeout, expects = Expects, source = Source} = Stream) ->
    case hornbeam_http2_body:is_awaited(Body) andalso not Expects andalso Timeout =/= infinity andalso not is_websocket(Source) of
        true -> Stream#stream{body_until = Now + Timeout};
        false -> Stream#stream{body_until = infinity}
    end.

is_websocket({websocket, _}) -> true;
is_websocket(_Exchange) -> false.

%% @doc A message for this stream: {{self(), Id}, Event}.
-spec event(term(), stream()) -> {[action()], stream()}.
event(Event, #stream{source = {websocket, Pid}} = Stream) ->
    websocket(Event, Pid, Stream);
event(Event, #stream{source = Exchange0} = Stream) ->
    {Commands, Exchange} = hornbeam_exchange:event(Event, Exchange0),
    case Commands of
        [] -> {[], Stream#stream{source = Exchange}};
        _ -> run(Commands, [], now_ms(), Stream#stream{source = Exchange})
    end.

%% The commands of a WebSocket's process.
websocket({data, IsFin, Data}, Pid, #stream{sent = head} = Stream) ->
    Pid ! {websocket_taken, iolist_size(Data)},
    {[{data, IsFin, iolist_to_binary(Data)}], Stream#stream{sent = case IsFin of fin -> ended; nofin -> head end}};
websocket({websocket_flow, Octets}, _Pid, #stream{body = Body0} = Stream) ->
    {Increment, Body} = hornbeam_http2_body:more(Octets, Body0),
    {[{window, Increment} || Increment > 0], Stream#stream{body = Body}};
websocket(websocket_abort, _Pid, Stream) ->
    {[{reset, internal_error}], Stream};
websocket(_Late, _Pid, Stream) ->
    {[], Stream}.

%% @doc A process that was linked has ended: `false' when it was not this stream's.
-spec exit(pid(), Reason :: term(), stream()) -> {[action()], stream()} | false.
exit(Pid, normal, #stream{source = {websocket, Pid}} = Stream) -> finish(Stream);
exit(Pid, _Crash, #stream{source = {websocket, Pid}} = Stream) -> {[{reset, internal_error}], Stream};
exit(_Pid, _Reason, _Stream) -> false.

%% @doc Whether the stream's output waits for the client.
-spec held(boolean(), stream()) -> stream().
held(Held, #stream{held = Held} = Stream) ->
    Stream;
held(Held, #stream{source = {websocket, Pid}} = Stream) ->
    Pid ! {websocket_alarm, on_off(Held)},
    Stream#stream{held = Held};
held(Held, #stream{source = Exchange0} = Stream) ->
    {[], Exchange} = hornbeam_exchange:event({alarm, on_off(Held)}, Exchange0),
    Stream#stream{held = Held, source = Exchange}.

on_off(true) -> on;
on_off(false) -> off.

%% @doc What has become due by this time.
-spec due(Now :: integer(), stream()) -> {[action()], stream()}.
due(Now, #stream{until = Until, timer = Name} = Stream) when Now >= Until ->
    event({timeout, Name}, Stream#stream{until = infinity});
due(Now, #stream{body_until = Until} = Stream) when Now >= Until ->
    event({body_failed, body_timeout}, Stream#stream{body_until = infinity});
due(_Now, Stream) ->
    {[], Stream}.

%% @doc When due/2 is to be called again.
-spec next(stream()) -> integer() | infinity.
next(#stream{until = Until, body_until = BodyUntil}) -> min(Until, BodyUntil).

%% @doc Whether the client has ended its side.
-spec is_read(stream()) -> boolean().
is_read(#stream{body = Body}) -> hornbeam_http2_body:is_read(Body).

%% @doc The stream is over, whether or not its response was.
-spec gone(stream()) -> ok.
gone(#stream{source = {websocket, Pid}}) ->
    Pid ! websocket_gone,
    ok;
gone(#stream{source = Exchange}) ->
    hornbeam_exchange:gone(Exchange).

%%% What the exchange says. Actions: newest first.

run([], Actions, _Now, Stream) ->
    {lists:reverse(Actions), Stream};
run([{inform, 100, _} = Command | Rest], Actions, Now, #stream{expects = true} = Stream) ->
    run([Command | Rest], Actions, Now, waits(Now, Stream#stream{expects = false}));
run([{inform, Status, Headers} | Rest], Actions, Now, Stream) ->
    run(Rest, [{head, nofin, hornbeam_http2_reply:inform(Status, Headers)} | Actions], Now, Stream);
run([{reply, Status, Headers, Length, {sendfile, _Size, Pieces}} | Rest], Actions, Now, #stream{defaults = Defaults} = Stream) ->
    Fields = hornbeam_http2_reply:head(Status, Headers, Length, Defaults),
    Items = [opened(Piece) || Piece <- Pieces],
    File = case lists:member(error, Items) of true -> {reset, internal_error}; false -> {file, Items} end,
    run(Rest, [File, {head, nofin, Fields} | Actions], Now, Stream#stream{sent = ended});
run([{reply, Status, Headers, Length, Body} | Rest], Actions, Now, #stream{defaults = Defaults} = Stream) ->
    Fields = hornbeam_http2_reply:head(Status, Headers, Length, Defaults),
    More = case iolist_to_binary(Body) of
        <<>> -> [{head, fin, Fields} | Actions];
        Data -> [{data, fin, Data}, {head, nofin, Fields} | Actions]
    end,
    run(Rest, More, Now, Stream#stream{sent = ended});
run([{start, Status, Headers, Length} | Rest], Actions, Now, #stream{defaults = Defaults} = Stream) ->
    run(Rest, [{head, nofin, hornbeam_http2_reply:head(Status, Headers, Length, Defaults)} | Actions], Now, Stream#stream{sent = head});
run([{data, IsFin, Data} | Rest], Actions, Now, Stream) ->
    Sent = case IsFin of fin -> ended; nofin -> head end,
    run(Rest, [{data, IsFin, iolist_to_binary(Data)} | Actions], Now, Stream#stream{sent = Sent});
run([{trailers, Headers} | Rest], Actions, Now, Stream) ->
    Fin = case hornbeam_http2_reply:fields(Headers) of [] -> fin; Fields -> {trailers, Fields} end,
    run(Rest, [{data, Fin, <<>>} | Actions], Now, Stream#stream{sent = ended});
run([{read, Octets} | Rest], Actions, Now, #stream{body = Body0} = Stream0) ->
    {Increment, Body} = hornbeam_http2_body:more(Octets, Body0),
    Stream = waits(Now, Stream0#stream{body = Body}),
    run(Rest, [{window, Increment} || Increment > 0] ++ look(Stream#stream.body_until, Actions), Now, Stream);
run([{timer, Name, infinity} | Rest], Actions, Now, Stream) ->
    run(Rest, Actions, Now, Stream#stream{until = infinity, timer = Name});
run([{timer, Name, Time} | Rest], Actions, Now, Stream) ->
    run(Rest, look(Now + Time, Actions), Now, Stream#stream{until = Now + Time, timer = Name});
run([cancel_timer | Rest], Actions, Now, Stream) ->
    run(Rest, Actions, Now, Stream#stream{until = infinity});
run([close | Rest], Actions, Now, Stream) ->
    run(Rest, Actions, Now, Stream);
run([{upgrade, Accepted} | _], Actions, _Now, #stream{id = Id, body = Body, defaults = Defaults} = Stream) ->
    Pid = hornbeam_websocket:start_stream(self(), Id),
    {Headers, Handover} = hornbeam_websocket_handshake:handover(Accepted, Pid),
    Pid ! {start, Handover},
    _ = is_read(Stream) andalso (Pid ! {websocket_data, fin, <<>>}),
    {lists:reverse(Actions, [{head, nofin, hornbeam_http2_reply:head(200, Headers, none, Defaults)}]),
     Stream#stream{source = {websocket, Pid}, sent = head, until = infinity, body = hornbeam_http2_body:unbounded(Body)}};
%% The client must see that the response is not complete.
run([cut | _], Actions, _Now, Stream) ->
    {lists:reverse(Actions, [{reset, internal_error}]), Stream};
run([done], Actions, _Now, Stream0) ->
    {Finish, Stream} = finish(Stream0),
    {lists:reverse(Actions, Finish), Stream#stream{until = infinity, body_until = infinity}}.

%% A file by its path is opened now; it is closed when its last part has been sent, or the stream ends (hornbeam_http2_output).
opened({file, Path, Offset, Size}) when is_binary(Path) ->
    case file:open(Path, [read, raw, binary]) of
        {ok, Fd} -> {file, Fd, Offset, Size};
        {error, _} -> error
    end;
opened({file, _, _, _} = Open) -> Open;
opened(Octets) -> iolist_to_binary(Octets).

finish(#stream{sent = ended} = Stream) -> {[], Stream};
finish(#stream{sent = head} = Stream) -> {[{data, fin, <<>>}], Stream#stream{sent = ended}};
finish(#stream{sent = nothing} = Stream) -> {[{reset, internal_error}], Stream}.

look(infinity, Actions) -> Actions;
look(Time, Actions) -> [{look, Time} | Actions].

now_ms() ->
    erlang:monotonic_time(millisecond).
