%%% One WebSocket connection after its handshake: the process that holds the client's socket.
%%%
%%% Called by: hornbeam_http1 (takeover/4: on HTTP/1.1 the connection's process becomes this one), hornbeam_http2_stream
%%% (start_stream/2: on HTTP/2 a process of its own for each stream). Calls: hornbeam_websocket_input (what is read, and when),
%%% hornbeam_websocket_output (what is written and credited), hornbeam_websocket_codec (frames), hornbeam_websocket_idle,
%%% hornbeam_websocket_socket, hornbeam_websocket_fanout (topics), hornbeam_websocket_application (what the worker is sent),
%%% hornbeam_websockets (counters).
%%%
%%% States
%%%
%%%     open ──close frame written──▶ closing ──client's close, ?CLOSE_TIMEOUT──┐
%%%       └──client's close: answered; a protocol error: close frame written──▶ ended ──all is written: FIN──▶ lingering
%%%
%%%   closing    the client's close is waited for
%%%   ended      nothing more is said by either side (RFC 6455, 7.1.7: after an error not even the client's close is
%%%              looked at); what a busy socket has not taken is written first
%%%   lingering  what the client still sends is read and thrown away, so that no reset takes the close frame from it, until
%%%              it ends, ?LINGER at most. A stream of HTTP/2 needs none of this: it ends at once
%%%
%%% Messages
%%%   from the worker      {{self(), websocket}, {worker, Type, Payload}}   frames of the stream
%%%                        {{self(), websocket}, {worker_lost, Why}}        Python died: close 1011 (drained: 1012)
%%%   from whoever drains  {{self(), websocket}, drain}                     close 1012 (hornbeam_websockets, hornbeam_worker)
%%%   from a relay         {websocket_frame, Bytes}                         a published message, ready to be written
%%%   from the socket      tcp, ssl; on HTTP/2 from hornbeam_http2_stream {websocket_data, IsFin, Data},
%%%                        {websocket_taken, Size}, {websocket_alarm, on | off}, websocket_gone
%%%   from itself          tick (idle time, pings), retry (a busy socket), close_timeout (closing, ended or lingering for too long)
%%%
%%% Back-pressure. Nothing here waits for a client. A message of the application that the socket does not take is kept, and
%%% credited (hornbeam_frame) only when it has been taken, so at most a window is kept; when that lasts for send_timeout
%%% the client is cut off. A published message that a busy socket cannot take is dropped, or costs the client its
%%% connection (websocket_slow_consumer). Towards the application: when a window's worth is not yet consumed (`demand'),
%%% nothing more is read, and what has been read is not looked at.
%%%
%%% Memory: an idle connection is this process, hibernated, with a record of some 25 words: what the handshake left on its
%%% heap is gone. Settings are a term of persistent_term, which is not copied.
%%%
%%% Failure: a crash here is one client's; the worker's sweep tells the application.
-module(hornbeam_websocket).

-export([takeover/4, start_stream/2]).
-export([loop/1, await_start/2, system_continue/3, system_terminate/4, system_code_change/4]).
-export_type([handover/0]).

-include("hornbeam.hrl").

%% What the handshake hands over.
-type handover() :: #{server := atom(), slot := #slot{}, id := hornbeam_frame:stream_id(), guest := none | module(),
                      settings := map(), deflate := hornbeam_websocket_codec:deflate()}.

