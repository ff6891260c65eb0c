%% hornbeam_task: one task, a row of the table hornbeam_tasks. Times are milliseconds of the system's clock.
-record(task, {
    id :: binary(),
    server :: atom(),
    seq = 0 :: non_neg_integer(),           % the order of a queue
    function :: binary(),                   % "module:function"
    body :: binary(),                       % msgpack [function, list of arguments, map of keyword arguments]; Python's own
    queue = <<"default">> :: binary(),
    priority = 0 :: -100..100,
    unique = none :: none | binary(),
    durable = false :: boolean(),
    stored = false :: boolean(),            % it is on disk; written by hornbeam_task_store alone
    retries = 0 :: non_neg_integer(),
    backoff = {doubling, 1000} :: {doubling, non_neg_integer()} | [non_neg_integer()],
    timeout = infinity :: timeout(),
    state = pending :: hornbeam_task:state(),
    attempts = 0 :: non_neg_integer(),
    created = 0 :: non_neg_integer(),
    due = 0 :: non_neg_integer(),           % when it may run
    started = none :: none | non_neg_integer(),
    finished = none :: none | non_neg_integer(),
    result = none :: none | hornbeam_task:result(),
    progress = none :: term()               % written by hornbeam_task_table:progress/2 alone
}).
