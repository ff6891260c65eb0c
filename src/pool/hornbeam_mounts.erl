%%% Which application answers a path: the mounts of a server, an immutable snapshot.
%%%
%%% Written by hornbeam_server when a server starts, by hornbeam_reload; read by hornbeam_gate for each request, without
%%% a copy (persistent_term). A snapshot changes only when a server is started, reloaded or stopped,
%%% which is rare enough for the global collection that a persistent_term's end costs.
%%%
%%% A path is looked up once for each length that prefixes have, the longest first: what that costs is said by the server's
%%% options, not by the path, and hardly by how many mounts there are.
-module(hornbeam_mounts).

-export([build/2, publish/2, forget/1, all/1, pools/1, of_pool/1, find/2, settings/1, masked/1]).

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

-record(snapshot, {
    all :: [mount()],
    lengths :: [non_neg_integer()],             % of the prefixes, the longest first
    by_prefix :: #{Prefix :: binary() => mount()}
}).

-spec publish(Name :: atom(), [mount()]) -> ok.
publish(Name, Mounts) ->
    Lengths = lists:usort([byte_size(Prefix) || #mount{prefix = Prefix} <- Mounts]),
    ByPrefix = maps:from_list([{Prefix, Mount} || #mount{prefix = Prefix} = Mount <- Mounts]),
    persistent_term:put({?MODULE, Name},
                        #snapshot{all = Mounts, lengths = lists:reverse(Lengths), by_prefix = ByPrefix}).

-spec forget(Name :: atom()) -> ok.
forget(Name) ->
    _ = persistent_term:erase({?MODULE, Name}),
    ok.

-spec all(Name :: atom()) -> [mount()].
all(Name) ->
    case persistent_term:get({?MODULE, Name}, none) of
        none -> [];
        #snapshot{all = Mounts} -> Mounts
    end.

-spec pools(Name :: atom()) -> [hornbeam_pool:id()].
pools(Name) ->
    [Pool || #mount{pool = Pool} <- all(Name)].

%% @doc The mount whose workers a pool keeps.
-spec of_pool(hornbeam_pool:id()) -> mount().
of_pool({Name, Prefix}) ->
    #snapshot{by_prefix = #{Prefix := Mount}} = persistent_term:get({?MODULE, Name}),
    Mount.

%% @doc The mount with the longest prefix of the path: "/api" holds "/api" and "/api/x", not "/apix".
-spec find(Name :: atom(), Path :: binary()) -> {ok, mount()} | error.
find(Name, Path) ->
    case persistent_term:get({?MODULE, Name}, none) of
        none -> error;
        #snapshot{lengths = Lengths, by_prefix = ByPrefix} -> longest(Lengths, Path, ByPrefix)
    end.

longest([Size | Shorter], Path, ByPrefix) ->
    case prefix(Size, Path) of
        none ->
            longest(Shorter, Path, ByPrefix);
        Prefix ->
            case ByPrefix of
                #{Prefix := Mount} -> {ok, Mount};
                #{} -> longest(Shorter, Path, ByPrefix)
            end
    end;
longest([], _Path, _ByPrefix) ->
    error.

prefix(0, _Path) ->
    <<>>;
prefix(Size, Path) ->
    case Path of
        <<Prefix:Size/binary>> -> Prefix;
        <<Prefix:Size/binary, $/, _/binary>> -> Prefix;
        _ -> none
    end.

-spec settings(mount()) -> map().
settings(#mount{settings = Settings}) ->
    Settings.

%% @doc Without the values of secret options, for status and crash reports.
-spec masked(mount()) -> mount().
masked(#mount{settings = Settings} = Mount) ->
    Mount#mount{settings = hornbeam_options:mask(Settings)}.
