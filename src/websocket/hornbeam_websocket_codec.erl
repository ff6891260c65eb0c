%%% WebSocket frames (RFC 6455, and permessage-deflate of RFC 7692) as a codec without I/O.
%%%
%%% Called by: hornbeam_websocket (bytes of its client, frames to it), hornbeam_websocket_fanout (one frame for all
%%% subscribers). Calls: zlib, crypto.
%%%
%%% What arrives is cut into whole messages: feed/2 adds bytes, next/2 takes what they complete, one item at a time, so that a
%%% connection can stop in the middle of a read. A frame's length is checked against the limit as soon as its header is
%%% there; what a compressed message unpacks to is checked while it is being unpacked. A malformed frame ends in
%%% {fail, Code, Reason} with the close code of RFC 6455, 7.4.1; nothing after it is read.
%%%
%%% Memory: a frame that is not here as a whole is unmasked as it comes and appended to its message, in a binary that the VM
%%% makes larger in place (to twice its size, so a message costs at most two times its bytes), however it is cut: into
%%% fragments, into reads, into single bytes. That binary must not be matched on before it is complete, since the next append would
%%% copy it. Nothing is kept for a fragment, but their number is bounded too (?FRAGMENT, ?MIN_FRAGMENTS).
%%%
%%% Cowboy's own parser is not used: it unpacks without a limit, and keeps a mask's arithmetic in Erlang where
%%% crypto:exor/2 does it in C.
-module(hornbeam_websocket_codec).

-export([new/1, feed/2, next/2, frame/3, close/2, ping/0, pong/1]).
-export_type([codec/0, deflate/0, item/0]).

-type flags() :: {Fin :: 0..1, Rsv :: 0..7, Opcode :: 0..15}.
%% A message that is not complete: its fragments so far (one at least), their bytes.
-record(message, {
    type :: text | binary,
    packed :: boolean(),
    fragments = 1 :: pos_integer(),
    bytes = <<>> :: binary()
}).
-record(codec, {
    max :: pos_integer(),                       % bytes of one message
    rest = <<>> :: binary(),                    % not looked at yet, or the beginning of a header
    %% The frame whose payload is coming: its missing bytes, and the mask as it is turned for the first of them.
    frame = none :: none | {flags(), non_neg_integer(), Mask :: binary()},
    control = <<>> :: binary(),                 % of it, if it is a control frame
    message = none :: none | #message{}
}).
-opaque codec() :: #codec{}.
%% The two zlib contexts of a connection (hornbeam_websocket_extensions makes them), and whether they go on from message to message.
-type takeover() :: takeover | no_takeover.
-type deflate() :: none | #{inflate := zlib:zstream(), inflate_takeover := takeover(),
                            deflate := zlib:zstream(), deflate_takeover := takeover()}.
-type item() :: {text | binary | ping, binary()} | pong
              | {close, Code :: 1000..4999, Reason :: binary()}
              | {fail, Code :: 1000..4999, Reason :: binary()}.

%% Below this a compressed message is hardly shorter.
-define(COMPRESS_FROM, 64).
%% Masks of payloads up to this size are taken off without a call of crypto.
-define(SHORT, 64).
%% What a fragment costs, in bytes: with its header the client's and the server's work for it.
-define(FRAGMENT, 64).
%% So many fragments a message may always have.
-define(MIN_FRAGMENTS, 1024).

-spec new(MaxMessage :: pos_integer()) -> codec().
new(Max) -> #codec{max = Max}.

