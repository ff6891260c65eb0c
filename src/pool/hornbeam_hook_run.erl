%%% One call of a hook, whoever calls it and whoever handles it: its value, or the stream of its values.
%%%
%%% Called by: hornbeam_hooks (from Erlang), hornbeam_hook_calls (from Python), in the process that waits; on another node by name, through
%%% hornbeam_rpc. Calls: hornbeam_hook_registry (who handles it), hornbeam_call_stream (a Python process: `perform' frames with the target
%%% "name NUL action", which hooks.py finds), hornbeam_pool_choice (the least loaded of the workers that have registered it).
%%%
%%% Python. A call takes a place of the worker, and ?NESTED more than max_concurrency are to be had: its caller is often a request
%%% that holds a place of the same workers, and if hooks waited for those, requests that call them could wait for each other for ever. What is
%%% more is refused at once. Only while no worker that has registered it takes calls (all have just died) a call waits, as requests do.
%%%
%%% Erlang. The function runs in the calling process; {ok, V} is V, {error, R} an error, {ok, Fun} or Fun of no arguments a stream: each call of it
%%% is {value, V}, `done' or {error, R}. What it sends ahead of who takes it is bounded as between workers (hornbeam_credit).
%%%
%%% A stream's process gets {hornbeam_taken, Count} for what was taken. relay/3 is that process where the consumer has a loop of its own, or is on
%%% another node:
%%%
%%%     consumer                                relay
%%%       {Ref, {value, Value, Count}}   ◀─────
%%%       {hornbeam_taken, Count}        ─────▶
%%%       {Ref, done | {error, Failure}} ◀───── the last one
%%%
%%% It ends when its consumer does, and so does what it runs.
-module(hornbeam_hook_run).

-export([call/1, stream/2, relay/3, call_at/2, stream_at/3, begin_at/2, next/1, stop/1, is_action/1]).
-export_type([job/0, failure/0, value/0, relayed/0]).

-include("hornbeam.hrl").

-define(STREAM, 1).
-define(FOR_ERLANG, 2).
-define(NESTED, 1000).
-define(MAX_ACTION, 255).
%% The longest that Erlang's timers take.
-define(MAX_MS, 16#ffffffff).
%% How long another node may take to begin a stream.
-define(BEGIN, 15000).

%% for: in which form values are wanted. timeout: of a stream, for each next value. down: the monitor of the consumer (relay/3).
-type job() :: #{name := binary(), action := binary(), input := {envelope, binary()} | {terms, [term()], map()}, for := erlang | python,
                 timeout := timeout(), down => reference()}.
%% For Erlang a term; for Python an envelope (envelope.py).
-type value() :: term() | iodata().
%% reason: the {error, Reason} that a function of Erlang's returned; raised: its exception. python: what Python raised.
-type failure() :: not_found | timeout | overloaded | unavailable | {reason, term()}
                 | {raised, error | exit | throw, Reason :: term(), Stack :: list()}
                 | {python, Class :: binary(), Message :: binary(), Traceback :: binary()}
                 | {not_encodable, hornbeam_msgpack:part()} | {wrong, Text :: binary()}.

-record(relayed, {pid :: pid(), ref :: reference(), monitor :: reference()}).
-opaque relayed() :: #relayed{}.

%% @doc Whether a text can be an action.
-spec is_action(term()) -> boolean().
is_action(Action) ->
    is_binary(Action) andalso byte_size(Action) =< ?MAX_ACTION andalso binary:match(Action, <<0>>) =:= nomatch.

%% @doc Calls a hook for its value.
-spec call(job()) -> {ok, value()} | {error, failure()}.
call(#{name := Name} = Job) ->
    case hornbeam_hook_registry:find(Name) of
        {erlang, Callable} -> erlang_value(run(Callable, Job), Job);
        {Python, Slots} -> python_value(Python, Slots, Job);
        error -> {error, not_found}
    end.

erlang_value({value, Value}, Job) -> out(Value, Job);
erlang_value({stream, _}, _Job) -> {error, {wrong, <<"the hook has a stream of values: iterate over it">>}};
erlang_value(Error, _Job) -> Error.

python_value(Python, Slots, Job) ->
    case started(value, Python, Slots, Job) of
        {ok, Stream} ->
            case hornbeam_call_stream:await(Stream) of
                {done, Packed} -> received(Packed, Job);
                {error, Failure} -> {error, failure(Failure)}
            end;
        Error ->
            Error
    end.

%% @doc Calls a hook for a stream of values, each of which is given to Send with what it counts. The calling process gets {hornbeam_taken, Count}.
-spec stream(job(), fun((value(), Count :: pos_integer()) -> term())) -> done | {error, failure()}.
stream(#{name := Name} = Job, Send) ->
    case hornbeam_hook_registry:find(Name) of
        {erlang, Callable} ->
            case run(Callable, Job) of
                {stream, Next} -> generate(Next, 0, Job, Send);
                {value, _} -> {error, {wrong, <<"the hook has no stream of values but one">>}};
                Error -> Error
            end;
        {Python, Slots} ->
            case started(stream, Python, Slots, Job) of
                {ok, Stream} -> pass_on(Stream, hornbeam_call_stream:ref(Stream), Job, Send);
                Error -> Error
            end;
        error ->
            {error, not_found}
    end.

%%% Erlang's functions

run(Callable, Job) ->
    case in(Job) of
        {ok, Arguments, Keywords} -> told(guarded(Callable, [maps:get(action, Job), Arguments, Keywords]));
        Error -> Error
    end.

guarded(Callable, Arguments) ->
    try {returned, applied(Callable, Arguments)}
    catch Class:Reason:Stack -> {error, {raised, Class, Reason, Stack}}
    end.

applied({Module, Function}, Arguments) -> apply(Module, Function, Arguments);
applied(Fun, Arguments) -> apply(Fun, Arguments).

told({returned, {ok, Next}}) when is_function(Next, 0) -> {stream, Next};
told({returned, Next}) when is_function(Next, 0) -> {stream, Next};
told({returned, {ok, Value}}) -> {value, Value};
told({returned, {error, Reason}}) -> {error, {reason, Reason}};
told({returned, Value}) -> {value, Value};
told(Error) -> Error.

generate(Next, Uncredited, Job, Send) ->
    case guarded(Next, []) of
        {returned, {value, Value}} ->
            case out(Value, Job) of
                {ok, Out} ->
                    Count = hornbeam_credit:message(size_of(Out, Job)),
                    Before = credited(Uncredited, Job),
                    _ = Send(Out, Count),
                    generate(Next, Before + Count, Job, Send);
                Error ->
                    Error
            end;
        {returned, done} -> done;
        {returned, {error, Reason}} -> {error, {reason, Reason}};
        {returned, _} -> {error, {wrong, <<"a stream's function returns {value, V}, done or {error, R}">>}};
        Error -> Error
    end.

size_of(Out, #{for := python}) -> iolist_size(Out);
size_of(Out, #{for := erlang}) -> erlang:external_size(Out).

%% Waits until more may be sent; what has come meanwhile counts, too.
credited(Uncredited, Job) ->
    Wait = case hornbeam_credit:may_send(Uncredited, window()) of true -> 0; false -> infinity end,
    receive
        {hornbeam_taken, Count} -> credited(Uncredited - Count, Job);
        {'DOWN', Down, process, _, _} when Down =:= map_get(down, Job) -> exit(normal)
    after Wait ->
        Uncredited
    end.

window() ->
    262144.

%%% Python's handlers

started(Kind, {python, Pool, Window, MaxLoad}, Slots, #{name := Name, action := Action, for := For, timeout := Timeout} = Job) ->
    Flags = case Kind of stream -> ?STREAM; value -> 0 end bor case For of erlang -> ?FOR_ERLANG; python -> 0 end,
    Target = <<Name/binary, 0, Action/binary>>,
    case envelope(Job) of
        {ok, Envelope} ->
            Open = fun(Id, Left) -> hornbeam_frame:perform(Id, {Flags, left(Left)}, Target, Envelope) end,
            Take = fun(Where) -> take(Where, Name, Pool, MaxLoad, Slots) end,
            {ok, hornbeam_call_stream:start(#{pool => Pool, take => Take, kind => Kind, timeout => Timeout, window => Window,
                                              caller => none, open => Open})};
        Error ->
            Error
    end.

left(infinity) -> 0;
left(Left) -> max(1, min(Left, ?MAX_MS)).

%% The first try is with what was found, a further one with who is there then. One that has waited does not wait again: another worker of the
%% pool, which has not registered the hook, may be what it was woken for, and would be again and again.
take(back, _Name, Pool, MaxLoad, Slots) ->
    taken(Pool, MaxLoad, Slots);
take(front, Name, Pool, MaxLoad, _Slots) ->
    case hornbeam_hook_registry:find(Name) of
        {{python, Pool, _, _}, Slots} ->
            case taken(Pool, MaxLoad, Slots) of
                none -> {error, worker_died};
                Taken -> Taken
            end;
        _ ->
            {error, not_found}
    end.

taken(Pool, MaxLoad, Slots) ->
    Sorted = list_to_tuple(lists:keysort(#slot.number, Slots)),
    Turn = fun() -> erlang:unique_integer([positive]) end,
    case Slots =/= [] andalso hornbeam_pool_choice:take(call, Sorted, Turn, MaxLoad + ?NESTED) of
        {ok, _, _, _} = Place -> Place;
        _ -> nobody(Pool, hornbeam_pool_choice:load(Sorted))
    end.

%% Either they are full, or there is none at the moment. Where others of the pool are there that have not registered it, none will come.
nobody(_Pool, {Open, _}) when Open > 0 ->
    {error, overloaded};
nobody(Pool, _) ->
    case hornbeam_pool:stats(Pool) of
        #{ready := 0} -> none;
        _ -> {error, not_found}
    end.

pass_on(Stream, Ref, Job, Send) ->
    receive
        {Ref, {value, Packed}} ->
            case received(Packed, Job) of
                {ok, Value} ->
                    _ = Send(Value, hornbeam_credit:message(byte_size(Packed))),
                    pass_on(Stream, Ref, Job, Send);
                Error ->
                    ok = hornbeam_call_stream:stop(Stream),
                    Error
            end;
        {Ref, _} = Message ->
            ended(hornbeam_call_stream:event(Message, Stream));
        {hornbeam_taken, Count} ->
            ok = hornbeam_call_stream:taken(Count, Stream),
            pass_on(Stream, Ref, Job, Send);
        {'DOWN', Down, process, _, _} when Down =:= map_get(down, Job) ->
            exit(normal);
        {'DOWN', _, process, _, _} = Message ->
            case hornbeam_call_stream:event(Message, Stream) of
                ignore -> pass_on(Stream, Ref, Job, Send);
                Event -> ended(Event)
            end
    end.

ended({done, _}) -> done;
ended({error, Failure}) -> {error, failure(Failure)}.

failure(worker_died) -> unavailable;
failure(no_pool) -> unavailable;
failure({python, <<"hornbeam_worker.performance.GivenUpError">>, _, _}) -> timeout;
failure({python, <<"hornbeam_worker.hooks.NotRegisteredError">>, _, _}) -> not_found;
failure(Failure) -> Failure.

%%% Values on their way

%% Arguments for a function of Erlang's.
in(#{input := {terms, Arguments, Keywords}}) ->
    {ok, Arguments, Keywords};
in(#{input := {envelope, <<0:32, Packed/binary>>}}) ->
    case hornbeam_msgpack:decode(Packed) of
        {ok, [Arguments, Keywords | Trace]} when is_list(Arguments), is_map(Keywords) ->
            ok = hornbeam_trace_context:join(Trace),
            {ok, Arguments, Keywords};
        _ -> {error, {wrong, <<"the arguments could not be decoded">>}}
    end;
in(_WithBuffers) ->
    {error, {wrong, <<"buffers cannot travel to a hook in Erlang on another node">>}}.

%% Arguments for Python.
envelope(#{input := {envelope, Envelope}}) ->
    {ok, Envelope};
envelope(#{input := {terms, Arguments, Keywords}}) ->
    packed([Arguments, Keywords | hornbeam_trace_context:current()]).

packed(Term) ->
    case hornbeam_msgpack:try_encode(Term) of
        {ok, Packed} ->
            case iolist_size(Packed) > hornbeam_frame:max_size() - 4096 of
                false -> {ok, [<<0:32>> | Packed]};
                true -> {error, {not_encodable, too_big}}
            end;
        Error ->
            Error
    end.

%% A value of Erlang's for the caller, and one of Python's.
out(Value, #{for := erlang}) -> {ok, Value};
out(Value, #{for := python}) -> packed(Value).

received(Packed, #{for := erlang}) -> hornbeam_call:decoded(Packed);
received(Packed, #{for := python}) -> {ok, Packed}.

%%% Other processes, other nodes

%% @doc Begins a stream in a process of its own, for a consumer.
-spec relay(Consumer :: pid(), reference(), job()) -> pid().
relay(Consumer, Ref, Job) ->
    {ok, Pid} = hornbeam_call_sup:start_call(fun() ->
        Down = monitor(process, Consumer),
        Consumer ! {Ref, stream(Job#{down => Down}, fun(Value, Count) -> Consumer ! {Ref, {value, Value, Count}} end)}
    end),
    Pid.

%% @doc As call/1, on a node.
-spec call_at(node(), job()) -> {ok, value()} | {error, failure() | noconnection}.
call_at(Node, #{timeout := Timeout} = Job) ->
    case hornbeam_rpc:call(Node, ?MODULE, call, [Job], Timeout) of
        {ok, Answer} -> Answer;
        {error, Failure} -> {error, failed(Failure)}
    end.

%% @doc Begins a stream, on a node, for the calling process.
-spec begin_at(node(), job()) -> {ok, relayed()} | {error, failure() | noconnection}.
begin_at(Node, #{name := Name} = Job) when Node =:= node() ->
    Ref = make_ref(),
    case hornbeam_hook_registry:find(Name) of
        error -> {error, not_found};
        _ -> {ok, relayed(relay(self(), Ref, Job), Ref)}
    end;
begin_at(Node, Job) ->
    Ref = make_ref(),
    case hornbeam_rpc:call(Node, ?MODULE, relay, [self(), Ref, Job], ?BEGIN) of
        {ok, Pid} -> {ok, relayed(Pid, Ref)};
        {error, Failure} -> {error, failed(Failure)}
    end.

relayed(Pid, Ref) ->
    #relayed{pid = Pid, ref = Ref, monitor = monitor(process, Pid)}.

failed({Class, Reason, Stack}) -> {raised, Class, Reason, Stack};
failed(Reason) -> Reason.

%% @doc Waits for what comes next of it. A value counts as taken.
-spec next(relayed()) -> {value, value()} | done | {error, failure() | noconnection}.
next(Relayed) ->
    case event(Relayed) of
        {value, Value, Count} -> ok = tell_taken(Count, Relayed), {value, Value};
        Last -> Last
    end.

%% {hornbeam_taken, Count}, which the process of an operation gets, is for the relay.
event(#relayed{ref = Ref, monitor = Monitor} = Relayed) ->
    receive
        {Ref, {value, _, _} = Value} -> Value;
        {Ref, Last} -> true = demonitor(Monitor, [flush]), Last;
        {hornbeam_taken, Count} -> ok = tell_taken(Count, Relayed), event(Relayed);
        {'DOWN', Monitor, process, _, noconnection} -> {error, noconnection};
        {'DOWN', Monitor, process, _, _} -> {error, unavailable}
    end.

tell_taken(Count, #relayed{pid = Pid}) ->
    Pid ! {hornbeam_taken, Count},
    ok.

%% @doc As stream/2, on a node.
-spec stream_at(node(), job(), fun((value(), pos_integer()) -> term())) -> done | {error, failure() | noconnection}.
stream_at(Node, Job, Send) ->
    case begin_at(Node, Job) of
        {ok, Relayed} -> each(Relayed, Send);
        Error -> Error
    end.

each(Relayed, Send) ->
    case event(Relayed) of
        {value, Value, Count} -> _ = Send(Value, Count), each(Relayed, Send);
        Last -> Last
    end.

%% @doc Wants no more of it. Nothing of it is left in the mailbox.
-spec stop(relayed()) -> ok.
stop(#relayed{pid = Pid, ref = Ref, monitor = Monitor}) ->
    true = exit(Pid, kill),
    receive {'DOWN', Monitor, process, _, _} -> ok end,
    hornbeam_call_stream:forget(Ref).
