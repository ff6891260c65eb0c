%%% Options that do not fit together or to this machine, for `hornbeam doctor'. What cannot be at all is refused as options are read (hornbeam_options).
%%%
%%% Called by: hornbeam_doctor. Calls: hornbeam_worker_memory (available/1), hornbeam_option_bind (format/1).
-module(hornbeam_doctor_options).

-export([examine/1]).

-define(MANY, 4).

-spec examine(Config :: map()) -> [hornbeam_doctor:finding()].
examine(Config) ->
    case lists:append([Rule(Config) || Rule <- [fun workers/1, fun memory/1, fun wsgi/1, fun slow/1, fun queue/1, fun proxies/1, fun addresses/1, fun metrics/1, fun links/1, fun debug/1]]) of
        [] -> [{ok, "options: fit together", ""}];
        Found -> Found
    end.

workers(#{workers := Workers}) ->
    Cores = erlang:system_info(logical_processors_available),
    [{warning, io_lib:format("options: ~b workers on ~b cores", [Workers, Cores]), "One or two for each core are enough for ASGI; a WSGI application has threads besides."}
     || is_integer(Cores), Workers > ?MANY * Cores].

memory(#{max_worker_memory := Max, workers := Workers}) when is_integer(Max) ->
    [{warning, io_lib:format("options: ~b workers of max_worker_memory are ~b MB, and there are ~b", [Workers, Max * Workers div 1000000, Total div 1000000]),
      "The machine is full before a worker is replaced: lower one of the two."}
     || Available <- [hornbeam_worker_memory:available("/")], Available =/= [], Total <- [lists:min([T || {_, T} <- Available])], Max * Workers > Total];
memory(_) ->
    [].

wsgi(#{worker_class := wsgi, lifespan := on}) -> [{wrong, "options: lifespan is on, and a WSGI application has none", "The start fails: leave lifespan out."}];
wsgi(_) -> [].

slow(#{slow_request := Slow, timeout := Timeout}) when is_integer(Timeout), Slow >= Timeout ->
    [{warning, io_lib:format("options: slow_request (~b ms) is not below timeout (~b ms)", [Slow, Timeout]), "Requests end before they are told of: lower it."}];
slow(_) -> [].

queue(#{queue_timeout := Queue, timeout := Timeout, max_queue := Max}) when is_integer(Queue), is_integer(Timeout), Queue > Timeout, Max > 0 ->
    [{warning, io_lib:format("options: a request may wait longer for a worker (queue_timeout, ~b ms) than for its answer (timeout, ~b ms)", [Queue, Timeout]),
      "Clients that wait so long have often left: lower queue_timeout."}];
queue(_) -> [].

proxies(#{forwarded_allow_ips := Proxies, bind := Binds}) ->
    [{warning, "options: everybody may say who the client is (forwarded_allow_ips: *)", "Name the addresses of the proxies, unless nobody else can reach the server."}
     || lists:any(fun is_everybody/1, Proxies), lists:any(fun is_public/1, Binds)].

is_everybody(Proxy) -> Proxy =:= all.

%% What is free now can be had once.
addresses(#{bind := Binds, metrics_bind := Metrics, dashboard_bind := Dashboard}) ->
    All = [{tcp, Ip, Port, list_to_binary(inet:ntoa(Ip))} || {tcp, Ip, Port, _} <- Binds ++ Metrics ++ Dashboard, Port > 0],
    [{wrong, ["options: ", hornbeam_option_bind:format(Bind), " is named twice (bind, metrics_bind, dashboard_bind)"], "The start fails: each needs an address of its own."}
     || Bind <- lists:usort(All -- lists:usort(All))].

metrics(#{metrics_bind := Metrics}) ->
    [{warning, ["options: /metrics is on ", hornbeam_option_bind:format(Bind)], "Others than this machine can read it there: see that a firewall keeps the public out."} || Bind <- Metrics, is_public(Bind)].

links(#{cluster := Cluster, cluster_insecure := true}) when Cluster =/= <<>> ->
    [{warning, "options: the cluster's links are not encrypted (cluster_insecure)", "hornbeam cluster ca makes certificates."}];
links(_) -> [].

debug(#{debug := true, workers := Workers}) ->
    [{warning, "options: debug is on, and nothing has a time limit", "For development alone."}]
    ++ [{warning, "options: several workers share the terminal of a debugger (debug)", "Take one worker."} || Workers > 1];
debug(_) -> [].

is_public({tcp, {127, _, _, _}, _, _}) -> false;
is_public({tcp, {0, 0, 0, 0, 0, 0, 0, 1}, _, _}) -> false;
is_public({tcp, _, _, _}) -> true;
is_public(_) -> false.
