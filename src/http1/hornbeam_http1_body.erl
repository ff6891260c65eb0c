%%% The body of an HTTP/1 request from bytes: by its length, or chunked (RFC 9112, 6 and 7.1).
%%%
%%% Called by: hornbeam_http1. Calls nothing. Pure and incremental: whatever the pieces in which the bytes come, the answer is the same, and
%%% nothing of them is kept here.
%%%
%%%     feed(Bytes, Body) -> {more, Data, Body} | {done, Data, Rest} | {refuse, malformed}
%%%
%%% States of a chunked body, each octet of what is not data moves from one to another:
%%%
%%%     size ──digits──▶ size ──";"──▶ extension ──CR──▶ line_end ──LF──▶ data ──all──▶ data_cr, data_lf ──▶ size
%%%                       ├──space──▶ space ──";"──▶ extension   │ size 0
%%%                       └──CR──▶ line_end                │
%%%                                                        ▼
%%%     done ◀──LF── last_end ◀──CR── trailer ──token──▶ name ──":"──▶ value ──CR──▶ value_end ──LF──▶ trailer
%%%
%%% An octet that fits none of them is refused at once, not when its line is complete. The trailer section is read, checked and dropped
%%% (RFC 9112, 7.1.2).
%%%
%%% Limits: what is not data (size lines with their extensions, ends of chunks, trailers) may be ?FREE octets and as many more as ?RATIO
%%% times the data so far, so that a body of single bytes is fine and one of nothing but extensions ends soon.
-module(hornbeam_http1_body).

-export([new/1, feed/2, left/1]).
-export_type([body/0]).

-define(FREE, 16384).
-define(RATIO, 8).
-define(MAX_DIGITS, 16).

