%%% How many cores the VM runs on, where our launcher has started it: all while it boots, then half of them, and all while many
%%% WebSockets are open.
%%%
%%% Called by: hornbeam_cli (serving/0); hornbeam_websockets, with the number of open connections whenever it changes.
%%%
%%% Requests are Python's work, and on two cores one scheduler costs less for each than two (priv/python/hornbeam/vm.py has the figures).
%%% What is published to thousands of WebSockets is the VM's own work alone, and goes out faster from all cores.
%%% Where somebody has chosen the number of schedulers, and in somebody else's VM, nothing is changed.
-module(hornbeam_cores).

-export([serving/0, websockets/1]).

%% All cores from ?MANY connections on, until there are fewer than ?FEW.
-define(MANY, 256).
-define(FEW, 128).

%% @doc The server has started.
-spec serving() -> ok.
serving() ->
    _ = is_ours() andalso erlang:system_flag(schedulers_online, half(erlang:system_info(schedulers))),
    ok.

-spec websockets(Open :: non_neg_integer()) -> Open :: non_neg_integer().
websockets(?MANY) ->
    All = erlang:system_info(schedulers),
    case is_ours() andalso erlang:system_info(schedulers_online) < All of
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

%% The launcher's argument where nobody has chosen.
is_ours() ->
    init:get_argument(half_of_the_cores) =/= error.

half(All) ->
    (All + 1) div 2.
