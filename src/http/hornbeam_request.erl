%%% One HTTP request as a state machine without effects: event -> {effects, state}.
%%%
%%% Called by: hornbeam_exchange, which brings the events, carries out the effects on pool and worker, and passes the others on to the protocol as
%%% commands (listed there). Calls: hornbeam_response (what the application says to the client), hornbeam_credit, hornbeam_frame,
%%% hornbeam_error (all pure; for a pathsend the file is looked at).
%%%
%%% Phases
%%%
%%%     gathering ──body complete, or `submit'──▶ placing ──placed──▶ sent ──response──▶ answering ──▶ over
%%%                                                │  ▲                │                  │
%%%                                           no_place└─try_again    lost, timeout: an answer of the
%%%                                                ▼  │              server's; once more to another
%%%                                                waiting            worker where that is safe
%%%
%%%   gathering  the request has a body and the first bytes of it may already be here: the protocol says `submit' when it has
%%%              given what was read together with the head. So a small body that came at once travels in the frame of its
%%%              scope, and nobody waits for one that did not.
%%%   placing    a place on a worker is being taken (effect `checkout')
%%%   waiting    no place is free; queue_timeout runs
%%%   sent       on a worker; `timeout' runs until the response starts
%%%   answering  the response has started
%%%   over       every further event is ignored
%%%
%%% What is left of the request's body when the response is complete is the protocol's matter.
%%%
%%% Credit (hornbeam_credit has the rule). Towards the application: the protocol reads while less than body_prefetch octets are
%%% not consumed, as the application's `demand' says. Towards the client: each piece of the response counts as taken
%%% when it is handed to the protocol. On HTTP/1 its write blocks while the client is slow. On HTTP/2 it waits
%%% for the client's windows and the protocol says so with an alarm: credit is withheld until it is off. Both windows are wide
%%% when it is one of few; that of the response when the client has taken a window.
%%%
%%% Once more. A worker that dies costs what it had not answered. When a request has not started its response, its method
%%% is safe (RFC 9110, 9.2.1) and all of it is still here, it goes to another worker, once. One that a worker refused without
%%% passing it on to Python goes to another whatever the method.
-module(hornbeam_request).

-export([new/3, websocket/3, event/2, gone/1, summary/1, was_placed/1, is_gathering/1]).
-export_type([request/0, event/0, effect/0]).

-include("hornbeam.hrl").
-include("hornbeam_head.hrl").

-type event() :: {body, fin | nofin, iodata()} | submit
               | {placed, #slot{}, hornbeam_frame:stream_id(), Load :: pos_integer()} | no_place | try_again | {wait_failed, term()}
               | {worker, hornbeam_frame:type(), binary()} | {worker_lost, refused | died | drained} | drain
               | {accept_failed, term()} | {timeout, response | queue} | {body_failed, body_timeout | malformed} | {alarm, on | off}.

-type effect() :: hornbeam_exchange:command()
                | checkout | {wait, front | back} | cancel_wait
                | {open, #slot{}, hornbeam_frame:stream_id(), iodata()}
                | {send, #slot{}, iodata()}
                | {close, #slot{}, hornbeam_frame:stream_id(), iodata()}
                | {accept, #slot{}, hornbeam_frame:stream_id(), {Subprotocol :: binary() | none, Headers :: binary()}}
                | {log, logger:level(), Reason :: term()}
                | {fail, hornbeam_error:reason()}.      % the server answers: a reply

-record(request, {
    %% For the life of the request:
    kind = http :: http | websocket,
    method :: binary(),
    version :: hornbeam_headers:version(),
    scope :: binary(),
    settings :: map(),
    %% The request's body, as far as it has come:
    body = [] :: iodata(),
    body_size = 0 :: non_neg_integer(),     % of what is in `body'
    received = 0 :: non_neg_integer(),      % of all of it
    unread = 0 :: non_neg_integer(),        % of it not consumed by the application
    complete :: boolean(),
    expects :: boolean(),                   % the client waits for 100 (Continue)
    %% Where it is:
    phase = gathering :: gathering | placing | waiting | sent | answering | over,
    slot :: #slot{} | undefined,
    id :: hornbeam_frame:stream_id() | undefined,
    whole = true :: boolean(),              % scope and body are all that the worker was sent
    wide = no :: no | pos_integer() | given,    % octets of the response until the application is given more
    again = false :: boolean(),             % it was sent to a second worker
    waited = false :: boolean(),            % it has had its turn among those who wait
    %% The response:
    te = undefined :: undefined | binary(), % the client's TE field
    response = none :: none | hornbeam_response:response(),     % one that goes on
    taken = 0 :: non_neg_integer(),         % not yet credited
    alarm = off :: on | off
}).
-opaque request() :: #request{}.

-define(IS_SAFE(Method), (Method =:= <<"GET">> orelse Method =:= <<"HEAD">>
                          orelse Method =:= <<"OPTIONS">>)).

%% @doc A request whose head has been read.
-spec new(#head{}, Scope :: binary(), Settings :: map()) -> {[effect()], request()}.
new(#head{method = Method, version = Version, length = Length, expect = Expect, te = TE}, Scope,
    #{max_body_size := MaxBody} = Settings) ->
    Request = #request{method = Method, version = Version, scope = Scope, settings = Settings,
                       complete = Length =:= 0, expects = Length =/= 0 andalso Expect =:= continue, te = TE},
    case Length of
        0 -> place(Request);
        _ when is_integer(Length), Length > MaxBody -> fail(body_too_large, Request);
        _ -> {[{read, prefetch(Request)}], Request}
    end.

%% @doc A WebSocket handshake. It goes the way of a GET; `ws_accept' ends it with the effect `accept'.
-spec websocket(#head{}, Scope :: binary(), Settings :: map()) -> {[effect()], request()}.
websocket(#head{version = Version}, Scope, Settings) ->
    place(#request{kind = websocket, method = <<"GET">>, version = Version, scope = Scope,
                   settings = Settings, complete = true, expects = false}).

%% @doc For a log line.
-spec summary(request()) -> #{method := binary(), phase := atom(), complete := boolean()}.
summary(#request{method = Method, phase = Phase, complete = Complete}) ->
    #{method => Method, phase => Phase, complete => Complete}.

%% @doc Whether it has been on a worker.
-spec was_placed(request()) -> boolean().
was_placed(#request{id = Id}) -> Id =/= undefined.

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
gone(#request{}) ->
    [].

-spec event(event(), request()) -> {[effect()], request()}.
event({worker, Type, Payload}, #request{phase = Phase} = Request)
        when Phase =:= sent; Phase =:= answering ->
    case hornbeam_frame:parse(Type, Payload) of
        {ok, Term} -> answer(Type, Term, Request);
        error -> fail(bad_response, Request)
    end;
event({body, IsFin, Data}, #request{received = Received0, settings = Settings} = Request0) ->
    Received = Received0 + iolist_size(Data),
    Request = Request0#request{received = Received, unread = Request0#request.unread + Received - Received0,
                               complete = IsFin =:= fin},
    case Received > maps:get(max_body_size, Settings) of
        true -> fail(body_too_large, Request);
        false -> body(Data, Request)
    end;
event(submit, #request{phase = gathering} = Request) ->
    place(Request);
event({placed, Slot, Id, Load}, #request{phase = placing, settings = #{timeout := Timeout, window := Window}} = Request) ->
    Sent = Request#request{phase = sent, slot = Slot, id = Id, wide = case hornbeam_credit:is_wide(Load) of true -> Window; false -> no end},
    {[{timer, response, Timeout},
      {open, Slot, Id, open_frame(Sent)} | more_room(Request, Sent)], Sent};
event(no_place, #request{phase = placing, again = Again, waited = Waited, settings = Settings} = Request) ->
    Where = case Again orelse Waited of true -> front; false -> back end,
    {[{timer, queue, maps:get(queue_timeout, Settings)}, {wait, Where}],
     Request#request{phase = waiting}};
event(try_again, #request{phase = waiting} = Request) ->
    {[cancel_timer, checkout], Request#request{phase = placing, waited = true}};
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
event({accept_failed, hook_failed}, #request{phase = sent} = Request) ->
    fail(hook_failed, Request);
event({accept_failed, Reason}, #request{phase = sent} = Request) ->
    fail({bad_response, Reason}, Request);
event({timeout, response}, #request{phase = sent} = Request) ->
    fail(timeout, Request);
event({body_failed, Reason}, #request{phase = waiting, complete = false} = Request) ->
    {Effects, Failed} = fail(Reason, Request),
    {[cancel_wait | Effects], Failed};
event({body_failed, Reason}, #request{complete = false} = Request) ->
    fail(Reason, Request);
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
                           body_size = Request#request.body_size + iolist_size(Data)},
    case Phase =:= gathering andalso Held#request.complete of
        true -> place(Held);
        false -> {[], Held}
    end;
body(Data, #request{phase = Phase, slot = Slot, id = Id, complete = Complete} = Request)
        when Phase =:= sent; Phase =:= answering ->
    Type = case Complete of true -> body_end; false -> body end,
    {[{send, Slot, hornbeam_frame:encode(Type, Id, Data)}],
     Request#request{whole = false}};
body(_Data, Request) ->
    {[], Request}.

%% The protocol counts down what it may still read, but forgets by how much it has read too much. So it is told only of what
%% makes more room than there was; else it would read ahead a little further each time.
read(Count, #request{unread = Unread} = Request) ->
    Prefetch = prefetch(Request),
    case hornbeam_credit:room(Unread - Count, Prefetch) - hornbeam_credit:room(Unread, Prefetch) of
        0 -> [];
        More -> [{read, More}]
    end.

more_room(#request{complete = true}, _Now) ->
    [];
more_room(#request{unread = Unread} = Before, Now) ->
    case hornbeam_credit:room(Unread, prefetch(Now)) - hornbeam_credit:room(Unread, prefetch(Before)) of
        More when More > 0 -> [{read, More}];
        _ -> []
    end.

%% Nothing to begin with would never be asked for.
prefetch(#request{wide = no, settings = #{body_prefetch := Prefetch}}) -> max(1, Prefetch);
prefetch(#request{settings = #{body_prefetch := Prefetch}}) -> max(1, hornbeam_credit:wide(Prefetch)).

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

answer(response, {true, Status, Packed, Body}, #request{phase = sent, method = Method} = Request) ->
    reply(hornbeam_response:whole(Method, Status, Packed, Body), Request);
answer(response, {false, Status, Packed, Body}, #request{phase = sent, method = Method, version = Version, te = TE} = Request) ->
    case hornbeam_response:start(Method, Version, TE, Status, Packed) of
        {ok, Head, Response} ->
            {Effects, Next} = answer(data, {false, Body}, Request#request{phase = answering, response = Response}),
            {[cancel_timer, Head | Effects], Next};
        {error, Reason} ->
            fail(Reason, Request)
    end;
answer(data, {Last, Data}, #request{phase = answering, response = Response0} = Request) ->
    case hornbeam_response:data(Last, Data, Response0) of
        {ok, Commands, _Response} when Last ->
            {Commands ++ [done], Request#request{phase = over}};
        {ok, Commands, Response} ->
            {Credit, Next} = credit(byte_size(Data), Request#request{response = Response}),
            {Commands ++ Credit, Next};
        {error, Reason} ->
            fail(Reason, Request)
    end;
answer(demand, Count, #request{unread = Unread} = Request) when Count > Unread ->
    fail(bad_response, Request);
answer(demand, Count, #request{phase = Phase, expects = Expects, received = Received} = Request) ->
    Continue = [{inform, 100, []} || Expects, Phase =:= sent, Received =:= 0],
    {Continue ++ read(Count, Request), Request#request{expects = false, unread = Request#request.unread - Count}};
answer(inform, {Status, Packed}, #request{phase = sent} = Request) ->
    case hornbeam_response:inform(Status, Packed) of
        {ok, Inform} -> {[Inform], Request};
        {error, Reason} -> fail(Reason, Request)
    end;
answer(trailers, Packed, #request{phase = answering, response = Response} = Request) ->
    case hornbeam_response:trailers(Packed, Response) of
        {ok, Commands} -> {Commands ++ [done], Request#request{phase = over}};
        {error, Reason} -> fail(Reason, Request)
    end;
answer(pathsend, {Status, Packed, Path}, #request{phase = sent, method = Method} = Request) ->
    reply(hornbeam_response:file(Method, Status, Packed, Path), Request);
%% The application ended the stream with a reason: hornbeam_error knows what to say.
answer(abort, Reason, Request) ->
    fail(Reason, Request);
answer(ws_accept, Accept, #request{kind = websocket, phase = sent, slot = Slot, id = Id} = Request) ->
    {[cancel_timer, {accept, Slot, Id, Accept}], Request};
answer(ws_end, _CodeAndReason, #request{kind = websocket, phase = sent} = Request) ->
    fail(forbidden, Request);
answer(_Type, _Term, Request) ->
    fail(bad_response, Request).

reply({ok, Reply}, Request) -> {[cancel_timer, Reply, done], Request#request{phase = over}};
reply({error, Reason}, Request) -> fail(Reason, Request).

%% Counts what the protocol has been given and tells Python, a quarter of a window at a time.
credit(Size, #request{phase = Phase, taken = Taken0, alarm = Alarm} = Request0) ->
    Request = Request0#request{taken = Taken0 + Size},
    case Phase =:= answering andalso Alarm =:= off andalso hornbeam_credit:is_due(Taken0 + Size, window(Request)) of
        true -> credited(Request);
        false -> {[], Request}
    end.

credited(#request{slot = Slot, id = Id, taken = Taken, wide = Wide, settings = #{window := Window}} = Request) ->
    {More, Next} = case Wide of
        Left when is_integer(Left), Left =< Taken -> {hornbeam_credit:wide(Window) - Window, given};
        Left when is_integer(Left) -> {0, Left - Taken};
        _ -> {0, Wide}
    end,
    {[{send, Slot, hornbeam_frame:encode(credit, Id, <<(Taken + More):32>>)}], Request#request{taken = 0, wide = Next}}.

window(#request{wide = given, settings = #{window := Window}}) -> hornbeam_credit:wide(Window);
window(#request{settings = #{window := Window}}) -> Window.

%%% Answers of the server's own

fail(Reason, #request{phase = answering} = Request) ->
    {[cut | logged(Reason) ++ leave(Request)], Request#request{phase = over}};
fail(Reason, #request{phase = over} = Request) ->
    {logged(Reason), Request};
fail(Reason, #request{complete = Complete} = Request) ->
    %% A body that nobody will read is not read: the connection closes after the answer.
    {[cancel_timer | logged(Reason) ++ leave(Request)] ++ [close || not Complete] ++ [{fail, kind(Reason)}, done],
     Request#request{phase = over}}.

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
