%%% Whether a Python worker has grown too large: the option max_worker_memory.
%%%
%%% Called by: hornbeam_worker_retirement, after each pong (every 2 s); hornbeam_worker_info (resident/1). Calls: nothing of the project;
%%% reads /proc and, when it comes to that, /sys/fs/cgroup. Elsewhere than on Linux nothing is ever too large.
%%%
%%% A limit in bytes is compared with the resident memory. `auto' must catch a leak before the machine (or the container) is full, and
%%% never a large application that is well, whatever its size: replacing that one would load its model a second time
%%% beside the first, in a loop. So what is too large has three marks of a leak:
%%%   - it has doubled since the end of its first ten minutes (?WARM_UP), in which models and caches are loaded;
%%%   - it holds more than half of an even share, memory / workers / 2: others are to blame otherwise;
%%%   - less than a tenth (?SHORT) of the memory is available, of the machine or of one of its control groups.
%%% Only memory of its own counts for `auto': files that are mapped, a model for instance, may be shared.
-module(hornbeam_worker_memory).

-export([new/1, look/4, resident/1, available/1]).
-export_type([watch/0]).

-define(WARM_UP, 600000).
-define(SHORT, 10).
-define(PAGE, 4096).

-record(watch, {
    limit :: auto | pos_integer() | infinity,
    workers :: pos_integer(),
    warm = none :: none | non_neg_integer()     % bytes of its own after its first ten minutes
}).
-opaque watch() :: #watch{}.

%% @doc For a process that has just become ready. Settings: those of its mount.
-spec new(map()) -> watch().
new(#{max_worker_memory := Limit, workers := Workers}) ->
    #watch{limit = Limit, workers = Workers}.

%% @doc Whether it is too large now. Age in ms. Root: "/", another folder in tests.
-spec look(watch(), OsPid :: pos_integer() | undefined, Age :: integer(), Root :: file:filename()) ->
    {ok | too_large, watch()}.
look(#watch{limit = infinity} = Watch, _OsPid, _Age, _Root) ->
    {ok, Watch};
look(#watch{limit = auto} = Watch, OsPid, Age, Root) ->
    case memory(OsPid, Root) of
        {Resident, Shared} -> look_auto(Watch, Resident - Shared, Age, Root);
        unknown -> {ok, Watch}
    end;
look(#watch{limit = Limit} = Watch, OsPid, _Age, Root) ->
    case memory(OsPid, Root) of
        {Resident, _} when Resident > Limit -> {too_large, Watch};
        _ -> {ok, Watch}
    end.

look_auto(Watch, _Own, Age, _Root) when Age < ?WARM_UP ->
    {ok, Watch};
look_auto(#watch{warm = none} = Watch, Own, _Age, _Root) ->
    {ok, Watch#watch{warm = Own}};
look_auto(#watch{warm = Warm, workers = Workers} = Watch, Own, _Age, Root) when Own >= 2 * Warm ->
    Tight = [Total || {Available, Total} <- available(Root), Available * ?SHORT < Total, Own * 2 * Workers > Total],
    case Tight of
        [] -> {ok, Watch};
        [_ | _] -> {too_large, Watch}
    end;
look_auto(Watch, _Own, _Age, _Root) ->
    {ok, Watch}.

%% @doc The resident memory of a process in bytes (Linux: /proc), 0 where it cannot be told.
-spec resident(OsPid :: pos_integer() | undefined) -> non_neg_integer().
resident(OsPid) ->
    case memory(OsPid, "/") of
        {Resident, _} -> Resident;
        unknown -> 0
    end.

%% Resident, and how much of that is files and shared memory.
memory(undefined, _Root) ->
    unknown;
memory(OsPid, Root) ->
    case read(Root, ["proc/", integer_to_list(OsPid), "/statm"]) of
        {ok, Text} ->
            [_Size, Resident, Shared | _] = binary:split(Text, <<" ">>, [global]),
            {binary_to_integer(Resident) * ?PAGE, binary_to_integer(Shared) * ?PAGE};
        error ->
            unknown
    end.

%% @doc What is available and what there is in all, in bytes: of the machine, and of each control group with a limit that this
%% process is in (version 2; of version 1 the group itself). Files that are merely cached count as available.
-spec available(Root :: file:filename()) -> [{Available :: integer(), Total :: pos_integer()}].
available(Root) ->
    machine(Root) ++ lists:append([group(Root, Folder) || Folder <- groups(Root)]).

machine(Root) ->
    case fields(Root, "proc/meminfo") of
        #{<<"MemAvailable:">> := Available, <<"MemTotal:">> := Total} -> [{Available * 1024, Total * 1024}];
        #{} -> []
    end.

%% The folders of this process's groups. Inside a container the group is the root of what is mounted there.
groups(Root) ->
    Lines = case read(Root, "proc/self/cgroup") of
        {ok, Text} -> binary:split(Text, <<"\n">>, [global, trim_all]);
        error -> []
    end,
    lists:append([folders(binary:split(Line, <<":">>, [global])) || Line <- Lines]).

folders([_, <<>>, Path]) ->
    Parts = filename:split(binary_to_list(Path)),
    [{v2, filename:join(["sys/fs/cgroup" | relative(lists:sublist(Parts, N))])} || N <- lists:seq(1, length(Parts))];
folders([_, Controllers, Path]) ->
    Parts = filename:split(binary_to_list(Path)),
    [{v1, filename:join(["sys/fs/cgroup/memory" | relative(Own)])}
     || lists:member(<<"memory">>, binary:split(Controllers, <<",">>, [global])), Own <- lists:usort([["/"], Parts])];
folders(_) ->
    [].

relative(["/" | Parts]) -> Parts;
relative(Parts) -> Parts.

group(Root, {v2, Folder}) -> group(Root, Folder, "memory.max", "memory.current", <<"inactive_file">>);
group(Root, {v1, Folder}) -> group(Root, Folder, "memory.limit_in_bytes", "memory.usage_in_bytes", <<"total_inactive_file">>).

%% Without a limit: "max", or (version 1) a number beyond any memory, of which a tenth is always left.
group(Root, Folder, LimitFile, UsedFile, Cached) ->
    case {number(Root, Folder, LimitFile), number(Root, Folder, UsedFile), fields(Root, filename:join(Folder, "memory.stat"))} of
        {{ok, Total}, {ok, Used}, #{Cached := Files}} when Total > 0 -> [{Total - Used + Files, Total}];
        _ -> []
    end.

number(Root, Folder, File) ->
    case read(Root, filename:join(Folder, File)) of
        {ok, Text} ->
            case string:to_integer(Text) of
                {N, _} when is_integer(N) -> {ok, N};
                {error, _} -> error
            end;
        error ->
            error
    end.

%% Lines of a name, a number and perhaps a unit.
fields(Root, File) ->
    case read(Root, File) of
        {ok, Text} ->
            Lines = [binary:split(Line, <<" ">>, [global, trim_all]) || Line <- binary:split(Text, <<"\n">>, [global])],
            maps:from_list([{Name, binary_to_integer(N)} || [Name, N | _] <- Lines]);
        error ->
            #{}
    end.

read(Root, File) ->
    case file:read_file([Root, $/, File]) of
        {ok, Text} -> {ok, Text};
        {error, _} -> error
    end.
