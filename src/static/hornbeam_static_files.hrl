%% A regular file below a folder, as hornbeam_static_files has seen it.
-record(file, {
    path :: binary(),                       % the real one
    id :: {Device :: integer(), Inode :: integer()},
    size :: non_neg_integer(),
    modified :: integer(),                  % seconds since 1970
    content = none :: none | binary()       % of a small one, once it was asked for
}).
