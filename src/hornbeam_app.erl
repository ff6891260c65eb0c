%%% The OTP application: starts hornbeam_sup and, when the option `app' is set in sys.config or the environment, a server
%%% with it, whose end is then the application's. Other servers are started by hornbeam:start/2. (hornbeam_cli takes `app'
%%% for itself, see there.)
-module(hornbeam_app).
-behaviour(application).

-export([start/2, stop/1]).

-spec start(application:start_type(), term()) -> {ok, pid()} | {error, term()}.
start(_Type, _Args) ->
    ok = hornbeam_worker_log:init(),
    {ok, Sup} = hornbeam_sup:start_link(),
    case serve(hornbeam_options:resolve(#{})) of
        ok ->
            {ok, Sup};
        {error, Reason} ->
            logger:error("hornbeam cannot serve: ~ts", [hornbeam_reason:format(Reason)]),
            {error, Reason}
    end.

%% Other options may be wrong here without harm: they are checked where a server is started.
serve({ok, #{app := App, static := Static} = Options}) when App =/= <<>>; Static =/= [] ->
    case hornbeam:serve(Options, vital) of
        {ok, _} -> ok;
        {error, Reason} -> {error, Reason}
    end;
serve(_) ->
    ok.

%% Everything of Hornbeam's has ended by now, but for sockets of Ranch's whose owner was killed.
-spec stop(term()) -> ok.
stop(_State) ->
    ok = hornbeam_server_remains:close_sockets(),
    %% A VM that ends closes the links of a cluster sooner.
    ok = hornbeam_vm:stopped(),
    _ = erlang:module_loaded(hornbeam_cluster_node) andalso hornbeam_cluster_node:stopped(),
    ok.
