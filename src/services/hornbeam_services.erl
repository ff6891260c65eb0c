%%% What Python can ask of Erlang: one table, operation -> service.
%%%
%%% Called by: hornbeam_worker_calls, in the worker's process, for each `call' frame and for every message that the worker does
%%% not know. Calls: the modules named in the table, hornbeam_running, hornbeam_asked, hornbeam_cache and hornbeam_layer (left/1), hornbeam_events, hornbeam_hook_registry,
%%% hornbeam_answer. The table's mirror is hornbeam_erlang/_operations.py; test/wire_vectors.json ("operations") holds the two together.
%%%
%%% A service answers at once if it only touches tables of this node. What may take longer it returns as
%%% a fun: {run, Timeout, Fun} is answered with the fun's answer, {start, Timeout, Fun} at once; {walk, Timeout, Fun} as `run',
%%% for what looks at a whole table; {stream, Timeout, Fun} as `run', for what has many values (hornbeam_running). The fun runs in a process of
%%% its own: a worker's process never waits.
%%% {ask, Question} is for what a gen_server answers that waits for nobody (hornbeam_asked).
%%% {later, Ask} is for what another process answers, by a message: {hornbeam_later, Session, Id, Answer}. A session is the life of one
%%% Python process, so no answer reaches the one after it, which numbers its calls alike.
%%%
%%% The id of a call is Python's; 0 says that no reply is wanted.
%%%
%%% A call that makes no sense (an operation that is not there, arguments of other types than _requests.py sends) is answered
%%% with an error; where there is nobody to answer (the `flow' operations) the worker is broken.
%%%
%%% Limits, for one Python process: ?MAX_SUBSCRIBED bytes of topics that it subscribes to; hornbeam_running; hornbeam_asked; hornbeam_events.
-module(hornbeam_services).

-export([new/2, call/3, handle_info/2, lost/1, stop/1, operations/0]).
-export_type([state/0, outcome/0]).

%% Services of the rooms above that keep something of a worker: told when its Python process has ended.
-define(KEEPERS, [hornbeam_service_presence, hornbeam_service_locks, hornbeam_service_metrics]).

-record(services, {
    worker :: pos_integer(),
    session :: reference(),
    settings :: map(),
    running :: hornbeam_running:calls(),
    asked = hornbeam_asked:new() :: hornbeam_asked:asked(),
    events = hornbeam_events:new() :: hornbeam_events:flow(),
    subscribed = 0 :: non_neg_integer()
}).
-opaque state() :: #services{}.

%% walk: as run, but few at once.
-type outcome() :: hornbeam_answer:answer() | hornbeam_running:run() | {start, timeout(), fun(() -> hornbeam_answer:answer())}
                 | {ask, hornbeam_asked:question()}
                 | {later, fun((Id :: pos_integer()) -> ok)}
                 | {subscribe | unsubscribe, hornbeam_pubsub:topic()}.

%% Settings: the server's, and the session.
-callback handle(Operation :: atom(), Arguments :: [term()], Settings :: map()) -> outcome().

%% Topics that one Python process subscribes to, in bytes; ?SUBSCRIPTION is added for each: 100,000 short ones.
-define(MAX_SUBSCRIBED, 33554432).
-define(SUBSCRIPTION, 256).

