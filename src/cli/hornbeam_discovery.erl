%%% Which application `hornbeam run` serves when none is named: the first of a few files in the application's folder.
%%%
%%% The folder is the first of pythonpath, by default the current one. What the module calls its application is found by the
%%% worker (hornbeam_worker/loader.py). Called by hornbeam_cli alone: `hornbeam:start/2' and sys.config name what they serve.
-module(hornbeam_discovery).

-export([find/1]).

%% Modules in the order in which they are looked for. Not wsgi: Django has it beside asgi.
-define(MODULES, ["app", "main", "application", "asgi", "app.main"]).

%% What is served by Options, and the file it was found as; the text says what was looked for.
-spec find(hornbeam_options:options()) -> {ok, Module :: binary(), File :: binary()} | {error, iodata()}.
find(#{pythonpath := [Folder | _]}) ->
    Found = [{Module, Path} || Module <- ?MODULES, Path <- [filename:join(Folder, file(Module))], filelib:is_regular(Path)],
    case Found of
        [{Module, Path} | _] -> {ok, list_to_binary(Module), Path};
        [] -> {error, ["there is no ", hornbeam_option_text:enumerate([file(Module) || Module <- ?MODULES]), " in ", Folder]}
    end;
find(#{pythonpath := []}) ->
    {error, "pythonpath is empty"}.

file(Module) -> filename:join(string:split(Module, ".")) ++ ".py".
