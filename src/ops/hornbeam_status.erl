%%% What hornbeam:info/1 knows, as lines for a person: `bin/hornbeam status'.
%%%
%%% Called by: hornbeam_control. Calls: nothing.
-module(hornbeam_status).

-export([text/1]).

%% @doc One line for the server, one for each application, one for each worker.
-spec text(map()) -> unicode:chardata().
text(#{name := Name, binds := Binds, metrics := Metrics, applications := Applications}) ->
    [io_lib:format("server ~ts on ~ts~n", [Name, lists:join(", ", Binds)]),
     [["metrics on ", lists:join(", ", Metrics), $\n] || Metrics =/= []] | lists:map(fun application/1, Applications)].

application(#{prefix := Prefix, app := App, in_flight := InFlight, waiting := Waiting, refused := Refused,
              workers := Workers}) ->
    Where = case Prefix of <<>> -> "/"; _ -> Prefix end,
    [io_lib:format("~ts at ~ts: ~b in flight, ~b waiting, ~b refused~n", [App, Where, InFlight, Waiting, Refused]),
     io_lib:format("  ~-8s~-10s~8s~11s~10s~12s~9s~12s~10s~n",
                   ["worker", "state", "pid", "in flight", "requests", "memory", "lag", "age", "restarts"])
     | lists:map(fun worker/1, Workers)].

worker(#{number := Number, state := ended}) ->
    io_lib:format("  ~-8w~-10s~n", [Number, ended]);
worker(#{number := Number, state := State, os_pid := OsPid, in_flight := InFlight, requests := Requests,
         memory := Memory, lag := Lag, age := Age, restarts := Restarts}) ->
    Pid = case OsPid of undefined -> "-"; _ -> integer_to_list(OsPid) end,
    io_lib:format("  ~-8w~-10s~8s~11w~10w~12s~9s~12s~10w~n",
                  [Number, State, Pid, InFlight, Requests, megabytes(Memory), [integer_to_list(Lag), " ms"],
                   age(Age div 1000), Restarts]).

megabytes(Bytes) ->
    io_lib:format("~.1f MB", [Bytes / 1.0e6]).

age(Seconds) when Seconds < 60 -> io_lib:format("~b s", [Seconds]);
age(Seconds) when Seconds < 3600 -> io_lib:format("~b min ~b s", [Seconds div 60, Seconds rem 60]);
age(Seconds) when Seconds < 86400 -> io_lib:format("~b h ~b min", [Seconds div 3600, Seconds rem 3600 div 60]);
age(Seconds) -> io_lib:format("~b d ~b h", [Seconds div 86400, Seconds rem 86400 div 3600]).
