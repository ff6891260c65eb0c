%%% What the control groups of Linux say of this process: how much memory it may take, and who was killed for want of it.
%%%
%%% Called by: hornbeam_memory, hornbeam_worker_life (oom_kills/0, when a worker was killed). Reads /proc and the cgroup file systems,
%%% version 1 or 2; elsewhere nothing is known.
-module(hornbeam_cgroup).

-export([memory_limit/0, oom_kills/0, folders/2]).

-type version() :: v1 | v2.

%% @doc In bytes: the least that the process's own group and those above it allow, or what the machine has.
-spec memory_limit() -> pos_integer() | unknown.
memory_limit() ->
    Limits = [Limit || {Version, Folders} <- groups(), Folder <- Folders,
                       {ok, Limit} <- [number(Folder, case Version of v1 -> "memory.limit_in_bytes"; v2 -> "memory.max" end)]],
    case [Limit || Limit <- Limits ++ machine(), Limit > 0] of
        [] -> unknown;
        Known -> lists:min(Known)
    end.

machine() ->
    case file:read_file("/proc/meminfo") of
        {ok, Text} -> [KiB * 1024 || {ok, KiB} <- [field(Text, <<"MemTotal:">>)]];
        {error, _} -> []
    end.

%% @doc How many processes of this one's group the kernel has killed because its memory was used up.
-spec oom_kills() -> non_neg_integer().
oom_kills() ->
    Counts = [Count || {Version, [Own | _]} <- groups(),
                       {ok, Text} <- [read(Own, case Version of v1 -> "memory.oom_control"; v2 -> "memory.events" end)],
                       {ok, Count} <- [field(Text, <<"oom_kill">>)]],
    lists:sum(Counts).

groups() ->
    case {file:read_file("/proc/self/cgroup"), file:read_file("/proc/self/mountinfo")} of
        {{ok, Groups}, {ok, Mounts}} -> folders(Groups, Mounts);
        _ -> []
    end.

%% @doc The folders of the groups that count memory, from /proc/self/cgroup and /proc/self/mountinfo: the process's own first, then
%% those above it as far as they can be seen (cgroups(7), proc_pid_mountinfo(5)).
-spec folders(Groups :: binary(), Mounts :: binary()) -> [{version(), [binary(), ...]}].
folders(Groups, Mounts) ->
    Mounted = lists:filtermap(fun mount/1, binary:split(Mounts, <<"\n">>, [global])),
    [{Version, upwards(below(Root, Path), Point)}
     || Line <- binary:split(Groups, <<"\n">>, [global]), {Version, Path} <- group(Line),
        {V, Root, Point} <- Mounted, V =:= Version].

group(Line) ->
    case binary:split(Line, <<":">>, [global]) of
        [<<"0">>, <<>> | Path] -> [{v2, join(Path)}];
        [_, Controllers | Path] ->
            [{v1, join(Path)} || lists:member(<<"memory">>, binary:split(Controllers, <<",">>, [global]))];
        _ -> []
    end.

join(Parts) -> iolist_to_binary(lists:join($:, Parts)).

mount(Line) ->
    case binary:split(Line, <<" - ">>) of
        [Left, Right] ->
            case {binary:split(Left, <<" ">>, [global]), binary:split(Right, <<" ">>, [global])} of
                {[_, _, _, Root, Point | _], [<<"cgroup2">> | _]} -> {true, {v2, Root, Point}};
                {[_, _, _, Root, Point | _], [<<"cgroup">>, _, Options | _]} ->
                    lists:member(<<"memory">>, binary:split(Options, <<",">>, [global])) andalso {true, {v1, Root, Point}};
                _ -> false
            end;
        _ -> false
    end.

%% In a container the file system may begin at a group below the machine's root.
below(Root, Path) ->
    Parts = filename:split(Path),
    case lists:prefix(filename:split(Root), Parts) of
        true -> lists:nthtail(length(filename:split(Root)), Parts);
        false -> []
    end.

upwards([], Point) -> [Point];
upwards(Parts, Point) -> [filename:join([Point | Parts]) | upwards(lists:droplast(Parts), Point)].

number(Folder, File) ->
    case read(Folder, File) of
        {ok, Text} -> to_number(Text);
        error -> error
    end.

%% `max' is no number.
to_number(Text) ->
    case string:to_integer(Text) of
        {Number, _} when is_integer(Number) -> {ok, Number};
        {error, _} -> error
    end.

read(Folder, File) ->
    case file:read_file(filename:join(Folder, File)) of
        {ok, Text} -> {ok, Text};
        {error, _} -> error
    end.

%% The number behind a name at the beginning of a line.
field(Text, Name) ->
    Found = [Words || Line <- binary:split(Text, <<"\n">>, [global]),
                      [First | Words] <- [string:lexemes(Line, " \t")], First =:= Name],
    case Found of
        [[Number | _] | _] -> to_number(Number);
        _ -> error
    end.
