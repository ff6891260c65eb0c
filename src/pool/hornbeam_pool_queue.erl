%%% Those who wait for a place: a queue that one can also leave from the middle, at the same cost however long it is. Pure.
%%%
%%% Called by: hornbeam_pool_turns. An owner stands in it once.
%%%
%%% Places are numbered; the queue is between `first' and `next'. Who leaves from the middle leaves a gap, which is passed over
%%% once, when the head gets there.
-module(hornbeam_pool_queue).

-export([new/0, in/3, out/1, last/1, delete/2, is_empty/1]).
-export_type([queue/0]).

-record(queue, {
    owners = #{} :: #{integer() => hornbeam_pool:owner()},
    numbers = #{} :: #{hornbeam_pool:owner() => integer()},
    first = 0 :: integer(),
    next = 0 :: integer()
}).
-opaque queue() :: #queue{}.

-spec new() -> queue().
new() -> #queue{}.

-spec is_empty(queue()) -> boolean().
is_empty(#queue{owners = Owners}) -> map_size(Owners) =:= 0.

-spec in(hornbeam_pool:owner(), front | back, queue()) -> queue().
in(Owner, back, #queue{next = Next} = Queue) ->
    put(Owner, Next, Queue#queue{next = Next + 1});
in(Owner, front, #queue{first = First} = Queue) ->
    put(Owner, First - 1, Queue#queue{first = First - 1}).

put(Owner, Number, #queue{owners = Owners, numbers = Numbers} = Queue) ->
    Queue#queue{owners = Owners#{Number => Owner}, numbers = Numbers#{Owner => Number}}.

%% @doc The one at the head.
-spec out(queue()) -> {hornbeam_pool:owner(), queue()} | empty.
out(#queue{owners = Owners}) when map_size(Owners) =:= 0 ->
    empty;
out(#queue{owners = Owners, numbers = Numbers, first = First} = Queue) ->
    case maps:take(First, Owners) of
        {Owner, Others} ->
            {Owner, Queue#queue{owners = Others, numbers = maps:remove(Owner, Numbers), first = First + 1}};
        error ->
            out(Queue#queue{first = First + 1})
    end.

%% @doc The one at the end of a queue that is not empty.
-spec last(queue()) -> hornbeam_pool:owner().
last(#queue{owners = Owners, next = Next}) -> last(Owners, Next - 1).

last(Owners, Number) ->
    case Owners of
        #{Number := Owner} -> Owner;
        #{} -> last(Owners, Number - 1)
    end.

%% @doc Leaves from wherever it stands; error when it does not.
-spec delete(hornbeam_pool:owner(), queue()) -> {ok, queue()} | error.
delete(Owner, #queue{owners = Owners, numbers = Numbers} = Queue) ->
    case maps:take(Owner, Numbers) of
        {Number, Others} -> {ok, Queue#queue{owners = maps:remove(Number, Owners), numbers = Others}};
        error -> error
    end.
