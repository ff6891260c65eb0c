%%% What a member writes down of itself besides Ra's files: which cluster it belongs to, in the folder of the option cluster_dir.
%%%
%%% Called by: hornbeam_cluster_engine. Calls: file, hornbeam_private_folder.
%%%
%%%     member     one term: which cluster, as which node, and how far it is (state/0); written anew in one step
%%%     ra/        what Ra writes
%%%
%%% A folder belongs to one node: another name beside the same files would be a second voice.
-module(hornbeam_cluster_folder).

-export([open/1, read/1, write/2, clear/1, ra/1]).
-export_type([state/0]).

%% promised: will be a founding member, if the node By says so. founded: is one. settled: and its log is on its disk for sure. joining: has asked to become a member.
%% joined: knows of a leader. uid: Ra's, of a server that has been added, and <<>> of a founder.
-type state() :: {promised | founded | settled, Id :: binary(), By :: node(), Founders :: [node()]}
               | {joining | joined, Id :: binary(), Uid :: binary(), Members :: [node()]}.

-define(VERSION, 1).

%% @doc Makes the folder, of mode 0700, where it is not there; another's, or one that others can look into, is refused. error: a text.
-spec open(Folder :: file:filename_all()) -> ok | {error, iodata()}.
open(Folder) ->
    case hornbeam_private_folder:make(Folder) of
        ok ->
            case filelib:ensure_path(ra(Folder)) of
                ok -> ok;
                {error, Reason} -> refused(Folder, file:format_error(Reason))
            end;
        {error, Text} -> refused(Folder, Text)
    end.

refused(Folder, Text) -> {error, io_lib:format("the folder ~ts of cluster_dir cannot be used: ~ts", [Folder, Text])}.

-spec ra(file:filename_all()) -> file:filename_all().
ra(Folder) -> filename:join(Folder, "ra").

%% @doc What this node has written; empty where nothing was.
-spec read(file:filename_all()) -> {ok, state()} | empty | {error, iodata()}.
read(Folder) ->
    case file:consult(path(Folder)) of
        {ok, [{hornbeam_cluster, ?VERSION, Node, State}]} when Node =:= node() -> {ok, State};
        {ok, [{hornbeam_cluster, ?VERSION, Node, _}]} ->
            {error, io_lib:format("the folder ~ts of cluster_dir is that of the node ~ts, and this is ~ts", [Folder, Node, node()])};
        {error, enoent} -> empty;
        _ -> {error, io_lib:format("the file ~ts is not what this version writes", [path(Folder)])}
    end.

-spec write(file:filename_all(), state()) -> ok.
write(Folder, State) ->
    New = filename:join(Folder, "member.new"),
    {ok, File} = file:open(New, [write, raw]),
    ok = file:write(File, io_lib:format("~0tp.~n", [{hornbeam_cluster, ?VERSION, node(), State}])),
    ok = file:sync(File),
    ok = file:close(File),
    ok = file:rename(New, path(Folder)).

%% @doc Forgets that this node is a member.
-spec clear(file:filename_all()) -> ok.
clear(Folder) ->
    case file:delete(path(Folder)) of
        ok -> ok;
        {error, enoent} -> ok
    end.

path(Folder) -> filename:join(Folder, "member").
