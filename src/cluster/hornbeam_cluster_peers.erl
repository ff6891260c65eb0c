%%% The other nodes as hornbeam_cluster_links knows them: which are up, which are tried when. Pure: every event comes with its time (monotonic ms).
%%%
%%%     down ──due──▶ trying ──link──▶ linked ──welcome──▶ up
%%%      ▲              │                │  └──refused──▶ refused (the link is cut; tried again, later and later)
%%%      └──failed──────┴────────────────┘
%%%     up ──goodbye──▶ stopped; up | stopped ──the link ends──▶ down | stopped, tried again
%%%
%%% When one is tried again. One that has been up: after at most ?SOON ms, so that a net that heals is whole again within a second or two. One that has never
%%% been: at most ?LATER. One that answers but lets nobody in, or is not of this cluster: at most ?SELDOM, since the other side logs each try. Each of these
%%% doubles from ?FIRST and is shortened by up to half by chance, so that many nodes do not try at once.
%%%
%%% A node that is not discovered any more is forgotten unless it is up, or was within the last ?REMEMBERED ms.
-module(hornbeam_cluster_peers).

-export([new/0, wanted/3, linked/3, unlinked/5, due/3, failed/5, welcome/4, refused/5, goodbye/3, forget/2, next/2, up/1, describe/2, figures/1]).
-export_type([peers/0, cause/0]).

-define(FIRST, 250).
-define(SOON, 1000).
-define(LATER, 5000).
-define(SELDOM, 30000).
-define(REMEMBERED, 600000).
%% A node that is just starting, or being started anew, is no news.
-define(TOLD_AFTER, 5000).

%% Why a node was not reached. refused, unreachable, timeout: of TCP. not_let_in: it answers, but the handshake of Erlang's distribution fails. not_there: linked, but
%% without a cluster; silent: it does not say hello.
-type cause() :: refused | unreachable | timeout | not_let_in | not_there | silent | lost | name | hornbeam_cluster_hello:refusal().
-type state() :: down | trying | linked | up | stopped | refused.

-record(peer, {
    state = down :: state(),
    wanted = false :: boolean(),
    seen = false :: boolean(),              % it has been up
    since :: integer(),                     % in this state; trying and linked count as down
    due = never :: never | integer(),
    failures = 0 :: non_neg_integer(),      % in a row
    cause = none :: none | cause(),         % of the last of them
    told = none :: none | cause(),          % what the log has of it
    hello = none :: none | hornbeam_cluster_hello:hello()
}).
-record(peers, {
    all = #{} :: #{node() => #peer{}},
    connects = 0 :: non_neg_integer(),
    reconnects = 0 :: non_neg_integer(),
    failures = #{} :: #{atom() => pos_integer()}
}).
-opaque peers() :: #peers{}.

-spec new() -> peers().
new() -> #peers{}.

