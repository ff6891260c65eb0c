%%% Which processes of the linked nodes do the same: one of each node, or none. OTP's `pg', in a scope of our own.
%%%
%%% Called by: hornbeam_cluster_sup; who takes part in a group (join/1), who asks for its members. Calls: pg.
%%%
%%% A group's name says which version of its messages its members speak: others do not see them. A member that has ended, or whose node is not linked any
%%% more, is one no longer, a moment later on each node for itself.
%%%
%%% Failure: who has joined is told ('DOWN' of what join/1 returns), and joins again.
-module(hornbeam_cluster_group).

-export([start_link/1, join/1, members/1, others/1]).
-export_type([group/0]).

-type group() :: {atom(), Version :: pos_integer()}.

-spec start_link(map()) -> {ok, pid()} | {error, term()}.
start_link(_Options) -> pg:start_link(?MODULE).

%% @doc The calling process takes part. The monitor of what knows that.
-spec join(group()) -> reference().
join(Group) ->
    Monitor = monitor(process, ?MODULE),
    ok = pg:join(?MODULE, Group, self()),
    Monitor.

%% @doc All of them, this node's as well.
-spec members(group()) -> [pid()].
members(Group) ->
    %% Its table is not there while it starts.
    try pg:get_members(?MODULE, Group)
    catch error:badarg -> []
    end.

%% @doc Those of other nodes.
-spec others(group()) -> [pid()].
others(Group) ->
    [Pid || Pid <- members(Group), node(Pid) =/= node()].
