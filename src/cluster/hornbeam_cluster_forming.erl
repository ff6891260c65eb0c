%%% How a node becomes a member: what is to be done next, by how far it is itself and by what the others say of themselves. Pure.
%%%
%%% Called by: hornbeam_cluster_engine, which asks the others and carries out what stands here. Calls: nothing. How clusters are founded and joined, and why so: there.
%%%
%%%     what others say (who)   empty | left | joining | {promised, Id, By} | {member, Id, Members}
%%%     steps                   wait; begin_as (the founding that was promised has begun); unpromise; found (ask for promises); join; ask_removal (of a member that
%%%                             has forgotten that it is one); begin_anew (it was forgotten by the others)
-module(hornbeam_cluster_forming).

-export([next/3, who/2, is_member/1, is_settled/2, resumed/1]).
-export_type([phase/0, saying/0, step/0]).

-type phase() :: empty | left | hornbeam_cluster_folder:state().
-type saying() :: empty | left | joining | {promised, Id :: binary(), By :: node()} | {member, Id :: binary(), [node()]}.
-type step() :: wait | unpromise | begin_anew
              | {begin_as, Id :: binary(), By :: node(), Founders :: [node()]}
              | {found, Founders :: [node()]}
              | {join, Id :: binary(), Members :: [node()]}
              | {ask_removal, Of :: node()}.

%% @doc is_over: a promise has lasted for too long. Size and discovered: of a founding.
-spec next([{node(), saying()}], phase(), #{is_over := boolean(), size := pos_integer(), discovered := [node()]}) -> step().
next(Seen, {promised, Id, By, Founders}, #{is_over := IsOver}) ->
    %% Others are members of another cluster, or the founder has not begun for long.
    case [Of || {_, {member, Of, _}} <- Seen] of
        [] when IsOver -> unpromise;
        [] -> wait;
        Ids ->
            case lists:member(Id, Ids) of
                true -> {begin_as, Id, By, Founders};
                false -> unpromise
            end
    end;
next(Seen, {joined, Id, _, _}, _) ->
    forgotten([Members || {_, {member, Of, Members}} <- Seen, Of =:= Id]);
next(Seen, empty, Founding) ->
    case [{Node, Id, Members} || {Node, {member, Id, Members}} <- Seen] of
        [{Node, Id, Members} | _] -> joins(Node, Id, Members);
        [] -> founds(lists:sort([node() | [Node || {Node, empty} <- Seen]]), Founding)
    end;
next(_Seen, _Phase, _) ->
    wait.

%% A majority of the members, without this node among them: one of any majority would know of it were it one.
forgotten([]) -> wait;
forgotten(Said) ->
    Knows = lists:any(fun(Members) -> lists:member(node(), Members) end, Said),
    case not Knows andalso 2 * length(Said) > lists:max([length(Members) || Members <- Said]) of
        true -> begin_anew;
        false -> wait
    end.

joins(Node, Id, Members) ->
    case lists:member(node(), Members) of
        true -> {ask_removal, Node};
        false -> {join, Id, Members}
    end.

founds([Smallest | _] = Empty, #{size := Size, discovered := Discovered})
        when Smallest =:= node(), length(Empty) >= Size, 2 * length(Empty) > length(Discovered) ->
    {found, Empty};
founds(_, _) ->
    wait.

%% @doc What a node says of itself.
-spec who(phase(), fun((Id :: binary()) -> [node()])) -> saying().
who({promised, Id, By, _}, _Members) -> {promised, Id, By};
who({joining, _, _, _}, _Members) -> joining;
who({_, Id, _, _}, Members) -> {member, Id, Members(Id)};
who(Phase, _Members) -> Phase.

-spec is_member(phase()) -> boolean().
is_member({Kind, _, _, _}) -> Kind =:= founded orelse Kind =:= settled orelse Kind =:= joined;
is_member(_) -> false.

%% @doc Whether its log is on its disk for sure.
-spec is_settled(Id :: binary(), phase()) -> boolean().
is_settled(Id, {settled, Id, _, _}) -> true;
is_settled(Id, {joined, Id, _, _}) -> true;
is_settled(_Id, _Phase) -> false.

%% @doc The phase after a start at which Ra has no files of what is written down. Before a founder has settled nobody votes, so it may begin again, when the others say that
%% they have. Else it was not begun, or it may have voted in what it has lost: it must not come back before the others have removed it (ask_removal).
-spec resumed(phase()) -> phase().
resumed({founded, Id, By, Founders}) -> {promised, Id, By, Founders};
resumed(_Phase) -> empty.
