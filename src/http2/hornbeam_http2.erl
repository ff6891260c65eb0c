%%% One HTTP/2 connection: the process that holds the client's socket (RFC 9113).
%%%
%%% Called by: hornbeam_connection (start/1), when HTTP/2 is what was agreed on (ALPN) or what the client's preface says. Calls:
%%% hornbeam_http2_socket (what is read at once, the last phase), hornbeam_http2_input (octets to frames), hornbeam_http2_streams (frames to
%%% requests, responses to frames), hornbeam_deadline.
%%%
%%% Phases
%%%
%%%     open ──stop, max_keepalive──▶ leaving ──?LEAVE_MS──▶ closing ──nothing is in progress──▶ closed
%%%       │                              │                      │
%%%       └──────────────────────────────┴──an error of the client's: GOAWAY──▶ linger (hornbeam_http2_socket) ──▶ closed
%%%
%%%   leaving  a GOAWAY without a number has been sent; requests that were on their way then are still served (6.8)
%%%   closing  a GOAWAY with the last stream has been sent; what is in progress is finished
%%%
%%% Messages: from the socket; {{self(), Id}, Event} of a stream (hornbeam_http2_stream); {timeout, _, deadline}; {'EXIT', _, _} of a WebSocket's
%%% process; {system, _, {terminate, _}} from hornbeam_listener.
%%%
%%% Writing. What there is to say is gathered while messages wait, ?BATCH of them at most, and leaves in one write with up to ?TURN octets of
%%% the streams' output, each in turn.
%%%
%%% Floods and other errors of the connection end it at once: whatever is being done with the client's octets is left where it is (a throw),
%%% and the client is told by a GOAWAY. hornbeam_http2_input and hornbeam_http2_streams have the limits.
%%%
%%% Times are one timer (hornbeam_deadline), that fires every ?AWAKE ms while anything happens; then all that is in progress is looked at. When
%%% nothing has happened for so long the process hibernates until the next of its limits.
%%%
%%% Failure: a crash here is one client's: one line in the log, without what may be secret, and a GOAWAY. The worker's sweep tells the application.
-module(hornbeam_http2).

-export([start/1, wake/1]).
-export([system_continue/3, system_terminate/4, system_code_change/4, system_get_state/1]).
-export_type([settings/0]).

-type settings() :: #{keepalive_timeout := timeout(), header_timeout := timeout(), body_timeout := timeout(), send_timeout := timeout(),
                      max_keepalive := pos_integer() | infinity, max_streams := pos_integer(), body_prefetch := non_neg_integer(),
                      max_frame_rate := pos_integer(), max_empty_frame_rate := pos_integer(), max_reset_rate := pos_integer(),
                      max_request_line := pos_integer(), max_headers := pos_integer(), max_header_size := pos_integer(),
                      max_head_size := pos_integer(), strict_target := boolean(), websocket := boolean()}.

-define(BATCH, 32).
-define(TURN, 65536).
-define(AWAKE, 250).
%% For requests that are on their way. (A PING would tell sooner, but some clients take nothing after a GOAWAY.)
-define(LEAVE_MS, 1000).

-record(conn, {
    parent :: pid(),
    settings :: settings(),
    socket :: hornbeam_http2_socket:socket(),
    input :: hornbeam_http2_input:input(),
    streams :: hornbeam_http2_streams:streams(),
    phase = open :: open | leaving | closing,
    batch = 0 :: non_neg_integer(),         % messages since the last write
    deadline = hornbeam_deadline:new() :: hornbeam_deadline:deadline(),
    until = infinity :: integer() | infinity,   % of the phase; while open, of an idle connection
    quiet = false :: boolean()              % nothing has come since the deadline was looked at
}).

