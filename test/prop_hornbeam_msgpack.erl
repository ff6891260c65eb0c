%%% Properties of hornbeam_msgpack, run by properties_tests.
-module(prop_hornbeam_msgpack).

-include_lib("proper/include/proper.hrl").

-export([prop_round_trip/0, prop_raw_round_trip/0, prop_truncated/0, prop_trailing/0, prop_changed/0,
         prop_random/0]).

prop_round_trip() ->
    numtests(500, ?FORALL(Term, value(), hornbeam_msgpack:decode(encoded(Term)) =:= {ok, Term})).

%% Raw mode sees the same shape, with bytes where value mode marks them.
prop_raw_round_trip() ->
    ?FORALL(Term, value(),
            case hornbeam_msgpack:decode_raw(encoded(Term)) of
                {ok, Raw} -> Raw =:= unmarked(Term);
                {error, duplicate_key} -> duplicated(Term);
                _ -> false
            end).

prop_truncated() ->
    numtests(500, ?FORALL({Term, Where}, {value(), float(0.0, 0.999)},
                          hornbeam_msgpack:decode(cut(encoded(Term), Where)) =:= {error, truncated})).

cut(Bytes, Where) -> binary:part(Bytes, 0, trunc(Where * byte_size(Bytes))).

prop_trailing() ->
    ?FORALL({Term, More}, {value(), non_empty(binary())},
            hornbeam_msgpack:decode(<<(encoded(Term))/binary, More/binary>>) =:= {error, trailing_bytes}).

%% One byte replaced.
prop_changed() ->
    numtests(500, ?FORALL({Term, Byte, Where}, {value(), byte(), float(0.0, 0.999)},
                          clean(changed(encoded(Term), Byte, Where)))).

changed(Bytes, Byte, Where) ->
    At = trunc(Where * byte_size(Bytes)),
    <<Before:At/binary, _, After/binary>> = Bytes,
    <<Before/binary, Byte, After/binary>>.

prop_random() ->
    numtests(5000, ?FORALL(Bytes, binary(), clean(Bytes))).

%% Either it is refused with a reason, or what it means can be encoded again.
clean(Bytes) ->
    case {hornbeam_msgpack:decode(Bytes), hornbeam_msgpack:decode_raw(Bytes)} of
        {{error, _}, {Tag, _}} when Tag =:= ok; Tag =:= error -> true;
        {{ok, Term}, {Tag, _}} when Tag =:= ok; Tag =:= error -> again(Term)
    end.

again(Term) ->
    case hornbeam_msgpack:try_encode(Term) of
        {ok, IoData} -> hornbeam_msgpack:decode(iolist_to_binary(IoData)) =:= {ok, Term};
        %% Bytes may say what Python never says: #{1 => a, 1.0 => b}.
        {error, {not_encodable, {same_key, _, _}}} -> true
    end.

encoded(Term) -> iolist_to_binary(hornbeam_msgpack:encode(Term)).

unmarked({bytes, B}) when is_binary(B) -> B;
unmarked(L) when is_list(L) -> [unmarked(E) || E <- L];
unmarked(T) when is_tuple(T) -> list_to_tuple([unmarked(E) || E <- tuple_to_list(T)]);
unmarked(M) when is_map(M) -> maps:from_list([{unmarked(K), unmarked(V)} || {K, V} <- maps:to_list(M)]);
unmarked(Scalar) -> Scalar.

%% Whether some map has both a text and the same bytes as keys.
duplicated(M) when is_map(M) ->
    Keys = [unmarked(K) || K <- maps:keys(M)],
    length(lists:usort(Keys)) < length(Keys) orelse duplicated(maps:keys(M) ++ maps:values(M));
duplicated(T) when is_tuple(T) -> duplicated(tuple_to_list(T));
duplicated(L) when is_list(L) -> lists:any(fun duplicated/1, L);
duplicated(_) -> false.

%%% Generators: what decoding can give, so that a round trip is exact.

value() -> ?SIZED(Size, value(Size)).

value(Size) when Size < 2 ->
    scalar();
value(Size) ->
    Part = ?LAZY(value(Size div 3)),
    Parts = ?LET(Length, integer(0, 6), vector(Length, Part)),
    frequency([{3, scalar()}, {2, Parts}, {2, ?LET(Elements, Parts, list_to_tuple(Elements))}, {2, dict(Part)}]).

scalar() ->
    frequency([{9, oneof([none, boolean(), nan, infinity, '-infinity', integer(), boundary(), float()])},
               {6, oneof([text(), {bytes, binary()}])},
               {1, oneof([large_integer(), repeated(<<"a">>), {bytes, repeated(binary(1))}])}]).

%% Around the widths of the format.
boundary() ->
    ?LET({Bits, Sign, Near}, {oneof([5, 7, 8, 15, 16, 31, 32, 63, 64]), oneof([1, -1]), integer(-2, 2)},
         Sign * (1 bsl Bits) + Near).

large_integer() ->
    ?LET({Bits, Sign, Near}, {integer(64, 2100), oneof([1, -1]), integer()}, Sign * (1 bsl Bits) + Near).

text() ->
    ?LET(Text, list(frequency([{4, integer(0, 127)}, {1, character()}])), unicode:characters_to_binary(Text)).

character() -> oneof([integer(128, 16#d7ff), integer(16#e000, 16#10ffff)]).

repeated(Byte) -> ?LET({B, Times}, {Byte, oneof([31, 32, 255, 256, 65535, 65536])}, binary:copy(B, Times)).

dict(Part) ->
    Pairs = ?LET(Length, integer(0, 6), vector(Length, {Part, Part})),
    ?SUCHTHAT(Map, ?LET(List, Pairs, maps:from_list(List)), is_dict(Map)).

%% Not with keys that are one in Python.
is_dict(Map) -> element(1, hornbeam_msgpack:try_encode(Map)) =:= ok.
