%%% Which streams of an HTTP/2 connection have output that their client does not take, and since when.
%%%
%%% Called by: hornbeam_connection (start/1), hornbeam_http2_stream (alarm/2, is_overdue/1, ended/1), hornbeam_http2_socket (sent/1,
%%% is_waiting/1), in the connection's process. Calls nothing. State: a record in the process dictionary.
%%%
%%% Cowboy says by an alarm when a stream's output begins to wait for the client's window and when all of it is gone (its option
%%% max_stream_buffer_size is 1). While one waits, what goes out is looked through for its DATA frames: each is progress. A stream without any
%%% for send_timeout is to be reset; {Owner, overdue} is the message that has hornbeam_http2_stream look. A stream with nothing to
%%% send is not in the table, and a connection on which nothing waits pays nothing for it.
-module(hornbeam_http2_output).

-export([start/1, alarm/2, is_overdue/1, is_waiting/1, ended/1, sent/1]).

-record(entry, {
    since :: integer(),                     % the last progress, monotonic ms
    waits = true :: boolean(),
    timer :: reference() | undefined
}).
-record(output, {
    timeout :: timeout(),
    entries = #{} :: #{cowboy_stream:streamid() => #entry{}}
}).

-spec start(SendTimeout :: timeout()) -> ok.
start(SendTimeout) ->
    set(#output{timeout = SendTimeout}).

%% @doc Cowboy's alarm.
-spec alarm(cowboy_stream:streamid(), on | off) -> ok.
alarm(StreamId, OnOff) ->
    #output{entries = Entries, timeout = Timeout} = Output = get(?MODULE),
    case {OnOff, Entries} of
        {on, #{StreamId := Entry}} ->
            put_entry(StreamId, Entry#entry{since = now_ms(), waits = true}, Output);
        {on, _} ->
            put_entry(StreamId, #entry{since = now_ms(), timer = timer(StreamId, Timeout)}, Output);
        %% The timer goes on: it would be started and stopped again and again.
        {off, #{StreamId := Entry}} ->
            put_entry(StreamId, Entry#entry{waits = false}, Output);
        {off, _} ->
            ok
    end.

timer(_StreamId, infinity) -> undefined;
timer(StreamId, Time) -> erlang:send_after(Time, self(), {{self(), StreamId}, overdue}).

%% @doc The timer has fired: whether the client has taken nothing for send_timeout.
-spec is_overdue(cowboy_stream:streamid()) -> boolean().
is_overdue(StreamId) ->
    #output{entries = #{StreamId := #entry{since = Since, waits = Waits} = Entry} = Entries, timeout = Timeout} = Output = get(?MODULE),
    case Since + Timeout - now_ms() of
        _ when not Waits ->
            set(Output#output{entries = maps:remove(StreamId, Entries)}),
            false;
        Left when Left > 0 ->
            put_entry(StreamId, Entry#entry{timer = timer(StreamId, Left)}, Output),
            false;
        _ ->
            true
    end.

-spec is_waiting(cowboy_stream:streamid()) -> boolean().
is_waiting(StreamId) ->
    case get(?MODULE) of
        #output{entries = #{StreamId := #entry{waits = Waits}}} -> Waits;
        _ -> false
    end.

%% @doc A stream has ended.
-spec ended(cowboy_stream:streamid()) -> ok.
ended(StreamId) ->
    case get(?MODULE) of
        #output{entries = #{StreamId := #entry{timer = Timer}} = Entries} = Output ->
            _ = Timer =:= undefined orelse erlang:cancel_timer(Timer, [{async, true}, {info, false}]),
            set(Output#output{entries = maps:remove(StreamId, Entries)});
        _ ->
            ok
    end.

%% @doc What is about to be written: whole frames.
-spec sent(iodata()) -> ok.
sent(Data) ->
    case get(?MODULE) of
        #output{entries = Entries} when map_size(Entries) =:= 0 -> ok;
        #output{entries = Entries} = Output -> set(Output#output{entries = progress(iolist_to_binary(Data), now_ms(), Entries)})
    end.

%% RFC 9113, 4.1. Of a DATA frame that is sent with sendfile only the head is here.
progress(<<Length:24, 0, _Flags, _:1, StreamId:31, Rest/binary>>, Now, Entries) when Length > 0, is_map_key(StreamId, Entries) ->
    #{StreamId := Entry} = Entries,
    progress(behind(Length, Rest), Now, Entries#{StreamId := Entry#entry{since = Now}});
progress(<<Length:24, _Type, _Flags, _:32, Rest/binary>>, Now, Entries) ->
    progress(behind(Length, Rest), Now, Entries);
progress(<<>>, _Now, Entries) ->
    Entries.

behind(Length, Rest) ->
    case Rest of
        <<_:Length/binary, Behind/binary>> -> Behind;
        _ -> <<>>
    end.

put_entry(StreamId, Entry, #output{entries = Entries} = Output) ->
    set(Output#output{entries = Entries#{StreamId => Entry}}).

now_ms() ->
    erlang:monotonic_time(millisecond).

set(Output) ->
    _ = put(?MODULE, Output),
    ok.
