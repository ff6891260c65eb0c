%%% hornbeam_cgroup: where the groups are that count memory, on machines of several kinds.
-module(hornbeam_cgroup_tests).

-include_lib("eunit/include/eunit.hrl").

-define(V2, "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n").
-define(V1, "41 32 0:29 / /sys/fs/cgroup/memory rw shared:16 - cgroup cgroup rw,memory\n"
            "42 32 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:17 - cgroup cgroup rw,cpu,cpuacct\n").

folders_test_() ->
    [{Title, ?_assertEqual(Expected, hornbeam_cgroup:folders(list_to_binary(Groups), list_to_binary(Mounts)))}
     || {Title, Groups, Mounts, Expected} <-
        [{"systemd's service", "0::/system.slice/hornbeam.service\n", ?V2,
          [{v2, [<<"/sys/fs/cgroup/system.slice/hornbeam.service">>, <<"/sys/fs/cgroup/system.slice">>,
                 <<"/sys/fs/cgroup">>]}]},
         {"a container with a namespace of its own", "0::/\n", ?V2, [{v2, [<<"/sys/fs/cgroup">>]}]},
         {"a container that sees the machine's path", "5:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n",
          "41 32 0:29 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
          [{v1, [<<"/sys/fs/cgroup/memory">>]}]},
         {"a path that lies elsewhere", "5:memory:/other\n",
          "41 32 0:29 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
          [{v1, [<<"/sys/fs/cgroup/memory">>]}]},
         {"both versions", "5:memory:/a\n0::/b:c\n", ?V1 ?V2,
          [{v1, [<<"/sys/fs/cgroup/memory/a">>, <<"/sys/fs/cgroup/memory">>]},
           {v2, [<<"/sys/fs/cgroup/b:c">>, <<"/sys/fs/cgroup">>]}]},
         {"nothing of memory", "3:cpu,cpuacct:/a\n", ?V1, []},
         {"no text", "", "", []}]].

of_this_machine_test() ->
    ?assert(is_integer(hornbeam_cgroup:memory_limit())),
    ?assert(hornbeam_cgroup:oom_kills() >= 0).
