%%% Conditional requests (RFC 9110, 13) for a file: its entity tag and the time of its last change.
%%%
%%% Called by: hornbeam_static. Calls: hornbeam_headers. Pure but for the current year.
-module(hornbeam_static_conditional).

-export([check/3, is_same/3, parse_date/1]).

%% @doc In the order of 13.2.2, for GET and HEAD; what Range asks for comes after. Modified: seconds since 1970.
-spec check(hornbeam_headers:headers(), ETag :: binary(), Modified :: integer()) -> ok | not_modified | failed.
check(Fields, ETag, Modified) ->
    case {values(<<"if-match">>, Fields), hornbeam_headers:find(<<"if-unmodified-since">>, Fields)} of
        {[], error} -> not_modified(Fields, ETag, Modified);
        {[], {ok, Date}} ->
            case parse_date(Date) of
                Since when is_integer(Since), Modified > Since -> failed;
                _ -> not_modified(Fields, ETag, Modified)
            end;
        {Tags, _} ->
            case is_any(Tags, ETag, fun strong/1) of
                true -> not_modified(Fields, ETag, Modified);
                false -> failed
            end
    end.

not_modified(Fields, ETag, Modified) ->
    case {values(<<"if-none-match">>, Fields), hornbeam_headers:find(<<"if-modified-since">>, Fields)} of
        {[], error} -> ok;
        {[], {ok, Date}} ->
            case parse_date(Date) of
                Since when is_integer(Since), Modified =< Since -> not_modified;
                _ -> ok
            end;
        {Tags, _} ->
            case is_any(Tags, ETag, fun weak/1) of true -> not_modified; false -> ok end
    end.

%% @doc If-Range (13.1.5): whether the parts that the client has are of the same file. A date has to be the very one.
-spec is_same(hornbeam_headers:headers(), ETag :: binary(), LastModified :: binary()) -> boolean().
is_same(Fields, ETag, LastModified) ->
    case hornbeam_headers:find(<<"if-range">>, Fields) of
        error -> true;
        {ok, Value} -> lists:member(hornbeam_headers:trim(Value), [ETag, LastModified])
    end.

values(Name, Fields) ->
    [Tag || {Field, Value} <- Fields, Field =:= Name, Tag <- hornbeam_headers:split(Value, $,)].

%% 8.8.3.2: ours are strong, so only a weak one of the client's makes a difference.
is_any(Tags, ETag, Compared) ->
    lists:any(fun(<<"*">>) -> true; (Tag) -> Compared(Tag) =:= ETag end, Tags).

strong(Tag) -> Tag.

weak(<<"W/", Tag/binary>>) -> Tag;
weak(Tag) -> Tag.

%% @doc Seconds since 1970, in each of the three forms (5.6.7). The day's name is not looked at.
-spec parse_date(binary()) -> integer() | error.
parse_date(<<_Day:3/binary, ", ", D:2/binary, $\s, M:3/binary, $\s, Y:4/binary, $\s, Time:8/binary, " GMT">>) ->
    seconds(number(Y), M, number(D), Time);
parse_date(<<_Day:3/binary, $\s, M:3/binary, $\s, D:2/binary, $\s, Time:8/binary, $\s, Y:4/binary>>) ->
    seconds(number(Y), M, number(case D of <<$\s, One>> -> <<$0, One>>; _ -> D end), Time);
parse_date(Text) ->
    case binary:split(Text, <<", ">>) of
        [_Day, <<D:2/binary, $-, M:3/binary, $-, Y:2/binary, $\s, Time:8/binary, " GMT">>] -> seconds(century(number(Y)), M, number(D), Time);
        _ -> error
    end.

%% A year of two digits that seems to be more than 50 years ahead is past.
century(error) -> error;
century(Y) ->
    {{Now, _, _}, _} = calendar:system_time_to_universal_time(os:system_time(second), second),
    case Now - Now rem 100 + Y of
        Year when Year > Now + 50 -> Year - 100;
        Year -> Year
    end.

seconds(Y, Name, D, <<H0:2/binary, $:, I0:2/binary, $:, S0:2/binary>>) ->
    Date = {Y, month(Name), D},
    case {number(H0), number(I0), number(S0)} of
        {H, I, S} when is_integer(Y), is_integer(D), is_integer(H), H < 24, is_integer(I), I < 60, is_integer(S), S =< 60 ->
            case calendar:valid_date(Date) of
                true -> calendar:datetime_to_gregorian_seconds({Date, {H, I, min(S, 59)}}) - 62167219200;
                false -> error
            end;
        _ -> error
    end;
seconds(_, _, _, _) ->
    error.

month(Name) ->
    case binary:match(<<"JanFebMarAprMayJunJulAugSepOctNovDec">>, Name) of
        {At, 3} when At rem 3 =:= 0 -> At div 3 + 1;
        _ -> 0
    end.

number(Text) ->
    case hornbeam_headers:is_digits(Text) of
        true -> binary_to_integer(Text);
        false -> error
    end.
