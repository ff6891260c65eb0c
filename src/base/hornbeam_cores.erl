%%% How many cores the VM runs on, where bin/hornbeam has started it: half of them, and all while many WebSockets are open.
%%%
%%% Called by: hornbeam_websockets, with the number of open connections whenever it changes.
%%%
%%% Requests are Python's work, and on two cores one scheduler costs less for each than two (bin/hornbeam has the figures).
%%% What is published to thousands of WebSockets is the VM's own work alone, and goes out faster from all cores.
%%% Where somebody has chosen the number of schedulers, and in somebody else's VM, nothing is changed.
-module(hornbeam_cores).

-export([websockets/1]).

%% All cores from ?MANY connections on, until there are fewer than ?FEW.
-define(MANY, 256).
-define(FEW, 128).

-spec websockets(Open :: non_neg_integer()) -> Open :: non_neg_integer().
websockets(?MANY) ->
    All = erlang:system_info(schedulers),
    case is_ours() andalso erlang:system_info(schedulers_online) =:= half(All) of
        true ->
            persistent_term:put(?MODULE, raised),
            _ = erlang:system_flag(schedulers_online, All),
            ?MANY;
        false ->
            ?MANY
    end;
websockets(Open) when Open =:= ?FEW - 1 ->
    case persistent_term:erase(?MODULE) of
        true ->
            _ = erlang:system_flag(schedulers_online, half(erlang:system_info(schedulers))),
            Open;
        false ->
            Open
    end;
websockets(Open) ->
    Open.

%% Who starts the VM with half of the cores says so by this argument.
is_ours() ->
    init:get_argument(half_of_the_cores) =/= error.

half(All) ->
    (All + 1) div 2.
