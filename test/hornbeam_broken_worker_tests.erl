%%% A worker that breaks the protocol, frame by frame, with test/fake_worker.py in Python's place: it is killed, with one line
%%% in the log and without a crash report, and the next request is answered. What a worker may just do passes.
-module(hornbeam_broken_worker_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hornbeam.hrl").

%% For logger.
-export([log/2]).

-define(POOL, {default, <<>>}).
-define(WINDOW, 1024).
%% test/fake_worker.py: STREAM.
-define(ID, 16#feedf00d).

broken_worker_test_() ->
    {setup, fun setup/0, fun cleanup/1,
     [{"kept: " ++ Name, {timeout, 120, fun() -> kept(Kind, Frames) end}} || {Name, Kind, Frames} <- kept()]
     ++ [{"broken: " ++ Name, {timeout, 120, fun() -> broken(Kind, Frames) end}} || {Name, Kind, Frames} <- broken()]
     ++ [{"a late frame is dropped", {timeout, 120, fun late_frame/0}},
         {"after its kill nothing of it is read", {timeout, 120, fun nothing_after/0}}]}.

setup() ->
    {ok, Started} = application:ensure_all_started(hornbeam),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => self()}),
    ok = logger:update_handler_config(default, level, none),
    {ok, _} = fake_worker:start("script", #{window => ?WINDOW}),
    Started.

cleanup(Started) ->
    hornbeam:stop(),
    ok = logger:remove_handler(?MODULE),
    ok = logger:update_handler_config(default, level, all),
    [ok = application:stop(App) || App <- lists:reverse(Started)].

-spec log(logger:log_event(), map()) -> ok.
log(Event, _) ->
    %% The test process of each case.
    try ?MODULE ! {logged, Event} of _ -> ok
    catch error:badarg -> ok
    end.

%%% What a worker may do

kept() ->
    Response = frame(response, response(0, 200, <<>>)),
    Accept = frame(ws_accept, [0, packed([none, {bytes, <<16#90>>}])]),
    Call = fun(Operation, Arguments) -> frame(call, 7, [Operation, packed(Arguments)]) end,
    [{"a response of a window", http, [frame(response, response(1, 200, bytes(?WINDOW)))]},
     {"the lowest and the highest status", http, [frame(response, response(1, 200, <<>>))]},
     {"the highest status", http, [frame(response, response(1, 999, <<>>))]},
     {"pieces up to a window, and one more", http,
      [Response, frame(data, [0, bytes(?WINDOW - 1)]), frame(data, [0, bytes(?WINDOW)])]},
     {"empty pieces without end, and the end", http,
      [Response, frame(data, [0, bytes(?WINDOW)]) | lists:duplicate(1000, frame(data, [0]))] ++ [frame(data, [1])]},
     {"1xx up to their limit", http, [frame(inform, [0, <<102:16>>, bytes(65536 - 64)]) || _ <- lists:seq(1, 4)]},
     {"the ends of 1xx", http, [frame(inform, [0, <<S:16>>, 16#90]) || S <- [102, 199]]},
     {"demand of all that was sent", body, [frame(demand, [0, <<3:32>>]), frame(demand, [0, <<1:32>>])]},
     {"demand for 100 (Continue)", continued, [frame(demand, [0, <<0:32>>])]},
     {"trailers", http, [Response, frame(trailers, [1, 16#90])]},
     {"a file", http, [frame(pathsend, [1, <<200:16, 1:32, 16#90>>, "/nowhere"])]},
     {"a denied handshake", websocket, [frame(ws_end, [1, <<1000:16>>])]},
     {"a denied handshake with a response", websocket, [Response, frame(data, [1, "no"])]},
     {"accept", websocket, [Accept]},
     {"values up to a window, one more, and the end", stream,
      [frame(result, [0, bytes(?WINDOW - 65)]), frame(result, [0, bytes(2 * ?WINDOW)]), frame(result, [1, 16#c0])]},
     {"the value of a call", call, [frame(result, [1, 16#c0])]},
     {"calls that make no sense", http,
      [frame(call, 1, []), frame(call, 2, [16#fa, 16#90]), frame(call, 3, [1, 16#c1]), Call(2, [k, v, -1]),
       Call(2, [k, v, 1 bsl 80]), Call(30, [-1, <<"f">>, []]), Call(30, [1 bsl 40, <<"f">>, []]), Call(30, [1, 1, 1]),
       Call(31, [#{}, []]), Call(40, [5000, 1, 2, 3, 4]), Call(40, [1 bsl 80, <<"n">>, <<"m">>, <<"f">>, []]),
       Call(44, [1]), Call(45, [[]]), Call(44, [bytes(100000)]), Call(20, [1, 1]), Call(20, [<<"a*">>, 1]), Call(21, [[]]),
       Call(21, [bytes(65536)]), Call(21, [<<(bytes(129))/binary, "*">>]), Call(22, [1 bsl 100]), Call(5, [1]), Call(6, [1]),
       Call(6, [{a, b, c}]), Call(4, [k, <<"1">>, none]), Call(60, [4711]), Call(62, [4711, 1]),
       Call(70, [1, <<"s">>, <<"m">>]), Call(70, [0, <<"s">>, <<"m">>, {bytes, <<>>}]), Call(70, [1, 2, 3, 4]), Call(71, [none, <<"s">>, <<"m">>, {bytes, <<>>}]),
       Call(71, [none, <<"s">>, bytes(2000), {bytes, <<>>}])]}].

%%% What breaks the protocol

broken() ->
    Response = frame(response, response(0, 200, <<>>)),
    Accept = frame(ws_accept, [0, packed([none, {bytes, <<16#90>>}])]),
    Started = fun(Frames) -> [Response | Frames] end,
    Call = fun(Operation, Arguments) -> frame(call, 7, [Operation, packed(Arguments)]) end,
    Record = fun(Map) -> frame(log, 0, packed(Map)) end,
    [{"status " ++ integer_to_list(S), http, [frame(response, response(L, S, <<>>))]} || S <- [0, 100, 199, 1000], L <- [0, 1]]
    ++ [{"status of a file", http, [frame(pathsend, [1, <<199:16, 1:32, 16#90>>, "/"])]}]
    ++ [{"1xx " ++ integer_to_list(S), http, [frame(inform, [0, <<S:16>>, 16#90])]} || S <- [0, 100, 101, 200]]
    ++ [{"ws_end with " ++ integer_to_list(C), websocket, [frame(ws_end, [1, <<C:16>>])]}
        || C <- [0, 999, 1004, 1006, 1015, 2999, 5000]]
    ++ [{"a frame of a stream without payload", http, [frame(Type, [])]}
        || Type <- [response, data, demand, abort, inform, trailers, pathsend, ws_accept, ws_send_text, ws_send_bytes, ws_end,
                    ws_subscribe, result]]
    ++ [{"a frame of a stream on id 0", http, [frame(Type, 0, [0, <<0:64>>])]} || Type <- [response, data, demand, result]]
    ++ [{"a frame of the worker on a stream", http, [frame(Type, [16#80])]} || Type <- [hello, ready, failed, drained, pong, log]]
    ++ [{"not of an HTTP stream", http, [frame(Type, [0, "x"])]} || Type <- [ws_send_text, ws_send_bytes, ws_subscribe]]
    ++ [{"not of a WebSocket before accept", websocket, [frame(Type, [0, "x"])]}
        || Type <- [ws_send_text, ws_send_bytes, ws_subscribe, ws_unsubscribe, data]]
    ++ [{"not of a WebSocket that is being accepted", websocket, [Accept, frame(Type, [0, "x"])]}
        || Type <- [ws_send_text, ws_subscribe]]
    ++ [{"accept of nonsense", websocket, [frame(ws_accept, [0 | packed(What)])]}
        || What <- [[], [1, {bytes, <<16#90>>}], [none, none], [[], {bytes, <<16#90>>}], #{}, [none, {bytes, <<>>}, 1]]]
    ++ [{"a log record of another form", http, [frame(log, 0, What)]} || What <- [[], [16#90], [16#c1], bytes(1048577)]]
    ++ [{"a log record with odd fields", http, [Record(What)]}
        || What <- [#{level => <<"a">>, logger => <<"l">>, message => <<"m">>}, #{logger => <<"l">>, message => <<"m">>},
                    #{level => 1, logger => {bytes, <<"l">>}, message => <<"m">>}, #{level => 1, logger => <<"l">>, message => 1}]]
    ++ [{"a log record that is no text", http,
         [frame(log, 0, [16#83, 16#a5, "level", 1, 16#a6, "logger", 16#a1, 255, 16#a7, "message", 16#a1, 255])]},
        {"more than a window in one piece", http, [frame(response, response(1, 200, bytes(?WINDOW + 1)))]},
        {"more than a window in one piece of data", http, Started([frame(data, [0, bytes(?WINDOW + 1)])])},
        {"a byte when a window is not credited", http,
         Started([frame(data, [0, bytes(?WINDOW)]) || _ <- [1, 2]])},
        {"the last byte when a window is not credited", http,
         Started([frame(data, [0, bytes(?WINDOW)]), frame(data, [1, "x"])])},
        {"1xx beyond their limit", http, [frame(inform, [0, <<102:16>>, bytes(65536 - 64)]) || _ <- lists:seq(1, 4)]
                                         ++ [frame(inform, [0, <<102:16>>, 16#90])]},
        {"headers beyond their limit", http, [frame(response, [1, <<200:16, 1048577:32>>, bytes(1048577)])]},
        {"headers longer than their frame", http, [frame(response, [1, <<200:16, 2:32>>, 16#90])]},
        {"demand of more than was sent", body, [frame(demand, [0, <<5:32>>])]},
        {"demand of nothing", body, [frame(demand, [0, <<0:32>>])]},
        {"demand for 100 (Continue) twice", continued, [frame(demand, [0, <<0:32>>]) || _ <- [1, 2]]},
        {"data before a response", http, [frame(data, [0, "x"])]},
        {"a response twice", http, Started([Response])},
        {"1xx after the response", http, Started([frame(inform, [0, <<102:16>>, 16#90])])},
        {"trailers that are not the last", http, Started([frame(trailers, [0, 16#90])])},
        {"abort that is not the last", http, [frame(abort, [0, 1])]},
        {"abort for no reason", http, [frame(abort, [1, 9])]},
        {"flags that nobody knows", http, [frame(response, response(2, 200, <<>>))]},
        {"a path with NUL", http, [frame(pathsend, [1, <<200:16, 1:32, 16#90>>, "/etc", 0])]},
        {"no path", http, [frame(pathsend, [1, <<200:16, 1:32, 16#90>>])]},
        {"a stream that nobody has been given", http, [frame(data, 4000000000, [0, "x"])]},
        {"a result of a request", http, [frame(result, [1, 16#c0])]},
        {"values without credit", stream, [frame(result, [0, bytes(?WINDOW - 64)]), frame(result, [0, 16#c0])]},
        {"several values of a call", call, [frame(result, [0, 16#c0])]},
        {"a response to a call", stream, [Response]},
        {"an abort of a call", stream, [frame(abort, [1, 1])]},
        {"demand in a call", stream, [frame(demand, [0, <<1:32>>])]},
        {"taken of texts", http, [Call(62, [<<"a">>, <<"a">>])]},
        {"taken of nothing", http, [Call(62, [1, 0])]},
        {"hello twice", http, [frame(hello, 0, <<1:16, 16#80>>)]},
        {"ready twice", http, [frame(ready, 0, [16#80])]},
        {"failed when it was ready", http, [frame(failed, 0, [7, "why"])]},
        {"drained, which nobody asked for", http, [frame(drained, 0, [])]},
        {"an answer to a question that was not asked", http, [frame(diagnosed, 0, [<<1:32>>, 16#80])]},
        {"an answer that is none", http, [frame(diagnosed, 0, [<<1:32>>, 16#90])]},
        {"pong to a ping that was not sent", http, [frame(pong, 0, [<<4:16, 77:32>>, 16#80])]},
        {"figures that are none", http, [frame(pong, 0, [<<4:16, 1:32>>, 16#90])]},
        {"a frame that only a worker gets", http, [frame(request, [0])]},
        {"events_taken of texts", http, [Call(61, [<<"a">>, <<"a">>])]},
        {"events_taken below nothing", http, [Call(61, [-1, -1])]},
        {"more events_taken than there were", http, [Call(61, [1, 0])]},
        {"events_taken without a number", http, [Call(61, [])]},
        {"cancel of a text", http, [Call(60, [<<"a">>])]}].

%%% Playing them

%% The stream ends with the abort that fake_worker.py sends, or has its answer.
kept(Kind, Frames) ->
    Before = worker(),
    Tag = open(Kind, Frames),
    ?assertMatch({worker, _, _}, last(Tag, heard(Tag))),
    ?assertEqual(<<"still here">>, answer()),
    ?assertEqual(Before, worker()),
    ?assertEqual([], errors()).

broken(Kind, Frames) ->
    #{os_pid := Before} = worker(),
    Process = process(),
    Tag = open(Kind, Frames),
    ?assertEqual({worker_lost, died}, last(Tag, heard(Tag))),
    ?assertEqual(<<"still here">>, answer()),
    ?assertEqual(Process, process()),
    ?assertMatch(#{os_pid := After, in_flight := 0} when After =/= Before, worker()),
    ?assertMatch([_], [Line || Line <- errors(), string:find(Line, "and is killed") =/= nomatch]),
    ?assertMatch([_], [Line || Line <- errors(), string:find(Line, "ended: it sent what is no frame") =/= nomatch]),
    ?assertEqual(2, length(errors())).

late_frame() ->
    {ok, Slot, Id, _} = hornbeam_pool:checkout(?POOL),
    ok = hornbeam_worker:close(Slot, Id, []),
    atomics:sub(Slot#slot.counters, ?SLOT_LOAD, 1),
    Before = worker(),
    Tag = open(http, [frame(data, Id, [0, "late"]), frame(response, Id, response(1, 200, <<>>))]),
    ?assertMatch({worker, abort, _}, heard(Tag)),
    ?assertEqual(Before, worker()).

%% Thousands of frames that are none make one line.
nothing_after() ->
    flushed(),
    Garbage = [frame(demand, [0, <<0:32>>]) || _ <- lists:seq(1, 20000)],
    Tag = open(http, Garbage),
    ?assertEqual({worker_lost, died}, heard(Tag)),
    ?assertEqual(<<"still here">>, answer()),
    ?assertEqual(2, length(errors())).

open(Kind, Frames) ->
    flushed(),
    _ = whereis(?MODULE) =:= self() orelse register(?MODULE, self()),
    {ok, Slot, Id, _} = place(),
    Script = iolist_to_binary(["script=", binary:encode_hex(iolist_to_binary(Frames))]),
    Scope = string:lowercase(Script),
    Frame = case Kind of
        http -> hornbeam_frame:request(Id, 1, Scope, <<>>, 0);
        body -> hornbeam_frame:request(Id, 0, Scope, <<"wxyz">>, 4);
        continued -> hornbeam_frame:request(Id, 2, Scope, <<>>, 0);
        websocket -> hornbeam_frame:encode(ws_open, Id, Scope);
        stream -> hornbeam_frame:perform(Id, {1, 0}, <<"m">>, Scope);
        call -> hornbeam_frame:perform(Id, {0, 0}, <<"m">>, Scope)
    end,
    Tag = make_ref(),
    ok = hornbeam_worker:open(Slot, Id, {self(), Tag}, Frame),
    Tag.

answer() ->
    Tag = make_ref(),
    {ok, Slot, Id, _} = place(),
    ok = hornbeam_worker:open(Slot, Id, {self(), Tag}, hornbeam_frame:request(Id, 1, <<"plain">>, <<>>, 0)),
    case heard(Tag) of
        {worker, response, _} -> <<"still here">>;
        {worker_lost, _} -> answer()
    end.

%% A place, once the worker is there again.
place() ->
    case hornbeam_pool:checkout(?POOL) of
        none -> timer:sleep(5), place();
        Place -> Place
    end.

heard(Tag) ->
    Self = self(),
    receive {{Self, Tag}, Event} -> Event after 100000 -> silence end.

last(Tag, Event) ->
    case Event of
        {worker, _, Payload} ->
            case hornbeam_frame:is_last(Payload) of
                true -> Event;
                false -> last(Tag, heard(Tag))
            end;
        _ ->
            Event
    end.

%% Without those that are the machine's: it may be too busy for the worker's process to get to its messages within a second.
errors() ->
    [Line || Line <- lines(), string:find(Line, "its Erlang process") =:= nomatch].

lines() ->
    receive
        {logged, #{level := Level, msg := Message}} when Level =/= notice, Level =/= info, Level =/= debug ->
            Line = case Message of
                {Format, Arguments} when is_list(Format) -> lists:flatten(io_lib:format(Format, Arguments));
                Report -> lists:flatten(io_lib:format("REPORT ~p", [Report]))
            end,
            Lines = lines(),
            self() ! {logged, #{level => Level, msg => {"~ts", [Line]}}},
            [Line | Lines]
    after 0 ->
        []
    end.

flushed() ->
    receive _ -> flushed() after 0 -> ok end.

worker() ->
    maps:with([os_pid, in_flight, restarts], fake_worker:info()).

process() ->
    {ok, #slot{worker = Pid, counters = Counters}, _, _} = place(),
    atomics:sub(Counters, ?SLOT_LOAD, 1),
    Pid.

frame(Type, Payload) -> frame(Type, ?ID, Payload).

frame(Type, Id, Payload) -> hornbeam_frame:encode(Type, Id, Payload).

response(Last, Status, Body) -> [Last, <<Status:16, 1:32, 16#90>>, Body].

bytes(Size) -> binary:copy(<<"x">>, Size).

packed(Term) -> hornbeam_msgpack:encode(Term).
