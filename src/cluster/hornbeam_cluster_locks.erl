%%% The owners of this node: gets locks, semaphores and leadership for them, renews the leases, tells who has lost one, lets go for those who end.
%%%
%%% Owns the claims of the node (hornbeam_cluster_claims, which decides all of it and says why no two hold a lock) and its one timer. Called by:
%%% hornbeam_lock (Erlang's owners), hornbeam_service_locks (Python's; the owner is the worker's process, and a key of Python's tells its claims apart);
%%% started by hornbeam_cluster_sup, after the client. Calls: hornbeam_cluster (commands, whose answers come as messages). Listens for the events of the part
%%% `leases': {hornbeam_cluster, leases, Index, Events | resync}.
%%%
%%%     {acquire, Request}   {ok, Token} | {error, timeout | no_quorum | in_doubt | too_many | {refused, Reason} | left}, when it is decided
%%%     {release, Key}       ok, or lost if it was over before; unknown
%%%     {watch, Key}         when it is over: true, if it was lost
%%%     {leave, Key} (cast)  as release, whether it is held or not; the acquire is answered with left
%%%     {left, Pid} (cast)   all of that owner
%%%
%%% Failure: whoever held something has lost it (Erlang's owners and Python's watchers hear of it by a message, or by the end of this process), and the next
%%% incarnation lets the cluster forget the one before it.
-module(hornbeam_cluster_locks).
-behaviour(gen_server).

-export([start_link/1, start_link/2, left/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export_type([request/0]).

-define(AGAIN, 1000).
%% How long a node that stops waits for the cluster to hear that its owners hold nothing.
-define(FAREWELL, 500).

%% notify: whether the owner gets {hornbeam_lock, Key, lost}.
-type request() :: #{key := term(), name := hornbeam_cluster_leases:name(), limit := pos_integer(), ttl := pos_integer(),
                     timeout := non_neg_integer() | infinity, notify := boolean()}.
%% How a command is asked for: of whom, with what.
-type ask() :: fun(({leases, hornbeam_cluster_leases:op()}) -> {ok, {pid(), Request :: term()}} | {error, term()}).

-record(state, {
    ask :: ask(),
    incarnation :: integer(),
    claims :: hornbeam_cluster_claims:claims(),
    commands = gen_server:reqids_new() :: gen_server:request_id_collection(),
    timer = none :: none | {reference(), integer()}
}).

-spec start_link(Options :: map()) -> {ok, pid()} | {error, term()}.
start_link(Options) -> start_link(Options, fun hornbeam_cluster:request/1).

-spec start_link(Options :: map(), ask()) -> {ok, pid()} | {error, term()}.
start_link(_Options, Ask) ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, Ask, []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

%% @doc An owner has ended that is a process still: the life of a Python process is over.
-spec left(pid()) -> ok.
left(Owner) -> gen_server:cast(?MODULE, {left, Owner}).

-spec init(ask()) -> {ok, #state{}}.
init(Ask) ->
    _ = process_flag(trap_exit, true),
    <<Incarnation:64>> = crypto:strong_rand_bytes(8),
    self() ! abandon,
    {ok, #state{ask = Ask, incarnation = Incarnation, claims = hornbeam_cluster_claims:new(node(), Incarnation)}}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}} | {noreply, #state{}}.
handle_call({acquire, #{key := Key} = Request}, {Owner, _} = From, #state{claims = Claims} = State) ->
    Asked = Request#{key := {Owner, Key}, from => From, monitor => erlang:monitor(process, Owner)},
    {noreply, done(hornbeam_cluster_claims:acquire(Asked, now_ms(), Claims), State)};
handle_call({release, Key}, {Owner, _} = From, #state{claims = Claims} = State) ->
    {noreply, done(hornbeam_cluster_claims:release({Owner, Key}, From, now_ms(), Claims), State)};
handle_call({watch, Key}, {Owner, _} = From, #state{claims = Claims} = State) ->
    {noreply, done(hornbeam_cluster_claims:watch({Owner, Key}, From, Claims), State)};
handle_call(count, _From, #state{claims = Claims} = State) ->
    {reply, hornbeam_cluster_claims:count(Claims), State};
handle_call(_Request, _From, State) ->
    {reply, {error, not_supported}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({leave, Owner, Key}, #state{claims = Claims} = State) ->
    {noreply, done(hornbeam_cluster_claims:release({Owner, Key}, none, now_ms(), Claims), State)};
handle_cast({left, Owner}, State) ->
    {noreply, owner_left(Owner, State)};
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({timeout, Timer, wake}, #state{timer = {Timer, _}, claims = Claims} = State) ->
    {noreply, done(hornbeam_cluster_claims:wake(now_ms(), Claims), State#state{timer = none})};
handle_info({hornbeam_cluster, leases, _Index, resync}, #state{claims = Claims} = State) ->
    {noreply, done(hornbeam_cluster_claims:resync(now_ms(), Claims), State)};
handle_info({hornbeam_cluster, leases, _Index, Events}, State) ->
    {noreply, lists:foldl(fun(Event, #state{claims = Claims} = Before) ->
        done(hornbeam_cluster_claims:event(Event, now_ms(), Claims), Before)
    end, State, Events)};
handle_info({'DOWN', _Monitor, process, Owner, _Reason}, State) ->
    {noreply, owner_left(Owner, State)};
handle_info({refused, Label, Error}, State) ->
    {noreply, answered(Label, Error, State)};
handle_info(abandon, #state{incarnation = Incarnation} = State) ->
    {noreply, command(abandon, {abandon, node(), Incarnation}, State)};
handle_info(Message, #state{commands = Commands} = State) ->
    case gen_server:check_response(Message, Commands, true) of
        {{reply, Answer}, Label, Left} -> {noreply, answered(Label, Answer, State#state{commands = Left})};
        {{error, _}, Label, Left} -> {noreply, answered(Label, {error, in_doubt}, State#state{commands = Left})};
        _ -> {noreply, State}
    end.

-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{claims = Claims} = State) ->
    Told = lists:foldl(fun act/2, State, hornbeam_cluster_claims:end_all(Claims)),
    case hornbeam_cluster_claims:count(Claims) of
        0 -> ok;
        _ -> farewell(Told)
    end.

farewell(#state{ask = Ask}) ->
    case Ask({leases, {abandon, node(), none}}) of
        {ok, {Pid, Request}} -> _ = gen_server:wait_response(gen_server:send_request(Pid, Request), ?FAREWELL), ok;
        {error, _} -> ok
    end.

%%% What is decided is done

done({Actions, Claims}, State) ->
    armed(lists:foldl(fun act/2, State#state{claims = Claims}, Actions)).

act({command, Label, Op}, State) -> command(Label, Op, State);
act({reply, From, Answer}, State) -> gen_server:reply(From, Answer), State;
act({tell, Pid, Message}, State) -> Pid ! Message, State;
act({demonitor, Monitor}, State) -> _ = erlang:demonitor(Monitor, [flush]), State.

command(Label, Op, #state{ask = Ask, commands = Commands} = State) ->
    case Ask({leases, Op}) of
        {ok, {Pid, Request}} ->
            State#state{commands = gen_server:send_request(Pid, Request, Label, Commands)};
        {error, _} = Error ->
            %% As an answer of its own: what is being done is done first.
            self() ! {refused, Label, Error},
            State
    end.

%% A part answers so for nothing: the command was not this life's any more.
answered(Label, {ok, {error, _}}, State) ->
    answered(Label, {error, in_doubt}, State);
answered(abandon, {ok, _}, State) ->
    State;
answered(abandon, {error, _}, State) ->
    _ = erlang:send_after(?AGAIN, self(), abandon),
    State;
answered(Label, Answer, #state{claims = Claims} = State) ->
    done(hornbeam_cluster_claims:answer(Label, Answer, now_ms(), Claims), State).

owner_left(Owner, #state{claims = Claims} = State) ->
    done(hornbeam_cluster_claims:left(Owner, now_ms(), Claims), State).

armed(#state{claims = Claims, timer = Timer} = State) ->
    case {hornbeam_cluster_claims:due(Claims), Timer} of
        {Due, {_, Due}} -> State;
        {infinity, none} -> State;
        {infinity, {Old, _}} -> _ = erlang:cancel_timer(Old), State#state{timer = none};
        {Due, _} ->
            _ = [erlang:cancel_timer(Old) || {Old, _} <- [Timer]],
            State#state{timer = {erlang:start_timer(Due, self(), wake, [{abs, true}]), Due}}
    end.

now_ms() -> erlang:monotonic_time(millisecond).
