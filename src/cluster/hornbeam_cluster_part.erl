%%% What a part of the cluster's machine is: state that every member of the cluster has, changed by the same operations in the same order.
%%%
%%% Called by: its parts and hornbeam_cluster_machine (ends/2, step/0); it is their behaviour. Calls: nothing.
%%%
%%% A part is pure, and the same on each node and in each release that takes part: no clock, no process, no table, no option. What it has
%%% to know besides its state stands in the operation or in the context.
%%%
%%% Events are what those who listen on a node are told when its member has applied the operation, in the order of the log: once, or not at all
%%% (hornbeam_cluster_machine says when). The name of a part's listener stands there, too.
-module(hornbeam_cluster_part).

-export([step/0, ends/2]).
-export_type([context/0, event/0]).

%% index: the number of the operation, which only grows: a revision, a fencing token. now: the cluster's own time in ms (hornbeam_cluster_machine).
%% time: ms of the clock of whoever led then, for people to read; it may jump.
-type context() :: #{index := pos_integer(), now := non_neg_integer(), time => non_neg_integer(), atom() => term()}.
-type event() :: term().

%% The cluster's time goes in steps of so many ms.
-define(STEP, 250).

-callback new() -> State :: term().
-callback apply(Operation :: term(), context(), State) -> {Reply :: term(), [event()], State} when State :: term().
%% What is over at this time. Called while waits/1 is true, about four times a second.
-callback expire(context(), State) -> {[event()], State} when State :: term().
%% Whether there is something that ends by itself.
-callback waits(State :: term()) -> boolean().
-callback query(Question :: term(), Now :: non_neg_integer(), State :: term()) -> Answer :: term().
%% What an operation adds to the log, in bytes or so: when it is worth a snapshot.
-callback weight(Operation :: term()) -> non_neg_integer().
%% How large the state is: entries, and bytes or so.
-callback size(State :: term()) -> {Entries :: non_neg_integer(), Bytes :: non_neg_integer()}.

%% @doc How far the cluster's time moves at once, in ms.
-spec step() -> pos_integer().
step() -> ?STEP.

%% @doc When what begins now and is to last so many ms ends: a whole step later, since the one in which it begins may be nearly over.
-spec ends(Now :: non_neg_integer(), Milliseconds :: non_neg_integer()) -> pos_integer().
ends(Now, Milliseconds) -> Now + Milliseconds + ?STEP.
