%%% What a worker allocates and keeps: Python's tracemalloc for some seconds (allocations.py).
%%%
%%% Called by: hornbeam_diagnose_command, whoever wants to know; in the caller's process, which waits. Calls: hornbeam_worker_questions.
-module(hornbeam_worker_memory_top).

-export([take/2]).

%% To write down what a large process has allocated takes a while.
-define(MORE, 120000).

%% @doc The largest places as text for a person. Seconds: as hornbeam_worker_profile.
-spec take(Worker :: pid(), Seconds :: pos_integer()) -> {ok, binary()} | {error, hornbeam_worker_questions:reason()}.
take(Worker, Seconds) ->
    true = hornbeam_worker_profile:seconds(Seconds),
    case hornbeam_worker_questions:ask_long(Worker, #{what => <<"memory">>, seconds => Seconds}, Seconds * 1000 + ?MORE) of
        {ok, #{<<"text">> := Text}} -> {ok, Text};
        {error, Reason} -> {error, Reason}
    end.
