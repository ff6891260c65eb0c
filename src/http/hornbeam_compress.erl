%%% Compresses responses that are worth it (option `compress'), on both versions of HTTP.
%%%
%%% Called by: hornbeam_exchange, with the commands of a response on their way to the protocol. Calls: hornbeam_preferences; zlib; OTP's zstd where there is one
%%% (OTP 28).
%%%
%%% States: `off' (not asked for, or not taken by the client), {ready, ...} until the head of the response comes, {gzip, ...} or
%%% {zstd, ...} while it is compressed. A context lives as long as its response; stop/1 frees one that was not finished.
%%%
%%% Compressed are text, JSON, XML, JavaScript, SVG and the like, from compress_min_size octets on. Never: event streams, parts (206), files by
%%% pathsend, what has a content-encoding or an etag, what says no-transform (RFC 9111, 5.2.2.6). What is sent in pieces is flushed
%%% with each, so that no piece waits for the next.
-module(hornbeam_compress).

-export([new/2, commands/2, stop/1]).
-export_type([state/0]).

-include("hornbeam_head.hrl").

-opaque state() :: off | {ready, gzip | zstd | identity, non_neg_integer()} | {gzip, zlib:zstream()} | {zstd, term()}.

%% 15 bits of window, and 16 for the format of gzip (zlib's manual).
-define(GZIP_BITS, 31).

%% @doc What a request takes. MinSize: of the shortest response that is compressed.
-spec new(#head{}, off | non_neg_integer()) -> state().
new(_Head, off) ->
    off;
new(#head{fields = Fields}, MinSize) ->
    {ready, coding(hornbeam_preferences:offers(<<"accept-encoding">>, Fields)), MinSize}.

%% RFC 9110, 12.5.3: what the client likes best; zstd where it likes both alike.
coding(Offers) ->
    Weight = fun(Name, Default) -> hornbeam_preferences:weight(Name, Offers, Default) end,
    Gzip = Weight(<<"gzip">>, Weight(<<"x-gzip">>, Weight(<<"*">>, 0))),
    Zstd = case has_zstd() of true -> Weight(<<"zstd">>, 0); false -> 0 end,
    if
        Zstd > 0, Zstd >= Gzip -> zstd;
        Gzip > 0 -> gzip;
        true -> identity
    end.

has_zstd() ->
    erlang:function_exported(zstd, compress, 1).

%% @doc The commands of a response, compressed from its head on if that is worth it.
-spec commands([hornbeam_exchange:command()], state()) -> {[hornbeam_exchange:command()], state()}.
commands(Commands, off) ->
    {Commands, off};
commands(Commands0, State0) ->
    {Commands, State} = lists:mapfoldl(fun command/2, State0, Commands0),
    {lists:append(Commands), State}.

command({reply, Status, Headers, Length, Body} = Reply, {ready, Coding, MinSize}) ->
    case is_integer(Length) andalso not is_tuple(Body) andalso Length >= MinSize andalso is_suitable(Status, Headers) of
        true when Coding =/= identity, Body =/= <<>> ->
            Open = open(Coding),
            Packed = iolist_to_binary(packed(Open, Body, finish)),
            ok = stop(Open),
            {[{reply, Status, encoded(Coding, Headers), byte_size(Packed), Packed}], off};
        true ->
            {[{reply, Status, varied(Headers), Length, Body}], off};
        false ->
            {[Reply], off}
    end;
command({start, Status, Headers, Length} = Start, {ready, Coding, MinSize}) ->
    case (Length =:= none orelse Length >= MinSize) andalso is_suitable(Status, Headers) of
        true when Coding =/= identity -> {[{start, Status, encoded(Coding, Headers), none}], open(Coding)};
        true -> {[{start, Status, varied(Headers), Length}], off};
        false -> {[Start], off}
    end;
command({data, IsFin, Data}, {Coding, _} = Open) when Coding =:= gzip; Coding =:= zstd ->
    case IsFin of
        nofin -> {[{data, nofin, packed(Open, Data, sync)}], Open};
        fin -> {[{data, fin, last(Open, Data)}], off}
    end;
command({trailers, _} = Trailers, {Coding, _} = Open) when Coding =:= gzip; Coding =:= zstd ->
    {[{data, nofin, last(Open, <<>>)}, Trailers], off};
command(Command, State) ->
    {[Command], State}.

last(Open, Data) ->
    Packed = packed(Open, Data, finish),
    ok = stop(Open),
    Packed.

open(gzip) ->
    Z = zlib:open(),
    ok = zlib:deflateInit(Z, default, deflated, ?GZIP_BITS, 8, default),
    {gzip, Z};
open(zstd) ->
    {ok, Context} = zstd(context, [compress]),
    {zstd, Context}.

packed({gzip, Z}, Data, How) ->
    zlib:deflate(Z, Data, How);
packed({zstd, Context}, Data, finish) ->
    finished(zstd(finish, [Context, Data]), Context, []);
packed({zstd, Context}, Data, sync) ->
    streamed(zstd(stream, [Context, Data]), Context, []).

%% zstd gives what fits into one of its buffers at a time.
finished({done, Packed}, _Context, Acc) -> [Acc | Packed];
finished({continue, Packed}, Context, Acc) -> finished(zstd(finish, [Context, <<>>]), Context, [Acc | Packed]);
finished({continue, Rest, Packed}, Context, Acc) -> finished(zstd(finish, [Context, Rest]), Context, [Acc | Packed]).

streamed({continue, Packed}, Context, Acc) -> flushed(zstd(flush, [Context]), Context, [Acc | Packed]);
streamed({continue, Rest, Packed}, Context, Acc) -> streamed(zstd(stream, [Context, Rest]), Context, [Acc | Packed]).

flushed({done, Packed}, _Context, Acc) -> [Acc | Packed];
flushed({continue, Packed}, Context, Acc) -> flushed(zstd(flush, [Context]), Context, [Acc | Packed]).

%% @doc Frees what a response that was not finished has left.
-spec stop(state()) -> ok.
stop({gzip, Z}) -> zlib:close(Z);
stop({zstd, Context}) -> zstd(close, [Context]);
stop(_) -> ok.

%% Not named in a call: before OTP 28 there is no such module, and it is not called then.
zstd(Function, Arguments) ->
    apply(zstd, Function, Arguments).

encoded(Coding, Headers) ->
    [{<<"content-encoding">>, atom_to_binary(Coding)} | varied(Headers)].

%% RFC 9110, 12.5.5: also said to who gets it as it is, for the caches in between.
varied(Headers) ->
    case [Element || {<<"vary">>, Value} <- Headers, Element <- binary:split(hornbeam_headers:lower(Value), [<<",">>, <<" ">>], [global])] of
        [] -> Headers ++ [{<<"vary">>, <<"accept-encoding">>}];
        Elements ->
            case lists:member(<<"accept-encoding">>, Elements) orelse lists:member(<<"*">>, Elements) of
                true -> Headers;
                false -> Headers ++ [{<<"vary">>, <<"accept-encoding">>}]
            end
    end.

is_suitable(206, _Headers) ->
    false;
is_suitable(Status, _Headers) when Status =:= 204; Status =:= 304 ->
    false;
is_suitable(_Status, Headers) ->
    not lists:any(fun forbids/1, Headers) andalso case hornbeam_headers:find(<<"content-type">>, Headers) of
        {ok, Type} -> is_text(Type);
        error -> false
    end.

forbids({<<"content-encoding">>, _}) -> true;
forbids({<<"etag">>, _}) -> true;
forbids({<<"cache-control">>, Control}) -> binary:match(hornbeam_headers:lower(Control), <<"no-transform">>) =/= nomatch;
forbids(_) -> false.

is_text(ContentType) ->
    [Type | _] = binary:split(hornbeam_headers:lower(ContentType), [<<";">>, <<" ">>]),
    case Type of
        <<"text/event-stream">> -> false;
        <<"text/", _/binary>> -> true;
        <<"application/", Name/binary>> -> is_text_application(Name);
        <<"image/svg+xml">> -> true;
        _ -> false
    end.

is_text_application(Name) ->
    lists:member(Name, [<<"json">>, <<"javascript">>, <<"xml">>, <<"wasm">>, <<"x-javascript">>,
                        <<"x-www-form-urlencoded">>, <<"x-ndjson">>, <<"manifest+json">>])
        orelse lists:suffix("+json", binary_to_list(Name))
        orelse lists:suffix("+xml", binary_to_list(Name)).
