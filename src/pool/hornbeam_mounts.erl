%%% Which application answers a request: the mounts of a server, an immutable snapshot.
%%%
%%% Written by hornbeam_server when a server starts, by hornbeam_server_pools when its mounts change; read by hornbeam_gate for each request,
%%% without a copy (persistent_term). A snapshot changes only when a server is started, reloaded, given or deprived of a mount or stopped,
%%% which is rare enough for the global collection that a persistent_term's end costs.
%%%
%%% The exact host goes before the wildcard that covers it, and both before the mounts of any host; the longest prefix wins within each. A
%%% host with no mount for the path leaves it to the next of the three.
%%%
%%% A path is looked up once for each length that prefixes have, the longest first: what that costs is said by the server's
%%% options, not by the path, and hardly by how many mounts there are. Without mounts of hosts no host is looked at.
%%%
%%% Hidden mounts are known to their pools and found by no request: they are being added, or have been removed and finish what they have.
-module(hornbeam_mounts).

-export([build/2, publish/2, publish/3, hide/2, hidden/1, forget/1, all/1, pools/1, of_pool/1, is_served/1, find/3]).
-export([place/1, settings/1, masked/1]).
-export([set_hooks/2, hooks/1, find_behind_hooks/3]).

-include("hornbeam.hrl").

-type mount() :: #mount{}.
-export_type([mount/0]).

