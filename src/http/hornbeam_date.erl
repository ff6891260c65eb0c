%%% The value of a Date field: the time of day as an IMF-fixdate (RFC 9110, 5.6.7 and 6.6.1).
%%%
%%% Called by: hornbeam_http1_reply, hornbeam_headers (now/0), hornbeam_http1 (forget/0), in connection processes. Calls: calendar.
%%%
%%% A process formats it once a second and keeps the text in its process dictionary: formatting takes as long as writing all other fields
%%% of a response, a shared table longer than looking there.
-module(hornbeam_date).

-export([now/0, forget/0, format/1]).

-spec now() -> binary().
now() ->
    %% Not erlang:system_time/1, which follows a clock that is set only after minutes.
    Second = os:system_time(second),
    case get(?MODULE) of
        {Second, Text} ->
            Text;
        _ ->
            Text = format(Second),
            _ = put(?MODULE, {Second, Text}),
            Text
    end.

%% @doc The process needs no text for a while.
-spec forget() -> ok.
forget() ->
    _ = erase(?MODULE),
    ok.

%% @doc Seconds since 1970 in UTC.
-spec format(integer()) -> binary().
format(Second) ->
    {{Year, Month, Day} = Date, {Hour, Minute, Sec}} = calendar:system_time_to_universal_time(Second, second),
    <<(day(calendar:day_of_the_week(Date)))/binary, (two(Day))/binary, (month(Month))/binary, (integer_to_binary(Year))/binary,
      $\s, (two(Hour))/binary, $:, (two(Minute))/binary, $:, (two(Sec))/binary, " GMT">>.

two(N) -> <<($0 + N div 10), ($0 + N rem 10)>>.

day(1) -> <<"Mon, ">>;
day(2) -> <<"Tue, ">>;
day(3) -> <<"Wed, ">>;
day(4) -> <<"Thu, ">>;
day(5) -> <<"Fri, ">>;
day(6) -> <<"Sat, ">>;
day(7) -> <<"Sun, ">>.

month(1) -> <<" Jan ">>;
month(2) -> <<" Feb ">>;
month(3) -> <<" Mar ">>;
month(4) -> <<" Apr ">>;
month(5) -> <<" May ">>;
month(6) -> <<" Jun ">>;
month(7) -> <<" Jul ">>;
month(8) -> <<" Aug ">>;
month(9) -> <<" Sep ">>;
month(10) -> <<" Oct ">>;
month(11) -> <<" Nov ">>;
month(12) -> <<" Dec ">>.
