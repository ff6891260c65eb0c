%%% The times and counts of one connection: idle, reading a head, requests served. Lives in the connection process.
%%%
%%% Called by: hornbeam_connection (start/1), hornbeam_tcp and hornbeam_ssl (heard/0, passive/0, paused/1, verdict/0), hornbeam_stream
%%% (opened/2, progress/1, resume/0, closed/2, poison/1), hornbeam_cowboy_log (stray/1, half_closed/0). Calls nothing. State: one record in
%%% the process dictionary.
%%%
%%% Cowboy has one timer for "idle" and "reading a head" together, and none for an idle HTTP/2 connection. Both are switched off; this
%%% module has the two of its own:
%%%
%%%     idle ──first bytes of a head──▶ reading ──head complete──▶ busy ──last stream ended──▶ idle
%%%      │ keepalive_timeout               │ header_timeout
%%%      ▼                                 ▼
%%%     closed without a word             408, closed
%%%
%%% How it learns of the first bytes: Cowboy's loop asks the transport for its message tags before it waits for each message. While
%%% nothing is in progress, a round of the loop that was caused neither by the end of a stream, nor by a passive socket, nor by a
%%% stray message was caused by bytes that did not complete a head. `rounds' counts the rounds with a known cause.
%%%
%%% How it closes: it sends its process the message of sys:terminate/2, which Cowboy takes as a graceful end: what is in progress is
%%% finished. What is to be said before (408, 431) the transport writes when Cowboy shuts the socket down (verdict/0).
%%%
%%% A chunked body. Cowboy keeps what it cannot decode yet, however much it is: a size line that never ends, or one that is no
%%% number. When ?UNDECODED octets have come without a piece of body among them the connection ends.
%%%
%%% Cost: no timer is started or stopped for a request that comes in one piece; Cowboy's own would be.
-module(hornbeam_clock).

-export([start/1, opened/2, progress/1, closed/2, heard/0, passive/0, paused/1, resume/0, stray/1, verdict/0]).
-export([poison/1, is_poisoned/0, is_busy/0, mute/0, half_closed/0]).

%% Never reached: the rounds of a loop that is skipping a body.
-define(MANY, 16#ffffffffff).
%% More than a socket can have delivered before this process comes to look (active_n messages of 1.4 KiB, of 16 KiB with TLS).
-define(UNDECODED, 2097152).

-type limits() :: #{keepalive_timeout := timeout(), header_timeout := timeout(),
                    max_requests := pos_integer() | infinity, max_head := pos_integer(),
                    half_close := boolean(),
                    received := fun(() -> non_neg_integer())}.

-record(clock, {
    limits :: limits(),
    open = 0 :: non_neg_integer(),          % streams in progress
    served = 0 :: non_neg_integer(),        % streams so far
    rounds = 0 :: non_neg_integer(),        % of the loop, to come, that are no news
    protocol = http1 :: http1 | http2,
    idle_timer :: reference() | undefined,  % looks at `since' when it is over
    since = 0 :: integer(),                 % monotonic, native: idle since then
    head_timer :: reference() | undefined,
    reading :: undefined | {Since :: integer(), Octets :: non_neg_integer()},
    chunked = false :: false | non_neg_integer() | ended, % octets when a piece of the body came last
    verdict = none :: none | 431,
    poisoned = false :: boolean(),
    half_closed = false :: boolean()
}).

