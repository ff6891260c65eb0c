%%% The streams of one worker: who waits for each, what its next frame may be, and what is on its way in both directions.
%%%
%%% Owns the table of the streams of one Python process, which outlives a worker's process that is killed: it then goes to the pool (`heir').
%%% Called by: hornbeam_worker_session, in the worker's process; hornbeam_pool (fail/2). Calls: hornbeam_frame, hornbeam_credit.
%%%
%%% Phases, and the frames that may come in each ("!" is the last of its stream, (!) may be):
%%%
%%%     continued ─▶ sent ──response──▶ answering           continued: the client waits for 100 (Continue): one
%%%     │            │ demand, inform    data(!), demand                   `demand' of nothing is allowed
%%%     │            │ response(!), pathsend!  trailers!, abort!
%%%     │            │ abort!
%%%     connecting ──ws_accept──▶ accepting ──adopt/3──▶ open
%%%     │ inform, response(!)     abort!                 ws_send_text, ws_send_bytes, ws_subscribe, ws_unsubscribe,
%%%     │ pathsend!, ws_end!, abort!                     demand, ws_end!, abort!
%%%     └──response──▶ answering (a denial)
%%%     called: result!         streaming: result(!)       a call, and one that is answered with values
%%%     kept: all of a request; "!" gives its place back
%%%
%%% Anything else is a broken worker's. A frame of a stream that is not in the table is late, since this side may have
%%% closed it meanwhile, and is dropped; but for an id that nobody has been given yet.
%%%
%%% A request of a WSGI application that nobody waits for any more is kept until its thread says the last frame of it, which it always
%%% does: only then the thread is free, and its place is given back. A thread that hangs has its place for ever.
%%%
%%% What is on its way.
%%%   uncredited  what has come for which no `credit' has been sent. The rule is hornbeam_credit's, held here: the owner
%%%               may be blocked by its client. Nor is a piece of a response more than a window: so less than two windows are in
%%%               the owner's mailbox, or a window and one message. Before a response has started it is what its 1xx
%%%               count, up to ?MAX_INFORM. An owner that widens the window credits more than has come: then it is negative. An empty
%%%               piece that is not the last says nothing and is dropped.
%%%   unconsumed  what it was sent of its client and has not reported by `demand'. It cannot report more.
%%%   asked       subscriptions that are not answered yet, up to ?MAX_ASKED.
%%% A response in one frame is in none of this: its row is taken as it ends.
%%%
%%% Memory: a small frame that waits for its client does not keep the whole read that it came in (64 KiB): it is copied.
-module(hornbeam_worker_streams).

-export([new/2, told/2, open/4, adopt/3, sent/2, release/2, frame/4, fail/2, clear/2, tell/2, abandoned/1, table/1, rows/2]).
-export_type([streams/0, row/0]).

-define(MAX_INFORM, 262144).
-define(MAX_ASKED, 10000).
-define(ROWS, 1000).
%% A longer frame is not copied: of a read it may keep sixteen times its own size.
-define(SMALL, 4096).

-type phase() :: continued | sent | answering | connecting | accepting | open | called | streaming | kept.

-record(stream, {
    id :: hornbeam_frame:stream_id(),
    owner :: hornbeam_pool:owner(),
    phase :: phase(),
    uncredited = 0 :: integer(),
    unconsumed = 0 :: integer(),
    asked = 0 :: integer(),
    since = erlang:monotonic_time() :: integer(),
    about = none :: binary() | none     % hornbeam_frame:opens/1; of a WebSocket that is open no longer kept
}).
%% One that is in progress, for a person: hornbeam_worker_rows.
-type row() :: {hornbeam_frame:stream_id(), Owner :: pid(), Since :: integer(), About :: binary() | none, request | websocket | call}.
-record(streams, {
    table :: ets:tid(),
    window :: pos_integer(),
    keeps = false :: boolean()
}).
-opaque streams() :: #streams{}.

-spec new(Heir :: pid(), Window :: pos_integer()) -> streams().
new(Heir, Window) ->
    #streams{table = ets:new(streams, [set, protected, {keypos, #stream.id}, {heir, Heir, streams}]), window = Window}.

%% @doc What the process is, which has become ready.
-spec told(About :: map(), streams()) -> streams().
told(About, Streams) ->
    Streams#streams{keeps = maps:get(<<"interface">>, About, none) =:= <<"wsgi">>}.

%% @doc A stream that is opened by this frame.
-spec open(hornbeam_frame:stream_id(), hornbeam_pool:owner(), iodata(), streams()) -> ok.
open(Id, Owner, Frame, #streams{table = Table}) ->
    {Kind, Bytes, About} = hornbeam_frame:opens(Frame),
    true = ets:insert(Table, #stream{id = Id, owner = Owner, phase = first(Kind), unconsumed = Bytes, about = About}),
    ok.

first(http) -> sent;
first(continued) -> continued;
first(websocket) -> connecting;
first(call) -> called;
first(stream) -> streaming.

%% @doc The handshake of a WebSocket is complete, and another process its owner; false when the stream has ended already.
-spec adopt(hornbeam_frame:stream_id(), hornbeam_pool:owner(), streams()) -> boolean().
adopt(Id, Owner, #streams{table = Table}) ->
    ets:update_element(Table, Id, [{#stream.owner, Owner}, {#stream.phase, open}, {#stream.about, none}]).

%% @doc A frame, or several, that the owner of a stream sends: what it gives is noted.
-spec sent(iodata(), streams()) -> ok.
sent([[_ | _] | _] = Frames, Streams) ->
    lists:foreach(fun(Frame) -> sent(Frame, Streams) end, Frames);
sent(Frame, #streams{table = Table}) ->
    case hornbeam_frame:gives(Frame) of
        nothing -> ok;
        {credit, Id, 0} -> add(Table, Id, {#stream.asked, -1});
        {credit, Id, Count} -> add(Table, Id, {#stream.uncredited, -Count});
        {bytes, Id, Count} -> add(Table, Id, {#stream.unconsumed, Count})
    end.

%% The stream may have ended meanwhile.
add(Table, Id, Change) ->
    try ets:update_counter(Table, Id, Change) of
        _ -> ok
    catch
        error:badarg -> ok
    end.

%% @doc Takes a stream out, unless its thread has still to come back from it; whether its place is free now.
-spec release(hornbeam_frame:stream_id(), streams()) -> boolean().
release(Id, #streams{table = Table, keeps = true}) ->
    case ets:lookup(Table, Id) of
        [#stream{phase = Phase}] when Phase =:= called; Phase =:= connecting ->
            true = ets:delete(Table, Id);
        [#stream{}] ->
            true = ets:update_element(Table, Id, {#stream.phase, kept}),
            false;
        [] ->
            false
    end;
release(Id, #streams{table = Table}) ->
    ets:take(Table, Id) =/= [].

%% @doc A frame from the worker: whom to give it to, and whether it ended its stream; or how the worker broke the protocol.
%% `late': nobody is there any more. `gone': the last of one that was kept.
-spec frame(hornbeam_frame:type(), hornbeam_frame:stream_id(), binary(), streams()) ->
    {pass | ends, hornbeam_pool:owner(), binary()} | nothing | gone | late | {broken, term()}.
