%%% `folder:PATH': each node has a file NAME@ADDRESS in a folder that they share. For nodes on one machine, and tests. A part of hornbeam_cluster_discovery, which
%%% calls it.
%%%
%%% A node writes its file anew at each look (announce/2), as another file that is then renamed, so nobody sees half of one; its content is nothing
%%% that is read. One that was written more than ?STALE ms before this node's own is ignored, and removed after ?REMOVED: a node that ended without
%%% removing its file. Both times are the file system's, so clocks that differ do no harm.
%%%
%%% Failure modes: a folder that cannot be read or written is an error with its path. Limits: ?MAX files are looked at.
-module(hornbeam_cluster_discovery_folder).
-behaviour(hornbeam_cluster_discovery).

-include_lib("kernel/include/file.hrl").

-export([find/2, announce/2, withdraw/2]).

-define(STALE, 30).      % seconds
-define(REMOVED, 300).
-define(MAX, 1000).

-spec find(Path :: binary(), hornbeam_cluster_discovery:context()) ->
    {ok, [hornbeam_cluster_discovery:member()], []} | {error, unicode:chardata()}.
find(Path, _Context) ->
    case file:list_dir(Path) of
        {ok, Names} ->
            Files = [{Member, filename:join(Path, Name)} || Name <- lists:sublist(lists:sort(Names), ?MAX), {ok, Member} <- [member(Name)]],
            Written = [{Member, File, Time} || {Member, File} <- Files, {ok, Time} <- [written(File)]],
            Newest = lists:max([0 | [Time || {_, _, Time} <- Written]]),
            _ = [file:delete(File) || {_, File, Time} <- Written, Newest - Time > ?REMOVED],
            {ok, [Member || {Member, _, Time} <- Written, Newest - Time =< ?STALE], []};
        {error, Reason} ->
            {error, [Path, ": ", file:format_error(Reason)]}
    end.

%% Files that are being written begin with a dot.
member(Name) ->
    case hornbeam_option_cluster:check("static:" ++ Name) of
        {ok, {static, [{Base, _} = Member]}} when Base =/= <<>> -> {ok, Member};
        _ -> error
    end.

written(File) ->
    case file:read_file_info(File, [raw, {time, posix}]) of
        {ok, #file_info{type = regular, mtime = Time}} -> {ok, Time};
        _ -> error
    end.

%% @doc Writes this node's file anew.
-spec announce(Path :: binary(), node()) -> ok | {error, unicode:chardata()}.
announce(Path, Node) ->
    File = file(Path, Node),
    New = filename:join(Path, <<".", (atom_to_binary(Node))/binary, ".", (list_to_binary(os:getpid()))/binary>>),
    Written = case filelib:ensure_dir(File) of
        ok -> file:write_file(New, [os:getpid(), $\n]);
        Error -> Error
    end,
    case Written =:= ok andalso file:rename(New, File) of
        ok -> ok;
        false -> {error, [Path, ": ", file:format_error(element(2, Written))]};
        {error, Reason} -> {error, [Path, ": ", file:format_error(Reason)]}
    end.

%% @doc Removes it.
-spec withdraw(Path :: binary(), node()) -> ok.
withdraw(Path, Node) ->
    _ = file:delete(file(Path, Node)),
    ok.

file(Path, Node) -> filename:join(Path, atom_to_binary(Node)).
