%%% The head of an HTTP/2 request from its fields, and its trailer section (RFC 9113, 8.1 to 8.5).
%%%
%%% Called by: hornbeam_http2_streams, before a byte of it reaches Python. Calls: hornbeam_hygiene,
%%% hornbeam_headers, hornbeam_field_names, hornbeam_authority. Pure.
%%%
%%% Two kinds of wrong. What breaks the framing of the protocol is `malformed' (8.1.1), and its stream is reset: pseudo-headers that are
%%% missing, repeated, unknown or behind a field; names in upper case; fields of an HTTP/1 connection. What HTTP says of all its versions
%%% (RFC 9110, 3986) and what is too large is refused with an answer, as on HTTP/1.
%%%
%%% Fields keep the client's order and repetitions. The host comes first where only :authority says it (ASGI, "headers"); the parts of a
%%% cookie are one field again (8.2.3), where the first of them was, and count as one.
-module(hornbeam_http2_head).

-export([read/4, is_trailers/1]).
-export_type([reason/0]).

-include("hornbeam_head.hrl").

-define(MAX_NAME, 256).
-define(MAX_DIGITS, 18).
%% "GET " and " HTTP/1.1" would be around a target.
-define(AROUND_TARGET, 13).

-type reason() :: malformed | uri_too_long | header_too_large | not_implemented | expectation_failed.

%% What is gathered on the way through the fields.
-record(seen, {
    method :: binary() | undefined,
    scheme :: binary() | undefined,
    authority :: binary() | undefined,
    target :: binary() | undefined,
    protocol :: binary() | undefined,
    fields = [] :: hornbeam_headers:headers(),  % the last first
    cookies = [] :: [binary()],             % likewise
    host :: binary() | undefined,
    length :: binary() | undefined,
    te :: binary() | undefined,
    expect = none :: none | continue,
    refused = none :: none | reason()
}).

%% @doc Length: 0 when the head ends the stream, else `unknown'. Limits: max_request_line, max_headers, max_header_size, max_head_size,
%% strict_target. Place: the ends of the connection.
-spec read(hornbeam_headers:headers(), 0 | unknown, Limits :: map(), hornbeam_scope:place()) ->
    {ok, #head{}} | {refuse, reason(), #head{}} | malformed.
read(Fields, Length, Limits, Place) ->
    case pseudo(Fields, #seen{}, Limits) of
        malformed -> malformed;
        Seen -> request(Seen, Length, Limits, Place)
    end.

%% @doc Whether these may end a request. They are dropped then, as on HTTP/1.
-spec is_trailers(hornbeam_headers:headers()) -> boolean().
is_trailers(Fields) ->
    lists:all(fun({Name, Value}) -> kind(Name) =/= malformed andalso hornbeam_hygiene:is_value(Value)
                                    andalso hornbeam_headers:is_name(Name) end, Fields).

%%% Pseudo-headers (8.3.1), which come first

pseudo([{<<":method">>, Value} | Rest], #seen{method = undefined} = Seen, Limits) -> pseudo(Rest, Seen#seen{method = method(Value)}, Limits);
pseudo([{<<":scheme">>, Value} | Rest], #seen{scheme = undefined} = Seen, Limits) -> pseudo(Rest, Seen#seen{scheme = Value}, Limits);
pseudo([{<<":authority">>, Value} | Rest], #seen{authority = undefined} = Seen, Limits) -> pseudo(Rest, Seen#seen{authority = Value}, Limits);
pseudo([{<<":path">>, Value} | Rest], #seen{target = undefined} = Seen, Limits) -> pseudo(Rest, Seen#seen{target = Value}, Limits);
pseudo([{<<":protocol">>, Value} | Rest], #seen{protocol = undefined} = Seen, Limits) -> pseudo(Rest, Seen#seen{protocol = Value}, Limits);
pseudo([{<<":", _/binary>>, _} | _], _Seen, _Limits) -> malformed;
pseudo(Fields, Seen, Limits) ->
    case is_complete(Seen) of
        true -> fields(Fields, Seen, Limits);
        false -> malformed
    end.

%% RFC 9113, 8.3.1 and 8.5; RFC 8441, 4.
is_complete(#seen{method = <<"CONNECT">>, protocol = undefined, scheme = Scheme, target = Target, authority = Authority}) ->
    Scheme =:= undefined andalso Target =:= undefined andalso Authority =/= undefined;
is_complete(#seen{method = Method, protocol = Protocol, scheme = Scheme, target = Target}) ->
    is_binary(Method) andalso Scheme =/= undefined andalso Target =/= undefined andalso Target =/= <<>>
        andalso (Protocol =:= undefined orelse Method =:= <<"CONNECT">>).

%% The common ones as literals: what is kept of the request keeps no block alive.
method(<<"GET">>) -> <<"GET">>;
method(<<"POST">>) -> <<"POST">>;
method(Other) -> Other.

%%% Fields (8.2)

fields([{Name, Value} | Rest], Seen, Limits) ->
    case kind(Name) of
        malformed -> malformed;
        Kind -> fields(Rest, field(Kind, hornbeam_headers:trim(Value), Name, Seen, Limits), Limits)
    end;
fields([], Seen, _Limits) ->
    Seen.

%% What a name is to the protocol; `malformed' where it may not be.
kind(Name) ->
    case hornbeam_field_names:canonical(Name) of
        {special, <<"connection">>} -> malformed;
        {special, <<"transfer-encoding">>} -> malformed;
        {special, <<"upgrade">>} -> malformed;
        <<"keep-alive">> -> malformed;
        <<"proxy-connection">> -> malformed;
        {special, Name} = Special -> Special;
        <<":", _/binary>> -> malformed;
        Shared when Shared =:= Name -> {plain, Shared};
        _LowerCase -> malformed
    end.

field(_Kind, _Value, _Name, #seen{refused = Reason} = Seen, _Limits) when Reason =/= none ->
    Seen;
field(_Kind, Value, Name, Seen, #{max_header_size := Max}) when byte_size(Value) > Max; byte_size(Name) > ?MAX_NAME ->
    Seen#seen{refused = header_too_large};
field(Kind, Value, Name, Seen, _Limits) ->
    case hornbeam_hygiene:is_value(Value) andalso hornbeam_headers:is_name(Name) of
        true -> good(Kind, Value, Seen);
        false -> Seen#seen{refused = malformed}
    end.

good({plain, <<"cookie">>}, Value, #seen{cookies = [], fields = Fields} = Seen) ->
    Seen#seen{cookies = [Value], fields = [{<<"cookie">>, Value} | Fields]};
good({plain, <<"cookie">>}, Value, #seen{cookies = Cookies} = Seen) ->
    Seen#seen{cookies = [Value | Cookies]};
good({plain, Name}, Value, #seen{fields = Fields} = Seen) ->
    Seen#seen{fields = [{Name, Value} | Fields]};
good({special, Name}, Value, #seen{fields = Fields} = Seen) ->
    special(Name, Value, Seen#seen{fields = [{Name, Value} | Fields]}).

special(<<"host">>, Value, #seen{host = undefined} = Seen) ->
    Seen#seen{host = Value};
special(<<"content-length">>, Value, #seen{length = undefined} = Seen) ->
    case byte_size(Value) =< ?MAX_DIGITS andalso hornbeam_headers:is_digits(Value) of
        true -> Seen#seen{length = Value};
        false -> Seen#seen{refused = malformed}
    end;
special(<<"te">>, Value, Seen) ->
    Seen#seen{te = Value};
special(<<"expect">>, Value, Seen) ->
    case hornbeam_headers:lower(Value) of
        <<"100-continue">> -> Seen#seen{expect = continue};
        _ -> Seen#seen{refused = expectation_failed}
    end;
%% A second host or length: there is no safe reading.
special(_Name, _Value, Seen) ->
    Seen#seen{refused = malformed}.

%%% The request

%% 8.2.2: of TE only "trailers". 8.1.1: a length that is not that of what comes.
request(#seen{te = TE}, _Length, _Limits, _Place) when TE =/= undefined, TE =/= <<"trailers">> ->
    malformed;
request(#seen{length = Declared, protocol = undefined}, 0, _Limits, _Place) when Declared =/= undefined, Declared =/= <<"0">> ->
    malformed;
request(#seen{method = Method, target = Target, authority = Authority, host = Host, protocol = Protocol, length = Declared, te = TE,
              expect = Expect} = Seen, Length, Limits, Place) ->
    {Peer, Sock} = hornbeam_scope:ends(Place),
    {Path, Query} = target(Target),
    Fields = all_fields(Seen),
    Head = #head{method = Method, path = Path, query = Query, version = 'HTTP/2', peer = Peer, sock = Sock, te = TE, fields = Fields,
                 host = case Host of undefined -> Authority; _ -> Host end, protocol = Protocol, expect = Expect,
                 length = case Declared of undefined -> Length; _ when Length =:= 0 -> 0; _ -> binary_to_integer(Declared) end},
    case refused(Head, Seen, Limits) of
        none -> {ok, Head};
        Reason -> {refuse, Reason, Head}
    end.

target(undefined) ->
    {<<>>, <<>>};
target(Target) ->
    case binary:split(Target, <<"?">>) of
        [Path, Query] -> {Path, Query};
        [Path] -> {Path, <<>>}
    end.

all_fields(#seen{fields = Fields, host = Host, authority = Authority, cookies = Cookies}) ->
    Joined = case Cookies of
        [_, _ | _] ->
            Cookie = iolist_to_binary(lists:join(<<"; ">>, lists:reverse(Cookies))),
            lists:keyreplace(<<"cookie">>, 1, lists:reverse(Fields), {<<"cookie">>, Cookie});
        _ ->
            lists:reverse(Fields)
    end,
    case Host =:= undefined andalso Authority =/= undefined of
        true -> [{<<"host">>, Authority} | Joined];
        false -> Joined
    end.

refused(#head{path = Path, query = Query, method = Method, fields = Fields} = Head, #seen{refused = Refused, protocol = Protocol} = Seen,
        #{max_request_line := MaxLine, max_headers := MaxHeaders, max_header_size := MaxValue, max_head_size := MaxSize,
          strict_target := Strict}) ->
    if
        Method =:= <<"TRACE">>; Method =:= <<"CONNECT">>, Protocol =:= undefined -> not_implemented;
        byte_size(Path) + byte_size(Query) + ?AROUND_TARGET > MaxLine -> uri_too_long;
        Refused =/= none -> Refused;
        true ->
            case is_target(Path, Query, Method, Strict) andalso hornbeam_headers:is_token(Method) andalso is_host(Head, Seen) of
                false -> malformed;
                true -> size(Fields, MaxHeaders, MaxValue, MaxSize)
            end
    end.

is_target(<<"*">>, <<>>, Method, _Strict) -> Method =:= <<"OPTIONS">>;
is_target(<<$/, _/binary>> = Path, Query, _Method, true) -> hornbeam_hygiene:is_uri(Path) andalso hornbeam_hygiene:is_uri(Query);
is_target(<<$/, _/binary>> = Path, Query, _Method, false) -> hornbeam_hygiene:is_target(Path) andalso hornbeam_hygiene:is_target(Query);
is_target(_Path, _Query, _Method, _Strict) -> false.

%% RFC 9113, 8.3.1: a host field must say the same as :authority; one of them must be there (RFC 9110, 7.2).
is_host(_Head, #seen{host = undefined, authority = undefined}) -> false;
is_host(_Head, #seen{host = undefined, authority = Authority}) -> is_authority(Authority);
is_host(_Head, #seen{host = Same, authority = Same}) -> is_authority(Same);
is_host(_Head, #seen{host = Host, authority = undefined}) -> is_authority(Host);
is_host(_Head, #seen{host = Host, authority = Authority, scheme = Scheme}) ->
    case {hornbeam_authority:parse(Host), hornbeam_authority:parse(Authority)} of
        {{ok, {Name, Port}}, {ok, {Name, Other}}} -> port(Port, Scheme) =:= port(Other, Scheme);
        _ -> false
    end.

is_authority(Authority) -> hornbeam_authority:parse(Authority) =/= error.

port(undefined, <<"https">>) -> 443;
port(undefined, _Scheme) -> 80;
port(Port, _Scheme) -> Port.

size([{Name, Value} | Rest], Count, Max, Left)
        when Count > 0, byte_size(Value) =< Max, Left >= byte_size(Name) + byte_size(Value) + 4 ->
    size(Rest, Count - 1, Max, Left - byte_size(Name) - byte_size(Value) - 4);
size([], _Count, _Max, _Left) -> none;
size(_Fields, _Count, _Max, _Left) -> header_too_large.
