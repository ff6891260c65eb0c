%%% Parts of a file (RFC 9110, 14): which ones a Range field asks for, and how several travel together.
%%%
%%% Called by: hornbeam_static. Calls: hornbeam_headers. Pure.
%%%
%%% Limits: a field with more than ?MOST ranges, or with ranges that together are more than the file (they overlap), is answered with the
%%% whole file, as the standard allows (14.2): no request makes the server send more than that, but for the heads of ?MOST parts.
-module(hornbeam_static_ranges).

-export([select/2, parts/3, content_range/2]).
-export_type([range/0]).

-type range() :: {Offset :: non_neg_integer(), Size :: pos_integer()}.

-define(MOST, 16).
%% More than any file's size has.
-define(DIGITS, 18).

%% @doc `whole': the field counts for nothing, since it is no list of ranges of bytes or asks for too much.
-spec select(Range :: binary(), Size :: non_neg_integer()) -> whole | unsatisfiable | [range(), ...].
select(<<Unit:5/binary, $=, Set/binary>>, Size) ->
    case hornbeam_headers:lower(Unit) of
        <<"bytes">> -> set([hornbeam_headers:trim(Spec) || Spec <- binary:split(Set, <<",">>, [global])], Size);
        _ -> whole
    end;
select(_Range, _Size) ->
    whole.

%% Empty elements count for nothing (5.6.1).
set(Elements, Size) ->
    Specs = [Spec || Spec <- Elements, Spec =/= <<>>],
    case length(Elements) =< 2 * ?MOST andalso Specs =/= [] andalso length(Specs) =< ?MOST andalso [range(Spec, Size) || Spec <- Specs] of
        false -> whole;
        Ranges ->
            case lists:member(invalid, Ranges) orelse [Range || Range <- Ranges, Range =/= none] of
                true -> whole;
                [] -> unsatisfiable;
                [_] = One -> One;
                Several -> case lists:sum([Part || {_, Part} <- Several]) > Size of true -> whole; false -> Several end
            end
    end.

range(Spec, Size) ->
    case binary:split(Spec, <<"-">>) of
        [<<>>, Suffix] -> suffix(number(Suffix), Size);
        [First, <<>>] -> from(number(First), infinity, Size);
        [First, Last] -> from(number(First), number(Last), Size);
        _ -> invalid
    end.

suffix(invalid, _Size) -> invalid;
suffix(0, _Size) -> none;
suffix(_, 0) -> none;
suffix(Length, Size) -> {max(0, Size - Length), min(Length, Size)}.

from(First, Last, _Size) when First =:= invalid; Last =:= invalid; Last < First -> invalid;
from(First, _Last, Size) when First >= Size -> none;
from(First, Last, Size) -> {First, min(Last, Size - 1) - First + 1}.

number(Text) when byte_size(Text) =< ?DIGITS ->
    case hornbeam_headers:is_digits(Text) of
        true -> binary_to_integer(Text);
        false -> invalid
    end;
number(_Text) ->
    invalid.

%% @doc The field of a part; of none, where no range can be satisfied.
-spec content_range(range() | unsatisfiable, Size :: non_neg_integer()) -> binary().
content_range(unsatisfiable, Size) ->
    <<"bytes */", (integer_to_binary(Size))/binary>>;
content_range({Offset, Part}, Size) ->
    <<"bytes ", (integer_to_binary(Offset))/binary, $-, (integer_to_binary(Offset + Part - 1))/binary, $/, (integer_to_binary(Size))/binary>>.

%% @doc Several parts as multipart/byteranges (14.6): the type, the length of all, and what is sent: octets, and ranges of the file.
-spec parts([range()], ContentType :: binary(), Size :: non_neg_integer()) -> {Type :: binary(), Length :: pos_integer(), [binary() | range()]}.
parts(Ranges, ContentType, Size) ->
    Boundary = boundary(),
    Parts = lists:append([[part(Range, Boundary, ContentType, Size), Range] || Range <- Ranges]) ++ [<<"\r\n--", Boundary/binary, "--\r\n">>],
    Length = lists:sum([case Part of {_, Octets} -> Octets; Octets -> byte_size(Octets) end || Part <- Parts]),
    {<<"multipart/byteranges; boundary=", Boundary/binary>>, Length, Parts}.

part(Range, Boundary, ContentType, Size) ->
    <<"\r\n--", Boundary/binary, "\r\ncontent-type: ", ContentType/binary, "\r\ncontent-range: ", (content_range(Range, Size))/binary, "\r\n\r\n">>.

%% Not in the file: nobody knows it before.
boundary() ->
    binary:encode_hex(crypto:strong_rand_bytes(12)).