%% A guest: a module that has the client's messages in place of the application, in this process, whatever becomes of the worker that has accepted.
%% It is sent what this module does not know, too, and what the worker still says: {worker, Type, Payload}, {worker_lost, Why}.
%%   {reply, Frame}             an answer; while it waits for the client, what it answers is not to be `consumed'
%%   {push, Frame}              as a published message: a slow client does not get it, or is closed; a fun that makes it then
%%   {consumed, Count}          of what messages/2 gave, as hornbeam_credit:message/1 counts
%%   {subscribe, Topic, Kinds, Keeper, Then}, {unsubscribe, Topic}    published messages go to the client (hornbeam_websocket_fanout:subscribe/4); Then: what
%%                              follows, by the keeper's position, before the first of them
%%   {continue, What}           comes back as a message, at once or when the socket has room: so the next answer is not made before the last one is written
%%   {back, Message}            comes back as a message, behind all that have come
%%   release                    the worker is not needed any more
%%   {close, Code, Reason}
-type effect() :: {reply, iodata()} | {push, iodata() | fun(() -> iodata())} | {consumed, pos_integer()} | {continue | back, term()}
                | {subscribe, hornbeam_pubsub:topic(), [term()], none | {module(), term()}, fun((term()) -> [effect()])}
                | {unsubscribe, hornbeam_pubsub:topic()} | release | {close, 1000..4999, binary()}.
-export_type([effect/0]).
-callback new(Server :: atom(), Settings :: map()) -> Guest :: term().
-callback max_message(Settings :: map()) -> pos_integer().
-callback messages([{text | binary, binary()}], Guest) -> {[effect()], Guest} when Guest :: term().
-callback info(Message :: term(), Guest) -> {[effect()], Guest} when Guest :: term().
-callback closed(Guest :: term()) -> ok.

-record(ws, {
    %% For the life of the connection:
    socket :: hornbeam_websocket_socket:socket(),
    parent :: pid(),
    server :: atom(),
    application :: none | hornbeam_websocket_application:application(),     % none: released
    guest :: none | {module(), term()},
    later = [] :: [effect()],                   % what a guest goes on with when the socket has room, newest first
    settings :: map(),
    deflate :: hornbeam_websocket_codec:deflate(),
    phase = open :: open | closing | ended | lingering,
    %% From the client:
    input :: hornbeam_websocket_input:input(),
    %% To the client:
    output :: hornbeam_websocket_output:output(),
    idle = hornbeam_websocket_idle:new() :: hornbeam_websocket_idle:idle(),
    topics = hornbeam_websocket_fanout:none() :: hornbeam_websocket_fanout:subscriptions()
}).

%% How long after its last message a connection hibernates.
-define(IDLE, 250).
%% How long a client may take to answer a close frame.
-define(CLOSE_TIMEOUT, 5000).
%% How long a client that has got everything may take to end its side.
-define(LINGER, 1000).
%% Messages of the application that are written together, when that many wait.
-define(BATCH, 32).

%%% Start

%% @doc The connection process of HTTP/1.1, when the 101 is written. The socket is passive; what has been read from it is in the mailbox.
-spec takeover(pid(), inet:socket() | ssl:sslsocket(), module(), handover()) -> no_return().
takeover(Parent, Socket, Transport, Handover) ->
    %% From here websocket_max_connections counts, not max_connections.
    ok = hornbeam_connections:leave(),
    _ = erase(hornbeam_clients),
    ok = hornbeam_pool_choice:forget(),
    State = started(hornbeam_websocket_socket:new(Transport, Socket), Parent, Handover),
    _ = hornbeam_websocket_socket:read(State#ws.socket, true),
    %% What the handshake left is given back before the next one comes: without this the memory of many connections
    %% that open at once is a third higher.
    proc_lib:hibernate(?MODULE, loop, [State]).

%% @doc The process of a stream of HTTP/2, linked to the connection; {start, Handover} lets it begin.
-spec start_stream(pid(), pos_integer()) -> pid().
start_stream(Connection, StreamId) ->
    Socket = hornbeam_websocket_socket:stream(Connection, StreamId),
    proc_lib:spawn_link(?MODULE, await_start, [Socket, Connection]).

-spec await_start(hornbeam_websocket_socket:socket(), pid()) -> no_return().
await_start(Socket, Connection) ->
    process_flag(trap_exit, true),
    receive
        {start, Handover} ->
            proc_lib:hibernate(?MODULE, loop, [started(Socket, Connection, Handover)]);
        {'EXIT', Connection, Reason} -> exit(Reason)
    end.

started(Socket, Parent, #{server := Server, slot := Slot, id := Id, settings := Settings, guest := Module, deflate := Deflate}) ->
    {Max, Guest} = guest(Module, Server, Settings),
    #{window := Window} = Settings,
    ok = hornbeam_websocket_idle:tick_later(Settings),
    #ws{socket = Socket, parent = Parent, server = Server, application = hornbeam_websocket_application:accepted(Slot, Id),
        settings = Settings, guest = Guest, deflate = Deflate, input = hornbeam_websocket_input:new(Socket, Window, Max),
        output = hornbeam_websocket_output:new(Socket)}.

guest(none, _Server, #{websocket_max_frame_size := Max}) -> {Max, none};
guest(Module, Server, Settings) -> {Module:max_message(Settings), {Module, Module:new(Server, Settings)}}.

%%% The loop

-spec loop(#ws{}) -> no_return().
loop(#ws{} = State) ->
    receive
        Message ->
            case handle(Message, State) of
                stop -> exit(normal);
                Next -> loop(Next)
            end
    after ?IDLE ->
        proc_lib:hibernate(?MODULE, loop, [State])
    end.

handle({tcp, _, Data}, State) -> received(Data, State);
handle({websocket_frame, Frame}, State) -> published(Frame, State);
handle({{_, websocket}, {worker, Type, Payload}}, State) -> from_worker(Type, Payload, State);
handle({{_, websocket}, {worker_lost, _} = Lost}, #ws{phase = open, guest = {_, _}} = State) -> to_guest(Lost, State#ws{application = none});
handle({{_, websocket}, {worker_lost, drained}}, #ws{phase = open} = State) ->
    closing(1012, <<"the server restarts">>, unsubscribed(State));
handle({{_, websocket}, {worker_lost, _}}, #ws{phase = open} = State) ->
    closing(1011, <<"the application's process has ended">>, unsubscribed(State));
handle({{_, websocket}, drain}, #ws{phase = open} = State) -> close(1012, <<"the server restarts">>, State);
handle({ssl, _, Data}, State) -> received(Data, State);
handle({websocket_data, nofin, Data}, State) -> received(Data, State);
handle({websocket_data, fin, _}, State) -> gone(State);
handle({Passive, _}, State) when Passive =:= tcp_passive; Passive =:= ssl_passive ->
    _ = hornbeam_websocket_input:is_reading(State#ws.input) andalso hornbeam_websocket_socket:read(State#ws.socket, true),
    State;
handle(tick, State) -> ticked(State);
handle(retry, State) -> retry(State);
handle({websocket_taken, Size}, #ws{output = Output} = State) ->
    flushed(State#ws{output = hornbeam_websocket_output:taken(Size, Output)});
handle({websocket_alarm, OnOff}, #ws{output = Output} = State) ->
    flushed(State#ws{output = hornbeam_websocket_output:alarm(OnOff, Output)});
handle(close_timeout, State) -> waited(State);
handle({Closed, _}, State) when Closed =:= tcp_closed; Closed =:= ssl_closed -> gone(State);
handle(websocket_gone, State) -> gone(State);
handle({Error, _, _}, State) when Error =:= tcp_error; Error =:= ssl_error -> gone(State);
handle({'EXIT', Parent, _}, #ws{parent = Parent} = State) -> gone(State);
handle({'DOWN', Ref, process, _, _} = Message, State) -> relay_lost(Ref, Message, State);
handle({system, _From, {terminate, _}}, #ws{phase = open} = State) -> close(1012, <<"the server stops">>, State);
handle({system, _From, {terminate, _}}, State) -> State;
handle({system, From, Request}, #ws{parent = Parent} = State) ->
    sys:handle_system_msg(Request, From, Parent, ?MODULE, [], State);
handle(Message, #ws{phase = open, guest = {_, _}} = State) ->
    to_guest(Message, State);
handle(_Late, State) ->
    State.

%%% From the client

received(_Data, #ws{phase = Phase} = State) when Phase =:= ended; Phase =:= lingering ->
    State;
received(Data, #ws{input = Input, idle = Idle} = State) ->
    frames([], State#ws{input = hornbeam_websocket_input:feed(Data, Input), idle = hornbeam_websocket_idle:heard(Idle)}).

%% Goes through what has come. Frames for the worker are collected (newest first) and go in one message.
frames(Frames, #ws{input = Input0, deflate = Deflate} = State) ->
    {Item, Input} = hornbeam_websocket_input:next(Deflate, Input0),
    item(Item, Frames, State#ws{input = Input}).

item(NoMore, Frames, State) when NoMore =:= more; NoMore =:= full ->
    to_worker(Frames, State);
item({Type, _} = Message, Frames, #ws{phase = open, guest = {_, _}} = State) when Type =:= text; Type =:= binary ->
    frames([Message | Frames], State);
item({Type, Payload}, Frames, #ws{phase = open, application = Application} = State) when Type =:= text; Type =:= binary ->
    frames([hornbeam_websocket_application:frame(Type, Payload, Application) | Frames], State);
item({ping, Payload}, Frames, #ws{phase = open, output = Output} = State) ->
    frames(Frames, State#ws{output = hornbeam_websocket_output:pong(Payload, Output)});
item({Last, Code, Reason} = Item, Frames, #ws{phase = open} = State) when Last =:= close; Last =:= fail ->
    case to_worker(Frames, State) of
        #ws{phase = open} = Open -> answered(hornbeam_websocket_codec:close(Code, said(Item)), told(Code, Reason, Open));
        #ws{} = Closing -> item(Item, [], Closing);     % by a guest
        stop -> stop
    end;
item({Last, _, _}, _Frames, State) when Last =:= close; Last =:= fail ->
    finish_when_written(State#ws{phase = ended});
item(_Meaningless, Frames, State) ->
    frames(Frames, State).

said({close, _, _}) -> <<>>;
said({fail, _, Reason}) -> Reason.

to_worker([], State) ->
    State;
to_worker(Messages, #ws{phase = open, guest = {Module, Guest}} = State) ->
    effects(Module:messages(lists:reverse(Messages), Guest), State);
to_worker(Frames, #ws{application = Application} = State) ->
    ok = hornbeam_websocket_application:send(lists:reverse(Frames), Application),
    State.

%%% From the worker

from_worker(Type, Payload, #ws{phase = open, guest = {_, _}} = State) ->
    to_guest({worker, Type, Payload}, State);
from_worker(Type, Payload, #ws{phase = open} = State) ->
    case hornbeam_frame:parse(Type, Payload) of
        {ok, Term} -> command(Type, Term, State);
        error -> close(1011, <<>>, State)
    end;
from_worker(_Type, _Payload, State) ->
    State.

command(ws_send_text, Text, State) ->
    message(text, Text, State);
command(ws_send_bytes, Bytes, State) ->
    message(binary, Bytes, State);
command(demand, Count, #ws{input = Input0} = State) ->
    case hornbeam_websocket_input:demand(Count, Input0) of
        {ok, Input} -> demanded(State#ws{input = Input});
        error -> close(1011, <<>>, State)
    end;
command(ws_end, {Code, Reason}, State) ->
    closing(Code, Reason, unsubscribed(State));
command(ws_subscribe, Topic, State) ->
    subscribe(Topic, State);
command(ws_unsubscribe, Topic, State) ->
    unsubscribe(Topic, State);
command(_Type, _Term, State) ->
    %% What is left ends the stream: the application has failed (`abort').
    closing(1011, <<>>, unsubscribed(State)).

