%%% The option `reload': reloads a server when the Python files of its applications change. For development.
%%%
%%% Called by: hornbeam_server (a child). Calls: hornbeam_python (the interpreter), hornbeam_reload.
%%%
%%% The watching is done by hornbeam_worker/watch.py in a process of its own, which says what has changed, line by line. What
%%% changes while a reload runs is in the mailbox and makes one more. Without an interpreter that can watch there is a
%%% warning and no reload.
-module(hornbeam_watch).
-behaviour(gen_server).

-export([start_link/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-include("hornbeam.hrl").

-define(MAX_LINE, 4096).

-record(state, {
    name :: atom(),
    port :: port()
}).

-spec start_link(Name :: atom(), Config :: map()) -> {ok, pid()} | ignore | {error, term()}.
start_link(Name, Config) ->
    gen_server:start_link(?MODULE, {Name, Config}, []).

-spec init({atom(), map()}) -> {ok, #state{}} | ignore.
init({_Name, #{reload := false}}) ->
    ignore;
init({Name, #{reload := true} = Config}) ->
    {ok, Interpreter} = hornbeam_python:interpreter(interpreter_settings(Name, Config)),
    Script = filename:join([hornbeam_python:packages(), "hornbeam_worker", "watch.py"]),
    Port = erlang:open_port({spawn_executable, Interpreter},
                            [{args, ["-u", Script | arguments(Name, Config)]}, {line, ?MAX_LINE}, binary, exit_status]
                            ++ [{cd, unicode:characters_to_list(Chdir)} || Chdir <- [maps:get(chdir, Config)], Chdir =/= <<>>]),
    {ok, #state{name = Name, port = Port}}.

%% Patterns that name directories start, like other paths, from chdir.
arguments(Name, #{reload_include := Includes, reload_exclude := Excludes} = Config) ->
    [<<"--include=", Pattern/binary>> || Pattern <- Includes] ++ [<<"--exclude=", Pattern/binary>> || Pattern <- Excludes]
    ++ [<<"--">> | folders(Name, Config)].

folders(Name, #{reload_dirs := []}) ->
    lists:usort(lists:append([Folders || #mount{settings = #{pythonpath := Folders}} <- hornbeam_mounts:all(Name)]));
folders(_Name, #{reload_dirs := Folders}) ->
    lists:usort(Folders).

%% Any of the mounts' interpreters will do.
interpreter_settings(Name, Config) ->
    case hornbeam_mounts:all(Name) of
        [#mount{settings = Settings} | _] -> Settings;
        [] -> Config
    end.

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
handle_info({Port, {exit_status, Status}}, #state{port = Port} = State) ->
    logger:warning("files are no longer watched: the watching process exited with status ~b", [Status]),
    {noreply, State};
handle_info(_Message, State) ->
    {noreply, State}.

%% How it went is in the log.
reload(Name) ->
    case hornbeam_reload:reload(Name, #{}) of
        ok -> ok;
        {error, _} -> ok
    end.
