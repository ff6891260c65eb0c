%%% max_worker_memory: when a worker is too large, with a /proc and a /sys/fs/cgroup made for it.
-module(hornbeam_worker_memory_tests).

-include_lib("eunit/include/eunit.hrl").

-define(GIB, 1073741824).
-define(PID, 7).
-define(MINUTE, 60000).

%% --- a limit in bytes ----------------------------------------------------------------------------------------------

limit_test_() ->
    Limit = 1000 * 4096,
    [with_root(fun(Root) ->
         process(Root, Pages * 4096, 0),
         ?assertMatch({Expected, _}, look(Root, watch(Limit, 1), 0))
     end) || {Pages, Expected} <- [{999, ok}, {1000, ok}, {1001, too_large}]].

infinity_and_a_process_that_is_gone_test_() ->
    [with_root(fun(Root) ->
         process(Root, 100 * ?GIB, 0),
         ?assertMatch({ok, _}, look(Root, watch(infinity, 1), ?MINUTE))
     end),
     with_root(fun(Root) -> ?assertMatch({ok, _}, look(Root, watch(?GIB, 1), ?MINUTE)) end)].

%% --- auto ----------------------------------------------------------------------------------------------------------

%% {Total, available, workers, own memory when warm, own memory now, what is to come of it}, in tenths of GiB.
auto_test_() ->
    [with_root(fun(Root) ->
         Watch = warmed(Root, watch(auto, Workers), Warm),
         machine(Root, Total, Available),
         process(Root, tenths(Now), 0),
         ?assertMatch({Expected, _}, look(Root, Watch, 11 * ?MINUTE))
     end)
     || {Total, Available, Workers, Warm, Now, Expected} <- [
            {100, 9, 1, 1, 80, too_large},      % a leak fills the machine
            {100, 9, 4, 1, 20, too_large},      % in four workers alike
            {100, 10, 1, 1, 80, ok},            % not yet: a tenth is left
            {100, 2, 1, 80, 90, ok},            % large from the beginning, and well
            {100, 9, 1, 41, 80, ok},            % not yet doubled
            {100, 9, 1, 40, 80, too_large},
            {100, 9, 1, 1, 50, ok},             % no more than half of its share: others fill the machine
            {100, 9, 1, 1, 51, too_large},
            {100, 9, 4, 1, 12, ok}]].           % of a share of 25

what_is_loaded_in_the_first_ten_minutes_counts_for_nothing_test_() ->
    with_root(fun(Root) ->
        machine(Root, 100, 5),
        Watch = lists:foldl(fun({Age, Size}, Watch0) ->
            process(Root, tenths(Size), 0),
            {ok, Watch1} = look(Root, Watch0, Age),
            Watch1
        end, watch(auto, 1), [{0, 1}, {?MINUTE, 30}, {10 * ?MINUTE - 1, 60}, {10 * ?MINUTE, 60}, {20 * ?MINUTE, 60}]),
        process(Root, tenths(60), 0),
        ?assertMatch({ok, _}, look(Root, Watch, 1000 * ?MINUTE))
    end).

%% A model that all workers map is not what one of them holds.
mapped_files_do_not_count_test_() ->
    with_root(fun(Root) ->
        Watch = warmed(Root, watch(auto, 1), 1),
        machine(Root, 100, 1),
        process(Root, tenths(90), tenths(85)),
        ?assertMatch({ok, _}, look(Root, Watch, 11 * ?MINUTE)),
        process(Root, tenths(90), tenths(10)),
        ?assertMatch({too_large, _}, look(Root, Watch, 11 * ?MINUTE))
    end).

%% --- what is available ---------------------------------------------------------------------------------------------

groups_test_() ->
    [with_root(fun(Root) ->
         machine(Root, 240, 200),
         [write(Root, File, Text) || {File, Text} <- Files],
         ?assertEqual([{tenths(200), tenths(240)} | Groups], hornbeam_worker_memory:available(Root))
     end)
     || {Files, Groups} <- [
            {[], []},
            {[{"proc/self/cgroup", "0::/\n"} | v2("", "max", 500, 0)], []},
            {[{"proc/self/cgroup", "0::/\n"} | v2("", "1000", 950, 100)], [{150, 1000}]},
            %% A service below a slice with a limit of its own.
            {[{"proc/self/cgroup", "0::/a.slice/b.service\n"} | v2("/a.slice", "2000", 1900, 0)
              ++ v2("/a.slice/b.service", "1000", 400, 0)], [{100, 2000}, {600, 1000}]},
            {[{"proc/self/cgroup", "4:cpu,memory:/x\n0::/\n"},
              {"sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1000\n"},
              {"sys/fs/cgroup/memory/x/memory.usage_in_bytes", "990\n"},
              {"sys/fs/cgroup/memory/x/memory.stat", "total_inactive_file 40\n"}], [{50, 1000}]}]].

v2(Path, Limit, Used, Cached) ->
    [{["sys/fs/cgroup", Path, "/memory.max"], [Limit, "\n"]},
     {["sys/fs/cgroup", Path, "/memory.current"], [integer_to_list(Used), "\n"]},
     {["sys/fs/cgroup", Path, "/memory.stat"], ["anon 7\ninactive_file ", integer_to_list(Cached), "\nactive_file 3\n"]}].

%% The files of this machine are read, whatever there is.
this_machine_test() ->
    Own = list_to_integer(os:getpid()),
    ?assert(hornbeam_worker_memory:resident(Own) > 1000000),
    [{Available, Total} | _] = hornbeam_worker_memory:available("/"),
    ?assert(0 < Available andalso Available < Total).

%% --- helpers -------------------------------------------------------------------------------------------------------

watch(Limit, Workers) ->
    hornbeam_worker_memory:new(#{max_worker_memory => Limit, workers => Workers}).

look(Root, Watch, Age) ->
    hornbeam_worker_memory:look(Watch, ?PID, Age, Root).

warmed(Root, Watch0, Warm) ->
    process(Root, tenths(Warm), 0),
    {ok, Watch} = look(Root, Watch0, 10 * ?MINUTE),
    Watch.

tenths(N) -> N * (?GIB div 10 div 4096 * 4096).

process(Root, Resident, Shared) ->
    Pages = [integer_to_list(N div 4096) || N <- [Resident + Shared, Resident, Shared]],
    write(Root, "proc/7/statm", [lists:join(" ", Pages), " 1 0 9 0\n"]).

machine(Root, Total, Available) ->
    write(Root, "proc/meminfo", io_lib:format("MemTotal:       ~b kB~nMemFree:  1 kB~nMemAvailable:   ~b kB~nHugePages_Total: 0~n",
                                              [tenths(Total) div 1024, tenths(Available) div 1024])).

write(Root, File, Text) ->
    Path = filename:join(Root, lists:flatten(File)),
    ok = filelib:ensure_dir(Path),
    ok = file:write_file(Path, Text).

with_root(Test) ->
    {setup,
     fun() -> string:trim(os:cmd("mktemp -d")) end,
     fun file:del_dir_r/1,
     fun(Root) -> ?_test(Test(Root)) end}.