demanded(#ws{input = Input} = State) ->
    case hornbeam_websocket_input:is_reading(Input) of
        true -> State;
        false -> frames([], State)
    end.

%% What else the application has sent meanwhile goes out in the same write: a write is the dear part.
message(Type, Payload, #ws{deflate = Deflate, output = Output0} = State) ->
    Messages = [{Type, Payload} | hornbeam_websocket_application:more(?BATCH)],
    {Frames, Output} = lists:mapfoldl(fun(Message, Acc) -> framed(Message, Deflate, Acc) end, Output0, Messages),
    give_credit(write(Frames, State#ws{output = Output})).

framed({Type, Payload}, Deflate, Output) ->
    {hornbeam_websocket_codec:frame(Type, Payload, Deflate),
     hornbeam_websocket_output:count(hornbeam_credit:message(byte_size(Payload)), Output)}.

%%% A guest

to_guest(Message, #ws{guest = {Module, Guest}} = State) ->
    effects(Module:info(Message, Guest), State).

effects({Effects, Guest}, #ws{guest = {Module, _}} = State) ->
    lists:foldl(fun effect/2, State#ws{guest = {Module, Guest}}, Effects).

%% After the first that closes there are no others.
effect(_Effect, stop) -> stop;
effect(_Effect, #ws{phase = Phase} = State) when Phase =/= open -> State;
effect({continue, _} = Continue, #ws{output = Output, later = Later} = State) ->
    case hornbeam_websocket_output:is_busy(Output) of
        true -> State#ws{later = [Continue | Later]};
        false -> to_guest(Continue, State)
    end;
effect({reply, Frame}, State) -> write(Frame, State);
effect({push, Make}, State) when is_function(Make) -> pushed(pushed, Make(), State);
effect({push, Frame}, State) -> pushed(pushed, Frame, State);
effect({consumed, Count}, #ws{output = Output} = State) -> give_credit(State#ws{output = hornbeam_websocket_output:count(Count, Output)});
effect({subscribe, Topic, Kinds, Keeper, Then}, #ws{topics = Topics0} = State) ->
    {ok, Position, Topics} = hornbeam_websocket_fanout:subscribe(Topic, Kinds, Keeper, Topics0),
    lists:foldl(fun effect/2, State#ws{topics = Topics}, Then(Position));
effect({unsubscribe, Topic}, #ws{topics = Topics} = State) ->
    State#ws{topics = hornbeam_websocket_fanout:unsubscribe(Topic, Topics)};
effect({back, Message}, State) -> _ = self() ! Message, State;
effect(release, #ws{application = Application} = State) ->
    ok = hornbeam_websocket_application:close(1000, <<>>, Application),
    State#ws{application = none};
effect({close, Code, Reason}, State) -> close(Code, Reason, State).

%%% Topics

subscribe(Topic, #ws{topics = Topics0} = State) ->
    case hornbeam_websocket_fanout:subscribe(Topic, Topics0) of
        {ok, Topics} -> acknowledge(State#ws{topics = Topics});
        too_many -> close(1008, <<"too many topics">>, State);
        bad_topic -> close(1008, <<"a pattern has at most 128 bytes before the *">>, State)
    end.

unsubscribe(Topic, #ws{topics = Topics} = State) ->
    acknowledge(State#ws{topics = hornbeam_websocket_fanout:unsubscribe(Topic, Topics)}).

unsubscribed(#ws{topics = Topics} = State) ->
    State#ws{topics = hornbeam_websocket_fanout:unsubscribe_all(Topics)}.

acknowledge(#ws{application = Application} = State) ->
    ok = hornbeam_websocket_application:credit(0, Application),
    State.

relay_lost(Monitor, Message, #ws{topics = Topics, phase = open} = State) ->
    case hornbeam_websocket_fanout:is_lost(Monitor, Topics) of
        true -> close(1011, <<"a subscription was lost">>, State);
        false when State#ws.guest =/= none -> to_guest(Message, State);
        false -> State
    end;
relay_lost(_Monitor, _Message, State) -> State.

published(Frame, #ws{phase = open} = State) -> pushed(published, Frame, State);
published(_Frame, State) -> State.

pushed(Kind, Frame, #ws{output = Output} = State) ->
    case hornbeam_websocket_output:is_busy(Output) of
        %% What finds the socket busy in the write is late but not lost; what comes after it is.
        false when Kind =:= published -> write(hornbeam_websocket_fanout:more(Frame), State);
        false -> write(Frame, State);
        true -> too_slow(State)
    end.

too_slow(#ws{server = Server, settings = Settings} = State) ->
    case Settings of
        #{websocket_slow_consumer := drop} ->
            ok = hornbeam_websockets:add(Server, slow_dropped),
            State;
        #{websocket_slow_consumer := close} ->
            ok = hornbeam_websockets:add(Server, slow_closed),
            close(1008, <<"too slow a reader">>, State)
    end.

%%% To the client

write(Data, #ws{output = Output} = State) ->
    State#ws{output = hornbeam_websocket_output:write(Data, Output)}.

%% After whatever may have made room.
flushed(#ws{phase = ended} = State) -> finish_when_written(State);
flushed(#ws{later = [_ | _] = Later, output = Output} = State) ->
    case hornbeam_websocket_output:is_busy(Output) of
        true -> State;
        false -> given(lists:foldr(fun effect/2, State#ws{later = []}, Later))
    end;
flushed(State) -> give_credit(State).

given(#ws{phase = open} = State) -> give_credit(State);
given(Closing) -> Closing.

give_credit(#ws{output = Output, guest = {_, _}, input = Input0, settings = #{window := Window}} = State) ->
    case hornbeam_websocket_output:credit(Window, Output) of
        none ->
            State;
        {Count, Next} ->
            {ok, Input} = hornbeam_websocket_input:demand(Count, Input0),
            demanded(State#ws{output = Next, input = Input})
    end;
give_credit(#ws{application = none} = State) ->
    State;
give_credit(#ws{output = Output, application = Application, settings = #{window := Window}} = State) ->
    case hornbeam_websocket_output:credit(Window, Output) of
        none ->
            State;
        {Count, Next} ->
            ok = hornbeam_websocket_application:credit(Count, Application),
            State#ws{output = Next}
    end.

retry(#ws{output = Output, settings = #{send_timeout := Limit}} = State) ->
    case hornbeam_websocket_output:retry(Limit, Output) of
        {ok, Next} -> flushed(State#ws{output = Next});
        too_slow -> gone_for_good(State)
    end.

%%% The idle time

ticked(#ws{phase = open, settings = Settings, idle = Idle0, input = Input} = State0) ->
    ok = hornbeam_websocket_idle:tick_later(Settings),
    Reading = hornbeam_websocket_input:is_reading(Input),
    {What, Idle} = hornbeam_websocket_idle:tick(Settings, Idle0),
    State = State0#ws{idle = Idle},
    case What of
        %% A client that nobody listens to is not idle.
        _ when not Reading -> State#ws{idle = hornbeam_websocket_idle:heard(Idle)};
        timeout -> close(1001, <<"idle for too long">>, State);
        ping -> ping(State);
        ok -> State
    end;
ticked(State) ->
    State.

%% A busy socket has enough on its way.
ping(#ws{output = Output} = State) ->
    case hornbeam_websocket_output:is_busy(Output) of
        true -> State;
        false -> write(hornbeam_websocket_codec:ping(), State)
    end.

%%% The end

%% The server closes: the application hears of it, and the client.
close(Code, Reason, State) ->
    closing(Code, Reason, told(Code, Reason, State)).

told(Code, Reason, #ws{guest = {Module, Guest}} = State) ->
    ok = Module:closed(Guest),
    told(Code, Reason, State#ws{guest = none});
told(_Code, _Reason, #ws{application = none} = State) ->
    unsubscribed(State);
told(Code, Reason, #ws{application = Application} = State) ->
    ok = hornbeam_websocket_application:close(Code, Reason, Application),
    unsubscribed(State).

%% What has come already may hold the client's close.
closing(Code, Reason, State) ->
    frames([], last_words(hornbeam_websocket_codec:close(Code, Reason), State#ws{phase = closing})).

answered(Close, State) ->
    finish_when_written(last_words(Close, State#ws{phase = ended})).

last_words(Close, #ws{input = Input} = State) ->
    _ = erlang:send_after(?CLOSE_TIMEOUT, self(), close_timeout),
    write(Close, State#ws{input = hornbeam_websocket_input:drain(Input)}).

finish_when_written(#ws{output = Output} = State) ->
    case hornbeam_websocket_output:is_busy(Output) of
        true -> State;
        false -> finish(State)
    end.

finish(#ws{socket = Socket} = State) ->
    case hornbeam_websocket_socket:finish(Socket, ?LINGER) of
        half_closed ->
            _ = erlang:send_after(?LINGER, self(), close_timeout),
            State#ws{phase = lingering};
        closed ->
            stop
    end.

%% A client that has not answered, or not taken what there is for it, or not ended its side.
waited(#ws{output = Output, socket = Socket} = State) ->
    case hornbeam_websocket_output:is_busy(Output) of
        true -> abort(State);
        false -> _ = hornbeam_websocket_socket:finish(Socket, ?LINGER), stop
    end.

abort(#ws{socket = Socket}) ->
    ok = hornbeam_websocket_socket:abort(Socket),
    stop.

%% The client has vanished without a word.
gone(#ws{phase = open} = State) ->
    gone(told(1006, <<>>, State#ws{phase = ended}));
gone(#ws{socket = Socket}) ->
    _ = hornbeam_websocket_socket:finish(Socket, 0),
    stop.

gone_for_good(#ws{phase = open} = State) ->
    abort(told(1006, <<"the client reads too slowly">>, State));
gone_for_good(State) ->
    abort(State).

%%% sys

-spec system_continue(pid(), [sys:dbg_opt()], #ws{}) -> no_return().
system_continue(_Parent, _Debug, State) ->
    loop(State).

-spec system_terminate(term(), pid(), [sys:dbg_opt()], #ws{}) -> no_return().
system_terminate(Reason, _Parent, _Debug, _State) ->
    exit(Reason).

-spec system_code_change(#ws{}, module(), term(), term()) -> {ok, #ws{}}.
system_code_change(State, _Module, _OldVersion, _Extra) ->
    {ok, State}.
