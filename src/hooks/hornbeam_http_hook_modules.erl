%%% Where a server's hooks come from: the modules that the option `http_hooks' names, found with `erlang_path', and their functions.
%%%
%%% Called by: hornbeam (a start), hornbeam_reload (check/1); hornbeam_http_hooks (hook/1). Calls: code, beam_lib. Changes the node's code path, and
%%% on a reload the code of hooks whose files in erlang_path have changed.
-module(hornbeam_http_hook_modules).

-export([check/1, hook/1]).

-define(STAGES, [{on_request, 1}, {on_response, 3}, {on_error, 3}]).

%% @doc Whether all of them can be called; from then on they can.
-spec check(Config :: map()) -> ok | {error, {bad_option, http_hooks, binary()}}.
check(#{http_hooks := Hooks, erlang_path := Folders}) ->
    ok = code:add_pathsz([unicode:characters_to_list(Folder) || Folder <- Folders]),
    check_all(Hooks, Folders).

check_all([Hook | Rest], Folders) ->
    case check_hook(Hook, Folders) of
        ok -> check_all(Rest, Folders);
        {error, Text} -> {error, {bad_option, http_hooks, unicode:characters_to_binary(Text)}}
    end;
check_all([], _Folders) ->
    ok.

check_hook(Module, Folders) when is_atom(Module) ->
    case load(Module, Folders) of
        ok when is_atom(Module) ->
            case hook(Module) of
                None when map_size(None) =:= 0 ->
                    {error, io_lib:format("names the module ~ts, which exports none of on_request/1, on_response/3 and on_error/3", [Module])};
                _ -> ok
            end;
        Error -> Error
    end;
check_hook(Stages, Folders) ->
    check_functions([{Name, Arity} || {Stage, {_, _} = Name} <- maps:to_list(Stages), {S, Arity} <- ?STAGES, S =:= Stage], Folders).

check_functions([{{Module, Function}, Arity} | Rest], Folders) ->
    case load(Module, Folders) of
        ok ->
            case erlang:function_exported(Module, Function, Arity) of
                true -> check_functions(Rest, Folders);
                false -> {error, io_lib:format("names ~ts:~ts/~b, which is not exported", [Module, Function, Arity])}
            end;
        Error -> Error
    end;
check_functions([], _Folders) ->
    ok.

load(Module, Folders) ->
    Loaded = case code:is_loaded(Module) of
        false -> code:load_file(Module);    % in embedded mode as well
        {file, File} -> newer(Module, File, Folders)
    end,
    case Loaded of
        {module, Module} -> ok;
        {error, nofile} ->
            {error, io_lib:format("names the module ~ts, which is in no folder of the code path (erlang_path)", [Module])};
        {error, Reason} ->
            {error, io_lib:format("names the module ~ts, which cannot be loaded (~tp)", [Module, Reason])}
    end.

%% New code only of what erlang_path has brought: that of all else is its owner's to load.
newer(Module, File, Folders) when is_list(File) ->
    Folder = unicode:characters_to_binary(filename:dirname(File)),
    case lists:member(Folder, Folders) andalso beam_lib:md5(File) of
        {ok, {Module, Md5}} ->
            case Module:module_info(md5) of
                Md5 -> {module, Module};
                _ -> replace(Module)
            end;
        _ ->
            {module, Module}
    end;
newer(Module, _NoFile, _Folders) ->
    {module, Module}.

%% A process in the code before last would be killed.
replace(Module) ->
    case code:soft_purge(Module) of
        true -> code:load_file(Module);
        false -> {error, old_code_in_use}
    end.

%% @doc The functions of one value of the option.
-spec hook(hornbeam_option_hook:hook()) -> #{on_request | on_response | on_error => fun()}.
hook(Module) when is_atom(Module) ->
    maps:from_list([{Stage, fun Module:Stage/Arity} || {Stage, Arity} <- ?STAGES, erlang:function_exported(Module, Stage, Arity)]);
hook(Stages) ->
    maps:map(fun(Stage, {Module, Function}) -> Arity = proplists:get_value(Stage, ?STAGES), fun Module:Function/Arity;
                (_Stage, Fun) -> Fun
             end, Stages).
