%%% The flow of published messages to one Python process.
%%%
%%% Called by: hornbeam_services, in the worker's process. Calls: hornbeam_msgpack, hornbeam_frame.
%%%
%%% A published message crosses the port once, as an `event' frame, however many in the worker subscribe:
%%%
%%%     lost:u32  size:u16  topic (size bytes)  message (msgpack)
%%%
%%% Python says with the operation events_taken how many, and how many bytes, it has put into the queues of
%%% its subscriptions. While more than ?MAX_COUNT or ?MAX_BYTES are not taken (its loop is blocked), what is
%%% published is dropped; `lost' of the next event says how many were. So a worker that hangs
%%% fills no memory; one that says it has taken what it has not even read neither (hornbeam_worker_backlog: lost/1), and one
%%% that says it has taken more than it got is broken. A message that cannot travel (a pid in it, over 64 MiB) is dropped and counted likewise.
-module(hornbeam_events).

-export([new/0, published/3, lost/1, taken/3]).
-export_type([flow/0]).

-define(MAX_COUNT, 16384).
-define(MAX_BYTES, 33554432).
-define(MAX_TOPIC, 65535).

-record(flow, {
    count = 0 :: non_neg_integer(),     % sent and not yet taken
    bytes = 0 :: non_neg_integer(),
    lost = 0 :: non_neg_integer()
}).
-opaque flow() :: #flow{}.

-spec new() -> flow().
new() ->
    #flow{}.

-spec published(hornbeam_pubsub:topic(), term(), flow()) -> {[iodata()], flow()}.
published(Topic, Message, #flow{count = Count, bytes = Bytes} = Flow)
        when Count < ?MAX_COUNT, Bytes < ?MAX_BYTES, byte_size(Topic) =< ?MAX_TOPIC ->
    case hornbeam_msgpack:try_encode(Message) of
        {ok, Packed} -> send(Topic, Packed, iolist_size(Packed), Flow);
        {error, _} -> {[], lost(Flow)}
    end;
published(_Topic, _Message, Flow) ->
    {[], lost(Flow)}.

send(Topic, Packed, Size, #flow{count = Count, bytes = Bytes, lost = Lost} = Flow) ->
    Payload = [<<Lost:32, (byte_size(Topic)):16>>, Topic | Packed],
    Length = 6 + byte_size(Topic) + Size,
    case Length + 5 > hornbeam_frame:max_size() of
        false ->
            {[hornbeam_frame:encode(event, 0, Payload)],
             Flow#flow{count = Count + 1, bytes = Bytes + Length, lost = 0}};
        true ->
            {[], lost(Flow)}
    end.

%% @doc A message is dropped.
-spec lost(flow()) -> flow().
lost(#flow{lost = Lost} = Flow) ->
    Flow#flow{lost = min(Lost + 1, 16#ffffffff)}.

%% @doc Python has taken so many events of so many bytes (of payload); `error' when it has not got as many.
-spec taken(term(), term(), flow()) -> {ok, flow()} | error.
taken(Taken, TakenBytes, #flow{count = Count, bytes = Bytes} = Flow)
        when is_integer(Taken), Taken >= 0, Taken =< Count,
             is_integer(TakenBytes), TakenBytes >= 0, TakenBytes =< Bytes ->
    {ok, Flow#flow{count = Count - Taken, bytes = Bytes - TakenBytes}};
taken(_, _, _) ->
    error.
