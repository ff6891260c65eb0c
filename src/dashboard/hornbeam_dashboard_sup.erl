%%% The dashboard of one server: what it remembers, who is signed in, its sockets.
%%%
%%% Called by: hornbeam_server, as a helper (hornbeam_keeper) that starts last and stops first; only where there is a dashboard_bind.
%%% Calls: hornbeam_log_ring (the log is kept for as long as this process lives), hornbeam_series, hornbeam_dashboard_sessions, hornbeam_side_listener with hornbeam_dashboard_handler; hornbeam_option_table_dashboard (is_local/1).
%%%
%%% What can be wrong is looked for before the processes are started, so that whoever starts the server hears of it and no supervisor reports it.
-module(hornbeam_dashboard_sup).
-behaviour(supervisor).

-export([start_link/2, init/1]).

-spec start_link(Name :: atom(), Config :: map()) -> {ok, pid()} | {error, term()}.
start_link(Name, #{dashboard_bind := Binds} = Config) ->
    ok = hornbeam_socket:close_left(hornbeam_side_listener:refs(hornbeam_dashboard, Name, Binds)),
    case {hornbeam_dashboard_access:read(Config), hornbeam_side_listener:load(hornbeam_dashboard, Name, Config), probe(Binds)} of
        {{ok, Guard}, ok, ok} ->
            ok = warn(Config),
            started(supervisor:start_link(?MODULE, {Name, Guard}));
        {{error, Reason}, _, _} -> {error, {shutdown, Reason}};
        {_, {error, Reason}, _} -> {error, {shutdown, Reason}};
        {_, _, {error, Reason}} -> {error, {shutdown, Reason}}
    end.

%% Passwords and sessions that others on the way can read.
warn(#{dashboard_bind := Binds, dashboard_certfile := <<>>}) ->
    lists:foreach(fun(Bind) ->
        logger:warning("the dashboard on ~ts speaks HTTP: whoever is on the way can read the password and what is shown. dashboard_certfile is for "
                       "TLS; or bind it to 127.0.0.1 and put a TLS proxy before it", [hornbeam_options:format_bind(Bind)])
    end, [Bind || Bind <- Binds, not hornbeam_option_table_dashboard:is_local(Bind)]);
warn(_Tls) ->
    ok.

started({ok, Pid}) -> {ok, Pid};
started({error, {shutdown, {failed_to_start_child, _, Reason}}}) -> {error, Reason};
started({error, Reason}) -> {error, Reason}.

probe([]) ->
    ok;
probe([Bind | Rest]) ->
    case hornbeam_socket:probe(Bind) of
        ok -> probe(Rest);
        {error, Reason} -> {error, {listen_failed, hornbeam_options:format_bind(Bind), Reason}}
    end.

-spec init({atom(), hornbeam_dashboard_access:guard()}) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init({Name, Guard}) ->
    {ok, #{dashboard_bind := Binds} = Config} = hornbeam_servers:config(Name),
    ok = hornbeam_log_ring:keep(self()),
    Routes = [{"/events/[...]", hornbeam_dashboard_events, Name},
              {"/assets/[...]", hornbeam_dashboard_assets, Name},
              {"/[...]", hornbeam_dashboard_handler, Name}],
    {ok, {#{strategy => one_for_one, intensity => 5, period => 30},
          [#{id => series, start => {hornbeam_series, start_link, [Name]}},
           #{id => sessions, start => {hornbeam_dashboard_sessions, start_link, [Name, Guard]}},
           #{id => sockets, start => {hornbeam_side_listener, start_link, [hornbeam_dashboard, Name, Binds, Routes, Config]}}]}}.
