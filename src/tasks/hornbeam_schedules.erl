%%% The schedules of one server: begins their tasks when they are due, once for all connected nodes.
%%%
%%% Called by: hornbeam_tasks_sup, hornbeam_service_tasks (declare/3: what workers find in their code), hornbeam_server and hornbeam_task_command (describe/1).
%%% Calls: hornbeam_schedule (what is due), hornbeam_tasks (begins it), hornbeam_invocation (asks a worker for the times of a cron line), hornbeam_task_store (when
%%% each ran last), global; in a cluster hornbeam_cluster, hornbeam_task_cluster.
%%%
%%% Once: of the nodes that are connected and run a server of this name, one leads: whoever has the name in global. When it ends another
%%% takes over; when a net heals that was split, global lets one keep the name. Each worker declares the same schedules; a name is one schedule,
%%% the latest declaration holds, and it ends with the last worker that declared it (hornbeam_worker's process, so a Python process that is
%%% restarted changes nothing).
%%%
%%% In a cluster (hornbeam_task_member is there) nobody leads. Up to which time a schedule has been begun stands in the replicated state, and whoever moves that on from
%%% where it was adds the tasks of these times in the same operation (hornbeam_task_part, `fire'): so each time is begun once, by one node, as tasks of the cluster,
%%% and without a majority none is. The node that did it last is the first to try; the others hear of it, and try ?TURN ms later if they do not.
%%%
%%% Failure modes. No quorum: it is tried again every ?LATER, and when it comes back `missed' says what of the times is run. A worker cannot tell the times of a cron line (cronsim is missing, the line is wrong): a log line and the status say so, and
%%% it is asked again every ?AGAIN. The clock jumps: what is due is looked at anew at least every ?LONGEST.
%%%
%%% Limits: ?MAX schedules.
-module(hornbeam_schedules).
-behaviour(gen_server).

-export([start_link/1, declare/3, describe/1, changed/1]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2]).

-define(MAX, 1000).
-define(LONGEST, 60000).
-define(AGAIN, 30000).
-define(SETTLED, 500).
-define(TURN, 1000).
-define(LATER, 1000).
%% How far back the times of a cron line are asked for.
-define(BACK, 31 * 86400000).
-define(COUNT, 100).
-define(FIRES, <<"hornbeam_erlang._cron:fires">>).

-record(entry, {
    schedule :: hornbeam_schedule:schedule(),
    declared = [] :: [pid() | option],              % by whom
    last :: non_neg_integer() | unknown,            % the time up to which all is done, ms; unknown: the cluster is asked
    by = none :: node() | none,                     % in a cluster: who has begun the last one
    claiming = false :: boolean() | {again, At :: non_neg_integer()},
    known = [] :: [non_neg_integer()],              % of a cron line
    asked = none :: none | {attempt, hornbeam_invocation:invocation()} | {again, At :: non_neg_integer()},
    problem = none :: none | binary(),
    next = unknown :: non_neg_integer() | unknown
}).
-record(state, {
    server :: atom(),
    shared = false :: boolean(),                    % in a cluster
    requests = gen_server:reqids_new() :: gen_server:request_id_collection(),
    entries = #{} :: #{binary() => #entry{}},
    monitors = #{} :: #{pid() => reference()},
    leads = false :: boolean(),
    watched = none :: none | electing | reference(),    % the leader, where it is another
    timer = none :: none | reference()
}).

-spec start_link(Server :: atom()) -> {ok, pid()} | {error, term()}.
start_link(Server) ->
    gen_server:start_link(?MODULE, Server, []).

%% @doc A worker has found a schedule in its code.
-spec declare(Server :: atom(), hornbeam_schedule:schedule(), Worker :: pid()) -> ok | full | not_found.
declare(Server, Schedule, Worker) ->
    ask(Server, {declare, Schedule, Worker}).

%% @doc For a person: name, rule, next and last time (ms), whether this node leads, what is wrong.
-spec describe(Server :: atom()) -> [map()].
describe(Server) ->
    case ask(Server, describe) of
        not_found -> [];
        Schedules -> Schedules
    end.

%% @doc The options have changed.
-spec changed(Server :: atom()) -> ok.
changed(Server) ->
    _ = ask(Server, changed),
    ok.

