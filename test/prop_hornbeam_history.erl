%%% The property of hornbeam_history: with any messages, limits and ends of keeping, in any order over several topics, what is read is what a list of all
%%% messages would say. Run by properties_tests.
-module(prop_hornbeam_history).

-include_lib("proper/include/proper.hrl").

-export([prop_is_a_list_of_the_last/0]).

-define(SIZE, 400).     % of a message here, at least

%% Of the model: all messages that are kept, the oldest first, and what is kept of each topic.
-record(model, {
    kept = #{} :: #{binary() => {pos_integer() | infinity, hornbeam_history:kept()}},
    messages = [] :: [{Topic :: binary(), Id :: binary(), Text :: binary(), Size :: pos_integer()}],
    gone = [] :: [{Topic :: binary(), Id :: binary()}],
    max = 1 bsl 30 :: pos_integer()
}).

-spec prop_is_a_list_of_the_last() -> proper:test().
prop_is_a_list_of_the_last() ->
    ?FORALL(Events, list(event()), begin
        {ok, Tables} = hornbeam_tables:start_link(),
        try
            ok = hornbeam_history:set_max_bytes(1 bsl 30),
            Model = lists:foldl(fun(Event, Before) -> After = step(Event, Before), ok = same(After), After end, #model{}, Events),
            is_record(Model, model)
        after
            ok = hornbeam_history:set_max_bytes(67108864),
            gen_server:stop(Tables)
        end
    end).

event() ->
    frequency([{8, {message, topic(), range(0, 300)}}, {3, {keep, topic(), oneof([1, 2, 5, infinity])}}, {1, {anew, topic(), oneof([2, infinity])}},
               {1, {max, range(1, 12)}}]).

topic() -> oneof([<<"a">>, <<"b">>, <<"c:1">>]).

step({message, Topic, Size}, #model{kept = Kept, messages = Messages} = Model) ->
    case Kept of
        #{Topic := {Limit, State0}} ->
            Id = hornbeam_history:id(),
            Text = binary:copy(<<"x">>, Size),
            {{frame, _, _, _, _, Id}, State} = hornbeam_history:kept(published(Topic), {frame, <<"f">>, none, <<"e">>, {json, Text}, Id}, State0),
            Takes = Size + byte_size(Id) + byte_size(Topic) + 1 + 300,
            limited(Model#model{kept = Kept#{Topic := {Limit, State}}, messages = Messages ++ [{Topic, Id, Text, Takes}]}, Topic);
        #{} ->
            false = hornbeam_history:is_kept(Topic),
            Model
    end;
step({keep, Topic, Limit}, #model{kept = Kept} = Model) ->
    Before = case Kept of #{Topic := {_, State}} -> State; #{} -> none end,
    Model#model{kept = Kept#{Topic => {Limit, hornbeam_history:kept(published(Topic), {Limit, infinity}, Before)}}};
step({anew, Topic, Limit}, #model{kept = Kept, messages = Messages} = Model) ->
    New = hornbeam_history:kept(published(Topic), {Limit, infinity}, none),
    forgotten([M || {Of, _, _, _} = M <- Messages, Of =:= Topic], Model#model{kept = Kept#{Topic => {Limit, New}}});
step({max, Times}, Model) ->
    ok = hornbeam_history:set_max_bytes(Times * ?SIZE),
    Model#model{max = Times * ?SIZE}.

%% Limits hold from the next message on.
limited(#model{kept = Kept, messages = Messages} = Model, Topic) ->
    #{Topic := {Limit, _}} = Kept,
    Of = [M || {Each, _, _, _} = M <- Messages, Each =:= Topic],
    shrunk(forgotten(lists:sublist(Of, max(0, length(Of) - min(Limit, length(Of)))), Model)).

shrunk(#model{messages = Messages, max = Max} = Model) ->
    case lists:sum([Takes || {_, _, _, Takes} <- Messages]) > Max of
        true -> shrunk(forgotten([hd(Messages)], Model));
        false -> Model
    end.

forgotten(Those, #model{messages = Messages, gone = Gone} = Model) ->
    Model#model{messages = Messages -- Those, gone = [{Topic, Id} || {Topic, Id, _, _} <- Those] ++ Gone}.

published(Topic) -> <<"channel:", Topic/binary>>.

same(#model{kept = Kept, messages = Messages, gone = Gone}) ->
    maps:foreach(fun(Topic, {_, State}) ->
        Of = [{Id, <<"e">>, {json, Text}} || {Each, Id, Text, _} <- Messages, Each =:= Topic],
        {ok, Of} = hornbeam_history:since(Topic, <<>>, 1 bsl 70),
        %% After each that is kept, what comes behind it; after what is gone, all.
        true = lists:all(fun({Id, _, _}) -> hornbeam_history:since(Topic, Id, hornbeam_history:position(State)) =:= {ok, behind(Id, Of)} end, Of),
        true = lists:all(fun({Each, Id}) -> Each =/= Topic orelse hornbeam_history:since(Topic, Id, 1 bsl 70) =:= {missed, Of} end, Gone),
        true = hornbeam_history:is_kept(Topic)
    end, Kept),
    Size = lists:sum([Takes || {_, _, _, Takes} <- Messages]),
    Size = case ets:lookup(hornbeam_history, bytes) of [{_, Bytes}] -> Bytes; [] -> 0 end,
    Count = length(Messages),
    Count = ets:info(hornbeam_history_order, size),
    ok.

behind(Id, [{Id, _, _} | Later]) -> Later;
behind(Id, [_ | Rest]) -> behind(Id, Rest).
