%%% What a server does, as figures of this moment: what `hornbeam top' shows. Two of them, some time apart, make rates.
%%%
%%% Called by: hornbeam_control, in a process of the client's own. Calls: hornbeam_server (info/1), hornbeam_routes, hornbeam_connections, hornbeam_websockets.
%%% All of it is asked for as `hornbeam status' and /metrics ask; nothing runs for it meanwhile.
-module(hornbeam_figures).

-export([take/1]).

%% @doc With keys and values that msgpack has. `answered': of requests that are counted (metrics_bind, dashboard_bind), by class of status, with the cumulative
%% buckets of their durations; the bounds are hornbeam_metrics:bounds/0. Times in ms.
-spec take(Server :: atom()) -> {ok, #{binary() => term()}} | {error, not_found}.
take(Name) ->
    case hornbeam_server:info(Name) of
        {error, not_found} ->
            {error, not_found};
        #{binds := Binds, applications := Applications, services := Services, crashes := Crashes} ->
            Pools = Applications ++ Services,
            Sum = fun(Key) -> lists:sum([maps:get(Key, Pool) || Pool <- Pools]) end,
            {ok, #{<<"at">> => erlang:monotonic_time(millisecond) - erlang:system_info(start_time) div 1000000, <<"name">> => atom_to_binary(Name),
                   <<"binds">> => Binds, <<"in_flight">> => Sum(in_flight), <<"waiting">> => Sum(waiting), <<"refused">> => Sum(refused),
                   <<"restarts">> => Sum(restarts), <<"crashes">> => length(Crashes),
                   <<"connections">> => hornbeam_connections:count(Name), <<"websockets">> => maps:get(open, hornbeam_websockets:stats(Name)),
                   <<"memory">> => erlang:memory(total), <<"processes">> => erlang:system_info(process_count),
                   <<"run_queue">> => erlang:statistics(total_run_queue_lengths), <<"answered">> => answered(Name),
                   <<"workers">> => [worker(Place, App, Worker) || #{place := Place, app := App, workers := Workers} <- Pools, Worker <- Workers]}}
    end.

answered(Name) ->
    [[Class, Requests, Buckets] || {Class, #{requests := Requests, buckets := Buckets}} <- hornbeam_routes:classes(Name)].

worker(Place, App, #{number := Number, state := State} = Worker) ->
    Name = case Place of
        <<"/">> -> integer_to_binary(Number);
        _ -> <<Place/binary, "/", (integer_to_binary(Number))/binary>>
    end,
    Known = [{Key, Value} || Key <- [os_pid, in_flight, requests, memory, lag, queue, age, restarts], #{Key := Value} <- [Worker], is_integer(Value)],
    maps:from_list([{<<"name">>, Name}, {<<"app">>, App}, {<<"state">>, atom_to_binary(State)} | [{atom_to_binary(Key), Value} || {Key, Value} <- Known]]).
