%%% When an HTTP/2 connection ends by itself: idle for keepalive_timeout, or after max_keepalive requests.
%%%
%%% Called by: hornbeam_connection (start/2), hornbeam_http2_stream (opened/1, closed/0), hornbeam_http2_socket (is_idle/0, last/0), in the
%%% connection's process. Calls nothing.
%%%
%%% Cowboy has no time for an HTTP/2 connection on which nothing is in progress that would not also end one on which a response takes long.
%%% So this counts the streams, and asks for the end as sys:terminate/2 does, which Cowboy takes for a graceful one: GOAWAY, what is in progress
%%% is finished. The answer to that message goes to the listener, which drops it. After max_keepalive requests the connection ends when nothing
%%% is in progress: some clients take GOAWAY for the end of everything.
%%%
%%% State: one tuple in the process dictionary, since Cowboy keeps none for a connection's streams together.
-module(hornbeam_http2_idle).

-export([start/2, opened/1, closed/0, is_idle/0, last/0]).

-record(idle, {
    timeout :: timeout(),
    max :: pos_integer() | infinity,
    listener :: pid(),
    open = 0 :: non_neg_integer(),
    served = 0 :: non_neg_integer(),
    last = 0 :: cowboy_stream:streamid(),   % the highest that was opened
    timer :: reference() | undefined
}).

%% @doc A new connection is idle.
-spec start(#{keepalive_timeout := timeout(), max_keepalive := pos_integer() | infinity}, Listener :: pid()) -> ok.
start(#{keepalive_timeout := Timeout, max_keepalive := Max}, Listener) ->
    set(idle(#idle{timeout = Timeout, max = Max, listener = Listener})).

-spec opened(cowboy_stream:streamid()) -> ok.
opened(StreamId) ->
    #idle{open = Open, served = Served, timer = Timer} = Idle = get(?MODULE),
    _ = Timer =:= undefined orelse erlang:cancel_timer(Timer, [{async, true}, {info, false}]),
    set(Idle#idle{open = Open + 1, served = Served + 1, last = StreamId, timer = undefined}).

%% @doc A stream has ended; whether it was the last in progress.
-spec closed() -> boolean().
closed() ->
    case get(?MODULE) of
        #idle{open = 1, served = Served, max = Max} = Idle when Served >= Max ->
            self() ! terminate(max_keepalive, Idle),
            set(Idle#idle{open = 0}),
            true;
        #idle{open = 1} = Idle ->
            set(idle(Idle#idle{open = 0})),
            true;
        #idle{open = Open} = Idle ->
            set(Idle#idle{open = Open - 1}),
            false
    end.

%% @doc Whether nothing is in progress and nothing need be waited for. After max_keepalive requests the client may be about to send one
%% more, and Cowboy's second is for it.
-spec is_idle() -> boolean().
is_idle() ->
    #idle{open = Open, served = Served, max = Max} = get(?MODULE),
    Open =:= 0 andalso Served < Max.

%% @doc The last stream that was opened.
-spec last() -> cowboy_stream:streamid().
last() ->
    #idle{last = Last} = get(?MODULE),
    Last.

idle(#idle{timeout = infinity} = Idle) ->
    Idle;
idle(#idle{timeout = Timeout} = Idle) ->
    Idle#idle{timer = erlang:send_after(Timeout, self(), terminate(keepalive_timeout, Idle))}.

terminate(Reason, #idle{listener = Listener}) ->
    {system, {Listener, make_ref()}, {terminate, Reason}}.

set(Idle) ->
    _ = put(?MODULE, Idle),
    ok.
