%%% The project's folder, for tests of what stands in it. It is above the folder of the compiled tests.
-module(project).

-export([path/1, read/1]).

%% @doc A file or folder of the project.
-spec path(file:filename()) -> file:filename().
path(Name) -> filename:join(root(filename:dirname(code:which(?MODULE))), Name).

-spec read(file:filename()) -> binary().
read(Name) ->
    {ok, Content} = file:read_file(path(Name)),
    Content.

root(Folder) ->
    case {filelib:is_regular(filename:join(Folder, "docs/architecture.md")), filename:dirname(Folder)} of
        {true, _} -> Folder;
        {false, Folder} -> error(not_in_the_project);
        {false, Above} -> root(Above)
    end.
