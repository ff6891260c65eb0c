%%% The streams of an HTTP/2 connection: frames of the client go to the stream that they are for, what the streams say becomes frames.
%%%
%%% Owns the table of the streams, the windows, the compressed fields of both directions, and what is to be written.
%%% Called by: hornbeam_http2, in the connection's process. Calls: hornbeam_http2_stream (a request to its response), hornbeam_http2_head
%%% (fields to requests), hornbeam_http2_fields (sections of fields), hornbeam_http2_output (whose turn it is to be sent),
%%% hornbeam_http2_body (windows), hornbeam_http2_rate (resets), hornbeam_clients, cow_http2.
%%%
%%% A stream is in the table until both sides are done with it, or one of them has reset it; then hornbeam_http2_ended remembers it.
%%%
%%% What the connection has to know is news, in order:
%%%
%%%   {look, Time}              due/2 is to be called by this time (monotonic ms), or before: said once until it is called
%%%   busy                      something is in progress
%%%   large_body                a request has come with a large body
%%%   {idle, ended | reset}     nothing is in progress any more; how the last one ended
%%%   goaway                    the client will open no more
%%%
%%% An error of the connection (RFC 9113, 5.4.1), which nothing of it survives, is thrown: {connection_error, Code, streams()}.
%%%
%%% The window of the connection is as large as can be, so that bodies that nobody reads take nothing from the others: what a client may send
%%% of bodies is bounded by the windows of the streams (body_prefetch). A reset counts (max_reset_rate) whoever's it is, if it is for something
%%% that the client did: it can make the server send one, too.
-module(hornbeam_http2_streams).

-export([new/2, frame/4, arrived/3, event/3, exit/3, news/1, count/1, due/2, has_output/1, output/3, goaway/2, gone/1]).
-export_type([streams/0, news/0]).

-include("hornbeam_head.hrl").

