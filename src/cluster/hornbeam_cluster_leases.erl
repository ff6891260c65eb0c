%%% Who holds what, and who waits for it: the part `leases' of the replicated machine. Locks, semaphores and elections are all this.
%%%
%%% Owns the claims: each is one owner that wants one name. Called by: hornbeam_cluster_machine, on every node with the same commands in the same
%%% order, so everything here depends on its arguments alone. Calls: hornbeam_cluster_part. Pure.
%%%
%%%     acquire ──room, nobody before it──▶ held ──release, abandon, its lease is over──▶ gone
%%%        │                                 ▲
%%%        └────────wait────────▶ waiting ───┘   in the order of asking; likewise gone
%%%
%%% An owner is {Node, Incarnation, Number}: a life of that node's hornbeam_cluster_locks, and a number that it gives once. An owner has one
%%% claim in its life, so every command may come twice: acquire answers what the claim is now, release of what is gone does nothing.
%%%
%%% Limit: a claim is granted when fewer than so many hold the name, and nobody waits before it. Each claim brings its own, so while an application with
%%% another limit is rolled out nobody is refused; a lock is 1.
%%%
%%% Token: the number of the grant. max(index of the log, last token + 1), so of two grants of whatever names the later one has the larger, also after all
%%% nodes were started anew: the last one is in the state.
%%%
%%% Lease: of holders and of those who wait, in the cluster's time: it never ends earlier than Ttl ms after it was renewed (hornbeam_cluster_part:ends/2).
%%%
%%% Limits: ?MAX_CLAIMS claims, ?MAX_NAME bytes of a name; the names are no more than the claims.
-module(hornbeam_cluster_leases).
-behaviour(hornbeam_cluster_part).

-export([new/0, apply/3, expire/2, waits/1, query/3, weight/1, size/1, is_name/1]).
-export_type([state/0, owner/0, name/0, op/0, event/0, question/0]).

-define(MAX_CLAIMS, 200000).
-define(MAX_NAME, 512).
%% Bytes of one, in memory and in a snapshot, or so.
-define(CLAIM, 400).

-type name() :: {lock | semaphore | leader, binary()}.
-type owner() :: {node(), Incarnation :: term(), Number :: pos_integer()}.
-type token() :: pos_integer().
-type op() :: {acquire, name(), owner(), Limit :: pos_integer(), Ttl :: pos_integer(), wait | no_wait}
            | {renew, node(), Incarnation :: term(), [Number :: pos_integer()]}
            | {release, [owner()]}
            | {abandon, node(), Except :: term()}.         % all claims of the node but those of this incarnation
-type event() :: {granted, owner(), token()} | {gone, owner()}.
-type question() :: {who, name()} | names | counts.

-record(claim, {
    name :: name(),
    limit :: pos_integer(),
    ttl :: pos_integer(),
    expires :: integer(),
    place :: pos_integer(),                                % the order of asking
    token :: token() | none                                % none: it waits
}).
-record(name, {
    holders = 0 :: non_neg_integer(),
    waiting = gb_trees:empty() :: gb_trees:tree(pos_integer(), owner())
}).
-record(leases, {
    claims = #{} :: #{owner() => #claim{}},
    names = #{} :: #{name() => #name{}},
    ends = gb_sets:empty() :: gb_sets:set({Expires :: integer(), owner()}),
    place = 1 :: pos_integer(),
    last = 0 :: non_neg_integer()                          % the largest token
}).
-opaque state() :: #leases{}.

-spec new() -> state().
new() -> #leases{}.

%% @doc Whether a name may be one.
-spec is_name(term()) -> boolean().
is_name({Kind, Name}) when Kind =:= lock; Kind =:= semaphore; Kind =:= leader ->
    is_binary(Name) andalso Name =/= <<>> andalso byte_size(Name) =< ?MAX_NAME;
is_name(_) ->
    false.

%% @doc Answers: acquire {held, Token} | waiting | busy | {refused, too_many}; renew {Held :: [{Number, Token}], Waiting :: [Number]} of what is
%% not gone; release the owners that still held or waited; abandon how many did.
-spec apply(op(), hornbeam_cluster_part:context(), state()) -> {term(), [event()], state()}.
apply({acquire, Name, Owner, Limit, Ttl, Wait}, Context, #leases{claims = Claims} = State) ->
    case Claims of
        #{Owner := #claim{token = none}} -> {waiting, [], State};
        #{Owner := #claim{token = Token}} -> {{held, Token}, [], State};
        #{} -> acquire(Name, Owner, #claim{name = Name, limit = Limit, ttl = Ttl, expires = 0, place = 1, token = none}, Wait, Context, State)
    end;
apply({renew, Node, Incarnation, Numbers}, #{now := Now}, State) ->
    {Held, Waiting, Renewed} = lists:foldl(fun(Number, Before) -> renew(Number, {Node, Incarnation, Number}, Now, Before) end,
                                           {[], [], State}, Numbers),
    {{lists:reverse(Held), lists:reverse(Waiting)}, [], Renewed};
apply({release, Owners}, Context, #leases{claims = Claims} = State) ->
    Known = [Owner || Owner <- lists:usort(Owners), is_map_key(Owner, Claims)],
    {Granted, Left} = remove(Known, Context, State),
    {Known, Granted, Left};
apply({abandon, Node, Except}, Context, #leases{claims = Claims} = State) ->
    Those = lists:sort([Owner || {Of, Incarnation, _} = Owner <- maps:keys(Claims), Of =:= Node, Incarnation =/= Except]),
    {Granted, Left} = remove(Those, Context, State),
    {length(Those), Granted, Left}.

%% @doc Takes their claims from those whose leases are over.
-spec expire(hornbeam_cluster_part:context(), state()) -> {[event()], state()}.
expire(#{now := Now} = Context, #leases{ends = Ends} = State) ->
    case over(Now, Ends, []) of
        [] ->
            {[], State};
        Over ->
            {Granted, Left} = remove(Over, Context, State),
            {[{gone, Owner} || Owner <- Over] ++ Granted, Left}
    end.

over(Now, Ends, Found) ->
    case gb_sets:is_empty(Ends) of
        true ->
            lists:reverse(Found);
        false ->
            case gb_sets:take_smallest(Ends) of
                {{Expires, Owner}, Others} when Expires =< Now -> over(Now, Others, [Owner | Found]);
                _ -> lists:reverse(Found)
            end
    end.

%% @doc Whether time matters.
-spec waits(state()) -> boolean().
waits(#leases{claims = Claims}) -> map_size(Claims) > 0.

%% @doc Who holds a name, the oldest grant first, and how many wait for it; every name with that; how many claims and names there are.
-spec query(question(), Now :: integer(), state()) -> term().
query({who, Name}, _Now, State) ->
    maps:get(Name, who(State), #{holders => [], waiting => 0});
query(names, _Now, State) ->
    who(State);
query(counts, _Now, #leases{claims = Claims, names = Names}) ->
    Held = maps:fold(fun(_, #name{holders = Holders}, Sum) -> Sum + Holders end, 0, Names),
    #{names => map_size(Names), held => Held, waiting => map_size(Claims) - Held}.

%% @doc Of a command, in bytes or so.
-spec weight(op()) -> pos_integer().
weight({acquire, {_, Name}, _, _, _, _}) -> 100 + byte_size(Name);
weight({renew, _, _, Numbers}) -> 50 + 5 * length(Numbers);
weight({release, Owners}) -> 50 + 50 * length(Owners);
weight({abandon, _, _}) -> 100.

%% @doc Claims, and what they take.
-spec size(state()) -> {non_neg_integer(), non_neg_integer()}.
size(#leases{claims = Claims}) -> {map_size(Claims), ?CLAIM * map_size(Claims)}.

who(#leases{claims = Claims, names = Names}) ->
    Held = maps:fold(fun({Node, _, _}, #claim{name = Name, token = Token}, Found) when Token =/= none ->
            Found#{Name => [{Token, Node} | maps:get(Name, Found, [])]};
        (_, _, Found) ->
            Found
    end, #{}, Claims),
    maps:map(fun(Name, #name{waiting = Waiting}) ->
        #{holders => lists:sort(maps:get(Name, Held, [])), waiting => gb_trees:size(Waiting)}
    end, Names).

%%% Acquire

acquire(_Name, _Owner, _Claim, _Wait, _Context, #leases{claims = Claims} = State) when map_size(Claims) >= ?MAX_CLAIMS ->
    {{refused, too_many}, [], State};
acquire(Name, Owner, #claim{limit = Limit, ttl = Ttl} = Asked, Wait, #{now := Now} = Context, #leases{names = Names, place = Place} = State) ->
    #name{holders = Holders, waiting = Waiting} = Of = maps:get(Name, Names, #name{}),
    Claim = Asked#claim{expires = hornbeam_cluster_part:ends(Now, Ttl), place = Place},
    case Holders < Limit andalso gb_trees:is_empty(Waiting) of
        true ->
            {Token, Next} = token(Context, State#leases{place = Place + 1}),
            {{held, Token}, [], put_name(Name, Of#name{holders = Holders + 1}, put_claim(Owner, Claim#claim{token = Token}, Next))};
        false when Wait =:= wait ->
            Longer = Of#name{waiting = gb_trees:insert(Place, Owner, Waiting)},
            {waiting, [], put_name(Name, Longer, put_claim(Owner, Claim, State#leases{place = Place + 1}))};
        false ->
            {busy, [], State}
    end.

token(#{index := Index}, #leases{last = Last} = State) ->
    Token = max(Index, Last + 1),
    {Token, State#leases{last = Token}}.

put_claim(Owner, #claim{expires = Expires} = Claim, #leases{claims = Claims, ends = Ends} = State) ->
    State#leases{claims = Claims#{Owner => Claim}, ends = gb_sets:add({Expires, Owner}, Ends)}.

put_name(Name, #name{holders = 0, waiting = Waiting} = Of, #leases{names = Names} = State) ->
    case gb_trees:is_empty(Waiting) of
        true -> State#leases{names = maps:remove(Name, Names)};
        false -> State#leases{names = Names#{Name => Of}}
    end;
put_name(Name, Of, #leases{names = Names} = State) ->
    State#leases{names = Names#{Name => Of}}.

%%% Renew

renew(Number, Owner, Now, {Held, Waiting, #leases{claims = Claims, ends = Ends} = State} = Before) ->
    case Claims of
        #{Owner := #claim{expires = Expires, ttl = Ttl, token = Token} = Claim} ->
            Without = State#leases{ends = gb_sets:delete_any({Expires, Owner}, Ends)},
            Renewed = put_claim(Owner, Claim#claim{expires = hornbeam_cluster_part:ends(Now, Ttl)}, Without),
            case Token of
                none -> {Held, [Number | Waiting], Renewed};
                _ -> {[{Number, Token} | Held], Waiting, Renewed}
            end;
        #{} ->
            Before
    end.

%%% What ends, and who is next

%% All of them before anything is granted: none of them is next.
remove(Owners, Context, #leases{claims = Claims} = State) ->
    Names = lists:usort([Name || Owner <- Owners, #claim{name = Name} <- [maps:get(Owner, Claims)]]),
    Without = lists:foldl(fun drop/2, State, Owners),
    {Events, Last} = lists:foldl(fun(Name, {Before, Left}) ->
        {More, Next} = grant(Name, Context, Left, []),
        {[More | Before], Next}
    end, {[], Without}, Names),
    {lists:append(lists:reverse(Events)), Last}.

drop(Owner, #leases{claims = Claims, names = Names, ends = Ends} = State) ->
    {#claim{name = Name, expires = Expires, place = Place, token = Token}, Others} = maps:take(Owner, Claims),
    #{Name := #name{holders = Holders, waiting = Waiting} = Of} = Names,
    Less = case Token of
        none -> Of#name{waiting = gb_trees:delete(Place, Waiting)};
        _ -> Of#name{holders = Holders - 1}
    end,
    %% The name stays until those who wait have been looked at.
    State#leases{claims = Others, names = Names#{Name := Less}, ends = gb_sets:delete_any({Expires, Owner}, Ends)}.

%% The lease of who is granted begins anew.
grant(Name, #{now := Now} = Context, #leases{names = Names, claims = Claims, ends = Ends} = State, Granted) ->
    #{Name := #name{holders = Holders, waiting = Waiting} = Of} = Names,
    case next(Waiting, Claims) of
        {Owner, #claim{limit = Limit, ttl = Ttl, expires = Expires} = Claim} when Holders < Limit ->
            {Token, Counted} = token(Context, State#leases{ends = gb_sets:delete_any({Expires, Owner}, Ends)}),
            {_, _, Rest} = gb_trees:take_smallest(Waiting),
            Held = put_claim(Owner, Claim#claim{token = Token, expires = hornbeam_cluster_part:ends(Now, Ttl)}, Counted),
            grant(Name, Context, put_name(Name, Of#name{holders = Holders + 1, waiting = Rest}, Held), [{granted, Owner, Token} | Granted]);
        _ ->
            {lists:reverse(Granted), put_name(Name, Of, State)}
    end.

next(Waiting, Claims) ->
    case gb_trees:is_empty(Waiting) of
        true -> none;
        false ->
            {_, Owner} = gb_trees:smallest(Waiting),
            {Owner, maps:get(Owner, Claims)}
    end.
