%%% Which workers a request belongs to, the first choice first: pure.
%%%
%%% Called by: hornbeam_pool_choice, for mounts with the option `affinity' (hornbeam_affinity finds out what a request belongs to). Calls nothing.
%%%
%%%   {worker, Number}    to one worker, and after it to anybody
%%%   {key, Key}          rendezvous hashing: the key gives each worker's number a weight, and the heaviest has it. When a worker goes, only
%%%                       what it had moves, to the next in weight, which differs from key to key; when one of its number comes, only
%%%                       that moves back
%%%
%%% Cost: a hash for each worker, some 0.1 us; the key itself is hashed once (key/1).
-module(hornbeam_pool_affinity).

-export([key/1, order/2]).
-export_type([belongs/0]).

-include("hornbeam.hrl").

-type belongs() :: {worker, Number :: pos_integer()} | {key, non_neg_integer()}.

-define(RANGE, (1 bsl 32)).

%% @doc What a value, of any length, is here. The same on each node and after each start.
-spec key(term()) -> belongs().
key(Value) -> {key, erlang:phash2(Value, ?RANGE)}.

%% @doc Those that it belongs to, of a pool's ready workers.
-spec order(belongs(), Slots :: tuple()) -> [#slot{}].
order({worker, Number}, Slots) ->
    [Slot || #slot{number = N} = Slot <- tuple_to_list(Slots), N =:= Number];
order({key, _Key}, {Slot}) ->
    [Slot];
order({key, Key}, Slots) ->
    Weighed = [{-erlang:phash2({Key, Number}, ?RANGE), Number, Slot} || #slot{number = Number} = Slot <- tuple_to_list(Slots)],
    [Slot || {_, _, Slot} <- lists:sort(Weighed)].
