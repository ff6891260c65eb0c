%%% Which worker a request belongs to, where the mount has the option `affinity', and the server's own cookie that says so.
%%%
%%% Called by: hornbeam_exchange, for mounts with that option only. Calls: hornbeam_pool (checkout/2), hornbeam_pool_affinity (hashes),
%%% hornbeam_clients (what one client is), hornbeam_headers, hornbeam_scope (percent-decoding), hornbeam_websocket_handshake.
%%%
%%% The first source that the request has decides. Values are compared by what they are, not by where they stand: a session's id means the same
%%% worker in a header and in a query. What is empty is not there.
%%%
%%% The server's own cookie is NUMBER.SIGNATURE: the number of a worker and an HMAC of it for this mount, the same for all clients of a
%%% worker. One that is forged, signed for another mount or with another secret is as none. It is set with the response of the first worker that
%%% the request gets where there is none that holds and no source before it has decided, and anew when its worker is not there any more:
%%% whoever has moved does not move back. A worker that is full keeps its sessions; only what it has no room for goes elsewhere.
%%%
%%% Limits: of the cookies of that name ?MAX_COOKIES are looked at.
-module(hornbeam_affinity).

-export([new/2, checkout/2, commands/2]).
-export_type([affinity/0]).

-include("hornbeam.hrl").
-include("hornbeam_head.hrl").

-record(affinity, {
    belongs :: any | hornbeam_pool_affinity:belongs(),
    cookie :: not_ours | held | wanted,     % held: it names the worker
    mount :: #mount{},
    scheme :: binary(),
    set = none :: none | {binary(), binary()}   % the field that the response gets
}).
-opaque affinity() :: #affinity{}.

-define(MAX_COOKIES, 4).

%% @doc Of a request, and the mount that it goes to.
-spec new(#head{}, #mount{}) -> affinity().
new(#head{scheme = Scheme} = Head, #mount{affinity = {Sources, _}} = Mount) ->
    {Belongs, Cookie} = first(Sources, not_ours, Head, Mount),
    #affinity{belongs = Belongs, cookie = Cookie, mount = Mount, scheme = Scheme}.

first([cookie | Rest], _Cookie, Head, Mount) ->
    case own(Head, Mount) of
        {ok, Number} -> {{worker, Number}, held};
        error -> first(Rest, wanted, Head, Mount)
    end;
first([Source | Rest], Cookie, Head, Mount) ->
    case value(Source, Head, Mount) of
        Empty when Empty =:= <<>>; Empty =:= undefined -> first(Rest, Cookie, Head, Mount);
        Value -> {hornbeam_pool_affinity:key(Value), Cookie}
    end;
first([], Cookie, _Head, _Mount) ->
    {any, Cookie}.

value(client, #head{peer = {Ip, _}}, _Mount) when is_tuple(Ip) -> hornbeam_clients:network(Ip);
value(client, _Head, _Mount) -> undefined;
value({cookie, Name}, Head, _Mount) -> head([Value || Value <- cookies(Name, Head), Value =/= <<>>]);
value({header, Name}, #head{fields = Fields}, _Mount) -> head([Value || {N, Value} <- Fields, N =:= Name, Value =/= <<>>]);
value({query, Name}, #head{query = Query}, _Mount) ->
    decoded(head([Value || Pair <- binary:split(Query, <<"&">>, [global]), [N, Value] <- [binary:split(Pair, <<"=">>)], N =:= Name, Value =/= <<>>]));
value({path, Number}, #head{path = Path}, #mount{prefix = Prefix}) ->
    case Path of
        <<Prefix:(byte_size(Prefix))/binary, $/, Rest/binary>> -> decoded(segment(Number, binary:split(Rest, <<"/">>, [global])));
        _ -> undefined
    end.

head([Value | _]) -> Value;
head([]) -> undefined.

segment(Number, Segments) when Number =< length(Segments) -> lists:nth(Number, Segments);
segment(_Number, _Segments) -> undefined.

%% A client may encode the same value in two ways.
decoded(undefined) -> undefined;
decoded(Value) -> hornbeam_scope:decode_path(Value).

%% RFC 6265, 5.4; HTTP/2 may have a field for each (RFC 9113, 8.2.3).
cookies(Name, #head{fields = Fields}) ->
    [Value || {<<"cookie">>, Field} <- Fields, Pair <- binary:split(Field, <<";">>, [global]),
              [N, Value] <- [binary:split(hornbeam_headers:trim(Pair), <<"=">>)], N =:= Name].

%%% The server's own cookie

own(Head, #mount{settings = #{affinity_cookie := Name}} = Mount) ->
    valid(lists:sublist(cookies(Name, Head), ?MAX_COOKIES), Mount).

valid([Value | Rest], Mount) ->
    case binary:split(Value, <<".">>) of
        [Number, Signature] when byte_size(Number) =< 4, byte_size(Signature) =:= 32 ->
            case hornbeam_headers:is_digits(Number) andalso crypto:hash_equals(sign(Number, Mount), Signature) of
                true -> {ok, binary_to_integer(Number)};
                false -> valid(Rest, Mount)
            end;
        _ ->
            valid(Rest, Mount)
    end;
valid([], _Mount) ->
    error.

%% 128 bits of it.
sign(Number, #mount{pool = {_, Place}, affinity = {_, Secret}}) ->
    <<Half:16/binary, _/binary>> = crypto:mac(hmac, sha256, Secret, [<<"hornbeam affinity ">>, Place, $\s, Number]),
    binary:encode_hex(Half).

cookie(Number, #affinity{mount = #mount{root_path = Root, settings = #{affinity_cookie := Name}} = Mount, scheme = Scheme}) ->
    Text = integer_to_binary(Number),
    Secure = case Scheme of <<"https">> -> <<"; Secure">>; _ -> <<>> end,
    {<<"set-cookie">>, <<Name/binary, $=, Text/binary, $., (sign(Text, Mount))/binary, "; Path=", (path(Root))/binary, "; HttpOnly; SameSite=Lax",
                         Secure/binary>>}.

%% What cannot stand in the attribute (RFC 6265, 4.1.1), or would be another path to a browser, is the whole site.
path(<<>>) -> <<"/">>;
path(Root) ->
    case hornbeam_hygiene:is_uri(Root) andalso binary:match(Root, <<";">>) =:= nomatch of
        true -> Root;
        false -> <<"/">>
    end.

%%% What hornbeam_exchange does with it

%% @doc Takes a place, as hornbeam_pool:checkout/1.
-spec checkout(hornbeam_pool:id(), affinity()) -> {hornbeam_pool_choice:taken() | none, affinity()}.
checkout(Pool, #affinity{belongs = Belongs, cookie = Cookie} = Affinity) ->
    case hornbeam_pool:checkout(Pool, Belongs) of
        {moved, Taken} when Cookie =:= held -> taken(Taken, Affinity#affinity{cookie = wanted});
        {moved, Taken} -> taken(Taken, Affinity);
        Taken -> taken(Taken, Affinity)
    end.

taken({ok, #slot{number = Number}, _, _} = Taken, #affinity{cookie = wanted} = Affinity) ->
    {Taken, Affinity#affinity{set = cookie(Number, Affinity)}};
taken(Taken, Affinity) ->
    {Taken, Affinity}.

%% @doc The commands for the protocol, with the cookie in the head of the response.
-spec commands([hornbeam_exchange:command()], affinity()) -> {[hornbeam_exchange:command()], affinity()}.
commands(Commands, #affinity{set = none} = Affinity) -> {Commands, Affinity};
commands(Commands, #affinity{set = Field} = Affinity) -> with(Field, Commands, [], Affinity).

with(Field, [{reply, Status, Fields, Length, Body} | Rest], Done, Affinity) ->
    {lists:reverse(Done, [{reply, Status, Fields ++ [Field], Length, Body} | Rest]), Affinity#affinity{set = none}};
with(Field, [{start, Status, Fields, Length} | Rest], Done, Affinity) ->
    {lists:reverse(Done, [{start, Status, Fields ++ [Field], Length} | Rest]), Affinity#affinity{set = none}};
with(Field, [{upgrade, Accepted} | Rest], Done, Affinity) ->
    Fields = hornbeam_websocket_handshake:fields(Accepted) ++ [Field],
    {lists:reverse(Done, [{upgrade, hornbeam_websocket_handshake:with_fields(Fields, Accepted)} | Rest]), Affinity#affinity{set = none}};
with(Field, [Command | Rest], Done, Affinity) ->
    with(Field, Rest, [Command | Done], Affinity);
with(_Field, [], Done, Affinity) ->
    {lists:reverse(Done), Affinity}.
