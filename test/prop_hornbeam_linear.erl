%%% What was made to cost the same however much there is still does what a plain list would: subscriptions, those that wait for
%%% a place, mounts. Run by properties_tests.
-module(prop_hornbeam_linear).

-include_lib("proper/include/proper.hrl").
-include("hornbeam.hrl").

-export([prop_subscriptions_are_a_list/0, prop_a_pool_queue_is_a_list/0, prop_the_longest_prefix/0]).

%% The model is the list of the subscriptions; the calling process has them all.
-spec prop_subscriptions_are_a_list() -> proper:test().
prop_subscriptions_are_a_list() ->
    ?SETUP(
        fun() ->
            {ok, Started} = application:ensure_all_started(hornbeam),
            fun() -> lists:foreach(fun(App) -> ok = application:stop(App) end, lists:reverse(Started)) end
        end,
        ?FORALL(Operations, list({oneof([add, add, remove, remove_all, publish]), topic()}),
            begin
                Final = lists:foldl(fun subscription/2, [], Operations),
                Count = hornbeam_pubsub:subscriptions(),
                ok = hornbeam_pubsub:unsubscribe_all(),
                Left = [ets:tab2list(T) || T <- [hornbeam_subscribers, hornbeam_subscriptions]] ++ [hornbeam_subscribers:counts()],
                Count =:= length(Final) andalso Left =:= [[], [], []]
            end)).

topic() -> ?LET(Text, list(oneof("ab*")), list_to_binary(lists:sublist(Text, 3))).

subscription({add, Topic}, Model) ->
    ok = hornbeam_pubsub:subscribe(Topic),
    [Topic | Model];
subscription({remove, Topic}, Model) ->
    Expected = case lists:member(Topic, Model) of true -> ok; false -> not_joined end,
    Expected = hornbeam_pubsub:unsubscribe(Topic),
    lists:delete(Topic, Model);
subscription({remove_all, _}, _Model) ->
    ok = hornbeam_pubsub:unsubscribe_all(),
    [];
subscription({publish, Topic}, Model) ->
    case hornbeam_topic:is_pattern(Topic) of
        true ->
            Model;
        false ->
            Count = length([Of || Of <- Model, matches(Topic, Of)]),
            Count = hornbeam_pubsub:publish(Topic, message),
            Came = receive {hornbeam_pubsub, Topic, message} -> true after 0 -> false end,
            Came = Count > 0,
            none = receive {hornbeam_pubsub, _, _} = More -> More after 0 -> none end,
            Model
    end.

matches(Topic, Of) ->
    case hornbeam_topic:is_pattern(Of) of
        true -> lists:prefix(lists:droplast(binary_to_list(Of)), binary_to_list(Topic));
        false -> Topic =:= Of
    end.

%% Each owner stands in it once.
-spec prop_a_pool_queue_is_a_list() -> proper:test().
prop_a_pool_queue_is_a_list() ->
    ?FORALL(Operations, list({oneof([front, back, back, delete, out]), range(1, 8)}),
        begin
            {Queue, Model} = lists:foldl(fun queue/2, {hornbeam_pool_queue:new(), []}, Operations),
            drained(Queue) =:= Model
        end).

queue({delete, Number}, {Queue, Model}) ->
    case {hornbeam_pool_queue:delete(owner(Number), Queue), lists:member(owner(Number), Model)} of
        {{ok, Next}, true} -> {Next, lists:delete(owner(Number), Model)};
        {error, false} -> {Queue, Model}
    end;
queue({out, _}, {Queue, Model}) ->
    true = hornbeam_pool_queue:is_empty(Queue) =:= (Model =:= []),
    case {hornbeam_pool_queue:out(Queue), Model} of
        {{Owner, Next}, [Owner | Rest]} -> {Next, Rest};
        {empty, []} -> {Queue, []}
    end;
queue({Where, Number}, {Queue, Model}) ->
    case lists:member(owner(Number), Model) of
        true -> {Queue, Model};
        false when Where =:= front -> {hornbeam_pool_queue:in(owner(Number), front, Queue), [owner(Number) | Model]};
        false -> {hornbeam_pool_queue:in(owner(Number), back, Queue), Model ++ [owner(Number)]}
    end.

owner(Number) -> {self(), Number}.

drained(Queue) ->
    case hornbeam_pool_queue:out(Queue) of
        {Owner, Rest} -> [Owner | drained(Rest)];
        empty -> []
    end.

-spec prop_the_longest_prefix() -> proper:test().
prop_the_longest_prefix() ->
    ?FORALL({Prefixes, Path}, {list(path()), path()},
        begin
            Mounts = [#mount{prefix = Prefix, app = <<"a">>, pool = {?MODULE, Prefix}, settings = #{}}
                      || Prefix <- lists:usort(Prefixes)],
            ok = hornbeam_mounts:publish(?MODULE, Mounts),
            Holding = [{byte_size(P), P} || P <- Prefixes, holds(P, Path)],
            Found = hornbeam_mounts:find(?MODULE, undefined, Path),
            ok = hornbeam_mounts:forget(?MODULE),
            case Found of
                {ok, #mount{prefix = Prefix}} -> {byte_size(Prefix), Prefix} =:= lists:max(Holding);
                error -> Holding =:= []
            end
        end).

path() -> ?LET(Parts, list(oneof(["/a", "/b", "/ab"])), list_to_binary(Parts)).

holds(Prefix, Path) ->
    lists:prefix(binary_to_list(Prefix) ++ "/", binary_to_list(Path) ++ "/").
