%%% A server whose only worker is test/fake_worker.py, for the tests of hornbeam_worker and hornbeam_pool.
-module(fake_worker).

-export([path/0, start/2, info/0]).

-define(POOL, {default, <<>>}).

%% @doc Of test/fake_worker.py: beside this module's source, or where the tests have been started.
-spec path() -> file:filename().
path() ->
    Folder = filename:dirname(proplists:get_value(source, ?MODULE:module_info(compile))),
    [Path | _] = [P || F <- [Folder, "test"], P <- [filename:absname("fake_worker.py", F)], filelib:is_regular(P)],
    Path.

%% @doc Mode: what it does, see there.
-spec start(Mode :: string(), Options :: map()) -> {ok, pid()} | {error, term()}.
start(Mode, Options) ->
    hornbeam:start("fake:app", maps:merge(#{python => path(), env => #{"FAKE" => Mode}, bind => "127.0.0.1:0"}, Options)).

%% @doc What the worker says of itself, so all that it was sent before has been dealt with. Without its answer, which
%% hornbeam_pool:info/1 does not wait for on a busy machine, nothing is known.
-spec info() -> map().
info() ->
    case hornbeam_pool:info(?POOL) of
        [#{state := busy}] -> info();
        [Info] -> Info
    end.
