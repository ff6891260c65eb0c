%%% The second bind: opens the sockets of metrics_bind.
%%%
%%% Called by: hornbeam_server, as a child before the pools, so that /readyz says `not ready' while a server starts and while it
%%% stops. Calls: Ranch and Cowboy with hornbeam_metrics_handler; hornbeam_socket.
%%%
%%% Its connections have a share in the descriptors that are kept back (hornbeam_descriptors), so it answers while clients hold all
%%% others. It ends when one of its listeners has ended; what a killed predecessor has left open is closed at the start.
-module(hornbeam_metrics_listener).
-behaviour(gen_server).

-export([start_link/2, urls/1, refs/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-spec start_link(Name :: atom(), Config :: map()) -> {ok, pid()} | ignore | {error, term()}.
start_link(Name, Config) ->
    gen_server:start_link(?MODULE, {Name, Config}, []).

%% @doc Where /metrics, /healthz and /readyz are.
-spec urls(Name :: atom()) -> [binary()].
urls(Name) ->
    {ok, Config} = hornbeam_servers:config(Name),
    [url(ranch:get_addr(Ref)) || Ref <- refs(Name, Config), hornbeam_socket:status(Ref) =:= running].

%% @doc Ranch's names of its listeners.
-spec refs(Name :: atom(), Config :: map()) -> [ranch:ref()].
refs(Name, #{metrics_bind := Binds}) ->
    [{hornbeam_metrics, Name, Number} || Number <- lists:seq(1, length(Binds))].

url({local, Path}) -> <<"unix:", Path/binary>>;
url({Ip, Port}) ->
    Host = case tuple_size(Ip) of 4 -> inet:ntoa(Ip); 8 -> ["[", inet:ntoa(Ip), "]"] end,
    iolist_to_binary(["http://", Host, $:, integer_to_list(Port)]).

-spec init({atom(), map()}) -> {ok, [ranch:ref()]} | ignore | {stop, term()}.
init({_Name, #{metrics_bind := []}}) ->
    ignore;
init({Name, #{metrics_bind := Binds} = Config}) ->
    process_flag(trap_exit, true),
    ok = hornbeam_socket:close_left(refs(Name, Config)),
    open(lists:enumerate(Binds), Name, Config, []).

open([], Name, _Config, Refs) ->
    logger:notice("metrics on ~ts", [lists:join(", ", urls(Name))]),
    {ok, Refs};
open([{Number, Bind} | Rest], Name, Config, Refs) ->
    Ref = {hornbeam_metrics, Name, Number},
    case start(Ref, Bind, Name, Config) of
        {ok, Listener} ->
            _ = monitor(process, Listener),
            open(Rest, Name, Config, [Ref | Refs]);
        {error, Reason} ->
            lists:foreach(fun ranch:stop_listener/1, Refs),
            {stop, {shutdown, {listen_failed, hornbeam_options:format_bind(Bind), Reason}}}
    end.

start(Ref, Bind, Name, Config) ->
    Dispatch = cowboy_router:compile([{'_', [{"/metrics", hornbeam_metrics_handler, {metrics, Name}},
                                             {"/healthz", hornbeam_metrics_handler, {healthz, Name}},
                                             {"/readyz", hornbeam_metrics_handler, {readyz, Name}}]}]),
    case hornbeam_socket:probe(Bind) of
        ok ->
            %% Ranch's limit holds for each of its supervisors of connections, so there is one.
            ranch:start_listener(Ref, hornbeam_metrics_tcp,
                                 #{socket_opts => hornbeam_socket:options(Bind, Config), num_acceptors => 2,
                                   num_conns_sups => 1, max_connections => hornbeam_descriptors:for_metrics(), connection_type => supervisor},
                                 cowboy_clear, #{connection_type => supervisor, env => #{dispatch => Dispatch}});
        {error, Reason} ->
            {error, Reason}
    end.

-spec handle_call(term(), gen_server:from(), [ranch:ref()]) -> {reply, {error, not_supported}, [ranch:ref()]}.
handle_call(_Request, _From, Refs) ->
    {reply, {error, not_supported}, Refs}.

-spec handle_cast(term(), [ranch:ref()]) -> {noreply, [ranch:ref()]}.
handle_cast(_Request, Refs) ->
    {noreply, Refs}.

-spec handle_info(term(), [ranch:ref()]) -> {noreply, [ranch:ref()]} | {stop, {shutdown, listener_lost}, [ranch:ref()]}.
handle_info({'DOWN', _, process, _, _}, Refs) ->
    {stop, {shutdown, listener_lost}, Refs};
handle_info(_Message, Refs) ->
    {noreply, Refs}.

-spec terminate(term(), [ranch:ref()]) -> ok.
terminate(_Reason, Refs) ->
    hornbeam_socket:close_left(Refs).
