%%% Ra, as this project uses it: its system, the server of this node, membership.
%%%
%%% Called by: hornbeam_cluster_engine. Calls: ra, ra_system, ra_leaderboard. The only module that knows how Ra's servers are named.
%%%
%%% Ra writes its log with one fsync for all commands that wait, takes snapshots, and restarts its server when that fails.
-module(hornbeam_cluster_replica).

-export([start/1, stop/0, resume/1, is_running/1, found/2, elect/1, uid/1, join/3, add/3, remove/2, leave/1, hand_over/1]).
-export([name/1, id/2, members/1, leads/1, leader/1, delete/1, figures/1]).

-define(SYSTEM, hornbeam_cluster).
-define(STATE_MACHINE, {module, hornbeam_cluster_machine, #{}}).
-define(TIMEOUT, 5000).
%% How long a leader looks for another before it stops.
-define(HAND_OVER, 2000).
%% The log is cut into files of this size; what is in the last is in memory as well.
-define(LOG_BYTES, 67108864).

%% @doc Starts Ra with its files in a folder.
-spec start(file:filename_all()) -> ok | {error, term()}.
start(Folder) ->
    Name = unicode:characters_to_list(Folder),
    ok = case application:load(ra) of ok -> ok; {error, {already_loaded, ra}} -> ok end,
    ok = application:set_env(ra, data_dir, Name),
    case application:ensure_all_started(ra) of
        {ok, _} ->
            _ = [logger:set_application_level(App, warning) || App <- [ra, aten]],
            Config = ra_system:default_config(),
            case ra_system:start(Config#{name => ?SYSTEM, names => ra_system:derive_names(?SYSTEM), data_dir => Name, wal_data_dir => Name,
                                         wal_max_size_bytes => ?LOG_BYTES}) of
                {ok, _} -> ok;
                {error, {already_started, _}} -> ok;
                {error, Reason} -> {error, Reason}
            end;
        {error, Reason} ->
            {error, Reason}
    end.

-spec stop() -> ok.
stop() ->
    _ = whereis(ra_sup) =:= undefined orelse ra_system:stop(?SYSTEM),
    ok.

%% @doc The name of a cluster's servers.
-spec name(Id :: binary()) -> atom().
name(Id) -> binary_to_atom(<<"hornbeam_cluster_", Id/binary>>).

-spec id(Id :: binary(), node()) -> ra:server_id().
id(Id, Node) -> {name(Id), Node}.

here(Id) -> id(Id, node()).

%% @doc Starts the server whose files are there.
-spec resume(Id :: binary()) -> ok | {error, not_there | term()}.
resume(Id) ->
    case ra:restart_server(?SYSTEM, here(Id)) of
        ok -> ok;
        {error, {already_started, _}} -> ok;
        {error, name_not_registered} -> {error, not_there};
        {error, Reason} -> {error, Reason}
    end.

%% @doc Whether this node's server is there.
-spec is_running(Id :: binary()) -> boolean().
is_running(Id) -> whereis(name(Id)) =/= undefined.

%% @doc Starts the server of a founding member.
-spec found(Id :: binary(), [node()]) -> ok.
found(Id, Founders) ->
    begun(Id, uid(Id), Founders, #{}).

%% @doc Has the server of a new cluster look for votes: none does so by itself.
-spec elect(Id :: binary()) -> ok.
elect(Id) -> ra:trigger_election(here(Id), ?TIMEOUT).

-spec uid(Id :: binary()) -> binary().
uid(Id) -> ra:new_uid(Id).

%% @doc Starts the server of one that is to be added.
-spec join(Id :: binary(), Uid :: binary(), Members :: [node()]) -> ok.
join(Id, Uid, Members) ->
    begun(Id, Uid, Members, #{membership => promotable}).

%% The machine says when a snapshot is due: in bytes as well, and one entry of the log may have many operations.
begun(Id, Uid, Members, Config) ->
    started(ra:start_server(?SYSTEM, Config#{id => here(Id), uid => Uid, cluster_name => name(Id), machine => ?STATE_MACHINE,
                                             initial_members => [id(Id, Node) || Node <- Members],
                                             log_init_args => #{uid => Uid, min_snapshot_interval => 1}})).

started(ok) -> ok;
started({error, {already_started, _}}) -> ok.

%% @doc Adds a member that votes when it has caught up.
-spec add(Id :: binary(), node(), Uid :: binary()) -> ok | {error, term()}.
add(Id, Node, Uid) ->
    case changed(ra:add_member(here(Id), #{id => id(Id, Node), uid => Uid, membership => promotable}, ?TIMEOUT)) of
        {error, already_member} -> ok;
        Result -> Result
    end.

%% @doc Removes a member, and what the state has of its node.
-spec remove(Id :: binary(), node()) -> ok | {error, not_member | term()}.
remove(Id, Node) ->
    case changed(ra:remove_member(here(Id), id(Id, Node), ?TIMEOUT)) of
        ok -> changed(ra:process_command(here(Id), hornbeam_cluster_machine:forget(Node), ?TIMEOUT));
        Error -> Error
    end.

%% @doc This node's member leaves for good, and its files go.
-spec leave(Id :: binary()) -> ok | {error, term()}.
leave(Id) ->
    case ra:leave_and_delete_server(?SYSTEM, [id(Id, Node) || Node <- members(Id)], here(Id), ?TIMEOUT) of
        ok -> ok;
        timeout -> {error, timeout};
        Error -> Error
    end.

changed({ok, _, _}) -> ok;
changed({timeout, _}) -> {error, timeout};
changed({error, Reason}) -> {error, Reason}.

%% @doc If this node leads, another is to; and the server stops.
-spec hand_over(Id :: binary()) -> ok.
hand_over(Id) ->
    case whereis(ra_sup) of
        %% Ra was stopped before us (hornbeam_cluster_node:prepare/1).
        undefined -> ok;
        _ -> hand_over_here(Id)
    end.

hand_over_here(Id) ->
    Others = [Node || Node <- members(Id), Node =/= node(), lists:member(Node, nodes())],
    case leads(Id) of
        true -> handed(Others, Id, erlang:monotonic_time(millisecond) + ?HAND_OVER);
        false -> ok
    end,
    _ = ra:stop_server(?SYSTEM, here(Id)),
    ok.

handed([], _Id, _Until) ->
    ok;
handed([Node | Others], Id, Until) ->
    try ra:transfer_leadership(here(Id), id(Id, Node)) of
        _ -> awaited(Id, Until)
    catch
        exit:_ -> handed(Others, Id, Until)
    end.

awaited(Id, Until) ->
    case leads(Id) andalso erlang:monotonic_time(millisecond) < Until of
        true -> receive after 10 -> awaited(Id, Until) end;
        false -> ok
    end.

%% @doc The nodes of the members, as this node's member has heard.
-spec members(Id :: binary()) -> [node()].
members(Id) ->
    case ra_leaderboard:lookup_members(name(Id)) of
        undefined -> known(Id);
        Members -> lists:sort([Node || {_, Node} <- Members])
    end.

known(Id) ->
    try ra:members({local, here(Id)}, ?TIMEOUT) of
        {ok, Members, _} -> lists:sort([Node || {_, Node} <- Members]);
        _ -> []
    catch
        exit:_ -> []
    end.

%% @doc Whether this node's member is the leader.
-spec leads(Id :: binary()) -> boolean().
leads(Id) -> leader(Id) =:= node().

%% @doc The leader, so far as this node's member has heard.
-spec leader(Id :: binary()) -> node() | none.
leader(Id) ->
    case ra_leaderboard:lookup_leader(name(Id)) of
        {_, Node} -> Node;
        undefined -> none
    end.

%% @doc Deletes this node's server and what it has, without asking anybody.
-spec delete(Id :: binary()) -> ok.
delete(Id) ->
    _ = ra:force_delete_server(?SYSTEM, here(Id)),
    ok.

%% @doc What there is to say of this node's member.
-spec figures(Id :: binary()) -> #{atom() => term()}.
figures(Id) ->
    maps:merge(#{leader => leader(Id)}, maps:with([state, membership, term, commit_index, last_applied, last_written_index, snapshot_index], metrics(Id))).

%% Tables of Ra's are missing while it is being started anew.
metrics(Id) ->
    try ra:key_metrics(here(Id))
    catch error:_ -> #{state => noproc}
    end.
