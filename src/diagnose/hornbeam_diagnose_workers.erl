%%% The workers of a server by the names that a person gives them: as in `hornbeam status' their number, behind its place where that is not the root
%%% (`2', `/api/1', `model/1').
%%%
%%% Called by: what else is in src/diagnose. Calls: hornbeam_mounts, hornbeam_service_pools, hornbeam_pool, hornbeam_worker_rows (name/2).
-module(hornbeam_diagnose_workers).

-export([all/1, find/2]).
-export_type([worker/0]).

-include("hornbeam.hrl").

-type worker() :: #{name := binary(), pid := pid(), pool := hornbeam_pool:id(), number := pos_integer(), generation := current | other, mount := hornbeam_mounts:mount()}.

%% @doc Those that leave as well.
-spec all(Server :: atom()) -> [worker()].
all(Server) ->
    [#{name => hornbeam_worker_rows:name(Pool, Number), pid => Pid, pool => Pool, number => Number, generation => Generation, mount => Mount}
     || #mount{pool = Pool} = Mount <- hornbeam_mounts:all(Server) ++ hornbeam_service_pools:all(Server),
        {Pid, Number, Generation} <- hornbeam_pool:members(Pool)].

%% @doc The one of that name; of an old one and its successor that which serves. Where there is no other application a number is enough, and where
%% there is one worker no name.
-spec find(Server :: atom(), Name :: unicode:chardata()) -> {ok, worker()} | {error, unicode:chardata()}.
find(Server, Wanted0) ->
    Wanted = unicode:characters_to_binary(Wanted0),
    All = all(Server),
    Named = [Worker || #{name := Name, number := Number} = Worker <- All,
                       Wanted =:= Name orelse Wanted =:= <<"/", Name/binary>> orelse (Wanted =:= integer_to_binary(Number) andalso is_alone(All))],
    case [Worker || #{generation := current} = Worker <- Named] ++ Named of
        [Worker | _] -> {ok, Worker};
        [] -> {error, ["there is no worker ", hornbeam_option_text:show(Wanted), "; there are ", lists:join(", ", lists:usort([Name || #{name := Name} <- All]))]}
    end.

is_alone(All) ->
    length(lists:usort([Pool || #{pool := Pool} <- All])) =:= 1.
