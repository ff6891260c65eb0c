%%% The OTP application: starts hornbeam_sup and nothing else. Servers are started by hornbeam:start/2.
-module(hornbeam_app).
-behaviour(application).

-export([start/2, stop/1]).

-spec start(application:start_type(), term()) -> {ok, pid()} | {error, term()}.
start(_Type, _Args) ->
    ok = hornbeam_worker_log:init(),
    hornbeam_sup:start_link().

-spec stop(term()) -> ok.
stop(_State) ->
    ok.
