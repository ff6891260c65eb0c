%%% HTTP/2: Cowboy's stream handler, which brings events to hornbeam_exchange and turns its commands into Cowboy's.
%%%
%%% Called by: Cowboy's HTTP/2 (documented callbacks and commands of cowboy_stream alone), in the connection's process, which must never wait
%%% here. Calls: hornbeam_http2_head, hornbeam_exchange, hornbeam_http2_body, _reply, _idle, hornbeam_http2_output, hornbeam_http2_socket,
%%% hornbeam_clients, hornbeam_websocket. No process is made per request.
%%%
%%% Messages, all of the form {{ConnectionPid, StreamId}, Event} (Cowboy passes Event to info/3): those of hornbeam_exchange; from itself
%%% submit, {timeout, Name}, body_pause, ending (hornbeam_http2_socket:finish/2); overdue (hornbeam_http2_output); for a WebSocket its process's commands.
-module(hornbeam_http2_stream).
-behaviour(cowboy_stream).

-include("hornbeam_head.hrl").

-export([init/3, data/4, info/3, terminate/3, early_error/5]).

-record(stream, {
    exchange :: hornbeam_exchange:exchange(),
    owner :: hornbeam_pool:owner(),
    body :: hornbeam_http2_body:body(),
    timer :: reference() | undefined
}).
%% A body from which on it is read in larger pieces.
-define(LARGE, 16384).
%% The stream of a WebSocket passes on what comes ({websocket, Pid}).
-type state() :: #stream{} | {websocket, pid()}.

