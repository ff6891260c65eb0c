%%% How long things on an HTTP/1 connection may take: the limit of its phase, and that of a body which is being waited for.
%%%
%%% Called by: hornbeam_http1. Calls: hornbeam_deadline, whose one timer looks at both.
%%%
%%% While the connection is awake the timer fires once in ?AWAKE ms at least, so that hardly any limit needs one of its own: what begins and
%%% ends in between has cost a look at the clock. It fires late by less than that of a limit which was set while another one ran.
-module(hornbeam_http1_times).

-export([new/0, limit/3, no_limit/1, body/2, fired/2, awake/1, asleep/1, cancel/1]).
-export_type([times/0, name/0]).

%% Of the phase: its own, or what hornbeam_exchange calls it.
-type name() :: keepalive_timeout | header_timeout | response | queue.

-record(times, {
    deadline = hornbeam_deadline:new() :: hornbeam_deadline:deadline(),
    until = infinity :: integer() | infinity,   % monotonic ms
    name = none :: name() | none,
    body = infinity :: integer() | infinity     % when its next octet must be here
}).
-opaque times() :: #times{}.

-define(AWAKE, 250).

-spec new() -> times().
new() -> #times{}.

%% @doc The phase has so many ms from now.
-spec limit(name(), timeout(), times()) -> times().
limit(Name, infinity, Times) -> awake(Times#times{until = infinity, name = Name});
limit(Name, Time, Times) ->
    Now = now_ms(),
    by(Now + Time, Now, Times#times{until = Now + Time, name = Name}).

-spec no_limit(times()) -> times().
no_limit(Times) -> Times#times{until = infinity}.

%% @doc The next octet of the body has so many ms from now; `infinity': none is waited for.
-spec body(timeout(), times()) -> times().
body(infinity, #times{body = infinity} = Times) -> Times;
body(infinity, Times) -> Times#times{body = infinity};
body(Time, Times) ->
    Now = now_ms(),
    by(Now + Time, Now, Times#times{body = Now + Time}).

%% @doc The timer has fired: which limit is over, and holds no longer; `none': call awake/1 or asleep/1. `stale': it was not the last timer.
-spec fired(reference(), times()) -> {{limit, name()} | body | none, times()} | stale.
fired(Ref, #times{deadline = Deadline} = Times) ->
    case hornbeam_deadline:fired(Ref, Deadline) of
        {ok, Next} -> over(now_ms(), Times#times{deadline = Next});
        stale -> stale
    end.

over(Now, #times{until = Until, name = Name} = Times) when Now >= Until -> {{limit, Name}, Times#times{until = infinity}};
over(Now, #times{body = Body} = Times) when Now >= Body -> {body, Times#times{body = infinity}};
over(_Now, Times) -> {none, Times}.

%% @doc The timer fires soon.
-spec awake(times()) -> times().
awake(#times{until = Until, body = Body} = Times) -> by(min(Until, Body), now_ms(), Times).

%% @doc The timer fires when the limit of the phase is over.
-spec asleep(times()) -> times().
asleep(#times{until = Until, deadline = Deadline} = Times) -> Times#times{deadline = hornbeam_deadline:by(Until, Deadline)}.

-spec cancel(times()) -> ok.
cancel(#times{deadline = Deadline}) -> hornbeam_deadline:cancel(Deadline).

by(At, Now, #times{deadline = Deadline} = Times) ->
    case hornbeam_deadline:by(min(At, Now + ?AWAKE), Deadline) of
        Deadline -> Times;
        Earlier -> Times#times{deadline = Earlier}
    end.

now_ms() -> erlang:monotonic_time(millisecond).
