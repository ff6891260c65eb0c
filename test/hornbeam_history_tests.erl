%%% The last messages of a topic as a relay has them kept: how many, how long, how much of all together, what is missed after an id. That this holds for
%%% any order of events is prop_hornbeam_history's; that nobody misses any while they come, python_tests/realtime/test_history.py's.
-module(hornbeam_history_tests).

-include_lib("eunit/include/eunit.hrl").

-import(hornbeam_history, [kept/3, position/1, is_over/1, is_kept/1, since/3, read/3, sweep/0, set_max_bytes/1, id/0, keeper/1]).

-define(TOPIC, <<"channel:room:1">>).

history_test_() ->
    {foreach, fun() -> {ok, Tables} = hornbeam_tables:start_link(), ok = set_max_bytes(1 bsl 30), Tables end,
     fun(Tables) -> ok = set_max_bytes(67108864), gen_server:stop(Tables) end,
     [{atom_to_list(Name), Test} || {Name, Test} <- [
        {so_many, fun so_many/0}, {so_long, fun so_long/0}, {all_together, fun all_together/0}, {the_first_message, fun the_first_message/0},
        {after_an_id, fun after_an_id/0}, {by_position, fun by_position/0}, {never, fun never/0}, {of_another_node, fun of_another_node/0},
        {from_where_it_began, fun from_where_it_began/0}, {begun_anew, fun begun_anew/0}, {relay_that_died, fun relay_that_died/0}, {nothing_is_left, fun nothing_is_left/0},
        {no_more_than_its_own, fun no_more_than_its_own/0}, {ids_differ, fun ids_differ/0}, {limits_of_python, fun limits_of_python/0}]]}.

%%% Of a topic

message(N) -> {frame, <<"frame">>, none, <<"n">>, {json, integer_to_binary(N)}, id()}.

add(Ns, Kept) ->
    lists:foldl(fun(N, Each) -> {{frame, _, _, _, _, Id}, Next} = kept(?TOPIC, message(N), Each), true = is_binary(Id), Next end, Kept, Ns).

begun(Limits) -> kept(?TOPIC, Limits, none).

all() -> numbers(read(<<"room:1">>, <<>>, 1000)).

numbers({Whole, Messages}) -> {Whole, [binary_to_integer(iolist_to_binary(Text)) || {_, <<"n">>, {json, Text}} <- Messages]}.

id_of(N) ->
    {ok, Messages} = read(<<"room:1">>, <<>>, 1000),
    [Id] = [Id || {Id, _, {json, Text}} <- Messages, Text =:= integer_to_binary(N)],
    Id.

so_many() ->
    Kept = add([1, 2, 3], begun({3, infinity})),
    ?assertEqual({ok, [1, 2, 3]}, all()),
    Fourth = add([4], Kept),
    ?assertEqual({ok, [2, 3, 4]}, all()),
    Fewer = kept(?TOPIC, {2, infinity}, Fourth),
    _ = add([5], Fewer),
    ?assertEqual({ok, [4, 5]}, all()).

%% A client that has seen none: from where it joined, as long as nothing behind that has been forgotten.
from_where_it_began() ->
    Begun = begun({3, infinity}),
    First = hornbeam_history:id_of(position(Begun)),
    ?assertEqual({ok, []}, since_id(First)),
    Three = add([1, 2, 3], Begun),
    Later = hornbeam_history:id_of(position(Three)),
    ?assertEqual({ok, [1, 2, 3]}, since_id(First)),
    ?assertEqual({ok, []}, since_id(Later)),
    Four = add([4], Three),
    ?assertEqual({missed, [2, 3, 4]}, since_id(First)),
    ?assertEqual({ok, [4]}, since_id(Later)),
    Seven = add([5, 6, 7], Four),
    ?assertEqual({missed, [5, 6, 7]}, since_id(Later)),
    [?assertEqual({missed, [5, 6, 7]}, since_id(Other)) || Other <- [<<"0123456789ab@1">>, <<First/binary, "x">>, <<"@">>, <<"@1">>]],
    Now = hornbeam_history:id_of(position(Seven)),
    ?assertEqual({ok, []}, since_id(Now)),
    _ = begun({3, infinity}),
    ?assertEqual({missed, []}, since_id(Now)).

since_id(Id) -> numbers(read(<<"room:1">>, Id, 1000)).

%% What is too old is not read, whether it has been removed or not.
so_long() ->
    Kept = add([1], begun({infinity, 50})),
    Id = id_of(1),
    ?assertEqual({ok, []}, numbers(since(<<"room:1">>, Id, position(Kept)))),
    wait_until(fun() -> all() =:= {ok, []} end),
    ?assertEqual({missed, []}, numbers(since(<<"room:1">>, Id, position(Kept)))),
    _ = add([2], Kept),
    ?assertEqual({ok, [2]}, all()),
    ?assertEqual(1, rows()).

