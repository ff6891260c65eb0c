%%% The head of a request as the bytes of an ASGI scope.
%%%
%%% Called by: hornbeam_exchange (encode/3), the protocols (place/3: what is the same for all requests of a connection). Calls: hornbeam_headers.
%%% Pure. Its mirror is hornbeam_worker/asgi/scope.py, which turns the array into the dictionary that the application gets.
%%%
%%% A msgpack array of eleven:
%%%   method (str), path (str, or nil when it is raw_path as it stands), raw_path (bytes),
%%%   query_string (bytes), http_version (str), scheme (str), root_path (str), client, server
%%%   ([str, int | nil] or nil), headers (array of pairs of bytes), extra (map or nil: `tls', hornbeam_tls_info:extension/3)
%%%
%%% Paths (ASGI, HTTP connection scope): `path' is percent-decoded UTF-8 and begins with root_path;
%%% what is no UTF-8 after decoding becomes U+FFFD, as in the peers. raw_path has no query.
-module(hornbeam_scope).

-export([encode/3, place/3, ends/1, decode_path/1]).
-export_type([address/0, place/0]).

-include("hornbeam.hrl").
-include("hornbeam_head.hrl").

%% Who is at an end of a connection: {local, Path} for a Unix socket, whose clients have no name.
-type address() :: {inet:ip_address(), inet:port_number()} | {local, binary()} | undefined.
%% The ends of a connection and their encoding; what TLS says of it, encoded (nil in clear text).
-opaque place() :: {address(), address(), binary(), binary()}.

%% @doc Tls: the msgpack map `extra' of a connection with TLS (hornbeam_tls:describe/2), else `none'.
-spec place(Peer :: address(), Sock :: address(), Tls :: binary() | none) -> place().
place(Peer, Sock, none) -> {Peer, Sock, addresses(Peer, Sock), <<16#c0>>};
place(Peer, Sock, Tls) -> {Peer, Sock, addresses(Peer, Sock), Tls}.

%% @doc The client and the server's own end, as far as the connection itself tells.
-spec ends(place()) -> {address(), address()}.
ends({Peer, Sock, _, _}) -> {Peer, Sock}.

%% @doc The scope of a request on a mount.
-spec encode(#head{}, hornbeam_mounts:mount(), place()) -> binary().
encode(#head{method = Method, path = Path0, query = Query, version = Version, fields = Fields, scheme = Scheme, peer = Peer,
             sock = Sock}, #mount{root_path = Root, path_prefix = Prefix}, Place) ->
    RawPath = case Path0 of
        <<"*">> -> Path0;   % OPTIONS * speaks of the server as a whole
        _ when Prefix =:= <<>> -> Path0;
        _ -> <<Prefix/binary, Path0/binary>>
    end,
    {Addresses, Extra} = encoded(Peer, Sock, Place),
    iolist_to_binary([
        <<16#9b>>, str(Method), path(RawPath), bin(RawPath), bin(Query), version(Version),
        str(Scheme), str(Root), Addresses, hornbeam_headers:encode_request(Fields),
        extra(Scheme, Extra)
    ]).

%% A proxy may have spoken of other addresses.
encoded(Peer, Sock, {Peer, Sock, Addresses, Extra}) -> {Addresses, Extra};
encoded(Peer, Sock, {_, _, _, Extra}) -> {addresses(Peer, Sock), Extra}.

extra(<<"https">>, Extra) -> Extra;
extra(_Scheme, _Extra) -> <<16#c0>>.

%% nil: it is ASCII, with nothing to decode.
path(RawPath) ->
    case is_plain(RawPath) of
        true -> <<16#c0>>;
        false -> str(decode_path(RawPath))
    end.

%% @doc Percent-decodes a path and makes it UTF-8.
-spec decode_path(binary()) -> binary().
decode_path(RawPath) ->
    valid_utf8(unquote(RawPath, <<>>), <<>>).

is_plain(<<C, Rest/bits>>) when C < 128, C =/= $% -> is_plain(Rest);
is_plain(Rest) -> Rest =:= <<>>.

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

valid_utf8(<<C/utf8, Rest/binary>>, Acc) -> valid_utf8(Rest, <<Acc/binary, C/utf8>>);
valid_utf8(<<_, Rest/binary>>, Acc) -> valid_utf8(Rest, <<Acc/binary, 16#fffd/utf8>>);
valid_utf8(<<>>, Acc) -> Acc.

version('HTTP/1.1') -> str(<<"1.1">>);
version('HTTP/2') -> str(<<"2">>);
version('HTTP/1.0') -> str(<<"1.0">>).

addresses(Peer, Sock) ->
    <<(client(Peer))/binary, (server(Sock))/binary>>.

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
