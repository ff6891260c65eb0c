%%% The services of a server, an immutable snapshot: what each is, and which pool has its processes.
%%%
%%% A service is an object that Python makes once in each process of a pool of its own (option `services'), and whose methods are called by
%%% name. Its pool is a mount's, with the same workers, restarts, limits and figures; only what the worker is told to run is another thing
%%% (worker_class: service), and nothing of HTTP leads to it.
%%%
%%% Written by hornbeam_server when a server starts, by hornbeam_reload; read by hornbeam_service_calls for each call, without a copy
%%% (persistent_term), by hornbeam_mounts for a pool. Calls: hornbeam_options.
-module(hornbeam_service_pools).

-export([build/2, publish/2, forget/1, all/1, pools/1, find/2]).

-include("hornbeam.hrl").

%% @doc The services of a server's validated options, in the form of mounts: the prefix is the service's name, the app its target.
-spec build(Name :: atom(), Config :: map()) -> [#mount{}].
build(Name, #{services := Services} = Config) ->
    [mount(Name, Service, Target, Overrides, Config) || {Service, Target, Overrides} <- lists:sort(Services)].

%% Those who wait share the queue, so twice as many may come to it (hornbeam_pool_waiting).
mount(Name, Service, Target, Overrides, Config) ->
    #{max_queue := Queue} = Settings = maps:merge(hornbeam_options:for_mount(Config, maps:without([max_concurrency, max_queue], Overrides)),
                                                  hornbeam_option_service:limits(Overrides)),
    #mount{prefix = Service, app = Target, pool = {Name, {service, Service}},
           settings = Settings#{app => Target, worker_class => service, fair_queue => Queue, max_queue => 2 * Queue}}.

-spec publish(Name :: atom(), [#mount{}]) -> ok.
publish(Name, Mounts) ->
    persistent_term:put({?MODULE, Name}, maps:from_list([{Service, Mount} || #mount{prefix = Service} = Mount <- Mounts])).

-spec forget(Name :: atom()) -> ok.
forget(Name) ->
    _ = persistent_term:erase({?MODULE, Name}),
    ok.

%% @doc All of them, by their names.
-spec all(Name :: atom()) -> [#mount{}].
all(Name) ->
    [Mount || {_, Mount} <- lists:sort(maps:to_list(snapshot(Name)))].

-spec pools(Name :: atom()) -> [hornbeam_pool:id()].
pools(Name) ->
    [Pool || #mount{pool = Pool} <- all(Name)].

-spec find(Name :: atom(), Service :: binary()) -> {ok, #mount{}} | error.
find(Name, Service) ->
    maps:find(Service, snapshot(Name)).

snapshot(Name) ->
    persistent_term:get({?MODULE, Name}, #{}).
