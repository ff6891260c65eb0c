%%% What Python can ask of Erlang: one table, operation -> service.
%%%
%%% Called by: hornbeam_worker, in its process, for each `call' frame and for every message that the worker does
%%% not know. Calls: the modules named in the table, hornbeam_running, hornbeam_events. The table's
%%% mirror is hornbeam_erlang/_operations.py; test/wire_vectors.json ("operations") holds the two together.
%%%
%%% A service answers at once if it only touches tables of this node. What may take longer it returns as
%%% a fun: {run, Timeout, Fun} is answered with the fun's answer, {start, Timeout, Fun} at once. The fun runs in a
%%% process of its own (hornbeam_running): a worker's process never waits.
%%%
%%% The id of a call is Python's; 0 says that no reply is wanted.
-module(hornbeam_services).

-export([new/2, call/3, handle_info/2, stop/1, operations/0, raised/3]).
-export_type([state/0, answer/0, outcome/0]).

-record(services, {
    worker :: pos_integer(),
    settings :: map(),
    running = hornbeam_running:new() :: hornbeam_running:calls(),
    events = hornbeam_events:new() :: hornbeam_events:flow()
}).
-opaque state() :: #services{}.

%% What Python gets: a value; that there is none (Python then takes the caller's default); an error, by
%% the exception that it becomes, with its text or, for erlang_error, [Class, Reason, Text, Stack].
-type answer() :: {ok, term()} | absent | {error, error_kind(), term()}.
-type error_kind() :: type_error | value_error | permission_error | connection_error | timeout
                    | not_registered | erlang_error.
-type outcome() :: answer() | {run | start, timeout(), fun(() -> answer())}.

-callback handle(Operation :: atom(), Arguments :: [term()], Settings :: map()) -> outcome().

-define(OK, 0).
-define(ERROR, 1).
-define(ABSENT, 2).

-spec new(Worker :: pos_integer(), Settings :: map()) -> state().
new(Worker, Settings) ->
    #services{worker = Worker, settings = Settings}.

%% The table: code -> operation and the module that handles it. The `flow' ones change this module's state.
operation(1) -> {state_get, hornbeam_service_state};
operation(2) -> {state_set, hornbeam_service_state};
operation(3) -> {state_delete, hornbeam_service_state};
operation(4) -> {state_incr, hornbeam_service_state};
operation(5) -> {state_get_multi, hornbeam_service_state};
operation(6) -> {state_keys, hornbeam_service_state};
operation(7) -> {state_items, hornbeam_service_state};
operation(8) -> {state_add, hornbeam_service_state};
operation(9) -> {state_cas, hornbeam_service_state};
operation(10) -> {state_pop, hornbeam_service_state};
operation(20) -> {publish, hornbeam_service_pubsub};
operation(21) -> {subscribe, hornbeam_service_pubsub};
operation(22) -> {unsubscribe, hornbeam_service_pubsub};
operation(30) -> {call, hornbeam_service_callbacks};
operation(31) -> {cast, hornbeam_service_callbacks};
operation(40) -> {rpc_call, hornbeam_service_rpc};
operation(41) -> {rpc_cast, hornbeam_service_rpc};
operation(42) -> {nodes, hornbeam_service_rpc};
operation(43) -> {node, hornbeam_service_rpc};
operation(44) -> {connect, hornbeam_service_rpc};
operation(45) -> {ping, hornbeam_service_rpc};
operation(60) -> {cancel, flow};
operation(61) -> {events_taken, flow};
operation(_) -> unknown.

%% @doc The table's names and codes, for the test that compares it with Python's.
-spec operations() -> #{binary() => byte()}.
operations() ->
    maps:from_list([{atom_to_binary(Name), Code}
                    || Code <- lists:seq(0, 255), {Name, _} <- [operation(Code)]]).

%% @doc Answers a call frame's payload: operation:u8, msgpack array of arguments.
-spec call(non_neg_integer(), binary(), state()) -> {reply, iodata(), state()} | {noreply, state()}.
call(Id, <<Code, Packed/binary>>, Services) ->
    case hornbeam_msgpack:decode(Packed) of
        {ok, Arguments} when is_list(Arguments) ->
            handle(operation(Code), Arguments, Id, Services);
        Other ->
            Text = io_lib:format("the arguments could not be decoded: ~0tp", [Other]),
            answer(Id, {error, value_error, unicode:characters_to_binary(Text)}, Services)
    end;
call(Id, <<>>, Services) ->
    answer(Id, {error, value_error, <<"an empty call">>}, Services).

