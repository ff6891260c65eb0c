%%% What is said between a worker and one Python process, from its first frame to its last.
%%%
%%% Towards Python: the frames of connection processes, and what else of them waits in the mailbox, in one write. From Python: bytes are split,
%%% each frame is judged and brought to whom it is for. Owns the unfinished frame, the table of the streams, and what is asked and answered
%%% (hornbeam_worker_calls).
%%%
%%% Called by: hornbeam_worker, in its process, for the life of one Python process. Calls: hornbeam_frame, hornbeam_worker_streams (whose
%%% owners get their frames from here), hornbeam_worker_calls, hornbeam_worker_places (where a stream ends), hornbeam_worker_poll,
%%% hornbeam_worker_log, hornbeam_worker_questions, hornbeam_credit, hornbeam_python.
%%%
%%% Phases
%%%
%%%     hello ──hello──▶ starting ──ready──▶ ready ──drain/1──▶ draining ──stop/2──▶ stopping
%%%       └────────────────┴───────────────────┴──anything that may not come────────────┴──▶ broken
%%%
%%%   starting            `failed' may come
%%%   draining, stopping  `drained' may come
%%%   broken              no octet more is looked at
%%%   In all but the first: `log', a `pong' to each ping, a `diagnosed' to each question, calls, and the frames of streams.
%%%
%%% What the worker has to know is an event: {hello, About} (it waits for `boot'), ready, failed, drained, pong; and {broken, Failure}, the
%%% last one. The only answer to that is to kill the process: nothing that it says can be believed any more.
-module(hornbeam_worker_session).

-export([new/5, open/4, send/2, adopt/4, close/3, sweep/1, farewell/1, ping/2, drain/1, stop/2, received/2, info/2, ended/2]).
-export([ask/3, streams/1]).
-export_type([session/0, event/0]).

-type event() :: {hello, map()} | {ready, map()} | {failed, term()} | drained | {pong, map()}
               | {broken, {bad_frame, term()} | {backlog, non_neg_integer(), pos_integer()}}.

%% How many messages of connection processes are put into one write to the port.
-define(BATCH, 64).

-record(session, {
    port :: port(),
    number :: pos_integer(),
    streams :: hornbeam_worker_streams:streams(),
    places :: hornbeam_worker_places:places(),
    poll_time :: non_neg_integer(),     % us
    phase = hello :: hello | starting | ready | draining | stopping | broken,
    buffer = hornbeam_frame:new() :: hornbeam_frame:buffer(),
    calls :: hornbeam_worker_calls:calls(),
    logged = 0 :: non_neg_integer(),    % what log records count that are not credited yet
    pinged = none :: none | binary(),   % what it has not answered
    questions = hornbeam_worker_questions:new() :: hornbeam_worker_questions:questions(),
    called_at = 0 :: integer()          % the last call that came alone (monotonic us)
}).
-opaque session() :: #session{}.

-spec new(port(), Worker :: pos_integer(), Pool :: pid(), hornbeam_worker_places:places(), Settings :: map()) -> session().
new(Port, Number, Pool, Places, #{window := Window, call_poll_time := PollTime} = Settings) ->
    #session{port = Port, number = Number, streams = hornbeam_worker_streams:new(Pool, Window), places = Places, poll_time = PollTime,
             calls = hornbeam_worker_calls:new(Port, Number, Settings#{slot => hornbeam_worker_places:slot(Places)})}.

%%% What it is told

%% @doc A new stream.
-spec open(hornbeam_frame:stream_id(), hornbeam_pool:owner(), iodata(), session()) -> ok.
open(Id, Owner, Frame, #session{streams = Streams} = Session) ->
    ok = hornbeam_worker_streams:open(Id, Owner, Frame, Streams),
    write([Frame | more(?BATCH, Streams)], Session).

%% @doc A further frame of a stream, or several.
-spec send(iodata(), session()) -> ok.
send(Frame, #session{streams = Streams} = Session) ->
    ok = hornbeam_worker_streams:sent(Frame, Streams),
    write([Frame | more(?BATCH, Streams)], Session).

%% What other connection processes have sent meanwhile goes out in the same write (a write wakes
%% Python, which is the dear part). Messages of one stream keep their order: `open' comes before `send'
%% in the mailbox, and a `close' that is left for later is the last of its stream.
more(0, _Streams) ->
    [];
more(Left, Streams) ->
    receive
        {open, Id, Owner, Frame} ->
            ok = hornbeam_worker_streams:open(Id, Owner, Frame, Streams),
            [Frame | more(Left - 1, Streams)];
        {send, Frame} ->
            ok = hornbeam_worker_streams:sent(Frame, Streams),
            [Frame | more(Left - 1, Streams)]
    after 0 ->
        []
    end.

%% @doc Another owner of a stream, who hears of it if that has ended already; and a frame of it.
-spec adopt(hornbeam_frame:stream_id(), hornbeam_pool:owner(), iodata(), session()) -> ok.
adopt(Id, {Pid, _} = Owner, Frame, #session{streams = Streams} = Session) ->
    case hornbeam_worker_streams:adopt(Id, Owner, Streams) of
        true ->
            write(Frame, Session);
        false ->
            Pid ! {Owner, {worker_lost, died}},
            ok
    end.

%% @doc The end of a stream from this side.
-spec close(hornbeam_frame:stream_id(), iodata(), session()) -> ok.
close(Id, Frame, #session{streams = Streams, places = Places, phase = Phase} = Session) ->
    _ = hornbeam_worker_streams:release(Id, Streams) andalso hornbeam_worker_places:give_back(Places),
    %% It may be late, and meant for the process before this one.
    case Phase of
        _ when Phase =:= ready; Phase =:= draining -> write(Frame, Session);
        _ -> ok
    end.

%% @doc Closes the streams whose owner was killed without cleaning up.
-spec sweep(session()) -> ok.
sweep(#session{streams = Streams} = Session) ->
    lists:foreach(fun(Id) -> close(Id, hornbeam_frame:encode(disconnect, Id, <<0>>), Session) end,
                  hornbeam_worker_streams:abandoned(Streams)).

%% @doc Tells the owners of all streams {Owner, drain}.
-spec farewell(session()) -> ok.
farewell(#session{streams = Streams}) ->
    hornbeam_worker_streams:tell(drain, Streams).

%% @doc Asks for a `pong' with the same octets.
-spec ping(binary(), session()) -> session().
ping(Ping, Session) ->
    ok = write(hornbeam_frame:encode(ping, 0, Ping), Session),
    Session#session{pinged = Ping}.

%% @doc A question about the process, for whoever is From.
-spec ask(gen_statem:from(), hornbeam_worker_questions:question(), session()) -> session().
ask(From, Question, #session{phase = Phase, questions = Questions0} = Session) when Phase =:= ready; Phase =:= draining; Phase =:= stopping ->
    {Frame, Questions} = hornbeam_worker_questions:asked(From, Question, Questions0),
    ok = write(Frame, Session),
    Session#session{questions = Questions};
ask(From, _Question, Session) ->
    gen_statem:reply(From, {error, not_ready}),
    Session.

%% @doc What it has in progress: hornbeam_worker_streams:rows/2.
-spec streams(session()) -> ets:tid().
streams(#session{streams = Streams}) -> hornbeam_worker_streams:table(Streams).

%% @doc It is to say `drained' when no stream is left.
-spec drain(session()) -> session().
drain(Session) ->
    entered(draining, hornbeam_frame:encode(drain, 0, <<>>), Session).

%% @doc It is to end; its tasks have Patience ms.
-spec stop(Patience :: non_neg_integer(), session()) -> session().
stop(Patience, Session) ->
    entered(stopping, hornbeam_frame:encode(stop, 0, <<Patience:32>>), Session).

entered(_Phase, _Frame, #session{phase = broken} = Session) ->
    Session;
entered(Phase, Frame, Session) ->
    ok = write(Frame, Session),
    Session#session{phase = Phase}.

write(Frames, #session{port = Port}) ->
    hornbeam_python:write(Port, Frames).

%%% What it says

%% @doc What the port has read.
-spec received(binary(), session()) -> {[event()], session()}.
received(_Bytes, #session{phase = broken} = Session) ->
    {[], Session};
received(Bytes, #session{buffer = Buffer0, calls = Calls0} = Session) ->
    case {hornbeam_frame:feed(Bytes, Buffer0), hornbeam_worker_calls:read(byte_size(Bytes), Calls0)} of
        {{ok, Frames, Buffer}, {ok, Calls}} ->
            row(Frames, frames(Frames, [], Session#session{buffer = Buffer, calls = Calls}));
        {{error, Reason}, _} ->
            broken({bad_frame, Reason}, [], Session);
        {_, {broken, Reason}} ->
            broken(Reason, [], Session)
    end.

%% One call alone is what a synchronous caller sends; the next of a row comes soon (hornbeam_worker_poll).
row([{call, _, _}], {[], #session{port = Port, called_at = Before, poll_time = PollTime} = Session0}) ->
    Now = erlang:monotonic_time(microsecond),
    Session = Session0#session{called_at = Now},
    case hornbeam_worker_poll:is_row(Before, Now) andalso hornbeam_worker_poll:next(Port, Now + PollTime) of
        {Port, {data, Bytes}} -> received(Bytes, Session);
        _ -> {[], Session}
    end;
row(_Frames, Dealt) ->
    Dealt.

%% @doc Any other message of the worker's process: it may mean a frame for Python.
-spec info(Message :: term(), session()) -> {[event()], session()}.
info(_Message, #session{phase = broken} = Session) ->
    {[], Session};
info(room, #session{calls = Calls} = Session0) ->
    case dealt(hornbeam_worker_calls:resume(Calls), Session0) of
        {ok, Session} -> {[], Session};
        {{broken, Reason}, Session} -> broken(Reason, [], Session)
    end;
info(Message, #session{calls = Calls} = Session) ->
    {[], Session#session{calls = hornbeam_worker_calls:info(Message, Calls)}}.

%%% Frames. Events: newest first.

frames([], Events, #session{calls = Calls} = Session) ->
    {lists:reverse(Events), Session#session{calls = hornbeam_worker_calls:flush(Calls)}};
frames([{Type, _, _} | _], Events, #session{phase = hello} = Session) when Type =/= hello ->
    broken({bad_frame, {unexpected_frame, Type, hello}}, Events, Session);
frames([{Type, Id, _} = Frame | Rest], Events, #session{calls = Calls} = Session0) when Type =:= call; Type =:= demand, Id > 0 ->
    case dealt(hornbeam_worker_calls:asked(Frame, Calls), Session0) of
        {ok, Session} -> frames(Rest, Events, Session);
        {{broken, Reason}, Session} -> broken(Reason, Events, Session)
    end;
frames([{log, 0, Payload} | Rest], Events, #session{number = Number} = Session) ->
    case hornbeam_frame:parse(log, Payload) of
        {ok, Record} ->
            hornbeam_worker_log:write(Number, Record),
            frames(Rest, Events, logged(byte_size(Payload), Session));
        error ->
            broken({bad_frame, {bad_payload, log}}, Events, Session)
    end;
frames([{Type, 0, Payload} | Rest], Events, Session0) ->
    case control(Type, hornbeam_frame:parse(Type, Payload), Session0) of
        {none, Session} -> frames(Rest, Events, Session);
        {{broken, Reason}, Session} -> broken({bad_frame, Reason}, Events, Session);
        {Event, Session} -> frames(Rest, [Event | Events], Session)
    end;
frames([Frame | Rest], Events, Session) ->
    case about_stream(Frame, Session) of
        ok -> frames(Rest, Events, Session);
        {broken, Reason} -> broken(Reason, Events, Session)
    end.

broken(Reason, Events, Session) ->
    {lists:reverse(Events, [{broken, Reason}]), Session#session{phase = broken}}.

dealt({ok, Demands, Calls}, Session) -> {demands(Demands, Session), Session#session{calls = Calls}};
dealt(Broken, Session) -> {Broken, Session}.

demands([], _Session) ->
    ok;
demands([Frame | Rest], Session) ->
    case about_stream(Frame, Session) of
        ok -> demands(Rest, Session);
        Broken -> Broken
    end.

about_stream({Type, Id, Payload}, #session{streams = Streams, places = Places}) ->
    case hornbeam_worker_streams:frame(Type, Id, Payload, Streams) of
        {ends, {Pid, _} = Owner, Passed} ->
            ok = hornbeam_worker_places:give_back(Places),
            Pid ! {Owner, {worker, Type, Passed}},
            ok;
        {pass, {Pid, _} = Owner, Passed} ->
            Pid ! {Owner, {worker, Type, Passed}},
            ok;
        nothing ->
            ok;
        gone ->
            hornbeam_worker_places:give_back(Places);
        late ->
            late(Type, Id, Places);
        {broken, Reason} ->
            {broken, {bad_frame, Reason}}
    end.

%% Closed from this side, unless nobody has been given this id yet.
late(Type, Id, Places) ->
    case Id =< hornbeam_worker_places:last_id(Places) of
        true -> ok;
        false -> {broken, {bad_frame, {unknown_stream, Type, Id}}}
    end.

%% About the worker as a whole.
control(Type, error, Session) ->
    {{broken, {bad_payload, Type}}, Session};
control(hello, {ok, {Version, About}}, #session{phase = hello} = Session) ->
    case hornbeam_frame:protocol_version() of
        Version -> {{hello, About}, Session#session{phase = starting}};
        Ours -> {{broken, {protocol_version, Version, Ours}}, Session}
    end;
control(ready, {ok, About}, #session{phase = starting, streams = Streams} = Session) ->
    {{ready, About}, Session#session{phase = ready, streams = hornbeam_worker_streams:told(About, Streams)}};
control(failed, {ok, Failure}, #session{phase = starting} = Session) ->
    {{failed, Failure}, Session};
control(pong, {ok, {Ping, Figures}}, #session{pinged = Ping} = Session) ->
    {{pong, Figures}, Session#session{pinged = none}};
control(diagnosed, {ok, Answer}, #session{questions = Questions0} = Session) ->
    case hornbeam_worker_questions:answered(Answer, Questions0) of
        {ok, Questions} -> {none, Session#session{questions = Questions}};
        unknown -> {{broken, {unexpected_frame, diagnosed, unknown}}, Session}
    end;
control(drained, {ok, _}, #session{phase = draining} = Session) ->
    {drained, Session};
control(drained, {ok, _}, #session{phase = stopping} = Session) ->
    {none, Session};
control(Type, _, #session{phase = Phase} = Session) ->
    {{broken, {unexpected_frame, Type, Phase}}, Session}.

%% Python, which has a window for what it logs, may log as much again.
logged(Size, #session{logged = Before} = Session) ->
    Logged = Before + hornbeam_credit:message(Size),
    case hornbeam_credit:is_due(Logged, hornbeam_credit:log_window()) of
        true ->
            ok = write(hornbeam_frame:encode(credit, 0, <<Logged:32>>), Session),
            Session#session{logged = 0};
        false ->
            Session#session{logged = Logged}
    end.

%% @doc The process has ended, and its streams with it, whose owners hear why.
-spec ended(died | drained, session()) -> ok.
ended(Why, #session{streams = Streams, places = Places, calls = Calls, questions = Questions}) ->
    ok = hornbeam_worker_questions:stop(Questions),
    ok = hornbeam_worker_places:give_back(hornbeam_worker_streams:clear(Streams, Why), Places),
    hornbeam_worker_calls:stop(Calls).
