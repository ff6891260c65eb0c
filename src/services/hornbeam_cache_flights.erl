%%% Who computes what, and who waits for it: the rule of one computation at a time for equal calls.
%%%
%%% Called by: hornbeam_cache, in its process, for callers of this node; hornbeam_cluster_cache_home, in its own, for nodes. Calls: nothing of ours. Pure.
%%%
%%%     ask ──nobody computes the key──▶ lead ──finish──▶ all who wait are told
%%%      │                                │
%%%      └──somebody does──▶ wait         └──leave, left──▶ who has waited longest leads on; nobody waits: the flight is over
%%%
%%% A caller is {Session, Token}: a Python process (a reference), and a number that this process has chosen. `left' says that the
%%% whole process has ended; `leave' that one caller has given up, whether it leads or waits.
%%%
%%% A flight is open while new callers join it. clear/2 closes flights: their results go to those who wait already and are not
%%% stored, and who asks after that begins a new one. A closed flight that gets a new leader is opened again where it can be, since what
%%% is computed from then on is of the time after the clearing.
%%%
%%% Modes. A `blocked' caller holds up an event loop while it waits. It must not wait for a `coroutine', which may need that very loop (or
%%% another one that waits for a coroutine of this one): it computes alone.
%%%
%%% Limit: ?MAX callers of one session; one more computes alone. A caller that is known already does, too.
-module(hornbeam_cache_flights).

-export([new/0, ask/4, finish/2, leave/2, left/2, clear/2, counts/1, led/2, leader/2, key/2]).
-export_type([flights/0, who/0, key/0, mode/0, told/0]).

-define(MAX, 10000).

-type who() :: {Session :: reference(), Token :: integer()}.
-type key() :: {Namespace :: binary(), Digest :: binary()}.
-type mode() :: thread | coroutine | blocked.
-type told() :: {who(), lead | alone}.

-record(flight, {
    key :: key(),
    leader :: who(),
    mode :: mode(),
    blocked = 0 :: non_neg_integer(),                       % how many of those who wait are
    waiters = gb_trees:empty() :: gb_trees:tree(integer(), {who(), mode()})   % by the time of their asking
}).
-record(flights, {
    next = 1 :: pos_integer(),                              % number of the next flight or waiter
    flights = #{} :: #{pos_integer() => #flight{}},
    open = #{} :: #{key() => pos_integer()},
    %% What each caller does: leads a flight, or waits for one in a place.
    sessions = #{} :: #{reference() => #{integer() => place()}}
}).
-type place() :: {lead, pos_integer()} | {wait, pos_integer(), pos_integer()}.
-opaque flights() :: #flights{}.

-spec new() -> flights().
new() -> #flights{}.