%% @doc These are the nodes that there should be, this one left out.
-spec wanted([node()], Now :: integer(), peers()) -> peers().
wanted(Nodes, Now, #peers{all = All} = Peers) ->
    Kept = maps:filtermap(fun(Node, Peer) -> keep(lists:member(Node, Nodes), Now, Peer) end, All),
    New = maps:from_list([{Node, #peer{wanted = true, since = Now, due = Now}} || Node <- Nodes, not is_map_key(Node, All)]),
    Peers#peers{all = maps:merge(Kept, New)}.

keep(true, Now, #peer{wanted = false, state = State} = Peer) when State =:= down; State =:= stopped -> {true, Peer#peer{wanted = true, due = Now}};
keep(true, _Now, Peer) -> {true, Peer#peer{wanted = true}};
keep(false, _Now, #peer{state = State} = Peer) when State =:= up; State =:= linked; State =:= trying -> {true, Peer#peer{wanted = false}};
keep(false, Now, #peer{seen = true, since = Since} = Peer) when Now - Since < ?REMEMBERED -> {true, Peer#peer{wanted = false}};
keep(false, _Now, _Peer) -> false.

%% @doc There is a link, whoever made it. What follows is hello.
-spec linked(node(), Now :: integer(), peers()) -> peers().
linked(Node, Now, Peers) ->
    case peer(Node, Now, Peers) of
        #peer{state = State} when State =:= linked; State =:= up -> Peers;
        #peer{state = trying} -> Peers;
        Peer -> set(Node, Peer#peer{state = linked, due = Now}, Peers)
    end.

%% @doc The link has ended. WasUp: this is news.
-spec unlinked(node(), Why :: term(), Now :: integer(), Chance :: float(), peers()) -> {WasUp :: boolean(), peers()}.
unlinked(Node, _Why, Now, Chance, #peers{all = All} = Peers) ->
    case All of
        #{Node := #peer{state = up} = Peer} ->
            {true, set(Node, again(Peer#peer{state = down, since = Now, failures = 0, cause = lost}, ?SOON, Now, Chance), Peers)};
        #{Node := #peer{state = stopped} = Peer} ->
            {false, set(Node, again(Peer, ?SOON, Now, Chance), Peers)};
        #{Node := #peer{state = linked, wanted = false, seen = false}} ->
            {false, forget(Node, Peers)};
        #{Node := #peer{state = linked} = Peer} ->
            {false, set(Node, again(Peer#peer{state = down}, ?SOON, Now, Chance), Peers)};
        #{} ->
            {false, Peers}
    end.

%% @doc Those whose time has come, at most Room, the longest overdue first; they are being tried from now on.
-spec due(Now :: integer(), Room :: non_neg_integer(), peers()) -> {[node()], peers()}.
due(Now, Room, #peers{all = All} = Peers) ->
    Overdue = lists:sort([{Due, Node} || {Node, #peer{due = Due}} <- maps:to_list(All), is_integer(Due), Due =< Now]),
    Chosen = [Node || {_, Node} <- lists:sublist(Overdue, max(0, Room))],
    {Chosen, lists:foldl(fun(Node, P) -> set(Node, tried(maps:get(Node, All)), P) end, Peers, Chosen)}.

tried(#peer{state = linked} = Peer) -> Peer#peer{due = never};
tried(#peer{state = down} = Peer) -> Peer#peer{state = trying, due = never};
tried(Peer) -> Peer#peer{due = never}.

%% @doc A try has failed. Tell: the log has not had this cause of this node yet.
-spec failed(node(), cause(), Now :: integer(), Chance :: float(), peers()) -> {Tell :: boolean(), peers()}.
failed(Node, Cause, Now, Chance, #peers{all = All} = Peers) ->
    case All of
        %% It has come in from the other side meanwhile.
        #{Node := #peer{state = up}} -> {false, Peers};
        #{Node := #peer{wanted = false, seen = false}} -> {false, count(Cause, forget(Node, Peers))};
        #{Node := Peer} -> failed_again(Node, Cause, Peer, Now, Chance, count(Cause, Peers));
        #{} -> {false, Peers}
    end.

failed_again(Node, Cause, #peer{failures = Before, told = Told, state = State, since = Since, cause = Last} = Peer, Now, Chance, Peers) ->
    %% One that has said that it stops is expected to be away; once may be chance.
    Tell = Told =/= Cause andalso State =/= stopped andalso Cause =:= Last andalso (Cause =:= not_let_in orelse Now - Since >= ?TOLD_AFTER),
    Down = case State of trying -> down; linked -> linked; _ -> State end,
    Next = again(Peer#peer{state = Down, cause = Cause, failures = Before + 1, told = case Tell of true -> Cause; false -> Told end}, longest(Cause, Peer), Now, Chance),
    {Tell, set(Node, Next, Peers)}.

longest(not_let_in, #peer{seen = false}) -> ?SELDOM;
longest(_Cause, #peer{seen = true}) -> ?SOON;
longest(_Cause, _Peer) -> ?LATER.

%% @doc It belongs to this cluster. New: it was not up.
-spec welcome(node(), hornbeam_cluster_hello:hello(), Now :: integer(), peers()) -> {New :: boolean(), peers()}.
welcome(Node, Hello, Now, #peers{connects = Connects, reconnects = Reconnects} = Peers) ->
    case peer(Node, Now, Peers) of
        #peer{state = up} = Peer ->
            {false, set(Node, Peer#peer{hello = Hello, due = never}, Peers)};
        #peer{seen = Seen} = Peer ->
            Up = Peer#peer{state = up, seen = true, since = Now, due = never, failures = 0, cause = none, told = none, hello = Hello},
            {true, set(Node, Up, Peers#peers{connects = Connects + 1, reconnects = Reconnects + case Seen of true -> 1; false -> 0 end})}
    end.

%% @doc It does not. The link is to be cut.
-spec refused(node(), hornbeam_cluster_hello:refusal(), Now :: integer(), Chance :: float(), peers()) -> {Tell :: boolean(), peers()}.
refused(Node, Refusal, Now, Chance, Peers) ->
    #peer{failures = Before, told = Told} = Peer = peer(Node, Now, Peers),
    Next = again(Peer#peer{state = refused, failures = Before + 1, cause = Refusal, told = Refusal}, ?SELDOM, Now, Chance),
    {Told =/= Refusal, set(Node, Next, count(Refusal, Peers))}.

%% @doc It is about to stop and has said so. Known: it was up.
-spec goodbye(node(), Now :: integer(), peers()) -> {Known :: boolean(), peers()}.
goodbye(Node, Now, #peers{all = All} = Peers) ->
    case All of
        #{Node := #peer{state = up} = Peer} -> {true, set(Node, Peer#peer{state = stopped, since = Now, cause = none}, Peers)};
        #{} -> {false, Peers}
    end.

-spec forget(node(), peers()) -> peers().
forget(Node, #peers{all = All} = Peers) -> Peers#peers{all = maps:remove(Node, All)}.

%% @doc How long until the next is due.
-spec next(Now :: integer(), peers()) -> non_neg_integer() | infinity.
next(Now, #peers{all = All}) ->
    case [Due || #peer{due = Due} <- maps:values(All), is_integer(Due)] of
        [] -> infinity;
        Dues -> max(0, lists:min(Dues) - Now)
    end.

-spec up(peers()) -> [node()].
up(#peers{all = All}) -> lists:sort([Node || {Node, #peer{state = up}} <- maps:to_list(All)]).

%% @doc For a person and for metrics: each peer's state, for how long (ms), what it says of itself, why it was not reached last.
-spec describe(Now :: integer(), peers()) -> [#{node := node(), state := up | down | stopped | refused, _ => _}].
describe(Now, #peers{all = All}) ->
    [#{node => Node, state => shown(State), for => Now - Since, discovered => Wanted, cause => Cause, hello => Hello}
     || {Node, #peer{state = State, since = Since, wanted = Wanted, seen = Seen, cause = Cause, hello = Hello}} <- lists:sort(maps:to_list(All)), Wanted orelse Seen].

shown(State) when State =:= trying; State =:= linked -> down;
shown(State) -> State.

-spec figures(peers()) -> #{connects := non_neg_integer(), reconnects := non_neg_integer(), failures := #{atom() => pos_integer()}}.
figures(#peers{connects = Connects, reconnects = Reconnects, failures = Failures}) ->
    #{connects => Connects, reconnects => Reconnects, failures => Failures}.

%% --- helpers -------------------------------------------------------------------------------------------------------

peer(Node, Now, #peers{all = All}) -> maps:get(Node, All, #peer{since = Now}).

set(Node, Peer, #peers{all = All} = Peers) -> Peers#peers{all = All#{Node => Peer}}.

again(#peer{failures = Failures} = Peer, Longest, Now, Chance) ->
    Wait = min(Longest, ?FIRST bsl min(Failures, 10)),
    Peer#peer{due = Now + round(Wait * (1 - Chance / 2))}.

count(Cause, #peers{failures = Failures} = Peers) ->
    Peers#peers{failures = maps:update_with(kind(Cause), fun(N) -> N + 1 end, 1, Failures)}.

kind({Kind, _}) -> Kind;
kind({Kind, _, _}) -> Kind;
kind(Cause) -> Cause.
