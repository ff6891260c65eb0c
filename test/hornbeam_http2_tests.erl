%%% hornbeam_http2 without a socket: this module is the transport. What needs an application is in python_tests/http/test_http2*.py.
-module(hornbeam_http2_tests).

-include_lib("proper/include/proper.hrl").
-include_lib("eunit/include/eunit.hrl").

%% The transport.
-export([secure/0, send/2, setopts/2, shutdown/2, close/1]).
%% The handler of log events.
-export([log/2]).

secure() -> false.
send(Tester, Data) -> Tester ! {sent, iolist_to_binary(Data)}, ok.
setopts(_Tester, _Options) -> ok.
shutdown(_Tester, write) -> ok.
close(Tester) -> Tester ! closed, ok.

settings() ->
    #{keepalive_timeout => 60000, header_timeout => 60000, body_timeout => 60000, send_timeout => 60000, max_keepalive => infinity,
      max_streams => 10, body_prefetch => 65536, websocket => true, max_frame_rate => 10000, max_empty_frame_rate => 1000, max_reset_rate => 100,
      max_request_line => 100, max_headers => 10, max_header_size => 300, max_head_size => 1000, strict_target => false}.

context() ->
    #{server => ?MODULE, gate => #{}, max_client_requests => infinity, observer => none, compress => off, defaults => plain,
      place => hornbeam_scope:place({{127, 0, 0, 1}, 1}, {{127, 0, 0, 1}, 2}, none)}.