frame(Type, Id, Payload, #streams{table = Table, window = Window}) ->
    case hornbeam_frame:parse(Type, Payload) of
        error ->
            {broken, {bad_payload, Type}};
        {ok, Term} ->
            case hornbeam_frame:is_last(Payload) of
                true -> ended(ets:take(Table, Id), Type, Term, Payload, Table, Window);
                false -> goes_on(ets:lookup(Table, Id), Type, Term, Payload, Table, Window)
            end
    end.

ended([#stream{phase = kept}], _Type, _Term, _Payload, _Table, _Window) ->
    gone;
ended([#stream{owner = Owner} = Stream], Type, Term, Payload, Table, Window) ->
    case last(Type, Term, Stream, Window) of
        ok ->
            {ends, Owner, Payload};
        Broken ->
            %% Its owner hears of the worker's end like all others.
            true = ets:insert(Table, Stream),
            Broken
    end;
ended([], _Type, _Term, _Payload, _Table, _Window) ->
    late.

goes_on([#stream{phase = kept}], _Type, _Term, _Payload, _Table, _Window) ->
    nothing;
goes_on([#stream{owner = Owner} = Stream], Type, Term, Payload, Table, Window) ->
    case next(Type, Term, Stream, Window) of
        #stream{} = Next ->
            true = ets:insert(Table, Next),
            {pass, Owner, compact(Payload)};
        NothingOrBroken ->
            NothingOrBroken
    end;
goes_on([], _Type, _Term, _Payload, _Table, _Window) ->
    late.

%% Whether a frame may be the last of its stream now.
last(response, {_, _, _, Body}, #stream{phase = Phase}, Window)
        when Phase =:= sent; Phase =:= continued; Phase =:= connecting ->
    piece(byte_size(Body), 0, Window);
last(data, {_, Data}, #stream{phase = answering, uncredited = Sent}, Window) ->
    piece(byte_size(Data), Sent, Window);
last(trailers, _, #stream{phase = answering}, _) -> ok;
last(pathsend, _, #stream{phase = Phase}, _) when Phase =:= sent; Phase =:= continued; Phase =:= connecting -> ok;
last(ws_end, _, #stream{phase = Phase}, _) when Phase =:= connecting; Phase =:= open -> ok;
last(abort, _, #stream{phase = Phase}, _) when Phase =/= called, Phase =/= streaming -> ok;
last(result, _, #stream{phase = Phase}, _) when Phase =:= called; Phase =:= streaming -> ok;
last(Type, _, #stream{phase = Phase}, _) -> {broken, {unexpected_frame, Type, Phase}}.

%% The stream after a frame that is not its last.
next(response, {_, _, _, Body}, #stream{phase = Phase} = Stream, Window)
        when Phase =:= sent; Phase =:= continued; Phase =:= connecting ->
    grown(byte_size(Body), Stream#stream{phase = answering, uncredited = 0}, Window);
next(data, {_, <<>>}, #stream{phase = answering}, _) ->
    nothing;
next(data, {_, Data}, #stream{phase = answering} = Stream, Window) ->
    grown(byte_size(Data), Stream, Window);
next(demand, 0, #stream{phase = continued} = Stream, _) ->
    Stream#stream{phase = sent};
next(demand, Count, #stream{phase = Phase, unconsumed = Left} = Stream, _)
        when Count > 0, Count =< Left, Phase =/= connecting, Phase =/= accepting, Phase =/= called, Phase =/= streaming ->
    Stream#stream{unconsumed = Left - Count};
next(inform, {_, Headers}, #stream{phase = Phase, uncredited = Sent} = Stream, _)
        when Phase =:= sent; Phase =:= continued; Phase =:= connecting ->
    case Sent + hornbeam_credit:message(byte_size(Headers)) of
        More when More =< ?MAX_INFORM -> Stream#stream{uncredited = More};
        _ -> {broken, too_many_informational_responses}
    end;
next(ws_accept, _, #stream{phase = connecting} = Stream, _) ->
    Stream#stream{phase = accepting, uncredited = 0};
next(result, {yielded, Value}, #stream{phase = streaming} = Stream, Window) ->
    counted(Value, Stream, Window);
next(Type, Message, #stream{phase = open} = Stream, Window) when Type =:= ws_send_text; Type =:= ws_send_bytes ->
    counted(Message, Stream, Window);
next(Type, _, #stream{phase = open, asked = Asked} = Stream, _)
        when Type =:= ws_subscribe; Type =:= ws_unsubscribe ->
    case Asked < ?MAX_ASKED of
        true -> Stream#stream{asked = Asked + 1};
        false -> {broken, too_many_subscriptions}
    end;
next(Type, _, #stream{phase = Phase}, _) ->
    {broken, {unexpected_frame, Type, Phase}}.

%% A message, or a value of a call: of any size while the window is open.
counted(Message, #stream{uncredited = Sent} = Stream, Window) ->
    case hornbeam_credit:may_send(Sent, Window) of
        true -> Stream#stream{uncredited = Sent + hornbeam_credit:message(byte_size(Message))};
        false -> {broken, window_exceeded}
    end.

grown(Size, #stream{uncredited = Sent} = Stream, Window) ->
    case piece(Size, Sent, Window) of
        ok -> Stream#stream{uncredited = Sent + Size};
        Broken -> Broken
    end.

%% A piece of a response.
piece(0, _Sent, _Window) -> ok;
piece(Size, Sent, Window) ->
    case Size =< Window andalso hornbeam_credit:may_send(Sent, Window) of
        true -> ok;
        false -> {broken, window_exceeded}
    end.

compact(Payload) when byte_size(Payload) < ?SMALL ->
    case binary:referenced_byte_size(Payload) > 2 * byte_size(Payload) of
        true -> binary:copy(Payload);
        false -> Payload
    end;
compact(Payload) ->
    Payload.

%% @doc Tells the owners of all streams of a table that their worker has gone. The table may be one that was inherited.
-spec fail(streams() | ets:tid(), died | drained) -> ok.
fail(Streams, Why) ->
    tell({worker_lost, Why}, Streams).

%% @doc As fail/2, and the end of the table; how many they were.
-spec clear(streams(), died | drained) -> non_neg_integer().
clear(#streams{table = Table} = Streams, Why) ->
    Count = ets:info(Table, size),
    fail(Streams, Why),
    true = ets:delete(Table),
    Count.

%% @doc Sends all owners {Owner, Event}.
-spec tell(drain | {worker_lost, died | drained}, streams() | ets:tid()) -> ok.
tell(Event, #streams{table = Table}) ->
    tell(Event, Table);
tell(Event, Table) ->
    ets:foldl(fun(#stream{phase = kept}, ok) -> ok;
                 (#stream{owner = {Pid, _} = Owner}, ok) -> Pid ! {Owner, Event}, ok
              end, ok, Table).

%% @doc The streams whose owner was killed without cleaning up.
-spec abandoned(streams()) -> [hornbeam_frame:stream_id()].
abandoned(#streams{table = Table}) ->
    [Id || #stream{id = Id, owner = {Pid, _}, phase = Phase} <- ets:tab2list(Table), Phase =/= kept, not is_process_alive(Pid)].

%% @doc For rows/2 in another process.
-spec table(streams()) -> ets:tid().
table(#streams{table = Table}) -> Table.

%% @doc What is in progress since that time (monotonic) or longer, no WebSocket that is open, and no more than ?ROWS; none of a process that has ended.
-spec rows(ets:tid(), Before :: integer()) -> [row()].
rows(Table, Before) ->
    %% A #stream{}.
    Row = {stream, '$1', {'$2', '_'}, '$5', '_', '_', '_', '$3', '$4'},
    try ets:select(Table, [{Row, [{'=<', '$3', Before}, {'=/=', '$5', open}], [{{'$1', '$2', '$3', '$4', '$5'}}]}], ?ROWS) of
        {Rows, _} -> [{Id, Pid, Since, About, kind(Phase)} || {Id, Pid, Since, About, Phase} <- Rows];
        '$end_of_table' -> []
    catch
        error:badarg -> []
    end.

kind(Phase) when Phase =:= connecting; Phase =:= accepting -> websocket;
kind(Phase) when Phase =:= called; Phase =:= streaming -> call;
kind(_) -> request.