%% @doc Whether the caller computes (lead), is told later (wait), or computes for itself only (alone).
-spec ask(who(), key(), mode(), flights()) -> {lead | wait | alone, flights()}.
ask({Session, Token} = Who, Key, Mode, #flights{open = Open, sessions = Sessions} = Flights) ->
    Mine = maps:get(Session, Sessions, #{}),
    case is_map_key(Token, Mine) orelse map_size(Mine) >= ?MAX of
        true -> {alone, Flights};
        false ->
            case Open of
                #{Key := Id} -> join(Who, Id, Mode, Flights);
                #{} -> {lead, begin_flight(Who, Key, Mode, Flights)}
            end
    end.

begin_flight(Who, Key, Mode, #flights{next = Id, flights = All, open = Open} = Flights) ->
    Flight = #flight{key = Key, leader = Who, mode = Mode},
    place(Who, {lead, Id}, Flights#flights{next = Id + 1, flights = All#{Id => Flight}, open = Open#{Key => Id}}).

join(Who, Id, Mode, #flights{next = Place, flights = All} = Flights) ->
    #{Id := #flight{mode = Leading, waiters = Waiters, blocked = Blocked} = Flight} = All,
    case may_wait(Mode, Leading) of
        true ->
            Joined = Flight#flight{waiters = gb_trees:insert(Place, {Who, Mode}, Waiters), blocked = Blocked + is_blocked(Mode)},
            {wait, place(Who, {wait, Id, Place}, Flights#flights{next = Place + 1, flights = All#{Id := Joined}})};
        false ->
            {alone, Flights}
    end.

may_wait(blocked, coroutine) -> false;
may_wait(_, _) -> true.

is_blocked(blocked) -> 1;
is_blocked(_) -> 0.

place({Session, Token}, Place, #flights{sessions = Sessions} = Flights) ->
    Mine = maps:get(Session, Sessions, #{}),
    Flights#flights{sessions = Sessions#{Session => Mine#{Token => Place}}}.

find({Session, Token}, #flights{sessions = Sessions}) ->
    case Sessions of
        #{Session := #{Token := Place}} -> Place;
        #{} -> none
    end.

forget({Session, Token}, #flights{sessions = Sessions} = Flights) ->
    case maps:remove(Token, maps:get(Session, Sessions)) of
        Empty when map_size(Empty) =:= 0 -> Flights#flights{sessions = maps:remove(Session, Sessions)};
        Others -> Flights#flights{sessions = Sessions#{Session := Others}}
    end.

%% @doc The leader has a result, or an error: who waits for it, and whether it may be stored. `none' for whom leads nothing.
-spec finish(who(), flights()) -> {{open | closed, key(), [who()]} | none, flights()}.
finish(Who, Flights) ->
    case find(Who, Flights) of
        {lead, Id} ->
            #{Id := #flight{key = Key, waiters = Tree}} = Flights#flights.flights,
            Waiters = [Waiter || {Waiter, _} <- gb_trees:values(Tree)],
            Kind = kind(Key, Id, Flights),
            {{Kind, Key, Waiters}, lists:foldl(fun forget/2, drop(Id, Flights), [Who | Waiters])};
        _ ->
            {none, Flights}
    end.

kind(Key, Id, #flights{open = Open}) ->
    case Open of
        #{Key := Id} -> open;
        #{} -> closed
    end.

drop(Id, #flights{flights = All, open = Open} = Flights) ->
    {#flight{key = Key}, Others} = maps:take(Id, All),
    case kind(Key, Id, Flights) of
        open -> Flights#flights{flights = Others, open = maps:remove(Key, Open)};
        closed -> Flights#flights{flights = Others}
    end.

%% @doc A caller has given up. Who has to be told something else than before.
-spec leave(who(), flights()) -> {[told()], flights()}.
leave(Who, #flights{flights = All} = Flights) ->
    case find(Who, Flights) of
        none ->
            {[], Flights};
        {wait, Id, Place} ->
            #{Id := #flight{waiters = Waiters, blocked = Blocked} = Flight} = All,
            {{_, Mode}, Others} = gb_trees:take(Place, Waiters),
            Left = Flight#flight{waiters = Others, blocked = Blocked - is_blocked(Mode)},
            {[], forget(Who, Flights#flights{flights = All#{Id := Left}})};
        {lead, Id} ->
            hand_over(Id, forget(Who, Flights))
    end.

hand_over(Id, #flights{flights = All} = Flights) ->
    #{Id := #flight{key = Key, waiters = Waiters, blocked = Blocked} = Flight} = All,
    case gb_trees:is_empty(Waiters) of
        true ->
            {[], drop(Id, Flights)};
        false ->
            {_, {Next, Mode}, Rest} = gb_trees:take_smallest(Waiters),
            {Alone, Led} = led(Flight#flight{leader = Next, mode = Mode, waiters = Rest, blocked = Blocked - is_blocked(Mode)}),
            Now = reopen(Key, Id, lists:foldl(fun forget/2, Flights#flights{flights = All#{Id := Led}}, Alone)),
            {[{Next, lead} | [{Who, alone} || Who <- Alone]], place(Next, {lead, Id}, Now)}
    end.

%% Who may not wait for the new leader. They are looked for only if there are any: a thousand leaders may give up one after the other.
led(#flight{mode = coroutine, blocked = Blocked, waiters = Waiters} = Flight) when Blocked > 0 ->
    {Alone, Kept} = lists:partition(fun({_, {_, Mode}}) -> Mode =:= blocked end, gb_trees:to_list(Waiters)),
    {[Who || {_, {Who, _}} <- Alone], Flight#flight{waiters = gb_trees:from_orddict(Kept), blocked = 0}};
led(Flight) ->
    {[], Flight}.

reopen(Key, _Id, #flights{open = Open} = Flights) when is_map_key(Key, Open) -> Flights;
reopen(Key, Id, #flights{open = Open} = Flights) -> Flights#flights{open = Open#{Key => Id}}.

%% @doc A Python process has ended. Those who wait are forgotten before what it leads is handed over, so that none of them gets it; the
%% newest flight first, so that a closed one is not kept closed by one that ends with it.
-spec left(Session :: reference(), flights()) -> {[told()], flights()}.
left(Session, #flights{sessions = Sessions} = Flights) ->
    Mine = maps:to_list(maps:get(Session, Sessions, #{})),
    {Waits, Leads} = lists:partition(fun({_, Place}) -> element(1, Place) =:= wait end, Mine),
    lists:foldl(fun({Token, _}, {Told, Now}) ->
        {More, Later} = leave({Session, Token}, Now),
        {Told ++ More, Later}
    end, {[], Flights}, Waits ++ lists:reverse(lists:keysort(2, Leads))).

%% @doc Closes all flights, or those of a namespace.
-spec clear(all | binary(), flights()) -> flights().
clear(all, Flights) ->
    Flights#flights{open = #{}};
clear(Namespace, #flights{open = Open} = Flights) ->
    Flights#flights{open = maps:filter(fun({Of, _}, _) -> Of =/= Namespace end, Open)}.

%% @doc The number of the flight that a caller leads.
-spec led(who(), flights()) -> pos_integer() | none.
led(Who, Flights) ->
    case find(Who, Flights) of
        {lead, Id} -> Id;
        _ -> none
    end.

%% @doc Who leads a flight, if there is one of this number.
-spec leader(pos_integer(), flights()) -> {ok, who()} | error.
leader(Id, #flights{flights = All}) ->
    case All of
        #{Id := #flight{leader = Who}} -> {ok, Who};
        #{} -> error
    end.

%% @doc What a flight is for.
-spec key(pos_integer(), flights()) -> key().
key(Id, #flights{flights = All}) ->
    #{Id := #flight{key = Key}} = All,
    Key.

%% @doc How many flights there are, and how many callers that lead or wait.
-spec counts(flights()) -> {Flights :: non_neg_integer(), Callers :: non_neg_integer()}.
counts(#flights{flights = All, sessions = Sessions}) ->
    {map_size(All), maps:fold(fun(_, Mine, Sum) -> Sum + map_size(Mine) end, 0, Sessions)}.
