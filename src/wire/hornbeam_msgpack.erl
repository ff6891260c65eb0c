%%% The msgpack codec: Erlang terms to bytes and back, and with it the mapping between Erlang terms and
%%% Python values.
%%%
%%% Called by: hornbeam_frame, hornbeam_services, hornbeam_worker and whatever else sends values to a
%%% worker or gets them from one. Calls: nothing of ours; no processes, no state. Its mirror in Python is
%%% hornbeam_worker/values.py; both read test/wire_vectors.json in their suites.
%%%
%%%     Python             wire                       Erlang
%%%     None               nil                        none (also from undefined, nil, null)
%%%     True, False        true, false                true, false
%%%     int                int, uint; else ext 2      integer()
%%%     float              float 64 (also from 32)    float()
%%%     nan, inf, -inf     float 64                   nan, infinity, '-infinity'
%%%     str                str                        binary(), valid UTF-8
%%%     bytes              bin                        {bytes, binary()}
%%%     list               array                      list(), proper
%%%     tuple              ext 1                      tuple()
%%%     dict               map                        map()
%%%
%%%     ext 1   an array that fills the payload
%%%     ext 2   sign:u8 (0 or 1: negative), magnitude, big-endian, at least one byte
%%%
%%% From Erlang to Python only: a binary that is not UTF-8 arrives as bytes, any other atom as its name.
%%% Nothing is lost in silence: keys that are one to Python (1, 1.0 and true; a and <<"a">>) are an error
%%% here, and so is a map from Python that repeats a key (Erlang has one nan, Python many).
%%%
%%% Decoding makes no atoms, and takes memory in proportion to the bytes that are there, whatever
%%% lengths they declare.
-module(hornbeam_msgpack).

-export([encode/1, try_encode/1, array/1, decode/1, decode_raw/1]).
-export_type([part/0, reason/0]).

-dialyzer(no_improper_lists).

