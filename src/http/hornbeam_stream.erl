%%% The Cowboy stream handler: brings events to hornbeam_request and carries out its effects.
%%%
%%% Called by: Cowboy, in the connection process, which must never wait here. Calls: hornbeam_gate (may the request come in),
%%% hornbeam_request, hornbeam_pool, hornbeam_worker, hornbeam_clock. A request is submitted by a message to a
%%% worker, and the answer arrives in info/3. No process is made per request.
%%%
%%% Messages, all of the form {{ConnectionPid, StreamId}, Event} (Cowboy passes Event to info/3):
%%%   from hornbeam_worker  {worker, Type, Payload}, {worker_lost, Why}
%%%   from hornbeam_pool    try_again
%%%   from itself           submit, {timeout, Name}
-module(hornbeam_stream).
-behaviour(cowboy_stream).

-export([init/3, data/4, info/3, terminate/3, early_error/5]).

-include("hornbeam.hrl").

-record(stream, {
    owner :: hornbeam_pool:owner(),
    pool :: hornbeam_pool:id(),
    path :: binary(),
    version :: cowboy:http_version(),
    request :: hornbeam_request:request(),
    timer :: reference() | undefined,
    handshake :: hornbeam_websocket_handshake:handshake() | undefined
}).
%% Cowboy has been given a whole answer, nothing is left to do: `refused' if the connection is to end, else `answered'. The
%% connection of a WebSocket over HTTP/1.1 is `switched' to hornbeam_websocket; over HTTP/2 this passes on what comes
%% ({websocket, Pid}).
-type state() :: #stream{} | answered | refused | switched | {websocket, pid()}.

-spec init(cowboy_stream:streamid(), cowboy_req:req(), cowboy:opts()) ->
    {cowboy_stream:commands(), state()}.
init(StreamId, #{version := Version} = Req0, #{hornbeam := Server} = Options) ->
    case hornbeam_gate:admit(Req0, Options) of
        {ok, #{version := Spoken} = Req, Mount} ->
            Opened = case hornbeam_websocket_handshake:is_upgrade(Req) of
                false -> request(StreamId, Req, Mount);
                true -> websocket(StreamId, Req, Mount, Server)
            end,
            ok = hornbeam_clock:opened(Spoken, is_chunked(Req)),
            Opened;
        {refuse, not_found} ->
            ok = hornbeam_clock:opened(Version, false),
            {Status, Text, _} = hornbeam_error:answer(not_found),
            {answer(Status, [], Text, Version), answered};
        %% After a head that cannot be trusted nothing on an HTTP/1 connection can.
        {refuse, Reason} ->
            ok = hornbeam_clock:poison(Version),
            {Status, Text, _} = hornbeam_error:answer(Reason),
            {answer(Status, [{<<"connection">>, <<"close">>}], Text, Version), refused}
    end.

is_chunked(#{has_body := true, body_length := undefined}) -> true;
is_chunked(_Req) -> false.

request(StreamId, #{path := Path, version := Version} = Req,
        #mount{pool = Pool, settings = Settings} = Mount) ->
    Scope = hornbeam_scope:encode(Req, Mount),
    {Effects, Request} = hornbeam_request:new(Req, Scope, Settings),
    Owner = {self(), StreamId},
    _ = hornbeam_request:is_gathering(Request) andalso (self() ! {Owner, submit}),
    run(Effects, [], #stream{owner = Owner, pool = Pool, path = Path, version = Version,
                             request = Request}).

websocket(StreamId, #{path := Path, version := Version} = Req,
          #mount{pool = Pool, settings = Settings} = Mount, Server) ->
    case hornbeam_websocket_handshake:check(Req, Server, Settings) of
        {ok, Handshake} ->
            Scope = hornbeam_scope:encode(Req, Mount),
            {Effects, Request} = hornbeam_request:websocket(Req, Scope, Settings),
            run(Effects, [], #stream{owner = {self(), StreamId}, pool = Pool, path = Path,
                                     version = Version, request = Request, handshake = Handshake});
        {refuse, {Status, Headers, Text}} ->
            {answer(Status, Headers, Text, Version), answered}
    end.

answer(Status, Headers0, Text, Version) ->
    Headers = hornbeam_headers:response([{<<"content-type">>, <<"text/plain; charset=utf-8">>} | Headers0],
                                        byte_size(Text), Version, map),
    [{response, Status, Headers, Text}, stop].

-spec data(cowboy_stream:streamid(), cowboy_stream:fin(), binary(), state()) ->
    {cowboy_stream:commands(), state()}.
data(_StreamId, IsFin, Data, {websocket, Pid} = State) ->
    Pid ! {websocket_data, IsFin, Data},
    {[], State};
data(_StreamId, IsFin, Data, State) ->
    ok = hornbeam_clock:progress(IsFin),
    ok = case IsFin of fin -> hornbeam_clock:resume(); nofin -> ok end,
    event({body, IsFin, Data}, State).

-spec info(cowboy_stream:streamid(), term(), state()) -> {cowboy_stream:commands(), state()}.
info(_StreamId, Event, {websocket, _} = State) ->
    websocket_info(Event, State);
info(_StreamId, {inform, 101, _} = Command, switched) ->
    {[Command], switched};
info(_StreamId, {alarm, stream_buffer_full, OnOff}, State) ->
    event({alarm, OnOff}, State);
%% The upgrade to HTTP/2 in clear text, which Cowboy makes of a request that offers it.
info(_StreamId, {switch_protocol, _, cowboy_http2, _} = Command, State) ->
    {[Command], State};
%% Cowboy completes by itself what an ended stream left open: a 204 or 500, a last chunk.
info(_StreamId, {response, _, _, _} = Command, State) ->
    {[Command], State};
info(_StreamId, {data, fin, <<>>} = Command, State) ->
    {[Command], State};
info(_StreamId, Event, State) ->
    event(Event, State).

-spec terminate(cowboy_stream:streamid(), cowboy_stream:reason(), state()) -> ok.
terminate(_StreamId, Reason, #stream{request = Request, handshake = Handshake} = Stream) ->
    _ = Handshake =/= undefined andalso hornbeam_websocket_handshake:failed(Handshake),
    _ = run(hornbeam_request:gone(Request), [], Stream),
    #{complete := BodyRead} = hornbeam_request:summary(Request),
    hornbeam_clock:closed(Reason, BodyRead);
terminate(_StreamId, _Reason, refused) ->
    ok;
terminate(_StreamId, Reason, {websocket, Pid}) ->
    Pid ! websocket_gone,
    hornbeam_clock:closed(Reason, true);
terminate(_StreamId, Reason, _Over) ->
    hornbeam_clock:closed(Reason, true).

%% Cowboy's answer to a head that it refuses. While a response to an earlier request is on its way (pipelining), it would be
%% written into that one: then nothing more is sent and the connection ends.
-spec early_error(cowboy_stream:streamid(), cowboy_stream:reason(), cowboy_stream:partial_req(),
                  Response, cowboy:opts()) -> Response
    when Response :: cowboy_stream:resp_command().
early_error(_StreamId, _Reason, _PartialReq, {response, Status, Headers, Body}, _Options) ->
    _ = hornbeam_clock:is_busy() andalso hornbeam_clock:mute(),
    {response, Status, Headers#{<<"server">> => <<"hornbeam">>, <<"date">> => cowboy_clock:rfc1123()}, Body}.

event(Event, #stream{request = Request0} = Stream) ->
    {Effects, Request} = hornbeam_request:event(Event, Request0),
    run(Effects, [], Stream#stream{request = Request});
event(_Event, State) ->
    {[], State}.

%% A WebSocket over HTTP/2: its process's commands to Cowboy, and Cowboy's news for it.
websocket_info({data, _, Data} = Command, {websocket, Pid} = State) ->
    Pid ! {websocket_taken, iolist_size(Data)},
    {[Command], State};
websocket_info({headers, _, _} = Command, State) ->
    {[Command], State};
websocket_info({websocket_flow, Size}, State) ->
    {[{flow, Size}], State};
websocket_info({alarm, _Name, OnOff}, {websocket, Pid} = State) ->
    Pid ! {websocket_alarm, OnOff},
    {[], State};
websocket_info({'EXIT', Pid, normal}, {websocket, Pid} = State) ->
    {[stop], State};
websocket_info(Event, {websocket, Pid} = State) when Event =:= websocket_abort;
                                                     element(1, Event) =:= 'EXIT', element(2, Event) =:= Pid ->
    {[{internal_error, Event, 'The WebSocket ended without a close.'}], State};
websocket_info(_Late, State) ->
    {[], State}.

%% Commands: for Cowboy, as a list of lists (newest first).
run([], Commands, Stream) ->
    {lists:append(lists:reverse(Commands)), Stream};
run([{cowboy, New} | Rest], Commands, Stream) ->
    run(Rest, [New | Commands], Stream);
run([checkout | Rest], Commands, #stream{pool = Pool, request = Request0} = Stream) ->
    Event = case hornbeam_pool:checkout(Pool) of
        {ok, Slot, Id} -> {placed, Slot, Id};
        none -> no_place
    end,
    {Effects, Request} = hornbeam_request:event(Event, Request0),
    run(Effects ++ Rest, Commands, Stream#stream{request = Request});
run([{open, Slot, Id, Frame} | Rest], Commands, #stream{owner = Owner} = Stream) ->
    ok = hornbeam_worker:open(Slot, Id, Owner, Frame),
    run(Rest, Commands, Stream);
run([{send, Slot, Frame} | Rest], Commands, Stream) ->
    ok = hornbeam_worker:send(Slot, Frame),
    run(Rest, Commands, Stream);
run([{close, Slot, Id, Frame} | Rest], Commands, Stream) ->
    ok = hornbeam_worker:close(Slot, Id, Frame),
    run(Rest, Commands, Stream);
run([{wait, Where} | Rest], Commands, #stream{pool = Pool, owner = Owner} = Stream) ->
    case hornbeam_pool:wait(Pool, Owner, Where) of
        ok ->
            run(Rest, Commands, Stream);
        {error, Reason} ->
            {Effects, Request} = hornbeam_request:event({wait_failed, Reason},
                                                        Stream#stream.request),
            run(Effects ++ Rest, Commands, Stream#stream{request = Request})
    end;
run([cancel_wait | Rest], Commands, #stream{pool = Pool, owner = Owner} = Stream) ->
    ok = hornbeam_pool:cancel(Pool, Owner),
    run(Rest, Commands, Stream);
run([{accept, Slot, Id, {Subprotocol, Headers}} | Rest], Commands, #stream{handshake = Handshake} = Stream) ->
    case hornbeam_websocket_handshake:accept(Handshake, Slot, Id, Subprotocol, Headers) of
        {ok, Accepted, switched} ->
            {lists:append(lists:reverse([Accepted | Commands])), switched};
        {ok, Accepted, Pid} ->
            {lists:append(lists:reverse([Accepted | Commands])), {websocket, Pid}};
        {error, Reason} ->
            {Effects, Request} = hornbeam_request:event({accept_failed, Reason}, Stream#stream.request),
            run(Effects ++ Rest, Commands, Stream#stream{request = Request})
    end;
run([{timer, Name, Time} | Rest], Commands, Stream) ->
    run(Rest, Commands, start_timer(Name, Time, cancel_timer(Stream)));
run([cancel_timer | Rest], Commands, Stream) ->
    run(Rest, Commands, cancel_timer(Stream));
run([cut | Rest], Commands, #stream{version = Version} = Stream) ->
    run(Rest, [cut(Version) | Commands], Stream);
run([{log, Level, Reason} | Rest], Commands, #stream{path = Path, request = Request} = Stream) ->
    #{method := Method} = hornbeam_request:summary(Request),
    logger:log(Level, "~ts ~ts: ~ts", [Method, Path, hornbeam_error:format(Reason)]),
    run(Rest, Commands, Stream).

start_timer(_Name, infinity, Stream) ->
    Stream;
start_timer(Name, Time, #stream{owner = Owner} = Stream) ->
    Stream#stream{timer = erlang:send_after(Time, self(), {Owner, {timeout, Name}})}.

cancel_timer(#stream{timer = undefined} = Stream) ->
    Stream;
cancel_timer(#stream{timer = Timer} = Stream) ->
    _ = erlang:cancel_timer(Timer, [{async, true}, {info, false}]),
    Stream#stream{timer = undefined}.

%% The client must see that the response is not complete. HTTP/2: the stream is reset. HTTP/1: the
%% connection is closed in the middle, by taking it over from Cowboy, which would otherwise write a
%% last chunk as if all were well; with a body that only the connection's end delimits (HTTP/1.0), it is reset.
cut('HTTP/2') ->
    [{internal_error, cut, 'The response could not be completed.'}];
cut('HTTP/1.0') ->
    [{switch_protocol, #{}, hornbeam_cut, reset}];
cut('HTTP/1.1') ->
    [{switch_protocol, #{}, hornbeam_cut, close}].