ask(Server, Request) ->
    case hornbeam_task_table:schedules(Server) of
        {ok, Pid} ->
            try gen_server:call(Pid, Request)
            catch exit:{_, {gen_server, call, _}} -> not_found
            end;
        error ->
            not_found
    end.

-spec init(atom()) -> {ok, #state{}, {continue, look}}.
init(Server) ->
    ok = hornbeam_task_table:set_schedules(Server, self()),
    {ok, from_options(#state{server = Server, shared = hornbeam_task_table:member(Server) =/= error}), {continue, look}}.

-spec handle_continue(look, #state{}) -> {noreply, #state{}}.
handle_continue(look, State) ->
    {noreply, look(State)}.

from_options(#state{server = Server, entries = Entries} = State) ->
    {ok, #{schedules := Given}} = hornbeam_servers:config(Server),
    Schedules = [Schedule || {Name, Function, Options} <- Given,
                             {ok, Schedule} <- [hornbeam_schedule:new(Name, Function, body(Function), Options)]],
    Left = maps:map(fun(_, #entry{declared = By} = Entry) -> Entry#entry{declared = By -- [option]} end, Entries),
    lists:foldl(fun(Schedule, Each) -> add(Schedule, option, Each) end, pruned(State#state{entries = Left}), Schedules).

body(Function) -> {bytes, iolist_to_binary(hornbeam_msgpack:encode([Function, [], #{}]))}.

pruned(#state{entries = Entries} = State) ->
    State#state{entries = maps:filter(fun(_, #entry{declared = By}) -> By =/= [] end, Entries)}.

add(Schedule, By, #state{entries = Entries} = State) ->
    Name = hornbeam_schedule:name(Schedule),
    Entry = case Entries of
        #{Name := #entry{schedule = Schedule} = Same} -> Same;
        #{Name := #entry{} = Other} -> Other#entry{schedule = Schedule, known = [], asked = none, problem = none};
        #{} -> #entry{schedule = Schedule, last = last(Name, State)}
    end,
    State#state{entries = Entries#{Name => Entry#entry{declared = [By | Entry#entry.declared -- [By]]}}}.

%% What this node has not been there for is missed only if it is known when the schedule ran last.
last(_Name, #state{shared = true}) -> unknown;
last(Name, #state{server = Server}) ->
    case hornbeam_task_table:store(Server) of
        {ok, Store} ->
            case hornbeam_task_store:last_fired(Store, Name) of
                {ok, Ms} -> Ms;
                error -> now_ms()
            end;
        error ->
            now_ms()
    end.

now_ms() -> erlang:system_time(millisecond).

-spec handle_call({declare, hornbeam_schedule:schedule(), pid()} | describe | changed, gen_server:from(), #state{}) ->
    {reply, ok | full | [map()], #state{}}.
handle_call({declare, Schedule, Worker}, _From, #state{entries = Entries} = State) ->
    case map_size(Entries) < ?MAX orelse is_map_key(hornbeam_schedule:name(Schedule), Entries) of
        true -> {reply, ok, look(add(Schedule, Worker, monitored(Worker, State)))};
        false -> {reply, full, State}
    end;
handle_call(describe, _From, #state{entries = Entries, leads = Leads} = State) ->
    {reply, [about(Name, Entry, Leads) || {Name, Entry} <- lists:sort(maps:to_list(Entries))], State};
handle_call(changed, _From, State) ->
    {reply, ok, look(from_options(State))}.

about(Name, #entry{schedule = Schedule, last = Last, next = Next, problem = Problem, by = By}, Leads) ->
    #{name => Name, rule => unicode:characters_to_binary(hornbeam_schedule:text(Schedule)), last => Last, next => Next,
      leads => case By of none -> Leads; _ -> By =:= node() end, problem => Problem}.

monitored(Worker, #state{monitors = Monitors} = State) when is_map_key(Worker, Monitors) ->
    State;
monitored(Worker, #state{monitors = Monitors} = State) ->
    State#state{monitors = Monitors#{Worker => monitor(process, Worker)}}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({event, {fired, Name, Last, By}}, State) ->
    {noreply, look(moved(Name, {Last, By}, State))};
handle_cast({event, resync}, #state{entries = Entries} = State) ->
    {noreply, look(State#state{entries = maps:map(fun(_, Entry) -> Entry#entry{last = unknown} end, Entries)})};
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({timeout, Timer, look}, #state{timer = Timer} = State) ->
    {noreply, look(State#state{timer = none})};
handle_info({{_, Ref}, _} = Message, State) when is_reference(Ref) ->
    {noreply, look(told(Ref, Message, State))};
handle_info({elected, Leader}, #state{watched = electing} = State) when Leader =:= self() ->
    {noreply, look(State#state{leads = true, watched = none})};
handle_info({elected, Leader}, #state{watched = electing} = State) ->
    {noreply, State#state{leads = false, watched = monitor(process, Leader)}};
handle_info({'DOWN', Watched, process, _, _}, #state{watched = Watched} = State) ->
    {noreply, look(State#state{watched = none})};
handle_info({'DOWN', _, process, Worker, _}, #state{monitors = Monitors, entries = Entries} = State) when is_map_key(Worker, Monitors) ->
    Left = maps:map(fun(_, #entry{declared = By} = Entry) -> Entry#entry{declared = By -- [Worker]} end, Entries),
    {noreply, look(pruned(State#state{entries = Left, monitors = maps:remove(Worker, Monitors)}))};
handle_info({global_name_conflict, _}, State) ->
    %% Who has the name is settled in a moment.
    _ = erlang:send_after(?SETTLED, self(), settled),
    {noreply, State#state{leads = false}};
handle_info(settled, State) ->
    {noreply, look(State)};
handle_info(Message, #state{shared = true, requests = Requests} = State) ->
    case gen_server:check_response(Message, Requests, true) of
        {{reply, Answer}, Label, Left} -> {noreply, look(claimed(Label, Answer, State#state{requests = Left}))};
        {{error, _}, Label, Left} -> {noreply, look(claimed(Label, {error, in_doubt}, State#state{requests = Left}))};
        _ -> {noreply, State}
    end;
handle_info(_Message, State) ->
    {noreply, State}.

%%% Who leads

%% The leader looks each time whether it still is: a net that heals may have given the name to another.
lead(#state{shared = true} = State) ->
    State;
lead(#state{watched = none, leads = Leads, server = Server} = State) ->
    Self = self(),
    case is_alive() andalso global:whereis_name({?MODULE, Server}) of
        false ->
            State#state{leads = true};
        Self ->
            State#state{leads = true};
        undefined ->
            %% Not in this process: while a net is being split or healed global may take its time.
            _ = proc_lib:spawn(fun() -> Self ! {elected, elect({?MODULE, Server}, Self)} end),
            State#state{watched = electing, leads = Leads};
        Leader ->
            State#state{leads = false, watched = monitor(process, Leader)}
    end;
lead(State) ->
    State.

elect(Name, Self) ->
    case global:whereis_name(Name) of
        undefined ->
            case global:register_name(Name, Self, fun global:random_notify_name/3) of
                yes -> Self;
                no -> elect(Name, Self)
            end;
        Leader -> Leader
    end.

%%% What is due

look(#state{timer = Timer} = State0) ->
    _ = Timer =/= none andalso erlang:cancel_timer(Timer),
    Now = now_ms(),
    #state{entries = Entries} = State = claim(Now, lead(State0#state{timer = none})),
    Looked = maps:map(fun(_, Entry) -> ask_times(Now, fire(Now, Entry, State), State) end, Entries),
    Times = [Next || #entry{next = Next} <- maps:values(Looked), is_integer(Next)]
            ++ [At || #entry{asked = {again, At}} <- maps:values(Looked)] ++ [At || #entry{claiming = {again, At}} <- maps:values(Looked)],
    case map_size(Looked) of
        0 -> State#state{entries = Looked};
        _ ->
            Wait = max(1, lists:min([?LONGEST | [Time - Now || Time <- Times]])),
            State#state{entries = Looked, timer = erlang:start_timer(Wait, self(), look)}
    end.

%% A node that does not lead lets the times pass: the leader sees to them.
fire(_Now, #entry{last = unknown} = Entry, _State) ->
    Entry#entry{next = unknown};
fire(Now, #entry{schedule = Schedule, last = Last, known = Known} = Entry, #state{shared = true}) ->
    case hornbeam_schedule:next_of(Schedule, {Last, Known}, Now) of
        {[], Next} -> Entry#entry{next = Next};
        {Due, _} -> Entry#entry{next = max(Now + ?TURN div 10, turn(Due, Entry))}
    end;
fire(Now, #entry{schedule = Schedule, last = Last, known = Known} = Entry, #state{leads = Leads, server = Server}) ->
    {Due, Next} = hornbeam_schedule:next_of(Schedule, {Last, Known}, Now),
    _ = [begin_task(Schedule, Time, Server) || Leads, Time <- hornbeam_schedule:run(hornbeam_schedule:missed(Schedule), Due, Now)],
    case Due of
        [] -> Entry#entry{next = Next};
        _ ->
            Newest = lists:last(Due),
            _ = [hornbeam_task_store:fired(Store, hornbeam_schedule:name(Schedule), Newest)
                 || {ok, Store} <- [hornbeam_task_table:store(Server)]],
            Entry#entry{next = Next, last = Newest, known = [Time || Time <- Known, Time > Newest]}
    end.

%%% In a cluster

claim(Now, #state{shared = true, entries = Entries} = State) ->
    maps:fold(fun(Name, Entry, Each) -> claim(Now, Name, Entry, Each) end, State, Entries);
claim(_Now, State) ->
    State.

claim(_Now, _Name, #entry{claiming = true}, State) ->
    State;
claim(Now, _Name, #entry{claiming = {again, At}}, State) when At > Now ->
    State;
claim(Now, Name, #entry{last = unknown} = Entry, #state{server = Server} = State) ->
    ask_cluster({know, Name}, {know, Server, Name, Now}, Name, Entry, State);
claim(Now, Name, #entry{schedule = Schedule, last = Last, known = Known} = Entry, #state{server = Server} = State) ->
    {Due, _} = hornbeam_schedule:next_of(Schedule, {Last, Known}, Now),
    case Due =/= [] andalso turn(Due, Entry) =< Now of
        true ->
            Newest = lists:last(Due),
            Tasks = [hornbeam_task_cluster:operation(hornbeam_schedule:task(Schedule, Server, Time, delay(Schedule)))
                     || Time <- hornbeam_schedule:run(hornbeam_schedule:missed(Schedule), Due, Now)],
            ask_cluster({fire, Name, Newest}, {fire, Server, Name, {Last, Newest}, node(), Tasks, hornbeam_task_cluster:limits(Server)}, Name, Entry, State);
        false ->
            State
    end.

%% When this node tries: at once, if it was the last to do so, or nobody is there who was.
turn([First | _], #entry{by = By}) ->
    case By =:= none orelse lists:member(By, nodes()) of
        true when By =/= none -> First + ?TURN;
        _ -> First
    end.

ask_cluster(Label, Operation, Name, Entry, #state{requests = Requests, entries = Entries} = State) ->
    Asking = State#state{entries = Entries#{Name := Entry#entry{claiming = true}}},
    case hornbeam_cluster:request({tasks, Operation}) of
        {ok, {Pid, Request}} -> Asking#state{requests = gen_server:send_request(Pid, Request, Label, Requests)};
        {error, Reason} -> claimed(Label, {error, Reason}, Asking)
    end.

claimed(Label, Answer, #state{entries = Entries} = State) ->
    Name = element(2, Label),
    case {Entries, Answer} of
        {#{Name := Entry}, {error, _}} -> State#state{entries = Entries#{Name := Entry#entry{claiming = {again, now_ms() + ?LATER}}}};
        {#{Name := Entry}, {ok, Reply}} -> replied(Label, Reply, State#state{entries = Entries#{Name := Entry#entry{claiming = false}}});
        _ -> State
    end.

replied({fire, Name, Newest}, {begun, Refused}, #state{server = Server} = State) ->
    _ = [logger:error("schedule ~ts of server ~ts: its task was refused: ~ts", [Name, Server, Limit]) || Limit <- Refused],
    moved(Name, {Newest, node()}, State);
replied({_, Name}, {Last, By}, State) -> moved(Name, {Last, By}, State);
replied({_, Name, _}, {Last, By}, State) -> moved(Name, {Last, By}, State);
replied(Label, unknown, #state{entries = Entries} = State) ->
    #{element(2, Label) := Entry} = Entries,
    State#state{entries = Entries#{element(2, Label) := Entry#entry{last = unknown}}}.

%% An event may be older than an answer.
moved(Name, {Last, By}, #state{entries = Entries} = State) ->
    case Entries of
        #{Name := #entry{last = Before, known = Known} = Entry} when Before =:= unknown; Last > Before ->
            State#state{entries = Entries#{Name := Entry#entry{last = Last, by = By, known = [Time || Time <- Known, Time > Last]}}};
        #{Name := #entry{last = Last} = Entry} -> State#state{entries = Entries#{Name := Entry#entry{by = By}}};
        #{} -> State
    end.

%% Not from this process: the server's tasks may be busy, and a durable one waits for its disk.
begin_task(Schedule, Time, Server) ->
    Delay = delay(Schedule),
    proc_lib:spawn(fun() ->
        case hornbeam_tasks:add(Server, hornbeam_schedule:task(Schedule, Server, Time, Delay)) of
            {ok, _} -> ok;
            {error, {_, Text}} -> logger:error("schedule ~ts of server ~ts: its task was refused: ~ts", [hornbeam_schedule:name(Schedule), Server, Text])
        end
    end).

delay(Schedule) ->
    case hornbeam_schedule:jitter(Schedule) of 0 -> 0; Jitter -> rand:uniform(Jitter + 1) - 1 end.

ask_times(_Now, #entry{last = unknown} = Entry, _State) ->
    Entry;
ask_times(Now, #entry{schedule = Schedule, next = unknown, asked = Asked, last = Last} = Entry, #state{server = Server})
        when Asked =:= none; element(1, Asked) =:= again ->
    case {hornbeam_schedule:cron(Schedule), Asked} of
        {{_, _}, {again, At}} when At > Now -> Entry;
        {{Line, Zone}, _} ->
            Packed = hornbeam_msgpack:encode([?FIRES, [Line, Zone, max(Last, Now - ?BACK), ?COUNT], #{}]),
            case hornbeam_task_places:pool(Server) of
                {_, Pool} -> Entry#entry{asked = {attempt, hornbeam_invocation:start(Pool, Packed, ?LONGEST)}};
                none -> Entry#entry{asked = {again, Now + ?AGAIN}}
            end
    end;
ask_times(_Now, Entry, _State) ->
    Entry.

told(Ref, Message, #state{entries = Entries, server = Server} = State) ->
    State#state{entries = maps:map(fun(Name, #entry{asked = {attempt, Attempt}} = Entry) ->
                                           case hornbeam_invocation:ref(Attempt) of
                                               Ref -> attempted(hornbeam_invocation:event(Message, Attempt), Name, Server, Entry);
                                               _ -> Entry
                                           end;
                                      (_, Entry) -> Entry
                                   end, Entries)}.

attempted({going, Attempt}, _Name, _Server, Entry) -> Entry#entry{asked = {attempt, Attempt}};
attempted({ended, Result}, Name, Server, Entry) -> times(Result, Name, Server, Entry).

times({ok, Packed}, _Name, _Server, Entry) ->
    {ok, Times} = hornbeam_msgpack:decode(Packed),
    case Times of
        [] -> Entry#entry{asked = {again, now_ms() + 86400000}, problem = <<"it never comes">>};
        _ -> Entry#entry{asked = none, problem = none, known = Times}
    end;
times({error, Reason}, Name, Server, #entry{problem = Before} = Entry) ->
    Text = case Reason of
        {python, Class, Message, _} -> <<Class/binary, ": ", Message/binary>>;
        _ -> unicode:characters_to_binary(io_lib:format("~0tp", [Reason]))
    end,
    _ = Text =:= Before orelse logger:error("schedule ~ts of server ~ts has no times: ~ts", [Name, Server, Text]),
    Entry#entry{asked = {again, now_ms() + ?AGAIN}, problem = Text}.