%% Containers nested in one another; the same number stands in values.py.
-define(MAX_DEPTH, 500).
-define(MAX_32, 16#ffffffff).
%% ERTS: MAX_ARITYVAL.
-define(MAX_TUPLE, 16#ffffff).

-define(EXT_TUPLE, 1).
-define(EXT_INTEGER, 2).

%% What could not be encoded: the pid, reference, fun, port, bitstring or improper list itself;
%% or too_deep, or too_big (a tuple or an integer of over 4 GiB); or two keys of one map that are
%% one to Python. (An atom can always be encoded, so no atom here is the caller's.)
-type part() :: term() | too_deep | too_big | {same_key, term(), term()}.

-type reason() ::
    truncated
    | trailing_bytes
    | too_deep
    | bad_utf8
    | duplicate_key
    | bad_ext
    | {unknown_ext, -128..127}
    | {bad_byte, byte()}.

%% value: str -> binary(), bin -> {bytes, binary()}. raw: both -> binary().
-type mode() :: value | raw.

%% The containers that are open, innermost first.
-type stack() ::
    top
    | {list, pos_integer(), list(), stack()}
    | {key, pos_integer(), [{term(), term()}], stack()}
    | {val, term(), pos_integer(), [{term(), term()}], stack()}.

%% @doc Encodes a term. Raises error({not_encodable, part()}).
-spec encode(term()) -> iodata().
encode(Term) ->
    %% Measured on a scope (15 keys, 6 headers): building iodata takes 0.6 of the time of
    %% appending to one binary, and writing it to a port is no slower.
    case enc(Term, ?MAX_DEPTH) of
        Byte when is_integer(Byte) -> [Byte];
        IoData -> IoData
    end.

%% @doc As encode/1, for terms that come from elsewhere.
-spec try_encode(term()) -> {ok, iodata()} | {error, {not_encodable, part()}}.
try_encode(Term) ->
    try
        {ok, encode(Term)}
    catch
        error:{not_encodable, _} = Reason -> {error, Reason}
    end.

%% @doc A list of what is encoded already.
-spec array([iodata()]) -> iodata().
array(Elements) when length(Elements) =< ?MAX_32 ->
    [array_header(length(Elements)) | Elements].

%% @doc Decodes exactly one value. The result holds on to the value's own bytes, not to the packet around
%% them, so it can be kept.
-spec decode(binary()) -> {ok, term()} | {error, reason()}.
decode(Binary) when is_binary(Binary) ->
    dec(own(Binary), value, ?MAX_DEPTH, top).

%% @doc As decode/1, but str and bin both become plain binaries and str is not checked: for header lists
%% and control maps, whose shape the reader knows. The binaries are parts of the input.
-spec decode_raw(binary()) -> {ok, term()} | {error, reason()}.
decode_raw(Binary) when is_binary(Binary) ->
    dec(Binary, raw, ?MAX_DEPTH, top).

%% A frame is part of a read of up to 64 KiB: without the copy a text of 100 bytes, kept in a table, would
%% keep all of that. A large frame has a binary to itself and is not copied.
own(Binary) ->
    case binary:referenced_byte_size(Binary) > 2 * byte_size(Binary) of
        true -> binary:copy(Binary);
        false -> Binary
    end.

%%% Encoding. Room is how many more containers may be opened.

-spec enc(term(), non_neg_integer()) -> iodata() | byte().
enc(B, _) when is_binary(B), byte_size(B) =< ?MAX_32 -> enc_text(B);
enc(I, _) when is_integer(I) -> enc_integer(I);
enc({bytes, B}, _) when is_binary(B), byte_size(B) =< ?MAX_32 -> [bin_header(byte_size(B)) | B];
enc(A, _) when is_atom(A) -> enc_atom(A);
enc(F, _) when is_float(F) -> <<16#cb, F:64/float>>;
enc(L, Room) when length(L) =< ?MAX_32 -> enc_list(L, length(L), Room);
enc(M, Room) when map_size(M) =< ?MAX_32 -> enc_map(M, Room);
enc(T, Room) when is_tuple(T) -> enc_tuple(T, Room);
enc(Other, _) -> error({not_encodable, Other}).

enc_text(B) ->
    case is_utf8(B) of
        true -> [str_header(byte_size(B)) | B];
        false -> [bin_header(byte_size(B)) | B]
    end.

enc_atom(true) -> 16#c3;
enc_atom(false) -> 16#c2;
enc_atom(A) when A =:= none; A =:= undefined; A =:= nil; A =:= null -> 16#c0;
enc_atom(nan) -> <<16#cb, 16#7ff8000000000000:64>>;
enc_atom(infinity) -> <<16#cb, 16#7ff0000000000000:64>>;
enc_atom('-infinity') -> <<16#cb, 16#fff0000000000000:64>>;
enc_atom(A) -> enc_text(atom_to_binary(A)).

enc_integer(I) when I >= 0 -> enc_unsigned(I);
enc_integer(I) when I >= -32 -> I band 16#ff;
enc_integer(I) when I >= -16#80 -> <<16#d0, I:8>>;
enc_integer(I) when I >= -16#8000 -> <<16#d1, I:16>>;
enc_integer(I) when I >= -16#80000000 -> <<16#d2, I:32>>;
enc_integer(I) when I >= -16#8000000000000000 -> <<16#d3, I:64>>;
enc_integer(I) -> enc_ext(?EXT_INTEGER, [1 | binary:encode_unsigned(-I)]).

enc_unsigned(I) when I < 16#80 -> I;
enc_unsigned(I) when I =< 16#ff -> <<16#cc, I>>;
enc_unsigned(I) when I =< 16#ffff -> <<16#cd, I:16>>;
enc_unsigned(I) when I =< 16#ffffffff -> <<16#ce, I:32>>;
enc_unsigned(I) when I =< 16#ffffffffffffffff -> <<16#cf, I:64>>;
enc_unsigned(I) -> enc_ext(?EXT_INTEGER, [0 | binary:encode_unsigned(I)]).

enc_list(_, _, 0) -> error({not_encodable, too_deep});
enc_list(L, Size, Room) -> [array_header(Size) | enc_elements(L, Room - 1)].

enc_elements([E | L], Room) -> [enc(E, Room) | enc_elements(L, Room)];
enc_elements([], _) -> [].

enc_map(_, 0) ->
    error({not_encodable, too_deep});
enc_map(Map, Room) ->
    Pairs = maps:to_list(Map),
    ok = check_keys(Pairs),
    [map_header(map_size(Map)) | enc_pairs(Pairs, Room - 1)].

enc_pairs([{K, V} | Pairs], Room) -> [enc(K, Room), enc(V, Room) | enc_pairs(Pairs, Room)];
enc_pairs([], _) -> [].

enc_tuple(_, 0) -> error({not_encodable, too_deep});
enc_tuple(T, Room) -> enc_ext(?EXT_TUPLE, enc_list(tuple_to_list(T), tuple_size(T), Room)).

enc_ext(Type, Payload) -> [ext_header(iolist_size(Payload), Type) | Payload].

ext_header(1, Type) -> <<16#d4, Type>>;
ext_header(2, Type) -> <<16#d5, Type>>;
ext_header(4, Type) -> <<16#d6, Type>>;
ext_header(8, Type) -> <<16#d7, Type>>;
ext_header(16, Type) -> <<16#d8, Type>>;
ext_header(N, Type) when N =< 16#ff -> <<16#c7, N, Type>>;
ext_header(N, Type) when N =< 16#ffff -> <<16#c8, N:16, Type>>;
ext_header(N, Type) when N =< ?MAX_32 -> <<16#c9, N:32, Type>>;
ext_header(_, _) -> error({not_encodable, too_big}).

str_header(N) when N < 32 -> 16#a0 bor N;
str_header(N) when N =< 16#ff -> <<16#d9, N>>;
str_header(N) when N =< 16#ffff -> <<16#da, N:16>>;
str_header(N) -> <<16#db, N:32>>.

bin_header(N) when N =< 16#ff -> <<16#c4, N>>;
bin_header(N) when N =< 16#ffff -> <<16#c5, N:16>>;
bin_header(N) -> <<16#c6, N:32>>.

array_header(N) when N < 16 -> 16#90 bor N;
array_header(N) when N =< 16#ffff -> <<16#dc, N:16>>;
array_header(N) -> <<16#dd, N:32>>.

map_header(N) when N < 16 -> 16#80 bor N;
map_header(N) when N =< 16#ffff -> <<16#de, N:16>>;
map_header(N) -> <<16#df, N:32>>.

is_utf8(B) ->
    %% The BIF takes 17 ns for "GET" and 0.7 ns/byte at length, matching in Erlang 2 to 10 times
    %% as long.
    is_binary(unicode:characters_to_binary(B)).

%%% Keys that are different terms here and one key there would be lost on the way.

-spec check_keys([{term(), term()}]) -> ok.
check_keys(Pairs) ->
    case kinds(Pairs, 0) of
        Kind when Kind =< 2; Kind =:= 4 -> ok;
        _Mixed -> check_keys(Pairs, #{})
    end.

%% Within one of these kinds no two terms meet: texts 1, plain atoms 2, integers 4. Others are 8.
kinds([{K, _} | Pairs], Kinds) when is_binary(K) -> kinds(Pairs, Kinds bor 1);
kinds([{K, _} | Pairs], Kinds) when is_integer(K) -> kinds(Pairs, Kinds bor 4);
kinds([{K, _} | Pairs], Kinds) when
    is_atom(K), K =/= undefined, K =/= nil, K =/= null, not is_boolean(K)
->
    kinds(Pairs, Kinds bor 2);
kinds([_ | Pairs], Kinds) ->
    kinds(Pairs, Kinds bor 8);
kinds([], Kinds) ->
    Kinds.

check_keys([{K, _} | Pairs], Seen) ->
    PythonKey = python_key(K),
    case Seen of
        #{PythonKey := Other} -> error({not_encodable, {same_key, Other, K}});
        #{} -> check_keys(Pairs, Seen#{PythonKey => K})
    end;
check_keys([], _) ->
    ok.

%% The same term for keys that Python takes as equal.
python_key(true) -> 1;
python_key(false) -> 0;
python_key(A) when A =:= undefined; A =:= nil; A =:= null -> none;
python_key(A) when A =:= none; A =:= nan; A =:= infinity; A =:= '-infinity' -> A;
python_key(A) when is_atom(A) -> atom_to_binary(A);
python_key(F) when is_float(F), F == trunc(F) -> trunc(F);
python_key({bytes, B} = Bytes) when is_binary(B) -> Bytes;
python_key(T) when is_tuple(T) -> list_to_tuple([python_key(E) || E <- tuple_to_list(T)]);
python_key(B) when is_binary(B) ->
    case is_utf8(B) of
        true -> B;
        false -> {bytes, B}
    end;
python_key(Other) -> Other.

%%% Decoding. In tail calls only, with what is open kept in Stack, so that the compiler keeps one
%%% match context from the first byte to the last.

-spec dec(binary(), mode(), non_neg_integer(), stack()) -> {ok, term()} | {error, reason()}.
dec(<<2#0:1, I:7, R/binary>>, M, Room, S) -> next(R, I, M, Room, S);
dec(<<2#101:3, N:5, B:N/binary, R/binary>>, M, Room, S) -> str(R, B, M, Room, S);
dec(<<2#1000:4, N:4, R/binary>>, M, Room, S) -> map(R, N, M, Room, S);
dec(<<2#1001:4, N:4, R/binary>>, M, Room, S) -> list(R, N, M, Room, S);
dec(<<2#111:3, I:5, R/binary>>, M, Room, S) -> next(R, I - 32, M, Room, S);
dec(<<16#c0, R/binary>>, M, Room, S) -> next(R, none, M, Room, S);
dec(<<16#c2, R/binary>>, M, Room, S) -> next(R, false, M, Room, S);
dec(<<16#c3, R/binary>>, M, Room, S) -> next(R, true, M, Room, S);
dec(<<16#c4, N, B:N/binary, R/binary>>, M, Room, S) -> bin(R, B, M, Room, S);
dec(<<16#c5, N:16, B:N/binary, R/binary>>, M, Room, S) -> bin(R, B, M, Room, S);
dec(<<16#c6, N:32, B:N/binary, R/binary>>, M, Room, S) -> bin(R, B, M, Room, S);
dec(<<16#c7, N, T/signed, P:N/binary, R/binary>>, M, Room, S) -> ext(R, T, P, M, Room, S);
dec(<<16#c8, N:16, T/signed, P:N/binary, R/binary>>, M, Room, S) -> ext(R, T, P, M, Room, S);
dec(<<16#c9, N:32, T/signed, P:N/binary, R/binary>>, M, Room, S) -> ext(R, T, P, M, Room, S);
dec(<<16#ca, F:32/float, R/binary>>, M, Room, S) -> next(R, F, M, Room, S);
dec(<<16#ca, Sign:1, 16#ff, F:23, R/binary>>, M, Room, S) -> next(R, no_float(Sign, F), M, Room, S);
dec(<<16#cb, F:64/float, R/binary>>, M, Room, S) -> next(R, F, M, Room, S);
dec(<<16#cb, Sign:1, 16#7ff:11, F:52, R/binary>>, M, Room, S) ->
    next(R, no_float(Sign, F), M, Room, S);
dec(<<16#cc, I:8, R/binary>>, M, Room, S) -> next(R, I, M, Room, S);
dec(<<16#cd, I:16, R/binary>>, M, Room, S) -> next(R, I, M, Room, S);
dec(<<16#ce, I:32, R/binary>>, M, Room, S) -> next(R, I, M, Room, S);
dec(<<16#cf, I:64, R/binary>>, M, Room, S) -> next(R, I, M, Room, S);
dec(<<16#d0, I:8/signed, R/binary>>, M, Room, S) -> next(R, I, M, Room, S);
dec(<<16#d1, I:16/signed, R/binary>>, M, Room, S) -> next(R, I, M, Room, S);
dec(<<16#d2, I:32/signed, R/binary>>, M, Room, S) -> next(R, I, M, Room, S);
dec(<<16#d3, I:64/signed, R/binary>>, M, Room, S) -> next(R, I, M, Room, S);
dec(<<16#d4, T/signed, P:1/binary, R/binary>>, M, Room, S) -> ext(R, T, P, M, Room, S);
dec(<<16#d5, T/signed, P:2/binary, R/binary>>, M, Room, S) -> ext(R, T, P, M, Room, S);
dec(<<16#d6, T/signed, P:4/binary, R/binary>>, M, Room, S) -> ext(R, T, P, M, Room, S);
dec(<<16#d7, T/signed, P:8/binary, R/binary>>, M, Room, S) -> ext(R, T, P, M, Room, S);
dec(<<16#d8, T/signed, P:16/binary, R/binary>>, M, Room, S) -> ext(R, T, P, M, Room, S);
dec(<<16#d9, N, B:N/binary, R/binary>>, M, Room, S) -> str(R, B, M, Room, S);
dec(<<16#da, N:16, B:N/binary, R/binary>>, M, Room, S) -> str(R, B, M, Room, S);
dec(<<16#db, N:32, B:N/binary, R/binary>>, M, Room, S) -> str(R, B, M, Room, S);
dec(<<16#dc, N:16, R/binary>>, M, Room, S) -> list(R, N, M, Room, S);
dec(<<16#dd, N:32, R/binary>>, M, Room, S) -> list(R, N, M, Room, S);
dec(<<16#de, N:16, R/binary>>, M, Room, S) -> map(R, N, M, Room, S);
dec(<<16#df, N:32, R/binary>>, M, Room, S) -> map(R, N, M, Room, S);
dec(<<16#c1, _/binary>>, _, _, _) -> {error, {bad_byte, 16#c1}};
%% Every other first byte is known: what is missing comes after it.
dec(<<_/binary>>, _, _, _) -> {error, truncated}.

%% A value is complete: put it into the innermost container that is open.
next(<<R/binary>>, V, M, Room, {list, 1, Acc, S}) ->
    next(R, lists:reverse(Acc, [V]), M, Room + 1, S);
next(<<R/binary>>, V, M, Room, {list, N, Acc, S}) ->
    dec(R, M, Room, {list, N - 1, [V | Acc], S});
next(<<R/binary>>, K, M, Room, {key, N, Acc, S}) ->
    dec(R, M, Room, {val, K, N, Acc, S});
next(<<R/binary>>, V, M, Room, {val, K, 1, Acc, S}) ->
    Pairs = [{K, V} | Acc],
    case maps:from_list(Pairs) of
        Map when map_size(Map) =:= length(Pairs) -> next(R, Map, M, Room + 1, S);
        _Smaller -> {error, duplicate_key}
    end;
next(<<R/binary>>, V, M, Room, {val, K, N, Acc, S}) ->
    dec(R, M, Room, {key, N - 1, [{K, V} | Acc], S});
next(<<>>, V, _, _, top) ->
    {ok, V};
next(<<_/binary>>, _, _, _, top) ->
    {error, trailing_bytes}.

list(<<_/binary>>, _, _, 0, _) -> {error, too_deep};
list(<<R/binary>>, 0, M, Room, S) -> next(R, [], M, Room, S);
list(<<R/binary>>, N, M, Room, S) -> dec(R, M, Room - 1, {list, N, [], S}).

map(<<_/binary>>, _, _, 0, _) -> {error, too_deep};
map(<<R/binary>>, 0, M, Room, S) -> next(R, #{}, M, Room, S);
map(<<R/binary>>, N, M, Room, S) -> dec(R, M, Room - 1, {key, N, [], S}).

str(<<R/binary>>, B, raw, Room, S) ->
    next(R, B, raw, Room, S);
str(<<R/binary>>, B, value, Room, S) ->
    case is_utf8(B) of
        true -> next(R, B, value, Room, S);
        false -> {error, bad_utf8}
    end.

bin(<<R/binary>>, B, raw, Room, S) -> next(R, B, raw, Room, S);
bin(<<R/binary>>, B, value, Room, S) -> next(R, {bytes, B}, value, Room, S).

ext(<<R/binary>>, ?EXT_TUPLE, Payload, M, Room, S) ->
    case tuple(Payload, M, Room) of
        {ok, Tuple} -> next(R, Tuple, M, Room, S);
        {error, _} = Error -> Error
    end;
ext(<<R/binary>>, ?EXT_INTEGER, <<Sign, Magnitude/binary>>, M, Room, S) when
    Sign =< 1, Magnitude =/= <<>>
->
    case integer(Sign, Magnitude) of
        {ok, I} -> next(R, I, M, Room, S);
        {error, _} = Error -> Error
    end;
ext(<<_/binary>>, ?EXT_INTEGER, _, _, _, _) ->
    {error, bad_ext};
ext(<<_/binary>>, Type, _, _, _, _) ->
    {error, {unknown_ext, Type}}.

%% The payload has its own end: not a tail call, and a shortage in it is the sender's mistake.
tuple(<<Byte, _/binary>> = Payload, M, Room) when Byte bsr 4 =:= 9; Byte bsr 1 =:= 16#dc bsr 1 ->
    case dec(Payload, M, Room, top) of
        {ok, List} when length(List) =< ?MAX_TUPLE -> {ok, list_to_tuple(List)};
        {error, Reason} when Reason =/= truncated, Reason =/= trailing_bytes -> {error, Reason};
        _ -> {error, bad_ext}
    end;
tuple(_, _, _) ->
    {error, bad_ext}.

integer(Sign, Magnitude) ->
    try binary:decode_unsigned(Magnitude) of
        I when Sign =:= 0 -> {ok, I};
        I -> {ok, -I}
    catch
        %% Larger than this release of OTP can hold.
        error:system_limit -> {error, bad_ext}
    end.

%% The two kinds of float that Erlang has no number for.
no_float(0, 0) -> infinity;
no_float(1, 0) -> '-infinity';
no_float(_, _) -> nan.