%% @doc The mounts of a server's validated options: those of hosts first, longest prefix first.
-spec build(Name :: atom(), Config :: map()) -> [mount()].
build(Name, #{app := App, mounts := Mounts} = Config) ->
    Root = case App of
        <<>> -> [];
        _ -> [mount(Name, <<>>, {any, <<>>}, App, #{}, Config)]
    end,
    All = [mount(Name, Place, hornbeam_option_place:split(Place), MountApp, Overrides, Config)
           || {Place, MountApp, Overrides} <- Mounts] ++ Root ++ of_tasks(Name, Config),
    lists:sort(fun(A, B) -> order(A) =< order(B) end, All).

%% The workers of background tasks: a pool like the others, which no request finds (hornbeam_task_places).
of_tasks(Name, #{task_workers := Workers, app := App} = Config) when Workers > 0, App =/= <<>> ->
    [mount(Name, <<"tasks">>, {none, <<>>}, App, #{workers => Workers}, Config)];
of_tasks(Name, #{task_workers := Workers, mounts := [{_, App, Overrides} | _]} = Config) when Workers > 0 ->
    [mount(Name, <<"tasks">>, {none, <<>>}, App, Overrides#{workers => Workers}, Config)];
of_tasks(_Name, _Config) ->
    [].

order(#mount{host = none}) -> {2, <<>>, 0};
order(#mount{host = any, prefix = Prefix}) -> {1, <<>>, -byte_size(Prefix)};
order(#mount{host = Host, prefix = Prefix}) -> {0, Host, -byte_size(Prefix)}.

mount(Name, Place, {Host, Prefix}, App, Overrides, #{root_path := Root} = Config) ->
    #{affinity := Affinity, affinity_secret := Secret} = Settings = hornbeam_options:for_mount(Config, Overrides),
    #mount{
        host = Host,
        prefix = Prefix,
        root_path = <<Root/binary, Prefix/binary>>,
        path_prefix = Root,
        app = App,
        pool = {Name, Place},
        affinity = affinity([Source || Source <- Affinity, Source =/= off], Secret, {Name, Place}),
        settings = Settings#{app => App, root_path => <<Root/binary, Prefix/binary>>}
    }.

affinity([], _Secret, _Pool) -> none;
affinity(Sources, <<>>, Pool) -> {Sources, random(Pool)};
affinity(Sources, Secret, _Pool) -> {Sources, Secret}.

%% A secret for as long as the server runs: after a reload it is the same.
random({Name, _} = Pool) ->
    case [Secret || #mount{pool = P, affinity = {_, Secret}, settings = #{affinity_secret := <<>>}} <- all(Name), P =:= Pool] of
        [Secret] -> Secret;
        [] -> crypto:strong_rand_bytes(32)
    end.

%% The mounts of one host: the lengths of their prefixes, the longest first, and the mounts by prefix.
-type paths() :: {[non_neg_integer()], #{Prefix :: binary() => mount()}}.
-record(snapshot, {
    hooks = none :: none | {module(), term()},  % what sees each request first (hornbeam_hooked)
    all = [] :: [mount()],
    hidden = [] :: [mount()],
    any = {[], #{}} :: paths(),
    hosts = none :: none | #{Host :: binary() => paths()}
}).

%% Without mounts where none are published.
snapshot(Name) ->
    persistent_term:get({?MODULE, Name}, #snapshot{}).

-spec publish(Name :: atom(), [mount()]) -> ok.
publish(Name, Mounts) ->
    publish(Name, Mounts, []).

%% @doc The hooks stay what they are.
-spec publish(Name :: atom(), [mount()], Hidden :: [mount()]) -> ok.
publish(Name, Mounts, Hidden) ->
    {Any, OfHosts} = lists:partition(fun(#mount{host = Host}) -> Host =:= any end, [Mount || #mount{host = Host} = Mount <- Mounts, Host =/= none]),
    Hosts = case OfHosts of
        [] -> none;
        _ -> maps:map(fun(_, Own) -> paths(Own) end, by_host(OfHosts, #{}))
    end,
    persistent_term:put({?MODULE, Name}, #snapshot{hooks = hooks(Name), all = Mounts, hidden = Hidden, any = paths(Any), hosts = Hosts}).

by_host([#mount{host = Host} = Mount | Rest], Done) ->
    by_host(Rest, Done#{Host => [Mount | maps:get(Host, Done, [])]});
by_host([], Done) ->
    Done.

paths(Mounts) ->
    Lengths = lists:usort([byte_size(Prefix) || #mount{prefix = Prefix} <- Mounts]),
    {lists:reverse(Lengths), maps:from_list([{Prefix, Mount} || #mount{prefix = Prefix} = Mount <- Mounts])}.

%% @doc Other hidden mounts; requests find what they found before.
-spec hide(Name :: atom(), [mount()]) -> ok.
hide(Name, Hidden) ->
    Snapshot = persistent_term:get({?MODULE, Name}),
    persistent_term:put({?MODULE, Name}, Snapshot#snapshot{hidden = Hidden}).

-spec hidden(Name :: atom()) -> [mount()].
hidden(Name) ->
    (snapshot(Name))#snapshot.hidden.

-spec forget(Name :: atom()) -> ok.
forget(Name) ->
    _ = persistent_term:erase({?MODULE, Name}),
    ok.

-spec all(Name :: atom()) -> [mount()].
all(Name) ->
    (snapshot(Name))#snapshot.all.

%% @doc All pools that may have a request, those of hidden mounts as well.
-spec pools(Name :: atom()) -> [hornbeam_pool:id()].
pools(Name) ->
    [Pool || #mount{pool = Pool} <- all(Name) ++ hidden(Name)].

%% @doc The mount whose workers a pool keeps.
-spec of_pool(hornbeam_pool:id()) -> mount().
of_pool({Name, _} = Id) ->
    #mount{} = lists:keyfind(Id, #mount.pool, all(Name) ++ hornbeam_service_pools:all(Name) ++ hidden(Name)).

%% @doc Hooks of a server whose mounts are published. A part of the snapshot, so that requests of open connections meet new ones, and those of a
%% server without any pay nothing.
-spec set_hooks(Name :: atom(), none | {module(), term()}) -> ok.
set_hooks(Name, Hooks) ->
    case persistent_term:get({?MODULE, Name}) of
        #snapshot{hooks = Hooks} -> ok;
        Snapshot -> persistent_term:put({?MODULE, Name}, Snapshot#snapshot{hooks = Hooks})
    end.

-spec hooks(Name :: atom()) -> none | {module(), term()}.
hooks(Name) ->
    (snapshot(Name))#snapshot.hooks.

%% @doc Whether requests find the mount of a pool.
-spec is_served(hornbeam_pool:id()) -> boolean().
is_served({Name, _} = Id) ->
    lists:keymember(Id, #mount.pool, all(Name)).

%% @doc The mount of a host, as the request has it, with the longest prefix of the path: "/api" holds "/api" and "/api/x", not "/apix".
%% Or the hooks, which may change host and path.
-spec find(Name :: atom(), Host :: binary() | undefined, Path :: binary()) -> {ok, mount()} | {hooks, {module(), term()}} | error.
find(Name, Host, Path) ->
    case snapshot(Name) of
        #snapshot{hooks = none} = Snapshot -> find_in(Snapshot, Host, Path);
        #snapshot{hooks = Hooks} -> {hooks, Hooks}
    end.

%% @doc The mount, once the hooks have seen the request.
-spec find_behind_hooks(Name :: atom(), Host :: binary() | undefined, Path :: binary()) -> {ok, mount()} | error.
find_behind_hooks(Name, Host, Path) ->
    find_in(snapshot(Name), Host, Path).

find_in(#snapshot{hosts = none, any = {Lengths, ByPrefix}}, _Host, Path) -> longest(Lengths, Path, ByPrefix);
find_in(#snapshot{hosts = Hosts, any = Any}, Host, Path) -> of_hosts(candidates(canonical(Host)), Path, Hosts, Any).

of_hosts([Host | Rest], Path, Hosts, Any) ->
    case Hosts of
        #{Host := {Lengths, ByPrefix}} ->
            case longest(Lengths, Path, ByPrefix) of
                {ok, Mount} -> {ok, Mount};
                error -> of_hosts(Rest, Path, Hosts, Any)
            end;
        #{} ->
            of_hosts(Rest, Path, Hosts, Any)
    end;
of_hosts([], Path, _Hosts, {Lengths, ByPrefix}) ->
    longest(Lengths, Path, ByPrefix).

%% A wildcard stands for one label, as in a certificate.
candidates(undefined) -> [];
candidates(Host) ->
    case binary:split(Host, <<".">>) of
        [<<_, _/binary>>, Parent] -> [Host, <<"*.", Parent/binary>>];
        _ -> [Host]
    end.

%% In lower case, without the port, without the dot that ends an absolute name (RFC 9110, 4.2.3; RFC 3986, 3.2.2).
canonical(undefined) -> undefined;
canonical(<<$[, _/binary>> = Authority) ->
    [Address | _] = binary:split(Authority, <<"]">>),
    <<(lower(Address))/binary, $]>>;
canonical(Authority) ->
    [Host | _] = binary:split(Authority, <<":">>),
    lower(without_dot(Host)).

without_dot(Host) ->
    Size = byte_size(Host) - 1,
    case Host of
        <<Name:Size/binary, $.>> -> Name;
        _ -> Host
    end.

lower(Text) ->
    << <<(case C of _ when C >= $A, C =< $Z -> C + 32; _ -> C end)>> || <<C>> <= Text >>.

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

%% @doc Where it is, for a person: "/", "/api", "api.example.org/v1".
-spec place(mount()) -> binary().
place(#mount{pool = {_, <<>>}}) -> <<"/">>;
place(#mount{pool = {_, {service, Service}}}) -> Service;
place(#mount{pool = {_, Place}}) -> Place.

-spec settings(mount()) -> map().
settings(#mount{settings = Settings}) ->
    Settings.

%% @doc Without the values of secret options, for status and crash reports.
-spec masked(mount()) -> mount().
masked(#mount{settings = Settings} = Mount) ->
    Mount#mount{settings = hornbeam_options:mask(Settings), affinity = none}.
