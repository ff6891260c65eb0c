%%% The files below a folder: which there are, opened so that nothing outside of the folder can be meant; a short memory of them.
%%%
%%% Called by: hornbeam_static, in the connection's process, which waits for the disk while nobody else does. Calls: file,
%%% hornbeam_descriptors. Owns what is in the table hornbeam_static_files (hornbeam_tables).
%%%
%%% Links. Each component of a path is looked at (lstat); where one is a symbolic link, the real path is found step by step, and has to lie
%%% below the folder's own, which was found when the server was started or reloaded. Only then is the file opened, and what was opened is compared with
%%% what a second look finds: a component that is exchanged for a link meanwhile is noticed. Only regular files are opened: a
%%% FIFO would block.
%%%
%%% Memory. What a path has led to is believed for ?FRESH_MS, then looked at again; the content of files of up to ?SMALL octets is kept with
%%% it for as long as size, time and inode are the same; not of one that was changed within ?SETTLED seconds, since times are whole seconds and it
%%% might be changed again without a trace. At ?MOST paths, or ?MOST_OCTETS of content, all are forgotten. What is not there is not remembered.
%%% Each call of the file system is made on another thread of the VM: on two busy cores a file of 10 KiB by sendfile was answered 2,600 times
%%% a second, with one look at each time 9,900 times, from memory 19,000 times; one of 64 KiB 6,600 and 8,500 times.
%%%
%%% Limits: ?MOST paths and ?MOST_OCTETS, but for what processes that read at the same moment add; ?LINKS links on the way to a file.
-module(hornbeam_static_files).

-export([find/3, content/2, open/2, real/1, forget/0]).
-export_type([file/0, found/0, key/0]).

-include_lib("kernel/include/file.hrl").
-include("hornbeam_static_files.hrl").

-type file() :: #file{}.
-type coding() :: identity | br | zstd | gzip.
%% The file itself, and what was packed beforehand and lies beside it.
-type found() :: [{coding(), file()}].
%% Where it was found: the folder's real path, the names below it, whether packed ones count.
-type key() :: {Root :: binary(), [Name :: binary()], Packed :: boolean()}.

-define(TABLE, hornbeam_static_files).
-define(FRESH_MS, 1000).
-define(SMALL, 65536).
-define(MOST, 2048).
-define(MOST_OCTETS, 33554432).
-define(SETTLED, 3).
-define(LINKS, 40).
-define(PACKED, [{br, <<".br">>}, {zstd, <<".zst">>}, {gzip, <<".gz">>}]).

%% @doc What a path below a folder leads to.
-spec find(Root :: binary(), [Name :: binary()], Packed :: boolean()) -> {file, found()} | folder | none.
find(Root, Names, Packed) ->
    Key = {Root, Names, Packed},
    Now = erlang:monotonic_time(millisecond),
    case ets:lookup(?TABLE, Key) of
        [{_, Until, Found}] when Now < Until -> Found;
        [{_, _, Before}] -> remember(Key, kept(look(Key), Before), Now);
        [] -> remember(Key, look(Key), Now)
    end.

remember(_Key, none, _Now) ->
    none;
remember(Key, gone, _Now) ->
    true = ets:delete(?TABLE, Key),
    none;
remember(Key, Found, Now) ->
    _ = ets:info(?TABLE, size) >= ?MOST andalso ets:delete_all_objects(?TABLE),
    true = ets:insert(?TABLE, {Key, Now + ?FRESH_MS, Found}),
    Found.

%% With the contents that are still right.
kept({file, Files}, {file, Before}) ->
    {file, [{Coding, unless_changed(File, lists:keyfind(Coding, 1, Before))} || {Coding, File} <- Files]};
kept(none, _Before) ->
    gone;
kept(Found, _Before) ->
    Found.