start() ->
    Tester = self(),
    Pid = spawn(fun() ->
        hornbeam_http2:start(#{parent => Tester, transport => ?MODULE, socket => Tester, settings => settings(), context => context()})
    end),
    {Pid, monitor(process, Pid)}.

preface() -> <<"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (iolist_to_binary(cow_http2:settings(#{})))/binary>>.

%% A request that the server itself refuses.
request(Id, IsFin, Path) ->
    {Block, _} = cow_hpack:encode([{<<":method">>, <<"GET">>}, {<<":scheme">>, <<"http">>}, {<<":authority">>, <<"a">>}, {<<":path">>, Path}]),
    iolist_to_binary(cow_http2:headers(Id, IsFin, Block)).

%% Everything that is said until the connection has ended.
said({Pid, Monitor}) ->
    receive
        {sent, Data} -> [Data | said({Pid, Monitor})];
        closed -> said({Pid, Monitor});
        {'DOWN', Monitor, process, Pid, Reason} -> ?assertEqual(normal, Reason), []
    end.

%% As the server does when it stops. Nothing is in progress on these connections: what there is to say is said, and they end.
stop(Pid) -> Pid ! {system, {self(), make_ref()}, {terminate, shutdown}}.

frames(Bytes) ->
    case cow_http2:parse(Bytes) of
        {ok, Frame, Rest} -> [Frame | frames(Rest)];
        more -> ?assertEqual(<<>>, Bytes), []
    end.

%% Whatever the pieces in which the frames come, the answers are the same: each stream's in their order, without the date.
prop_any_pieces() ->
    ?FORALL({Kinds, Cuts}, {list(oneof([refused, malformed, upload, ping, window, unknown])), non_empty(list(range(1, 30)))},
            begin
                Message = iolist_to_binary([preface() | [kind(Kind, 2 * N - 1) || {N, Kind} <- lists:enumerate(lists:sublist(Kinds, 9))]]),
                Whole = answers([Message]),
                Whole =:= answers(pieces(Message, Cuts)) andalso Whole =:= answers([<<C>> || <<C>> <= Message])
            end).

kind(refused, Id) -> request(Id, fin, <<"/a b">>);
kind(malformed, Id) -> request(Id, fin, <<>>);
kind(upload, Id) -> [request(Id, nofin, <<"/a b">>), cow_http2:data(Id, fin, <<"abc">>)];
kind(ping, Id) -> cow_http2:ping(Id);
kind(window, Id) -> cow_http2:window_update(Id);
kind(unknown, _Id) -> <<3:24, 16#ee, 0, 0:32, "abc">>.

pieces(<<>>, _Cuts) -> [];
pieces(Message, [Size | Cuts]) when byte_size(Message) > Size ->
    <<Piece:Size/binary, Rest/binary>> = Message,
    [Piece | pieces(Rest, Cuts ++ [Size])];
pieces(Message, _Cuts) -> [Message].

answers(Pieces) ->
    {Pid, _} = Started = start(),
    lists:foreach(fun(Piece) -> Pid ! {tcp, self(), Piece} end, Pieces ++ [iolist_to_binary(cow_http2:ping(16#656e64))]),
    Said = until_ping(<<>>),
    _ = stop(Pid),
    {_, Answers} = lists:foldl(fun undated/2, {cow_hpack:init(), []}, frames(iolist_to_binary([Said | said(Started)]))),
    lists:sort(fun(A, B) -> element(1, A) =< element(1, B) end, lists:reverse(Answers)).

until_ping(Said) ->
    receive
        {sent, Data} ->
            Now = <<Said/binary, Data/binary>>,
            case binary:match(Now, <<16#656e64:64>>) of nomatch -> until_ping(Now); _ -> Now end
    end.

undated({headers, Id, IsFin, head_fin, Block}, {Decoder0, Acc}) ->
    {Fields, Decoder} = cow_hpack:decode(Block, Decoder0),
    {Decoder, [{Id, IsFin, lists:keydelete(<<"date">>, 1, Fields)} | Acc]};
undated({data, Id, IsFin, Data}, {Decoder, Acc}) -> {Decoder, [{Id, IsFin, Data} | Acc]};
%% What is said when an answer overtakes the body that nobody reads.
undated({rst_stream, _Id, no_error}, Acc) -> Acc;
undated({rst_stream, Id, Code}, {Decoder, Acc}) -> {Decoder, [{Id, Code} | Acc]};
undated({ping_ack, Opaque}, {Decoder, Acc}) -> {Decoder, [{0, ping, Opaque} | Acc]};
undated(Other, {Decoder, Acc}) -> {Decoder, [{0, Other} | Acc]}.

any_pieces_test_() ->
    {timeout, 300, ?_assert(proper:quickcheck(prop_any_pieces(), [quiet, {numtests, 40}]))}.

goes_with_a_word_test() ->
    {Pid, _} = Started = start(),
    Pid ! {tcp, self(), preface()},
    _ = stop(Pid),
    ?assertMatch([{settings, #{enable_connect_protocol := true, max_header_list_size := 1320, max_concurrent_streams := 10}}, {window_update, _},
                  settings_ack, {goaway, 0, no_error, <<>>}], frames(iolist_to_binary(said(Started)))).

%% A fault of ours: one line, without what was in the arguments, and a word for the client.
a_crash_test() ->
    {Pid, _} = Started = start(),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => {Pid, self()}}),
    try
        Pid ! {tcp, self(), [secret]},
        ?assertMatch({goaway, _, internal_error, <<>>}, lists:last(frames(iolist_to_binary(said(Started))))),
        [Text] = logged(),
        ?assertMatch({match, _}, re:run(Text, "^an HTTP/2 connection has failed: .*hornbeam_http2")),
        ?assertEqual(nomatch, re:run(Text, "secret|\n"))
    after
        ok = logger:remove_handler(?MODULE)
    end.

%% A handler runs in the process that logs: what one has logged is here when it has ended.
logged() ->
    receive {logged, Text} -> [Text | logged()] after 0 -> [] end.

log(#{meta := #{pid := Pid}, msg := Message}, #{config := {Pid, Tester}}) ->
    Tester ! {logged, case Message of
        {Format, Arguments} when is_list(Format) -> lists:flatten(io_lib:format(Format, Arguments));
        _ -> "a report"
    end};
log(_Another, _Config) ->
    ok.
