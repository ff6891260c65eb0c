%%% The open WebSocket connections of all servers: their number, their limit, and a way to reach them all.
%%%
%%% Called by: hornbeam_exchange and hornbeam_websocket_handshake (enter, register, leave), hornbeam_websocket (add),
%%% hornbeam_listener (drain), hornbeam (stats). Calls: hornbeam_cores (told of the number), who watches
%%% connections (a module with this behaviour).
%%%
%%% Table hornbeam_websockets: {Pid, Server, Watch} for each connection, {{Server, Counter}, Number}. A place is taken when a handshake
%%% begins and given back when the handshake fails (leave/1) or when the connection's process ends, however it ends: this
%%% process monitors each. Should it be restarted, it finds the connections in the table.
%%%
%%% Counters: open (now), opened (ever), refused (over websocket_max_connections), slow_dropped (published
%%% messages that a slow subscriber did not get), slow_closed (connections closed because of it).
-module(hornbeam_websockets).
-behaviour(gen_server).

-export([enter/2, leave/1, register/2, register/3, is_open/1, add/2, stats/1, drain/1]).
-export([start_link/0, init/1, handle_call/3, handle_cast/2, handle_info/2]).
-export_type([counter/0, watch/0]).

-type counter() :: open | opened | refused | slow_dropped | slow_closed.
%% Who is told that a connection has ended, and with what; none: nobody.
-type watch() :: none | {module(), term()}.
-callback websocket_ended(term()) -> ok.

-define(TABLE, ?MODULE).
-define(COUNTERS, [open, opened, refused, slow_dropped, slow_closed]).

%% @doc Takes a place for a handshake, if one is free.
-spec enter(Server :: atom(), Max :: pos_integer() | infinity) -> ok | full.
enter(Server, Max) ->
    case count(Server, open, 1) of
        Open when Open =< Max ->
            ok;
        _ ->
            _ = count(Server, open, -1),
            _ = count(Server, refused, 1),
            full
    end.

%% @doc Gives the place of a handshake back that has failed.
-spec leave(Server :: atom()) -> ok.
leave(Server) ->
    _ = count(Server, open, -1),
    ok.

%% @doc A handshake has succeeded: the place is given back when the process ends.
-spec register(Server :: atom(), pid()) -> ok.
register(Server, Pid) -> register(Server, Pid, none).

%% @doc The same, of one that somebody watches.
-spec register(Server :: atom(), pid(), watch()) -> ok.
register(Server, Pid, Watch) ->
    _ = count(Server, opened, 1),
    true = ets:insert(?TABLE, {Pid, Server, Watch}),
    gen_server:cast(?MODULE, {watch, Pid}).

%% @doc Whether a process is a WebSocket's.
-spec is_open(pid()) -> boolean().
is_open(Pid) ->
    ets:member(?TABLE, Pid).

%% @doc Counts one of the events that operators look at.
-spec add(Server :: atom(), slow_dropped | slow_closed) -> ok.
add(Server, Counter) ->
    _ = count(Server, Counter, 1),
    ok.

-spec stats(Server :: atom()) -> #{counter() => non_neg_integer()}.
stats(Server) ->
    maps:from_list([{Counter, value(ets:lookup(?TABLE, {Server, Counter}))} || Counter <- ?COUNTERS]).

value([{_, Number}]) -> Number;
value([]) -> 0.

%% @doc Asks every connection of a server (hornbeam_websocket) to close with 1012.
-spec drain(Server :: atom()) -> ok.
drain(Server) ->
    Pids = ets:select(?TABLE, [{{'$1', Server, '_'}, [{is_pid, '$1'}], ['$1']}]),
    lists:foreach(fun(Pid) -> Pid ! {{Pid, websocket}, drain} end, Pids).

count(Server, Counter, Number) ->
    Key = {Server, Counter},
    ets:update_counter(?TABLE, Key, Number, {Key, 0}).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% The state is the number of connections that are watched.
-spec init([]) -> {ok, non_neg_integer()}.
init([]) ->
    Pids = ets:select(?TABLE, [{{'$1', '_', '_'}, [{is_pid, '$1'}], ['$1']}]),
    lists:foreach(fun(Pid) -> monitor(process, Pid) end, Pids),
    {ok, hornbeam_cores:websockets(length(Pids))}.

-spec handle_call(term(), gen_server:from(), non_neg_integer()) ->
    {reply, {error, not_supported}, non_neg_integer()}.
handle_call(_Request, _From, Watched) ->
    {reply, {error, not_supported}, Watched}.

-spec handle_cast({watch, pid()}, non_neg_integer()) -> {noreply, non_neg_integer()}.
handle_cast({watch, Pid}, Watched) ->
    _ = monitor(process, Pid),
    {noreply, hornbeam_cores:websockets(Watched + 1)}.

-spec handle_info(term(), non_neg_integer()) -> {noreply, non_neg_integer()}.
handle_info({'DOWN', _, process, Pid, _}, Watched) ->
    case ets:take(?TABLE, Pid) of
        [{_, Server, none}] -> leave(Server);
        [{_, Server, {Module, Term}}] -> ok = leave(Server), Module:websocket_ended(Term);
        [] -> ok
    end,
    {noreply, hornbeam_cores:websockets(Watched - 1)};
handle_info(_Message, Watched) ->
    {noreply, Watched}.