%% @doc Adds bytes.
-spec feed(binary(), codec()) -> codec().
feed(Data, #codec{rest = <<>>} = Codec) -> Codec#codec{rest = Data};
feed(Data, #codec{rest = Rest} = Codec) -> Codec#codec{rest = <<Rest/binary, Data/binary>>}.

%% @doc The next item that is complete, or `more': bytes are needed. After a `close' or `fail' nothing may be asked.
-spec next(codec(), deflate()) -> {item() | more, codec()}.
next(#codec{frame = none, rest = <<>>} = Codec, _Deflate) ->
    {more, Codec};
next(#codec{frame = none, rest = Data} = Codec, Deflate) ->
    case header(Data, Codec, Deflate) of
        more ->
            %% Copied, so that a few bytes do not keep the whole read.
            {more, Codec#codec{rest = binary:copy(Data)}};
        {fail, _, _} = Fail ->
            {Fail, Codec};
        {Flags, Size, Mask, Rest} ->
            payload(Flags, Size, Mask, Rest, begun(Flags, Codec), Deflate)
    end;
next(#codec{rest = <<>>} = Codec, _Deflate) ->
    {more, Codec};
next(#codec{frame = {Flags, Missing, Mask}, rest = Data} = Codec, Deflate) ->
    payload(Flags, Missing, Mask, Data, Codec#codec{frame = none}, Deflate).

%% One more fragment.
begun({_, _, 0}, #codec{message = #message{fragments = Fragments} = Message} = Codec) ->
    Codec#codec{message = Message#message{fragments = Fragments + 1}};
begun(_Flags, Codec) ->
    Codec.

payload(Flags, Missing, Mask, Data, Codec, Deflate) ->
    case Data of
        <<Masked:Missing/binary, Rest/binary>> ->
            ended(Flags, unmask(Masked, Missing, Mask), Codec#codec{rest = Rest}, Deflate);
        _ ->
            Size = byte_size(Data),
            Kept = keep(Flags, unmask(Data, Size, Mask), Codec),
            {more, Kept#codec{frame = {Flags, Missing - Size, turned(Mask, Size rem 4)}, rest = <<>>}}
    end.

turned(Mask, By) ->
    <<Used:By/binary, Next/binary>> = Mask,
    <<Next/binary, Used/binary>>.

keep({_, _, Opcode}, Payload, #codec{control = Control} = Codec) when Opcode >= 8 ->
    Codec#codec{control = <<Control/binary, Payload/binary>>};
keep({_, Rsv, Opcode}, Payload, #codec{message = none} = Codec) ->
    keep({0, Rsv, Opcode}, Payload, Codec#codec{message = #message{type = type(Opcode), packed = Rsv =:= 4}});
keep(_Flags, Payload, #codec{message = #message{bytes = Bytes} = Message} = Codec) ->
    Codec#codec{message = Message#message{bytes = <<Bytes/binary, Payload/binary>>}}.

type(1) -> text;
type(2) -> binary.

%% A frame is complete; Payload is the last part of it.
ended({_, _, Opcode} = Flags, Payload, #codec{control = <<>>} = Codec, _Deflate) when Opcode >= 8 ->
    {control(Flags, Payload), Codec};
ended({_, _, Opcode} = Flags, Payload, #codec{control = Control} = Codec, _Deflate) when Opcode >= 8 ->
    {control(Flags, <<Control/binary, Payload/binary>>), Codec#codec{control = <<>>}};
%% Most messages: one frame, in one read.
ended({1, Rsv, Opcode}, Payload, #codec{message = none, max = Max} = Codec, Deflate) ->
    {message(type(Opcode), Rsv =:= 4, Payload, Max, Deflate), Codec};
ended({Fin, _, _} = Flags, Payload, #codec{max = Max} = Codec0, Deflate) ->
    #codec{message = #message{type = Type, packed = Packed, bytes = Bytes}} = Codec = keep(Flags, Payload, Codec0),
    case Fin of
        0 -> next(Codec, Deflate);
        1 -> {message(Type, Packed, Bytes, Max, Deflate), Codec#codec{message = none}}
    end.

%%% The header (RFC 6455, 5.2)

header(<<_:8, 0:1, _/bits>>, _Codec, _Deflate) ->
    {fail, 1002, <<"a frame is not masked">>};
header(<<Fin:1, Rsv:3, Opcode:4, 1:1, Length:7, Rest/binary>>, #codec{message = Message} = Codec, Deflate) ->
    case check(Fin, Rsv, Opcode, Length, Message, Deflate) of
        ok -> sized(Length, Rest, {Fin, Rsv, Opcode}, Codec);
        Reason -> {fail, 1002, Reason}
    end;
header(_, _Codec, _Deflate) ->
    more.

check(_, Rsv, _, _, _, _) when Rsv band 3 =/= 0 -> <<"reserved bits are set">>;
check(_, 4, _, _, _, none) -> <<"reserved bits are set">>;
check(_, 4, Opcode, _, _, _) when Opcode =/= 1, Opcode =/= 2 -> <<"reserved bits are set">>;
check(_, _, Opcode, _, _, _) when Opcode > 10; Opcode > 2, Opcode < 8 -> <<"unknown opcode">>;
check(0, _, Opcode, _, _, _) when Opcode >= 8 -> <<"a control frame is fragmented">>;
check(_, _, Opcode, Length, _, _) when Opcode >= 8, Length > 125 -> <<"a control frame is too long">>;
check(_, _, 8, 1, _, _) -> <<"a close frame with half a code">>;
check(_, _, 0, _, none, _) -> <<"a continuation of nothing">>;
check(_, _, Opcode, _, Message, _) when Message =/= none, Opcode > 0, Opcode < 8 ->
    <<"a message within a fragmented message">>;
check(_, _, _, _, _, _) -> ok.

sized(126, <<Length:16, _/binary>>, _, _) when Length < 126 ->
    {fail, 1002, <<"a length is not in its shortest form">>};
sized(126, <<Length:16, Rest/binary>>, Flags, Codec) ->
    masked(Length, Rest, Flags, Codec);
sized(127, <<Length:64, _/binary>>, _, _) when Length < 65536; Length > 16#7fffffffffffffff ->
    {fail, 1002, <<"a length is not in its shortest form">>};
sized(127, <<Length:64, Rest/binary>>, Flags, Codec) ->
    masked(Length, Rest, Flags, Codec);
sized(Length, Rest, Flags, Codec) when Length < 126 ->
    masked(Length, Rest, Flags, Codec);
sized(_, _, _, _) ->
    more.

masked(Length, Rest, {_, _, Opcode} = Flags, #codec{max = Max, message = Message}) ->
    {Before, Fragments} = case Message of
        #message{bytes = Bytes, fragments = Number} when Opcode =:= 0 -> {byte_size(Bytes), Number};
        _ -> {0, 0}
    end,
    case Rest of
        _ when Length + Before > Max -> {fail, 1009, <<"a message is too long">>};
        _ when Fragments * ?FRAGMENT >= Max, Fragments >= ?MIN_FRAGMENTS -> {fail, 1009, <<"a message in too many fragments">>};
        <<Mask:4/binary, Payload/binary>> -> {Flags, Length, Mask, Payload};
        _ -> more
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

%%% What is complete

control({_, _, 8}, Payload) -> close_in(Payload);
control({_, _, 9}, Payload) -> {ping, Payload};
control({_, _, 10}, _Payload) -> pong.

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
    try unpack(zlib:safeInflate(Inflate, [Packed, <<0, 0, 255, 255>>]), Inflate, <<>>, Max) of
        {ok, _} = Ok ->
            _ = Takeover =:= no_takeover andalso zlib:inflateReset(Inflate),
            Ok;
        Fail ->
            Fail
    catch
        error:_ -> {fail, 1007, <<"a message cannot be decompressed">>}
    end.

%% Appended in place, like what comes.
unpack({State, Output}, Inflate, Bytes0, Max) ->
    Part = iolist_to_binary(Output),
    Bytes = <<Bytes0/binary, Part/binary>>,
    if
        byte_size(Bytes) > Max -> {fail, 1009, <<"a message is too long">>};
        State =:= finished -> {ok, Bytes};
        true -> unpack(zlib:safeInflate(Inflate, []), Inflate, Bytes, Max)
    end.

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