unless_changed(#file{path = Path, id = Id, size = Size, modified = Modified},
               {_, #file{path = Path, id = Id, size = Size, modified = Modified} = Same}) -> Same;
unless_changed(File, _) -> File.

look({Root, Names, Packed}) ->
    case walk(Root, Names) of
        {regular, File} -> {file, [{identity, File} | case Packed of true -> packed(Root, Names); false -> [] end]};
        {directory, _} -> folder;
        _ -> none
    end.

packed(Root, Names) ->
    [{Coding, File} || {Coding, End} <- ?PACKED, {regular, File} <- [walk(Root, beside(Names, End))]].

beside(Names, End) ->
    Last = lists:last(Names),
    lists:droplast(Names) ++ [<<Last/binary, End/binary>>].

%% The kind of file that is there now; what is outside of the folder is not there.
walk(Root, Names) -> walk(Root, Names, Root, directory).

walk(_Root, [], Path, directory) -> {directory, Path};
walk(Root, [Name | Rest], Path0, directory) ->
    Path = <<Path0/binary, $/, Name/binary>>,
    case info(Path) of
        {ok, #file_info{type = symlink}} -> linked(Root, real(filename:join([Path | Rest])));
        {ok, #file_info{type = regular} = Info} when Rest =:= [] -> {regular, file(Path, Info)};
        {ok, #file_info{type = directory}} -> walk(Root, Rest, Path, directory);
        _ -> none
    end.

linked(Root, {ok, Path}) ->
    Size = byte_size(Root),
    case Path of
        <<Root:Size/binary, $/, _/binary>> ->
            case info(Path) of
                {ok, #file_info{type = regular} = Info} -> {regular, file(Path, Info)};
                {ok, #file_info{type = directory}} -> {directory, Path};
                _ -> none
            end;
        Root -> {directory, Path};
        _ -> none
    end;
linked(_Root, error) ->
    none.

info(Path) -> file:read_link_info(Path, [raw, {time, posix}]).

file(Path, #file_info{major_device = Device, inode = Inode, size = Size, mtime = Modified}) ->
    #file{path = Path, id = {Device, Inode}, size = Size, modified = Modified}.

%% @doc A path without symbolic links; "" for the root of the file system.
-spec real(binary()) -> {ok, binary()} | error.
real(Path) -> real(filename:split(Path), <<>>, ?LINKS).

real([], Done, _Links) -> {ok, Done};
real([<<"/">> | Rest], _Done, Links) -> real(Rest, <<>>, Links);
real([<<".">> | Rest], Done, Links) -> real(Rest, Done, Links);
real([<<"..">> | Rest], <<>>, Links) -> real(Rest, <<>>, Links);
real([<<"..">> | Rest], Done, Links) ->
    {At, _} = lists:last(binary:matches(Done, <<"/">>)),
    real(Rest, binary:part(Done, 0, At), Links);
real([Name | Rest], Done, Links) ->
    Path = <<Done/binary, $/, Name/binary>>,
    case info(Path) of
        {ok, #file_info{type = symlink}} when Links > 0 ->
            case file:read_link_all(Path) of
                {ok, Target} -> real(filename:split(octets(Target)) ++ Rest, Done, Links - 1);
                {error, _} -> error
            end;
        {ok, #file_info{type = Type}} when Type =/= symlink -> real(Rest, Path, Links);
        _ -> error
    end.

octets(Name) when is_binary(Name) -> Name;
octets(Name) -> unicode:characters_to_binary(Name).

%% @doc The file with its content, if it is small, which is remembered; the file as it is now.
-spec content(key(), {coding(), file()}) -> {ok, file()} | large | none | no_descriptor.
content(_Key, {_, #file{content = Content} = File}) when is_binary(Content) ->
    {ok, File};
content(_Key, {_, #file{size = Size}}) when Size > ?SMALL ->
    large;
content({_, _, _} = Key, {Coding, _}) ->
    case open(Key, Coding) of
        {ok, Fd, #file{size = Size} = File} when Size =< ?SMALL ->
            Read = read(Fd, Size),
            _ = file:close(Fd),
            read_in(Read, Key, Coding, File);
        {ok, Fd, _Grown} ->
            _ = file:close(Fd),
            large;
        Error ->
            Error
    end.

read(_Fd, 0) -> {ok, <<>>};
read(Fd, Size) -> file:pread(Fd, 0, Size).

read_in({ok, Content}, Key, Coding, #file{size = Size, modified = Modified} = File0) when byte_size(Content) =:= Size ->
    File = File0#file{content = Content},
    _ = os:system_time(second) - Modified >= ?SETTLED andalso keep(Key, Coding, File),
    {ok, File};
read_in(_Shorter, _Key, _Coding, _File) ->
    none.

keep(Key, Coding, #file{size = Size} = File) ->
    _ = ets:update_counter(?TABLE, octets, Size, {octets, 0}) > ?MOST_OCTETS andalso ets:delete_all_objects(?TABLE),
    case ets:lookup(?TABLE, Key) of
        [{_, Until, {file, Files}}] -> ets:insert(?TABLE, {Key, Until, {file, lists:keyreplace(Coding, 1, Files, {Coding, File})}});
        _ -> true
    end.

%% @doc Opens it for reading; the caller closes it. As it is now: it may be another one than was found.
-spec open(key(), coding()) -> {ok, file:fd(), file()} | none | no_descriptor.
open({Root, Names0, _}, Coding) ->
    Names = case lists:keyfind(Coding, 1, ?PACKED) of {_, End} -> beside(Names0, End); false -> Names0 end,
    case hornbeam_descriptors:has_room() andalso walk(Root, Names) of
        false -> no_descriptor;
        {regular, File} -> opened(file:open(File#file.path, [read, raw, binary]), File, Root, Names);
        _ -> none
    end.

opened({ok, Fd}, #file{path = Path, id = Id}, Root, Names) ->
    case {file:read_file_info(Fd, [{time, posix}]), walk(Root, Names)} of
        {{ok, #file_info{type = regular} = Info}, {regular, #file{path = Path, id = Id}}} ->
            case file(Path, Info) of
                #file{id = Id} = File -> {ok, Fd, File};
                _ -> not_that(Fd)
            end;
        _ ->
            not_that(Fd)
    end;
opened({error, Reason}, _File, _Root, _Names) when Reason =:= emfile; Reason =:= enfile ->
    no_descriptor;
opened({error, _}, _File, _Root, _Names) ->
    none.

not_that(Fd) ->
    _ = file:close(Fd),
    none.

%% @doc Forgets all.
-spec forget() -> ok.
forget() ->
    true = ets:delete_all_objects(?TABLE),
    ok.
