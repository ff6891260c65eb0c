%%% Who waits for the end of a task. Called by: hornbeam_task_book, hornbeam_task_member, whose process gets {'DOWN', Monitor, ...} of those that wait no longer.
-module(hornbeam_task_waiters).

-export([new/0, add/3, answer/3, gone/2, ids/1, is_waited/2]).
-export_type([waiters/0]).

-record(waiters, {
    by_id = #{} :: #{Id :: binary() => #{reference() => gen_server:from()}},
    by_monitor = #{} :: #{reference() => Id :: binary()}
}).
-opaque waiters() :: #waiters{}.

-spec new() -> waiters().
new() -> #waiters{}.

-spec add(Id :: binary(), gen_server:from(), waiters()) -> waiters().
add(Id, {Pid, _} = From, #waiters{by_id = ById, by_monitor = ByMonitor} = Waiters) ->
    Monitor = monitor(process, Pid),
    Of = maps:get(Id, ById, #{}),
    Waiters#waiters{by_id = ById#{Id => Of#{Monitor => From}}, by_monitor = ByMonitor#{Monitor => Id}}.

-spec answer(Id :: binary(), Answer :: term(), waiters()) -> waiters().
answer(Id, Answer, #waiters{by_id = ById, by_monitor = ByMonitor} = Waiters) ->
    case maps:take(Id, ById) of
        {Of, Rest} ->
            maps:foreach(fun(Monitor, From) -> true = demonitor(Monitor, [flush]), gen_server:reply(From, Answer) end, Of),
            Waiters#waiters{by_id = Rest, by_monitor = maps:without(maps:keys(Of), ByMonitor)};
        error ->
            Waiters
    end.

-spec gone(reference(), waiters()) -> waiters().
gone(Monitor, #waiters{by_id = ById, by_monitor = ByMonitor} = Waiters) ->
    case maps:take(Monitor, ByMonitor) of
        {Id, Rest} ->
            Of = maps:remove(Monitor, maps:get(Id, ById)),
            Others = case map_size(Of) of 0 -> maps:remove(Id, ById); _ -> ById#{Id := Of} end,
            Waiters#waiters{by_id = Others, by_monitor = Rest};
        error ->
            Waiters
    end.

%% @doc The tasks that somebody waits for.
-spec ids(waiters()) -> [Id :: binary()].
ids(#waiters{by_id = ById}) -> maps:keys(ById).

-spec is_waited(Id :: binary(), waiters()) -> boolean().
is_waited(Id, #waiters{by_id = ById}) -> is_map_key(Id, ById).