-record(chunked, {
    state = size :: atom(),
    size = 0 :: non_neg_integer(),          % of this chunk; in `data' what is left of it
    digits = 0 :: non_neg_integer(),
    data = 0 :: non_neg_integer(),          % octets so far, all chunks
    other = 0 :: non_neg_integer()
}).
-opaque body() :: {length, non_neg_integer()} | #chunked{}.

%% @doc A body of so many octets, or a chunked one.
-spec new(non_neg_integer() | unknown) -> body().
new(unknown) -> #chunked{};
new(Length) -> {length, Length}.

%% @doc How many octets are to come, where that is known.
-spec left(body()) -> non_neg_integer() | unknown.
left({length, Left}) -> Left;
left(#chunked{}) -> unknown.

%% @doc Takes bytes from the connection and gives what of them is the body's.
-spec feed(binary(), body()) -> {more, iodata(), body()} | {done, iodata(), Rest :: binary()} | {refuse, malformed}.
feed(Bytes, {length, Left}) when byte_size(Bytes) < Left ->
    {more, Bytes, {length, Left - byte_size(Bytes)}};
feed(Bytes, {length, Left}) when byte_size(Bytes) =:= Left ->
    {done, Bytes, <<>>};
feed(Bytes, {length, Left}) ->
    <<Data:Left/binary, Rest/binary>> = Bytes,
    {done, Data, Rest};
feed(Bytes, #chunked{} = Body) ->
    chunked(Bytes, Body, []).

chunked(Bytes, #chunked{state = data, size = Size, data = Before} = Body, Data) when byte_size(Bytes) < Size ->
    {more, lists:reverse(Data, [Bytes]), Body#chunked{size = Size - byte_size(Bytes), data = Before + byte_size(Bytes)}};
chunked(Bytes, #chunked{state = data, size = Size, data = Before} = Body, Data) ->
    <<Chunk:Size/binary, Rest/binary>> = Bytes,
    octets(Rest, data_cr, 0, 0, Body#chunked{data = Before + Size, size = 0}, [Chunk | Data]);
chunked(Bytes, #chunked{state = State, size = Size, digits = Digits} = Body, Data) ->
    octets(Bytes, State, Size, Digits, Body, Data).

octets(Bytes, State, Size, Digits, #chunked{other = Other, data = Octets} = Body, Data) ->
    case scan(Bytes, State, Size, Digits) of
        refuse ->
            {refuse, malformed};
        {Next, NextSize, NextDigits, Rest} ->
            Now = Other + byte_size(Bytes) - byte_size(Rest),
            After = Body#chunked{state = Next, size = NextSize, digits = NextDigits, other = Now},
            if
                Now > ?FREE + ?RATIO * Octets -> {refuse, malformed};
                Next =:= done -> {done, lists:reverse(Data), Rest};
                Next =:= data -> chunked(Rest, After, Data);
                true -> {more, lists:reverse(Data), After}
            end
    end.

%% Runs until the bytes end, or data or the end of the body comes.
scan(<<>>, State, Size, Digits) -> {State, Size, Digits, <<>>};
scan(<<C, Rest/bits>>, size, Size, Digits) -> size(C, Rest, Size, Digits);
scan(<<$\n, Rest/bits>>, line_end, 0, _) -> scan(Rest, trailer, 0, 0);
scan(<<$\n, Rest/bits>>, line_end, Size, _) -> {data, Size, 0, Rest};
scan(<<$\r, Rest/bits>>, data_cr, _, _) -> scan(Rest, data_lf, 0, 0);
scan(<<$\n, Rest/bits>>, data_lf, _, _) -> scan(Rest, size, 0, 0);
%% RFC 9112, 7.1.1 and RFC 9110, 5.6.3: space before an extension is to be taken, and nothing else may follow it.
scan(<<C, Rest/bits>>, space, Size, _) when C =:= $\s; C =:= $\t -> scan(Rest, space, Size, 0);
scan(<<$;, Rest/bits>>, space, Size, _) -> scan(Rest, extension, Size, 0);
scan(<<$\r, Rest/bits>>, extension, Size, _) -> scan(Rest, line_end, Size, 0);
scan(<<C, Rest/bits>>, extension, Size, _) when C >= 32, C =/= 127; C =:= $\t -> scan(Rest, extension, Size, 0);
scan(<<$\r, Rest/bits>>, trailer, _, _) -> scan(Rest, last_end, 0, 0);
scan(<<$\n, Rest/bits>>, last_end, _, _) -> {done, 0, 0, Rest};
scan(<<$:, Rest/bits>>, name, _, _) -> scan(Rest, value, 0, 0);
scan(<<C, Rest/bits>>, State, _, _) when State =:= trailer; State =:= name ->
    case is_token(C) of
        true -> scan(Rest, name, 0, 0);
        false -> refuse
    end;
scan(<<$\r, Rest/bits>>, value, _, _) -> scan(Rest, value_end, 0, 0);
scan(<<C, Rest/bits>>, value, _, _) when C >= 32, C =/= 127; C =:= $\t -> scan(Rest, value, 0, 0);
scan(<<$\n, Rest/bits>>, value_end, _, _) -> scan(Rest, trailer, 0, 0);
scan(_, _, _, _) -> refuse.

size(C, Rest, Size, Digits) when C >= $0, C =< $9, Digits < ?MAX_DIGITS -> scan(Rest, size, Size * 16 + C - $0, Digits + 1);
size(C, Rest, Size, Digits) when C >= $a, C =< $f, Digits < ?MAX_DIGITS -> scan(Rest, size, Size * 16 + C - $a + 10, Digits + 1);
size(C, Rest, Size, Digits) when C >= $A, C =< $F, Digits < ?MAX_DIGITS -> scan(Rest, size, Size * 16 + C - $A + 10, Digits + 1);
size($\r, Rest, Size, Digits) when Digits > 0 -> scan(Rest, line_end, Size, 0);
size($;, Rest, Size, Digits) when Digits > 0 -> scan(Rest, extension, Size, 0);
size(C, Rest, Size, Digits) when Digits > 0, C =:= $\s; Digits > 0, C =:= $\t -> scan(Rest, space, Size, 0);
size(_, _, _, _) -> refuse.

is_token(C) when C >= $a, C =< $z; C >= $A, C =< $Z; C >= $0, C =< $9; C =:= $-; C =:= $_ -> true;
is_token(C) -> hornbeam_headers:is_token(<<C>>).
