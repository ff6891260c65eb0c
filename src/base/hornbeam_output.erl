%%% Writes lines to standard output or standard error, and nobody ever waits for whoever reads it.
%%%
%%% Called by: hornbeam_log (what is logged, standard error), hornbeam_access_log (standard output). One process for each; OTP's
%%% driver of descriptors ("fd") does the writing, in a port of its own.
%%%
%%% A reader that stands still suspends this process alone, and blocks one of the VM's async threads, in which the driver writes to
%%% what is no terminal (so there are several: vm.py, vm.args). What waits for it meanwhile is bounded by ?MAX_QUEUED bytes (an atomic
%%% counter); what does not fit is dropped and counted by whoever brings it.
%%%
%%% Failure modes: the descriptor takes nothing more (the reader has gone, the disk is full): the port ends, what it had is counted
%%% as dropped, and a new one is opened when something comes ?AGAIN ms later. Its first byte is then a line break, since the
%%% last line may have been cut. This process ends with whoever has linked itself to it.
-module(hornbeam_output).
-behaviour(gen_server).

-export([open/3, write/3, drop/2, has_room/1, pid/1, sync/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).
-export_type([output/0, report/0, counter/0]).

-define(MAX_QUEUED, 8388608).
%% What a line in the queue costs besides its text.
-define(OVERHEAD, 200).
%% How much is given to the port at once.
-define(BATCH, 65536).
-define(AGAIN, 1000).
-define(SYNC_POLL, 5).

%% What is written when lines were dropped, at most once in ?AGAIN ms.
-type report() :: fun((Dropped :: pos_integer()) -> iodata()) | none.
-type counter() :: {atomics:atomics_ref(), Index :: pos_integer()}.
-record(output, {
    pid :: pid(),
    queued :: counter(),        % bytes
    dropped :: counter()        % lines
}).
-opaque output() :: #output{}.

-record(state, {
    descriptor :: 1 | 2,
    queued :: counter(),
    dropped :: counter(),
    report :: report(),
    port = none :: port() | none,
    ending = <<>> :: binary(),              % of a line that may have been cut
    given = 0 :: non_neg_integer(),         % lines that the port was given last
    closed_at :: integer() | undefined,     % monotonic ms
    reported = 0 :: non_neg_integer(),      % dropped lines that were spoken of
    reported_at :: integer() | undefined    % monotonic ms
}).

%% @doc Dropped: where lost lines are counted.
-spec open(Descriptor :: 1 | 2, report(), Dropped :: counter()) -> output().
open(Descriptor, Report, Dropped) ->
    Queued = {atomics:new(1, []), 1},
    State = #state{descriptor = Descriptor, queued = Queued, dropped = Dropped, report = Report},
    {ok, Pid} = gen_server:start(?MODULE, State, [{spawn_opt, [{message_queue_data, off_heap}]}]),
    #output{pid = Pid, queued = Queued, dropped = Dropped}.

-spec pid(output()) -> pid().
pid(#output{pid = Pid}) ->
    Pid.

%% @doc Text is so many whole lines. Returns at once; where there is no room they are dropped.
-spec write(output(), Lines :: pos_integer(), Text :: iodata()) -> ok.
write(#output{pid = Pid, queued = {Counter, Index}} = Output, Lines, Text) ->
    Size = iolist_size(Text) + ?OVERHEAD,
    case atomics:add_get(Counter, Index, Size) of
        Queued when Queued =< ?MAX_QUEUED ->
            Pid ! {text, Size, Lines, Text},
            ok;
        _ ->
            atomics:sub(Counter, Index, Size),
            drop(Output, Lines)
    end.

%% @doc Counts lines that were not even made, because has_room/1 said no.
-spec drop(output(), Lines :: non_neg_integer()) -> ok.
drop(#output{dropped = {Counter, Index}}, Lines) ->
    atomics:add(Counter, Index, Lines).

-spec has_room(output()) -> boolean().
has_room(#output{queued = {Counter, Index}}) ->
    atomics:get(Counter, Index) < ?MAX_QUEUED.

%% @doc Returns when all that was written before has left the VM, or after Time ms.
-spec sync(output(), Time :: non_neg_integer()) -> ok | timeout.
sync(#output{pid = Pid}, Time) ->
    try gen_server:call(Pid, sync, Time)
    catch exit:{_, _} -> timeout
    end.

%%% The process

-spec init(#state{}) -> {ok, #state{}}.
init(State) ->
    process_flag(trap_exit, true),
    {ok, State}.

-spec handle_call(sync, gen_server:from(), #state{}) -> {noreply, #state{}}.
handle_call(sync, From, State) ->
    {noreply, synced(From, State)}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_info({text, Size, Lines, Text}, #state{queued = {Counter, Index}} = State) ->
    {AllSize, AllLines, Texts} = more(Size, Lines, [Text]),
    Next = put_text(AllLines, lists:reverse(Texts), opened(State)),
    %% After the port has taken it: a text that waits in put_text/3 is still in the queue.
    atomics:sub(Counter, Index, AllSize),
    {noreply, report(Next)};
handle_info({sync, From}, State) ->
    {noreply, synced(From, State)};
handle_info(report, State) ->
    {noreply, report(State)};
handle_info({'EXIT', Port, _Reason}, #state{port = Port, given = Given} = State) ->
    {noreply, (lost(Given, State))#state{port = none, given = 0, ending = <<"\n">>, closed_at = now_ms()}};
handle_info({'EXIT', Port, _Reason}, State) when is_port(Port) ->
    {noreply, State};
handle_info({'EXIT', _Owner, _Reason}, State) ->
    {stop, normal, State};
handle_info(_Message, State) ->
    {noreply, State}.

more(Size, Lines, Texts) when Size >= ?BATCH ->
    {Size, Lines, Texts};
more(Size, Lines, Texts) ->
    receive {text, S, L, Text} -> more(Size + S, Lines + L, [Text | Texts])
    after 0 -> {Size, Lines, Texts}
    end.

opened(#state{port = none, closed_at = ClosedAt, descriptor = Descriptor} = State) ->
    case is_due(ClosedAt) of
        true ->
            try open_port({fd, Descriptor, Descriptor}, [out, binary]) of
                Port -> State#state{port = Port}
            catch
                %% The table of ports is full.
                error:_ -> State#state{closed_at = now_ms()}
            end;
        false ->
            State
    end;
opened(State) ->
    State.

put_text(Lines, _Texts, #state{port = none} = State) ->
    lost(Lines, State);
put_text(Lines, Texts, #state{port = Port, ending = Ending} = State) ->
    %% Suspends this process while the port is busy.
    try erlang:port_command(Port, [Ending | Texts]) of
        true -> State#state{ending = <<>>, given = Lines}
    catch
        %% It has just ended; its exit signal says so.
        error:badarg -> lost(Lines, State)
    end.

lost(Lines, #state{dropped = {Counter, Index}} = State) ->
    atomics:add(Counter, Index, Lines),
    State.

synced(From, #state{port = none} = State) ->
    gen_server:reply(From, ok),
    State;
synced(From, #state{port = Port} = State) ->
    case erlang:port_info(Port, queue_size) of
        {queue_size, Size} when Size > 0 -> _ = erlang:send_after(?SYNC_POLL, self(), {sync, From}), ok;
        _ -> gen_server:reply(From, ok)
    end,
    State.

%% One that is not due yet comes by a timer, since no other line may follow.
report(#state{port = Port, report = Report} = State) when Port =:= none; Report =:= none ->
    State;
report(#state{dropped = {Counter, Index}, reported = Reported, reported_at = At, report = Report} = State) ->
    case atomics:get(Counter, Index) - Reported of
        0 ->
            State;
        New ->
            case is_due(At) of
                true ->
                    Told = put_text(1, [Report(New)], State),
                    Told#state{reported = Reported + New, reported_at = now_ms()};
                false ->
                    _ = erlang:send_after(At + ?AGAIN - now_ms(), self(), report),
                    State
            end
    end.

is_due(undefined) -> true;
is_due(At) -> now_ms() - At >= ?AGAIN.

now_ms() ->
    erlang:monotonic_time(millisecond).
