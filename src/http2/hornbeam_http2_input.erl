%%% From octets to frames: the preface, the frames' order, heads in one piece, floods (RFC 9113, 3.4, 4.1, 6.10).
%%%
%%% Called by: hornbeam_http2. Calls: cow_http2, hornbeam_http2_rate. Pure, incremental: feed/2, then next/2 until it says `more'.
%%%
%%%     preface ──24 octets──▶ settings ──SETTINGS──▶ frames
%%%
%%% Limits: a frame has 16 KiB; a head max_head_size, or a frame; the number of frames (max_frame_rate), and of those that carry
%%% nothing (max_empty_frame_rate: they cost the client nothing). Time: what has begun (the preface and the first SETTINGS; any frame or head)
%%% has header_timeout. But for DATA, where a part is progress and body_timeout speaks.
-module(hornbeam_http2_input).

-export([new/1, feed/2, next/2, until/1, is_untouched/1]).
-export_type([input/0, frame/0]).

-define(PREFACE, <<"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n">>).
-define(FRAME, 16384).

-type id() :: pos_integer().
%% `head': one of HEADERS with all that continues it. `broken': one that only its stream suffers from. Priorities and the like come, too.
-type frame() :: {data, id(), fin | nofin, binary()} | {head, id(), fin | nofin, Block :: binary()}
               | {window_update, pos_integer()} | {window_update, id(), pos_integer()} | {rst_stream, id(), term()}
               | {settings, map()} | settings_ack | {ping, integer()} | {goaway, id(), term(), binary()} | {broken, id(), cow_http2:error()} | ignored.

-record(input, {
    stage = preface :: preface | settings | frames,
    buffer = <<>> :: binary(),              % the beginning of a frame
    block = none :: none | {id(), fin | nofin, binary()},   % the beginning of a head
    until = infinity :: integer() | infinity,   % when what has begun must be here
    frames :: hornbeam_http2_rate:rate(),
    empty :: hornbeam_http2_rate:rate(),
    header_timeout :: timeout(),
    max_head_size :: pos_integer()
}).
-opaque input() :: #input{}.

-spec new(#{header_timeout := timeout(), max_head_size := pos_integer(), max_frame_rate := pos_integer(),
            max_empty_frame_rate := pos_integer(), _ => _}) -> input().
