%%% The cluster, for the rest of the system: whether there is one, commands and questions to its state, who is in it.
%%%
%%% Called by: everybody who keeps something in the cluster; the command line. Calls: hornbeam_cluster_client, _reader, _engine, _node.
%%%
%%% Errors, everywhere the same: no_cluster (the option cluster is not set), no_quorum (refused: certainly not done), in_doubt (sent, and not answered
%%% in its time or before the majority was lost: it may be done), too_many (too much is asked at once: not done).
-module(hornbeam_cluster).

-export([start/1, stop/0, enabled/0, command/1, command/2, request/1, query/2, has_quorum/0, max_bytes/0]).
-export([info/0, members/0, leader/0, leave/0, forget/1]).
-export_type([error/0]).

-type error() :: {error, no_cluster | no_quorum | in_doubt | too_many}.

%% @doc Starts this node's part of the cluster, with the options cluster_*, under hornbeam_sup.
-spec start(map()) -> ok | {error, term()}.
start(Options) -> hornbeam_cluster_node:open(Options).

%% @doc Ends it; its membership stays.
-spec stop() -> ok.
stop() -> hornbeam_cluster_node:close().

%% @doc Whether this node takes part in a cluster.
-spec enabled() -> boolean().
enabled() -> hornbeam_cluster_node:options() =/= none.

%% @doc How much the keys and values may take: the option cluster_max_bytes.
-spec max_bytes() -> {ok, pos_integer()} | {error, no_cluster}.
max_bytes() ->
    case hornbeam_cluster_node:options() of
        #{cluster_max_bytes := Bytes} -> {ok, Bytes};
        none -> {error, no_cluster}
    end.

%% @doc Has an operation done, once, by all members; its reply when a majority has written it down.
-spec command({hornbeam_cluster_machine:part(), Operation :: term()}) -> {ok, Reply :: term()} | error().
command(Operation) -> command(Operation, default).

%% @doc As command/1, with a time of its own in ms.
-spec command({hornbeam_cluster_machine:part(), Operation :: term()}, default | pos_integer()) -> {ok, Reply :: term()} | error().
command(Operation, Timeout) ->
    case enabled() of
        true ->
            try gen_server:call(hornbeam_cluster_client, hornbeam_cluster_client:request(Operation, Timeout), infinity)
            catch exit:{Reason, _} -> {error, case Reason of noproc -> no_quorum; _ -> in_doubt end}
            end;
        false ->
            {error, no_cluster}
    end.

%% @doc For who does not wait: whom to ask what (gen_server:send_request/2); the answer is that of command/1.
-spec request({hornbeam_cluster_machine:part(), Operation :: term()}) -> {ok, {pid(), Request :: term()}} | error().
request(Operation) ->
    case whereis(hornbeam_cluster_client) of
        undefined -> {error, case enabled() of true -> no_quorum; false -> no_cluster end};
        Pid -> {ok, {Pid, hornbeam_cluster_client:request(Operation, default)}}
    end.

%% @doc Asks the state. linearizable: what every command has made of it that was answered before this question was asked; local: what this node has
%% heard of, without asking anybody, and so without a majority.
-spec query({hornbeam_cluster_machine:part(), Question :: term()}, linearizable | local) -> {ok, term()} | error().
query(Question, Kind) ->
    case hornbeam_cluster_node:options() of
        #{cluster_timeout := Timeout} -> hornbeam_cluster_reader:ask(Kind, Question, Timeout);
        none -> {error, no_cluster}
    end.

%% @doc Whether a majority of the members is up, so far as this node sees.
-spec has_quorum() -> boolean().
has_quorum() -> enabled() andalso hornbeam_cluster_client:has_quorum().

%% @doc How far this node is as a member; what Ra says of it; the client's figures.
-spec info() -> map().
info() -> maps:merge(hornbeam_cluster_client:info(), hornbeam_cluster_engine:info()).

%% @doc The nodes that are members, whether they are up or not.
-spec members() -> [node()].
members() ->
    #{members := Members} = hornbeam_cluster_engine:info(),
    Members.

%% @doc Who leads, so far as this node has heard.
-spec leader() -> node() | none.
leader() -> maps:get(leader, hornbeam_cluster_engine:info(), none).

%% @doc This node is a member no longer.
-spec leave() -> ok | {error, term()}.
leave() ->
    case enabled() of
        true -> hornbeam_cluster_engine:leave();
        false -> {error, no_cluster}
    end.

%% @doc Another node, which will not come back, is a member no longer.
-spec forget(node()) -> ok | {error, term()}.
forget(Node) ->
    case enabled() of
        true -> hornbeam_cluster_engine:forget(Node);
        false -> {error, no_cluster}
    end.
