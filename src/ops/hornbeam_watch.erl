%%% The option `reload': reloads a server when the Python files of its applications change. For development.
%%%
%%% Called by: hornbeam_server (a child), hornbeam_server_pools (a message when the mounts have changed), hornbeam_cli (an application that
%%% did not start: wait/2). Calls: hornbeam_python (the interpreter), hornbeam_mounts, hornbeam_reload.
%%%
%%% The watching is done by hornbeam_worker/watch.py in a process of its own, which says what has changed, line by line. What
%%% changes while a reload runs is in the mailbox and makes one more. Without an interpreter that can watch there is a
%%% warning and no reload.
-module(hornbeam_watch).
-behaviour(gen_server).

-export([start_link/2, wait/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, format_status/1]).

-include("hornbeam.hrl").

-define(MAX_LINE, 4096).

-record(state, {
    name :: atom(),
    config :: map(),
    folders :: [binary()],
    port :: port()
}).

-spec start_link(Name :: atom(), Config :: map()) -> {ok, pid()} | ignore | {error, term()}.
start_link(Name, Config) ->
    gen_server:start_link(?MODULE, {Name, Config}, []).

-spec init({atom(), map()}) -> {ok, #state{}} | ignore.
init({_Name, #{reload := false}}) ->
    ignore;
init({Name, #{reload := true} = Config}) ->
    Mounts = hornbeam_mounts:all(Name) ++ hornbeam_service_pools:all(Name),
    {ok, #state{name = Name, config = Config, folders = folders(Mounts, Config), port = open(Mounts, Config)}}.

%% @doc Waits until a file changes, where no server runs that could be reloaded: Watching is called once a change will be seen.
%% `error': nothing is watched, or no longer.
-spec wait(map(), Watching :: fun(() -> ok)) -> ok | error.
wait(#{name := Name} = Config, Watching) ->
    wait_for_line(open(hornbeam_mounts:build(Name, Config) ++ hornbeam_service_pools:build(Name, Config), Config), Watching).

wait_for_line(Port, Watching) ->
    receive
        {Port, {data, {_, <<"watching ", _/binary>>}}} -> ok = Watching(), wait_for_line(Port, Watching);
        {Port, {data, {_, <<".">>}}} -> true = port_close(Port), ok;
        {Port, {data, _}} -> wait_for_line(Port, Watching);
        {Port, {exit_status, _}} -> error
    end.

open(Mounts, Config) ->
    {ok, Interpreter} = hornbeam_python:interpreter(interpreter_settings(Mounts, Config)),
    Script = filename:join([hornbeam_python:packages(), "hornbeam_worker", "watch.py"]),
    erlang:open_port({spawn_executable, Interpreter},
                     [{args, ["-u", Script | arguments(Mounts, Config)]}, {line, ?MAX_LINE}, binary, exit_status]
                     ++ [{cd, unicode:characters_to_list(Chdir)} || Chdir <- [maps:get(chdir, Config)], Chdir =/= <<>>]).

%% Patterns that name directories start, like other paths, from chdir.
arguments(Mounts, #{reload_include := Includes, reload_exclude := Excludes} = Config) ->
    [<<"--include=", Pattern/binary>> || Pattern <- Includes] ++ [<<"--exclude=", Pattern/binary>> || Pattern <- Excludes]
    ++ [<<"--">> | folders(Mounts, Config)].

folders(Mounts, #{reload_dirs := []}) ->
    lists:usort(lists:append([Folders || #mount{settings = #{pythonpath := Folders}} <- Mounts]));
folders(_Mounts, #{reload_dirs := Folders}) ->
    lists:usort(Folders).

%% Any of the mounts' interpreters will do.
interpreter_settings([#mount{settings = Settings} | _], _Config) -> Settings;
interpreter_settings([], Config) -> Config.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, {error, not_supported}, #state{}}.
handle_call(_Request, _From, State) ->
    {reply, {error, not_supported}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({Port, {data, {_, Line}}}, #state{port = Port, name = Name} = State) ->
    case Line of
        <<"watching ", How/binary>> -> logger:notice("watching the application's files (~ts)", [How]);
        <<"changed ", Path/binary>> -> logger:notice("changed: ~ts", [Path]);
        <<".">> -> reload(Name);
        _ -> ok
    end,
    {noreply, State};
handle_info(mounts_changed, #state{name = Name, config = Config, folders = Before, port = Port} = State) ->
    Mounts = hornbeam_mounts:all(Name) ++ hornbeam_service_pools:all(Name),
    case folders(Mounts, Config) of
        Before ->
            {noreply, State};
        After ->
            _ = erlang:port_info(Port) =:= undefined orelse port_close(Port),
            {noreply, State#state{folders = After, port = open(Mounts, Config)}}
    end;
handle_info({Port, {exit_status, Status}}, #state{port = Port} = State) ->
    logger:warning("files are no longer watched: the watching process exited with status ~b", [Status]),
    {noreply, State};
handle_info(_Message, State) ->
    {noreply, State}.

%% No secret option in a crash report.
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{config = Config} = State} = Status) ->
    Status#{state := State#state{config = hornbeam_options:mask(Config)}};
format_status(Status) ->
    Status.

%% How it went is in the log.
reload(Name) ->
    case hornbeam_reload:reload(Name, #{}) of
        ok -> ok;
        {error, _} -> ok
    end.
