%%% Where a worker spends its time: a sampler in its Python process (sampler.py), for some seconds.
%%%
%%% Called by: hornbeam_diagnose_command, whoever wants to know; in the caller's process, which waits. Calls: hornbeam_worker_questions. What can be made of
%%% the result: hornbeam_flame.
-module(hornbeam_worker_profile).

-export([take/3, seconds/1]).

-define(MOST, 300).
%% For a thread to get its turn, and a loop to come round.
-define(MORE, 60000).

%% @doc Collapsed stacks, `a;b;c 12' a line. Seconds: 1 to 300.
-spec take(Worker :: pid(), Seconds :: pos_integer(), collapsed) ->
    {ok, #{stacks := binary(), samples := non_neg_integer(), busy := non_neg_integer()}} | {error, hornbeam_worker_questions:reason()}.
take(Worker, Seconds, collapsed) when Seconds >= 1, Seconds =< ?MOST ->
    case hornbeam_worker_questions:ask_long(Worker, #{what => <<"profile">>, seconds => Seconds}, Seconds * 1000 + ?MORE) of
        {ok, #{<<"stacks">> := Stacks, <<"samples">> := Samples, <<"busy">> := Busy}} -> {ok, #{stacks => Stacks, samples => Samples, busy => Busy}};
        {error, Reason} -> {error, Reason}
    end.

%% @doc Whether somebody may ask for so many.
-spec seconds(term()) -> boolean().
seconds(N) -> is_integer(N) andalso N >= 1 andalso N =< ?MOST.
