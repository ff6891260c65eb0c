%%% The figures of a server's hooks: how often they were called, how long they took, how often they failed, how often they replied.
%%%
%%% Called by: hornbeam_http_hooks, which keeps the counters with its settings and has them written by the connections' processes, without a lock.
%%% Calls nothing. One array of counters: a row for each stage, and one more counter.
-module(hornbeam_http_hook_metrics).

-export([new/0, called/4, replied/1, read/1]).
-export_type([ref/0]).

-opaque ref() :: counters:counters_ref().

-define(STAGES, [on_request, on_response, on_error]).
-define(REPLIES, 10).

-spec new() -> ref().
new() -> counters:new(?REPLIES, [write_concurrency]).

%% @doc A hook was called. Took: native units.
-spec called(ref(), Stage :: atom(), Took :: integer(), ok | failed) -> ok.
called(Ref, Stage, Took, Outcome) ->
    Row = row(Stage),
    counters:add(Ref, Row + 1, 1),
    counters:add(Ref, Row + 2, erlang:convert_time_unit(Took, native, nanosecond)),
    _ = Outcome =:= ok orelse counters:add(Ref, Row + 3, 1),
    ok.

row(on_request) -> 0;
row(on_response) -> 3;
row(on_error) -> 6.

%% @doc A hook has answered a request.
-spec replied(ref()) -> ok.
replied(Ref) -> counters:add(Ref, ?REPLIES, 1).

%% @doc Of each stage calls, seconds and failures, and the replies.
-spec read(ref()) -> {[{Stage :: atom(), non_neg_integer(), float(), non_neg_integer()}], Replies :: non_neg_integer()}.
read(Ref) ->
    Get = fun(Stage, N) -> counters:get(Ref, row(Stage) + N) end,
    {[{Stage, Get(Stage, 1), Get(Stage, 2) / 1.0e9, Get(Stage, 3)} || Stage <- ?STAGES], counters:get(Ref, ?REPLIES)}.