%% The oldest of all, whosever it is.
all_together() ->
    Other = <<"channel:room:2">>,
    Kept = add([1, 2], begun({infinity, infinity})),
    {_, _} = kept(Other, message(3), kept(Other, {infinity, infinity}, none)),
    [{bytes, Bytes}] = ets:lookup(hornbeam_history, bytes),
    Fits = Bytes + Bytes div 3,
    ok = set_max_bytes(Fits),
    More = add([4], Kept),
    ?assertEqual({ok, [1, 2, 4]}, all()),
    ok = set_max_bytes(Fits - 10),
    _ = add([5], More),
    ?assertEqual({ok, [4, 5]}, all()),
    ?assertMatch({ok, [_]}, read(<<"room:2">>, <<>>, 10)),
    ok = set_max_bytes(0),
    _ = add([6], More),
    ?assertEqual({ok, []}, all()),
    ?assertEqual({ok, []}, read(<<"room:2">>, <<>>, 10)),
    ?assertEqual([{bytes, 0}], ets:lookup(hornbeam_history, bytes)).

%% Whoever subscribes before it gets it as it comes, and not from here.
the_first_message() ->
    Kept = begun({10, infinity}),
    Position = position(Kept),
    _ = add([1], Kept),
    ?assertEqual({missed, []}, numbers(since(<<"room:1">>, <<"unknown">>, Position))).

after_an_id() ->
    Kept = add([1, 2, 3, 4], begun({3, infinity})),
    Id = id_of(2),
    ?assertEqual({ok, [3, 4]}, numbers(since(<<"room:1">>, Id, position(Kept)))),
    ?assertEqual({ok, []}, numbers(since(<<"room:1">>, id_of(4), position(Kept)))),
    ?assertEqual({missed, [2, 3, 4]}, numbers(since(<<"room:1">>, <<"unknown">>, position(Kept)))),
    Last = add([5], Kept),
    ?assertEqual({missed, [3, 4, 5]}, numbers(since(<<"room:1">>, Id, position(Last)))),
    ?assertEqual({ok, [4, 5]}, numbers(read(<<"room:1">>, <<>>, 2))),
    ?assertEqual({missed, []}, read(<<"room:0">>, Id, 2)).

by_position() ->
    Kept = add([1, 2], begun({10, infinity})),
    Position = position(Kept),
    _ = add([3], Kept),
    ?assertEqual({ok, [2]}, numbers(since(<<"room:1">>, id_of(1), Position))).

never() ->
    Kept = begun({10, infinity}),
    Message = {frame, <<"frame">>, none, <<"presence_diff">>, {json, <<"{}">>}, never},
    ?assertEqual({Message, Kept}, kept(?TOPIC, Message, Kept)),
    ?assertEqual({ok, []}, all()).

%% Which did not know that the topic is kept: the frame gets the id here.
of_another_node() ->
    {{frame, Frame, _, _, _, Id}, _} = kept(?TOPIC, {frame, <<"without">>, none, <<"n">>, {json, <<"1">>}, none}, begun({10, infinity})),
    ?assertNotEqual(nomatch, binary:match(Frame, Id)),
    ?assertEqual(Id, id_of(1)).

%% What was kept before is not known to be whole.
begun_anew() ->
    _ = add([1, 2], begun({10, infinity})),
    Id = id_of(1),
    Kept = add([3], begun({10, infinity})),
    ?assertEqual({missed, [3]}, numbers(since(<<"room:1">>, Id, position(Kept)))).

relay_that_died() ->
    {Pid, Monitor} = spawn_monitor(fun() -> add([1], begun({10, infinity})) end),
    receive {'DOWN', Monitor, process, Pid, Reason} -> ?assertEqual(normal, Reason) end,
    ?assertNot(is_kept(<<"room:1">>)),
    ok = sweep_without_relays(),
    ?assertEqual(0, rows()).

%% There are no relays here to be told, nor their names, unless another test has made them.
sweep_without_relays() ->
    try sweep()
    catch error:badarg -> ok
    end.

nothing_is_left() ->
    Kept = add([1], begun({10, 30})),
    ?assert(is_kept(<<"room:1">>)),
    ?assertNot(is_over(Kept)),
    wait_until(fun() -> is_over(Kept) end),
    ?assertNot(is_kept(<<"room:1">>)),
    ?assertEqual([{bytes, 0}], ets:tab2list(hornbeam_history)),
    ?assertEqual([], ets:tab2list(hornbeam_history_order)).

%% A small part of a large read.
no_more_than_its_own() ->
    Read = binary:copy(<<"x">>, 1000000),
    Message = {frame, <<"frame">>, none, binary:part(Read, 0, 100), {json, binary:part(Read, 10, 200)}, id()},
    {_, _} = kept(?TOPIC, Message, begun({10, infinity})),
    {ok, [{_, Event, {json, Text}}]} = read(<<"room:1">>, <<>>, 1),
    ?assert(binary:referenced_byte_size(Event) < 1000),
    ?assert(binary:referenced_byte_size(Text) < 1000).

ids_differ() ->
    Ids = [id() || _ <- lists:seq(1, 1000)],
    ?assertEqual(1000, length(lists:usort(Ids))),
    [Epoch] = lists:usort([hd(binary:split(Id, <<"-">>)) || Id <- Ids]),
    ?assertEqual(12, byte_size(Epoch)).

limits_of_python() ->
    ?assertEqual(none, keeper(none)),
    ?assertEqual({hornbeam_history, {5, infinity}}, keeper([5, none])),
    ?assertEqual({hornbeam_history, {5, 2000}}, keeper([5, 2000])).

rows() -> ets:info(hornbeam_history_order, size).

wait_until(Condition) -> wait_until(Condition, 500).

wait_until(Condition, Left) when Left > 0 ->
    case Condition() of
        true -> ok;
        false -> receive after 10 -> wait_until(Condition, Left - 1) end
    end.
