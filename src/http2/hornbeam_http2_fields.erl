%%% Sections of fields: from compressed blocks, bounded while they are decompressed, and to frames (RFC 7541; RFC 9113, 4.3).
%%%
%%% Called by: hornbeam_http2_streams. Calls: cow_hpack, cow_http2. Pure.
%%%
%%% One octet of a block may stand for a field of 4 KiB, and an integer may be as long as the block. So a block is gone through before it
%%% is decompressed: it is cut after every ?FIELDS fields (Cowlib from 2.17 on takes no more than 100 at once), integers have ?OCTETS octets at most,
%%% and what has been decompressed is counted after each part. When that is too much the rest is decompressed for the table's sake and
%%% thrown away: what a block costs is what is allowed and one part. Values in the list are shared with the table, not copied.
-module(hornbeam_http2_fields).

-export([new/0, decode/3, table_size/2, encode/4]).
-export_type([codec/0]).

-define(FIELDS, 64).
-define(OCTETS, 4).
-define(FRAME, 16384).
%% Of a table, whatever the client allows (its SETTINGS_HEADER_TABLE_SIZE).
-define(TABLE, 4096).

-record(codec, {
    decoder = cow_hpack:init() :: cow_hpack:state(),
    encoder = cow_hpack:init() :: cow_hpack:state()
}).
-opaque codec() :: #codec{}.

-spec new() -> codec().
new() -> #codec{}.

%% @doc The fields of a block: all of them, or the first, when names, values and 4 octets for each are more than Max.
-spec decode(binary(), Max :: non_neg_integer(), codec()) -> {ok | too_large, hornbeam_headers:headers(), codec()} | error.
decode(Block, Max, #codec{decoder = Decoder0} = Codec) ->
    try part(skip(begin_of(Block), ?FIELDS), Block, Max, Decoder0, []) of
        {Result, Fields, Decoder} -> {Result, Fields, Codec#codec{decoder = Decoder}};
        error -> error
    catch
        %% What cannot be decompressed, which cow_hpack says by whatever goes wrong.
        error:_ -> error
    end.

part(error, _Block, _Left, _Decoder, _Before) ->
    error;
part(Rest, Block, Left0, Decoder0, Before) ->
    {Fields, Decoder} = cow_hpack:decode(binary:part(Block, 0, byte_size(Block) - byte_size(Rest)), Decoder0),
    case Left0 - size(Fields, 0) of
        Left when Left < 0 -> {too_large, lists:append(lists:reverse(Before, [Fields])), drain(Rest, Decoder)};
        _ when Rest =:= <<>>, Before =:= [] -> {ok, Fields, Decoder};
        _ when Rest =:= <<>> -> {ok, lists:append(lists:reverse(Before, [Fields])), Decoder};
        Left -> part(skip(Rest, ?FIELDS), Rest, Left, Decoder, [Fields | Before])
    end.

drain(<<>>, Decoder) ->
    Decoder;
drain(Block, Decoder0) ->
    Rest = skip(Block, ?FIELDS),
    {_, Decoder} = cow_hpack:decode(binary:part(Block, 0, byte_size(Block) - byte_size(Rest)), Decoder0),
    drain(Rest, Decoder).

size([{Name, Value} | Rest], Sum) -> size(Rest, Sum + byte_size(Name) + byte_size(Value) + 4);
size([], Sum) -> Sum.

%% Changes of the table's size stand before all fields (RFC 7541, 4.2).
begin_of(<<1:3, I:5, Rest/bits>>) -> begin_of(index(I, 31, Rest));
begin_of(Block) -> Block.

%% Behind so many fields.
skip(error, _Fields) -> error;
skip(Rest, 0) -> Rest;
skip(<<>>, _Fields) -> <<>>;
skip(<<1:1, I:7, Rest/bits>>, Fields) -> skip(index(I, 127, Rest), Fields - 1);
skip(<<1:2, I:6, Rest/bits>>, Fields) -> skip(literal(I, 63, Rest), Fields - 1);
skip(<<1:3, _/bits>>, _Fields) -> error;
skip(<<_:4, I:4, Rest/bits>>, Fields) -> skip(literal(I, 15, Rest), Fields - 1).

literal(0, _Max, Rest) -> string(string(Rest));
literal(I, Max, Rest) -> string(index(I, Max, Rest)).

index(Max, Max, Rest) -> case integer(Rest, 0, 0) of {_, Behind} -> Behind; error -> error end;
index(_, _Max, Rest) -> Rest.

integer(<<0:1, I:7, Rest/bits>>, Sum, Octets) when Octets < ?OCTETS -> {Sum + (I bsl (7 * Octets)), Rest};
integer(<<1:1, I:7, Rest/bits>>, Sum, Octets) when Octets < ?OCTETS -> integer(Rest, Sum + (I bsl (7 * Octets)), Octets + 1);
integer(_, _, _) -> error.

string(<<_:1, 127:7, Rest/bits>>) ->
    case integer(Rest, 127, 0) of
        {Size, Behind} -> behind(Size, Behind);
        error -> error
    end;
string(<<_:1, Size:7, Rest/bits>>) -> behind(Size, Rest);
string(_) -> error.

behind(Size, Bytes) ->
    case Bytes of
        <<_:Size/binary, Rest/bits>> -> Rest;
        _ -> error
    end.

%% @doc How large the client lets the table be that its decoder needs.
-spec table_size(non_neg_integer(), codec()) -> codec().
table_size(Size, #codec{encoder = Encoder} = Codec) ->
    Codec#codec{encoder = cow_hpack:set_max_size(min(Size, ?TABLE), Encoder)}.

%% @doc A section of fields as HEADERS and, when it is large, CONTINUATION frames.
-spec encode(pos_integer(), fin | nofin, hornbeam_headers:headers(), codec()) -> {iodata(), codec()}.
encode(Id, IsFin, Fields, #codec{encoder = Encoder0} = Codec) ->
    {Block, Encoder} = cow_hpack:encode(Fields, Encoder0),
    Frames = case iolist_size(Block) of
        Size when Size =< ?FRAME -> cow_http2:headers(Id, IsFin, Block);
        _ -> frames(Id, 1, case IsFin of fin -> 1; nofin -> 0 end, iolist_to_binary(Block))
    end,
    {Frames, Codec#codec{encoder = Encoder}}.

%% RFC 9113, 6.2 and 6.10; flag 4 is END_HEADERS.
frames(Id, Type, Flags, <<Part:?FRAME/binary, Rest/binary>>) when Rest =/= <<>> ->
    [<<?FRAME:24, Type, Flags, 0:1, Id:31>>, Part | frames(Id, 9, 0, Rest)];
frames(Id, Type, Flags, Last) ->
    [<<(byte_size(Last)):24, Type, (Flags bor 4), 0:1, Id:31>>, Last].