-spec init(cowboy_stream:streamid(), cowboy_req:req(), cowboy:opts()) -> {cowboy_stream:commands(), state()}.
init(StreamId, Req, #{context := #{place := Place} = Context, scheme := Scheme, limits := #{body_timeout := BodyTimeout} = Limits}) ->
    Owner = {self(), StreamId},
    ok = hornbeam_http2_idle:opened(StreamId),
    case hornbeam_http2_head:read(Req, Limits, Place) of
        {ok, #head{length = Length} = Head0} ->
            Head = Head0#head{scheme = Scheme},
            %% `unknown' is more than any number; for a WebSocket it is no body.
            _ = Length > ?LARGE andalso Head#head.protocol =:= undefined andalso hornbeam_http2_socket:upload(true),
            {Commands, Exchange} = hornbeam_exchange:open(Head, Owner, Context),
            _ = hornbeam_exchange:is_gathering(Exchange) andalso (self() ! {Owner, submit}),
            run(Commands, [], #stream{exchange = Exchange, owner = Owner, body = hornbeam_http2_body:new(Length, BodyTimeout, Owner)});
        {refuse, Reason, #head{length = Length} = Head} ->
            run(hornbeam_exchange:refuse(Reason, Head, Context), [],
                #stream{exchange = hornbeam_exchange:over(), owner = Owner, body = hornbeam_http2_body:new(Length, infinity, Owner)})
    end.

-spec data(cowboy_stream:streamid(), cowboy_stream:fin(), binary(), state()) -> {cowboy_stream:commands(), state()}.
data(_StreamId, nofin, <<>>, State) ->
    ok = hornbeam_http2_socket:empty(),
    {[], State};
data(_StreamId, IsFin, Data, {websocket, Pid} = State) ->
    Pid ! {websocket_data, IsFin, Data},
    {[], State};
data(_StreamId, IsFin, Data, #stream{body = Body0} = State) ->
    case hornbeam_http2_body:data(IsFin, byte_size(Data), Body0) of
        {ignore, _} -> {[], State};
        {Last, Body} -> event({body, Last, Data}, State#stream{body = Body})
    end.

-spec info(cowboy_stream:streamid(), term(), state()) -> {cowboy_stream:commands(), state()}.
info(StreamId, {alarm, stream_buffer_full, OnOff}, State) ->
    ok = hornbeam_http2_output:alarm(StreamId, OnOff),
    alarm(OnOff, State);
info(StreamId, overdue, State) ->
    {[{internal_error, overdue, 'The client takes nothing.'} || hornbeam_http2_output:is_overdue(StreamId)], State};
info(StreamId, ending, State) ->
    {[{internal_error, ended, 'The response is complete.'} || hornbeam_http2_socket:finish(StreamId, is_read(State))], State};
info(StreamId, Event, {websocket, _} = State) ->
    websocket_info(Event, StreamId, State);
info(_StreamId, body_pause, #stream{body = Body0} = State) ->
    case hornbeam_http2_body:paused(Body0) of
        {true, Body} -> event({body_failed, body_timeout}, State#stream{body = Body});
        {false, Body} -> {[], State#stream{body = Body}}
    end;
%% Cowboy completes by itself what an ended stream left open.
info(_StreamId, {response, _, _, _} = Command, State) ->
    {[Command], State};
info(_StreamId, {data, fin, <<>>} = Command, State) ->
    {[Command], State};
info(_StreamId, Event, State) ->
    event(Event, State).

-spec terminate(cowboy_stream:streamid(), cowboy_stream:reason(), state()) -> ok.
terminate(StreamId, _Reason, State) ->
    ok = ended(State),
    ok = hornbeam_clients:leave(StreamId),
    ok = hornbeam_http2_output:ended(StreamId),
    ok = hornbeam_http2_socket:ended(StreamId),
    _ = hornbeam_http2_idle:closed() andalso hornbeam_http2_socket:over(),
    ok.

ended({websocket, Pid}) ->
    Pid ! websocket_gone,
    ok;
ended(#stream{exchange = Exchange, body = Body} = Stream) ->
    _ = cancel_timer(Stream),
    ok = hornbeam_http2_body:stop(Body),
    hornbeam_exchange:gone(Exchange).

%% Cowboy's answer to a head that it refuses.
-spec early_error(cowboy_stream:streamid(), cowboy_stream:reason(), cowboy_stream:partial_req(), Response, cowboy:opts()) -> Response
    when Response :: cowboy_stream:resp_command().
early_error(_StreamId, _Reason, _PartialReq, {response, Status, Headers, Body}, _Options) ->
    {response, Status, maps:merge(hornbeam_http2_reply:head([], none), Headers), Body}.

alarm(OnOff, {websocket, Pid} = State) ->
    Pid ! {websocket_alarm, OnOff},
    {[], State};
alarm(OnOff, State) ->
    event({alarm, OnOff}, State).

is_read({websocket, _}) -> false;
is_read(#stream{body = Body}) -> hornbeam_http2_body:is_read(Body).

event(Event, #stream{exchange = Exchange0} = Stream) ->
    {Commands, Exchange} = hornbeam_exchange:event(Event, Exchange0),
    run(Commands, [], Stream#stream{exchange = Exchange}).

%% Given: to Cowboy, newest first.
run([], Given, Stream) ->
    {lists:reverse(Given), Stream};
run([{timer, Name, Time} | Rest], Given, Stream) ->
    run(Rest, Given, start_timer(Name, Time, cancel_timer(Stream)));
run([cancel_timer | Rest], Given, Stream) ->
    run(Rest, Given, cancel_timer(Stream));
run([{upgrade, Accepted} | _], Given, #stream{owner = {Connection, StreamId}} = Stream) ->
    _ = cancel_timer(Stream),
    Pid = hornbeam_websocket:start_stream(Connection, StreamId),
    {Headers, Handover} = hornbeam_websocket_handshake:handover(Accepted, Pid),
    Pid ! {start, Handover},
    {lists:reverse(Given, [{headers, 200, hornbeam_http2_reply:head(Headers, none)}, {spawn, Pid, 5000}]), {websocket, Pid}};
run([close | Rest], Given, Stream) ->
    run(Rest, Given, Stream);
run([{read, Octets} | Rest], Given, #stream{body = Body} = Stream) ->
    run(Rest, [{flow, Octets} | Given], Stream#stream{body = hornbeam_http2_body:more(Octets, Body)});
%% When Cowboy ends the stream now, as it does but for what hornbeam_http2_socket says, the message finds none.
run([done | Rest], [End | _] = Given, #stream{owner = Owner} = Stream)
        when End =:= {data, fin, <<>>}; element(1, End) =:= trailers ->
    self() ! {Owner, ending},
    run(Rest, [stop | Given], Stream);
run([Command | Rest], Given, Stream) ->
    run(Rest, [command(Command) | Given], Stream).

command({inform, Status, Headers}) -> {inform, Status, hornbeam_http2_reply:fields(Headers)};
command({reply, Status, Headers, Length, {sendfile, Size, Path}}) ->
    {response, status(Status), hornbeam_http2_reply:head(Headers, Length), {sendfile, 0, Size, Path}};
command({reply, Status, Headers, Length, Body}) -> {response, status(Status), hornbeam_http2_reply:head(Headers, Length), Body};
command({start, Status, Headers, Length}) -> {headers, status(Status), hornbeam_http2_reply:head(Headers, Length)};
command({data, IsFin, Data}) -> {data, IsFin, Data};
command({trailers, Headers}) -> {trailers, hornbeam_http2_reply:fields(Headers)};
%% The client must see that the response is not complete: the stream is reset.
command(cut) -> {internal_error, cut, 'The response could not be completed.'};
command(done) -> stop.

%% Cowboy makes of a number what it knows; a status that it does not know is given as text.
status(Code) -> integer_to_binary(Code).

start_timer(_Name, infinity, Stream) ->
    Stream;
start_timer(Name, Time, #stream{owner = Owner} = Stream) ->
    Stream#stream{timer = erlang:send_after(Time, self(), {Owner, {timeout, Name}})}.

cancel_timer(#stream{timer = undefined} = Stream) ->
    Stream;
cancel_timer(#stream{timer = Timer} = Stream) ->
    _ = erlang:cancel_timer(Timer, [{async, true}, {info, false}]),
    Stream#stream{timer = undefined}.

%% A WebSocket over HTTP/2: its process's commands to Cowboy, and Cowboy's news for it.
websocket_info({data, _, Data} = Command, _StreamId, {websocket, Pid} = State) ->
    Pid ! {websocket_taken, iolist_size(Data)},
    {[Command], State};
websocket_info({websocket_flow, Size}, _StreamId, State) ->
    {[{flow, Size}], State};
websocket_info({'EXIT', Pid, normal}, StreamId, {websocket, Pid} = State) ->
    self() ! {{self(), StreamId}, ending},
    {[stop], State};
websocket_info(Event, _StreamId, {websocket, Pid} = State) when Event =:= websocket_abort;
                                                     element(1, Event) =:= 'EXIT', element(2, Event) =:= Pid ->
    {[{internal_error, Event, 'The WebSocket ended without a close.'}], State};
websocket_info(_Late, _StreamId, State) ->
    {[], State}.
