%%% The properties of hornbeam_cluster_leases: whatever comes in whatever order, no more hold a name than may, who asked first is granted first, tokens grow,
%%% nobody is forgotten, a command that comes twice changes nothing, and no lease ends early. Run by properties_tests.
-module(prop_hornbeam_cluster_leases).

-include_lib("proper/include/proper.hrl").

-export([prop_a_model_agrees/0, prop_twice_is_once/0]).

-define(STEP, 250).

%% What there should be: every claim with when it was renewed last; of each name those who wait, in their order.
-record(model, {
    index = 1, now = 1000, token = 0,
    held = #{} :: #{term() => {Name :: term(), Token :: pos_integer(), Since :: integer(), Ttl :: pos_integer()}},
    queues = #{} :: #{term() => [{Owner :: term(), Limit :: pos_integer(), Since :: integer(), Ttl :: pos_integer()}]}
}).

-spec prop_a_model_agrees() -> proper:test().
prop_a_model_agrees() ->
    ?FORALL(Ops, list(op()), begin
        {State, Model} = lists:foldl(fun step/2, {hornbeam_cluster_leases:new(), #model{}}, Ops),
        is_empty_at_last(State, Model)
    end).

%% A resent command: the same answer but for release, and the same state.
-spec prop_twice_is_once() -> proper:test().
prop_twice_is_once() ->
    ?FORALL({Ops, Last}, {list(op()), claim()}, begin
        {State, #model{index = Index, now = Now}} = lists:foldl(fun step/2, {hornbeam_cluster_leases:new(), #model{}}, Ops),
        {Reply, _, Once} = hornbeam_cluster_leases:apply(Last, #{index => Index, now => Now}, State),
        {Again, Events, Twice} = hornbeam_cluster_leases:apply(Last, #{index => Index + 1, now => Now}, Once),
        case {Last, Reply} of
            {{release, _}, _} -> Again =:= [] andalso Events =:= [] andalso seen(Twice) =:= seen(Once);
            {_, busy} -> Again =:= busy andalso seen(Twice) =:= seen(Once);
            _ -> Again =:= Reply andalso Events =:= [] andalso Twice =:= Once
        end
    end).

%% Owners and names are few, so that they meet. A lock's limit is 1, a semaphore's differs from claim to claim.
op() ->
    frequency([{8, claim()}, {2, {renew, node_name(), range(1, 2), list(range(1, 6))}},
               {1, {abandon, node_name(), range(1, 3)}}, {3, {pass, range(1, 8)}}]).

claim() ->
    frequency([{4, {acquire, {lock, oneof([<<"a">>, <<"b">>])}, owner(), 1, ttl(), wait()}},
               {3, {acquire, {semaphore, <<"a">>}, owner(), range(1, 4), ttl(), wait()}},
               {3, {release, list(owner())}}]).

owner() -> {node_name(), range(1, 2), range(1, 6)}.
node_name() -> oneof([a@a, b@b]).
ttl() -> range(300, 1500).
wait() -> frequency([{3, wait}, {1, no_wait}]).

step({pass, Steps}, Both) ->
    lists:foldl(fun(_, Before) -> pass(Before) end, Both, lists:seq(1, Steps));
step(Op, {State0, #model{index = Index, now = Now} = Model}) ->
    {Reply, Events, State} = hornbeam_cluster_leases:apply(Op, #{index => Index, now => Now}, State0),
    consistent({State, granted(Events, said(Op, Reply, Model#model{index = Index + 1}))}).

pass({State0, #model{index = Index, now = Now0} = Model0}) ->
    Now = Now0 + ?STEP,
    {Events, State} = hornbeam_cluster_leases:expire(#{index => Index, now => Now}, State0),
    Gone = [Owner || {gone, Owner} <- Events],
    Model1 = lists:foldl(fun(Owner, Model) ->
        %% Not before its time is over, counted from the end of the step that it began in.
        {_, Since, Ttl} = lease(Owner, Model),
        true = Now - ?STEP >= Since + Ttl,
        without(Owner, Model)
    end, Model0#model{index = Index + 1, now = Now}, Gone),
    Model = granted(Events -- [{gone, Owner} || Owner <- Gone], Model1),
    %% And not later than a step after it.
    [] = [Owner || Owner <- owners(Model), {_, Since, Ttl} <- [lease(Owner, Model)], Now >= Since + Ttl + 2 * ?STEP],
    consistent({State, Model}).

said({acquire, Name, Owner, Limit, Ttl, Wait}, Reply, #model{now = Now, queues = Queues, held = Held} = Model) ->
    Queue = maps:get(Name, Queues, []),
    case {lease(Owner, Model), Reply} of
        {{{held, Token}, _, _}, _} -> {held, Token} = Reply, Model;
        {{waiting, _, _}, _} -> waiting = Reply, Model;
        {none, {held, Token}} ->
            true = Queue =:= [] andalso holders(Name, Model) < Limit andalso Token > Model#model.token,
            Model#model{token = Token, held = Held#{Owner => {Name, Token, Now, Ttl}}};
        {none, waiting} ->
            true = Wait =:= wait andalso (Queue =/= [] orelse holders(Name, Model) >= Limit),
            Model#model{queues = Queues#{Name => Queue ++ [{Owner, Limit, Now, Ttl}]}};
        {none, busy} ->
            true = Wait =:= no_wait andalso (Queue =/= [] orelse holders(Name, Model) >= Limit),
            Model
    end;
said({renew, Node, Incarnation, Numbers}, {Held, Waiting}, #model{now = Now} = Model) ->
    Renewed = [{Node, Incarnation, Number} || Number <- Numbers],
    Known = [Owner || Owner <- Renewed, lease(Owner, Model) =/= none],
    Known = [Owner || Owner <- Renewed, {_, _, Number} <- [Owner], lists:keymember(Number, 1, Held) orelse lists:member(Number, Waiting)],
    [] = [Number || {Number, Token} <- Held, element(1, lease({Node, Incarnation, Number}, Model)) =/= {held, Token}],
    lists:foldl(fun(Owner, Before) -> renewed(Owner, Now, Before) end, Model, Known);
said({release, Owners}, Known, Model) ->
    Known = lists:usort([Owner || Owner <- Owners, lease(Owner, Model) =/= none]),
    lists:foldl(fun without/2, Model, Known);
said({abandon, Node, Except}, Count, Model) ->
    Those = [Owner || {Of, Incarnation, _} = Owner <- owners(Model), Of =:= Node, Incarnation =/= Except],
    Count = length(Those),
    lists:foldl(fun without/2, Model, Those).

%% The first of a queue, and only where there is room for it.
granted(Events, Model) ->
    lists:foldl(fun({granted, Owner, Token}, #model{queues = Queues, held = Held, token = Last, now = Now} = Before) ->
        [{Name, Limit, Ttl, Rest}] = [{N, L, T, R} || {N, [{O, L, _, T} | R]} <- maps:to_list(Queues), O =:= Owner],
        true = holders(Name, Before) < Limit andalso Token > Last,
        Before#model{token = Token, queues = Queues#{Name := Rest}, held = Held#{Owner => {Name, Token, Now, Ttl}}}
    end, Model, Events).

%% Nobody waits where there is room; what can be asked is what the model has.
consistent({State, #model{now = Now, queues = Queues, held = Held} = Model}) ->
    [] = [Name || {Name, [{_, Limit, _, _} | _]} <- maps:to_list(Queues), holders(Name, Model) < Limit],
    Names = [Name || {Name, [_ | _]} <- maps:to_list(Queues)] ++ [Name || {Name, _, _, _} <- maps:values(Held)],
    Expected = maps:from_list([{Name, #{holders => lists:sort([{Token, Node} || {{Node, _, _}, {Of, Token, _, _}} <- maps:to_list(Held), Of =:= Name]),
                                        waiting => length(maps:get(Name, Queues, []))}} || Name <- Names]),
    Expected = hornbeam_cluster_leases:query(names, Now, State),
    true = hornbeam_cluster_leases:waits(State) =:= (owners(Model) =/= []),
    {State, Model}.

is_empty_at_last(State, Model) ->
    %% Each claim has its turn, and holds for as long as its lease, which nobody renews.
    {Left, #model{held = Held} = After} = step({pass, 1 + 7 * length(owners(Model))}, {State, Model}),
    Held =:= #{} andalso owners(After) =:= [] andalso hornbeam_cluster_leases:query(counts, 0, Left) =:= #{names => 0, held => 0, waiting => 0}.

seen(State) -> hornbeam_cluster_leases:query(names, 0, State).

owners(#model{held = Held, queues = Queues}) ->
    maps:keys(Held) ++ [Owner || {Owner, _, _, _} <- lists:append(maps:values(Queues))].

lease(Owner, #model{held = Held, queues = Queues}) ->
    case {Held, lists:keyfind(Owner, 1, lists:append(maps:values(Queues)))} of
        {#{Owner := {_, Token, Since, Ttl}}, _} -> {{held, Token}, Since, Ttl};
        {_, {_, _, Since, Ttl}} -> {waiting, Since, Ttl};
        _ -> none
    end.

holders(Name, #model{held = Held}) ->
    length([Of || {Of, _, _, _} <- maps:values(Held), Of =:= Name]).

without(Owner, #model{held = Held, queues = Queues} = Model) ->
    Model#model{held = maps:remove(Owner, Held), queues = maps:map(fun(_, Queue) -> lists:keydelete(Owner, 1, Queue) end, Queues)}.

renewed(Owner, Now, #model{held = Held, queues = Queues} = Model) ->
    case Held of
        #{Owner := {Name, Token, _, Ttl}} ->
            Model#model{held = Held#{Owner := {Name, Token, Now, Ttl}}};
        #{} ->
            Again = fun({Of, Limit, _, Ttl}) when Of =:= Owner -> {Of, Limit, Now, Ttl}; (Other) -> Other end,
            Model#model{queues = maps:map(fun(_, Queue) -> lists:map(Again, Queue) end, Queues)}
    end.
