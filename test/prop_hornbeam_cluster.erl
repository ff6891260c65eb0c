%%% The properties of the cluster's machine and of its keys and values: with any operations the state is what a map of all entries would be; and a log in
%%% which commands come twice, late, or from a client that is gone, does what the commands alone do. Run by properties_tests.
-module(prop_hornbeam_cluster).

-include_lib("proper/include/proper.hrl").

-export([prop_keys_and_values_are_a_map/0, prop_a_command_is_applied_once/0]).

-define(STEP, 250).

%%% Keys and values

%% Of the model: Key -> {Value, Revision, End}.
prop_keys_and_values_are_a_map() ->
    ?FORALL(Operations, list({operation(), range(0, 2)}), begin
        {_, _, _, Same} = lists:foldl(fun run/2, {1, hornbeam_cluster_kv:new(), #{}, true}, Operations),
        Same
    end).

run({Operation, Steps}, {Index, Kv0, Model0, Same}) ->
    Now = Index * 100,
    {Reply, Events, Kv1} = hornbeam_cluster_kv:apply(Operation, #{index => Index, now => Now}, Kv0),
    {Expected, Model1} = model(Operation, Index, Now, Model0),
    Told = lists:all(fun({put, Key, Value, Revision}) -> element(2, maps:get(Key, Model1)) =:= Revision andalso element(1, maps:get(Key, Model1)) =:= Value;
                        ({delete, Key, Revision}) -> Revision =:= Index andalso not is_map_key(Key, Model1) end, Events),
    Later = Now + Steps * ?STEP,
    {Over, Kv} = hornbeam_cluster_kv:expire(#{index => Index, now => Later}, Kv1),
    Model = maps:filter(fun(_, {_, _, End}) -> End > Later end, Model1),
    Gone = lists:sort([Key || {delete, Key, _} <- Over]) =:= lists:sort(maps:keys(Model1) -- maps:keys(Model)),
    Waits = hornbeam_cluster_kv:waits(Kv) =:= lists:any(fun({_, _, End}) -> End =/= infinity end, maps:values(Model)),
    {Index + 1, Kv, Model, Same andalso Reply =:= Expected andalso Told andalso Gone andalso Waits andalso is_same(Kv, Model)}.

model({put, Key, Value, Ttl, Max}, Index, Now, Model) ->
    written(Key, {Value, Index, ends(Ttl, Now)}, Max, ok, Model);
model({add, Key, Value, Ttl, Max}, Index, Now, Model) ->
    case is_map_key(Key, Model) of
        true -> {false, Model};
        false -> written(Key, {Value, Index, ends(Ttl, Now)}, Max, true, Model)
    end;
model({cas, Key, Old, New, Max}, Index, _Now, Model) ->
    case Model of
        #{Key := {Old, _, End}} -> written(Key, {New, Index, End}, Max, true, Model);
        #{} -> {false, Model}
    end;
model({replace, Key, Revision, New, Ttl, Max}, Index, Now, Model) ->
    case maps:get(Key, Model, {none, 0, infinity}) of
        {_, Revision, End} -> written(Key, {New, Index, case Ttl of keep -> End; _ -> ends(Ttl, Now) end}, Max, true, Model);
        _ -> {false, Model}
    end;
model({incr, Key, Delta, Ttl, Max}, Index, Now, Model) ->
    case Model of
        #{Key := {Number, _, End}} when is_number(Number) -> written(Key, {Number + Delta, Index, End}, Max, {ok, Number + Delta}, Model);
        #{Key := _} -> {{error, not_a_number}, Model};
        #{} -> written(Key, {Delta, Index, ends(Ttl, Now)}, Max, {ok, Delta}, Model)
    end;
model({take, Key}, _Index, _Now, Model) ->
    case maps:take(Key, Model) of
        {{Value, _, _}, Rest} -> {{ok, Value}, Rest};
        error -> {error, Model}
    end;
model({touch, Key, Ttl}, _Index, Now, Model) ->
    case Model of
        #{Key := {Value, Revision, _}} -> {true, Model#{Key := {Value, Revision, ends(Ttl, Now)}}};
        #{} -> {false, Model}
    end.

written(Key, Entry, Max, Reply, Model) ->
    New = Model#{Key => Entry},
    case bytes(New) > Max andalso bytes(New) > bytes(Model) of
        true -> {{error, full}, Model};
        false -> {Reply, New}
    end.

ends(infinity, _) -> infinity;
ends(Ttl, Now) -> Now + Ttl + ?STEP.

bytes(Model) -> maps:fold(fun(Key, {Value, _, _}, Sum) -> Sum + 200 + size_of(Key) + size_of(Value) end, 0, Model).

size_of({_, Binary}) -> byte_size(Binary);
size_of(Binary) when is_binary(Binary) -> byte_size(Binary);
size_of(_) -> 8.

is_same(Kv, Model) ->
    Size = {map_size(Model), bytes(Model)},
    All = lists:sort([{Key, Value, Revision} || {Key, {Value, Revision, _}} <- maps:to_list(Model)]),
    Size = hornbeam_cluster_kv:size(Kv),
    All = pages(none, none, 2, Kv),
    Beginning = [Entry || {Key, _, _} = Entry <- All, begins(Key, <<"a">>)],
    Beginning = pages(<<"a">>, none, 1, Kv),
    lists:all(fun(Key) ->
        hornbeam_cluster_kv:query({get, Key}, 0, Kv) =:= case Model of
            #{Key := {Value, Revision, _}} -> {ok, Value, Revision};
            #{} -> error
        end
    end, keys()).

begins(<<"a", _/binary>>, <<"a">>) -> true;
begins(_, _) -> false.

pages(Prefix, After, Limit, Kv) ->
    case hornbeam_cluster_kv:query({page, Prefix, After, Limit}, 0, Kv) of
        {done, Found} -> Found;
        {more, Last, Found} ->
            true = length(Found) =< Limit,
            Found ++ pages(Prefix, Last, Limit, Kv)
    end.

keys() -> [<<"a">>, <<"ab">>, <<"b">>, {bytes, <<"a">>}, {term, <<"x">>}].

operation() ->
    Key = oneof(keys()),
    Ttl = oneof([infinity, infinity, 1, 100, 600]),
    Max = oneof([1 bsl 30, 1 bsl 30, 700]),
    oneof([{put, Key, value(), Ttl, Max}, {add, Key, value(), Ttl, Max}, {cas, Key, value(), value(), Max}, {take, Key}, {touch, Key, Ttl},
           {replace, Key, range(0, 12), value(), oneof([keep, Ttl]), Max}, {incr, Key, oneof([1, -2]), Ttl, Max}]).

value() -> oneof([0, 1, 1.0, <<"v">>, binary(50)]).

%%% Once

%% A log as clients and leaders that change make it: each command comes at least once, maybe again at any later place. What counts is the first time.
prop_a_command_is_applied_once() ->
    ?FORALL({Commands, Seed}, {list({oneof([a, b]), oneof([<<"x">>, <<"y">>]), range(1, 9)}), integer()}, begin
        _ = rand:seed(exsss, Seed),
        Sent = numbered(Commands, #{}),
        Log = repeated(Sent),
        {_, _, Replies} = played(Log, {1, hornbeam_cluster_machine:init(#{}), #{}}),
        %% In the order of the first times, each adds once.
        {_, Expected} = lists:foldl(fun({Node, Seq, Key, Delta}, {Sums, Acc}) ->
            Sum = maps:get(Key, Sums, 0) + Delta,
            {Sums#{Key => Sum}, Acc#{{Node, Seq} => {ok, Sum}}}
        end, {#{}, #{}}, firsts(Log)),
        Replies =:= Expected
    end).

numbered([], _) -> [];
numbered([{Node, Key, Delta} | Rest], Next) ->
    Seq = maps:get(Node, Next, 1),
    [{Node, Seq, Key, Delta} | numbered(Rest, Next#{Node => Seq + 1})].

%% A command is sent again only while it is not answered: Low of what follows is not beyond it before its last useful copy, but copies may come later still.
repeated(Sent) ->
    lists:append([[Each | case rand:uniform(3) of
                              1 -> [lists:nth(rand:uniform(N), Sent)];
                              _ -> []
                          end] || {N, Each} <- lists:zip(lists:seq(1, length(Sent)), Sent)]).

firsts(Log) ->
    {_, Firsts} = lists:foldl(fun({Node, Seq, _, _} = Each, {Seen, Acc}) ->
        case is_map_key({Node, Seq}, Seen) of
            true -> {Seen, Acc};
            false -> {Seen#{{Node, Seq} => true}, [Each | Acc]}
        end
    end, {#{}, []}, Log),
    lists:reverse(Firsts).

%% In batches of one to three of the same client. It knows the reply of the first time; Low passes what is answered, one behind.
played([], {Index, Machine, Replies}) ->
    {Index, Machine, Replies};
played([{Node, _, _, _} | _] = Log, {Index, Machine0, Replies}) ->
    {Batch, Rest} = batch(Node, rand:uniform(3), Log, []),
    Numbered = [{Seq, {kv, {incr, Key, Delta, infinity, 1 bsl 30}}} || {_, Seq, Key, Delta} <- Batch],
    Low = max(1, lists:min([Seq || {Seq, _} <- Numbered]) - rand:uniform(3)),
    {Machine, Answers} = case hornbeam_cluster_machine:apply(#{index => Index}, hornbeam_cluster_machine:command({Node, 7}, Low, Numbered), Machine0) of
        {M, R} -> {M, R};
        {M, R, _} -> {M, R}
    end,
    played(Rest, {Index + 1, Machine, lists:foldl(fun({Seq, Reply}, Acc) -> known({Node, Seq}, Reply, Acc) end, Replies, Answers)}).

batch(Node, Room, [{Node, _, _, _} = Each | Rest], Batch) when Room > 0 -> batch(Node, Room - 1, Rest, [Each | Batch]);
batch(_Node, _Room, Rest, Batch) -> {lists:reverse(Batch), Rest}.

known(Command, Reply, Replies) ->
    case Replies of
        #{Command := Before} ->
            true = Reply =:= Before orelse Reply =:= {error, gone},
            Replies;
        #{} ->
            Replies#{Command => Reply}
    end.
