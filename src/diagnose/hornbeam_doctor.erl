%%% `hornbeam doctor': whether a server with these options can run well here, and what to do where not.
%%%
%%% Called by: hornbeam_cli (no server runs, or it is not the one that is meant), hornbeam_control (of a running server, in it). Calls: hornbeam_doctor_machine,
%%% _python, _ports, _tls, _dashboard, _cluster, _options: each answers with its findings. Nothing is changed.
%%%
%%% A finding is `ok', a `warning' (it runs, and may not run well), or `wrong' (it does not start, or clients meet an error). The exit status is 1 where anything is wrong.
-module(hornbeam_doctor).

-export([examine/2, is_wrong/1, text/1]).
-export_type([finding/0, place/0]).

-type finding() :: {ok | warning | wrong, What :: unicode:chardata(), ToDo :: unicode:chardata()}.
%% Whether the server with these options runs in this VM.
-type place() :: running | not_running.

-spec examine(Config :: map(), place()) -> [finding()].
examine(Config, Place) ->
    hornbeam_doctor_machine:examine(Config) ++ hornbeam_doctor_python:examine(Config) ++ hornbeam_doctor_ports:examine(Config, Place)
    ++ hornbeam_doctor_tls:examine(Config) ++ hornbeam_doctor_dashboard:examine(Config) 
    ++ hornbeam_doctor_cluster:examine(Config, Place) ++ hornbeam_doctor_options:examine(Config).

-spec is_wrong([finding()]) -> boolean().
is_wrong(Findings) -> lists:keymember(wrong, 1, Findings).

%% @doc A line each, what to do below it; a line that counts them.
-spec text([finding()]) -> unicode:chardata().
text(Findings) ->
    Count = fun(Kind) -> length([Found || {K, _, _} = Found <- Findings, K =:= Kind]) end,
    [[[mark(Kind), What, $\n, [["         ", ToDo, $\n] || ToDo =/= ""]] || {Kind, What, ToDo} <- Findings],
     io_lib:format("~b in order, ~b warnings, ~b wrong~n", [Count(ok), Count(warning), Count(wrong)])].

mark(ok) -> "ok       ";
mark(warning) -> "warning  ";
mark(wrong) -> "WRONG    ".
