%%% This node's share of a cluster's tasks, for one server: runs what it is given, says what came of it, answers who waits for one.
%%%
%%% Owns the attempts. Called by: hornbeam_tasks_sup, hornbeam_task_cluster, hornbeam_task_listener (events). Calls: hornbeam_cluster (operations of
%%% hornbeam_task_part, whose answers come as messages), hornbeam_task_places (how many it offers to run), hornbeam_invocation (a stream on a worker),
%%% hornbeam_task, hornbeam_pubsub (the topic "task:ID").
%%%
%%%     given ──▶ held ──a place──▶ attempt ──its end──▶ ending ──the cluster has heard it──▶ gone
%%%                 └──cancelled; given to another; no word of the cluster for ?KEEP ms──▶ gone
%%%
%%% At least once, and as far as can be not at the same time: the cluster gives a task to another node when this one has not renewed for ?LEASE ms of the
%%% cluster's time; here an attempt is given up (a coroutine is cancelled; a plain function runs on, and what it returns is dropped) ?KEEP ms after the sending of the
%%% last renewal that was answered, which is sooner. A machine that stands still, and a plain function, may run at the same time as the next attempt.
%%%
%%% What events were lost is found: by the answers of renewals, every ?CHECK ms in this node's own copy of the state, and after `resync'.
%%%
%%% Failure modes: this process is killed: its attempts go with it; its successor is another owner, and what it had waits again at once. No quorum: what has ended is
%%% told again and again. A stop: what runs has graceful_timeout, the rest is given back.
%%%
%%% Limits: what it has offered to run. task_concurrency holds for these and for the node's own tasks apart.
-module(hornbeam_task_member).
-behaviour(gen_server).

-include("hornbeam_task.hrl").

