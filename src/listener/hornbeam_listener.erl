%%% The sockets of a server: opens them when the workers are ready, closes them gracefully.
%%%
%%% Called by: hornbeam_server, when the workers are ready. Calls: hornbeam_socket, hornbeam_tls, hornbeam_clients, hornbeam_tasks (stop_by/2), and Ranch, with one
%%% listener per bind, whose connections run hornbeam_connection.
%%%
%%% Start: open every bind; the first failure is the reason why hornbeam:start/2 fails. Ranch's listeners are not this process's
%%% children: when it was killed they go on, and its successor takes them over, with all their connections. When one of them ends
%%% it is opened again (unless Ranch has done that). When that fails, or Ranch or ssl has ended as a whole, so does this process.
%%%
%%% Stop (terminate/2): stop accepting; ask every connection to close: at once if it is idle, else after the request that it is
%%% answering (HTTP/1.1 says "connection: close", HTTP/2 GOAWAY); wait until none is left or graceful_timeout has passed; end the rest.
%%% Only then, as the supervisor goes on in reverse order, do the workers run their lifespan's shutdown.
-module(hornbeam_listener).
-behaviour(gen_server).

-export([start_link/2, binds/1, refs/2, is_open/1, connections/0, reload_certs/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2, format_status/1]).

%% How long a connection has to end when the graceful time is over.
-define(LAST_MS, 500).
%% How long after its end a listener is opened again: Ranch has then done so itself, if it can.
-define(REOPEN_MS, 200).

