%%% The requests that a server has in progress now.
%%%
%%% Called by: hornbeam_diagnose_command, whoever wants to know; in the caller's process. Calls: hornbeam_diagnose_workers, hornbeam_worker_rows. Requests
%%% that wait for a worker are not in it (their number is in hornbeam:info/1), nor are WebSockets that are open. Nothing is kept for it but what the workers' rows have.
-module(hornbeam_in_progress).

-export([list/1, text/1]).

-define(SHOWN, 200).

%% @doc The oldest first, 1000 of each worker at most. Each is a hornbeam_worker_rows:row() with the name of its worker.
-spec list(Server :: atom()) -> [#{worker := binary(), atom() => term()}].
list(Server) ->
    Rows = [Row#{worker => Name} || #{name := Name, pid := Worker} <- hornbeam_diagnose_workers:all(Server), Row <- hornbeam_worker_rows:ask(Worker, 0)],
    lists:sort(fun(#{age_us := A}, #{age_us := B}) -> A >= B end, Rows).

%% @doc A line each.
-spec text(Server :: atom()) -> unicode:chardata().
text(Server) ->
    case list(Server) of
        [] ->
            "no request is in progress";
        Rows ->
            [row("WORKER", "AGE", "CLIENT", "REQUEST"),
             [row(Worker, io_lib:format("~.3f s", [Age / 1.0e6]), case Client of none -> "-"; _ -> Client end, [Method, " ", Path])
              || #{worker := Worker, age_us := Age, client := Client, method := Method, path := Path} <- lists:sublist(Rows, ?SHOWN)],
             [io_lib:format("and ~b more\n", [length(Rows) - ?SHOWN]) || length(Rows) > ?SHOWN]]
    end.

row(Worker, Age, Client, Request) ->
    io_lib:format("~-16ts ~12ts  ~-24ts ~ts~n", [Worker, Age, Client, Request]).
