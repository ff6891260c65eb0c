%%% A line of the access log: which fields it has, what they are for a request, and its text.
%%%
%%% Called by: hornbeam_access_log. Calls: hornbeam_option_fields (which fields there are), hornbeam_json. Pure.
%%%
%%% Bytes that a client chose are escaped, so that a line is always one line.
-module(hornbeam_access_line).

-export([fields/2, values/6, format/4]).
-export_type([ids/0]).

-include("hornbeam_head.hrl").

%% Of the request; of its trace and span.
-type ids() :: {binary() | undefined, {binary(), binary()} | none}.

-define(COMBINED, [client, method, path, query, version, status, bytes, referer, user_agent]).
%% More of a field is cut.
-define(MAX_VALUE, 2048).

-spec fields(combined | json, [binary()]) -> [hornbeam_option_fields:field()].
fields(combined, _) -> ?COMBINED;
fields(json, []) -> hornbeam_option_fields:all();
fields(json, Names) -> [hornbeam_option_fields:field(Name) || Name <- Names].

-spec values([hornbeam_option_fields:field()], #head{}, pos_integer(), non_neg_integer(), integer(), ids()) -> [term()].
values(Fields, Head, Status, Sent, Duration, Ids) ->
    [value(Field, Head, Status, Sent, Duration, Ids) || Field <- Fields].

value(status, _Head, Status, _Sent, _Duration, _Ids) -> Status;
value(bytes, _Head, _Status, Sent, _Duration, _Ids) -> Sent;
value(duration_ms, _Head, _Status, _Sent, Duration, _Ids) ->
    erlang:convert_time_unit(Duration, native, microsecond) / 1000;
value(request_id, _Head, _Status, _Sent, _Duration, {Id, _}) -> Id;
value(trace_id, _Head, _Status, _Sent, _Duration, {_, {Trace, _}}) -> Trace;
value(span_id, _Head, _Status, _Sent, _Duration, {_, {_, Span}}) -> Span;
value(client, #head{peer = {Ip, _}}, _Status, _Sent, _Duration, _Ids) -> Ip;
%% A head that could not be read has no method, and nothing of the rest is known.
value(_Field, #head{method = <<>>}, _Status, _Sent, _Duration, _Ids) -> undefined;
value(method, #head{method = Method}, _Status, _Sent, _Duration, _Ids) -> Method;
value(scheme, #head{scheme = Scheme}, _Status, _Sent, _Duration, _Ids) -> Scheme;
value(path, #head{path = Path}, _Status, _Sent, _Duration, _Ids) -> Path;
value(query, #head{query = Query}, _Status, _Sent, _Duration, _Ids) -> Query;
value(version, #head{version = Version}, _Status, _Sent, _Duration, _Ids) -> Version;
value(host, Head, _Status, _Sent, _Duration, _Ids) -> header(<<"host">>, Head);
value(user_agent, Head, _Status, _Sent, _Duration, _Ids) -> header(<<"user-agent">>, Head);
value(referer, Head, _Status, _Sent, _Duration, _Ids) -> header(<<"referer">>, Head);
value({header, Name}, Head, _Status, _Sent, _Duration, _Ids) -> header(Name, Head);
value(_Field, _Head, _Status, _Sent, _Duration, _Ids) -> undefined.

%% Repeated fields as one (RFC 9110, 5.3).
header(Name, #head{fields = Fields}) ->
    case [Value || {N, Value} <- Fields, N =:= Name] of
        [] -> undefined;
        [Value] -> Value;
        Values -> iolist_to_binary(lists:join(<<", ">>, Values))
    end.

%% @doc The text, with its line break. Time: system time in ms.
-spec format(combined | coloured | json, integer(), [hornbeam_option_fields:field()], [term()]) -> iodata().
format(json, Time, Fields, Values) ->
    ["{\"time\":\"", stamp(Time), $" | pairs(Fields, Values)];
format(Kind, Time, _Fields, [Client, Method, Path, Query, Version, Status, Bytes, Referer, Agent]) ->
    Question = case Query of undefined -> ""; <<>> -> ""; _ -> [$?, escape(Query)] end,
    [client(Client), " - - [", clock(Time), "] \"", escape(Method), $\s, escape(Path), Question, $\s,
     version(Version), "\" ", status(Kind, Status), $\s, integer_to_binary(Bytes), " \"", escape(Referer), "\" \"",
     escape(Agent), "\"\n"].

status(combined, Status) -> integer_to_binary(Status);
status(coloured, Status) -> ["\e[", colour(Status div 100), $m, integer_to_binary(Status), "\e[0m"].

colour(5) -> "31";
colour(4) -> "33";
colour(3) -> "36";
colour(_) -> "32".

pairs([Field | Fields], [Value | Values]) ->
    [$,, $", name(Field), "\":", json(Field, Value) | pairs(Fields, Values)];
pairs([], []) ->
    "}\n".

%% RFC 3339. By hand, for calendar's own takes as long as the rest of a line.
stamp(Time) ->
    {{Year, Month, Day}, {Hour, Minute, Second}} = calendar:system_time_to_universal_time(Time, millisecond),
    Milliseconds = Time rem 1000,
    [integer_to_binary(Year), $-, two(Month), $-, two(Day), $T, two(Hour), $:, two(Minute), $:, two(Second), $.,
     $0 + Milliseconds div 100, two(Milliseconds rem 100), $Z].

two(N) -> [$0 + N div 10, $0 + N rem 10].

name({header, Name}) -> hornbeam_json:escape(<<"header:", Name/binary>>);
name(Field) -> atom_to_binary(Field).

json(_Field, undefined) -> "null";
json(client, Value) -> [$", client(Value), $"];
json(version, Value) -> [$", version(Value), $"];
json(duration_ms, Value) -> float_to_binary(Value, [{decimals, 3}]);
json(_Field, Value) when is_integer(Value) -> integer_to_binary(Value);
json(_Field, Value) -> [$", hornbeam_json:escape(cut(Value)), $"].

client(Ip) when is_tuple(Ip), tuple_size(Ip) > 2 -> inet:ntoa(Ip);
client(_Unix) -> "-".

version(undefined) -> "-";
version(Version) -> atom_to_binary(Version).

clock(Time) ->
    {{Year, Month, Day}, {Hour, Minute, Second}} = calendar:system_time_to_universal_time(Time, millisecond),
    Name = element(Month, {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"}),
    [two(Day), $/, Name, $/, integer_to_binary(Year), $:, two(Hour), $:, two(Minute), $:, two(Second), " +0000"].

%% What is no printable ASCII, the quote and the backslash become \xHH, as Apache and nginx write them.
escape(undefined) -> "-";
escape(Value) ->
    case hornbeam_json:is_plain(Value) andalso byte_size(Value) =< ?MAX_VALUE of
        true -> Value;
        false -> << <<(escaped(C))/binary>> || <<C>> <= cut(Value) >>
    end.

escaped(C) when C >= $\s, C < 127, C =/= $", C =/= $\\ -> <<C>>;
escaped(C) -> <<"\\x", (binary:encode_hex(<<C>>))/binary>>.

cut(Value) when byte_size(Value) > ?MAX_VALUE -> binary:part(Value, 0, ?MAX_VALUE);
cut(Value) -> Value.
