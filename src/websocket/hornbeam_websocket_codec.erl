%%% WebSocket frames (RFC 6455, and permessage-deflate of RFC 7692) as a codec without I/O.
%%%
%%% Called by: hornbeam_websocket (bytes of its client, frames to it), hornbeam_websocket_fanout (one frame for all
%%% subscribers). Calls: cow_ws for the negotiation of permessage-deflate, zlib.
%%%
%%% What arrives is cut into whole messages: fragments are joined, masks taken off, text checked. A frame's length is
%%% checked against the limit as soon as its header is there, before memory is taken for it; what a compressed message
%%% unpacks to is checked while it is being unpacked. A malformed frame ends in {fail, Code, Reason} with the close
%%% code of RFC 6455, 7.4.1; nothing after it is read.
%%%
%%% Cowboy's own parser is not used: it unpacks without a limit, and keeps a mask's arithmetic in Erlang where
%%% crypto:exor/2 does it in C.
-module(hornbeam_websocket_codec).

-export([new/1, feed/3, frame/3, close/2, ping/0, pong/1, negotiate/3]).
-export_type([codec/0, deflate/0, item/0]).

-record(codec, {
    max :: pos_integer(),                        % bytes of one message
    chunks = [] :: [binary()],                   % of an unfinished frame, newest first
    have = 0 :: non_neg_integer(),
    need = 0 :: non_neg_integer(),
    %% The message whose fragments are coming: its type, whether it is compressed, the parts newest first, their size.
    partial = none :: none | {text | binary, boolean(), [binary()], non_neg_integer()}
}).
-opaque codec() :: #codec{}.
%% The two zlib contexts of a connection (cow_ws:extensions()), or none.
-type deflate() :: none | map().
-type item() :: {text | binary | ping, binary()} | pong
              | {close, Code :: 1000..4999, Reason :: binary()}
              | {fail, Code :: 1000..4999, Reason :: binary()}.

%% Below this a compressed message is hardly shorter.
-define(COMPRESS_FROM, 64).
%% Masks of payloads up to this size are taken off without a call of crypto.
-define(SHORT, 64).

-spec new(MaxMessage :: pos_integer()) -> codec().
new(Max) -> #codec{max = Max}.

