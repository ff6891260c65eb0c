%%% What one Python process has not read yet, and what it has sent that is not dealt with yet: the two piles that a worker can
%%% make grow by itself.
%%%
%%% Called by: hornbeam_worker_calls, in the worker's process, which gets the message `room' from time to time while something waits here.
%%% Calls: nothing of ours.
%%%
%%% Towards Python. What streams are sent is bounded by their number and their credit (hornbeam_worker_streams).
%%% Answers, published messages and the credit that a client gets for `demand' are not: they are what Python asks for. They
%%% pile up in the port, which never reports itself busy (hornbeam_python). Of its queue, by the option max_worker_backlog:
%%%
%%%     an eighth   calls and demands wait from here on, in order and still encoded, and are dealt with when Python has read
%%%                 on. So a program whose threads ask for large values in a loop is slowed to the speed at which it reads,
%%%                 and the queue is this and one answer (a frame: 64 MiB at most).
%%%     a half      published messages are dropped from here on, and counted (hornbeam_events). An eighth, an answer, and
%%%                 the 32 MiB that hornbeam_events lets out make no more than this at the default of 256 MiB.
%%%     all         the answer of a function that ran in a process of its own is replaced by an error
%%%
%%% From Python. A port cannot be told to wait: it reads whatever is written. What has been read and not dealt with is in the
%%% mailbox of the worker's process, or waits here. More than max_worker_backlog of it is a worker that does not keep to
%%% the protocol, since whoever calls waits for the answer: an honest one has as much as its threads and tasks have calls in
%%% progress, with their arguments (128 threads that each store 2 MB are 256 MB), and a window for each response that has
%%% started. It is killed.
%%%
%%% Cost. The port is asked (250 ns) when as much as still had room was written since it was asked last, and what the
%%% mailbox holds after each ?STEP bytes that were read from it: not per frame.
-module(hornbeam_worker_backlog).

-export([new/2, read/2, wrote/2, room/2, admit/2, next/1]).
-export_type([backlog/0, ask/0]).

%% The port, or what stands for it in a test: queue_size is what was written and not taken, input what was read from it.
-type ask() :: fun((queue_size | input) -> non_neg_integer()).

-define(STEP, 1048576).
%% How often it is looked whether what waits has room, ms: nobody says that Python reads on. Meanwhile Python takes 10 MB (at
%% 1 GB/s), which is less than what was let in at once.
-define(AGAIN, 10).
%% What a frame that waits costs besides its payload.
-define(OVERHEAD, 100).

-record(backlog, {
    ask :: ask(),
    max :: pos_integer(),
    %% Towards Python: no less than what is queued.
    queued = 0 :: non_neg_integer(),
    %% From Python:
    read = 0 :: non_neg_integer(),          % taken from the mailbox, in all
    look_at = ?STEP :: non_neg_integer(),   % the value of `read' at which the mailbox is looked at
    waiting = queue:new() :: queue:queue(hornbeam_frame:frame()),
    held = 0 :: non_neg_integer()           % bytes in `waiting'
}).
-opaque backlog() :: #backlog{}.

-spec new(ask(), Max :: pos_integer()) -> backlog().
new(Ask, Max) ->
    #backlog{ask = Ask, max = Max}.

%% @doc So many bytes have been taken from the mailbox.
-spec read(non_neg_integer(), backlog()) -> {ok, backlog()} | {broken, term()}.
read(Size, #backlog{read = Before, look_at = LookAt} = Backlog) when Before + Size < LookAt ->
    {ok, Backlog#backlog{read = Before + Size}};
read(Size, #backlog{read = Before} = Backlog) ->
    Read = Before + Size,
    checked(Backlog#backlog{read = Read, look_at = Read + ?STEP}).

checked(#backlog{ask = Ask, read = Read, held = Held, max = Max} = Backlog) ->
    case max(0, Ask(input) - Read) + Held of
        Undone when Undone > Max -> {broken, {backlog, Undone, Max}};
        _ -> {ok, Backlog}
    end.

%% @doc So many bytes of answers or messages have been given to the port.
-spec wrote(non_neg_integer(), backlog()) -> backlog().
wrote(Size, #backlog{queued = Queued} = Backlog) ->
    Backlog#backlog{queued = Queued + Size}.

%% @doc Whether there is room: for what a call will be answered with, a message, an answer of so many bytes.
-spec room(call | event | {answer, non_neg_integer()}, backlog()) -> {boolean(), backlog()}.
room(What, #backlog{queued = Queued, ask = Ask, max = Max} = Backlog) ->
    case fits(What, Queued, Max) of
        true ->
            {true, Backlog};
        false ->
            Now = Ask(queue_size),
            {fits(What, Now, Max), Backlog#backlog{queued = Now}}
    end.

fits(call, Queued, Max) -> Queued * 8 < Max;
fits(event, Queued, Max) -> Queued * 2 < Max;
%% One alone always fits.
fits({answer, Size}, Queued, Max) -> Queued =:= 0 orelse Queued + Size =< Max.

%% @doc What Python asks for: it is dealt with now, or kept here.
-spec admit(hornbeam_frame:frame(), backlog()) -> {now | later, backlog()} | {broken, term()}.
admit(Frame, #backlog{held = 0} = Backlog) ->
    case room(call, Backlog) of
        {true, Asked} -> {now, Asked};
        {false, Asked} -> look_again(), wait(Frame, Asked)
    end;
admit(Frame, Backlog) ->
    wait(Frame, Backlog).

%% Copied where it is a small part of what one read brought.
wait({Type, Id, Payload0}, #backlog{waiting = Waiting, held = Held} = Backlog) ->
    Payload = case binary:referenced_byte_size(Payload0) > 2 * byte_size(Payload0) of
        true -> binary:copy(Payload0);
        false -> Payload0
    end,
    case checked(Backlog#backlog{waiting = queue:in({Type, Id, Payload}, Waiting),
                                 held = Held + byte_size(Payload) + ?OVERHEAD}) of
        {ok, Later} -> {later, Later};
        Broken -> Broken
    end.

look_again() ->
    _ = erlang:send_after(?AGAIN, self(), room),
    ok.

%% @doc The frame that has waited longest and has room now.
-spec next(backlog()) -> {hornbeam_frame:frame() | none, backlog()}.
next(#backlog{held = 0} = Backlog) ->
    {none, Backlog};
next(Backlog) ->
    case room(call, Backlog) of
        {false, Asked} ->
            look_again(),
            {none, Asked};
        {true, #backlog{waiting = Waiting, held = Held} = Asked} ->
            {{value, {_, _, Payload} = Frame}, Rest} = queue:out(Waiting),
            {Frame, Asked#backlog{waiting = Rest, held = Held - byte_size(Payload) - ?OVERHEAD}}
    end.
