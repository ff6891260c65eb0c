%%% Properties of hornbeam_request, run by properties_tests: whatever happens in whatever order, a
%%% request does not crash, what it tells Cowboy is one well-formed response at most, and every stream
%%% that it opens on a worker is closed or has ended.
%%%
%%% The driver stands for hornbeam_stream: it answers `checkout' and `wait' as the generated choices say.
-module(prop_hornbeam_request).

-include_lib("proper/include/proper.hrl").
-include("hornbeam.hrl").

-export([prop_any_events/0]).

-record(run, {
    request,
    choices,                % what checkout answers: list of boolean(), then false for ever
    next_id = 1,
    open = [],              % stream ids that the worker still has
    head = none,            % none | {Length | none} | done
    sent = 0,
    over = false            % stop or cut has been given
}).

prop_any_events() ->
    numtests(2000, ?FORALL({Req, Events, Choices}, {req(), events(), choices()},
        begin
            {Effects, Request} = hornbeam_request:new(Req, <<16#90>>, settings()),
            Begun = effects(Effects, #run{request = Request, choices = Choices}),
            Run = lists:foldl(fun(Event, R) -> event(Event, R, Req) end, Begun, Events),
            End = effects(hornbeam_request:gone(Run#run.request), Run),
            ?WHENFAIL(io:format("still open: ~p~n", [End#run.open]), End#run.open =:= [])
        end)).

%% As in hornbeam_stream nothing is delivered after `stop' or a cut.
event(_Event, #run{over = true} = Run, _Req) ->
    Run;
event({body, _, _}, Run, #{has_body := false}) ->
    Run;
event(Event, #run{request = Request0} = Run0, _Req) ->
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
    fed({placed, Slot, Id}, Run#run{choices = Choices, next_id = Id + 1});
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
effect(cut, #run{head = Head} = Run) when Head =/= none ->
    Run#run{over = true};
effect({cowboy, Commands}, Run) ->
    lists:foldl(fun command/2, Run, Commands);
effect({wait, Where}, Run) when Where =:= front; Where =:= back -> Run;
effect({timer, Name, _}, Run) when is_atom(Name) -> Run;
effect({log, _Level, Reason}, Run) ->
    true = is_list(unicode:characters_to_list(hornbeam_error:format(Reason))),
    Run;
effect(Plain, Run) when Plain =:= cancel_timer; Plain =:= cancel_wait -> Run.

fed(Event, #run{request = Request0} = Run) ->
    {Effects, Request} = hornbeam_request:event(Event, Request0),
    effects(Effects, Run#run{request = Request}).

%% One response; no data before its headers, none after its end, no more than it has declared.
command(_Command, #run{over = true}) -> error(command_after_the_end);
command({inform, Status, _}, #run{head = none} = Run) when Status < 200 -> Run;
command({flow, Size}, Run) when Size > 0 -> Run;
command({response, Status, Headers, Body}, #run{head = none} = Run) ->
    ok = head(Status, Headers),
    true = is_binary(Body),
    Run#run{head = done};
command({headers, Status, Headers}, #run{head = none} = Run) ->
    ok = head(Status, Headers),
    Run#run{head = case Headers of
        #{<<"content-length">> := Length} -> {length, binary_to_integer(Length)};
        _ -> {length, any}
    end};
command({data, IsFin, Data}, #run{head = {length, Length}, sent = Sent0} = Run) ->
    Sent = Sent0 + iolist_size(Data),
    true = Sent =< Length,
    case IsFin of
        nofin -> Run#run{sent = Sent};
        fin when Length =:= any; Sent =:= Length -> Run#run{sent = Sent, head = done}
    end;
command(stop, #run{head = done} = Run) -> Run#run{over = true};
command(stop, #run{head = {length, _}} = Run) -> Run#run{over = true}.

head(Status, Headers) ->
    true = is_integer(Status) orelse is_binary(Status),
    true = lists:all(fun is_binary/1, maps:keys(Headers)),
    ok.

%%% Generators

req() ->
    ?LET({Method, Version, Body, Expect},
         {oneof([<<"GET">>, <<"HEAD">>, <<"POST">>]), oneof(['HTTP/1.0', 'HTTP/1.1', 'HTTP/2']),
          oneof([none, undefined, 5, 100, 2000000]), boolean()},
         #{method => Method, version => Version, has_body => Body =/= none,
           body_length => case Body of none -> 0; _ -> Body end,
           headers => case Expect of true -> #{<<"expect">> => <<"100-Continue">>}; false -> #{} end}).

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
               {2, {worker_lost, oneof([refused, died])}},
               {2, {timeout, oneof([response, queue, drain])}}, {1, {alarm, oneof([on, off])}},
               {20, worker_frame()}, {1, {never, heard}}]).

worker_frame() ->
    Last = frequency([{3, 0}, {1, 1}]),
    frequency([{4, ?LET({L, Status, Headers, Body}, {Last, status(), headers(), body()},
                        {worker, response, <<L, Status:16, (byte_size(Headers)):32, Headers/binary, Body/binary>>})},
               {6, ?LET({L, Body}, {Last, body()}, {worker, data, <<L, Body/binary>>})},
               {2, ?LET(Count, oneof([0, 1, 65536]), {worker, demand, <<0, Count:32>>})},
               {2, ?LET(Reason, integer(0, 5), {worker, abort, <<1, Reason>>})},
               {1, ?LET({Type, Payload}, {oneof([response, data, demand, abort, hello]), binary()},
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