%% @doc Starts the idle time of a new connection. received: the octets that the socket has taken so far.
-spec start(limits()) -> ok.
start(Limits) ->
    set(idle(#clock{limits = Limits})).

%% @doc The head of a request is complete. Chunked: its body is (or comes in frames, on HTTP/2).
-spec opened(cowboy:http_version(), Chunked :: boolean()) -> ok.
opened(Version, Chunked) ->
    case get(?MODULE) of
        #clock{open = Open, served = Served, limits = #{received := Received}} = Clock ->
            Protocol = case Version of 'HTTP/2' -> http2; _ -> http1 end,
            set((read(Clock))#clock{open = Open + 1, served = Served + 1, protocol = Protocol,
                                       reading = undefined,
                                    chunked = Chunked andalso Protocol =:= http1
                                                 andalso Received()});
        undefined ->
            ok
    end.

%% @doc A piece of a request's body has come.
-spec progress(cowboy_stream:fin()) -> ok.
progress(IsFin) ->
    case get(?MODULE) of
        #clock{chunked = Before, limits = #{received := Received}} = Clock when is_integer(Before) ->
            set(Clock#clock{chunked = case IsFin of nofin -> Received(); fin -> ended end});
        _ ->
            ok
    end.

%% @doc A stream has ended. BodyRead: false when Cowboy still skips the rest of the request's body.
-spec closed(cowboy_stream:reason(), BodyRead :: boolean()) -> ok.
closed(switch_protocol, _BodyRead) ->
    case erase(?MODULE) of
        #clock{idle_timer = Timer} = Clock ->
            _ = Timer =/= undefined andalso erlang:cancel_timer(Timer),
            _ = read(Clock),
            ok;
        undefined -> ok
    end;
closed(_Reason, BodyRead) ->
    case get(?MODULE) of
        #clock{open = 1} = Clock ->
            Rounds = case BodyRead of true -> 1; false -> ?MANY end,
            set(idle(last_one(Clock#clock{open = 0, rounds = Rounds, chunked = false})));
        #clock{open = Open} = Clock when Open > 1 ->
            set(Clock#clock{open = Open - 1});
        _ ->
            ok
    end.

%% HTTP/1 connections count by themselves (Cowboy's max_keepalive). An HTTP/2 connection ends when nothing is in progress: some
%% clients take GOAWAY for the end of everything.
last_one(#clock{protocol = http2, served = Served, limits = #{max_requests := Max}} = Clock) when Served >= Max ->
    _ = self() ! terminate(max_requests),
    Clock;
last_one(#clock{half_closed = true} = Clock) ->
    _ = self() ! terminate(half_closed),
    Clock;
last_one(Clock) ->
    Clock.

%% @doc Cowboy's loop is about to wait for a message. `hold': the end of what the client sends is not its end (half_close).
-spec heard() -> ok | hold.
heard() ->
    case get(?MODULE) of
        #clock{open = 0, protocol = http1, rounds = 0} = Clock -> set(reading(Clock));
        #clock{open = 0, protocol = http1, rounds = N} = Clock -> set(Clock#clock{rounds = N - 1});
        #clock{chunked = Octets, limits = #{received := Received}} when is_integer(Octets) ->
            Received() - Octets > ?UNDECODED andalso exit({shutdown, undecodable_body}),
            ok;
        #clock{protocol = http1, limits = #{half_close := true}} -> hold;
        _ -> ok
    end.

%% @doc The client sends no more, while a request is in progress: the connection ends with the response.
-spec half_closed() -> ok.
half_closed() ->
    case get(?MODULE) of
        #clock{} = Clock -> set(Clock#clock{half_closed = true});
        undefined -> ok
    end.

%% Cowboy may have gone over to HTTP/2, whose frames are no heads.
reading(#clock{reading = undefined, limits = #{received := Received, header_timeout := Timeout}} = Clock) ->
    {current_stacktrace, Stack} = process_info(self(), current_stacktrace),
    case lists:keymember(cowboy_http2, 1, Stack) of
        true ->
            Clock#clock{protocol = http2};
        false ->
            Since = erlang:monotonic_time(millisecond),
            Timer = case Timeout of
                infinity -> undefined;
                _ -> erlang:send_after(Timeout, self(), terminate(header_timeout))
            end,
            Clock#clock{reading = {Since, Received()}, head_timer = Timer}
    end;
reading(#clock{reading = {_, Octets}, limits = #{received := Received, max_head := Max}} = Clock) ->
    case Received() - Octets > Max of
        true ->
            _ = self() ! terminate(header_too_large),
            Clock#clock{verdict = 431, rounds = ?MANY};
        false ->
            Clock
    end.

%% @doc The next round is caused by the socket's counter of messages.
%% @doc Cowboy stops reading (the message that makes it go on), or goes on (false).
-spec paused({Passive :: atom(), Socket :: term()} | false) -> ok.
paused(false) -> _ = erase(hornbeam_paused), ok;
paused(Message) -> _ = put(hornbeam_paused, Message), ok.

%% @doc The last piece of a body has come. Cowboy 2.12 stops reading when a stream's flow is used up, and forgets to go on when what was
%% already in its mailbox was the rest of the body: the next request on the connection would never be read. The message is
%% the one that a socket sends when it has become passive; Cowboy answers it by reading on.
-spec resume() -> ok.
resume() ->
    case get(hornbeam_paused) of
        undefined -> ok;
        Message -> self() ! Message, ok
    end.

-spec passive() -> ok.
passive() -> one_more().

%% @doc The next round was caused by a message for a stream that has ended.
-spec stray(Message :: term()) -> ok.
stray(idle_over) -> one_more(), idle_over();
stray(_Message) -> one_more().

%% The idle time is not started and stopped for each request: when it is over this looks how long the connection has been idle, and
%% waits for the rest. The message comes here as one for stream 0, which there never is.
idle_over() ->
    case get(?MODULE) of
        #clock{open = 0, reading = undefined, since = Since, limits = #{keepalive_timeout := Timeout}} = Clock ->
            Idle = erlang:convert_time_unit(erlang:monotonic_time() - Since, native, millisecond),
            case Timeout - Idle of
                Left when Left > 0 ->
                    set(Clock#clock{idle_timer = idle_timer(Left)});
                _ ->
                    _ = self() ! terminate(keepalive_timeout),
                    ok
            end;
        #clock{} = Clock ->
            set(Clock#clock{idle_timer = undefined});
        undefined ->
            ok
    end.

idle_timer(Time) ->
    erlang:send_after(Time, self(), {{self(), 0}, idle_over}).

one_more() ->
    case get(?MODULE) of
        #clock{open = 0, rounds = Rounds} = Clock -> set(Clock#clock{rounds = Rounds + 1});
        _ -> ok
    end.

%% @doc The status to close the connection with, if there is one to say.
-spec verdict() -> none | 408 | 431.
verdict() ->
    case get(?MODULE) of
        #clock{open = 0, verdict = 431} ->
            431;
        #clock{open = 0, reading = {Since, _}, limits = #{header_timeout := Timeout}}
                when is_integer(Timeout) ->
            case erlang:monotonic_time(millisecond) - Since >= Timeout of
                true -> 408;
                false -> none
            end;
        _ ->
            none
    end.

%% @doc A request was malformed: what follows it on an HTTP/1 connection is not to be trusted.
-spec poison(cowboy:http_version()) -> ok.
poison('HTTP/2') ->
    ok;
poison(_Version) ->
    case get(?MODULE) of
        #clock{} = Clock -> set(Clock#clock{poisoned = true});
        undefined -> ok
    end.

%% Cowboy takes the trailer section of a chunked body, and what follows a size that is no number, for the next request: behind a
%% chunked request none is believed before its response is complete.
-spec is_poisoned() -> boolean().
is_poisoned() ->
    case get(?MODULE) of
        #clock{open = Open, chunked = Chunked} when Open > 0, Chunked =/= false -> true;
        #clock{poisoned = Poisoned} -> Poisoned;
        undefined -> false
    end.

%% @doc Whether a response may be on its way over an HTTP/1 connection: nothing else may be written then.
-spec is_busy() -> boolean().
is_busy() ->
    case get(?MODULE) of
        #clock{open = Open, protocol = http1} -> Open > 0;
        _ -> false
    end.

%% @doc Nothing is sent any more (hornbeam_transport.hrl); the connection ends.
-spec mute() -> ok.
mute() ->
    _ = put(hornbeam_muted, true),
    _ = self() ! terminate(muted),
    ok.

set(Clock) ->
    _ = put(?MODULE, Clock),
    ok.

idle(#clock{idle_timer = undefined, limits = #{keepalive_timeout := Timeout}} = Clock)
        when Timeout =/= infinity ->
    Clock#clock{since = erlang:monotonic_time(), idle_timer = idle_timer(Timeout)};
idle(Clock) ->
    Clock#clock{since = erlang:monotonic_time()}.

%% The head is complete.
read(#clock{head_timer = undefined} = Clock) ->
    Clock;
read(#clock{head_timer = Timer} = Clock) ->
    _ = erlang:cancel_timer(Timer, [{async, true}, {info, false}]),
    Clock#clock{head_timer = undefined}.

%% The answer to a system message comes back here and is dropped (hornbeam_cowboy_log).
terminate(Reason) ->
    {system, {self(), make_ref()}, {terminate, Reason}}.
