%%% Whether a majority of the members is up, so far as this node sees: pure.
%%%
%%% Called by: hornbeam_cluster_client, which hears of nodes and has the timer. Calls: nothing.
%%%
%%% Who is connected is up, unless aten (heartbeats ten times a second, looked at once a second) has said `down' of it for ?DOUBT ms and not taken it back. On a machine that is busy aten is wrong for a
%%% moment now and then: a heartbeat that comes half as late again as almost all before it is enough. So its word counts when it has looked twice more, and not at all
%%% while commands are answered, since that takes a majority. Links that end count at once.
%%%
%%%     judge(Connected, Now)  ─▶  {a majority is up, ms after which it is to be asked again | never}
-module(hornbeam_cluster_majority).

-export([new/0, members/2, silent/3, heard/2, answered/2, judge/3, describe/1]).
-export_type([majority/0]).

%% Twice what aten takes between two looks, and a half.
-define(DOUBT, 2500).

-record(majority, {
    members = [] :: [node()],
    silent = #{} :: #{node() => Since :: integer()},   % as aten has it
    answered = none :: none | integer()                % when a command was last
}).
-opaque majority() :: #majority{}.

-spec new() -> majority().
new() -> #majority{}.

%% @doc Who is to be counted; none: this node is no member.
-spec members([node()], majority()) -> majority().
members(Members, #majority{silent = Silent} = Majority) -> Majority#majority{members = Members, silent = maps:with(Members, Silent)}.

%% @doc aten says that a node is down.
-spec silent(node(), Now :: integer(), majority()) -> majority().
silent(Node, Now, #majority{silent = Silent} = Majority) ->
    Majority#majority{silent = Silent#{Node => maps:get(Node, Silent, Now)}}.

%% @doc A node is connected anew, or aten says that it is up.
-spec heard(node(), majority()) -> majority().
heard(Node, #majority{silent = Silent} = Majority) -> Majority#majority{silent = maps:remove(Node, Silent)}.

%% @doc A leader has answered a command.
-spec answered(Now :: integer(), majority()) -> majority().
answered(Now, Majority) -> Majority#majority{answered = Now}.

%% @doc Connected: this node and those it is linked to.
-spec judge(Connected :: [node()], Now :: integer(), majority()) -> {boolean(), Again :: never | pos_integer()}.
judge(Connected, Now, #majority{members = Members, silent = Silent, answered = Answered}) ->
    Linked = [Node || Node <- Members, lists:member(Node, Connected)],
    %% How long each is believed.
    Believed = lists:reverse(lists:sort([maps:get(Node, Silent, infinity) || Node <- Linked])),
    case length(Members) div 2 + 1 of
        _ when Members =:= [] -> {false, never};
        Needed when length(Linked) < Needed -> {false, never};
        Needed -> until(lists:nth(Needed, Believed), Answered, Now)
    end.

%% Since: when the last one that is needed for a majority fell silent. (infinity, an atom, is more than any number.)
until(infinity, _Answered, _Now) -> {true, never};
until(Since, Answered, Now) ->
    case max(Since, case Answered of none -> Since; _ -> Answered end) + ?DOUBT - Now of
        Left when Left > 0 -> {true, Left};
        _ -> {false, never}
    end.

%% @doc Who is silent.
-spec describe(majority()) -> [node()].
describe(#majority{silent = Silent}) -> lists:sort(maps:keys(Silent)).