-spec new(Worker :: pos_integer(), Settings :: map()) -> state().
new(Worker, Settings) ->
    Session = make_ref(),
    #services{worker = Worker, session = Session, settings = Settings#{session => Session},
              running = hornbeam_running:new(Worker)}.

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
operation(11) -> {state_touch, hornbeam_service_state};
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
operation(50) -> {cache_get, hornbeam_service_cache};
operation(51) -> {cache_put, hornbeam_service_cache};
operation(52) -> {cache_fail, hornbeam_service_cache};
operation(53) -> {cache_leave, hornbeam_service_cache};
operation(54) -> {cache_clear, hornbeam_service_cache};
operation(55) -> {cache_stats, hornbeam_service_cache};
operation(60) -> {cancel, flow};
operation(61) -> {events_taken, flow};
operation(62) -> {taken, flow};
operation(70) -> {service_call, hornbeam_service_calls};
operation(71) -> {service_stream, hornbeam_service_calls};
operation(80) -> {hook_register, hornbeam_hook_calls};
operation(81) -> {hook_unregister, hornbeam_hook_calls};
operation(82) -> {hook_language, hornbeam_hook_calls};
operation(83) -> {hook_call, hornbeam_hook_calls};
operation(84) -> {hook_stream, hornbeam_hook_calls};
operation(85) -> {hook_start, hornbeam_hook_calls};
operation(86) -> {hook_await, hornbeam_hook_calls};
operation(90) -> {task_spawn, hornbeam_service_tasks};
operation(91) -> {task_info, hornbeam_service_tasks};
operation(92) -> {task_result, hornbeam_service_tasks};
operation(93) -> {task_await, hornbeam_service_tasks};
operation(94) -> {task_cancel, hornbeam_service_tasks};
operation(95) -> {task_retry, hornbeam_service_tasks};
operation(96) -> {task_list, hornbeam_service_tasks};
operation(97) -> {task_progress, hornbeam_service_tasks};
operation(98) -> {schedule_declare, hornbeam_service_tasks};
operation(99) -> {task_body, hornbeam_service_tasks};
operation(100) -> {channel_broadcast, hornbeam_service_channels};
operation(101) -> {channel_push, hornbeam_service_channels};
operation(102) -> {channel_reply, hornbeam_service_channels};
operation(103) -> {channel_disconnect, hornbeam_service_channels};
operation(104) -> {channel_history, hornbeam_service_channels};
operation(110) -> {presence_track, hornbeam_service_presence};
operation(111) -> {presence_update, hornbeam_service_presence};
operation(112) -> {presence_untrack, hornbeam_service_presence};
operation(113) -> {presence_list, hornbeam_service_presence};
operation(114) -> {presence_get, hornbeam_service_presence};
operation(115) -> {presence_push, hornbeam_service_presence};
operation(120) -> {rate_hit, hornbeam_service_rates};
operation(121) -> {rate_hit_cluster, hornbeam_service_rates};
operation(122) -> {rate_reset, hornbeam_service_rates};
operation(130) -> {layer_send, hornbeam_service_layer};
operation(131) -> {layer_take, hornbeam_service_layer};
operation(132) -> {layer_wait, hornbeam_service_layer};
operation(133) -> {layer_forget, hornbeam_service_layer};
operation(134) -> {layer_group_add, hornbeam_service_layer};
operation(135) -> {layer_group_discard, hornbeam_service_layer};
operation(136) -> {layer_group_send, hornbeam_service_layer};
operation(137) -> {layer_flush, hornbeam_service_layer};
operation(138) -> {layer_own, hornbeam_service_layer};
operation(150) -> {cluster_get, hornbeam_service_cluster};
operation(151) -> {cluster_get_multi, hornbeam_service_cluster};
operation(152) -> {cluster_set, hornbeam_service_cluster};
operation(153) -> {cluster_add, hornbeam_service_cluster};
operation(154) -> {cluster_cas, hornbeam_service_cluster};
operation(155) -> {cluster_replace, hornbeam_service_cluster};
operation(156) -> {cluster_pop, hornbeam_service_cluster};
operation(157) -> {cluster_delete, hornbeam_service_cluster};
operation(158) -> {cluster_touch, hornbeam_service_cluster};
operation(159) -> {cluster_incr, hornbeam_service_cluster};
operation(160) -> {cluster_page, hornbeam_service_cluster};
operation(161) -> {cluster_read, hornbeam_service_cluster};
operation(162) -> {cluster_info, hornbeam_service_cluster};
operation(170) -> {lock_acquire, hornbeam_service_locks};
operation(171) -> {lock_release, hornbeam_service_locks};
operation(172) -> {lock_leave, hornbeam_service_locks};
operation(173) -> {lock_lost, hornbeam_service_locks};
operation(174) -> {lock_holders, hornbeam_service_locks};
operation(180) -> {metrics_push, hornbeam_service_metrics};
operation(181) -> {metrics_read, hornbeam_service_metrics};
operation(_) -> unknown.

%% @doc The table's names and codes, for the test that compares it with Python's.
-spec operations() -> #{binary() => byte()}.
operations() ->
    maps:from_list([{atom_to_binary(Name), Code}
                    || Code <- lists:seq(0, 255), {Name, _} <- [operation(Code)]]).

%% @doc Answers a call frame's payload: operation:u8, msgpack array of arguments.
-spec call(non_neg_integer(), binary(), state()) ->
    {reply, iodata(), state()} | {noreply, state()} | {broken, term()}.
call(Id, <<Code, Packed/binary>>, Services) ->
    case hornbeam_msgpack:decode(Packed) of
        {ok, Arguments} when is_list(Arguments) ->
            handle(operation(Code), Arguments, {Id, byte_size(Packed)}, Services);
        {ok, _} ->
            answer(Id, {error, value_error, <<"the arguments are no list">>}, Services);
        {error, Reason} ->
            Text = io_lib:format("the arguments could not be decoded: ~0tp", [Reason]),
            answer(Id, {error, value_error, unicode:characters_to_binary(Text)}, Services)
    end;
call(Id, <<>>, Services) ->
    answer(Id, {error, value_error, <<"an empty call">>}, Services).

