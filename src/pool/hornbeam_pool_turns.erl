%%% Who waits for a place, and whose turn it is: callers take turns, and each caller's own are first come, first served. Pure.
%%%
%%% Called by: hornbeam_pool_waiting; hornbeam_call_stream (tag/2). Calls: hornbeam_pool_queue, one for each caller.
%%%
%%% A request of HTTP names no caller: all of them are one. A call of a service names the worker, or the process of Erlang's, that makes
%%% it (tag/2), so that one with a thousand calls waiting does not keep another's single one waiting.
%%%
%%% The number of those who wait is bounded by whoever lets them in. Where that bound is shared by callers, longest/1 says who is to leave
%%% for one that comes when it is reached: the last one of the caller that has the most. So a caller that fills the queue is the one that is
%%% refused.
-module(hornbeam_pool_turns).

-export([new/0, tag/2, in/3, out/1, delete/2, is_empty/1, size/1, longest/1]).
-export_type([turns/0]).

-type caller() :: pid() | none.

-record(turns, {
    queues = #{} :: #{caller() => {Count :: pos_integer(), hornbeam_pool_queue:queue()}},
    ring = queue:new() :: queue:queue(caller()),        % those in `queues', the next one first
    size = 0 :: non_neg_integer()
}).
-opaque turns() :: #turns{}.

-spec new() -> turns().
new() -> #turns{}.

%% @doc The tag of an owner (hornbeam_pool:owner()) that names its caller.
-spec tag(pid(), reference()) -> term().
tag(Caller, Ref) -> {caller, Caller, Ref}.

caller({_, {caller, Caller, _}}) -> Caller;
caller(_) -> none.

-spec is_empty(turns()) -> boolean().
is_empty(#turns{size = Size}) -> Size =:= 0.

-spec size(turns()) -> non_neg_integer().
size(#turns{size = Size}) -> Size.

%% @doc front: of its caller's own, and its caller's turn is the next.
-spec in(hornbeam_pool:owner(), front | back, turns()) -> turns().
in(Owner, Where, #turns{queues = Queues, ring = Ring, size = Size} = Turns) ->
    Caller = caller(Owner),
    {Count, Queue} = maps:get(Caller, Queues, {0, hornbeam_pool_queue:new()}),
    Next = case {Where, Count} of
        {back, 0} -> queue:in(Caller, Ring);
        {front, 0} -> queue:in_r(Caller, Ring);
        {front, _} -> queue:in_r(Caller, queue:delete(Caller, Ring));
        {back, _} -> Ring
    end,
    Turns#turns{queues = Queues#{Caller => {Count + 1, hornbeam_pool_queue:in(Owner, Where, Queue)}}, ring = Next, size = Size + 1}.

%% @doc The one whose turn it is.
-spec out(turns()) -> {hornbeam_pool:owner(), turns()} | empty.
out(#turns{queues = Queues, ring = Ring0, size = Size} = Turns) ->
    case queue:out(Ring0) of
        {empty, _} ->
            empty;
        {{value, Caller}, Ring} ->
            #{Caller := {Count, Queue0}} = Queues,
            {Owner, Queue} = hornbeam_pool_queue:out(Queue0),
            Left = case Count of
                1 -> Turns#turns{queues = maps:remove(Caller, Queues), ring = Ring};
                _ -> Turns#turns{queues = Queues#{Caller := {Count - 1, Queue}}, ring = queue:in(Caller, Ring)}
            end,
            {Owner, Left#turns{size = Size - 1}}
    end.

%% @doc Leaves from wherever it stands; error when it does not.
-spec delete(hornbeam_pool:owner(), turns()) -> {ok, turns()} | error.
delete(Owner, #turns{queues = Queues, ring = Ring, size = Size} = Turns) ->
    Caller = caller(Owner),
    {Count, Queue0} = maps:get(Caller, Queues, {0, hornbeam_pool_queue:new()}),
    case hornbeam_pool_queue:delete(Owner, Queue0) of
        {ok, _} when Count =:= 1 ->
            {ok, Turns#turns{queues = maps:remove(Caller, Queues), ring = queue:delete(Caller, Ring), size = Size - 1}};
        {ok, Queue} ->
            {ok, Turns#turns{queues = Queues#{Caller := {Count - 1, Queue}}, size = Size - 1}};
        error ->
            error
    end.

%% @doc The last of the caller that has the most.
-spec longest(turns()) -> hornbeam_pool:owner() | empty.
longest(#turns{queues = Queues}) when map_size(Queues) =:= 0 ->
    empty;
longest(#turns{queues = Queues}) ->
    {_, Caller} = lists:max([{Count, Caller} || {Caller, {Count, _}} <- maps:to_list(Queues)]),
    #{Caller := {_, Queue}} = Queues,
    hornbeam_pool_queue:last(Queue).
