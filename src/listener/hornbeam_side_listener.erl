%%% Opens the sockets of what is served beside the application, by Cowboy: the figures (metrics_bind), the dashboard (dashboard_bind).
%%%
%%% Called by: hornbeam_metrics_listener, hornbeam_dashboard_sup; hornbeam_server and hornbeam_server_remains (where they are). Calls: Ranch and Cowboy
%%% with the routes that it is given; hornbeam_socket, hornbeam_tls (where the dashboard has a certificate, which is read at its start).
%%%
%%% Its connections have a share in the descriptors that are kept back (hornbeam_descriptors), so it answers while clients hold all
%%% others. It ends when one of its listeners has ended; what a killed predecessor has left open is closed at the start.
-module(hornbeam_side_listener).
-behaviour(gen_server).

-export([start_link/5, tls/2, load/3, urls/3, refs/3]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-type kind() :: hornbeam_metrics | hornbeam_dashboard.
-type binds() :: [hornbeam_option_bind:bind()].

%% @doc Routes: as cowboy_router:compile/1 takes those of a host.
-spec start_link(kind(), Name :: atom(), binds(), Routes :: [{string(), module(), term()}], Config :: map()) -> {ok, pid()} | {error, term()}.
start_link(Kind, Name, Binds, Routes, Config) ->
    case gen_server:start_link(?MODULE, {Kind, Name, Binds, Routes, Config}, []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

%% @doc The options of TLS, as hornbeam_tls has those of a server; `none': it speaks HTTP.
-spec tls(kind(), Config :: map()) -> none | map().
tls(hornbeam_dashboard, #{dashboard_certfile := <<_, _/binary>> = Cert, dashboard_keyfile := Key} = Config) ->
    Config#{ssl := true, certfile := Cert, keyfile := Key, sni := [], cacertfile := <<>>, verify := none, http_version := ['HTTP/1.1']};
tls(_Kind, _Config) ->
    none.

%% @doc Reads its certificate, before it is started.
-spec load(kind(), Name :: atom(), Config :: map()) -> ok | {error, term()}.
load(Kind, Name, Config) ->
    case tls(Kind, Config) of
        none -> ok;
        Tls -> hornbeam_tls:load({Kind, Name}, Tls)
    end.

%% @doc Where it is reached.
-spec urls(kind(), Name :: atom(), Config :: map()) -> [binary()].
urls(Kind, Name, Config) ->
    [url(ranch:get_addr(Ref), tls(Kind, Config)) || Ref <- refs(Kind, Name, binds(Kind, Config)), hornbeam_socket:status(Ref) =:= running].

binds(hornbeam_metrics, #{metrics_bind := Binds}) -> Binds;
binds(hornbeam_dashboard, #{dashboard_bind := Binds}) -> Binds.

%% @doc Ranch's names of its listeners.
-spec refs(kind(), Name :: atom(), binds()) -> [ranch:ref()].
refs(Kind, Name, Binds) ->
    [{Kind, Name, Number} || Number <- lists:seq(1, length(Binds))].

url({local, Path}, _Tls) -> <<"unix:", Path/binary>>;
url({Ip, Port}, Tls) ->
    Host = case tuple_size(Ip) of 4 -> inet:ntoa(Ip); 8 -> ["[", inet:ntoa(Ip), "]"] end,
    iolist_to_binary([case Tls of none -> "http://"; _ -> "https://" end, Host, $:, integer_to_list(Port)]).

-spec init({kind(), atom(), binds(), [{string(), module(), term()}], map()}) -> {ok, [ranch:ref()]} | {stop, term()}.
init({Kind, Name, Binds, Routes, Config}) ->
    process_flag(trap_exit, true),
    ok = hornbeam_socket:close_left(refs(Kind, Name, Binds)),
    Dispatch = cowboy_router:compile([{'_', Routes}]),
    open(lists:zip(refs(Kind, Name, Binds), Binds), Dispatch, Config, []).

open([], _Dispatch, Config, Refs) ->
    [{Kind, _, _} | _] = Refs,
    logger:notice("~ts on ~ts", [what(Kind), lists:join(", ", [url(ranch:get_addr(Ref), tls(Kind, Config)) || Ref <- lists:reverse(Refs)])]),
    {ok, Refs};
open([{Ref, Bind} | Rest], Dispatch, Config, Refs) ->
    case start(Ref, Bind, Dispatch, Config) of
        {ok, Listener} ->
            _ = monitor(process, Listener),
            open(Rest, Dispatch, Config, [Ref | Refs]);
        {error, Reason} ->
            lists:foreach(fun ranch:stop_listener/1, Refs),
            {stop, {shutdown, {listen_failed, hornbeam_options:format_bind(Bind), Reason}}}
    end.

what(hornbeam_metrics) -> "metrics";
what(hornbeam_dashboard) -> "dashboard".

start({Kind, Name, _} = Ref, Bind, Dispatch, Config) ->
    {Transport, Protocol, Secure} = case tls(Kind, Config) of
        none -> {hornbeam_metrics_tcp, cowboy_clear, []};
        Tls -> {hornbeam_metrics_ssl, cowboy_tls, hornbeam_tls:listen_options({Kind, Name}, Tls)}
    end,
    case hornbeam_socket:probe(Bind) of
        ok ->
            %% Ranch's limit holds for each of its supervisors of connections, so there is one.
            opened(Bind, Config, ranch:start_listener(Ref, Transport,
                #{socket_opts => hornbeam_socket:options(Bind, Config) ++ Secure, num_acceptors => 2,
                  num_conns_sups => 1, max_connections => hornbeam_descriptors:for_metrics(), connection_type => supervisor},
                Protocol, #{connection_type => supervisor, env => #{dispatch => Dispatch}}));
        {error, Reason} ->
            {error, Reason}
    end.

opened(Bind, Config, {ok, Listener}) ->
    case hornbeam_socket:opened(Bind, Config) of
        ok -> {ok, Listener};
        {error, Reason} -> {error, Reason}
    end;
opened(_Bind, _Config, {error, Reason}) ->
    {error, Reason}.

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