handle({cancel, flow}, [Call], _Call, #services{running = Running} = Services) when is_integer(Call) ->
    {noreply, Services#services{running = hornbeam_running:cancel(Call, Running)}};
handle({events_taken, flow}, [Count, Bytes], _Call, #services{events = Events0} = Services) ->
    case hornbeam_events:taken(Count, Bytes, Events0) of
        {ok, Events} -> {noreply, Services#services{events = Events}};
        error -> {broken, {bad_call, events_taken}}
    end;
handle({taken, flow}, [Call, Count], _Call, #services{running = Running} = Services)
        when is_integer(Call), is_integer(Count), Count > 0, Count =< 16#ffffffff ->
    ok = hornbeam_running:taken(Call, Count, Running),
    {noreply, Services};
handle({Name, flow}, _Arguments, _Call, _Services) ->
    {broken, {bad_call, Name}};
handle({Name, Module}, Arguments, Call, #services{settings = Settings} = Services) ->
    Outcome = try Module:handle(Name, Arguments, Settings)
    catch Class:Reason:Stack -> hornbeam_answer:raised(Class, Reason, Stack)
    end,
    outcome(Call, Outcome, Services);
handle(unknown, _Arguments, {Id, _Size}, Services) ->
    answer(Id, {error, value_error, <<"there is no such operation">>}, Services).

%% Size: of the arguments, which the process of a call keeps.
outcome({Id, Size}, {start, Timeout, Fun}, #services{running = Running} = Services) ->
    case hornbeam_running:start(0, Size, {run, Timeout, Fun}, Running) of
        {ok, Started} -> answer(Id, {ok, none}, Services#services{running = Started});
        {error, Reason} -> answer(Id, hornbeam_answer:raised(error, Reason, []), Services)
    end;
outcome({Id, Size}, {Kind, _Timeout, _Fun} = Run, #services{running = Running} = Services)
        when Kind =:= run; Kind =:= walk; Kind =:= stream ->
    case hornbeam_running:start(Id, Size, Run, Running) of
        {ok, Started} -> {noreply, Services#services{running = Started}};
        {error, Reason} -> answer(Id, hornbeam_answer:raised(error, Reason, []), Services)
    end;
outcome({Id, _}, {ask, Question}, #services{asked = Asked} = Services) ->
    case hornbeam_asked:ask(Id, Question, Asked) of
        {ok, Now} -> {noreply, Services#services{asked = Now}};
        {error, Reason} -> answer(Id, hornbeam_answer:raised(error, Reason, []), Services)
    end;
outcome({0, _}, {later, _Ask}, Services) ->
    {noreply, Services};
outcome({Id, _}, {later, Ask}, Services) ->
    ok = Ask(Id),
    {noreply, Services};
outcome({Id, _}, {subscribe, Topic}, #services{subscribed = Before} = Services) ->
    case Before + byte_size(Topic) + ?SUBSCRIPTION of
        Now when Now =< ?MAX_SUBSCRIBED ->
            ok = hornbeam_pubsub:subscribe(Topic),
            answer(Id, {ok, none}, Services#services{subscribed = Now});
        _ ->
            answer(Id, {error, value_error, <<"too many subscriptions: their topics may take 32 MiB together, each with "
                                              "256 bytes besides">>}, Services)
    end;
outcome({Id, _}, {unsubscribe, Topic}, #services{subscribed = Before} = Services) ->
    case hornbeam_pubsub:unsubscribe(Topic) of
        ok -> answer(Id, {ok, true}, Services#services{subscribed = Before - byte_size(Topic) - ?SUBSCRIPTION});
        not_joined -> answer(Id, {ok, false}, Services)
    end;
outcome({Id, _}, Answer, Services) ->
    answer(Id, Answer, Services).

%% @doc Messages that the worker does not know: answers of calls that took a process, deadlines, and
%% what was published.
-spec handle_info(term(), state()) -> {[iodata()], state()}.
handle_info({hornbeam_pubsub, Topic, Message}, #services{events = Events0} = Services) ->
    {Frames, Events} = hornbeam_events:published(Topic, Message, Events0),
    {Frames, Services#services{events = Events}};
handle_info({hornbeam_later, Session, Id, Answer}, #services{session = Session} = Services) ->
    {[hornbeam_answer:reply(Id, Answer)], Services};
handle_info(Message, #services{running = Running} = Services) ->
    case hornbeam_running:handle_info(Message, Running) of
        {reply, Frame, Calls} -> {[Frame], Services#services{running = Calls}};
        {done, Calls} -> {[], Services#services{running = Calls}};
        ignore -> answered(Message, Services)
    end.

answered(Message, #services{asked = Asked} = Services) ->
    case hornbeam_asked:answered(Message, Asked) of
        {0, _Answer, Left} -> {[], Services#services{asked = Left}};
        {Id, Answer, Left} -> {[hornbeam_answer:reply(Id, Answer)], Services#services{asked = Left}};
        ignore -> {[], Services}
    end.

%% @doc A published message is dropped: the worker does not read.
-spec lost(state()) -> state().
lost(#services{events = Events} = Services) ->
    Services#services{events = hornbeam_events:lost(Events)}.

%% @doc The Python process has ended: its calls, its subscriptions, its hooks and its presence end too.
-spec stop(state()) -> ok.
stop(#services{running = Running, session = Session}) ->
    ok = hornbeam_running:stop(Running),
    ok = hornbeam_cache:left(Session),
    ok = hornbeam_layer:left(Session),
    ok = hornbeam_hook_registry:forget(self()),
    lists:foreach(fun(Service) -> ok = Service:left(self()) end, ?KEEPERS),
    hornbeam_pubsub:unsubscribe_all().

%%% Answers

answer(0, _Answer, Services) ->
    {noreply, Services};
answer(Id, Answer, Services) ->
    {reply, hornbeam_answer:reply(Id, Answer), Services}.