-record(bound, {
    number :: pos_integer(),
    bind :: hornbeam_option_bind:bind(),
    ref :: ranch:ref(),
    monitor :: reference(),     % of Ranch's listener
    url :: binary()
}).
-record(state, {
    name :: atom(),
    config :: map(),
    bound = [] :: [#bound{}]
}).

-spec start_link(Name :: atom(), Config :: map()) -> {ok, pid()} | {error, term()}.
start_link(Name, Config) ->
    gen_server:start_link(?MODULE, {Name, Config}, []).

%% @doc The addresses that a server listens on, as URLs, with the ports that it got.
-spec binds(Listener :: pid()) -> [binary()].
binds(Listener) ->
    gen_server:call(Listener, binds).

%% @doc Ranch's names of a server's listeners.
-spec refs(Name :: atom(), Config :: map()) -> [ranch:ref()].
refs(Name, #{bind := Binds}) ->
    [{hornbeam, Name, Number} || Number <- lists:seq(1, length(Binds))].

%% @doc Whether a server's socket is open and no stop has begun.
-spec is_open(Name :: atom()) -> boolean().
is_open(Name) ->
    case hornbeam_servers:config(Name) of
        {ok, Config} -> lists:any(fun(Ref) -> hornbeam_socket:status(Ref) =:= running end, refs(Name, Config));
        error -> false
    end.

%% @doc The connections that Ranch has, of all servers (for hornbeam_connections, after a crash).
-spec connections() -> [{ranch:ref(), pid()}].
connections() ->
    [{Ref, Pid} || Name <- hornbeam_servers:open(), {ok, Config} <- [hornbeam_servers:config(Name)],
                   Ref <- refs(Name, Config), Pid <- hornbeam_socket:connections(Ref), not hornbeam_websockets:is_open(Pid)].

%% @doc Reads the files of certificates again.
-spec reload_certs(Listener :: pid()) -> ok | {error, term()}.
reload_certs(Listener) ->
    gen_server:call(Listener, reload_certs).

-spec init({atom(), map()}) -> {ok, #state{}} | {stop, term()}.
init({Name, #{bind := Binds} = Config}) ->
    process_flag(trap_exit, true),
    case hornbeam_tls:load(Name, Config) of
        ok ->
            ok = hornbeam_clients:new(Name),
            ok = hornbeam_connection:configure(Name, protocol_options(Name, Config)),
            _ = [monitor(process, Needed) || Needed <- [ranch_sup | [ssl_sup || maps:get(ssl, Config)]]],
            open_all(lists:enumerate(Binds), #state{name = Name, config = Config});
        {error, Reason} -> {stop, {shutdown, Reason}}
    end.

open_all([], State) ->
    {ok, State};
open_all([{Number, Bind} | Rest], #state{bound = Bound} = State) ->
    case open(Number, Bind, State) of
        {ok, Opened} ->
            open_all(Rest, State#state{bound = Bound ++ [Opened]});
        {error, Reason} ->
            ok = lists:foreach(fun close/1, Bound),
            {stop, {shutdown, {listen_failed, hornbeam_options:format_bind(Bind), Reason}}}
    end.

open(Number, Bind, #state{name = Name, config = #{ssl := Tls} = Config}) ->
    Ref = {hornbeam, Name, Number},
    Opened = case hornbeam_socket:status(Ref) of
        running -> ok;
        suspended -> _ = ranch:stop_listener(Ref), listen(Ref, Bind, Name, Config);
        none -> listen(Ref, Bind, Name, Config)
    end,
    case Opened of
        ok ->
            #{pid := Listener} = ranch:info(Ref),
            {ok, #bound{number = Number, bind = Bind, ref = Ref, monitor = monitor(process, Listener),
                        url = hornbeam_socket:url(Bind, ranch:get_addr(Ref), Tls)}};
        {error, Reason} ->
            {error, Reason}
    end.

listen(Ref, Bind, Name, #{ssl := Tls} = Config) ->
    Transport = case Tls of true -> hornbeam_ssl; false -> hornbeam_tcp end,
    case hornbeam_socket:probe(Bind) of
        ok ->
            case ranch:start_listener(Ref, Transport, transport_options(Bind, Name, Config),
                                      hornbeam_connection, Name) of
                {ok, _} -> opened(Ref, Bind, Config);
                {error, {{shutdown, {failed_to_start_child, _, {listen_error, _, Reason}}}, _}} -> {error, Reason};
                {error, Reason} -> {error, Reason}
            end;
        {error, Reason} ->
            {error, Reason}
    end.

opened(Ref, Bind, Config) ->
    case hornbeam_socket:opened(Bind, Config) of
        ok ->
            ok;
        {error, Reason} ->
            ok = ranch:stop_listener(Ref),
            {error, Reason}
    end.

transport_options(Bind, Name, #{acceptors := Acceptors, ssl := Tls} = Config) ->
    Secure = case Tls of true -> hornbeam_tls:listen_options(Name, Config); false -> [] end,
    #{socket_opts => hornbeam_socket:options(Bind, Config) ++ Secure, num_acceptors => Acceptors,
      %% hornbeam_connections keeps max_connections.
      max_connections => infinity, shutdown => ?LAST_MS, connection_type => supervisor}.

%% What hornbeam_connection gets: what it needs itself, what is the same for all connections and requests, and what each protocol is told.
protocol_options(Name, #{ssl := Tls, proxy_protocol := Proxy, http_version := Versions, compress := Compress,
                         compress_min_size := MinSize, max_connections := Max, max_client_requests := MaxRequests} = Config) ->
    #{secure => Tls, max_connections => Max, proxy_protocol => Proxy, http_version => lists:usort(Versions),
      context => #{server => Name, gate => hornbeam_gate:settings(Config), max_client_requests => MaxRequests,
                   observer => hornbeam_observe:observer(Name, Config),
                   static => static(Name, Config), channels => channels(Name, Config),
                   defaults => hornbeam_headers:defaults(Config),
                   compress => case Compress of true -> MinSize; false -> off end},
      http1 => http1(Config), http2 => http2(Config)}.

%% Not loaded where no folder is served.
static(_Name, #{static := []}) -> none;
static(Name, Config) -> hornbeam_static:context(Name, Config).

%% Nor what serves channels.
channels(_Name, #{channels := <<>>, channel_modules := []}) -> none;
channels(Name, Config) -> hornbeam_channels:context(Name, Config).

http1(#{max_keepalive := MaxKeepalive} = Config) ->
    Times = maps:with([keepalive_timeout, header_timeout, body_timeout, half_close], Config),
    Times#{max_requests => MaxKeepalive, parser => hornbeam_http1_head:new(Config)}.

http2(Config) ->
    maps:with([keepalive_timeout, header_timeout, body_timeout, send_timeout, max_keepalive, max_streams, body_prefetch,
               max_frame_rate, max_empty_frame_rate, max_reset_rate, max_request_line, max_headers, max_header_size, max_head_size,
               strict_target, websocket], Config).

-spec handle_call(binds | reload_certs, gen_server:from(), #state{}) ->
    {reply, [binary()] | ok | {error, term()}, #state{}}.
handle_call(binds, _From, #state{bound = Bound} = State) ->
    {reply, [Url || #bound{url = Url} <- Bound], State};
handle_call(reload_certs, _From, #state{name = Name, config = Config} = State) ->
    {reply, hornbeam_tls:load(Name, Config), State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({'DOWN', Monitor, process, Process, Reason}, #state{bound = Bound} = State) ->
    case lists:keyfind(Monitor, #bound.monitor, Bound) of
        #bound{url = Url} = Lost ->
            logger:error("the listener on ~ts has ended (~tp) and is opened again", [Url, Reason]),
            _ = erlang:send_after(?REOPEN_MS, self(), {reopen, Lost}),
            {noreply, State};
        false ->
            logger:error("no address can be listened on without ~tp, which has ended (~tp)", [Process, Reason]),
            {stop, {shutdown, ended}, State}
    end;
handle_info({reopen, #bound{number = Number, bind = Bind, ref = Ref}}, #state{bound = Bound} = State) ->
    case open(Number, Bind, State) of
        {ok, Opened} -> {noreply, State#state{bound = lists:keyreplace(Ref, #bound.ref, Bound, Opened)}};
        {error, Reason} -> {stop, {shutdown, {listen_failed, hornbeam_options:format_bind(Bind), Reason}}, State}
    end;
handle_info(_Message, State) ->
    {noreply, State}.

%% No secret option in a crash report.
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{config = Config} = State} = Status) ->
    Status#{state := State#state{config = hornbeam_options:mask(Config)}};
format_status(Status) ->
    Status.

-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{name = Name, bound = Opened, config = #{graceful_timeout := Graceful}}) ->
    Bound = [One || #bound{ref = Ref} = One <- Opened, hornbeam_socket:status(Ref) =/= none],
    lists:foreach(fun(#bound{ref = Ref}) -> ok = ranch:suspend_listener(Ref) end, Bound),
    %% A WebSocket would last for ever: its end is not waited for but asked for.
    ok = hornbeam_websockets:drain(Name),
    Deadline = deadline(Graceful),
    _ = [ok = hornbeam_pool:stop_by(Pool, Deadline) || Deadline =/= infinity, Pool <- hornbeam_mounts:pools(Name)],
    ok = hornbeam_tasks:stop_by(Name, Deadline),
    Asked = [ask_to_close(Pid) || #bound{ref = Ref} <- Bound,
                                  Pid <- ranch:procs(Ref, connections)],
    end_rest(Name, await_closed(Asked, Deadline)),
    lists:foreach(fun close/1, Bound),
    ok = hornbeam_connection:forget(Name),
    ok = hornbeam_clients:forget(Name),
    hornbeam_tls:forget(Name).

deadline(infinity) -> infinity;
deadline(Time) -> erlang:monotonic_time(millisecond) + Time.

ask_to_close(Pid) ->
    Monitor = monitor(process, Pid),
    ok = hornbeam_connection:close(Pid),
    {Pid, Monitor}.

%% What is still being answered when the time is over is cut, all at the same time. Ranch would wait for each of its supervisors
%% of connections in turn, and a connection goes on until its requests end.
end_rest(_Name, []) ->
    ok;
end_rest(Name, Open) ->
    ok = lists:foreach(fun hornbeam_pool:farewell/1, hornbeam_mounts:pools(Name)),
    Deaf = await_closed(Open, deadline(?LAST_MS)),
    lists:foreach(fun({Pid, _}) -> exit(Pid, kill) end, Deaf).

%% Those that have not closed by then.
await_closed(Asked, Deadline) ->
    lists:filter(fun({_, Monitor}) -> not is_closed(Monitor, Deadline) end, Asked).

is_closed(Monitor, Deadline) ->
    Left = case Deadline of
        infinity -> infinity;
        _ -> max(0, Deadline - erlang:monotonic_time(millisecond))
    end,
    receive
        {'DOWN', Monitor, process, _, _} -> true
    after Left ->
        false
    end.

close(#bound{ref = Ref}) ->
    hornbeam_socket:close_left([Ref]).
