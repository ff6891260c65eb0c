%%% What one Python process asks Erlang for, and the answers: its calls, its `demand', published messages.
%%%
%%% Owns the state of its services, what waits (hornbeam_worker_backlog), and the answers that are not written yet: one read is
%%% answered by one write. Called by: hornbeam_worker_session, for the life of one Python process; it passes on
%%% every message that it does not know, and `room'. Calls: hornbeam_services, hornbeam_worker_backlog, hornbeam_python.
%%%
%%% A `demand' frame only waits here, like a call: credit that a client gets for it comes back as bytes for Python.
-module(hornbeam_worker_calls).

-export([new/3, read/2, asked/2, resume/1, info/2, flush/1, stop/1]).
-export_type([calls/0]).

%% Answers are collected up to so many bytes.
-define(OUT, 65536).

-record(calls, {
    port :: port(),
    services :: hornbeam_services:state(),
    backlog :: hornbeam_worker_backlog:backlog(),
    out = {0, []} :: {non_neg_integer(), [iodata()]}    % bytes; newest first
}).
-opaque calls() :: #calls{}.

%% The `demand' frames whose turn it is now; or what was wrong.
-type dealt() :: {ok, [hornbeam_frame:frame()], calls()} | {broken, Reason :: term()}.

-spec new(port(), Worker :: pos_integer(), Settings :: map()) -> calls().
new(Port, Number, #{max_worker_backlog := Max} = Settings) ->
    %% A port that has just closed has nothing in it.
    Ask = fun(Item) ->
        case erlang:port_info(Port, Item) of
            {Item, Bytes} -> Bytes;
            undefined -> 0
        end
    end,
    #calls{port = Port, services = hornbeam_services:new(Number, Settings), backlog = hornbeam_worker_backlog:new(Ask, Max)}.

%% @doc So many bytes have come from Python.
-spec read(non_neg_integer(), calls()) -> {ok, calls()} | {broken, Reason :: term()}.
read(Size, #calls{backlog = Backlog0} = Calls) ->
    case hornbeam_worker_backlog:read(Size, Backlog0) of
        {ok, Backlog} -> {ok, Calls#calls{backlog = Backlog}};
        Broken -> Broken
    end.

%% @doc A `call' or `demand' frame: it is dealt with, or waits while Python does not read what it has got.
-spec asked(hornbeam_frame:frame(), calls()) -> dealt().
asked(Frame, #calls{backlog = Backlog0} = Calls) ->
    case hornbeam_worker_backlog:admit(Frame, Backlog0) of
        {now, Backlog} -> act(Frame, Calls#calls{backlog = Backlog});
        {later, Backlog} -> {ok, [], Calls#calls{backlog = Backlog}};
        Broken -> Broken
    end.

act({call, Id, Payload}, #calls{services = Services0} = Calls) ->
    case hornbeam_services:call(Id, Payload, Services0) of
        {reply, Frame, Services} -> {ok, [], answer(Frame, Calls#calls{services = Services})};
        {noreply, Services} -> {ok, [], Calls#calls{services = Services}};
        {broken, Reason} -> {broken, {bad_frame, Reason}}
    end;
act({demand, _, _} = Frame, Calls) ->
    {ok, [Frame], Calls}.

%% @doc The message `room': what has waited, as far as there is room now.
-spec resume(calls()) -> dealt().
resume(Calls) ->
    resume(Calls, []).

resume(#calls{backlog = Backlog0} = Calls0, Demands) ->
    case hornbeam_worker_backlog:next(Backlog0) of
        {none, Backlog} ->
            {ok, lists:append(lists:reverse(Demands)), flush(Calls0#calls{backlog = Backlog})};
        {Frame, Backlog} ->
            case act(Frame, Calls0#calls{backlog = Backlog}) of
                {ok, Demand, Calls} -> resume(Calls, [Demand | Demands]);
                Broken -> Broken
            end
    end.

%% @doc Messages of others that mean a frame for Python: what was published, and answers of calls that took a process.
-spec info(Message :: term(), calls()) -> calls().
info({hornbeam_pubsub, _, _} = Message, #calls{services = Services, backlog = Backlog0} = Calls) ->
    case hornbeam_worker_backlog:room(event, Backlog0) of
        {true, Backlog} -> told(Message, fun answer/2, Calls#calls{backlog = Backlog});
        {false, Backlog} -> Calls#calls{services = hornbeam_services:lost(Services), backlog = Backlog}
    end;
info(Message, Calls) ->
    told(Message, fun fitting/2, Calls).

told(Message, Add, #calls{services = Services0} = Calls) ->
    {Frames, Services} = hornbeam_services:handle_info(Message, Services0),
    flush(lists:foldl(Add, Calls#calls{services = Services}, Frames)).

fitting(Frame, #calls{backlog = Backlog0} = Calls) ->
    case hornbeam_worker_backlog:room({answer, hornbeam_frame:size(Frame)}, Backlog0) of
        {true, Backlog} -> answer(Frame, Calls#calls{backlog = Backlog});
        {false, Backlog} -> answer(hornbeam_answer:refusal(Frame), Calls#calls{backlog = Backlog})
    end.

answer(Frame, #calls{out = {Size0, Frames}, backlog = Backlog} = Calls) ->
    Size = hornbeam_frame:size(Frame),
    Added = Calls#calls{out = {Size0 + Size, [Frame | Frames]}, backlog = hornbeam_worker_backlog:wrote(Size, Backlog)},
    case Size0 + Size > ?OUT of
        true -> flush(Added);
        false -> Added
    end.

%% @doc Writes the answers that have been collected.
-spec flush(calls()) -> calls().
flush(#calls{out = {0, []}} = Calls) ->
    Calls;
flush(#calls{port = Port, out = {_, Frames}} = Calls) ->
    ok = hornbeam_python:write(Port, lists:reverse(Frames)),
    Calls#calls{out = {0, []}}.

%% @doc The Python process has ended.
-spec stop(calls()) -> ok.
stop(#calls{services = Services}) ->
    hornbeam_services:stop(Services).
