%%% Reads streams of bytes on its input and says which requests HTTP/1's parsers see in them, without a server around them: thousands in a
%%% second, for test_differential.py.
%%%
%%% Frames of four bytes of length, both ways. In: a stream. Out, msgpack: an array of
%%%   ["head", offset, method, path, query, version, fields, persistent], ["body", offset, data]
%%% and at the end one of
%%%   ["more"], ["close"] (the connection goes no further), ["refused", status, offset]
-module(http1_parse).

-export([main/0]).

-include("hornbeam_head.hrl").

main() ->
    process_flag(trap_exit, true),
    Port = open_port({fd, 0, 1}, [binary, {packet, 4}]),
    Parser = hornbeam_http1_head:new(#{max_request_line => 8192, max_headers => 100, max_header_size => 16384, max_head_size => 65536,
                                       strict_target => false}),
    serve(Port, Parser).

serve(Port, Parser) ->
    receive
        {Port, {data, Stream}} ->
            true = port_command(Port, hornbeam_msgpack:encode(requests(Stream, 0, Parser))),
            serve(Port, Parser);
        {'EXIT', Port, _} ->
            halt()
    end.

requests(Stream, Offset, Parser) ->
    case hornbeam_http1_head:feed(Stream, Parser) of
        {more, _} -> [[<<"more">>]];
        {refuse, Reason} -> [refused(Reason, Offset)];
        {ok, #head{length = Length} = Head, Rest, Next} ->
            At = Offset + byte_size(Stream) - byte_size(Rest),
            [head(Head, Offset) | body(Length, Head, Rest, At, Next)]
    end.

body(0, Head, Rest, Offset, Parser) ->
    [[<<"body">>, Offset, {bytes, <<>>}] | next(Head, Rest, Offset, Parser)];
body(Length, Head, Rest, Offset, Parser) ->
    case hornbeam_http1_body:feed(Rest, hornbeam_http1_body:new(Length)) of
        {more, _, _} -> [[<<"more">>]];
        {refuse, Reason} -> [refused(Reason, Offset)];
        {done, Data, Left} ->
            [[<<"body">>, Offset, {bytes, iolist_to_binary(Data)}] | next(Head, Left, Offset + byte_size(Rest) - byte_size(Left), Parser)]
    end.

next(#head{persistent = false}, _Rest, _Offset, _Parser) -> [[<<"close">>]];
next(_Head, Rest, Offset, Parser) -> requests(Rest, Offset, Parser).

head(#head{method = Method, path = Path, query = Query, version = Version, fields = Fields, persistent = Persistent}, Offset) ->
    [<<"head">>, Offset, Method, {bytes, Path}, {bytes, Query}, atom_to_binary(Version),
     [[{bytes, Name}, {bytes, Value}] || {Name, Value} <- Fields], Persistent].

refused(Reason, Offset) ->
    {Status, _, _} = hornbeam_error:answer(Reason),
    [<<"refused">>, Status, Offset].