-export([start_link/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-define(LEASE, 10000).
-define(RENEW, 3000).
-define(KEEP, 9000).
-define(LOOK, 1000).
-define(CHECK, 5000).
-define(HELD, 20).
%% How long one waits that nobody took.
-define(NOT_RUN, 200).
-define(FAREWELL, 2000).
%% The log of the cluster is for many small things.
-define(MAX_RESULT, 4194304).

-record(run, {
    task :: hornbeam_task:task(),
    doing = held :: held | {attempt, hornbeam_invocation:invocation()} | {ending, tuple()}
}).
-record(state, {
    server :: atom(),
    config :: map(),
    incarnation :: integer(),
    offered = none :: none | asked | non_neg_integer(),
    runs = #{} :: #{binary() => #run{}},
    attempts = #{} :: #{reference() => binary()},
    progress = #{} :: #{binary() => term()},
    requests = gen_server:reqids_new() :: gen_server:request_id_collection(),
    renewed = 0 :: integer(),                           % when the last renewal was sent
    deadline = infinity :: integer() | infinity,        % of what runs, if nothing is heard
    comparing = none :: none | {[binary()], Since :: [binary()]},
    checked = 0 :: integer(),
    waiting = hornbeam_task_waiters:new() :: hornbeam_task_waiters:waiters(),
    held = none :: none | reference(),
    stop_by = none :: none | integer() | infinity
}).

-spec start_link(Server :: atom()) -> {ok, pid()} | {error, term()}.
start_link(Server) ->
    gen_server:start_link(?MODULE, Server, []).

-spec init(atom()) -> {ok, #state{}}.
init(Server) ->
    process_flag(trap_exit, true),
    {ok, Config} = hornbeam_servers:config(Server),
    <<Incarnation:60, _:4>> = crypto:strong_rand_bytes(8),
    ok = hornbeam_task_table:set_member(Server, self()),
    self() ! look,
    {ok, #state{server = Server, config = Config, incarnation = Incarnation}}.

%% await: answered when the task is over, {ok, Task}, or not_found, or an error of the cluster's. progress: whether it runs here.
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}} | {noreply, #state{}}.
handle_call({await, Id}, From, #state{waiting = Waiting} = State) ->
    ok = look_up(Id, linearizable, State),
    {noreply, State#state{waiting = hornbeam_task_waiters:add(Id, From, Waiting)}};
handle_call({progress, Id, Value}, _From, #state{runs = Runs, progress = Progress} = State) ->
    case Runs of
        #{Id := #run{task = Task, doing = {attempt, _}} = Run} ->
            Said = Task#task{progress = Value},
            ok = tell(Said),
            {reply, true, State#state{runs = Runs#{Id := Run#run{task = Said}}, progress = Progress#{Id => Value}}};
        #{} ->
            {reply, false, State}
    end;
handle_call(_Request, _From, State) ->
    {reply, {error, not_supported}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({event, Event}, State) -> {noreply, event(Event, State)};
handle_cast({changed, Config}, State) -> {noreply, offer(State#state{config = Config, offered = none})};
handle_cast({stop_by, Deadline}, State) -> {noreply, given_back(offer(State#state{stop_by = Deadline, offered = none}))};
handle_cast(_Request, State) -> {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info(look, State) ->
    _ = erlang:send_after(?LOOK, self(), look),
    {noreply, look(State)};
handle_info({timeout, Timer, held}, #state{held = Timer} = State) ->
    {noreply, begin_held(State#state{held = none})};
handle_info({{_, Ref}, _} = Message, #state{attempts = Attempts} = State) when is_map_key(Ref, Attempts) ->
    {noreply, attempted(maps:get(Ref, Attempts), Message, State)};
handle_info({looked, Id, Answer}, State) ->
    {noreply, looked(Id, Answer, State)};
handle_info({checked, Answer}, State) ->
    {noreply, checked(Answer, State)};
handle_info({mine, Answer}, #state{comparing = {Before, Since}} = State) ->
    {noreply, compared(Answer, Before, Since, State#state{comparing = none})};
handle_info({'DOWN', Monitor, process, _, _}, #state{waiting = Waiting} = State) ->
    {noreply, State#state{waiting = hornbeam_task_waiters:gone(Monitor, Waiting)}};
handle_info(Message, #state{requests = Requests} = State) ->
    case gen_server:check_response(Message, Requests, true) of
        {{reply, Answer}, Label, Left} -> {noreply, answered(Label, Answer, State#state{requests = Left})};
        {{error, _}, Label, Left} -> {noreply, answered(Label, {error, in_doubt}, State#state{requests = Left})};
        _ -> {noreply, State}
    end.

%% What runs has until the deadline of the stop.
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{config = #{graceful_timeout := Graceful}} = State0) ->
    Deadline = case State0#state.stop_by of
        none when Graceful =:= infinity -> infinity;
        none -> now_ms() + Graceful;
        Given -> Given
    end,
    State = finish(Deadline, given_back(State0#state{stop_by = Deadline})),
    case hornbeam_cluster:request({tasks, {leave, State#state.server, owner(State)}}) of
        {ok, {Pid, Request}} -> _ = gen_server:wait_response(gen_server:send_request(Pid, Request), ?FAREWELL), ok;
        {error, _} -> ok
    end.

%% What has ended is told, unless nobody hears it.
finish(Deadline, #state{attempts = Attempts, requests = Requests} = State) ->
    case map_size(Attempts) =:= 0 andalso gen_server:reqids_size(Requests) =:= 0 of
        true -> State;
        false -> finish_one(Deadline, State)
    end.

finish_one(Deadline, State) ->
    receive
        {'$gen_call', From, Request} -> finish(Deadline, answer_call(handle_call(Request, From, State), From));
        {'$gen_cast', Cast} -> finish(Deadline, element(2, handle_cast(Cast, State)));
        Info -> finish(Deadline, element(2, handle_info(Info, State)))
    after left(Deadline) ->
        State
    end.

answer_call({reply, Answer, State}, From) -> gen_server:reply(From, Answer), State;
answer_call({noreply, State}, _From) -> State.

left(infinity) -> infinity;
left(Deadline) -> max(0, Deadline - now_ms()).

%%% What is asked of the cluster

command(Label, Operation, #state{requests = Requests} = State) ->
    case hornbeam_cluster:request({tasks, Operation}) of
        {ok, {Pid, Request}} -> State#state{requests = gen_server:send_request(Pid, Request, Label, Requests)};
        {error, Reason} -> answered(Label, {error, Reason}, State)
    end.

answered({offer, Places}, {ok, ok}, #state{offered = asked} = State) -> compare(State#state{offered = Places});
answered({offer, _}, {error, _}, #state{offered = asked} = State) -> State#state{offered = none};
answered({offer, _}, _, State) -> State;
answered({renew, Sent, _}, {ok, {ok, Places, Ids}}, #state{offered = Offered, runs = Runs} = State) ->
    Heard = (same_places(Places, Offered, State))#state{deadline = Sent + ?KEEP},
    case lists:sort(Ids) =:= lists:sort(maps:keys(Runs)) of
        true -> Heard;
        false -> compare(Heard)
    end;
answered({renew, _, Before}, {ok, gone}, State) -> offer(lists:foldl(fun drop/2, State#state{offered = none}, Before));
answered({renew, _, _}, {error, _}, State) -> State#state{renewed = 0};
answered({ended, Id, Attempt}, {ok, Done}, #state{runs = Runs} = State) ->
    case Runs of
        #{Id := #run{task = #task{attempts = Attempt} = Task, doing = {ending, Ending}}} ->
            ok = told(Done, Ending, Task),
            drop(Id, State);
        #{} ->
            State
    end;
%% look/1 tells it again.
answered({ended, _, _}, {error, _}, State) -> State.

same_places(Places, Places, State) -> State;
same_places(_, asked, State) -> State;
same_places(_, _, State) -> State#state{offered = none}.

owner(#state{incarnation = Incarnation}) -> {node(), Incarnation}.

look(State0) ->
    State = check(renew(told_again(overdue(offer(State0))))),
    begin_held(State).

%% Again only when it has changed by more than a quarter: with shared workers it moves with each request.
offer(#state{offered = asked} = State) ->
    State;
offer(#state{server = Server, offered = Offered, config = #{task_max_bytes := Kept, task_queues := Queues}} = State) ->
    Places = places(State),
    case is_integer(Offered) andalso (Places =:= Offered orelse Places > 0 andalso Offered > 0 andalso 4 * abs(Places - Offered) =< Offered) of
        true -> State;
        false -> command({offer, Places}, {offer, Server, owner(State), Places, #{lease => ?LEASE, kept => Kept, queues => maps:from_list(Queues)}},
                         State#state{offered = asked})
    end.

places(#state{stop_by = Deadline}) when Deadline =/= none -> 0;
places(#state{server = Server, config = Config, attempts = Attempts}) ->
    case hornbeam_task_places:free(Server, Config, map_size(Attempts)) of
        {_, Free} -> max(0, Free + map_size(Attempts));
        none -> 0
    end.

renew(#state{runs = Runs, progress = Progress, renewed = Renewed, server = Server} = State) ->
    Now = now_ms(),
    case map_size(Runs) > 0 andalso (Now - Renewed >= ?RENEW orelse map_size(Progress) > 0) of
        true -> command({renew, Now, maps:keys(Runs)}, {renew, Server, owner(State), Progress}, State#state{renewed = Now, progress = #{}});
        false -> State
    end.

%% Nothing was heard for too long: others may have what runs here, and what is to begin.
overdue(#state{deadline = Deadline, runs = Runs} = State) ->
    case Deadline =/= infinity andalso now_ms() > Deadline of
        true ->
            lists:foldl(fun give_up/2, State#state{deadline = infinity}, [Id || {Id, #run{doing = Doing}} <- maps:to_list(Runs), not is_ending(Doing)]);
        false ->
            State
    end.

is_ending({ending, _}) -> true;
is_ending(_) -> false.

give_up(Id, State) -> ending(Id, {not_run, 0}, stopped(Id, State)).

told_again(#state{runs = Runs, requests = Requests} = State) ->
    Asked = [Id || {_, {ended, Id, _}} <- gen_server:reqids_to_list(Requests)],
    lists:foldl(fun(Id, Each) -> say_ended(Id, Each) end, State, [Id || {Id, #run{doing = {ending, _}}} <- maps:to_list(Runs)] -- Asked).

%%% What it is given

event({run, {_, Incarnation}, Map}, #state{incarnation = Incarnation} = State) -> given(Map, State);
event({stop, {_, Incarnation}, Id}, #state{incarnation = Incarnation} = State) -> drop(Id, State);
event({_, _, _}, State) -> State;
event({over, Id}, #state{waiting = Waiting} = State) ->
    _ = hornbeam_task_waiters:is_waited(Id, Waiting) andalso look_up(Id, local, State),
    State;
event(resync, State) ->
    compare(State).

given(#{id := Id, attempts := Attempt} = Map, #state{server = Server, runs = Runs, deadline = Deadline} = State0) ->
    {ok, Task} = hornbeam_task:from_map(Server, Map),
    case Runs of
        #{Id := #run{task = #task{attempts = Attempt}}} ->
            State0;
        #{} ->
            State = drop(Id, State0),
            Added = State#state{runs = (State#state.runs)#{Id => #run{task = Task}}, deadline = min(Deadline, now_ms() + ?KEEP)},
            case State#state.stop_by of
                none -> begin_held(first(map_size(Runs), Added));
                _ -> ending(Id, {not_run, 0}, Added)
            end
    end.

%% Its lease has just begun.
first(0, State) -> State#state{renewed = now_ms()};
first(_, State) -> State.

%% In the order in which they were added.
begin_held(#state{runs = Runs, server = Server, config = Config, attempts = Attempts} = State) ->
    case lists:sort([{Seq, Id} || {Id, #run{task = #task{seq = Seq}, doing = held}} <- maps:to_list(Runs)]) of
        [] -> State;
        Held -> begin_some(hornbeam_task_places:free(Server, Config, map_size(Attempts)), Held, State)
    end.

begin_some({Pool, Free}, [{_, Id} | Rest], State) when Free > 0 -> begin_some({Pool, Free - 1}, Rest, start(Id, Pool, State));
begin_some(_, [], State) -> State;
begin_some(_, _, #state{held = none} = State) -> State#state{held = erlang:start_timer(?HELD, self(), held)};
begin_some(_, _, State) -> State.

start(Id, Pool, #state{runs = Runs, attempts = Attempts} = State) ->
    #{Id := #run{task = #task{timeout = Timeout} = Task} = Run} = Runs,
    Attempt = hornbeam_invocation:start(Pool, hornbeam_task:frame(Task), Timeout),
    ok = tell(Task),
    State#state{runs = Runs#{Id := Run#run{doing = {attempt, Attempt}}}, attempts = Attempts#{hornbeam_invocation:ref(Attempt) => Id}}.

attempted(Id, Message, #state{runs = Runs, config = Config} = State) ->
    #{Id := #run{task = Task, doing = {attempt, Attempt}} = Run} = Runs,
    case hornbeam_invocation:event(Message, Attempt) of
        {going, Goes} -> State#state{runs = Runs#{Id := Run#run{doing = {attempt, Goes}}}};
        {ended, Result} -> begin_held(ending(Id, ended(hornbeam_task:ended(Result, Task), Task, Config), unattempted(Attempt, State)))
    end.

ended({final, done, {ok, Packed}}, _Task, _Config) when byte_size(Packed) > ?MAX_RESULT ->
    {final, failed, {error, <<"ValueError">>, <<"what it returned takes more than 4 MiB, which a task of the cluster may not">>, <<>>}};
ended({final, How, Result}, _Task, _Config) -> {final, How, Result};
ended({retry, Result}, Task, _Config) -> {retry, Result, hornbeam_task:delay(Task)};
ended(not_run, _Task, _Config) -> {not_run, ?NOT_RUN}.

ending(Id, Ending, #state{runs = Runs} = State) ->
    #{Id := Run} = Runs,
    say_ended(Id, State#state{runs = Runs#{Id := Run#run{doing = {ending, Ending}}}}).

say_ended(Id, #state{runs = Runs, server = Server, config = #{task_result_ttl := Ttl}, progress = Progress} = State0) ->
    #{Id := #run{task = #task{attempts = Attempt}, doing = {ending, Ending}}} = Runs,
    State = case Progress of #{Id := _} -> renew(State0); #{} -> State0 end,
    command({ended, Id, Attempt}, {ended, Server, owner(State), Id, Attempt, Ending, Ttl}, State).

unattempted(Attempt, #state{attempts = Attempts} = State) ->
    State#state{attempts = maps:remove(hornbeam_invocation:ref(Attempt), Attempts)}.

stopped(Id, #state{runs = Runs} = State) ->
    case Runs of
        #{Id := #run{doing = {attempt, Attempt}}} -> ok = hornbeam_invocation:stop(Attempt), unattempted(Attempt, State);
        #{} -> State
    end.

drop(Id, State0) ->
    #state{runs = Runs, progress = Progress, comparing = Comparing} = State = stopped(Id, State0),
    Left = maps:remove(Id, Runs),
    State#state{runs = Left, progress = maps:remove(Id, Progress), deadline = case map_size(Left) of 0 -> infinity; _ -> State#state.deadline end,
                comparing = case Comparing of {Before, Since} -> {Before, [Id | Since]}; none -> none end}.

%% Those that have not begun can be run by others.
given_back(#state{runs = Runs} = State) ->
    lists:foldl(fun(Id, Each) -> ending(Id, {not_run, 0}, Each) end, State, [Id || {Id, #run{doing = held}} <- maps:to_list(Runs)]).

%%% What it should have

compare(#state{comparing = none, runs = Runs, server = Server} = State) ->
    Member = self(),
    Question = {tasks, {owner, Server, owner(State)}},
    _ = proc_lib:spawn(fun() -> Member ! {mine, hornbeam_cluster:query(Question, linearizable)} end),
    State#state{comparing = {maps:keys(Runs), []}};
compare(State) ->
    State.

compared({ok, {Places, Maps}}, Before, Since, #state{offered = Offered} = State) ->
    Mine = [Id || #{id := Id} <- Maps],
    Kept = lists:foldl(fun drop/2, same_places(Places, Offered, State), Before -- Mine),
    lists:foldl(fun given/2, Kept, [Map || #{id := Id} = Map <- Maps, not lists:member(Id, Since)]);
compared({ok, none}, Before, _Since, #state{offered = Offered} = State) ->
    lists:foldl(fun drop/2, case Offered of asked -> State; _ -> State#state{offered = none} end, Before);
compared({error, _}, _Before, _Since, State) ->
    State.

%% In this node's copy, which may be late, so it only says what is to be asked.
check(#state{checked = Checked, server = Server, waiting = Waiting} = State) ->
    Now = now_ms(),
    case Now - Checked >= ?CHECK of
        true ->
            {Member, Owner, Ids} = {self(), owner(State), hornbeam_task_waiters:ids(Waiting)},
            _ = proc_lib:spawn(fun() ->
                Member ! {checked, hornbeam_cluster:query({tasks, {owner, Server, Owner}}, local)},
                _ = [Member ! {looked, Id, {ok, Found}} || Ids =/= [], {ok, Over} <- [hornbeam_cluster:query({tasks, {over, Server, Ids}}, linearizable)],
                                                           {Id, Found} <- Over]
            end),
            State#state{checked = Now};
        false ->
            State
    end.

checked({ok, {Places, Maps}}, #state{runs = Runs, offered = Offered} = State) ->
    case [Id || #{id := Id} <- Maps, not is_map_key(Id, Runs)] =:= [] andalso (Places =:= Offered orelse Offered =:= asked) of
        true -> State;
        false -> compare(State)
    end;
checked({ok, none}, #state{offered = Offered} = State) when is_integer(Offered) -> compare(State);
checked(_, State) -> State.

%%% Who waits

look_up(Id, Kind, #state{server = Server}) ->
    Member = self(),
    _ = proc_lib:spawn(fun() -> Member ! {looked, Id, hornbeam_cluster:query({tasks, {task, Server, Id}}, Kind)} end),
    ok.

looked(Id, {ok, {ok, Map}}, #state{server = Server, waiting = Waiting} = State) ->
    {ok, Task} = hornbeam_task:from_map(Server, Map),
    case hornbeam_task:is_final(Task) of
        true -> State#state{waiting = hornbeam_task_waiters:answer(Id, {ok, Task}, Waiting)};
        false -> State
    end;
looked(Id, {ok, error}, #state{waiting = Waiting} = State) ->
    State#state{waiting = hornbeam_task_waiters:answer(Id, not_found, Waiting)};
looked(Id, {error, Reason}, #state{waiting = Waiting} = State) ->
    State#state{waiting = hornbeam_task_waiters:answer(Id, {error, Reason}, Waiting)}.

told(true, {final, How, Result}, Task) -> tell(Task#task{state = How, result = Result});
told(true, {retry, Result, _}, Task) -> tell(Task#task{state = retrying, result = Result});
told(true, {not_run, _}, #task{attempts = Attempts} = Task) -> tell(Task#task{state = pending, attempts = Attempts - 1});
told(false, _, _) -> ok.

tell(#task{id = Id} = Task) ->
    _ = hornbeam_pubsub:publish(<<"task:", Id/binary>>, hornbeam_task:event(Task)),
    ok.

now_ms() -> erlang:monotonic_time(millisecond).
