%%% `static:ADDRESS,NAME@ADDRESS,...': the members as they are written. A part of hornbeam_cluster_discovery, which calls it. Pure.
-module(hornbeam_cluster_discovery_static).
-behaviour(hornbeam_cluster_discovery).

-export([find/2]).

-spec find([hornbeam_cluster_discovery:member()], hornbeam_cluster_discovery:context()) -> {ok, [hornbeam_cluster_discovery:member()], []}.
find(Members, _Context) ->
    {ok, Members, []}.
