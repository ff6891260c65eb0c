%%% New code, new options, another number of workers, other mounts under live sockets.
%%%
%%% Called by: hornbeam (reload/0,1,2, mount/3, unmount/2), hornbeam_control, hornbeam_signals, hornbeam_watch. Calls: hornbeam_options,
%%% hornbeam_option_mount, _place, _cluster, hornbeam_server_pools (which carries it out, in two phases), hornbeam_servers, hornbeam_server
%%% (check_modules/1). Decides what the server is to run with; runs in the process of hornbeam_server_pools, so that no two changes begin with the same options.
%%%
%%% What cannot change: what the sockets were opened with, the server's name,
%%% and `window' and `body_prefetch', on which a request and its worker agree from the beginning to the end.
%%%
%%% What mount/3 and unmount/2 have changed holds like any other option: a reload keeps it, unless it is given `mounts' itself.
-module(hornbeam_reload).

-export([reload/2, mount/3, unmount/2]).

%% The groups of hornbeam_option_table whose options are read anew for each request or each worker, and what in them is not.
-define(GROUPS, [application, python, workers, timeouts, channels, tasks]).
-define(FIXED, [name, reload_dirs, reload_include, reload_exclude, window, body_prefetch, keepalive_timeout, send_timeout, data_dir,
                channels_path, events_path, channel_history_bytes]).
%% And of other groups those that may change.
-define(FREE, [cluster_ready, cluster_forget_after]).

%% @doc Returns when the new workers serve. Given: options that replace those of the running server, `app' included.
-spec reload(Name :: atom(), Given :: hornbeam_options:given()) -> ok | {error, term()}.
reload(Name, Given) ->
    case hornbeam_servers:config(Name) of
        {ok, _} ->
            Decide = fun(Old) -> with_modules(decide(Old, Given)) end,
            with_systemd(fun() -> report(Name, hornbeam_server_pools:change(Name, Decide, all)) end);
        error -> {error, not_found}
    end.

%% Before all else, for a mistake there costs no worker's start.
with_modules({ok, New}) ->
    case hornbeam_server:check_modules(New) of
        ok -> {ok, New};
        {error, Reason} -> {error, Reason}
    end;
with_modules({error, Reason}) ->
    {error, Reason}.

%% @doc Returns when requests find the application. Given: as in the option `mounts'. Options: those of a mount, stronger than what is given.
-spec mount(Name :: atom(), Given :: term(), Options :: map()) -> ok | {error, term()}.
mount(Name, Given, Options) ->
    case hornbeam_option_mount:with(Given, Options) of
        {ok, {Place, App, _} = Mount} ->
            Decide = fun(#{mounts := Mounts} = Old) -> decide(Old, #{mounts => lists:keystore(Place, 1, Mounts, Mount)}) end,
            said(hornbeam_server_pools:change(Name, Decide, [Place]), "~ts serves ~ts at ~ts", [Name, App, Place]);
        Problem ->
            bad_mount(Problem)
    end.

%% @doc Returns when no request finds the application any more; what it has is finished.
-spec unmount(Name :: atom(), Place :: term()) -> ok | {error, term()}.
unmount(Name, Given) ->
    case hornbeam_option_place:parse(Given) of
        {ok, Place} ->
            Decide = fun(#{mounts := Mounts} = Old) ->
                case lists:keytake(Place, 1, Mounts) of
                    {value, _, Left} -> decide(Old, #{mounts => Left});
                    false -> {error, {no_mount, Place}}
                end
            end,
            said(hornbeam_server_pools:change(Name, Decide, []), "~ts serves nothing of its own at ~ts any more", [Name, Place]);
        Problem ->
            bad_mount(Problem)
    end.

said(ok, Format, Arguments) ->
    logger:notice("server " ++ Format, Arguments);
said({error, Reason}, _Format, _Arguments) ->
    {error, Reason}.

bad_mount({error, Text}) ->
    {error, {bad_option, mounts, unicode:characters_to_binary(Text)}};
bad_mount({error, Text, Culprit}) ->
    bad_mount({error, [Text, ", got ", hornbeam_option_text:show(Culprit)]}).

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

decide(Old, Given) ->
    case merged(Given, Old) of
        {ok, Merged} ->
            case hornbeam_options:validate(Merged) of
                {ok, New} -> check_fixed(Old, New);
                {error, Reason} -> {error, Reason}
            end;
        {error, Reason} ->
            {error, Reason}
    end.

merged(Given, Old) when is_map(Given) ->
    case hornbeam_option_cluster:expand(Given) of
        {ok, Flat} -> {ok, maps:merge(Old, Flat)};
        Error -> Error
    end;
merged(Given, Old) when is_list(Given) -> merged(proplists:to_map(Given), Old);
merged(_, _) -> {error, {bad_option, options, <<"must be a map or a property list">>}}.

check_fixed(Old, New) ->
    case [Key || Key <- lists:sort(maps:keys(New)), maps:get(Key, New) =/= maps:get(Key, Old), is_fixed(Key)] of
        [] ->
            case [Key || Key <- [static, channels, channel_modules], are_begun(Key, Old, New)] of
                [] -> {ok, New};
                [Key | _] -> {error, {bad_option, Key, <<"cannot be begun with by a reload: the server was started without">>}}
            end;
        [Key | _] -> {error, {bad_option, Key, <<"cannot be changed by a reload">>}}
    end.

%% Connections know from the start of their listener whether there are such at all.
are_begun(static, Old, New) -> map_get(static, Old) =:= [] andalso map_get(static, New) =/= [];
are_begun(Key, #{channels := <<>>, channel_modules := []} = Old, New) -> map_get(Key, Old) =/= map_get(Key, New);
are_begun(_Key, _Old, _New) -> false.

is_fixed(Key) ->
    {ok, #{group := Group}} = hornbeam_options:spec(Key),
    not lists:member(Key, ?FREE) andalso (not lists:member(Group, ?GROUPS) orelse lists:member(Key, ?FIXED)).