%% @doc Adds bytes; answers with what they complete, in order. A `close' or `fail' is the last item.
-spec feed(binary(), codec(), deflate()) -> {[item()], codec()}.
feed(Data, #codec{chunks = []} = Codec, Deflate) ->
    split(Data, Codec, Deflate, []);
feed(Data, #codec{chunks = Chunks, have = Have0, need = Need} = Codec, Deflate) ->
    case Have0 + byte_size(Data) of
        Have when Have < Need ->
            {[], Codec#codec{chunks = [Data | Chunks], have = Have}};
        _ ->
            Whole = iolist_to_binary(lists:reverse(Chunks, [Data])),
            split(Whole, Codec#codec{chunks = [], have = 0, need = 0}, Deflate, [])
    end.

split(<<>>, Codec, _Deflate, Items) ->
    {lists:reverse(Items), Codec};
split(Data, Codec, Deflate, Items) ->
    case header(Data, Codec, Deflate) of
        {more, Need} ->
            {lists:reverse(Items), Codec#codec{chunks = [binary:copy(Data)],
                                               have = byte_size(Data), need = Need}};
        {fail, _, _} = Fail ->
            {lists:reverse(Items, [Fail]), Codec};
        {Flags, Size, Mask, Rest0} ->
            <<Masked:Size/binary, Rest/binary>> = Rest0,
            case frame_in(Flags, unmask(Masked, Size, Mask), Codec, Deflate) of
                {none, Next} -> split(Rest, Next, Deflate, Items);
                {{close, _, _} = Last, Next} -> {lists:reverse(Items, [Last]), Next};
                {{fail, _, _} = Last, Next} -> {lists:reverse(Items, [Last]), Next};
                {Item, Next} -> split(Rest, Next, Deflate, [Item | Items])
            end
    end.

%%% The header (RFC 6455, 5.2)

header(<<_:8, 0:1, _/bits>>, _Codec, _Deflate) ->
    {fail, 1002, <<"a frame is not masked">>};
header(<<Fin:1, Rsv:3, Opcode:4, 1:1, Length:7, Rest/binary>> = Data, Codec, Deflate) ->
    case check(Fin, Rsv, Opcode, Length, Codec#codec.partial, Deflate) of
        ok -> sized(Length, Rest, {Fin, Rsv, Opcode}, Data, Codec);
        Reason -> {fail, 1002, Reason}
    end;
header(_, _Codec, _Deflate) ->
    {more, 2}.

check(_, Rsv, _, _, _, _) when Rsv band 3 =/= 0 -> <<"reserved bits are set">>;
check(_, 4, _, _, _, none) -> <<"reserved bits are set">>;
check(_, 4, Opcode, _, _, _) when Opcode =/= 1, Opcode =/= 2 -> <<"reserved bits are set">>;
check(_, _, Opcode, _, _, _) when Opcode > 10; Opcode > 2, Opcode < 8 -> <<"unknown opcode">>;
check(0, _, Opcode, _, _, _) when Opcode >= 8 -> <<"a control frame is fragmented">>;
check(_, _, Opcode, Length, _, _) when Opcode >= 8, Length > 125 -> <<"a control frame is too long">>;
check(_, _, 8, 1, _, _) -> <<"a close frame with half a code">>;
check(_, _, 0, _, none, _) -> <<"a continuation of nothing">>;
check(_, _, Opcode, _, Partial, _) when Partial =/= none, Opcode > 0, Opcode < 8 ->
    <<"a message within a fragmented message">>;
check(_, _, _, _, _, _) -> ok.

sized(126, <<Length:16, _/binary>>, _, _, _) when Length < 126 ->
    {fail, 1002, <<"a length is not in its shortest form">>};
sized(126, <<Length:16, Rest/binary>>, Flags, Data, Codec) ->
    whole(Length, 8, Rest, Flags, Data, Codec);
sized(127, <<Length:64, _/binary>>, _, _, _) when Length < 65536; Length > 16#7fffffffffffffff ->
    {fail, 1002, <<"a length is not in its shortest form">>};
sized(127, <<Length:64, Rest/binary>>, Flags, Data, Codec) ->
    whole(Length, 14, Rest, Flags, Data, Codec);
sized(Length, Rest, Flags, Data, Codec) when Length < 126 ->
    whole(Length, 6, Rest, Flags, Data, Codec);
sized(126, _, _, _, _) -> {more, 4};
sized(127, _, _, _, _) -> {more, 10}.

whole(Length, Head, Rest, Flags, Data, #codec{max = Max, partial = Partial}) ->
    Before = case Partial of
        {_, _, _, Size} -> Size;
        none -> 0
    end,
    case Rest of
        _ when Length + Before > Max -> {fail, 1009, <<"a message is too long">>};
        <<Mask:4/binary, Payload/binary>> when byte_size(Payload) >= Length ->
            {Flags, Length, Mask, Payload};
        _ when byte_size(Data) >= Head + Length -> {more, byte_size(Data) + 1};
        _ -> {more, Head + Length}
    end.

unmask(Masked, Size, <<Mask:32>>) when Size =< ?SHORT ->
    unmask_short(Masked, Mask, <<>>);
unmask(Masked, Size, Mask) ->
    Key = binary:part(binary:copy(Mask, Size div 4 + 1), 0, Size),
    crypto:exor(Masked, Key).

unmask_short(<<Word:32, Rest/binary>>, Mask, Acc) ->
    unmask_short(Rest, Mask, <<Acc/binary, (Word bxor Mask):32>>);
unmask_short(Rest, Mask, Acc) ->
    Bits = bit_size(Rest),
    <<Word:Bits>> = Rest,
    <<Acc/binary, (Word bxor (Mask bsr (32 - Bits))):Bits>>.

%%% A whole frame

frame_in({1, _, 8}, Payload, Codec, _) ->
    {close_in(Payload), Codec};
frame_in({1, _, 9}, Payload, Codec, _) ->
    {{ping, Payload}, Codec};
frame_in({1, _, 10}, _Payload, Codec, _) ->
    {pong, Codec};
frame_in({1, Rsv, Opcode}, Payload, Codec, Deflate) when Opcode > 0 ->
    {message(type(Opcode), Rsv =:= 4, Payload, Codec#codec.max, Deflate), Codec};
frame_in({0, Rsv, Opcode}, Payload, Codec, _) when Opcode > 0 ->
    {none, Codec#codec{partial = {type(Opcode), Rsv =:= 4, [Payload], byte_size(Payload)}}};
frame_in({0, _, 0}, Payload, #codec{partial = {Type, Packed, Parts, Size}} = Codec, _) ->
    %% Empty fragments are free of size, so they are not kept.
    Kept = case Payload of <<>> -> Parts; _ -> [Payload | Parts] end,
    {none, Codec#codec{partial = {Type, Packed, Kept, Size + byte_size(Payload)}}};
frame_in({1, _, 0}, Payload, #codec{partial = {Type, Packed, Parts, _}} = Codec, Deflate) ->
    Whole = iolist_to_binary(lists:reverse(Parts, [Payload])),
    {message(Type, Packed, Whole, Codec#codec.max, Deflate), Codec#codec{partial = none}}.

type(1) -> text;
type(2) -> binary.

message(Type, true, Packed, Max, Deflate) ->
    case inflate(Packed, Max, Deflate) of
        {ok, Payload} -> message(Type, false, Payload, Max, Deflate);
        Fail -> Fail
    end;
message(binary, false, Payload, _, _) ->
    {binary, Payload};
message(text, false, Payload, _, _) ->
    case is_utf8(Payload) of
        true -> {text, Payload};
        false -> {fail, 1007, <<"a text message is not UTF-8">>}
    end.

is_utf8(Payload) ->
    is_binary(unicode:characters_to_binary(Payload)).

%% RFC 6455, 7.4: 1004 to 1006 and 1015 never travel; 1016 to 2999 are not registered.
close_in(<<>>) ->
    {close, 1005, <<>>};
close_in(<<Code:16, Reason/binary>>) when Code >= 1000, Code =< 1003; Code >= 1007, Code =< 1014;
                                          Code >= 3000, Code =< 4999 ->
    case is_utf8(Reason) of
        true -> {close, Code, Reason};
        false -> {fail, 1007, <<"a close reason is not UTF-8">>}
    end;
close_in(_) ->
    {fail, 1002, <<"a close code that may not be sent">>}.

%%% Compression (RFC 7692, 7.2.2)

inflate(Packed, Max, #{inflate := Inflate, inflate_takeover := Takeover}) ->
    try unpack(zlib:safeInflate(Inflate, [Packed, <<0, 0, 255, 255>>]), Inflate, [], 0, Max) of
        {ok, _} = Ok ->
            _ = Takeover =:= no_takeover andalso zlib:inflateReset(Inflate),
            Ok;
        Fail ->
            Fail
    catch
        error:_ -> {fail, 1007, <<"a message cannot be decompressed">>}
    end.

unpack({State, Output}, Inflate, Acc, Size0, Max) ->
    Size = Size0 + iolist_size(Output),
    if
        Size > Max -> {fail, 1009, <<"a message is too long">>};
        State =:= finished -> {ok, iolist_to_binary([Acc | Output])};
        true -> unpack(zlib:safeInflate(Inflate, []), Inflate, [Acc | Output], Size, Max)
    end.

%% @doc Answers the client's offer of extensions. Owner: the process that will use the contexts. Settings: the
%% websocket_compress options. A client that does not offer client_max_window_bits may use the largest window,
%% whatever the server would like (RFC 7692, 7.1.2.2).
-spec negotiate(Offer :: binary() | undefined, Owner :: pid(), Settings :: map()) ->
    none | {iodata(), map()}.
negotiate(Offer, Owner, #{websocket_compress := true} = Settings) when is_binary(Offer) ->
    #{websocket_compress_window_bits := Bits, websocket_compress_mem_level := Level,
      websocket_compress_context := Context} = Settings,
    Takeover = case Context of true -> takeover; false -> no_takeover end,
    Options = #{level => 6, mem_level => Level, server_max_window_bits => Bits,
                client_max_window_bits => Bits, server_context_takeover => Takeover,
                client_context_takeover => Takeover},
    try cow_http_hd:parse_sec_websocket_extensions(Offer) of
        Extensions ->
            owned(Owner, first([Params || {<<"permessage-deflate">>, Params} <- Extensions], Options))
    catch
        %% An offer that cannot be read is declined, like any other extension.
        error:_ -> none
    end;
negotiate(_, _, _) ->
    none.

owned(Owner, {_, #{inflate := Inflate, deflate := Deflate}} = Negotiated) when Owner =/= self() ->
    ok = zlib:set_controlling_process(Inflate, Owner),
    ok = zlib:set_controlling_process(Deflate, Owner),
    Negotiated;
owned(_Owner, Negotiated) ->
    Negotiated.

first([Params | Rest], Options0) ->
    Offered = lists:any(fun(P) -> P =:= <<"client_max_window_bits">> orelse
                                  (is_tuple(P) andalso element(1, P) =:= <<"client_max_window_bits">>)
                        end, Params),
    Options = case Offered of
        true -> Options0;
        false -> Options0#{client_max_window_bits => 15}
    end,
    case cow_ws:negotiate_permessage_deflate(Params, #{}, Options) of
        {ok, Answer, Deflate} -> {Answer, Deflate};
        ignore -> first(Rest, Options0)
    end;
first([], _Options) ->
    none.

%%% Frames to the client: never masked

%% @doc A message in one frame.
-spec frame(text | binary, binary(), deflate()) -> iodata().
frame(Type, Payload, none) ->
    head(2#1000, Type, Payload);
frame(Type, Payload, _) when byte_size(Payload) < ?COMPRESS_FROM ->
    head(2#1000, Type, Payload);
frame(Type, Payload, #{deflate := Deflate, deflate_takeover := Takeover}) ->
    Packed = iolist_to_binary(zlib:deflate(Deflate, Payload, sync)),
    _ = Takeover =:= no_takeover andalso zlib:deflateReset(Deflate),
    %% The empty block at the end of a flush is left out (RFC 7692, 7.2.1).
    head(2#1100, Type, binary:part(Packed, 0, byte_size(Packed) - 4)).

head(Bits, Type, Payload) ->
    Opcode = case Type of text -> 1; binary -> 2 end,
    Head = case byte_size(Payload) of
        Size when Size < 126 -> <<Bits:4, Opcode:4, Size>>;
        Size when Size < 65536 -> <<Bits:4, Opcode:4, 126, Size:16>>;
        Size -> <<Bits:4, Opcode:4, 127, Size:64>>
    end,
    [Head, Payload].

%% @doc A close frame; 1005 stands for one without a code. A reason that is too long is cut between characters.
-spec close(Code :: non_neg_integer(), Reason :: binary()) -> binary().
close(1005, _Reason) ->
    <<16#88, 0>>;
close(Code, Reason) when byte_size(Reason) =< 123 ->
    <<16#88, (2 + byte_size(Reason)), Code:16, Reason/binary>>;
close(Code, Reason) ->
    close(Code, case unicode:characters_to_binary(binary:part(Reason, 0, 123)) of
        Whole when is_binary(Whole) -> Whole;
        {_, Whole, _} -> Whole
    end).

-spec ping() -> binary().
ping() -> <<16#89, 0>>.

-spec pong(binary()) -> binary().
pong(Payload) -> <<16#8a, (byte_size(Payload)), Payload/binary>>.
