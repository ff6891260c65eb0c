%%% What this node's owners hold and wait for: pure, with the times of a local clock that goes evenly.
%%%
%%% Owns the claims of one life of hornbeam_cluster_locks, which is its only caller and carries out the actions that each function returns. Calls: nobody.
%%%
%%%     asking ──▶ waiting ──▶ held ──▶ lost ──▶ (the owner lets go)
%%%        └──────────┴──────────┴────────────▶ leaving ──▶ (the cluster has heard it)
%%%
%%% A claim goes forward only: an event may overtake the answer of the command that it follows, so `waiting' after `granted' says nothing.
%%% What the cluster does not know any more is lost for who held it; who waited asks again, with a new number, at the end of the queue.
%%%
%%% Why `lost' is said in time. A lease is renewed by a command that is applied not before it was sent, and in the cluster it lasts Ttl ms from then, at
%%% least (hornbeam_cluster_leases). Here it is over keep(Ttl) = 9/10 of Ttl after the last sending of a command that was answered. So whatever the
%%% cluster's clock does (it stands still without a leader, is late by steps), and however long an answer takes, nobody else has it before the owner was
%%% told, as long as the two clocks do not differ by a tenth. Both are Erlang's monotonic time, of which OTP says that it is corrected by 1% at most.
%%% What no clock helps against is a machine that stands still: then it is told when it goes on, and until it reads that, only the
%%% token helps, which is smaller than the next one's.
%%%
%%% Renewals. Each claim every third of its Ttl; what is due within ?NEAR ms goes in the same command, up to ?TOGETHER, so claims with one Ttl go together from
%%% then on.
%%% One is outstanding for each claim. One that fails is tried again; the deadline stays where it was.
%%%
%%% Limit: ?MAX claims of one owner.
-module(hornbeam_cluster_claims).

-export([new/2, acquire/3, release/4, watch/3, left/3, event/3, answer/4, resync/2, wake/2, due/1, end_all/1, count/1]).
-export_type([claims/0, key/0, asked/0, action/0, label/0]).

-define(NEAR, 150).
%% Renewals of one command: 5 ms of a member's time among 100,000 claims, for which others wait.
-define(TOGETHER, 1000).
-define(MAX, 10000).
%% How long a claim that nobody wants is told to the cluster again and again, besides its Ttl; and how often.
-define(LEAVING, 5000).
-define(AGAIN, 500).

-type ms() :: integer().
-type from() :: gen_server:from() | none.
-type key() :: {pid(), term()}.
%% timeout: how long it waits, 0: not at all. notify: whether the owner gets {hornbeam_lock, Key, lost}, Key without the pid.
-type asked() :: #{key := key(), from := gen_server:from(), monitor := reference(), notify := boolean(), name := hornbeam_cluster_leases:name(),
                   limit := pos_integer(), ttl := pos_integer(), timeout := non_neg_integer() | infinity}.
-type label() :: {acquire, pos_integer()} | {renew, [pos_integer()], Sent :: ms()} | {release, [pos_integer()]}.
-type action() :: {command, label(), hornbeam_cluster_leases:op()} | {reply, gen_server:from(), term()} | {tell, pid(), term()}
                | {demonitor, reference()}.

-record(claim, {
    number :: pos_integer(),
    key :: key(),
    from :: from(),                            % who waits for the grant, or for the release
    monitor :: reference(),
    notify :: boolean(),
    watchers = [] :: [gen_server:from()],      % told when it is lost (true) or given back (false)
    name :: hornbeam_cluster_leases:name(),
    limit :: pos_integer(),
    ttl :: pos_integer(),
    until :: ms() | infinity | no_wait,        % waits, or is leaving, no longer
    state = asking :: asking | waiting | held | lost | leaving,
    sent :: ms(),                              % the last command that was answered, or the first
    renewing = none :: none | ms(),
    retry = none :: none | ms() | infinity,    % when it is to be renewed, or left, where that is not as usual
    due = infinity :: ms() | infinity
}).
-record(claims, {
    node :: node(),
    incarnation :: integer(),
    next = 1 :: pos_integer(),
    all = #{} :: #{pos_integer() => #claim{}},
    keys = #{} :: #{key() => pos_integer()},
    owners = #{} :: #{pid() => pos_integer()},  % how many keys each has
    due = gb_sets:empty() :: gb_sets:set({ms(), pos_integer()})
}).
-opaque claims() :: #claims{}.
-type outcome() :: {[action()], claims()}.

-spec new(node(), Incarnation :: integer()) -> claims().
new(Node, Incarnation) -> #claims{node = Node, incarnation = Incarnation}.

-spec count(claims()) -> non_neg_integer().
count(#claims{all = All}) -> map_size(All).

%% @doc When wake/2 has something to do.
-spec due(claims()) -> ms() | infinity.
due(#claims{due = Due}) ->
    case gb_sets:is_empty(Due) of
        true -> infinity;
        false -> element(1, gb_sets:smallest(Due))
    end.

%%% What owners want

%% @doc Answers From: {ok, Token} | {error, timeout | no_quorum | in_doubt | too_many | {refused, Reason} | left}.
-spec acquire(asked(), Now :: ms(), claims()) -> outcome().
acquire(#{key := Key, from := From, monitor := Monitor}, _Now, #claims{keys = Keys} = Claims) when is_map_key(Key, Keys) ->
    {[{reply, From, {error, {refused, known}}}, {demonitor, Monitor}], Claims};
acquire(#{key := {Owner, _}, from := From, monitor := Monitor}, _Now, #claims{owners = Owners} = Claims) when map_get(Owner, Owners) >= ?MAX ->
    {[{reply, From, {error, {refused, too_many_of_owner}}}, {demonitor, Monitor}], Claims};
acquire(#{key := {Owner, _} = Key, from := From, monitor := Monitor, notify := Notify, name := Name, limit := Limit, ttl := Ttl, timeout := Timeout}, Now,
        #claims{owners = Owners} = Claims) ->
    Until = case Timeout of
        infinity -> infinity;
        0 -> no_wait;
        _ -> Now + Timeout
    end,
    ask(#claim{number = 1, key = Key, from = From, monitor = Monitor, notify = Notify, name = Name, limit = Limit, ttl = Ttl,
               until = Until, sent = Now}, Now, Claims#claims{owners = Owners#{Owner => maps:get(Owner, Owners, 0) + 1}}).

ask(Claim, Now, #claims{next = Number, node = Node, incarnation = Incarnation} = Claims) ->
    #claim{name = Name, limit = Limit, ttl = Ttl, until = Until} = Claim,
    Wait = case Until of no_wait -> no_wait; _ -> wait end,
    Op = {acquire, Name, {Node, Incarnation, Number}, Limit, Ttl, Wait},
    Asking = Claim#claim{number = Number, state = asking, sent = Now, renewing = none, retry = none},
    {[{command, {acquire, Number}, Op}], put_claim(Asking, Claims#claims{next = Number + 1})}.

%% @doc The owner gives it back, or waits no longer. Answers From: ok, or lost if it was over before; unknown.
-spec release(key(), from(), Now :: ms(), claims()) -> outcome().
release(Key, From, Now, Claims) ->
    case find(Key, Claims) of
        #claim{state = lost} = Claim -> leave(Claim#claim{from = none}, reply(From, lost), Now, Claims);
        #claim{state = held} = Claim ->
            case deadline(Claim) =< Now of
                true -> leave(Claim#claim{from = none}, reply(From, lost), Now, Claims);
                false -> leave(Claim#claim{from = From}, [], Now, Claims)
            end;
        #claim{from = Asker} = Claim -> leave(Claim#claim{from = none}, reply(Asker, {error, left}) ++ reply(From, ok), Now, Claims);
        none -> {reply(From, unknown), Claims}
    end.

%% @doc Answers From when it is over: true if it was lost, false if it was given back.
-spec watch(key(), gen_server:from(), claims()) -> outcome().
watch(Key, From, Claims) ->
    case find(Key, Claims) of
        #claim{state = held, watchers = Watchers} = Claim -> {[], put_claim(Claim#claim{watchers = [From | Watchers]}, Claims)};
        #claim{state = lost} -> {[{reply, From, true}], Claims};
        _ -> {[{reply, From, false}], Claims}
    end.

%% @doc An owner has ended: all that it had is given back.
-spec left(pid(), Now :: ms(), claims()) -> outcome().
left(Pid, Now, #claims{keys = Keys} = Claims) ->
    fold(fun(Key, Before) -> release(Key, none, Now, Before) end, [Key || {Of, _} = Key <- maps:keys(Keys), Of =:= Pid], Claims).

%% @doc This process ends: who holds something has lost it. Those who wait for an answer hear of it by themselves.
-spec end_all(claims()) -> [action()].
end_all(#claims{all = All}) ->
    lists:append([lose(Claim) || #claim{state = held} = Claim <- maps:values(All)]).

%%% What the cluster says

-spec event(hornbeam_cluster_leases:event(), Now :: ms(), claims()) -> outcome().
event({granted, {Node, Incarnation, Number}, Token}, Now, #claims{node = Node, incarnation = Incarnation} = Claims) ->
    known(Number, fun(Claim) -> grant(Claim, Token, Now, Claims) end, Claims);
event({gone, {Node, Incarnation, Number}}, Now, #claims{node = Node, incarnation = Incarnation} = Claims) ->
    known(Number, fun(Claim) -> gone(Claim, Now, Claims) end, Claims);
event(_OfAnotherNode, _Now, Claims) ->
    {[], Claims}.

%% @doc The answer of a command.
-spec answer(label(), {ok, term()} | {error, term()}, Now :: ms(), claims()) -> outcome().
answer({acquire, Number}, Answer, Now, #claims{all = All} = Claims) ->
    case All of
        #{Number := #claim{state = leaving} = Claim} -> {[], put_claim(Claim#claim{retry = Now}, Claims)};
        #{Number := #claim{state = asking} = Claim} -> asked(Answer, Claim, Now, Claims);
        #{Number := _} -> {[], Claims};
        %% It was given back, which may have been heard first.
        #{} -> {[release_command([Number], Claims) || {ok, _} <- [Answer], Answer =/= {ok, busy}], Claims}
    end;
answer({renew, Numbers, Sent}, {ok, {Held, Waiting}}, Now, Claims) ->
    Tokens = maps:from_list(Held ++ [{Number, none} || Number <- Waiting]),
    fold(fun(Number, Before) -> known(Number, fun(Claim) -> renewed(Claim, Sent, maps:find(Number, Tokens), Now, Before) end, Before) end,
         Numbers, Claims);
answer({renew, Numbers, _}, {error, _}, Now, Claims) ->
    fold(fun(Number, Before) ->
        known(Number, fun(#claim{ttl = Ttl} = Claim) ->
            {[], put_claim(Claim#claim{renewing = none, retry = Now + max(50, min(1000, Ttl div 20))}, Before)}
        end, Before)
    end, Numbers, Claims);
answer({release, Numbers}, Answer, Now, #claims{node = Node, incarnation = Incarnation} = Claims) ->
    fold(fun(Number, Before) ->
        known(Number, fun(Claim) -> released(Claim, {Node, Incarnation, Number}, Answer, Now, Before) end, Before)
    end, Numbers, Claims).

asked({ok, {held, Token}}, Claim, Now, Claims) ->
    grant(Claim, Token, Now, Claims);
asked({ok, waiting}, Claim, _Now, Claims) ->
    {[], put_claim(Claim#claim{state = waiting}, Claims)};
asked({ok, busy}, Claim, _Now, Claims) ->
    drop(Claim, {error, timeout}, Claims);
asked({ok, {refused, _} = Refused}, Claim, _Now, Claims) ->
    drop(Claim, {error, Refused}, Claims);
asked({error, in_doubt}, #claim{from = From} = Claim, Now, Claims) ->
    leave(Claim#claim{from = none}, reply(From, {error, in_doubt}), Now, Claims);
asked({error, Reason}, Claim, _Now, Claims) ->
    drop(Claim, {error, Reason}, Claims).

%% A grant that is heard of too late is one only if the lease can be renewed.
grant(#claim{state = State, from = From} = Claim, Token, Now, Claims) when State =:= asking; State =:= waiting ->
    case deadline(Claim) > Now of
        true -> {reply(From, {ok, Token}), put_claim(Claim#claim{state = held, from = none, until = infinity}, Claims)};
        false when Claim#claim.until =:= no_wait -> leave(Claim#claim{from = none}, reply(From, {error, timeout}), Now, Claims);
        false -> {[], put_claim(Claim#claim{state = waiting, retry = Now}, Claims)}
    end;
grant(_Claim, _Token, _Now, Claims) ->
    {[], Claims}.

gone(#claim{state = held} = Claim, _Now, Claims) ->
    {lose(Claim), put_claim(lost(Claim), Claims)};
gone(#claim{state = waiting, number = Number} = Claim, Now, #claims{} = Claims) ->
    ask(Claim, Now, forget(Number, Claims));
gone(_Claim, _Now, Claims) ->
    {[], Claims}.

renewed(#claim{renewing = Sent} = Claim, Sent, Found, Now, Claims) ->
    Renewed = Claim#claim{renewing = none, sent = Sent, retry = none},
    case Found of
        {ok, none} -> {[], put_claim(Renewed, Claims)};
        {ok, Token} -> grant(Renewed, Token, Now, put_claim(Renewed, Claims));
        error -> gone(Claim#claim{renewing = none}, Now, put_claim(Claim#claim{renewing = none}, Claims))
    end;
renewed(_Claim, _Sent, _Found, _Now, Claims) ->
    {[], Claims}.

released(#claim{state = leaving} = Claim, Owner, {ok, Known}, _Now, Claims) ->
    drop(Claim, case lists:member(Owner, Known) of true -> ok; false -> lost end, Claims);
%% It was held until now, so far as can be known. The cluster is told later.
released(#claim{state = leaving, from = From} = Claim, _Owner, {error, _}, Now, Claims) ->
    {reply(From, ok), put_claim(Claim#claim{from = none, retry = Now + ?AGAIN}, Claims)};
released(_Claim, _Owner, _Answer, _Now, Claims) ->
    {[], Claims}.

%% @doc Events were missed: all claims are asked about.
-spec resync(Now :: ms(), claims()) -> outcome().
resync(Now, #claims{all = All} = Claims) ->
    renew([Number || {Number, Claim} <- lists:sort(maps:to_list(All)), is_renewable(Claim)], Now, Claims).

%%% What time does

%% @doc Does what is due: who waits no longer, what is lost, what has to be renewed or said again.
-spec wake(Now :: ms(), claims()) -> outcome().
wake(Now, #claims{due = Due} = Claims) ->
    Numbers = near(Now + ?NEAR, Due, []),
    {Actions, Left} = fold(fun(Number, Before) -> known(Number, fun(Claim) -> woken(Claim, Now, Before) end, Before) end, Numbers, Claims),
    #claims{all = All} = Left,
    Still = [Claim || Number <- Numbers, {ok, Claim} <- [maps:find(Number, All)]],
    {Renewals, Renewing} = renew([Number || #claim{number = Number, due = At} = Claim <- Still, is_renewable(Claim), renew_at(Claim) =< At], Now, Left),
    {Releases, Releasing} = say_again([Number || #claim{number = Number, state = leaving, retry = At} <- Still, At =< Now], Renewing),
    {Actions ++ Renewals ++ Releases, Releasing}.

near(Until, Due, Found) ->
    case gb_sets:is_empty(Due) of
        true ->
            lists:reverse(Found);
        false ->
            case gb_sets:take_smallest(Due) of
                {{At, Number}, Others} when At =< Until -> near(Until, Others, [Number | Found]);
                _ -> lists:reverse(Found)
            end
    end.

woken(#claim{state = held} = Claim, Now, Claims) ->
    case deadline(Claim) =< Now of
        true -> {lose(Claim), put_claim(lost(Claim), Claims)};
        false -> {[], Claims}
    end;
woken(#claim{state = leaving, until = Until} = Claim, Now, Claims) when Until =< Now ->
    drop(Claim, ok, Claims);
woken(#claim{state = State, until = Until, from = From} = Claim, Now, Claims)
        when (State =:= asking orelse State =:= waiting), Until =< Now ->
    leave(Claim#claim{from = none}, reply(From, {error, timeout}), Now, Claims);
woken(_Claim, _Now, Claims) ->
    {[], Claims}.

renew(Numbers, Now, #claims{node = Node, incarnation = Incarnation} = Claims) ->
    Renewing = lists:foldl(fun(Number, #claims{all = All} = Before) -> put_claim((maps:get(Number, All))#claim{renewing = Now}, Before) end,
                           Claims, Numbers),
    {[{command, {renew, Some, Now}, {renew, Node, Incarnation, Some}} || Some <- parts(Numbers)], Renewing}.

parts([]) -> [];
parts(Numbers) when length(Numbers) =< ?TOGETHER -> [Numbers];
parts(Numbers) ->
    {Some, Others} = lists:split(?TOGETHER, Numbers),
    [Some | parts(Others)].

is_renewable(#claim{state = State, renewing = Renewing}) ->
    (State =:= waiting orelse State =:= held) andalso Renewing =:= none.

renew_at(#claim{sent = Sent, ttl = Ttl, retry = none}) -> Sent + Ttl div 3;
renew_at(#claim{retry = Retry}) -> Retry.

%% When the owner is told that it is lost.
deadline(#claim{sent = Sent, ttl = Ttl}) -> Sent + Ttl - Ttl div 10.

%%% What becomes of a claim

lost(Claim) -> Claim#claim{state = lost, watchers = []}.

lose(#claim{key = {Pid, Key}, notify = Notify, watchers = Watchers}) ->
    [{tell, Pid, {hornbeam_lock, Key, lost}} || Notify] ++ [{reply, From, true} || From <- Watchers].

%% Nobody wants it any more: the cluster is told, for as long as it may have it.
leave(#claim{number = Number, key = Key, monitor = Monitor, watchers = Watchers, ttl = Ttl} = Claim, Actions, Now, Claims) ->
    Leaving = Claim#claim{state = leaving, watchers = [], until = Now + Ttl + ?LEAVING, retry = infinity},
    {Actions ++ [{demonitor, Monitor}] ++ [{reply, From, false} || From <- Watchers] ++ [release_command([Number], Claims)],
     put_claim(Leaving, without(Key, Number, Claims))}.

say_again([], Claims) ->
    {[], Claims};
say_again(Numbers, Claims) ->
    Said = lists:foldl(fun(Number, #claims{all = All} = Before) -> put_claim((maps:get(Number, All))#claim{retry = infinity}, Before) end,
                       Claims, Numbers),
    {[release_command(Numbers, Claims)], Said}.

release_command(Numbers, #claims{node = Node, incarnation = Incarnation}) ->
    {command, {release, Numbers}, {release, [{Node, Incarnation, Number} || Number <- Numbers]}}.

drop(#claim{number = Number, key = Key, monitor = Monitor, from = From}, Answer, Claims) ->
    {reply(From, Answer) ++ [{demonitor, Monitor}], forget(Number, without(Key, Number, Claims))}.

%%% The tables

without({Owner, _} = Key, Number, #claims{keys = Keys, owners = Owners} = Claims) ->
    case Keys of
        #{Key := Number} ->
            Fewer = case Owners of
                #{Owner := 1} -> maps:remove(Owner, Owners);
                #{Owner := Count} -> Owners#{Owner := Count - 1}
            end,
            Claims#claims{keys = maps:remove(Key, Keys), owners = Fewer};
        #{} ->
            Claims
    end.

find(Key, #claims{keys = Keys, all = All}) ->
    case Keys of
        #{Key := Number} -> maps:get(Number, All);
        #{} -> none
    end.

known(Number, Fun, #claims{all = All} = Claims) ->
    case All of
        #{Number := Claim} -> Fun(Claim);
        #{} -> {[], Claims}
    end.

put_claim(#claim{number = Number, key = Key, state = State} = Claim, Claims) ->
    #claims{all = All, keys = Keys, due = Due} = Without = forget(Number, Claims),
    At = due_at(Claim),
    Without#claims{all = All#{Number => Claim#claim{due = At}},
                   keys = case State of leaving -> Keys; _ -> Keys#{Key => Number} end,
                   due = case At of infinity -> Due; _ -> gb_sets:add({At, Number}, Due) end}.

forget(Number, #claims{all = All, due = Due} = Claims) ->
    case maps:take(Number, All) of
        {#claim{due = At}, Others} -> Claims#claims{all = Others, due = gb_sets:delete_any({At, Number}, Due)};
        error -> Claims
    end.

%% A number is smaller than an atom.
due_at(#claim{state = lost}) -> infinity;
due_at(#claim{state = leaving, until = Until, retry = Retry}) -> min(Until, Retry);
due_at(#claim{state = asking, until = no_wait}) -> infinity;
due_at(#claim{state = asking, until = Until}) -> Until;
due_at(#claim{state = held, renewing = none} = Claim) -> min(deadline(Claim), renew_at(Claim));
due_at(#claim{state = held} = Claim) -> deadline(Claim);
due_at(#claim{until = Until, renewing = none} = Claim) -> min(Until, renew_at(Claim));
due_at(#claim{until = Until}) -> Until.

reply(none, _Answer) -> [];
reply(From, Answer) -> [{reply, From, Answer}].

fold(Fun, List, Claims) ->
    {Actions, Left} = lists:foldl(fun(Each, {Before, Now}) ->
        {More, Later} = Fun(Each, Now),
        {[More | Before], Later}
    end, {[], Claims}, List),
    {lists:append(lists:reverse(Actions)), Left}.
