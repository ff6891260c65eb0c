%%% One timer for all the time limits of a process: it is not started and stopped with each of them but looked at when it fires.
%%%
%%% Called by: hornbeam_http1. Calls nothing.
%%%
%%% The process gets {timeout, Ref, deadline} no later than the earliest time that it has asked for, and maybe earlier; it then looks which of
%%% its limits has passed and asks for the next. A limit that lies behind the timer's time costs a comparison; in a connection that is
%%% busy all do.
-module(hornbeam_deadline).

-export([new/0, by/2, fired/2, cancel/1]).
-export_type([deadline/0]).

%% In monotonic ms; `none': no timer runs.
-opaque deadline() :: none | {reference(), Due :: integer()}.

-spec new() -> deadline().
new() -> none.

%% @doc The message comes by this time (monotonic ms), or before.
-spec by(integer() | infinity, deadline()) -> deadline().
by(infinity, Deadline) -> Deadline;     % an atom is later than any time
by(At, {_, Due} = Deadline) when Due =< At -> Deadline;
by(At, Deadline) ->
    ok = cancel(Deadline),
    {erlang:start_timer(At, self(), deadline, [{abs, true}]), At}.

%% @doc The message has come; `stale' for one of a timer that has been replaced.
-spec fired(reference(), deadline()) -> {ok, deadline()} | stale.
fired(Ref, {Ref, _Due}) -> {ok, none};
fired(_Ref, _Deadline) -> stale.

-spec cancel(deadline()) -> ok.
cancel(none) -> ok;
cancel({Ref, _}) ->
    _ = erlang:cancel_timer(Ref, [{async, true}, {info, false}]),
    ok.
