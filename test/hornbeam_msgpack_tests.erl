%%% hornbeam_msgpack: the golden vectors, what cannot be encoded, and the limits of decoding.
-module(hornbeam_msgpack_tests).

-include_lib("eunit/include/eunit.hrl").

-define(MAX_DEPTH, 500).

%%% The vectors

vectors_test_() ->
    [{binary_to_list(Name), fun() -> vector(Direction, Vector) end}
     || #{<<"name">> := Name, <<"direction">> := Direction} = Vector <- wire_vectors:read(<<"values">>)].

vector(<<"both">>, Vector) ->
    vector(<<"erlang_encode">>, Vector),
    vector(<<"decode">>, Vector);
vector(<<"erlang_encode">>, #{<<"hex">> := Hex, <<"erlang">> := Text}) ->
    ?assertEqual(wire_vectors:bytes(Hex), encoded(wire_vectors:term(Text)));
vector(<<"decode">>, #{<<"hex">> := Hex, <<"erlang">> := Text}) ->
    %% Exact: 1 and 1.0 differ.
    ?assertEqual({ok, wire_vectors:term(Text)}, hornbeam_msgpack:decode(wire_vectors:bytes(Hex))).

malformed_test_() ->
    [{binary_to_list(Name), fun() -> malformed(Vector) end}
     || #{<<"name">> := Name} = Vector <- wire_vectors:read(<<"malformed">>)].

malformed(#{<<"hex">> := Hex, <<"erlang">> := Reason}) ->
    ?assertEqual({error, wire_vectors:term(Reason)}, hornbeam_msgpack:decode(wire_vectors:bytes(Hex))).

%%% Encoding

not_encodable_test_() ->
    Parts = [self(), make_ref(), fun() -> ok end, fun lists:map/2, hd(erlang:ports()),
             <<1:3>>, [1 | 2], [1, 2 | <<"a">>]],
    [?_assertEqual({error, {not_encodable, Part}}, hornbeam_msgpack:try_encode(Term))
     || Part <- Parts,
        Term <- [Part, [1, Part], #{<<"a">> => Part}, #{Part => 1}, {ok, [Part]}, {bytes, Part}]].

encode_raises_test() ->
    ?assertError({not_encodable, P} when is_pid(P), hornbeam_msgpack:encode([self()])).

try_encode_test() ->
    ?assertEqual({ok, <<1>>}, flat(hornbeam_msgpack:try_encode(1))),
    ?assertEqual({ok, <<16#92, 1, 2>>}, flat(hornbeam_msgpack:try_encode([1, 2]))).

flat({ok, IoData}) -> {ok, iolist_to_binary(IoData)}.

same_key_test_() ->
    Pairs = [{1, 1.0}, {1, true}, {0, false}, {a, <<"a">>}, {none, undefined}, {nil, null},
             {{1, a}, {true, <<"a">>}}, {<<255>>, {bytes, <<255>>}}, {1 bsl 80, float(1 bsl 80)}],
    [?_assertMatch({error, {not_encodable, {same_key, _, _}}},
                   hornbeam_msgpack:try_encode(#{A => 1, B => 2, <<"other">> => 3}))
     || {A, B} <- Pairs].

keys_that_only_look_alike_test() ->
    Map = #{1 => 1, <<"1">> => 2, {bytes, <<"1">>} => 3, 1.5 => 4, '1.5' => 5, {1} => 6, none => 7,
            <<"none">> => 8, nan => 9, <<"nan">> => 10, <<"true">> => 11, 0 => 12, {bytes, 1} => 13,
            {bytes, <<255>>} => 14, #{} => 15, [1] => 16},
    ?assertMatch({ok, _}, hornbeam_msgpack:try_encode(Map)).

%%% Depth

depth_test_() ->
    Wraps = [{list, fun(T) -> [T] end}, {tuple, fun(T) -> {T} end}, {map, fun(T) -> #{<<"a">> => T} end},
             {key, fun(T) -> #{T => 1} end}],
    [{atom_to_list(Name), fun() -> depth(Wrap) end} || {Name, Wrap} <- Wraps].

depth(Wrap) ->
    Deepest = nested(Wrap, ?MAX_DEPTH),
    ?assertEqual({ok, Deepest}, hornbeam_msgpack:decode(encoded(Deepest))),
    ?assertEqual({error, {not_encodable, too_deep}}, hornbeam_msgpack:try_encode(Wrap(Deepest))).

nested(Wrap, Depth) ->
    lists:foldl(fun(_, Term) -> Wrap(Term) end, 1, lists:seq(1, Depth)).

decoding_depth_test() ->
    TooDeep = <<(binary:copy(<<16#91>>, ?MAX_DEPTH))/binary, 16#90>>,
    ?assertEqual({error, too_deep}, hornbeam_msgpack:decode(TooDeep)),
    ?assertEqual({error, too_deep}, hornbeam_msgpack:decode_raw(binary:copy(<<16#81>>, 1000))).

empty_containers_count_test_() ->
    [?_assertEqual({error, {not_encodable, too_deep}},
                   hornbeam_msgpack:try_encode(lists:foldl(fun(_, T) -> [T] end, Empty,
                                                           lists:seq(1, ?MAX_DEPTH))))
     || Empty <- [[], {}, #{}]].

%%% Decoding

raw_test() ->
    Bytes = encoded([<<"a">>, {bytes, <<"b">>}, #{<<"c">> => {bytes, <<255>>}}, {none, 1.5}]),
    ?assertEqual({ok, [<<"a">>, <<"b">>, #{<<"c">> => <<255>>}, {none, 1.5}]},
                 hornbeam_msgpack:decode_raw(Bytes)).

raw_does_not_check_text_test() ->
    ?assertEqual({ok, <<255>>}, hornbeam_msgpack:decode_raw(<<16#a1, 255>>)).

duplicate_key_test_() ->
    %% In Python {nan: 1, nan: 2} may hold both.
    [?_assertEqual({error, duplicate_key}, hornbeam_msgpack:decode(wire_vectors:bytes(Hex)))
     || Hex <- [<<"82 a161 01 a161 02">>, <<"82 cb7ff8000000000000 01 cb7ff8000000000000 02">>]].

integer_and_float_keys_test() ->
    ?assertEqual({ok, #{1 => 2, 1.0 => 3}},
                 hornbeam_msgpack:decode(wire_vectors:bytes(<<"82 01 02 cb3ff0000000000000 03">>))).

negative_zero_test() ->
    ?assertEqual(<<16#cb, 16#80, 0:56>>, encoded(-0.0)),
    {ok, Zero} = hornbeam_msgpack:decode(<<16#cb, 16#80, 0:56>>),
    ?assertEqual(<<16#80, 0:56>>, <<Zero/float>>).

%% A large declared length takes no memory.
declared_length_test() ->
    Heap = [{max_heap_size, #{size => 100_000, kill => true, error_logger => false}}],
    {Pid, Monitor} = spawn_opt(fun() -> exit(hornbeam_msgpack:decode(<<16#dd, 16#ffffffff:32, 0:80>>)) end,
                               [monitor | Heap]),
    receive
        {'DOWN', Monitor, process, Pid, Reason} -> ?assertEqual({error, truncated}, Reason)
    end.

no_atoms_test() ->
    Name = <<"an atom that nobody made before ", (integer_to_binary(erlang:unique_integer([positive])))/binary>>,
    {ok, #{Name := Name}} = hornbeam_msgpack:decode(encoded(#{Name => Name})),
    ?assertError(badarg, binary_to_existing_atom(Name)).

%% A value that is kept does not keep the packet that it came in.
packet_is_not_kept_test() ->
    Packed = encoded([binary:copy(<<"k">>, 100), 1]),
    Packet = <<0:400_000, Packed/binary, 0:400_000>>,
    {ok, [Key, 1]} = hornbeam_msgpack:decode(binary:part(Packet, 50_000, byte_size(Packed))),
    ?assert(binary:referenced_byte_size(Key) < 1000).

large_value_test_() ->
    {timeout, 60, fun() ->
        Term = #{<<"text">> => binary:copy(<<"0123456789">>, 1_000_000), <<"list">> => lists:seq(1, 100_000),
                 <<"map">> => maps:from_list([{I, {I}} || I <- lists:seq(1, 70_000)])},
        ?assertEqual({ok, Term}, hornbeam_msgpack:decode(encoded(Term)))
    end}.

encoded(Term) -> iolist_to_binary(hornbeam_msgpack:encode(Term)).