%% @doc Serves the connection until it ends; the calling process becomes it. What has been read of it already is a message of the socket's.
-spec start(#{parent := pid(), transport := module(), socket := term(), settings := settings(), context := hornbeam_exchange:context()}) ->
    no_return().
start(#{parent := Parent, transport := Transport, socket := Socket, context := Context, settings := #{keepalive_timeout := Idle} = Settings}) ->
    Now = now_ms(),
    enter(awake(Now, #conn{parent = Parent, settings = Settings, socket = hornbeam_http2_socket:new(Transport, Socket),
                           input = hornbeam_http2_input:new(Settings),
                           streams = hornbeam_http2_streams:new(Transport:secure(), {Settings, Context}), until = later(Now, Idle)})).

%%% The loop

%% @doc After hibernation.
-spec wake(#conn{}) -> no_return().
wake(Conn) -> enter(Conn).

-spec enter(#conn{}) -> no_return().
enter(Conn) ->
    try loop(Conn)
    catch error:Reason:Stack -> crashed(Reason, Stack, Conn)
    end.

loop(#conn{batch = ?BATCH} = Conn) ->
    loop(flush(Conn));
loop(#conn{streams = Streams} = Conn) ->
    case hornbeam_http2_streams:has_output(Streams) of
        true ->
            receive Message -> loop(handle(Message, Conn))
            after 0 -> loop(flush(Conn))
            end;
        false ->
            receive Message -> loop(handle(Message, Conn#conn{batch = 0})) end
    end.

handle({{_, Id}, Event}, #conn{streams = Streams, batch = Batch} = Conn) ->
    told(hornbeam_http2_streams:event(Id, Event, Streams), stir(Conn#conn{batch = Batch + 1}));
handle({tcp, _, Data}, #conn{batch = Batch} = Conn) -> received(Data, stir(Conn#conn{batch = Batch + 1}));
handle({ssl, _, Data}, #conn{batch = Batch} = Conn) -> received(Data, stir(Conn#conn{batch = Batch + 1}));
handle({Passive, _}, #conn{socket = Socket} = Conn) when Passive =:= tcp_passive; Passive =:= ssl_passive ->
    Conn#conn{socket = hornbeam_http2_socket:read(Socket)};
handle({timeout, Ref, deadline}, #conn{deadline = Deadline} = Conn) ->
    case hornbeam_deadline:fired(Ref, Deadline) of
        {ok, Next} -> look(now_ms(), Conn#conn{deadline = Next});
        stale -> Conn
    end;
handle({Closed, _}, Conn) when Closed =:= tcp_closed; Closed =:= ssl_closed -> gone(Conn);
handle({Error, _, _}, Conn) when Error =:= tcp_error; Error =:= ssl_error -> gone(Conn);
handle({system, _From, {terminate, _}}, Conn) -> stop(Conn);
handle({system, From, Request}, #conn{parent = Parent} = Conn) ->
    sys:handle_system_msg(Request, From, Parent, ?MODULE, [], Conn);
handle({'EXIT', Parent, Reason}, #conn{parent = Parent, streams = Streams}) ->
    _ = hornbeam_http2_streams:gone(Streams),
    exit(Reason);
handle({'EXIT', Pid, Reason}, #conn{streams = Streams} = Conn) ->
    told(hornbeam_http2_streams:exit(Pid, Reason, Streams), Conn);
handle(_Late, Conn) ->
    Conn.

%% Something happens: the deadline is looked at soon.
stir(#conn{quiet = false} = Conn) -> Conn;
stir(Conn) -> awake(now_ms(), Conn#conn{quiet = false}).

awake(Now, Conn) -> by(Now + ?AWAKE, Conn).

%% All frames that are here.
received(Data, #conn{input = Input0, streams = Streams0} = Conn) ->
    Now = now_ms(),
    try frames(Now, hornbeam_http2_input:feed(Data, Input0), Streams0) of
        {Input, Streams} -> told(Streams, by(hornbeam_http2_input:until(Input), Conn#conn{input = Input}))
    catch
        throw:{connection_error, Code, Streams} -> fail(Code, Conn#conn{streams = Streams})
    end.

frames(Now, Input0, Streams) ->
    case hornbeam_http2_input:next(Now, Input0) of
        {frame, Frame, Size, Input} -> frames(Now, Input, hornbeam_http2_streams:frame(Frame, Size, Now, Streams));
        {more, Part, Input} -> {Input, hornbeam_http2_streams:arrived(Part, Now, Streams)};
        {error, Code} -> throw({connection_error, Code, Streams})
    end.

%% What has happened to the streams.
told(Streams0, Conn) ->
    case hornbeam_http2_streams:news(Streams0) of
        none -> Conn#conn{streams = Streams0};
        {News, Streams} -> lists:foldl(fun news/2, Conn#conn{streams = Streams}, News)
    end.

news({look, Time}, Conn) -> by(Time, Conn);
%% A connection on which something is in progress is not idle; one that leaves has its time.
news(busy, #conn{phase = open} = Conn) -> Conn#conn{until = infinity};
news(busy, Conn) -> Conn;
news(large_body, Conn) -> large(true, Conn);
news({idle, How}, Conn) -> idle(How, Conn);
news(goaway, #conn{phase = open} = Conn) -> closing(Conn);
news(goaway, Conn) -> Conn.

large(Large, #conn{socket = Socket} = Conn) ->
    Conn#conn{socket = hornbeam_http2_socket:large(Large, Socket)}.

idle(ended, #conn{phase = closing} = Conn) ->
    close(Conn);
idle(reset, #conn{phase = closing} = Conn) ->
    linger(Conn);
idle(_How, #conn{phase = open, streams = Streams, settings = #{max_keepalive := Max, keepalive_timeout := Time}} = Conn) ->
    case hornbeam_http2_streams:count(Streams) of
        {_, Served} when Served >= Max -> leave(large(false, Conn));
        _ -> large(false, Conn#conn{until = later(now_ms(), Time)})
    end;
idle(_How, Conn) ->
    Conn.

flush(#conn{socket = Socket, streams = Streams0} = Conn) ->
    {Out, Streams} = hornbeam_http2_streams:output(?TURN, now_ms(), Streams0),
    case hornbeam_http2_socket:write(Out, Socket) of
        ok -> told(Streams, Conn#conn{batch = 0});
        {error, _} -> gone(Conn#conn{streams = Streams})
    end.

%%% The end

%% The server stops.
stop(#conn{streams = Streams, phase = Phase} = Conn) ->
    case hornbeam_http2_streams:count(Streams) of
        {0, _} -> close(goaway(no_error, Conn));
        _ when Phase =:= open -> leave(Conn);
        _ -> Conn
    end.

leave(#conn{streams = Streams} = Conn) ->
    Until = now_ms() + ?LEAVE_MS,
    by(Until, Conn#conn{streams = hornbeam_http2_streams:goaway(leaving, Streams), phase = leaving, until = Until}).

closing(#conn{streams = Streams} = Conn0) ->
    Conn = Conn0#conn{streams = hornbeam_http2_streams:goaway(closing, Streams), phase = closing, until = infinity},
    case hornbeam_http2_streams:count(Streams) of
        {0, _} -> close(Conn);
        _ -> Conn
    end.

goaway(Code, #conn{streams = Streams} = Conn) ->
    Conn#conn{streams = hornbeam_http2_streams:goaway(Code, Streams)}.

%% The client's fault, and the end of all its streams.
-spec fail(cow_http2:error(), #conn{}) -> no_return().
fail(Code, #conn{streams = Streams} = Conn) ->
    linger(goaway(Code, Conn#conn{streams = hornbeam_http2_streams:gone(Streams)})).

-spec linger(#conn{}) -> no_return().
linger(#conn{socket = Socket, parent = Parent} = Conn) ->
    ok = last_words(Conn),
    hornbeam_http2_socket:linger(Parent, Socket).

-spec close(#conn{}) -> no_return().
close(#conn{socket = Socket} = Conn) ->
    ok = last_words(Conn),
    ok = hornbeam_http2_socket:close(Socket),
    exit(normal).

%% Whether the client hears them or not.
last_words(#conn{socket = Socket, streams = Streams}) ->
    {Out, _} = hornbeam_http2_streams:output(0, now_ms(), Streams),
    _ = hornbeam_http2_socket:write(Out, Socket),
    ok.

-spec gone(#conn{}) -> no_return().
gone(#conn{socket = Socket, streams = Streams}) ->
    _ = hornbeam_http2_streams:gone(Streams),
    ok = hornbeam_http2_socket:close(Socket),
    exit(normal).

%% Nothing of what the arguments of the functions were, which may be secret, is in the line.
-spec crashed(term(), list(), #conn{}) -> no_return().
crashed(Reason, Stack, #conn{socket = Socket}) ->
    Kind = case is_tuple(Reason) andalso tuple_size(Reason) > 0 of true -> element(1, Reason); false -> Reason end,
    logger:error("an HTTP/2 connection has failed: ~0tP at ~0tp",
                 [Kind, 8, [{M, F, case is_list(A) of true -> length(A); false -> A end, proplists:get_value(line, Where)}
                            || {M, F, A, Where} <- Stack]]),
    _ = hornbeam_http2_socket:write(cow_http2:goaway(16#7fffffff, internal_error, <<>>), Socket),
    ok = hornbeam_http2_socket:close(Socket),
    exit(normal).

%%% Times

by(At, #conn{deadline = Deadline} = Conn) ->
    Conn#conn{deadline = hornbeam_deadline:by(At, Deadline)}.

look(Now, #conn{phase = leaving, until = Until} = Conn) when Now >= Until ->
    looked(Now, closing(Conn));
look(Now, #conn{input = Input, until = Until} = Conn) ->
    case hornbeam_http2_input:until(Input) of
        Begun when Now >= Begun -> fail(enhance_your_calm, Conn);
        _ when Now < Until -> looked(Now, Conn);
        _ ->
            case hornbeam_http2_input:is_untouched(Input) of
                true -> gone(Conn);
                false -> close(goaway(no_error, Conn))
            end
    end.

looked(Now, #conn{streams = Streams0} = Conn0) ->
    {Next, Streams} = hornbeam_http2_streams:due(Now, Streams0),
    #conn{input = Input, until = Until} = Conn = told(Streams, Conn0),
    wait(Now, min(min(Until, hornbeam_http2_input:until(Input)), Next), Conn).

%% Hibernates when nothing has happened since the last time.
wait(Now, Next, #conn{quiet = Quiet, streams = Streams} = Conn) ->
    case Quiet andalso not hornbeam_http2_streams:has_output(Streams) of
        true -> proc_lib:hibernate(?MODULE, wake, [by(Next, Conn)]);
        false -> by(min(Next, Now + ?AWAKE), Conn#conn{quiet = true})
    end.

later(_Now, infinity) -> infinity;
later(Now, Time) -> Now + Time.

now_ms() ->
    erlang:monotonic_time(millisecond).

%%% sys

-spec system_continue(pid(), [sys:dbg_opt()], #conn{}) -> no_return().
system_continue(_Parent, _Debug, Conn) -> enter(Conn).

-spec system_terminate(term(), pid(), [sys:dbg_opt()], #conn{}) -> no_return().
system_terminate(_Reason, _Parent, _Debug, Conn) -> enter(stop(Conn)).

-spec system_code_change(#conn{}, module(), term(), term()) -> {ok, #conn{}}.
system_code_change(Conn, _Module, _Old, _Extra) -> {ok, Conn}.

-spec system_get_state(#conn{}) -> {ok, #conn{}}.
system_get_state(Conn) -> {ok, Conn}.
