%%% The sockets of a server: opens them when the workers are ready, closes them gracefully.
%%%
%%% Called by: hornbeam_server, when the workers are ready. Calls: hornbeam_socket, Cowboy and Ranch: one Ranch listener
%%% per bind.
%%%
%%% Start: open every bind; the first failure is the reason why hornbeam:start/2 fails.
%%%
%%% Stop (terminate/2): stop accepting; ask every connection to close after the request that it is answering
%%% (HTTP/1.1 says "connection: close", HTTP/2 GOAWAY); wait until none is left or graceful_timeout has passed; end the rest.
%%% Only then, as the supervisor goes on in reverse order, do the workers run their lifespan's shutdown.
-module(hornbeam_listener).
-behaviour(gen_server).

-export([start_link/2, binds/1]).
-export([init/1, handle_call/3, handle_cast/2, terminate/2]).

%% How long a connection has to end when the graceful time is over.
-define(LAST_MS, 500).

-record(bound, {
    ref :: ranch:ref(),
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

-spec init({atom(), map()}) -> {ok, #state{}} | {stop, term()}.
init({Name, #{bind := Binds} = Config}) ->
    process_flag(trap_exit, true),
    open_all(lists:enumerate(Binds), #state{name = Name, config = Config}).

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

open(Number, Bind, #state{name = Name, config = Config}) ->
    Ref = {hornbeam, Name, Number},
    case hornbeam_socket:probe(Bind) of
        ok ->
            case cowboy:start_clear(Ref, transport_options(Bind, Config),
                                    protocol_options(Name, Config)) of
                {ok, _} ->
                    {ok, #bound{ref = Ref, url = hornbeam_socket:url(Bind, ranch:get_addr(Ref))}};
                {error, Reason} ->
                    {error, Reason}
            end;
        {error, Reason} ->
            {error, Reason}
    end.

transport_options(Bind, #{acceptors := Acceptors, max_connections := Max} = Config) ->
    #{socket_opts => hornbeam_socket:options(Bind, Config), num_acceptors => Acceptors,
      max_connections => Max, shutdown => ?LAST_MS, logger => hornbeam_cowboy_log}.

%% idle_timeout and inactivity_timeout would end a request that is being answered slowly; what takes
%% their place is `timeout', send_timeout and the application's own end.
protocol_options(Name, Config) ->
    #{keepalive_timeout := Keepalive, max_request_line := RequestLine, max_headers := Headers,
      max_header_size := HeaderSize, body_prefetch := Prefetch} = Config,
    {Observers, Observe} = hornbeam_observe:handlers(Name, Config),
    #{hornbeam => Name,
      stream_handlers => Observers ++ [hornbeam_stream],
      observe => Observe,
      logger => hornbeam_cowboy_log,
      request_timeout => Keepalive,
      idle_timeout => infinity,
      inactivity_timeout => infinity,
      enable_connect_protocol => true,
      initial_stream_flow_size => Prefetch,
      max_keepalive => infinity,
      max_request_line_length => RequestLine,
      max_headers => Headers,
      max_header_name_length => 256,
      max_header_value_length => HeaderSize}.

-spec handle_call(binds, gen_server:from(), #state{}) -> {reply, [binary()], #state{}}.
handle_call(binds, _From, #state{bound = Bound} = State) ->
    {reply, [Url || #bound{url = Url} <- Bound], State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{name = Name, bound = Bound, config = #{graceful_timeout := Graceful}}) ->
    lists:foreach(fun(#bound{ref = Ref}) -> ok = ranch:suspend_listener(Ref) end, Bound),
    %% A WebSocket would last for ever: its end is not waited for but asked for.
    ok = hornbeam_websockets:drain(Name),
    Deadline = deadline(Graceful),
    ok = hornbeam_server:stop_by(Name, Deadline),
    Monitors = [ask_to_close(Pid) || #bound{ref = Ref} <- Bound,
                                     Pid <- ranch:procs(Ref, connections)],
    await_closed(Monitors, Deadline),
    lists:foreach(fun close/1, Bound).

deadline(infinity) -> infinity;
deadline(Time) -> erlang:monotonic_time(millisecond) + Time.

%% The asynchronous form of sys:terminate/2: a connection that is blocked by a slow client must not
%% keep the others waiting.
ask_to_close(Pid) ->
    Monitor = monitor(process, Pid),
    Pid ! {system, {self(), make_ref()}, {terminate, shutdown}},
    Monitor.

await_closed([], _Deadline) ->
    ok;
await_closed([Monitor | Rest], Deadline) ->
    Left = case Deadline of
        infinity -> infinity;
        _ -> max(0, Deadline - erlang:monotonic_time(millisecond))
    end,
    receive
        {'DOWN', Monitor, process, _, _} -> await_closed(Rest, Deadline)
    after Left ->
        true = demonitor(Monitor, [flush]),
        await_closed(Rest, Deadline)
    end.

close(#bound{ref = Ref}) ->
    _ = cowboy:stop_listener(Ref),
    ok.
