%%% Cowboy's Req as the bytes of an ASGI scope.
%%%
%%% Called by: hornbeam_stream, hornbeam_websocket. Calls: hornbeam_headers, hornbeam_tls. Its mirror is
%%% hornbeam_worker/asgi/scope.py, which turns the array into the dictionary that the application gets.
%%%
%%% A msgpack array of eleven:
%%%   method (str), path (str, or nil when it is raw_path as it stands), raw_path (bytes),
%%%   query_string (bytes), http_version (str), scheme (str), root_path (str), client, server
%%%   ([str, int | nil] or nil), headers (array of pairs of bytes), extra (map or nil: `tls', hornbeam_tls_info:extension/3)
%%%
%%% Paths (ASGI, HTTP connection scope): `path' is percent-decoded UTF-8 and begins with root_path;
%%% what is no UTF-8 after decoding becomes U+FFFD, as in the peers. raw_path has no query.
-module(hornbeam_scope).

-export([encode/2, decode_path/1]).

-include("hornbeam.hrl").

%% @doc The scope of a request on a mount.
-spec encode(cowboy_req:req(), hornbeam_mounts:mount()) -> binary().
encode(#{method := Method, path := Path0, qs := Query, version := Version, headers := Headers0,
         scheme := Scheme} = Req, #mount{root_path = Root, path_prefix = Prefix}) ->
    RawPath = case Path0 of
        <<"*">> -> Path0;   % OPTIONS * speaks of the server as a whole
        _ -> <<Prefix/binary, Path0/binary>>
    end,
    Headers = with_host(Headers0, Version, Req),
    iolist_to_binary([
        <<16#9b>>, str(Method), path(RawPath), bin(RawPath), bin(Query), version(Version),
        str(Scheme), str(Root), addresses(Req), hornbeam_headers:encode_request(Headers),
        extra(Scheme)
    ]).

extra(<<"https">>) -> hornbeam_tls:noted();
extra(_Scheme) -> <<16#c0>>.

path(RawPath) ->
    case decode_path(RawPath) of
        RawPath -> <<16#c0>>;
        Path -> str(Path)
    end.

%% @doc Percent-decodes a path; the same term when there is nothing to decode.
-spec decode_path(binary()) -> binary().
decode_path(RawPath) ->
    case binary:match(RawPath, <<"%">>) of
        nomatch -> RawPath;
        _ -> valid_utf8(unquote(RawPath, <<>>))
    end.

unquote(<<$%, H, L, Rest/binary>>, Acc) ->
    case {hex(H), hex(L)} of
        {High, Low} when is_integer(High), is_integer(Low) ->
            unquote(Rest, <<Acc/binary, (High * 16 + Low)>>);
        _ ->
            unquote(<<H, L, Rest/binary>>, <<Acc/binary, $%>>)
    end;
unquote(<<C, Rest/binary>>, Acc) -> unquote(Rest, <<Acc/binary, C>>);
unquote(<<>>, Acc) -> Acc.

hex(C) when C >= $0, C =< $9 -> C - $0;
hex(C) when C >= $a, C =< $f -> C - $a + 10;
hex(C) when C >= $A, C =< $F -> C - $A + 10;
hex(_) -> error.

valid_utf8(Bytes) ->
    case unicode:characters_to_binary(Bytes) of
        Valid when is_binary(Valid) -> Valid;
        {_, Valid, <<_, Rest/binary>>} ->
            <<Valid/binary, 16#fffd/utf8, (valid_utf8(Rest))/binary>>
    end.

version('HTTP/1.1') -> str(<<"1.1">>);
version('HTTP/2') -> str(<<"2">>);
version('HTTP/1.0') -> str(<<"1.0">>).

%% HTTP/2 has no host field; its :authority arrives as one (ASGI, "headers").
with_host(#{<<"host">> := _} = Headers, _Version, _Req) ->
    Headers;
with_host(Headers, 'HTTP/2', #{host := Host, port := Port, scheme := Scheme}) ->
    Default = case Scheme of <<"https">> -> 443; _ -> 80 end,
    Authority = case Port of
        Default -> Host;
        _ -> <<Host/binary, $:, (integer_to_binary(Port))/binary>>
    end,
    Headers#{<<"host">> => Authority};
with_host(Headers, _Version, _Req) ->
    Headers.

%% Client and server are the same for all requests of a connection, whose process this runs in:
%% their text (inet:ntoa/1 is dear) is made once.
addresses(#{peer := Peer, sock := Sock}) ->
    case get(?MODULE) of
        {Peer, Sock, Encoded} ->
            Encoded;
        _ ->
            Encoded = <<(client(Peer))/binary, (server(Sock))/binary>>,
            put(?MODULE, {Peer, Sock, Encoded}),
            Encoded
    end.

client({Ip, Port}) when is_tuple(Ip) -> address(Ip, Port);
client(_) -> <<16#c0>>.

server({local, Path}) -> <<16#92, (str(Path))/binary, 16#c0>>;
server({Ip, Port}) when is_tuple(Ip) -> address(Ip, Port);
server(_) -> <<16#c0>>.

address(Ip, Port) ->
    <<16#92, (str(list_to_binary(inet:ntoa(Ip))))/binary, 16#cd, Port:16>>.

str(Text) when byte_size(Text) < 32 -> <<5:3, (byte_size(Text)):5, Text/binary>>;
str(Text) when byte_size(Text) < 256 -> <<16#d9, (byte_size(Text)), Text/binary>>;
str(Text) -> <<16#db, (byte_size(Text)):32, Text/binary>>.

bin(Bytes) when byte_size(Bytes) < 256 -> <<16#c4, (byte_size(Bytes)), Bytes/binary>>;
bin(Bytes) -> <<16#c6, (byte_size(Bytes)):32, Bytes/binary>>.
