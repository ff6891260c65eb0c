%%% The second bind: what is served on metrics_bind.
%%%
%%% Called by: hornbeam_server, as a child before the pools, so that /readyz says `not ready' while a server starts and while it
%%% stops. Calls: hornbeam_side_listener with hornbeam_metrics_handler. Without metrics_bind there is nothing of it.
-module(hornbeam_metrics_listener).

-export([start_link/2]).

-spec start_link(Name :: atom(), Config :: map()) -> {ok, pid()} | ignore | {error, term()}.
start_link(_Name, #{metrics_bind := []}) ->
    ignore;
start_link(Name, #{metrics_bind := Binds} = Config) ->
    Routes = [{"/metrics", hornbeam_metrics_handler, {metrics, Name}},
              {"/healthz", hornbeam_metrics_handler, {healthz, Name}},
              {"/readyz", hornbeam_metrics_handler, {readyz, Name}}],
    hornbeam_side_listener:start_link(hornbeam_metrics, Name, Binds, Routes, Config).
