%%% The started servers: what each runs with, and which have opened their sockets.
%%%
%%% Written by: hornbeam_server and hornbeam_server_pools (set_config/2), hornbeam_server_remains (forget/1), hornbeam_server_monitor (opened/3, closed/1).
%%% Read by everybody, without a message. Calls: hornbeam_descriptors, of which each server keeps some back.
%%%
%%% A configuration is a persistent_term: it changes when a server is started, reloaded or stopped. The table hornbeam_servers
%%% (hornbeam_tables owns it) has {Name, Pid, Bond} of each open server.
-module(hornbeam_servers).

-export([config/1, set_config/2, sources/1, set_sources/3, forget/1, configured/0, keep_descriptors/0, keep_descriptors/1, make_room/2]).
-export([opened/3, closed/1, is_open/1, pid/1, open/0, all_open/0]).

-define(TABLE, hornbeam_servers).

%% @doc What a server runs with now, as hornbeam_options validated it, and its `app'.
-spec config(Name :: atom()) -> {ok, map()} | error.
config(Name) ->
    case persistent_term:get({?MODULE, Name}, none) of
        none -> error;
        Config -> {ok, Config}
    end.

-spec set_config(Name :: atom(), Config :: map()) -> ok.
set_config(Name, Config) ->
    persistent_term:put({?MODULE, Name}, Config),
    _ = keep_descriptors([Name]),
    ok.

%% @doc With which options it was started, and where each came from, where a command has started it: for a person.
-spec sources(Name :: atom()) -> {Options :: map(), Sources :: map()} | none.
sources(Name) -> persistent_term:get({hornbeam_option_sources, Name}, none).

-spec set_sources(Name :: atom(), Options :: map(), Sources :: map()) -> ok.
set_sources(Name, Options, Sources) -> persistent_term:put({hornbeam_option_sources, Name}, {Options, Sources}).

-spec forget(Name :: atom()) -> ok.
forget(Name) ->
    _ = persistent_term:erase({hornbeam_option_sources, Name}),
    _ = persistent_term:erase({?MODULE, Name}),
    ok.

%% @doc The servers that have a configuration, open or not.
-spec configured() -> [Name :: atom()].
configured() ->
    [Name || {{?MODULE, Name}, _} <- persistent_term:get()].

%% @doc Keeps back what the open servers and these may need (hornbeam_descriptors:keep/1).
-spec keep_descriptors([Name :: atom()]) ->
    {ok, Room :: pos_integer()} | {error, {few_descriptors, Limit :: pos_integer(), Needed :: pos_integer()}}.
keep_descriptors(Names) ->
    hornbeam_descriptors:keep([Config || Name <- lists:usort(Names ++ open()), {ok, Config} <- [config(Name)]]).

%% @doc Keeps back what the open servers may need.
-spec keep_descriptors() -> ok.
keep_descriptors() ->
    _ = keep_descriptors([]),
    ok.

%% @doc Keeps back for a server what it may need with other options, which it may get. Where that is more than before and not to be had, all is
%% as before.
-spec make_room(Name :: atom(), Config :: map()) -> ok | {error, {few_descriptors, Limit :: pos_integer(), Needed :: pos_integer()}}.
make_room(Name, Config) ->
    {ok, Old} = config(Name),
    Others = [Other || Open <- open(), Open =/= Name, {ok, Other} <- [config(Open)]],
    Grows = hornbeam_descriptors:kept(Config) > hornbeam_descriptors:kept(Old),
    case hornbeam_descriptors:keep([Config | Others]) of
        {error, Reason} when Grows -> ok = keep_descriptors(), {error, Reason};
        _ -> ok
    end.

%% @doc A server has opened its sockets. Bond: what its end means (hornbeam_server_monitor).
-spec opened(Name :: atom(), Server :: pid(), Bond :: atom()) -> ok.
opened(Name, Server, Bond) ->
    true = ets:insert(?TABLE, {Name, Server, Bond}),
    ok.

-spec closed(Name :: atom()) -> ok.
closed(Name) ->
    true = ets:delete(?TABLE, Name),
    ok.

%% @doc Whether a server has opened its sockets since it was started.
-spec is_open(Name :: atom()) -> boolean().
is_open(Name) ->
    ets:member(?TABLE, Name).

%% @doc The process of an open server, which may have ended just now.
-spec pid(Name :: atom()) -> {ok, pid()} | error.
pid(Name) ->
    case ets:lookup(?TABLE, Name) of
        [{_, Server, _}] -> {ok, Server};
        [] -> error
    end.

%% @doc The servers whose sockets are open.
-spec open() -> [Name :: atom()].
open() ->
    [Name || {Name, _, _} <- all_open()].

-spec all_open() -> [{Name :: atom(), Server :: pid(), Bond :: atom()}].
all_open() ->
    ets:tab2list(?TABLE).
