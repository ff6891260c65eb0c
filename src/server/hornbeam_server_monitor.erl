%%% Notices when a server ends although nobody has stopped it: says so, removes what is left of it, and ends the OTP application where
%%% that is there for this server.
%%%
%%% Called by: hornbeam_server (watch/3 when a server is open, release/1 before it is stopped, settle/1 before a start).
%%% Calls: hornbeam_servers (which are open: written here alone), hornbeam_server_remains.
%%%
%%% Bond: what the end of the server means. `embedded' (hornbeam:start/1,2): a line of level critical; whoever has started it can
%%% monitor the process that it was given. `vital' (`hornbeam run', a release, the option `app' in sys.config): the application
%%% hornbeam ends as well. hornbeam_sup takes the normal end of this process (significant, transient) for that; a
%%% crash is only a restart, which finds the servers where it has written them.
-module(hornbeam_server_monitor).
-behaviour(gen_server).

-export([watch/3, release/1, settle/1]).
-export([start_link/0, init/1, handle_call/3, handle_cast/2, handle_info/2]).
-export_type([bond/0]).

-type bond() :: embedded | vital.
-type state() :: #{reference() => {Name :: atom(), bond()}}.

%% @doc A server has opened its sockets.
-spec watch(Name :: atom(), Server :: pid(), bond()) -> ok.
watch(Name, Server, Bond) ->
    gen_server:call(?MODULE, {watch, Name, Server, Bond}, infinity).

%% @doc A server is about to be stopped, or its start has failed.
-spec release(Name :: atom()) -> ok.
release(Name) ->
    gen_server:call(?MODULE, {release, Name}, infinity).

%% @doc Before a server of that name is started: an earlier one may have ended, and not all of it is removed yet.
-spec settle(Name :: atom()) -> ok.
settle(Name) ->
    gen_server:call(?MODULE, {settle, Name}, infinity).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

-spec init([]) -> {ok, state()}.
init([]) ->
    {ok, maps:from_list([{monitor(process, Server), {Name, Bond}} || {Name, Server, Bond} <- hornbeam_servers:all_open()])}.

-spec handle_call({watch, atom(), pid(), bond()} | {release | settle, atom()}, gen_server:from(), state()) ->
    {reply, ok, state()} | {stop, {shutdown, {server_ended, atom()}}, state()}.
handle_call({watch, Name, Server, Bond}, _From, Watched) ->
    ok = hornbeam_servers:opened(Name, Server, Bond),
    {reply, ok, Watched#{monitor(process, Server) => {Name, Bond}}};
handle_call({release, Name}, _From, Watched) ->
    ok = hornbeam_servers:closed(Name),
    {Released, Left} = lists:partition(fun({_, {Of, _}}) -> Of =:= Name end, maps:to_list(Watched)),
    _ = [demonitor(Monitor, [flush]) || {Monitor, _} <- Released],
    {reply, ok, maps:from_list(Left)};
handle_call({settle, Name}, _From, Watched) ->
    case [Monitor || {ok, Server} <- [hornbeam_servers:pid(Name)], not is_process_alive(Server),
                     {Monitor, {Of, _}} <- maps:to_list(Watched), Of =:= Name] of
        [] ->
            {reply, ok, Watched};
        [Monitor] ->
            %% Whoever starts the next server has heard of the end first.
            receive {'DOWN', Monitor, process, _, Reason} -> settled(ended(Monitor, Reason, Watched)) end
    end.

settled({noreply, Watched}) -> {reply, ok, Watched};
settled(Stop) -> Stop.

-spec handle_cast(term(), state()) -> {noreply, state()}.
handle_cast(_Request, Watched) ->
    {noreply, Watched}.

-spec handle_info(term(), state()) -> {noreply, state()} | {stop, {shutdown, {server_ended, atom()}}, state()}.
handle_info({'DOWN', Monitor, process, _, Reason}, Watched) when is_map_key(Monitor, Watched) ->
    ended(Monitor, Reason, Watched);
handle_info(_Message, Watched) ->
    {noreply, Watched}.

%% The row goes last: after a crash in between this is done again.
ended(Monitor, Reason, Watched) ->
    {{Name, Bond}, Left} = maps:take(Monitor, Watched),
    logger:critical("the server ~ts has ended by itself (~tp): a part of it has failed too often, see above", [Name, Reason]),
    ok = hornbeam_server_remains:remove(Name),
    ok = hornbeam_servers:closed(Name),
    case Bond of
        embedded -> {noreply, Left};
        vital -> {stop, {shutdown, {server_ended, Name}}, Left}
    end.
