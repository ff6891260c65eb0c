%%% The frames between the BEAM and a Python worker: encoding, and splitting a byte stream.
%%%
%%% Called by: hornbeam_worker_session (every frame), hornbeam_exchange and hornbeam_websocket (the frames of
%%% one stream). Calls: hornbeam_msgpack, hornbeam_credit. Its mirror in Python is hornbeam_worker/frames.py; both read
%%% test/wire_vectors.json in their suites.
%%%
%%% A frame is one {packet, 4} packet:
%%%
%%%     0        4      5           9
%%%     +--------+------+-----------+---------------------+
%%%     | size   | type | stream id | payload             |
%%%     | u32    | u8   | u32       | size - 5 bytes      |
%%%     +--------+------+-----------+---------------------+
%%%
%%% All integers are big-endian. `size' counts what follows it: 5 + the payload. The port itself is
%%% opened in stream mode and split here: one message then carries all frames of one read (up to
%%% 64 KiB), and a length is checked against ?MAX_SIZE before memory is taken for it.
%%%
%%% Stream ids are taken by the connection process from the worker's own counter, never reused while a
%%% worker process lives. Id 0 is the worker as a whole. Call ids (types `call' and `reply') are a
%%% numbering of their own, made by Python; 0 asks for no reply.
%%%
%%% Each payload of a frame *from* a worker *about* a stream starts with a byte of flags whose bit 0
%%% says: this is the last frame of the stream. The other bits are 0 (but for bit 1 of `result', and of `response', `pathsend',
%%% `abort', `ws_accept' and `ws_end' (of a refusal) of a worker that was asked to measure: then `measured' stands where the table says, time:u64 (ns that the application has
%%% taken until then), size:u8, template of the request's route (UTF-8, empty: none)).
%%%
%%% Checks. feed/2 takes only what a worker may send, parse/2 only what a worker that keeps to this protocol does send:
%%% lengths, ranges, flags, the form of what is msgpack. Which frame may come when is hornbeam_worker's to
%%% say (frames about the worker) and hornbeam_worker_streams' (about a stream). What an application can get wrong by
%%% itself (a header that is no token) passes here and is answered with 500 by hornbeam_request. What is neither the
%%% body of a response, a message, a value nor a log record has at most ?MAX_HEAD bytes; the mirror in Python holds to that.
%%%
%%%   type            code  payload
%%%   to the worker
%%%     boot          01    msgpack map: what to run and how (hornbeam_worker_life:boot/2)
%%%     drain         02    -      answer `drained' when nothing is running any more
%%%     stop          03    patience:u32 (ms that tasks in progress may go on): then run the lifespan's shutdown, exit
%%%     ping          04    any bytes, sent back in `pong'
%%%     reply         05    status:u8 (0 ok, 1 error, 2 no value, 3 a value of a stream: more follow), msgpack  (stream = call id)
%%%     event         06    a published message (hornbeam_events)
%%%     invoke        07    msgpack: run a Python function (hornbeam_call); opens a stream
%%%     perform       08    flags:u8 (1 a stream of values is wanted, 2 values for Erlang), time left:u32 (ms, 0: no limit),
%%%                         size:u16, method or module:function (UTF-8), zeros, envelope (envelope.py); opens a stream. The
%%%                         envelope begins at a multiple of 16, plus 6, as it does in `reply': so what is in it is aligned
%%%     diagnose      09    number:u32, msgpack map: a question about the process (hornbeam_worker_questions)
%%%     request       10    flags:u8 (1 body complete, 2 client waits for 100), scope size:u32,
%%%                         scope (msgpack array, hornbeam_scope), first bytes of the body
%%%     body          11    bytes of the request's body, which goes on
%%%     body_end      14    its last bytes, or none
%%%     credit        12    count:u32   bytes of the response that the client's socket has taken; of a WebSocket 0 is the
%%%                         answer to ws_accept, ws_subscribe, ws_unsubscribe;
%%%                                     of stream 0: log records that were taken (hornbeam_credit); of a call: values
%%%     disconnect    13    reason:u8   the stream is over for the client
%%%     ws_open       20    scope (msgpack array, hornbeam_scope)
%%%     ws_text       21    UTF-8 bytes
%%%     ws_binary     22    bytes
%%%     ws_close      23    code:u16, reason (UTF-8)
%%%   from the worker
%%%     hello         41    protocol version:u16, msgpack map about the process; always the first
%%%     ready         42    msgpack map
%%%     failed        43    kind:u8, UTF-8 text (no msgpack: it may be what is missing)
%%%     drained       44    -
%%%     pong          45    size:u16, the bytes of the ping, msgpack map of figures
%%%     log           46    msgpack map: one logging record
%%%     call          47    operation:u8, msgpack array of arguments        (stream = call id)
%%%     result        48    flags:u8 (1 last, 2 an exception), msgpack (hornbeam_call) or envelope; not the last: a value of a stream
%%%     diagnosed     49    number:u32 of the question, msgpack map: its answer, of at most ?MAX_ANSWER bytes
%%%     exited        4A    OS pid:u32, status:u32 as a shell reports it: a process that this one has forked (hornbeam_preload)
%%%     response      50    flags:u8, status:u16, size:u32, [measured], headers (msgpack array of pairs), body
%%%     data          51    flags:u8, bytes of the response's body
%%%     demand        52    flags:u8, count:u32   bytes of the request's body that were consumed
%%%     abort         53    flags:u8, reason:u8 (abort_reason/1), [measured]
%%%     inform        54    flags:u8, status:u16, headers
%%%     trailers      55    flags:u8, headers
%%%     pathsend      56    flags:u8, status:u16, size:u32, [measured], headers, path (UTF-8): a whole response
%%%     ws_accept     60    flags:u8, [measured], msgpack [subprotocol | nil, headers (packed, as bytes)]
%%%     ws_send_text  61    flags:u8, UTF-8 bytes
%%%     ws_send_bytes 62    flags:u8, bytes
%%%     ws_end        63    flags:u8, [measured], code:u16, reason (UTF-8)
%%%     ws_subscribe  64    flags:u8, topic (UTF-8)
%%%     ws_unsubscribe 65   flags:u8, topic (UTF-8)
-module(hornbeam_frame).

-export([encode/3, request/5, perform/4, credits/1, new/0, feed/2, parse/2, is_last/1, measured/2, opens/1, gives/1, size/1]).
-export([protocol_version/0, max_size/0]).
-export_type([buffer/0, frame/0, type/0, stream_id/0]).

-define(PROTOCOL_VERSION, 2).
%% The largest frame that either side accepts: a value of 10 MB and a WebSocket message of 16 MiB fit.
-define(MAX_SIZE, 67108864).
%% Headers, reasons, figures, texts of failures; http.py holds to a little less.
-define(MAX_HEAD, 1048576).
%% Where an envelope begins in a payload, modulo 16: in a `reply', behind the status and the head of a msgpack bin 32.
-define(ENVELOPE_AT, 6).
%% A profile (profile.py and its like hold to a little less).
-define(MAX_ANSWER, 8388608).
%% A topic of a WebSocket (websocket.py).
-define(MAX_TOPIC, 1024).

-type stream_id() :: 0..16#ffffffff.
-type to_worker() :: boot | drain | stop | ping | reply | event | invoke | perform | diagnose | request | body | body_end
                   | credit | disconnect | ws_open | ws_text | ws_binary | ws_close.
-type from_worker() :: hello | ready | failed | drained | pong | log | call | result | diagnosed | exited | response
                     | data | demand | abort | inform | trailers | pathsend | ws_accept
                     | ws_send_text | ws_send_bytes | ws_end | ws_subscribe | ws_unsubscribe.
-type type() :: to_worker() | from_worker().
-type frame() :: {type(), stream_id(), Payload :: binary()}.

%% What is left of an unfinished frame: the bytes so far (newest first), how many they are and how
%% many the frame needs (0: not even its size is known). A large frame is joined once, when complete.
-record(buffer, {
    chunks = [] :: [binary()],
    have = 0 :: non_neg_integer(),
    need = 0 :: non_neg_integer()
}).
-opaque buffer() :: #buffer{}.

-spec protocol_version() -> pos_integer().
protocol_version() -> ?PROTOCOL_VERSION.

-spec max_size() -> pos_integer().
max_size() -> ?MAX_SIZE.

%% @doc One frame as bytes, ready for the port.
-spec encode(type(), stream_id(), iodata()) -> iodata().
encode(Type, Stream, Payload) ->
    [<<(5 + iolist_size(Payload)):32, (code(Type)), Stream:32>> | Payload].

%% @doc How much the `credit' frames among these, for a worker, give together.
-spec credits(iodata()) -> non_neg_integer().
credits(Frames) -> credits(iolist_to_binary(Frames), 0).

credits(<<9:32, 16#12, _Stream:32, Count:32, Rest/binary>>, Sum) -> credits(Rest, Sum + Count);
credits(<<Size:32, _:Size/binary, Rest/binary>>, Sum) -> credits(Rest, Sum);
credits(<<>>, Sum) -> Sum.

%% @doc The frame that opens an HTTP stream. BodyFlags: bit 0 the body is complete, bit 1 the client
%% waits for 100 (Continue).
-spec request(stream_id(), BodyFlags :: 0..3, Scope :: binary(), Body :: iodata(),
              BodySize :: non_neg_integer()) -> iodata().
request(Stream, Flags, Scope, Body, BodySize) ->
    Size = byte_size(Scope),
    [<<(10 + Size + BodySize):32, 16#10, Stream:32, Flags, Size:32>>, Scope | Body].

%% @doc The frame that has a worker run a method or a function, with arguments in an envelope. Flags: bit 0 a stream of values is
%% wanted, bit 1 values are for Erlang. Left: ms until the caller waits no longer, 0 for no limit.
-spec perform(stream_id(), {Flags :: 0..3, Left :: 0..16#ffffffff}, Target :: binary(), Envelope :: iodata()) -> iodata().
perform(Stream, {Flags, Left}, Target, Envelope) ->
    Size = byte_size(Target),
    Zeros = (?ENVELOPE_AT - 7 - Size) band 15,
    [<<(12 + Size + Zeros + iolist_size(Envelope)):32, 16#08, Stream:32, Flags, Left:32, Size:16, Target/binary, 0:Zeros/unit:8>>
     | Envelope].

-spec new() -> buffer().
new() -> #buffer{}.

%% @doc Adds bytes; answers with the frames that they complete, in order.
-spec feed(binary(), buffer()) -> {ok, [frame()], buffer()} | {error, Reason}
    when Reason :: {frame_size, non_neg_integer()} | {frame_type, byte()}.
feed(Data, #buffer{chunks = []}) ->
    split(Data, []);
feed(Data, #buffer{chunks = Chunks, have = Have0, need = Need}) ->
    Have = Have0 + byte_size(Data),
    case Need > Have of
        true -> {ok, [], #buffer{chunks = [Data | Chunks], have = Have, need = Need}};
        false -> split(iolist_to_binary(lists:reverse(Chunks, [Data])), [])
    end.

split(<<Size:32, _/binary>>, _) when Size < 5; Size > ?MAX_SIZE ->
    {error, {frame_size, Size}};
split(<<Size:32, Code, Stream:32, Rest/binary>> = Data, Acc) ->
    Length = Size - 5,
    case Rest of
        <<Payload:Length/binary, More/binary>> ->
            case type(Code) of
                unknown -> {error, {frame_type, Code}};
                Type -> split(More, [{Type, Stream, Payload} | Acc])
            end;
        _ ->
            {ok, lists:reverse(Acc), hold(Data, Size + 4)}
    end;
split(<<>>, Acc) ->
    {ok, lists:reverse(Acc), #buffer{}};
split(<<Size:32, _/binary>> = Data, Acc) ->
    {ok, lists:reverse(Acc), hold(Data, Size + 4)};
split(Data, Acc) ->
    {ok, lists:reverse(Acc), hold(Data, 0)}.

%% Copied, so that the rest of a frame does not keep the whole read alive, unless it is most of that.
hold(Data, Need) ->
    Held = case 2 * byte_size(Data) < binary:referenced_byte_size(Data) of
        true -> binary:copy(Data);
        false -> Data
    end,
    #buffer{chunks = [Held], have = byte_size(Data), need = Need}.

%% @doc The bytes of an encoded frame.
-spec size(iodata()) -> pos_integer().
size([<<Size:32, _/binary>> | _]) -> 4 + Size;
size(<<Size:32, _/binary>>) -> 4 + Size.

%% @doc What a frame to a worker opens, and how many bytes of the request's body it brings. `continued': the client waits for
%% 100 (Continue); `stream': a call that may be answered with many values. And what it is about: the scope of a request, the target of a call where
%% the frame's head has it.
-spec opens(iodata()) -> {http | continued | websocket | call | stream, non_neg_integer(), About :: binary() | none}.
opens([<<Size:32, 16#10, _:32, _:6, Continue:1, _:1, Scope:32>>, About | _]) ->
    {case Continue of 0 -> http; 1 -> continued end, Size - 10 - Scope, About};
opens([<<_:32, 16#20, _:32>> | About]) when is_binary(About) ->
    {websocket, 0, About};
opens([<<_:32, 16#07, _:32>> | _]) ->
    {call, 0, none};
opens([<<_:32, 16#08, _:32, _:7, Stream:1, _:32, Size:16, Target:Size/binary, _/binary>> | _]) ->
    {case Stream of 0 -> call; 1 -> stream end, 0, Target}.

%% @doc What a frame to a worker gives one of its streams: credit, or bytes of the client's, for which it may then ask
%% anew (`demand'), counted as hornbeam_credit does.
-spec gives(iodata()) -> {credit | bytes, stream_id(), non_neg_integer()} | nothing.
gives([<<_:32, 16#12, Stream:32>> | <<Count:32>>]) -> {credit, Stream, Count};
gives([<<Size:32, Code, Stream:32>> | _]) when Code =:= 16#11; Code =:= 16#14 -> {bytes, Stream, Size - 5};
gives([<<Size:32, Code, Stream:32>> | _]) when Code =:= 16#21; Code =:= 16#22 ->
    {bytes, Stream, hornbeam_credit:message(Size - 5)};
gives(_) -> nothing.

%% @doc Whether a frame from a worker about a stream is the last one of it.
-spec is_last(Payload :: binary()) -> boolean().
is_last(<<_:7, Last:1, _/binary>>) -> Last =:= 1;
is_last(<<>>) -> true.

%% @doc What a worker has measured of a request, from a frame that parse/2 takes: us that the application took until then, the
%% template of its route; whether that was all.
-spec measured(response | pathsend | abort | ws_accept | ws_end, Payload :: binary()) -> {non_neg_integer(), Route :: binary(), Last :: boolean()} | none.
measured(response, Payload) ->
    of_response(Payload);
measured(pathsend, Payload) ->
    of_response(Payload);
measured(abort, <<3, _Reason, Time:64, N, Route:N/binary>>) ->
    {us(Time), Route, true};
measured(ws_accept, <<2, Time:64, N, Route:N/binary, _/binary>>) ->
    {us(Time), Route, true};
measured(ws_end, <<3, Time:64, N, Route:N/binary, _/binary>>) ->
    {us(Time), Route, true};
measured(_Type, _Payload) ->
    none.

%% Whole bytes: what is not matched bit by bit takes a third of the time.
of_response(<<Flags, _Status:16, _Size:32, Time:64, N, Route:N/binary, _/binary>>) when Flags =:= 3; Flags =:= 2 ->
    {us(Time), Route, Flags =:= 3};
of_response(_) ->
    none.

us(Time) -> Time div 1000.

%% @doc The payload of a frame of a stream, or of the worker, as a term; `error' for what no worker sends that keeps to the
%% protocol. Headers stay encoded (hornbeam_headers decodes them where they are used), and so does the value of a result.
-spec parse(type(), Payload :: binary()) -> {ok, term()} | error.
parse(response, <<Flags, Rest/binary>>) when Flags =< 1 ->
    response(Flags =:= 1, Rest);
parse(response, <<Flags, Rest/binary>>) when Flags =< 3 ->
    measured_response(Flags =:= 3, Rest);
parse(data, <<0:7, Last:1, Data/binary>>) ->
    {ok, {Last =:= 1, Data}};
parse(demand, <<0, Count:32>>) ->
    {ok, Count};
parse(abort, <<1, Reason>>) ->
    abort_reason(Reason);
parse(abort, <<3, Reason, _Time:64, N, _Route:N/binary>>) ->
    abort_reason(Reason);
%% Every 1xx but 100, which the server sends by itself, and 101.
parse(inform, <<0, Status:16, Headers/binary>>)
        when Status >= 102, Status =< 199, byte_size(Headers) =< ?MAX_HEAD ->
    {ok, {Status, Headers}};
parse(trailers, <<1, Headers/binary>>) when byte_size(Headers) =< ?MAX_HEAD ->
    {ok, Headers};
parse(pathsend, <<1, Status:16, Size:32, Headers:Size/binary, Path/binary>>) ->
    file(Status, Headers, Path);
parse(pathsend, <<3, Status:16, Size:32, _Time:64, N, _Route:N/binary, Headers:Size/binary, Path/binary>>) ->
    file(Status, Headers, Path);
parse(ws_accept, <<0, Accept/binary>>) when byte_size(Accept) =< ?MAX_HEAD ->
    accepted(Accept);
parse(ws_accept, <<2, _Time:64, N, _Route:N/binary, Accept/binary>>) when byte_size(Accept) =< ?MAX_HEAD ->
    accepted(Accept);
parse(Type, <<0, Data/binary>>) when Type =:= ws_send_text; Type =:= ws_send_bytes ->
    {ok, Data};
parse(Type, <<0, Topic/binary>>)
        when Type =:= ws_subscribe, Topic =/= <<>>, byte_size(Topic) =< ?MAX_TOPIC;
             Type =:= ws_unsubscribe, Topic =/= <<>>, byte_size(Topic) =< ?MAX_TOPIC ->
    {ok, Topic};
parse(ws_end, <<1, Code:16, Reason/binary>>) ->
    closes(Code, Reason);
parse(ws_end, <<3, _Time:64, N, _Route:N/binary, Code:16, Reason/binary>>) ->
    closes(Code, Reason);
parse(result, <<0:6, 0:1, 0:1, Value/binary>>) ->
    {ok, {yielded, Value}};
parse(result, <<0:6, 0:1, 1:1, Value/binary>>) ->
    {ok, {returned, Value}};
parse(result, <<0:6, 1:1, 1:1, Raised/binary>>) when byte_size(Raised) =< ?MAX_HEAD ->
    case hornbeam_msgpack:decode(Raised) of
        {ok, [Class, Message, Traceback]} when is_binary(Class), is_binary(Message), is_binary(Traceback) ->
            {ok, {raised, Class, Message, Traceback}};
        _ ->
            error
    end;
parse(hello, <<Version:16, Info/binary>>) ->
    with_map(Info, fun(Map) -> {Version, Map} end);
parse(ready, Info) ->
    with_map(Info, fun(Map) -> Map end);
parse(pong, <<Size:16, Echo:Size/binary, Figures/binary>>) ->
    with_map(Figures, fun(Map) -> {Echo, Map} end);
parse(log, Record) when byte_size(Record) =< ?MAX_HEAD ->
    case hornbeam_msgpack:decode(Record) of
        {ok, #{<<"level">> := Level, <<"logger">> := Name, <<"message">> := Text} = Map}
                when is_integer(Level), is_binary(Name), is_binary(Text) -> {ok, Map};
        _ -> error
    end;
parse(diagnosed, <<Number:32, Answer/binary>>) when byte_size(Answer) =< ?MAX_ANSWER ->
    case hornbeam_msgpack:decode(Answer) of
        {ok, Map} when is_map(Map) -> {ok, {Number, Map}};
        _ -> error
    end;
parse(failed, <<Kind, Text/binary>>) when byte_size(Text) =< ?MAX_HEAD ->
    failure(Kind, Text);
parse(drained, <<>>) ->
    {ok, drained};
parse(exited, <<OsPid:32, Status:32>>) ->
    {ok, {OsPid, Status}};
parse(call, <<Operation, Arguments/binary>>) ->
    {ok, {Operation, Arguments}};
parse(_, _) ->
    error.

accepted(Accept) ->
    case hornbeam_msgpack:decode_raw(Accept) of
        {ok, [Subprotocol, Headers]} when Subprotocol =:= none orelse is_binary(Subprotocol), is_binary(Headers) ->
            {ok, {Subprotocol, Headers}};
        _ ->
            error
    end.

%% The codes that a close may have (RFC 6455, 7.4); 1005 stands for none.
closes(Code, Reason) when Code >= 1000, Code =< 1014, Code =/= 1004, Code =/= 1006, byte_size(Reason) =< ?MAX_HEAD;
                          Code >= 3000, Code =< 4999, byte_size(Reason) =< ?MAX_HEAD ->
    {ok, {Code, Reason}};
closes(_Code, _Reason) ->
    error.

response(Last, <<Status:16, Size:32, Headers:Size/binary, Body/binary>>) when Status >= 200, Status =< 999, Size =< ?MAX_HEAD ->
    {ok, {Last, Status, Headers, Body}};
response(_Last, _Rest) ->
    error.

measured_response(Last, <<Status:16, Size:32, _Time:64, N, _Route:N/binary, Headers:Size/binary, Body/binary>>)
        when Status >= 200, Status =< 999, Size =< ?MAX_HEAD ->
    {ok, {Last, Status, Headers, Body}};
measured_response(_Last, _Rest) ->
    error.

file(Status, Headers, Path)
        when Status >= 200, Status =< 999, byte_size(Path) > 0, byte_size(Headers) + byte_size(Path) =< ?MAX_HEAD ->
    case binary:match(Path, <<0>>) of
        nomatch -> {ok, {Status, Headers, Path}};
        _ -> error
    end;
file(_, _, _) ->
    error.

with_map(Bytes, Fun) when byte_size(Bytes) =< ?MAX_HEAD ->
    case hornbeam_msgpack:decode_raw(Bytes) of
        {ok, Map} when is_map(Map) -> {ok, Fun(Map)};
        _ -> error
    end;
with_map(_, _) ->
    error.

%% Why an application's answer ends before it is complete. Keys of hornbeam_error's table.
abort_reason(1) -> {ok, app_error};
abort_reason(2) -> {ok, no_response};
abort_reason(3) -> {ok, incomplete_response};
abort_reason(_) -> error.

failure(1, Text) -> {ok, {msgpack_missing, Text}};
failure(2, Text) -> {ok, {module_not_found, Text}};
failure(3, Text) -> {ok, {attribute_missing, Text}};
failure(4, Text) -> {ok, {import_failed, Text}};
failure(5, Text) -> {ok, {lifespan_failed, Text}};
failure(6, Text) -> {ok, {not_callable, Text}};
failure(7, Text) -> {ok, {worker_failed, Text}};
failure(8, Text) -> {ok, {python_unsupported, Text}};
failure(9, Text) -> {ok, {factory_failed, Text}};
failure(10, Text) -> {ok, {not_asgi, Text}};
failure(11, Text) -> {ok, {log_config_failed, Text}};
failure(12, Text) -> {ok, {channels_failed, Text}};
failure(_, _) -> error.

code(boot) -> 16#01;
code(drain) -> 16#02;
code(stop) -> 16#03;
code(ping) -> 16#04;
code(reply) -> 16#05;
code(event) -> 16#06;
code(invoke) -> 16#07;
code(perform) -> 16#08;
code(diagnose) -> 16#09;
code(request) -> 16#10;
code(body) -> 16#11;
code(body_end) -> 16#14;
code(credit) -> 16#12;
code(disconnect) -> 16#13;
code(ws_open) -> 16#20;
code(ws_text) -> 16#21;
code(ws_binary) -> 16#22;
code(ws_close) -> 16#23;
code(hello) -> 16#41;
code(ready) -> 16#42;
code(failed) -> 16#43;
code(drained) -> 16#44;
code(pong) -> 16#45;
code(log) -> 16#46;
code(call) -> 16#47;
code(result) -> 16#48;
code(diagnosed) -> 16#49;
code(exited) -> 16#4A;
code(response) -> 16#50;
code(data) -> 16#51;
code(demand) -> 16#52;
code(abort) -> 16#53;
code(inform) -> 16#54;
code(trailers) -> 16#55;
code(pathsend) -> 16#56;
code(ws_accept) -> 16#60;
code(ws_send_text) -> 16#61;
code(ws_send_bytes) -> 16#62;
code(ws_end) -> 16#63;
code(ws_subscribe) -> 16#64;
code(ws_unsubscribe) -> 16#65.

%% Only what a worker may send: a frame meant for a worker is garbage when it comes from one.
type(16#41) -> hello;
type(16#42) -> ready;
type(16#43) -> failed;
type(16#44) -> drained;
type(16#4A) -> exited;
type(16#45) -> pong;
type(16#46) -> log;
type(16#47) -> call;
type(16#48) -> result;
type(16#49) -> diagnosed;
type(16#50) -> response;
type(16#51) -> data;
type(16#52) -> demand;
type(16#53) -> abort;
type(16#54) -> inform;
type(16#55) -> trailers;
type(16#56) -> pathsend;
type(16#60) -> ws_accept;
type(16#61) -> ws_send_text;
type(16#62) -> ws_send_bytes;
type(16#63) -> ws_end;
type(16#64) -> ws_subscribe;
type(16#65) -> ws_unsubscribe;
type(_) -> unknown.
