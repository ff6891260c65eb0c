%%% Which application answers a path: the mounts of a server, an immutable snapshot.
%%%
%%% Written by hornbeam_server when a server starts; read by hornbeam_exchange for each request, without
%%% a copy (persistent_term). A snapshot changes only when a server is started, reloaded or stopped,
%%% which is rare enough for the global collection that a persistent_term's end costs.
-module(hornbeam_mounts).

-export([build/2, publish/2, forget/1, all/1, of_pool/1, find/2, settings/1, masked/1, info/1]).

-include("hornbeam.hrl").

-type mount() :: #mount{}.
-export_type([mount/0]).

%% @doc The mounts of a server's validated options, longest prefix first.
-spec build(Name :: atom(), Config :: map()) -> [mount()].
build(Name, #{app := App, mounts := Mounts} = Config) ->
    Root = case App of
        <<>> -> [];
        _ -> [mount(Name, <<>>, App, #{}, Config)]
    end,
    All = [mount(Name, Prefix, MountApp, Overrides, Config)
           || {Prefix, MountApp, Overrides} <- Mounts] ++ Root,
    lists:sort(fun(A, B) -> byte_size(A#mount.prefix) >= byte_size(B#mount.prefix) end, All).

mount(Name, Prefix, App, Overrides, #{root_path := Root} = Config) ->
    Settings = hornbeam_options:for_mount(Config, Overrides),
    #mount{
        prefix = Prefix,
        root_path = <<Root/binary, Prefix/binary>>,
        path_prefix = Root,
        app = App,
        pool = {Name, Prefix},
        settings = Settings#{app => App, root_path => <<Root/binary, Prefix/binary>>}
    }.

-spec publish(Name :: atom(), [mount()]) -> ok.
publish(Name, Mounts) ->
    persistent_term:put({?MODULE, Name}, Mounts).

-spec forget(Name :: atom()) -> ok.
forget(Name) ->
    _ = persistent_term:erase({?MODULE, Name}),
    ok.

-spec all(Name :: atom()) -> [mount()].
all(Name) ->
    persistent_term:get({?MODULE, Name}, []).

%% @doc The mount whose workers a pool keeps.
-spec of_pool(hornbeam_pool:id()) -> mount().
of_pool({Name, _} = Id) ->
    #mount{} = lists:keyfind(Id, #mount.pool, all(Name)).

%% @doc The mount with the longest prefix of the path: "/api" holds "/api" and "/api/x", not "/apix".
-spec find(Name :: atom(), Path :: binary()) -> {ok, mount()} | error.
find(Name, Path) ->
    longest(Path, persistent_term:get({?MODULE, Name}, [])).

longest(_Path, [#mount{prefix = <<>>} = Mount | _]) ->
    {ok, Mount};
longest(Path, [#mount{prefix = Prefix} = Mount | Rest]) ->
    Size = byte_size(Prefix),
    case Path of
        Prefix -> {ok, Mount};
        <<Prefix:Size/binary, $/, _/binary>> -> {ok, Mount};
        _ -> longest(Path, Rest)
    end;
longest(_Path, []) ->
    error.

-spec settings(mount()) -> map().
settings(#mount{settings = Settings}) ->
    Settings.

%% @doc Without the values of secret options, for status and crash reports.
-spec masked(mount()) -> mount().
masked(#mount{settings = Settings} = Mount) ->
    Mount#mount{settings = hornbeam_options:mask(Settings)}.

%% @doc The application of a mount and its workers, for hornbeam:info/1.
-spec info(mount()) -> map().
info(#mount{prefix = Prefix, app = App, pool = Pool}) ->
    (hornbeam_pool:stats(Pool))#{prefix => Prefix, app => App, workers => hornbeam_pool:info(Pool)}.
