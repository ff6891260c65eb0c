%%% Where control sockets are: one file for each running server, NAME.PID.sock in a folder of its owner's.
%%%
%%% Called by: hornbeam_control (server/2), hornbeam_control_client (running/0). The folder is the first of: RUNTIME_DIRECTORY
%%% (systemd), XDG_RUNTIME_DIR/hornbeam, /tmp/hornbeam-UID; it must be a private one (hornbeam_private_folder).
-module(hornbeam_control_path).

-export([server/2, running/0]).

-include_lib("kernel/include/file.hrl").

%% @doc The path for a server that starts: the option's, or one in the folder, which is made.
-spec server(Option :: binary(), Name :: atom()) -> {ok, binary()} | {error, iodata()}.
server(<<"auto">>, Name) ->
    [Folder | _] = folders(),
    _ = file:change_mode(Folder, 8#700),
    case hornbeam_private_folder:make(Folder) of
        ok ->
            File = io_lib:format("~ts.~ts.sock", [Name, os:getpid()]),
            free(unicode:characters_to_binary(filename:join(Folder, File)));
        {error, Text} ->
            {error, Text}
    end;
server(Path, _Name) ->
    free(Path).

%% What a server that was killed has left is removed; one that answers is left alone.
free(Path) ->
    case file:read_link_info(Path) of
        {ok, #file_info{type = other}} ->
            case gen_tcp:connect({local, Path}, 0, [local], 1000) of
                {ok, Socket} -> gen_tcp:close(Socket), {error, [Path, " is in use"]};
                {error, _} -> _ = file:delete(Path), {ok, Path}
            end;
        {ok, _} ->
            {error, [Path, " is there and is no socket"]};
        {error, enoent} ->
            {ok, Path};
        {error, Reason} ->
            {error, [Path, ": ", file:format_error(Reason)]}
    end.

%% @doc The sockets in this user's folder and in that of the system's service: name, process id, path.
-spec running() -> [{Name :: string(), Pid :: string(), Path :: string()}].
running() ->
    [{lists:flatten(lists:join(".", lists:droplast(Parts))), lists:last(Parts), filename:join(Folder, File)}
     || Folder <- lists:usort([hd(folders()), "/run/hornbeam"]),
        File <- filelib:wildcard("*.sock", Folder),
        Parts <- [string:split(filename:rootname(File), ".", all)], length(Parts) >= 2].

folders() ->
    [Folder || Folder <- [os:getenv("RUNTIME_DIRECTORY", "")], Folder =/= ""]
    ++ [filename:join(Folder, "hornbeam") || Folder <- [os:getenv("XDG_RUNTIME_DIR", "")], Folder =/= ""]
    ++ ["/tmp/hornbeam-" ++ integer_to_list(hornbeam_private_folder:own_uid())].