handle({cancel, flow}, [Call], _Id, #services{running = Running} = Services) ->
    {noreply, Services#services{running = hornbeam_running:cancel(Call, Running)}};
handle({events_taken, flow}, [Count, Bytes], _Id, #services{events = Events} = Services) ->
    {noreply, Services#services{events = hornbeam_events:taken(Count, Bytes, Events)}};
handle({Name, Module}, Arguments, Id, #services{settings = Settings} = Services) ->
    Outcome = try Module:handle(Name, Arguments, Settings)
    catch Class:Reason:Stack -> raised(Class, Reason, Stack)
    end,
    outcome(Id, Outcome, Services);
handle(unknown, _Arguments, Id, Services) ->
    answer(Id, {error, value_error, <<"there is no such operation">>}, Services).

outcome(Id, {run, Timeout, Fun}, Services) ->
    case start(Id, Timeout, Fun, Services) of
        {ok, Started} -> {noreply, Started};
        Error -> answer(Id, Error, Services)
    end;
outcome(Id, {start, Timeout, Fun}, Services) ->
    case start(0, Timeout, Fun, Services) of
        {ok, Started} -> answer(Id, {ok, none}, Started);
        Error -> answer(Id, Error, Services)
    end;
outcome(Id, Answer, Services) ->
    answer(Id, Answer, Services).

start(Id, Timeout, Fun, #services{running = Running} = Services) ->
    case hornbeam_running:start(Id, Timeout, Fun, Running) of
        {ok, Calls} -> {ok, Services#services{running = Calls}};
        {error, Reason} -> raised(error, Reason, [])
    end.

%% @doc Messages that the worker does not know: answers of calls that took a process, deadlines, and
%% what was published.
-spec handle_info(term(), state()) -> {[iodata()], state()}.
handle_info({hornbeam_pubsub, Topic, Message}, #services{events = Events0} = Services) ->
    {Frames, Events} = hornbeam_events:published(Topic, Message, Events0),
    {Frames, Services#services{events = Events}};
handle_info(Message, #services{running = Running} = Services) ->
    case hornbeam_running:handle_info(Message, Running) of
        {answer, 0, {error, Kind, What}, Calls} ->
            logger:warning("worker ~b: a cast ended with ~ts: ~0tp",
                           [Services#services.worker, Kind, What]),
            {[], Services#services{running = Calls}};
        {answer, 0, _, Calls} ->
            {[], Services#services{running = Calls}};
        {answer, Id, Answer, Calls} ->
            {[reply(Id, Answer)], Services#services{running = Calls}};
        ignore ->
            {[], Services}
    end.

%% @doc The Python process has ended: its calls and its subscriptions end too.
-spec stop(state()) -> ok.
stop(#services{running = Running}) ->
    ok = hornbeam_running:stop(Running),
    hornbeam_pubsub:unsubscribe_all().

%%% Answers

answer(0, _Answer, Services) ->
    {noreply, Services};
answer(Id, Answer, Services) ->
    {reply, reply(Id, Answer), Services}.

reply(Id, absent) ->
    hornbeam_frame:encode(reply, Id, [?ABSENT]);
reply(Id, {ok, Value}) ->
    case encode(Value) of
        {ok, Packed} -> hornbeam_frame:encode(reply, Id, [?OK | Packed]);
        Error -> reply(Id, Error)
    end;
reply(Id, {error, Kind, What}) ->
    hornbeam_frame:encode(reply, Id, [?ERROR | hornbeam_msgpack:encode([Kind, What])]).

encode(Value) ->
    case hornbeam_msgpack:try_encode(Value) of
        {ok, Packed} ->
            case iolist_size(Packed) + 64 > hornbeam_frame:max_size() of
                false -> {ok, Packed};
                true -> {error, value_error, <<"the answer is longer than a frame may be (64 MiB)">>}
            end;
        {error, {not_encodable, Part}} ->
            Text = io_lib:format("the answer has a part that cannot travel to Python: ~0tP", [Part, 20]),
            {error, type_error, unicode:characters_to_binary(Text)}
    end.

%% @doc An exception of Erlang's as an answer: the reason as a value where it can travel, and as text.
-spec raised(error | exit | throw, term(), list()) -> {error, erlang_error, [term()]}.
raised(Class, Reason, Stack) ->
    Text = unicode:characters_to_binary(io_lib:format("~0tP", [Reason, 60])),
    Value = case hornbeam_msgpack:try_encode(Reason) of
        {ok, Packed} ->
            case iolist_size(Packed) < 65536 of
                true -> Reason;
                false -> Text
            end;
        {error, _} ->
            Text
    end,
    {error, erlang_error, [Class, Value, Text, stack_text(Class, Reason, Stack)]}.

stack_text(_Class, _Reason, []) ->
    <<>>;
stack_text(Class, Reason, Stack) ->
    Text = erl_error:format_exception(Class, Reason, lists:sublist(Stack, 20)),
    Shown = unicode:characters_to_binary(Text),
    binary:part(Shown, 0, min(byte_size(Shown), 65536)).
