%%% Records that cross the folders. Each belongs to the module named in its comment.

%% hornbeam_pool: a worker process that takes requests. `counters' (atomics) outlives any one Python
%% process of the worker: ?SLOT_LOAD is what is in progress, ?SLOT_NEXT_ID the last stream id given
%% out, ?SLOT_OPEN whether the worker takes requests: ?OPEN, ?LATE or ?BEHIND (only when no other does) or ?CLOSED.
%% What is known of the worker without asking its process: ?SLOT_BEHIND, how long that took to answer, in ms
%% (hornbeam_pool_watch), ?SLOT_OS_PID, its Python process, 0 when there is none.
%% `places': what it may have in progress where that is less than max_concurrency: the threads of a WSGI application.
-record(slot, {
    worker :: pid(),
    counters :: atomics:atomics_ref(),
    number = 0 :: non_neg_integer(),    % of the worker in its pool; its successor has the same
    places = infinity :: pos_integer() | infinity
}).
-define(SLOT_LOAD, 1).
-define(SLOT_NEXT_ID, 2).
-define(SLOT_OPEN, 3).
-define(SLOT_BEHIND, 4).
-define(SLOT_OS_PID, 5).
-define(SLOT_SIZE, 5).
-define(CLOSED, 0).
-define(OPEN, 1).
-define(LATE, 2).                       % Python does not answer (hornbeam_worker_health)
-define(BEHIND, 3).                     % the worker's Erlang process does not (hornbeam_pool_watch)

%% hornbeam_mounts: one application under one path prefix, of one host or any. A snapshot is immutable.
-record(mount, {
    host = any :: any | none | binary(),    % none: no request finds it; <<"api.example.org">>, <<"*.example.org">>: in lower case, without a dot at the end
    prefix = <<>> :: binary(),          % <<>> or <<"/api">>: no slash at the end
    root_path = <<>> :: binary(),       % the scope's root_path: the option's and the prefix
    path_prefix = <<>> :: binary(),     % what a proxy took away and the scope's path gets back
    app :: binary(),
    pool :: term(),                     % hornbeam_pool:id()
    affinity = none :: none | {[hornbeam_option_affinity:source(), ...], Secret :: binary()},     % hornbeam_affinity
    settings :: map()                   % the validated options as they hold for this mount
}).