-define(MAX_WINDOW, 16#7fffffff).
-define(DEFAULT_WINDOW, 65535).
%% A body from which on it is read in larger pieces.
-define(LARGE_BODY, 16384).
%% Names and values of pseudo-headers other than the target.
-define(PSEUDO, 1024).

-type id() :: pos_integer().
-type news() :: {look, integer()} | busy | large_body | {idle, hornbeam_http2_ended:how()} | goaway.

-record(streams, {
    settings :: hornbeam_http2:settings(),
    context :: hornbeam_exchange:context(),
    scheme :: binary(),
    table = #{} :: #{id() => hornbeam_http2_stream:stream()},
    fresh = [] :: [id()],                   % whose heads came with this read
    last = 0 :: non_neg_integer(),          % the highest that was opened
    served = 0 :: non_neg_integer(),
    look = infinity :: integer() | infinity,    % when due/2 is called, as far as was told
    closed = false :: boolean(),            % those above it are not looked at (6.8)
    ended = hornbeam_http2_ended:new() :: hornbeam_http2_ended:ended(),
    news = [] :: [news()],                  % newest first
    %% From the client:
    window = ?MAX_WINDOW :: integer(),      % of the connection
    slack :: non_neg_integer(),             % hornbeam_http2_body
    resets :: hornbeam_http2_rate:rate(),
    %% To the client:
    codec = hornbeam_http2_fields:new() :: hornbeam_http2_fields:codec(),
    output = hornbeam_http2_output:new() :: hornbeam_http2_output:output(),
    out :: iodata()                         % to be written before it
}).
-opaque streams() :: #streams{}.

%% @doc Of a connection that begins: the server's preface is to be written (RFC 9113, 3.4).
-spec new(IsSecure :: boolean(), {hornbeam_http2:settings(), hornbeam_exchange:context()}) -> streams().
new(IsSecure, {#{body_prefetch := Prefetch, max_reset_rate := Resets} = Settings, Context}) ->
    #streams{settings = Settings, context = Context, scheme = case IsSecure of true -> <<"https">>; false -> <<"http">> end,
             slack = max(0, ?DEFAULT_WINDOW - hornbeam_http2_body:window(Prefetch)), resets = hornbeam_http2_rate:new(Resets),
             out = hello(Settings)}.

hello(#{body_prefetch := Prefetch, max_streams := Streams, max_head_size := HeadSize, max_headers := Headers, websocket := WebSocket}) ->
    [cow_http2:settings(#{initial_window_size => hornbeam_http2_body:window(Prefetch), max_concurrent_streams => Streams, enable_connect_protocol => WebSocket,
                          %% Which counts 32 octets for each field (6.5.2).
                          max_header_list_size => HeadSize + 32 * Headers}),
     cow_http2:window_update(?MAX_WINDOW - ?DEFAULT_WINDOW)].

%% @doc What has happened since it was asked for last.
-spec news(streams()) -> none | {[news()], streams()}.
news(#streams{news = []}) -> none;
news(#streams{news = News} = Streams) -> {lists:reverse(News), Streams#streams{news = []}}.

tell(News, #streams{news = Before} = Streams) -> Streams#streams{news = [News | Before]}.

%% @doc How many are in progress, and how many there have been.
-spec count(streams()) -> {InProgress :: non_neg_integer(), Served :: non_neg_integer()}.
count(#streams{table = Table, served = Served}) -> {map_size(Table), Served}.

-spec fail(cow_http2:error(), streams()) -> no_return().
fail(Code, Streams) -> throw({connection_error, Code, Streams}).

%%% Frames of the client

%% @doc A frame, with so many octets behind its head.
-spec frame(hornbeam_http2_input:frame(), Size :: non_neg_integer(), Now :: integer(), streams()) -> streams().
frame({data, Id, IsFin, Data}, Size, Now, Streams) -> data(Id, IsFin, Data, Size, Now, window(Size, Streams));
frame({head, Id, IsFin, Block}, _Size, Now, Streams) -> head(Id, IsFin, Block, Now, Streams);
frame({window_update, Increment}, _Size, Now, Streams) -> credit(connection, Increment, Now, Streams);
frame({window_update, Id, Increment}, _Size, Now, Streams) -> credit(Id, Increment, Now, opened(Id, Streams));
frame({rst_stream, Id, _Code}, _Size, Now, Streams) -> cancelled(Id, reset_counted(Now, opened(Id, Streams)));
frame({settings, Settings}, _Size, _Now, Streams) -> say(cow_http2:settings_ack(), maps:fold(fun setting/3, Streams, Settings));
frame(settings_ack, _Size, _Now, Streams) -> Streams#streams{slack = 0};
frame({ping, Opaque}, _Size, _Now, Streams) -> say(cow_http2:ping_ack(Opaque), Streams);
frame({goaway, _, _, _}, _Size, _Now, Streams) -> tell(goaway, Streams);
frame({broken, Id, Code}, _Size, Now, Streams) -> wrong(Id, Code, Now, Streams);
%% Priorities (5.3.2), what is unknown (4.1), answers that nobody waits for.
frame(_Ignored, _Size, _Now, Streams) -> Streams.

%% 5.1: of streams that have never been there only HEADERS and PRIORITY may speak.
opened(Id, #streams{last = Last} = Streams) when Id =< Last, Id rem 2 =:= 1 -> Streams;
opened(_Id, Streams) -> fail(protocol_error, Streams).

setting(header_table_size, Size, #streams{codec = Codec} = Streams) ->
    Streams#streams{codec = hornbeam_http2_fields:table_size(Size, Codec)};
setting(initial_window_size, Window, #streams{output = Output0} = Streams) ->
    case hornbeam_http2_output:initial(Window, Output0) of
        {ok, Output} -> Streams#streams{output = Output};
        error -> fail(flow_control_error, Streams)
    end;
setting(_Other, _Value, Streams) -> Streams.

%% 6.9.1.
credit(Which, Increment, Now, #streams{output = Output0} = Streams) ->
    case hornbeam_http2_output:credit(Which, Increment, Output0) of
        {ok, Output} -> Streams#streams{output = Output};
        error when Which =:= connection -> fail(flow_control_error, Streams);
        error -> wrong(Which, flow_control_error, Now, Streams)
    end.

cancelled(Id, #streams{table = Table} = Streams) ->
    case Table of
        #{Id := Stream} -> ok = hornbeam_http2_stream:gone(Stream), drop(Id, ended, Streams);
        _ -> Streams
    end.

%% The client has done something to a stream that it may not.
wrong(Id, Code, Now, Streams) ->
    reset(Id, Code, reset_counted(Now, Streams)).

reset_counted(Now, #streams{resets = Resets} = Streams) ->
    case hornbeam_http2_rate:count(Now, Resets) of
        over -> fail(enhance_your_calm, Streams);
        Counted -> Streams#streams{resets = Counted}
    end.

%%% DATA

%% That of the connection never closes.
window(Size, #streams{window = Window} = Streams) when Window - Size < ?MAX_WINDOW div 2 ->
    say(cow_http2:window_update(?MAX_WINDOW - Window + Size), Streams#streams{window = ?MAX_WINDOW});
window(Size, #streams{window = Window} = Streams) ->
    Streams#streams{window = Window - Size}.

data(Id, IsFin, Data, Size, Now, #streams{table = Table, slack = Slack} = Streams) ->
    case Table of
        #{Id := Stream} -> given(Id, hornbeam_http2_stream:data(IsFin, Data, Size, Slack, Now, Stream), Now, Streams);
        _ -> late(Id, stream_closed, opened(Id, Streams))
    end.

given(Id, {error, Code}, Now, Streams) -> wrong(Id, Code, Now, Streams);
given(Id, Actions, _Now, Streams) -> act(Id, Actions, Streams).

%% 5.1: what comes for a stream that has ended was on its way when it was reset, or should not have been sent.
late(Id, Code, Streams) ->
    case hornbeam_http2_ended:how(Id, Streams#streams.ended) of
        reset -> Streams;
        ended -> fail(stream_closed, Streams);
        forgotten -> fail(Code, Streams)
    end.

%% @doc All of a read has been given: the requests have what came of their bodies. Part: the stream that a part of a DATA frame has come for,
%% which is progress.
-spec arrived(Part :: none | id(), Now :: integer(), streams()) -> streams().
arrived(Part, Now, #streams{fresh = Fresh} = Streams) ->
    heard(Part, Now, submit(lists:reverse(Fresh), Streams#streams{fresh = []})).

submit([Id | Ids], #streams{table = Table} = Streams) ->
    case Table of
        #{Id := Stream} -> submit(Ids, act(Id, hornbeam_http2_stream:submit(Stream), Streams));
        _ -> submit(Ids, Streams)
    end;
submit([], Streams) ->
    Streams.

heard(Id, Now, #streams{table = Table} = Streams) ->
    case Table of
        #{Id := Stream} -> Streams#streams{table = Table#{Id := hornbeam_http2_stream:heard(Now, Stream)}};
        _ -> Streams
    end.

%%% HEADERS

head(Id, IsFin, Block, Now, #streams{codec = Codec0, settings = #{max_head_size := Max, max_request_line := MaxLine}} = Streams) ->
    %% A copy: what of it stays in the table keeps no more alive than it.
    case hornbeam_http2_fields:decode(binary:copy(Block), Max + MaxLine + ?PSEUDO, Codec0) of
        {Result, Fields, Codec} -> fields(Id, IsFin, Result, Fields, Now, Streams#streams{codec = Codec});
        error -> fail(compression_error, Streams)
    end.

fields(Id, IsFin, Result, Fields, Now, #streams{table = Table, last = Last, closed = Closed, settings = #{max_streams := Max}} = Streams) ->
    case Table of
        #{Id := Stream} -> trailers(Id, IsFin, Result, Fields, hornbeam_http2_stream:is_read(Stream), Now, Streams);
        _ when Id rem 2 =:= 0 -> fail(protocol_error, Streams);
        _ when Id =< Last -> late(Id, protocol_error, Streams);
        _ when Closed -> Streams;
        _ when map_size(Table) >= Max -> wrong(Id, refused_stream, Now, Streams#streams{last = Id});
        _ -> request(Id, IsFin, Result, Fields, Now, Streams#streams{last = Id})
    end.

%% 8.1.
trailers(Id, IsFin, Result, Fields, IsRead, Now, Streams) ->
    case IsFin =:= fin andalso Result =:= ok andalso hornbeam_http2_head:is_trailers(Fields) of
        _ when IsRead -> wrong(Id, stream_closed, Now, Streams);
        true -> data(Id, fin, <<>>, 0, Now, Streams);
        false -> wrong(Id, protocol_error, Now, Streams)
    end.

request(Id, IsFin, Result, Fields, Now, #streams{settings = Settings, scheme = Scheme, context = #{place := Place} = Context} = Streams) ->
    #{body_timeout := BodyTimeout, body_prefetch := Prefetch} = Settings,
    Window = hornbeam_http2_body:window(Prefetch),
    case hornbeam_http2_head:read(Fields, case IsFin of fin -> 0; nofin -> unknown end, Settings, Place) of
        {ok, Head} when Result =:= ok ->
            begun(Id, Head, hornbeam_http2_stream:open(Id, IsFin, Head#head{scheme = Scheme}, Window, BodyTimeout, Now, Context), Streams);
        {ok, Head} -> begun(Id, Head, hornbeam_http2_stream:refuse(Id, IsFin, header_too_large, Head, Window, Context), Streams);
        {refuse, Reason, Head} -> begun(Id, Head, hornbeam_http2_stream:refuse(Id, IsFin, Reason, Head, Window, Context), Streams);
        malformed -> wrong(Id, protocol_error, Now, Streams)
    end.

begun(Id, #head{length = Length, protocol = Protocol}, Begun, #streams{table = Table, output = Output, served = Served, fresh = Fresh} = Streams0) ->
    Streams1 = case map_size(Table) of 0 -> tell(busy, Streams0); _ -> Streams0 end,
    %% `unknown' is more than any number; for a WebSocket it is no body.
    Streams = case Length > ?LARGE_BODY andalso Protocol =:= undefined of true -> tell(large_body, Streams1); false -> Streams1 end,
    act(Id, Begun, Streams#streams{output = hornbeam_http2_output:open(Id, Output), served = Served + 1,
                                   fresh = case Length of 0 -> Fresh; _ -> [Id | Fresh] end}).

%%% What the streams say

%% @doc {{self(), Id}, Event}: those of streams that have ended are late.
-spec event(id(), Event :: term(), streams()) -> streams().
event(Id, Event, #streams{table = Table} = Streams) ->
    case Table of
        #{Id := Stream} -> act(Id, hornbeam_http2_stream:event(Event, Stream), Streams);
        _ -> Streams
    end.

%% @doc A process that was linked has ended.
-spec exit(pid(), Reason :: term(), streams()) -> streams().
exit(Pid, Reason, #streams{table = Table} = Streams) ->
    maps:fold(fun(Id, Stream, Acc) ->
                  case hornbeam_http2_stream:exit(Pid, Reason, Stream) of
                      false -> Acc;
                      Actions -> act(Id, Actions, Acc)
                  end
              end, Streams, Table).

act(Id, {Actions, Stream}, #streams{table = Table} = Streams) ->
    carry_out(Actions, Id, Streams#streams{table = Table#{Id => Stream}}).

carry_out([], _Id, Streams) ->
    Streams;
carry_out([{head, fin, Fields} | _], Id, Streams) ->
    over(Id, section(Id, fin, Fields, Streams));
carry_out([{head, nofin, Fields} | Rest], Id, Streams) ->
    carry_out(Rest, Id, section(Id, nofin, Fields, Streams));
carry_out([{data, Fin, Data} | Rest], Id, #streams{output = Output} = Streams) ->
    carry_out(Rest, Id, hold(Id, Streams#streams{output = hornbeam_http2_output:put(Id, Data, Fin, now_ms(), Output)}));
carry_out([{file, Items} | Rest], Id, #streams{output = Output} = Streams) ->
    carry_out(Rest, Id, Streams#streams{output = hornbeam_http2_output:put_all(Id, Items, now_ms(), Output)});
carry_out([{window, Octets} | Rest], Id, Streams) ->
    carry_out(Rest, Id, say(cow_http2:window_update(Id, Octets), Streams));
carry_out([{look, Time} | Rest], Id, #streams{look = Look} = Streams) when Time >= Look ->
    carry_out(Rest, Id, Streams);
carry_out([{look, Time} = Sooner | Rest], Id, Streams) ->
    carry_out(Rest, Id, tell(Sooner, Streams#streams{look = Time}));
carry_out([{reset, Code} | _], Id, Streams) ->
    reset(Id, Code, Streams).

section(Id, IsFin, Fields, #streams{codec = Codec0} = Streams) ->
    {Bytes, Codec} = hornbeam_http2_fields:encode(Id, IsFin, Fields, Codec0),
    say(Bytes, Streams#streams{codec = Codec}).

hold(Id, #streams{output = Output} = Streams) ->
    case hornbeam_http2_output:is_held(Id, Output) of
        true -> held(true, Id, Streams);
        false -> Streams
    end.

held(Held, Id, #streams{table = Table} = Streams) ->
    #{Id := Stream} = Table,
    Streams#streams{table = Table#{Id := hornbeam_http2_stream:held(Held, Stream)}}.

%% The response has been sent. A client that has not sent all of its body is told that nobody wants the rest (8.1).
over(Id, #streams{table = Table} = Streams) ->
    #{Id := Stream} = Table,
    ok = hornbeam_http2_stream:gone(Stream),
    case hornbeam_http2_stream:is_read(Stream) of
        true -> drop(Id, ended, Streams);
        false -> drop(Id, reset, say(cow_http2:rst_stream(Id, no_error), Streams))
    end.

reset(Id, Code, #streams{table = Table} = Streams0) ->
    Streams = say(cow_http2:rst_stream(Id, Code), Streams0),
    case Table of
        #{Id := Stream} -> ok = hornbeam_http2_stream:gone(Stream), drop(Id, reset, Streams);
        _ -> remember(Id, reset, Streams)
    end.

drop(Id, How, #streams{table = Table0, output = Output} = Streams0) ->
    ok = hornbeam_clients:leave(Id),
    Table = maps:remove(Id, Table0),
    Streams = remember(Id, How, Streams0#streams{table = Table, output = hornbeam_http2_output:close(Id, Output)}),
    case map_size(Table) of
        0 -> tell({idle, How}, Streams);
        _ -> Streams
    end.

remember(Id, How, #streams{ended = Ended} = Streams) ->
    Streams#streams{ended = hornbeam_http2_ended:add(Id, How, Ended)}.

%% @doc Looks at the times of all streams; and when to look again. send_timeout: one whose output waits, and of which no octet could be sent, is
%% reset.
-spec due(Now :: integer(), streams()) -> {integer() | infinity, streams()}.
due(Now, #streams{table = Table, settings = #{send_timeout := Time}} = Streams0) ->
    #streams{output = Output} = Streams1 = maps:fold(fun(Id, _, Acc) -> due(Id, Now, Acc) end, Streams0#streams{look = infinity}, Table),
    {Stalled, Limit} = stalled(Now, Time, Output),
    Streams = lists:foldl(fun(Id, Acc) -> reset(Id, internal_error, Acc) end, Streams1, Stalled),
    {maps:fold(fun(_, Stream, Acc) -> min(Acc, hornbeam_http2_stream:next(Stream)) end, Limit, Streams#streams.table), Streams}.

stalled(_Now, infinity, _Output) ->
    {[], infinity};
stalled(Now, Time, Output) ->
    case hornbeam_http2_output:stalled(Now - Time, Output) of
        {Stalled, infinity} -> {Stalled, infinity};
        {Stalled, Earliest} -> {Stalled, Earliest + Time}
    end.

due(Id, Now, #streams{table = Table} = Streams) ->
    case Table of
        #{Id := Stream} -> act(Id, hornbeam_http2_stream:due(Now, Stream), Streams);
        _ -> Streams
    end.

now_ms() ->
    erlang:monotonic_time(millisecond).

%%% To the client

say(Bytes, #streams{out = []} = Streams) -> Streams#streams{out = Bytes};
say(Bytes, #streams{out = Out} = Streams) -> Streams#streams{out = [Out, Bytes]}.

%% @doc Whether there may be something that can be written now.
-spec has_output(streams()) -> boolean().
has_output(#streams{out = Out, output = Output}) -> Out =/= [] orelse hornbeam_http2_output:is_ready(Output).

%% @doc What is to be written now, with up to so many octets of the streams' output.
-spec output(Octets :: non_neg_integer(), Now :: integer(), streams()) -> {iodata(), streams()}.
output(Octets, Now, Streams0) ->
    #streams{out = Out} = Streams = pump(Octets, Now, Streams0),
    {Out, Streams#streams{out = []}}.

pump(Left, _Now, Streams) when Left =< 0 ->
    Streams;
pump(Left, Now, #streams{output = Output0} = Streams0) ->
    {Frame, Output} = hornbeam_http2_output:next(Now, Output0),
    Streams = Streams0#streams{output = Output},
    case Frame of
        none -> Streams;
        {data, Id, Bytes, Remains} -> pump(Left - iolist_size(Bytes), Now, sent(Id, Remains, say(Bytes, Streams)));
        {file, Id, IsFin, {Fd, Last}, Offset, Size, Remains} ->
            Read = file:pread(Fd, Offset, Size),
            _ = Last andalso file:close(Fd),
            case Read of
                {ok, Bytes} when byte_size(Bytes) =:= Size ->
                    pump(Left - Size, Now, sent(Id, Remains, say([cow_http2:data_header(Id, IsFin, Size) | Bytes], Streams)));
                %% It has become shorter: the response is not complete.
                _ -> pump(Left, Now, reset(Id, internal_error, Streams))
            end;
        {trailers, Id, Fields} -> pump(Left - 1, Now, over(Id, section(Id, fin, Fields, Streams)))
    end.

sent(_Id, more, Streams) -> Streams;
sent(Id, none, Streams) -> held(false, Id, Streams);
sent(Id, ended, Streams) -> over(Id, Streams).

%%% The end

%% @doc A GOAWAY. leaving: no more is to come, but what is on its way is served (6.8); closing: nothing that comes later is. A code: all ends.
-spec goaway(leaving | closing | cow_http2:error(), streams()) -> streams().
goaway(leaving, Streams) -> say(cow_http2:goaway(?MAX_WINDOW, no_error, <<>>), Streams);
goaway(closing, Streams) -> goaway(no_error, Streams#streams{closed = true});
goaway(Code, #streams{last = Last} = Streams) -> say(cow_http2:goaway(Last, Code, <<>>), Streams).

%% @doc The client has gone, or is told no more: the end of all that is in progress.
-spec gone(streams()) -> streams().
gone(#streams{table = Table, output = Output} = Streams) ->
    Close = fun(Id, Stream, Acc) ->
        ok = hornbeam_http2_stream:gone(Stream),
        ok = hornbeam_clients:leave(Id),
        hornbeam_http2_output:close(Id, Acc)
    end,
    Streams#streams{table = #{}, output = maps:fold(Close, Output, Table)}.
