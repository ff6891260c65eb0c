%%% Whether the workers' Erlang processes keep up with what they are sent.
%%%
%%% Called by: hornbeam_pool, which keeps the time (look/2 every ?INTERVAL ms) and hands on the answers.
%%% Calls: hornbeam_worker (echo/1).
%%%
%%%     asked ──answered──▶ asked anew at the next look
%%%       │ not answered by then
%%%       ▼
%%%     behind ──answered──▶
%%%
%%% hornbeam_worker_health asks the Python side, through the worker's process: when that itself does not get to its messages,
%%% nobody asks. Here the pool asks it, and what it takes to answer is what a request waits before Python hears of it.
%%% ?SLOT_BEHIND of its slot has the figure for hornbeam:info/1 and the metrics, read without the process.
%%%
%%% A worker that is behind gets new requests only when no other is open (?SLOT_OPEN is ?BEHIND), and the log says where it
%%% stands: it is Hornbeam's own code that is at fault, or somebody who sends it more than it can do. It is not killed: what it
%%% has is not lost, and would be.
-module(hornbeam_pool_watch).

-export([new/0, interval/0, look/2, answered/3]).
-export_type([watch/0]).

-include("hornbeam.hrl").

-define(INTERVAL, 1000).

-record(asked, {
    number :: pos_integer(),
    counters :: atomics:atomics_ref(),
    at :: integer(),                    % monotonic ms
    state = asked :: asked | answered | behind
}).
-opaque watch() :: #{Worker :: pid() => #asked{}}.

-spec new() -> watch().
new() -> #{}.

-spec interval() -> pos_integer().
interval() -> ?INTERVAL.

%% @doc Looks at these workers, each with its number.
-spec look([{pos_integer(), #slot{}}], watch()) -> watch().
look(Workers, Watch) ->
    Now = erlang:monotonic_time(millisecond),
    maps:from_list([{Worker, looked(Worker, Number, Counters, Now, Watch)}
                    || {Number, #slot{worker = Worker, counters = Counters}} <- Workers]).

looked(Worker, Number, Counters, Now, Watch) ->
    case Watch of
        #{Worker := #asked{state = answered} = Asked} ->
            ok = hornbeam_worker:echo(Worker),
            Asked#asked{at = Now, state = asked};
        #{Worker := #asked{at = At, state = State} = Asked} ->
            atomics:put(Counters, ?SLOT_BEHIND, Now - At),
            %% At every look: it may have become ready only now.
            mark(Counters, ?OPEN, ?BEHIND),
            State =:= asked andalso report(Worker, Number, Now - At),
            Asked#asked{state = behind};
        _ ->
            ok = hornbeam_worker:echo(Worker),
            #asked{number = Number, counters = Counters, at = Now}
    end.

%% @doc A worker has answered, at that time: how long the pool itself took to hear of it does not count.
-spec answered(pid(), Answered :: integer(), watch()) -> watch().
answered(Worker, Answered, Watch) ->
    case Watch of
        #{Worker := #asked{number = Number, counters = Counters, at = At, state = State} = Asked} ->
            Time = max(0, Answered - At),
            atomics:put(Counters, ?SLOT_BEHIND, Time),
            mark(Counters, ?BEHIND, ?OPEN),
            State =:= behind andalso
                logger:warning("worker ~b: its Erlang process was behind by ~b ms and has caught up", [Number, Time],
                               #{hornbeam_worker => Number}),
            Watch#{Worker := Asked#asked{state = answered}};
        _ ->
            Watch
    end.

%% A worker that is late or closed stays that.
mark(Counters, From, To) ->
    _ = atomics:compare_exchange(Counters, ?SLOT_OPEN, From, To),
    ok.

%% In a process of its own: while a process runs a long BIF nobody can look at it.
report(Worker, Number, Time) ->
    _ = spawn(fun() ->
        case process_info(Worker, [message_queue_len, current_stacktrace]) of
            [{_, Length}, {_, Stack}] ->
                logger:error("worker ~b: its Erlang process (~p) is behind by ~b ms, with ~b messages waiting. This is a "
                             "fault of Hornbeam's, or more is sent to it than it can do. It is at~n~ts",
                             [Number, Worker, Time, Length, [io_lib:format("    ~tp~n", [Where]) || Where <- Stack]],
                             #{hornbeam_worker => Number});
            undefined ->
                ok
        end
    end),
    ok.
