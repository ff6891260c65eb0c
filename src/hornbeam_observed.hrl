%% One request as hornbeam_observe sees it. Times are os:perf_counter/0's, which takes a third of what erlang:monotonic_time/0 does.
%% What is known as it comes, and stays:
-record(begun, {
    settings :: hornbeam_observe:settings(),
    head :: hornbeam_exchange:head(),
    id :: binary() | undefined,
    trace = none :: none | term(),
    started :: integer()
}).
%% What happens to it.
-record(observed, {
    begun :: #begun{},
    %% Its worker:
    waits :: integer() | undefined,         % since when it waits for one
    queued = 0 :: non_neg_integer(),        % for how long it has done so
    placed :: integer() | undefined,        % since when: `started' where it has not waited
    %% What that has said of it, if it was asked to measure:
    route = <<>> :: binary(),               % the template
    python = 0 :: non_neg_integer(),        % microseconds that the application has taken until the response began
    answers :: integer() | over | undefined,    % since when the response goes on
    %% The response:
    status :: pos_integer(),
    received = 0 :: non_neg_integer(),
    sent = 0 :: non_neg_integer()
}).
