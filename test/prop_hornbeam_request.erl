%%% Properties of hornbeam_request, run by properties_tests: whatever happens in whatever order, a
%%% request does not crash, what it tells the protocol is one well-formed response at most, and every stream
%%% that it opens on a worker is closed or has ended.
%%%
%%% The driver stands for hornbeam_exchange: it answers `checkout' and `wait' as the generated choices say.
-module(prop_hornbeam_request).

-include_lib("proper/include/proper.hrl").
-include("hornbeam.hrl").
-include("hornbeam_head.hrl").

-export([prop_any_events/0]).

-record(run, {
    request,
    head,                   % of the request
    choices,                % what checkout answers: list of boolean(), then false for ever
    next_id = 1,
    open = [],              % stream ids that the worker still has
    response = none,        % none | {length, none | non_neg_integer(), sink | body} | complete
    sent = 0,
    over = false            % `done' or `cut' has been given
}).

prop_any_events() ->
    numtests(2000, ?FORALL({Head, Events, Choices}, {head(), events(), choices()},
        begin
            {Effects, Request} = hornbeam_request:new(Head, <<16#90>>, settings()),
            Begun = effects(Effects, #run{request = Request, head = Head, choices = Choices}),
            Run = lists:foldl(fun event/2, Begun, Events),
            End = effects(hornbeam_request:gone(Run#run.request), Run),
            ?WHENFAIL(io:format("still open: ~p~n", [End#run.open]), End#run.open =:= [])
        end)).

%% As in hornbeam_exchange nothing is delivered after `done' or `cut'.
event(_Event, #run{over = true} = Run) ->
    Run;
event({body, _, _}, #run{head = #head{length = 0}} = Run) ->
    Run;
event(Event, #run{request = Request0} = Run0) ->
    Run1 = ended(Event, Run0),
    {Effects, Request} = hornbeam_request:event(Event, Request0),
    effects(Effects, Run1#run{request = Request}).

%% What the worker has let go of before it said so.
ended({worker, _, Payload}, #run{open = [_ | _]} = Run) ->
    case hornbeam_frame:is_last(Payload) of
        true -> Run#run{open = []};
        false -> Run
    end;
ended({worker_lost, _}, Run) -> Run#run{open = []};
ended(_, Run) -> Run.

effects(Effects, Run) ->
    lists:foldl(fun effect/2, Run, Effects).

effect(checkout, #run{choices = [true | Choices], next_id = Id} = Run) ->
    Slot = #slot{worker = self(), counters = atomics:new(?SLOT_SIZE, [])},
    fed({placed, Slot, Id, 32 + Id rem 2}, Run#run{choices = Choices, next_id = Id + 1});
effect(checkout, #run{choices = Choices} = Run) ->
    fed(no_place, Run#run{choices = case Choices of [] -> []; [_ | Rest] -> Rest end});
effect({open, _, Id, Frame}, #run{open = []} = Run) ->
    true = iolist_size(Frame) > 0,
    Run#run{open = [Id]};
effect({send, _, Frame}, Run) ->
    true = iolist_size(Frame) >= 9,
    Run;
effect({close, _, Id, _}, #run{open = Open} = Run) ->
    Run#run{open = lists:delete(Id, Open)};
effect({wait, Where}, Run) when Where =:= front; Where =:= back -> Run;
effect({log, _Level, Reason}, Run) ->
    true = is_list(unicode:characters_to_list(hornbeam_reason:format(Reason))),
    Run;
effect(cancel_wait, Run) -> Run;
%% The end of a time limit may come with what is left to be done on the worker.
effect(cancel_timer, Run) -> Run;
effect(Command, #run{over = false} = Run) -> command(Command, Run).

fed(Event, #run{request = Request0} = Run) ->
    {Effects, Request} = hornbeam_request:event(Event, Request0),
    effects(Effects, Run#run{request = Request}).

%% One response; no data before its head, none after its end, no more than it has declared, none where there is none.
command({timer, Name, _}, Run) when Name =:= response; Name =:= queue -> Run;
command({read, Octets}, Run) when Octets > 0 -> Run;
command({inform, Status, Headers}, #run{response = none} = Run) when Status < 200 -> ok = fields(Headers), Run;
command(close, #run{response = none} = Run) -> Run;
command({fail, Reason}, #run{head = #head{method = Method}} = Run) -> command(hornbeam_error:reply(Reason, Method), Run);
command({reply, Status, Headers, Length, Body}, #run{response = none, head = #head{method = Method}} = Run) ->
    ok = head(Status, Headers),
    true = is_binary(Body),
    Size = byte_size(Body),
    true = case bodiless(Method, Status) of
        true -> Size =:= 0;
        false -> Size =:= Length
    end,
    Run#run{response = complete};
command({start, Status, Headers, Length}, #run{response = none, head = #head{method = Method}} = Run) ->
    ok = head(Status, Headers),
    Run#run{response = {length, Length, case bodiless(Method, Status) of true -> sink; false -> body end}};
command({data, IsFin, Data}, #run{response = {length, Length, body}, sent = Sent0} = Run) ->
    Sent = Sent0 + iolist_size(Data),
    true = Sent =< Length,      % any number is less than `none'
    case IsFin of
        nofin -> Run#run{sent = Sent};
        fin when Length =:= none; Sent =:= Length -> Run#run{sent = Sent, response = complete}
    end;
command({trailers, Headers}, #run{response = {length, Length, body}, sent = Sent} = Run) when Length =:= none; Length =:= Sent ->
    ok = fields(Headers),
    Run#run{response = complete};
command(cut, #run{response = {length, _, _}} = Run) -> Run#run{over = true};
command(done, #run{response = complete} = Run) -> Run#run{over = true};
command(done, #run{response = {length, _, sink}} = Run) -> Run#run{over = true}.

bodiless(Method, Status) -> Method =:= <<"HEAD">> orelse Status =:= 204 orelse Status =:= 304.

head(Status, Headers) ->
    true = is_integer(Status) andalso Status >= 200,
    fields(Headers).

fields(Headers) ->
    true = lists:all(fun({Name, Value}) -> hornbeam_headers:is_token(Name) andalso is_binary(Value) end, Headers),
    ok.

%%% Generators

head() ->
    ?LET({Method, Version, Length, Expect, TE},
         {oneof([<<"GET">>, <<"HEAD">>, <<"POST">>]), oneof(['HTTP/1.0', 'HTTP/1.1', 'HTTP/2']),
          oneof([0, unknown, 5, 100, 2000000]), oneof([none, continue]), oneof([undefined, <<"trailers">>, <<"x, Trailers">>])},
         #head{method = Method, path = <<"/">>, version = Version, length = Length, expect = Expect, te = TE}).

settings() ->
    {ok, Settings} = hornbeam_options:resolve(#{max_body_size => 1000000, window => 1024}),
    Settings.

%% Most requests get as far as a response.
choices() -> list(frequency([{6, true}, {1, false}])).

events() ->
    ?LET({First, Start, More}, {oneof([submit, {body, fin, <<"data">>}]), oneof([[], [start()]]),
                                resize(30, list(event()))},
         [First | Start ++ More]).

start() ->
    ?LET({Body, Length}, {body(), oneof([[], [{<<"content-length">>, <<"5">>}], [{<<"content-length">>, <<"1005">>}]])},
         begin
             Headers = packed(Length),
             {worker, response, <<0, 200:16, (byte_size(Headers)):32, Headers/binary, Body/binary>>}
         end).

event() ->
    frequency([{4, {body, oneof([fin, nofin]), oneof([<<>>, <<"data">>, binary:copy(<<"x">>, 600000)])}},
               {2, submit}, {3, try_again}, {1, {wait_failed, queue_full}},
               {2, {worker_lost, oneof([refused, died, drained])}}, {1, drain},
               {2, {timeout, oneof([response, queue])}}, {2, {body_failed, oneof([body_timeout, malformed])}},
               {1, {alarm, oneof([on, off])}},
               {20, worker_frame()}, {1, {never, heard}}]).

worker_frame() ->
    Last = frequency([{3, 0}, {1, 1}]),
    frequency([{4, ?LET({L, Status, Headers, Body}, {Last, status(), headers(), body()},
                        {worker, response, <<L, Status:16, (byte_size(Headers)):32, Headers/binary, Body/binary>>})},
               {6, ?LET({L, Body}, {Last, body()}, {worker, data, <<L, Body/binary>>})},
               {2, ?LET(Count, oneof([0, 1, 65536]), {worker, demand, <<0, Count:32>>})},
               {2, ?LET(Reason, integer(0, 5), {worker, abort, <<1, Reason>>})},
               {1, ?LET({Status, Headers}, {oneof([102, 103]), headers()}, {worker, inform, <<0, Status:16, Headers/binary>>})},
               {1, ?LET(Headers, headers(), {worker, trailers, <<1, Headers/binary>>})},
               {1, ?LET({Type, Payload}, {oneof([response, data, demand, abort, hello, inform, trailers, pathsend, ws_accept]), binary()},
                        {worker, Type, Payload})}]).

status() -> oneof([200, 204, 304, 404, 599]).

body() -> oneof([<<>>, <<"12345">>, binary:copy(<<"y">>, 1000)]).

headers() ->
    ?LET(Pairs, list(frequency([{3, {<<"content-length">>, <<"5">>}}, {1, {<<"content-length">>, <<"x">>}},
                                {5, {<<"Set-Cookie">>, <<"a">>}}, {5, {<<"x">>, <<"1">>}},
                                {1, {<<"bad">>, <<"\r\n">>}}])),
         packed(Pairs)).

packed(Pairs) ->
    iolist_to_binary(hornbeam_msgpack:encode([[{bytes, N}, {bytes, V}] || {N, V} <- Pairs])).
