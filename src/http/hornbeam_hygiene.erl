%%% Whether the head of a request may be shown to an application: what Cowboy lets through and RFC 9110, 9112 and 3986 do not.
%%%
%%% Called by: hornbeam_stream, for each request, before a byte of it reaches Python. Calls: hornbeam_headers. Pure.
%%%
%%% Checked here: the bytes of the target, names that are no token, control characters in values, Content-Length with a sign or
%%% beyond 18 digits, Transfer-Encoding on HTTP/1.0, a Host with a signed port, an :authority and a host field that differ, a
%%% Connection field that is no list of tokens; and the limits once more, which Cowboy checks only for a head that comes in pieces,
%%% or (HTTP/2) not at all. Checked by Cowboy: the request line, line ends, folded lines, a missing or repeated Host, repeated
%%% Content-Length, Transfer-Encoding together with Content-Length, codings other than chunked.
%%%
%%% Cost: one pass over the head, 2.2 us for a browser's twelve fields (test/hornbeam_hygiene_tests.erl measures).
-module(hornbeam_hygiene).

-export([check/2, is_target/2, without_underscores/1, max_name/0]).
-export_type([problem/0]).

%% Keys of hornbeam_error's table.
-type problem() :: malformed | uri_too_long | header_too_large.

%% The longest name of a field.
-define(MAX_NAME, 256).

-spec max_name() -> pos_integer().
max_name() -> ?MAX_NAME.

%% @doc Settings: max_request_line, max_headers, max_header_size, max_head_size, relaxed_target.
-spec check(cowboy_req:req(), Settings :: map()) -> ok | {error, problem()}.
check(#{path := Path, qs := Query, headers := Headers, version := Version} = Req,
      #{max_request_line := MaxLine, max_headers := MaxHeaders, max_header_size := MaxValue,
        max_head_size := MaxHead, relaxed_target := Relaxed}) ->
    case target(Path, Relaxed) andalso target(Query, Relaxed) of
        false ->
            {error, malformed};
        true when byte_size(Path) + byte_size(Query) + 13 > MaxLine ->
            {error, uri_too_long};
        true when map_size(Headers) > MaxHeaders ->
            {error, header_too_large};
        true ->
            case fields(maps:to_list(Headers), MaxValue, MaxHead) of
                ok -> special(Headers, Version, Req);
                Error -> Error
            end
    end.

%% @doc Whether all bytes may stand in a target: RFC 3986, 2 (unreserved, reserved, "%"), without "#". Relaxed: also what
%% browsers leave as it is in a query, that is every visible ASCII character.
-spec is_target(binary(), Relaxed :: boolean()) -> boolean().
is_target(Bytes, Relaxed) -> target(Bytes, Relaxed).

target(<<C, Rest/bits>>, Relaxed) when C >= $a, C =< $z -> target(Rest, Relaxed);
target(<<C, Rest/bits>>, Relaxed) when C >= $$, C =< $; -> target(Rest, Relaxed);
target(<<C, Rest/bits>>, Relaxed) when C >= $?, C =< $[ -> target(Rest, Relaxed);
target(<<C, Rest/bits>>, Relaxed)
        when C =:= $_; C =:= $=; C =:= $~; C =:= $]; C =:= $! -> target(Rest, Relaxed);
target(<<C, Rest/bits>>, true) when C > 32, C < 127, C =/= $# -> target(Rest, true);
target(<<>>, _Relaxed) -> true;
target(_, _Relaxed) -> false.

fields([{Name, Value} | Rest], MaxValue, Left)
        when byte_size(Value) =< MaxValue, byte_size(Name) =< ?MAX_NAME ->
    case Left - byte_size(Name) - byte_size(Value) - 4 of
        NowLeft when NowLeft < 0 ->
            {error, header_too_large};
        NowLeft ->
            case value(Value) andalso hornbeam_headers:is_name(Name) of
                true -> fields(Rest, MaxValue, NowLeft);
                false -> {error, malformed}
            end
    end;
fields([], _MaxValue, _Left) ->
    ok;
fields(_, _MaxValue, _Left) ->
    {error, header_too_large}.

%% RFC 9110, 5.5: visible characters, space, tab and bytes above 127. Four at a time take two thirds of the time.
value(<<A, B, C, D, Rest/bits>>)
        when A >= 32, A =/= 127, B >= 32, B =/= 127, C >= 32, C =/= 127, D >= 32, D =/= 127 -> value(Rest);
value(<<C, Rest/bits>>) when C >= 32, C =/= 127 -> value(Rest);
value(<<$\t, Rest/bits>>) -> value(Rest);
value(<<>>) -> true;
value(_) -> false.

special(Headers, Version, Req) ->
    Well = length_is_number(Headers)
        andalso not (Version =:= 'HTTP/1.0' andalso is_chunked(Req))
        andalso host(Headers, Version, Req)
        andalso connection(Headers),
    case Well of
        true -> ok;
        false -> {error, malformed}
    end.

%% RFC 9110, 8.6: digits and nothing else.
length_is_number(#{<<"content-length">> := Length}) ->
    byte_size(Length) =< 18 andalso hornbeam_headers:is_digits(Length);
length_is_number(_Headers) ->
    true.

%% RFC 9112, 6.1. Cowboy has taken the field itself out of the map.
is_chunked(#{has_body := true, body_length := undefined}) -> true;
is_chunked(_Req) -> false.

%% RFC 9110, 7.2: a port is digits. RFC 9113, 8.3.1: a host field must say the same as :authority.
host(#{<<"host">> := Host}, 'HTTP/2', #{host := Name, port := Port, scheme := Scheme}) ->
    try cow_http_hd:parse_host(Host) of
        {Name, Port} -> true;
        {Name, undefined} -> Port =:= default_port(Scheme);
        _ -> false
    catch
        error:_ -> false
    end;
host(#{<<"host">> := Host}, _Version, _Req) ->
    binary:match(Host, [<<":+">>, <<":-">>]) =:= nomatch;
host(_Headers, _Version, _Req) ->
    true.

default_port(<<"https">>) -> 443;
default_port(_) -> 80.

%% RFC 9110, 7.6.1. Cowboy finds out only after the stream has been opened.
connection(#{<<"connection">> := Value}) when Value =/= <<"keep-alive">>, Value =/= <<"close">> ->
    try cow_http_hd:parse_connection(Value) of
        _ -> true
    catch
        error:_ -> false
    end;
connection(_Headers) ->
    true.

%% @doc The request without the fields whose names hold an underscore: behind a server that makes variables of names,
%% `x_user' and `x-user' cannot be told apart.
-spec without_underscores(cowboy_req:req()) -> cowboy_req:req().
without_underscores(#{headers := Headers} = Req) ->
    Req#{headers := maps:filter(fun(Name, _) -> binary:match(Name, <<"_">>) =:= nomatch end,
                                Headers)}.