new(#{header_timeout := Timeout, max_head_size := Size, max_frame_rate := Frames, max_empty_frame_rate := Empty}) ->
    #input{frames = hornbeam_http2_rate:new(Frames), empty = hornbeam_http2_rate:new(Empty), header_timeout = Timeout, max_head_size = Size}.

-spec feed(binary(), input()) -> input().
feed(Bytes, #input{buffer = <<>>} = Input) -> Input#input{buffer = Bytes};
feed(Bytes, #input{buffer = Buffer} = Input) -> Input#input{buffer = <<Buffer/binary, Bytes/binary>>}.

%% @doc When what has begun must be here (monotonic ms).
-spec until(input()) -> integer() | infinity.
until(#input{until = Until}) -> Until.

%% @doc Whether the client has said nothing at all.
-spec is_untouched(input()) -> boolean().
is_untouched(#input{stage = Stage, buffer = Buffer}) -> Stage =:= preface andalso Buffer =:= <<>>.

%% @doc The next frame that is here, with the octets that it has behind its head; or `more', with the stream of which a part of a DATA frame
%% has come; or what is wrong with the connection.
-spec next(Now :: integer(), input()) ->
    {frame, frame(), Size :: non_neg_integer(), input()} | {more, none | id(), input()} | {error, cow_http2:error()}.
next(Now, #input{stage = preface, buffer = Buffer} = Input) ->
    Size = min(byte_size(Buffer), byte_size(?PREFACE)),
    <<Begin:Size/binary, Rest/binary>> = Buffer,
    case binary:part(?PREFACE, 0, Size) of
        Begin when Size =:= byte_size(?PREFACE) -> next(Now, Input#input{stage = settings, buffer = Rest});
        Begin -> {more, none, begun(Now, Input)};
        _ -> {error, protocol_error}
    end;
next(_Now, #input{buffer = <<Size:24, 7, _/bits>>}) when Size < 8 ->
    {error, frame_size_error};
next(Now, #input{buffer = Buffer} = Input) ->
    case cow_http2:parse(Buffer, ?FRAME) of
        {ok, Frame, Rest} -> counted(Frame, byte_size(Buffer) - byte_size(Rest) - 9, Rest, Now, Input);
        more -> more(Now, Input);
        {ignore, Rest} -> counted(ignored, 0, Rest, Now, Input);
        {stream_error, Id, Code, _, Rest} -> counted({broken, Id, Code}, 0, Rest, Now, Input);
        {connection_error, Code, _} -> {error, Code}
    end.

more(_Now, #input{stage = frames, block = none, buffer = <<>>} = Input) -> {more, none, Input#input{until = infinity}};
more(_Now, #input{stage = frames, block = none, buffer = <<_:24, 0, _:9, Id:31, _/bits>>} = Input) -> {more, Id, Input#input{until = infinity}};
more(Now, Input) -> {more, none, begun(Now, Input)}.

begun(_Now, #input{until = Until} = Input) when Until =/= infinity -> Input;
begun(_Now, #input{header_timeout = infinity} = Input) -> Input;
begun(Now, #input{header_timeout = Time} = Input) -> Input#input{until = Now + Time}.

counted(Frame, Size, Rest, Now, #input{frames = Frames} = Input) ->
    case hornbeam_http2_rate:count(Now, Frames) of
        over -> {error, enhance_your_calm};
        Counted -> ordered(Frame, Size, Now, ended(Input#input{buffer = Rest, frames = Counted}))
    end.

%% What has begun is here. What follows has its own time, but for the parts of a head.
ended(#input{stage = frames, block = none, until = Until} = Input) when Until =/= infinity -> Input#input{until = infinity};
ended(Input) -> Input.

%% RFC 9113, 3.4: SETTINGS come first; 6.10: a head is in one piece.
ordered({settings, _} = Frame, Size, _Now, #input{stage = settings} = Input) ->
    {frame, Frame, Size, Input#input{stage = frames}};
ordered(_Frame, _Size, _Now, #input{stage = settings}) ->
    {error, protocol_error};
ordered({continuation, Id, head_nofin, <<>>}, _Size, Now, #input{block = {Id, _, _}} = Input0) ->
    case empty(Now, Input0) of
        over -> {error, enhance_your_calm};
        Input -> next(Now, Input)
    end;
ordered({continuation, Id, IsLast, Part}, _Size, Now, #input{block = {Id, IsFin, Before}} = Input) ->
    head(Id, IsFin, IsLast, <<Before/binary, Part/binary>>, Now, Input#input{block = none});
ordered(_Frame, _Size, _Now, #input{block = {_, _, _}}) ->
    {error, protocol_error};
ordered({headers, Id, IsFin, IsLast, Block}, _Size, Now, Input) ->
    head(Id, IsFin, IsLast, Block, Now, Input);
ordered({headers, Id, IsFin, IsLast, _, _, _, Block}, _Size, Now, Input) ->
    head(Id, IsFin, IsLast, Block, Now, Input);
ordered({continuation, _, _, _}, _Size, _Now, _Input) ->
    {error, protocol_error};
ordered({push_promise, _, _, _, _}, _Size, _Now, _Input) ->
    {error, protocol_error};
ordered(Frame, Size, Now, Input0) ->
    case is_empty(Frame) of
        false ->
            {frame, Frame, Size, Input0};
        true ->
            case empty(Now, Input0) of
                over -> {error, enhance_your_calm};
                Input -> {frame, Frame, Size, Input}
            end
    end.

is_empty({data, _Id, nofin, <<>>}) -> true;
is_empty({settings, _}) -> true;
is_empty({ping, _}) -> true;
is_empty(_) -> false.

empty(Now, #input{empty = Empty} = Input) ->
    case hornbeam_http2_rate:count(Now, Empty) of
        over -> over;
        Counted -> Input#input{empty = Counted}
    end.

head(_Id, _IsFin, _IsLast, Block, _Now, #input{max_head_size = Max}) when byte_size(Block) > Max, byte_size(Block) > ?FRAME ->
    {error, enhance_your_calm};
head(Id, IsFin, head_nofin, Block, Now, Input) ->
    next(Now, Input#input{block = {Id, IsFin, Block}});
head(Id, IsFin, head_fin, Block, _Now, Input) ->
    {frame, {head, Id, IsFin, Block}, 0, Input#input{until = infinity}}.
