%%% New code, new options, another number of workers under live sockets.
%%%
%%% Called by: hornbeam (reload/0,1,2), hornbeam_control, hornbeam_signals, hornbeam_watch. Calls: hornbeam_options, hornbeam_mounts, hornbeam_pool (prepare, commit, abort),
%%% hornbeam_servers (what it runs with), hornbeam_server (check_interpreters/1). Runs in the caller's process; the pools notice when that dies and abort.
%%%
%%% Two phases. Every pool starts a generation with the new settings beside the old one; when all of them are ready each
%%% pool hands over, and the old workers drain. When one fails to start nothing has changed, and the reason
%%% is the answer. Connections are the listener's and are not touched.
%%%
%%% What cannot change: what the sockets were opened with, the server's name, the paths of its mounts (each is a pool of its own),
%%% and `window' and `body_prefetch', on which a request and its worker agree from the beginning to the end.
-module(hornbeam_reload).

-export([reload/2]).

-include("hornbeam.hrl").

%% The groups of hornbeam_option_table whose options are read anew for each request or each worker, and what in them is not.
-define(GROUPS, [application, python, workers, timeouts]).
-define(FIXED, [name, reload_dirs, reload_include, reload_exclude, window, body_prefetch, keepalive_timeout, send_timeout]).

%% @doc Returns when the new workers serve. Given: options that replace those of the running server, `app' included.
-spec reload(Name :: atom(), Given :: hornbeam_options:given()) -> ok | {error, term()}.
reload(Name, Given) ->
    case hornbeam_servers:config(Name) of
        {ok, Old} -> with_systemd(fun() -> report(Name, check(Name, Old, Given)) end);
        error -> {error, not_found}
    end.

with_systemd(Reload) ->
    hornbeam_systemd:reloading(),
    try Reload()
    after hornbeam_systemd:ready([])
    end.

report(Name, ok) ->
    logger:notice("server ~ts reloaded", [Name]);
report(Name, {error, Reason}) ->
    logger:error("server ~ts was not reloaded and goes on as before: ~ts", [Name, hornbeam_reason:format(Reason)]),
    {error, Reason}.

check(Name, Old, Given) ->
    case merged(Given, Old) of
        {ok, Merged} ->
            case hornbeam_options:validate(Merged) of
                {ok, New} -> check_fixed(Name, Old, New);
                {error, Reason} -> {error, Reason}
            end;
        {error, Reason} ->
            {error, Reason}
    end.

merged(Given, Old) when is_map(Given) -> {ok, maps:merge(Old, Given)};
merged(Given, Old) when is_list(Given) -> {ok, maps:merge(Old, proplists:to_map(Given))};
merged(_, _) -> {error, {bad_option, options, <<"must be a map or a property list">>}}.

check_fixed(Name, Old, New) ->
    Changed = [Key || Key <- lists:sort(maps:keys(New)), maps:get(Key, New) =/= maps:get(Key, Old), is_fixed(Key)],
    Prefixes = [Mount#mount.prefix || Mount <- hornbeam_mounts:all(Name)],
    Mounts = hornbeam_mounts:build(Name, New),
    case {Changed, [Mount#mount.prefix || Mount <- Mounts]} of
        {[Key | _], _} ->
            {error, {bad_option, Key, <<"cannot be changed by a reload">>}};
        {[], Others} when Others =/= Prefixes ->
            {error, {bad_option, mounts, <<"cannot get other paths by a reload">>}};
        {[], _} ->
            case hornbeam_server:check_interpreters(Mounts) of
                ok -> prepare(Name, New, Mounts);
                {error, Reason} -> {error, Reason}
            end
    end.

is_fixed(Key) ->
    {ok, #{group := Group}} = hornbeam_options:spec(Key),
    not lists:member(Group, ?GROUPS) orelse lists:member(Key, ?FIXED).

prepare(Name, New, Mounts) ->
    Asked = [{Id, hornbeam_pool:prepare(Id, Mount)} || #mount{pool = Id} = Mount <- Mounts],
    Answers = [{Id, hornbeam_pool:prepared(Request)} || {Id, Request} <- Asked],
    case [Error || {_, {error, _} = Error} <- Answers] of
        [] ->
            lists:foreach(fun({Id, ok}) -> ok = hornbeam_pool:commit(Id) end, Answers),
            hornbeam_mounts:publish(Name, Mounts),
            hornbeam_servers:set_config(Name, New);
        [Error | _] ->
            lists:foreach(fun({Id, _}) -> ok = hornbeam_pool:abort(Id) end,
                          [Answer || {_, ok} = Answer <- Answers]),
            Error
    end.
