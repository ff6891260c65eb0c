%%% The open connections of each address, and their limit, max_connections.
%%%
%%% Called by: hornbeam_connection (enter/2, by each new connection's process), hornbeam_websocket (leave/0), hornbeam_metrics_text (count/1).
%%% Calls: hornbeam_clients (ended/1); the fun that it is started with (hornbeam_listener:connections/0: what Ranch has, less the WebSockets).
%%%
%%% One process counts, and watches what it has counted: a place is given back when a connection's process ends, however it ends, and so are
%%% the places of its client that its requests had (hornbeam_clients). So
%%% a connection is counted from its first moment, before a PROXY header or a TLS handshake, until it is gone or has become a
%%% WebSocket: those are counted by hornbeam_websockets. That both together do not take every descriptor is the matter of
%%% hornbeam_descriptors. Ranch's own limit is not used: it holds for each of its supervisors alone, and keeps a client waiting
%%% where this one answers.
%%%
%%% Cost: one call for each connection, 3 us; none for a request.
%%%
%%% Failure: after a crash the connections are those that the fun tells.
-module(hornbeam_connections).
-behaviour(gen_server).

-export([enter/2, leave/0, count/1]).
-export([start_link/1, init/1, handle_call/3, handle_cast/2, handle_info/2]).

-record(state, {
    open = #{} :: #{ranch:ref() => pos_integer()},
    members = #{} :: #{pid() => {ranch:ref(), Monitor :: reference()}}
}).

%% @doc Takes a place for the calling process.
-spec enter(ranch:ref(), Max :: pos_integer() | infinity) -> ok | full.
enter(Ref, Max) ->
    gen_server:call(?MODULE, {enter, Ref, Max}, infinity).

%% @doc The calling process gives its place back.
-spec leave() -> ok.
leave() ->
    gen_server:cast(?MODULE, {leave, self()}).

%% @doc The open connections of a server, on all its addresses.
-spec count(Server :: atom()) -> non_neg_integer().
count(Server) ->
    gen_server:call(?MODULE, {count, Server}, infinity).

%% @doc Left: tells which connections there are already.
-spec start_link(Left :: fun(() -> [{ranch:ref(), pid()}])) -> {ok, pid()} | {error, term()}.
start_link(Left) ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, Left, []).

-spec init(fun(() -> [{ranch:ref(), pid()}])) -> {ok, #state{}}.
init(Left) ->
    %% Also those that have ended meanwhile.
    lists:foreach(fun(Pid) -> monitor(process, Pid) end, hornbeam_clients:connections()),
    {ok, lists:foldl(fun({Ref, Pid}, State) -> add(Ref, Pid, State) end, #state{}, Left())}.

-spec handle_call({enter, ranch:ref(), pos_integer() | infinity} | {count, atom()}, gen_server:from(), #state{}) ->
    {reply, ok | full | non_neg_integer(), #state{}}.
handle_call({enter, Ref, Max}, {Pid, _}, #state{open = Open, members = Members} = State) ->
    case {Members, Open} of
        {#{Pid := _}, _} -> {reply, ok, State};
        {_, #{Ref := Number}} when Number >= Max -> {reply, full, State};
        _ -> {reply, ok, add(Ref, Pid, State)}
    end;
handle_call({count, Server}, _From, #state{open = Open} = State) ->
    {reply, lists:sum([Number || {{hornbeam, Name, _}, Number} <- maps:to_list(Open), Name =:= Server]), State}.

-spec handle_cast({leave, pid()}, #state{}) -> {noreply, #state{}}.
handle_cast({leave, Pid}, #state{members = Members} = State) ->
    _ = case Members of
        #{Pid := {_, Monitor}} -> demonitor(Monitor, [flush]);
        #{} -> true
    end,
    {noreply, remove(Pid, State)}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({'DOWN', _, process, Pid, _}, State) ->
    {noreply, remove(Pid, State)};
handle_info(_Message, State) ->
    {noreply, State}.

add(Ref, Pid, #state{open = Open, members = Members}) ->
    #state{open = maps:update_with(Ref, fun(Number) -> Number + 1 end, 1, Open),
           members = Members#{Pid => {Ref, monitor(process, Pid)}}}.

remove(Pid, #state{open = Open, members = Members} = State) ->
    ok = hornbeam_clients:ended(Pid),
    case maps:take(Pid, Members) of
        {{Ref, _}, Rest} ->
            Left = case Open of
                #{Ref := 1} -> maps:remove(Ref, Open);
                #{Ref := Number} -> Open#{Ref := Number - 1}
            end,
            #state{open = Left, members = Rest};
        error ->
            State
    end.
