%%% Properties of the shared state: whatever is done in whatever order, it is what a map would be; and of the
%%% services: whatever arrives as a call is answered. Run by properties_tests.
-module(prop_hornbeam_state).

-include_lib("proper/include/proper.hrl").

-export([prop_state_is_a_map/0, prop_every_call_is_answered/0]).

-spec prop_state_is_a_map() -> proper:test().
prop_state_is_a_map() ->
    with_hornbeam(?FORALL(Operations, list(operation()),
        cleared(fun() ->
            Final = lists:foldl(fun step/2, #{}, Operations),
            maps:from_list(hornbeam_state:items(none)) =:= Final
        end))).

%% Few keys, so that they meet; some that look like patterns.
key() ->
    oneof([a, '_', '$1', #{}, #{a => 1}, {'_'}, 1, 1.0, <<"k">>, {bytes, <<"k">>}]).

value() ->
    oneof([integer(), float(), any(), '_', #{}]).

operation() ->
    oneof([{set, key(), value()}, {add, key(), value()}, {cas, key(), value(), value()}, {swap, key(), value()},
           {incr, key(), oneof([integer(), float()])}, {delete, key()}, {pop, key()}, {get, key()}]).

step({set, Key, Value}, Model) ->
    ok = hornbeam_state:set(Key, Value),
    Model#{Key => Value};
step({add, Key, Value}, Model) ->
    Added = not is_map_key(Key, Model),
    Added = hornbeam_state:add(Key, Value),
    case Added of true -> Model#{Key => Value}; false -> Model end;
step({cas, Key, Old, New}, Model) ->
    Swapped = maps:find(Key, Model) =:= {ok, Old},
    Swapped = hornbeam_state:cas(Key, Old, New),
    case Swapped of true -> Model#{Key => New}; false -> Model end;
step({swap, Key, New}, Model) ->
    case Model of
        #{Key := Old} -> true = hornbeam_state:cas(Key, Old, New), Model#{Key => New};
        _ -> Model
    end;
step({incr, Key, Delta}, Model) ->
    case maps:get(Key, Model, 0) of
        Value when is_number(Value) ->
            %% The first one gives the delta as it is.
            Sum = case Model of #{Key := _} -> Value + Delta; _ -> Delta end,
            {ok, Sum} = hornbeam_state:incr(Key, Delta),
            Model#{Key => Sum};
        _ ->
            {error, _} = hornbeam_state:incr(Key, Delta),
            Model
    end;
step({delete, Key}, Model) ->
    Deleted = is_map_key(Key, Model),
    Deleted = hornbeam_state:delete(Key),
    maps:remove(Key, Model);
step({pop, Key}, Model) ->
    Found = maps:find(Key, Model),
    Found = hornbeam_state:pop(Key),
    maps:remove(Key, Model);
step({get, Key}, Model) ->
    Found = maps:find(Key, Model),
    Found = hornbeam_state:get(Key),
    Model.

-spec prop_every_call_is_answered() -> proper:test().
prop_every_call_is_answered() ->
    Codes = maps:values(hornbeam_services:operations()) -- [60, 61, 62],  % these three are not answered
    with_hornbeam(?FORALL({Code, Arguments}, {oneof(Codes), list(argument())},
        cleared(fun() ->
            process_flag(trap_exit, true),
            Payload = iolist_to_binary([Code | hornbeam_msgpack:encode(Arguments)]),
            Services0 = hornbeam_services:new(1, #{rpc_allow => [], cluster_nodes => []}),
            {Reply, Services} = first_reply(hornbeam_services:call(7, Payload, Services0)),
            ok = hornbeam_services:stop(Services),
            is_reply(Reply)
        end))).

first_reply({reply, Reply, Services}) -> {Reply, Services};
first_reply({noreply, Services}) -> {later(Services), Services}.

later(Services) ->
    receive
        Message ->
            case hornbeam_services:handle_info(Message, Services) of
                {[Reply], _} -> Reply;
                {[], _} -> later(Services)
            end
    after 5000 -> none
    end.

is_reply(Reply) ->
    case iolist_to_binary(Reply) of
        <<Size:32, 5, 7:32, Status, Rest/binary>> -> byte_size(Rest) =:= Size - 6 andalso Status =< 2;
        _ -> false
    end.

argument() ->
    oneof([none, integer(), float(), binary_text(), list(integer()), {bytes, binary()}, tuple([integer()]),
           ?LET(Pairs, list({binary_text(), integer()}), maps:from_list(Pairs))]).

binary_text() ->
    ?LET(Text, list(choose($a, $z)), list_to_binary(Text)).

%% The application runs as long as the property does.
with_hornbeam(Property) ->
    ?SETUP(fun() ->
        {ok, Started} = application:ensure_all_started(hornbeam),
        fun() -> [application:stop(App) || App <- lists:reverse(Started)], ok end
    end, Property).

cleared(Fun) ->
    true = ets:delete_all_objects(hornbeam_state),
    Fun().
