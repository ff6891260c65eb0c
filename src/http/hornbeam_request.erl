%%% One HTTP request as a state machine without effects: event -> {effects, state}.
%%%
%%% Called by: hornbeam_stream, which brings the events and carries out the effects. Calls: hornbeam_credit,
%%% hornbeam_frame, hornbeam_headers, hornbeam_error (all pure); for a pathsend the file is looked at.
%%%
%%% Phases
%%%
%%%     gathering ──body complete, or `submit'──▶ placing ──placed──▶ sent ──response──▶ answering ──▶ over
%%%                                                │  ▲                │                  │
%%%                                           no_place└─try_again    lost, timeout: an answer of the
%%%                                                ▼  │              server's; once more to another
%%%                                                waiting            worker where that is safe
%%%     sent, answering ──response complete before the request's body──▶ draining ──▶ over
%%%
%%%   gathering  the request has a body and the first bytes of it may already be here: hornbeam_stream sends itself
%%%              `submit', which comes after whatever was read together with the head. So a small
%%%              body that came at once travels in the frame of its scope, and nobody waits for one
%%%              that did not.
%%%   placing    a place on a worker is being taken (effect `checkout')
%%%   waiting    no place is free; queue_timeout runs
%%%   sent       on a worker; `timeout' runs until the response starts
%%%   answering  the response has started
%%%   draining   HTTP/1: the answer is complete, and the rest of the request's body, which stands before the
%%%              next request, is read and dropped: up to ?MAX_DRAIN bytes, for keepalive_timeout at most
%%%   over       every further event is ignored
%%%
%%% Credit (hornbeam_credit has the rule). Towards the application: Cowboy reads while less than body_prefetch bytes are
%%% not consumed, as the application's `demand' says. Towards the client: each piece of the response counts as taken
%%% when it is handed to Cowboy, whose write blocks while the client is slow. On HTTP/2 Cowboy does not block but
%%% raises an alarm: credit is withheld until it is off.
%%%
%%% Once more. A worker that dies costs what it had not answered. When a request has not started its response, its method
%%% is safe (RFC 9110, 9.2.1) and all of it is still here, it goes to another worker, once. One that a worker refused without
%%% passing it on to Python goes to another whatever the method.
-module(hornbeam_request).

-export([new/3, websocket/3, event/2, gone/1, summary/1, is_gathering/1]).
-export_type([request/0, event/0, effect/0]).

-include("hornbeam.hrl").
-include_lib("kernel/include/file.hrl").

-type event() :: {body, fin | nofin, binary()} | submit
               | {placed, #slot{}, hornbeam_frame:stream_id()} | no_place | try_again | {wait_failed, term()}
               | {worker, hornbeam_frame:type(), binary()} | {worker_lost, refused | died | drained} | drain
               | {accept_failed, term()} | {timeout, response | queue | drain} | {alarm, on | off}.

-type effect() :: {cowboy, cowboy_stream:commands()}
                | cut                                   % end the connection or stream mid-response
                | checkout | {wait, front | back} | cancel_wait
                | {open, #slot{}, hornbeam_frame:stream_id(), iodata()}
                | {send, #slot{}, iodata()}
                | {close, #slot{}, hornbeam_frame:stream_id(), iodata()}
                | {accept, #slot{}, hornbeam_frame:stream_id(), {Subprotocol :: binary() | none, Headers :: binary()}}
                | {timer, response | queue | drain, timeout()} | cancel_timer
                | {log, logger:level(), Reason :: term()}.

-record(request, {
    %% For the life of the request:
    kind = http :: http | websocket,
    method :: binary(),
    version :: cowboy:http_version(),
    scope :: binary(),
    settings :: map(),
    %% The request's body, as far as it has come:
    body = [] :: iodata(),
    body_size = 0 :: non_neg_integer(),     % of what is in `body'
    received = 0 :: non_neg_integer(),      % of all of it
    unread = 0 :: non_neg_integer(),        % of it not consumed by the application
    complete :: boolean(),
    length :: non_neg_integer() | undefined, % as the client declared it
    expects :: boolean(),                   % the client waits for 100 (Continue)
    %% Where it is:
    phase = gathering :: gathering | placing | waiting | sent | answering | draining | over,
    slot :: #slot{} | undefined,
    id :: hornbeam_frame:stream_id() | undefined,
    whole = true :: boolean(),              % scope and body are all that the worker was sent
    again = false :: boolean(),             % it was sent to a second worker
    %% The response:
    te = none :: none | binary(),           % the client's TE field
    sink = false :: boolean(),              % no body may be sent; what comes is dropped
    left = none :: none | non_neg_integer(), % of the declared content-length
    taken = 0 :: non_neg_integer(),         % not yet credited
    alarm = off :: on | off
}).
-opaque request() :: #request{}.

%% The same as Cowboy's default for max_skip_body_length: beyond it Cowboy ends the connection.
-define(MAX_DRAIN, 1000000).

-define(IS_SAFE(Method), (Method =:= <<"GET">> orelse Method =:= <<"HEAD">>
                          orelse Method =:= <<"OPTIONS">>)).

%% @doc A request whose head has been read.
-spec new(cowboy_req:req(), Scope :: binary(), Settings :: map()) -> {[effect()], request()}.
new(#{method := Method, version := Version, headers := Headers, has_body := HasBody,
      body_length := Length}, Scope, #{max_body_size := MaxBody} = Settings) ->
    Request = #request{method = Method, version = Version, scope = Scope, settings = Settings,
                       complete = not HasBody, expects = HasBody andalso expects(Headers),
                       length = Length, te = maps:get(<<"te">>, Headers, none)},
    case Length of
        _ when is_integer(Length), Length > MaxBody -> fail(body_too_large, Request);
        %% What streams have left of the connection's window may be too little for the prefetch.
        _ when HasBody, Version =:= 'HTTP/2' ->
            {[{cowboy, [{flow, prefetch(Request)}]}], Request};
        _ when HasBody -> {[], Request};
        _ -> place(Request)
    end.

%% @doc A WebSocket handshake. It goes the way of a GET; `ws_accept' ends it with the effect `accept'.
-spec websocket(cowboy_req:req(), Scope :: binary(), Settings :: map()) -> {[effect()], request()}.
websocket(#{version := Version}, Scope, Settings) ->
    place(#request{kind = websocket, method = <<"GET">>, version = Version, scope = Scope,
                   settings = Settings, complete = true, expects = false}).

expects(#{<<"expect">> := Value}) -> string:lowercase(Value) =:= <<"100-continue">>;
expects(_) -> false.

%% @doc For a log line.
-spec summary(request()) -> #{method := binary(), phase := atom(), complete := boolean()}.
summary(#request{method = Method, phase = Phase, complete = Complete}) ->
    #{method => Method, phase => Phase, complete => Complete}.

%% @doc Whether it waits for `submit'.
-spec is_gathering(request()) -> boolean().
is_gathering(#request{phase = Phase}) ->
    Phase =:= gathering.

%% @doc The client has gone, or the connection ends: what has to be undone.
-spec gone(request()) -> [effect()].
gone(#request{phase = Phase, slot = Slot, id = Id}) when Phase =:= sent; Phase =:= answering ->
    [cancel_timer, {close, Slot, Id, disconnect(Id)}];
gone(#request{phase = waiting}) ->
    [cancel_timer, cancel_wait];
gone(#request{phase = draining}) ->
    [cancel_timer];
gone(#request{}) ->
    [].

-spec event(event(), request()) -> {[effect()], request()}.
event({worker, Type, Payload}, #request{phase = Phase} = Request)
        when Phase =:= sent; Phase =:= answering ->
    case hornbeam_frame:parse(Type, Payload) of
        {ok, Term} -> answer(Type, Term, Request);
        error -> fail(bad_response, Request)
    end;
event({body, IsFin, Data}, #request{phase = draining} = Request) ->
    drain(IsFin, byte_size(Data), Request);
event({body, IsFin, Data}, #request{received = Received0, settings = Settings} = Request0) ->
    Received = Received0 + byte_size(Data),
    Request = Request0#request{received = Received, unread = Request0#request.unread + byte_size(Data),
                               complete = IsFin =:= fin},
    case Received > maps:get(max_body_size, Settings) of
        true -> fail(body_too_large, Request);
        false -> body(Data, Request)
    end;
event(submit, #request{phase = gathering} = Request) ->
    place(Request);
event({placed, Slot, Id}, #request{phase = placing} = Request) ->
    Sent = Request#request{phase = sent, slot = Slot, id = Id},
    {[{timer, response, maps:get(timeout, Request#request.settings)},
      {open, Slot, Id, open_frame(Sent)}], Sent};
event(no_place, #request{phase = placing, again = Again, settings = Settings} = Request) ->
    Where = case Again of true -> front; false -> back end,
    {[{timer, queue, maps:get(queue_timeout, Settings)}, {wait, Where}],
     Request#request{phase = waiting}};
event(try_again, #request{phase = waiting} = Request) ->
    {[cancel_timer, checkout], Request#request{phase = placing, again = true}};
event({worker_lost, refused}, #request{phase = sent, whole = true} = Request) ->
    place(Request);
event({worker_lost, _}, #request{phase = sent, whole = true, again = false, method = Method,
                                 complete = true} = Request) when ?IS_SAFE(Method) ->
    place(Request#request{again = true});
event({worker_lost, drained}, #request{phase = Phase} = Request) when Phase =:= sent; Phase =:= answering ->
    fail(worker_drained, Request#request{slot = undefined});
event(drain, #request{phase = sent, whole = true, again = false, method = Method,
                      complete = true} = Request) when ?IS_SAFE(Method) ->
    {Effects, Placing} = place(Request#request{again = true}),
    {leave(Request) ++ Effects, Placing};
event(drain, #request{phase = Phase} = Request) when Phase =:= sent; Phase =:= answering ->
    fail(worker_drained, Request);
event({worker_lost, _}, #request{phase = Phase} = Request)
        when Phase =:= sent; Phase =:= answering ->
    fail(worker_died, Request#request{slot = undefined});
event({accept_failed, Reason}, #request{phase = sent} = Request) ->
    fail({bad_response, Reason}, Request);
event({timeout, response}, #request{phase = sent} = Request) ->
    fail(timeout, Request);
event({timeout, drain}, #request{phase = draining} = Request) ->
    {[cut], Request#request{phase = over}};
event({timeout, queue}, #request{phase = waiting} = Request) ->
    {Effects, Failed} = fail(overloaded, Request),
    {[cancel_wait | Effects], Failed};
event({wait_failed, _}, #request{phase = waiting} = Request) ->
    fail(overloaded, Request);
event({alarm, Alarm}, #request{} = Request) ->
    credit(0, Request#request{alarm = Alarm});
event(_Late, Request) ->
    {[], Request}.

%%% The request's body

body(Data, #request{phase = Phase} = Request)
        when Phase =:= gathering; Phase =:= placing; Phase =:= waiting ->
    Held = Request#request{body = [Request#request.body | Data],
                           body_size = Request#request.body_size + byte_size(Data)},
    case Phase =:= gathering andalso Held#request.complete of
        true -> place(Held);
        false -> {[], Held}
    end;
body(Data, #request{phase = Phase, slot = Slot, id = Id, complete = Complete} = Request)
        when Phase =:= sent; Phase =:= answering ->
    Flags = case Complete of true -> 1; false -> 0 end,
    {[{send, Slot, hornbeam_frame:encode(body, Id, [Flags | Data])}],
     Request#request{whole = false}};
body(_Data, Request) ->
    {[], Request}.

%% Cowboy counts down what it may still read, but forgets by how much it has read too much. So it is told only of what
%% makes more room than there was; else it would read ahead a little further each time.
flow(Count, #request{unread = Unread} = Request) ->
    Prefetch = prefetch(Request),
    case hornbeam_credit:room(Unread - Count, Prefetch) - hornbeam_credit:room(Unread, Prefetch) of
        0 -> [];
        More -> [{flow, More}]
    end.

%% With nothing to begin with Cowboy never stops.
prefetch(#request{settings = #{body_prefetch := Prefetch}}) ->
    max(1, Prefetch).

drain(fin, _Size, Request) ->
    {[cancel_timer, {cowboy, [stop]}], Request#request{phase = over}};
drain(nofin, Size, #request{received = Received} = Request) when Received + Size < ?MAX_DRAIN ->
    {[], Request#request{received = Received + Size}};
drain(nofin, _Size, Request) ->
    {[cancel_timer, {cowboy, [stop]}], Request#request{phase = over}}.

open_frame(#request{kind = websocket, id = Id, scope = Scope}) ->
    hornbeam_frame:encode(ws_open, Id, Scope);
open_frame(#request{id = Id, scope = Scope, body = Body, body_size = Size, complete = Complete,
                    expects = Expects}) ->
    Flags = case {Complete, Expects} of
        {true, _} -> 1;
        {false, true} -> 2;
        {false, false} -> 0
    end,
    hornbeam_frame:request(Id, Flags, Scope, Body, Size).

place(Request) ->
    {[checkout], Request#request{phase = placing}}.

%%% The response

answer(response, {Last, Status, Packed, Body}, #request{phase = sent} = Request) ->
    case hornbeam_headers:decode(Packed) of
        {ok, Headers} ->
            case hornbeam_headers:content_length(Headers) of
                {error, Reason} -> fail({bad_response, Reason}, Request);
                Length -> start(Last, Status, Headers, Length, Body, Request)
            end;
        {error, Reason} ->
            fail({bad_response, Reason}, Request)
    end;
answer(data, {Last, Data}, #request{phase = answering, sink = true} = Request) ->
    ends(Last, [], credit(byte_size(Data), Request));
answer(data, {Last, Data}, #request{phase = answering, left = none} = Request) ->
    data(Last, Data, Request);
answer(data, {Last, Data}, #request{phase = answering, left = Left} = Request) ->
    case Left - byte_size(Data) of
        Rest when Rest < 0 -> fail({bad_response, body_too_long}, Request);
        Rest when Rest > 0, Last -> fail({bad_response, body_too_short}, Request);
        Rest -> data(Last, Data, Request#request{left = Rest})
    end;
answer(demand, Count, #request{unread = Unread} = Request) when Count > Unread ->
    fail(bad_response, Request);
answer(demand, Count, #request{phase = Phase, expects = Expects, received = Received} = Request) ->
    Continue = [{inform, 100, #{}} || Expects, Phase =:= sent, Received =:= 0],
    {[{cowboy, Continue ++ flow(Count, Request)}],
     Request#request{expects = false, unread = Request#request.unread - Count}};
answer(inform, {Status, Packed}, #request{phase = sent} = Request) ->
    case hornbeam_headers:decode(Packed) of
        {ok, Headers} -> {[{cowboy, [{inform, status(Status), hornbeam_headers:fields(Headers)}]}], Request};
        {error, Reason} -> fail({bad_response, Reason}, Request)
    end;
answer(trailers, Packed, #request{phase = answering} = Request) ->
    case hornbeam_headers:decode(Packed) of
        {ok, Headers} -> trailers(Headers, Request);
        {error, Reason} -> fail({bad_response, Reason}, Request)
    end;
answer(pathsend, {Status, Packed, Path}, #request{phase = sent} = Request) ->
    case hornbeam_headers:decode(Packed) of
        {ok, Headers} -> pathsend(Status, Headers, Path, Request);
        {error, Reason} -> fail({bad_response, Reason}, Request)
    end;
%% The application ended the stream with a reason: hornbeam_error knows what to say.
answer(abort, Reason, Request) ->
    fail(Reason, Request);
answer(ws_accept, Accept, #request{kind = websocket, phase = sent, slot = Slot, id = Id} = Request) ->
    {[cancel_timer, {accept, Slot, Id, Accept}], Request};
answer(ws_end, _CodeAndReason, #request{kind = websocket, phase = sent} = Request) ->
    fail(forbidden, Request);
answer(_Type, _Term, Request) ->
    fail(bad_response, Request).

%% The whole response in one frame.
start(true, Status, Headers, Length, Body, Request) ->
    case whole_length(Status, Length, byte_size(Body), Request) of
        {error, Reason} ->
            fail({bad_response, Reason}, Request);
        {SayLength, SendBody} ->
            Map = header_map(Headers, SayLength, Request),
            Sent = case SendBody of true -> Body; false -> <<>> end,
            {Effects, Ended} = finish([{response, status(Status), Map, Sent}], Request),
            {[cancel_timer | Effects], Ended}
    end;
%% The first piece of a response that goes on.
start(false, Status, Headers, Length, Body, #request{method = Method} = Request0) ->
    Request = Request0#request{phase = answering},
    case Method =:= <<"HEAD">> orelse Status =:= 204 orelse Status =:= 304 of
        true ->
            Say = case Status of 204 -> none; _ -> Length end,
            Head = {response, status(Status), header_map(Headers, Say, Request), <<>>},
            started(Head, credit(byte_size(Body), Request#request{sink = true}));
        false ->
            Head = {headers, status(Status), header_map(Headers, Length, Request)},
            started(Head, answer(data, {false, Body}, Request#request{left = Length}))
    end.

started(Head, {Effects, Request}) ->
    {[cancel_timer, {cowboy, [Head]} | Effects], Request}.

%% A file: its bytes never pass through Python, which has looked whether it can be read (asgi/extensions.py);
%% it is looked at once more, because its length is what frames the body.
pathsend(Status, Headers, Path, #request{method = Method} = Request) ->
    case {file:read_file_info(Path, [raw]), hornbeam_headers:content_length(Headers)} of
        {{ok, #file_info{type = regular, size = Size}}, Length} when Length =:= none; Length =:= Size ->
            Body = case Size =:= 0 orelse Method =:= <<"HEAD">> orelse Status =:= 204 orelse Status =:= 304 of
                true -> <<>>;
                false -> {sendfile, 0, Size, Path}
            end,
            Say = case Status of 204 -> none; _ -> Size end,
            Response = {response, status(Status), header_map(Headers, Say, Request), Body},
            {Effects, Finished} = finish([Response], Request),
            {[cancel_timer | Effects], Finished};
        {{ok, #file_info{type = regular}}, _Differs} ->
            fail({bad_response, {pathsend, content_length}}, Request);
        {{ok, _}, _} ->
            fail({bad_response, {pathsend, not_a_file}}, Request);
        {{error, Reason}, _} ->
            fail({bad_response, {pathsend, Reason}}, Request)
    end.

%% The end of a response that has announced trailers. They are sent when the client said `TE: trailers' (RFC 9110, 6.5.1).
trailers(_Headers, #request{left = Left} = Request) when is_integer(Left), Left > 0 ->
    fail({bad_response, body_too_short}, Request);
trailers(Headers, #request{te = TE, sink = Sink, left = Left, version = Version} = Request) ->
    Last = case not Sink andalso (Left =:= none orelse Version =:= 'HTTP/2') andalso takes_trailers(TE) of
        true -> {trailers, maps:remove(<<"set-cookie">>, hornbeam_headers:fields(Headers))};
        false -> {data, fin, <<>>}
    end,
    finish([Last || not Sink], Request).

takes_trailers(none) ->
    false;
takes_trailers(TE) ->
    try cow_http_hd:parse_te(TE) of
        {Trailers, _} -> Trailers =:= trailers
    catch
        error:_ -> false
    end.

%% What to say as content-length, and whether a body may follow (RFC 9110, 8.6 and 6.4.1).
whole_length(204, _Length, _Size, _Request) -> {none, false};
whole_length(304, Length, _Size, _Request) -> {Length, false};
whole_length(_, none, 0, #request{method = <<"HEAD">>}) -> {none, false};
whole_length(_, none, Size, #request{method = <<"HEAD">>}) -> {Size, false};
whole_length(_, Length, _Size, #request{method = <<"HEAD">>}) -> {Length, false};
whole_length(_, none, Size, _Request) -> {Size, true};
whole_length(_, Size, Size, _Request) -> {Size, true};
whole_length(_, Length, Size, _Request) when Size < Length -> {error, body_too_short};
whole_length(_, _Length, _Size, _Request) -> {error, body_too_long}.

header_map(Headers, Length, #request{complete = true, version = Version} = Request) ->
    hornbeam_headers:response(Headers, Length, Version, mode(Request));
header_map(Headers0, Length, #request{version = Version} = Request) ->
    Headers = case wants_rest(Request) of
        true -> Headers0;
        false -> Headers0 ++ [{<<"connection">>, <<"close">>}]
    end,
    hornbeam_headers:response(Headers, Length, Version, mode(Request)).

%% hornbeam_compress looks at single fields.
mode(#request{settings = #{compress := true}}) -> map;
mode(_Request) -> block.

%% Whether the connection may go on after a response before the end of the request's body. A client
%% that waits for 100 (Continue) may not send it at all (RFC 9110, 10.1.1).
wants_rest(#request{expects = true}) -> false;
wants_rest(#request{length = undefined}) -> true;
wants_rest(#request{length = Length, received = Received}) -> Length - Received =< ?MAX_DRAIN.

%% Cowlib knows the reason phrases of these alone and crashes for other numbers.
status(Code) when Code =< 103; Code >= 200, Code =< 208; Code =:= 226; Code >= 300, Code =< 308; Code >= 400, Code =< 418;
                  Code >= 421, Code =< 426; Code =:= 428; Code =:= 429; Code =:= 431; Code =:= 451;
                  Code >= 500, Code =< 508; Code =:= 510; Code =:= 511 ->
    Code;
status(Code) ->
    <<(integer_to_binary(Code))/binary, " ">>.

data(Last, <<>>, Request) when not Last ->
    {[], Request};
data(Last, Data, Request) ->
    IsFin = case Last of true -> fin; false -> nofin end,
    ends(Last, [{data, IsFin, Data}], credit(byte_size(Data), Request)).

ends(false, Commands, {Credit, Request}) ->
    {[{cowboy, Commands} | Credit], Request};
ends(true, Commands, {_Credit, Request}) ->
    finish(Commands, Request).

%% The response is complete. What Cowboy itself does with the rest of a body is not used: it waits for
%% ever when it has stopped reading, and forgets a request that came in one piece with that rest.
finish(Commands, #request{complete = false, version = Version, settings = Settings} = Request)
        when Version =/= 'HTTP/2' ->
    case wants_rest(Request) of
        true ->
            {[{timer, drain, maps:get(keepalive_timeout, Settings)},
              {cowboy, Commands ++ [{flow, ?MAX_DRAIN}]}],
             Request#request{phase = draining, received = 0}};
        false ->
            {[{cowboy, Commands ++ [stop]}], Request#request{phase = over}}
    end;
finish(Commands, Request) ->
    {[{cowboy, Commands ++ [stop]}], Request#request{phase = over}}.

%% Counts what Cowboy has been given and tells Python, a quarter of a window at a time.
credit(Size, #request{phase = Phase, taken = Taken0, settings = #{window := Window}, alarm = Alarm} = Request) ->
    Taken = Taken0 + Size,
    case Phase =:= answering andalso Alarm =:= off andalso hornbeam_credit:is_due(Taken, Window) of
        true ->
            Frame = hornbeam_frame:encode(credit, Request#request.id, <<Taken:32>>),
            {[{send, Request#request.slot, Frame}], Request#request{taken = 0}};
        false ->
            {[], Request#request{taken = Taken}}
    end.

%%% Answers of the server's own

fail(Reason, #request{phase = answering} = Request) ->
    {[cut | logged(Reason) ++ leave(Request)], Request#request{phase = over}};
fail(Reason, #request{phase = over} = Request) ->
    {logged(Reason), Request};
fail(Reason, #request{method = Method, complete = Complete} = Request) ->
    {Status, Text, _Level} = hornbeam_error:answer(kind(Reason)),
    Map = header_map(error_headers(Reason, Complete), byte_size(Text), Request),
    Body = case Method of <<"HEAD">> -> <<>>; _ -> Text end,
    {[cancel_timer | logged(Reason) ++ leave(Request)]
     ++ [{cowboy, [{response, Status, Map, Body}, stop]}],
     Request#request{phase = over}}.

%% A body that nobody will read is not read: the connection closes after the answer.
error_headers(Reason, Complete) ->
    [{<<"content-type">>, <<"text/plain; charset=utf-8">>}]
    ++ [{<<"retry-after">>, <<"1">>} || Reason =:= overloaded]
    ++ [{<<"connection">>, <<"close">>} || not Complete].

kind({Kind, _Detail}) -> Kind;
kind(Kind) -> Kind.

logged(Reason) ->
    case hornbeam_error:answer(kind(Reason)) of
        {_, _, none} -> [];
        {_, _, Level} -> [{log, Level, Reason}]
    end.

leave(#request{phase = Phase, slot = #slot{} = Slot, id = Id})
        when Phase =:= sent; Phase =:= answering ->
    [{close, Slot, Id, disconnect(Id)}];
leave(_Request) ->
    [].

disconnect(Id) ->
    hornbeam_frame:encode(disconnect, Id, <<0>>).
