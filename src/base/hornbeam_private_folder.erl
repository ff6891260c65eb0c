%%% A folder that only its owner can look into: for control sockets and crash dumps.
%%%
%%% Called by: hornbeam_control_path, hornbeam_crash_dump. In a place like /tmp anybody can make a folder of that name first, so it
%%% must be a real one, ours, and closed to others.
-module(hornbeam_private_folder).

-export([make/1, own_uid/0]).

-include_lib("kernel/include/file.hrl").

%% @doc Makes it with mode 0700, and what is above it, where it is not there yet.
-spec make(file:filename_all()) -> ok | {error, iodata()}.
make(Folder) ->
    ok = make_above(filename:dirname(Folder)),
    case file:make_dir(Folder) of
        ok -> ok = file:change_mode(Folder, 8#700);
        {error, eexist} -> check(Folder);
        {error, Reason} -> {error, [Folder, ": ", file:format_error(Reason)]}
    end.

%% Closed as well, since one of them may be asked for later: data_dir, when data_dir/cluster is made first. What cannot be made is said of the
%% folder itself.
make_above(Folder) ->
    case filelib:is_dir(Folder) orelse Folder =:= filename:dirname(Folder) of
        true -> ok;
        false ->
            ok = make_above(filename:dirname(Folder)),
            case file:make_dir(Folder) of
                ok -> ok = file:change_mode(Folder, 8#700);
                {error, _} -> ok
            end
    end.

check(Folder) ->
    Own = own_uid(),
    case file:read_link_info(Folder) of
        {ok, #file_info{type = directory, uid = Own, mode = Mode}} when Mode band 8#077 =:= 0 -> ok;
        _ -> {error, [Folder, " cannot be used: it must be a folder that is yours, with mode 0700"]}
    end.

%% @doc The user that the VM runs as; where there is /proc, without starting a program.
-spec own_uid() -> non_neg_integer().
own_uid() ->
    case file:read_file_info("/proc/self") of
        {ok, #file_info{uid = Uid}} -> Uid;
        {error, _} -> list_to_integer(string:trim(os:cmd("id -u")))
    end.
