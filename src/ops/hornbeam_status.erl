%%% What hornbeam:info/1 knows, as lines for a person: `bin/hornbeam status'.
%%%
%%% Called by: hornbeam_control, hornbeam_cli (interface/1). Calls: hornbeam_cluster_report (text/1), where there is a cluster.
-module(hornbeam_status).

-export([text/1, interface/1]).

%% How many crashes are shown.
-define(CRASHES, 5).

%% @doc One line for the server, one for each application and service, one for each worker.
-spec text(map()) -> unicode:chardata().
text(#{name := Name, binds := Binds, metrics := Metrics, applications := Applications, services := Services, tasks := Tasks, cluster := Cluster} = Info) ->
    [io_lib:format("server ~ts on ~ts~n", [Name, lists:join(", ", Binds)]),
     [["metrics on ", lists:join(", ", Metrics), $\n] || Metrics =/= []], [hornbeam_cluster_report:text(Cluster) || Cluster =/= none],
     lists:map(fun application/1, Applications), lists:map(fun service/1, Services), tasks(Tasks),
     [crash(Crash) || Crash <- lists:sublist(maps:get(crashes, Info, []), ?CRASHES)]].

%% What there is more to say of it is in the log.
crash(#{at := At, worker := Worker, app := App, pid := Pid, reason := Reason, in_progress := Rows}) ->
    What = lists:join(", ", [[Method, " ", Path] || #{method := Method, path := Path} <- Rows]),
    io_lib:format("crash of worker ~ts (~ts, pid ~p) at ~ts: ~ts~ts~n",
                  [Worker, App, Pid, time(At), Reason, [["; in progress: ", What] || Rows =/= []]]).

tasks(#{counts := none}) ->
    [];
tasks(#{counts := Counts, shared := Shared, schedules := Schedules}) ->
    ["tasks: ", numbers(Counts), $\n, [["tasks of the cluster: ", numbers(Shared), $\n] || Shared =/= none] | lists:map(fun schedule/1, Schedules)].

numbers(Counts) ->
    lists:join(", ", [io_lib:format("~b ~ts", [maps:get(State, Counts), State]) || State <- [pending, running, retrying, done, failed, cancelled]]).

schedule(#{name := Name, rule := Rule, last := Last, next := Next, leads := Leads, problem := Problem}) ->
    Who = case Leads of true -> ""; false -> ", on another node" end,
    What = case Problem of none -> ""; _ -> [", ", Problem] end,
    io_lib:format("schedule ~ts (~ts): next ~ts, last ~ts~ts~ts~n", [Name, Rule, time(Next), time(Last), Who, What]).

time(unknown) -> "unknown";
time(Ms) -> calendar:system_time_to_rfc3339(Ms div 1000, [{offset, "Z"}]).

application(#{place := Place} = Application) -> pool(Place, Application).

service(#{place := Name} = Service) -> pool(["service ", Name], Service).

pool(Where, #{app := App, in_flight := InFlight, waiting := Waiting, refused := Refused, workers := Workers}) ->
    [io_lib:format("~ts~ts at ~ts: ~b in flight, ~b waiting, ~b refused~n",
                   [App, interface(Workers), Where, InFlight, Waiting, Refused]),
     row(["worker", "state", "pid", "in flight", "requests", "memory", "lag", "behind", "queue", "age", "restarts"])
     | lists:map(fun worker/1, Workers)].

%% @doc What stands behind the name of an application that these workers run.
-spec interface(Workers :: [map()]) -> string().
interface(Workers) ->
    case [wsgi || #{interface := wsgi} <- Workers] of
        [] -> "";
        _ -> " (WSGI)"
    end.

%% Of a worker whose Erlang process does not answer (`busy') only a part is known; of one that has ended nothing.
worker(#{number := Number, state := State} = Worker) ->
    Cells = [{os_pid, fun pid/1}, {in_flight, fun integer_to_list/1}, {requests, fun integer_to_list/1},
             {memory, fun megabytes/1}, {lag, fun milliseconds/1}, {behind, fun milliseconds/1},
             {queue, fun integer_to_list/1}, {age, fun age/1}, {restarts, fun integer_to_list/1}],
    row([integer_to_list(Number), atom_to_list(State)
         | [case Worker of
                #{Key := Value} -> Format(Value);
                #{} -> "-"
            end || {Key, Format} <- Cells]]).

row(Cells) ->
    io_lib:format("  ~-8s~-10s~8s~11s~10s~12s~9s~10s~8s~12s~10s~n", Cells).

pid(undefined) -> "-";
pid(OsPid) -> integer_to_list(OsPid).

megabytes(Bytes) ->
    io_lib:format("~.1f MB", [Bytes / 1.0e6]).

milliseconds(Time) ->
    [integer_to_list(Time), " ms"].

age(Time) -> in_seconds(Time div 1000).

in_seconds(Seconds) when Seconds < 60 -> io_lib:format("~b s", [Seconds]);
in_seconds(Seconds) when Seconds < 3600 -> io_lib:format("~b min ~b s", [Seconds div 60, Seconds rem 60]);
in_seconds(Seconds) when Seconds < 86400 -> io_lib:format("~b h ~b min", [Seconds div 3600, Seconds rem 3600 div 60]);
in_seconds(Seconds) -> io_lib:format("~b d ~b h", [Seconds div 86400, Seconds rem 86400 div 3600]).
