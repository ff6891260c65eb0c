%%% Keeps out of the log what OTP says when its distribution over TLS is stopped on purpose: that processes of its own were killed.
%%%
%%% Called by hornbeam_cluster_distribution. Adds a filter to OTP's logger for as long as a function runs, and for events of ssl's alone.
-module(hornbeam_cluster_quiet).

-export([during/1, filter/2]).

-spec during(fun(() -> Result)) -> Result.
during(Fun) ->
    _ = logger:add_primary_filter(?MODULE, {fun ?MODULE:filter/2, []}),
    try Fun()
    after
        _ = logger:remove_primary_filter(?MODULE)
    end.

-spec filter(logger:log_event(), term()) -> stop | ignore.
filter(#{meta := #{mfa := {inet_tls_dist, _, _}}}, _) -> stop;
filter(#{msg := {report, #{label := {supervisor, _}, report := Report}}}, _) ->
    case proplists:get_value(supervisor, Report) of
        {_, Module} when Module =:= tls_dyn_connection_sup; Module =:= tls_dist_sup -> stop;
        _ -> ignore
    end;
filter(_, _) -> ignore.
