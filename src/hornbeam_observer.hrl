%% Who sees each request, and may change what it says: funs of a module (fun Module:Function/Arity), which hornbeam_exchange calls in the connection's
%% process. Not the module's name: to find a function by that costs 45 ns each time.
-record(observer, {
    opened :: fun((hornbeam_exchange:head(), Settings :: term()) -> {hornbeam_exchange:head(), Observed :: term()}),
    received :: fun((non_neg_integer(), Observed :: term()) -> Observed :: term()),     % octets of the body
    %% waits: for a worker; placed: on one; {answers, _}: what that has measured (hornbeam_frame:measured/2).
    happened :: fun((waits | placed | {answers, {non_neg_integer(), Route :: binary(), Last :: boolean()} | none}, Observed :: term()) -> Observed :: term()),
    %% Those that begin a response, its data, and `upgrade'.
    sends :: fun((hornbeam_exchange:command(), Observed :: term()) -> {hornbeam_exchange:command(), Observed :: term()}),
    %% A response in one piece, with what was measured: `answers', sends and over in one.
    whole :: fun(({non_neg_integer(), Route :: binary(), Last :: boolean()} | none, Reply :: hornbeam_exchange:command(), Observed :: term()) ->
                 Reply :: hornbeam_exchange:command()),
    %% Placed: whether it was on a worker.
    over :: fun((Placed :: boolean(), Observed :: term()) -> ok)
}).
