%%% Folders for the owner alone: what is made, what is above it, what is refused.
-module(hornbeam_private_folder_tests).

-include_lib("eunit/include/eunit.hrl").
-include_lib("kernel/include/file.hrl").

folders_test_() ->
    {setup, fun folder/0, fun(Folder) -> ok = file:del_dir_r(Folder) end,
     fun(Folder) -> [{Text, fun() -> Test(Folder) end} || {Text, Test} <- [{"made", fun made/1}, {"there", fun there/1}, {"refused", fun refused/1}]] end}.

folder() ->
    Folder = filename:join(os:getenv("TMPDIR", "/tmp"), "private-" ++ integer_to_list(erlang:unique_integer([positive])) ++ os:getpid()),
    ok = file:make_dir(Folder),
    ok = file:change_mode(Folder, 8#755),
    Folder.

%% With what is above it and was not there; what was there stays as it is.
made(Folder) ->
    ?assertEqual(ok, hornbeam_private_folder:make(filename:join(Folder, "a/b/c"))),
    ?assertEqual([8#755, 8#700, 8#700, 8#700], [mode(filename:join(Folder, Below)) || Below <- ["", "a", "a/b", "a/b/c"]]).

%% So that one above may be asked for itself.
there(Folder) ->
    ?assertEqual(ok, hornbeam_private_folder:make(filename:join(Folder, <<"d/e">>))),
    ?assertEqual([ok, ok], [hornbeam_private_folder:make(filename:join(Folder, Below)) || Below <- ["d", "d/e"]]).

refused(Folder) ->
    ?assertMatch({error, _}, hornbeam_private_folder:make(Folder)),
    ok = file:write_file(filename:join(Folder, "file"), ""),
    ?assertMatch({error, _}, hornbeam_private_folder:make(filename:join(Folder, "file"))),
    ?assertMatch({error, _}, hornbeam_private_folder:make(filename:join(Folder, "file/below"))),
    ok = file:make_symlink("a", filename:join(Folder, "link")),
    ?assertMatch({error, _}, hornbeam_private_folder:make(filename:join(Folder, "link"))).

mode(Path) ->
    {ok, #file_info{mode = Mode}} = file:read_file_info(Path),
    Mode band 8#777.
