%%% How many processes and ports the server's VM has: a function for http1_app, so that the tests see what is left behind.
-module(http1_vm).

-export([start/0]).

start() ->
    hornbeam:register_function("vm", fun() -> [length(processes()), length(erlang:ports())] end).
