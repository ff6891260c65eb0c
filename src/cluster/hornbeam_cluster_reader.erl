%%% Questions of this node to the replicated state: those that come while one is asked are asked together as the next.
%%%
%%% Called by: hornbeam_cluster (query/2). Calls: ra (consistent_query/3, local_query/3), hornbeam_cluster_machine (ask/2), in a process that
%%% is linked to it. Two of them run: one whose answers are linearizable, which costs a round to a majority, and one whose answers are what this node's member has
%%% applied so far.
%%%
%%%     {ask, {Part, Question}, Until}  ─▶  {ok, Answer} | {error, no_quorum}
%%%
%%% A read that fails changes nothing, so it is asked again until its time is over; a majority that is not there is told at once.
-module(hornbeam_cluster_reader).
-behaviour(gen_server).

-export([start_link/2, ask/3, member/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(MAX, 20000).
-define(PAUSE, 20).
%% Of one attempt.
-define(ATTEMPT, 1000).

-type kind() :: linearizable | local.
-type asked() :: {gen_server:from(), {hornbeam_cluster_machine:part(), term()}, Until :: integer()}.
-record(state, {
    kind :: kind(),
    member = none :: none | ra:server_id(),
    waiting = [] :: [asked()],
    number = 0 :: non_neg_integer(),
    refused = false :: boolean(),    % the last ones: there was no majority
    asking = none :: none | pid()
}).

-spec start_link(kind(), map()) -> {ok, pid()} | {error, term()}.
start_link(Kind, _Options) ->
    case gen_server:start_link({local, name(Kind)}, ?MODULE, Kind, []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

name(linearizable) -> hornbeam_cluster_reader;
name(local) -> hornbeam_cluster_reader_local.

%% @doc Asks in the calling process, which waits.
-spec ask(kind(), {hornbeam_cluster_machine:part(), Question :: term()}, Timeout :: pos_integer()) ->
    {ok, term()} | {error, no_quorum | too_many}.
ask(Kind, Question, Timeout) ->
    try gen_server:call(name(Kind), {ask, Question, now_ms() + Timeout}, Timeout + 2 * ?ATTEMPT)
    catch exit:_ -> {error, no_quorum}
    end.

%% @doc Which Ra server is this node's.
-spec member(ra:server_id() | none) -> ok.
member(Member) ->
    lists:foreach(fun(Kind) -> gen_server:cast(name(Kind), {member, Member}) end, [linearizable, local]).

-spec init(kind()) -> {ok, #state{}}.
init(Kind) ->
    process_flag(trap_exit, true),
    ok = gen_server:cast(hornbeam_cluster_engine, member),
    {ok, #state{kind = Kind}}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}} | {noreply, #state{}}.
handle_call({ask, _, _}, _From, #state{member = none} = State) ->
    {reply, {error, no_quorum}, State};
handle_call({ask, _, _}, _From, #state{number = ?MAX} = State) ->
    {reply, {error, too_many}, State};
handle_call({ask, Question, Until}, From, #state{waiting = Waiting, number = Number} = State) ->
    {noreply, begun(State#state{waiting = [{From, Question, Until} | Waiting], number = Number + 1})};
handle_call(_Request, _From, State) ->
    {reply, {error, not_supported}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({member, Member}, State) -> {noreply, State#state{member = Member}};
handle_cast(_Request, State) -> {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({'EXIT', Pid, Reason}, #state{asking = Pid} = State) ->
    {noreply, begun(State#state{asking = none, refused = Reason =:= {shutdown, refused}})};
handle_info(_Message, State) -> {noreply, State}.

begun(#state{asking = none, waiting = [_ | _] = Waiting, kind = Kind, member = Member, refused = Refused} = State) ->
    Pid = spawn_link(fun() -> first(Refused, Kind, Member, lists:reverse(Waiting)) end),
    State#state{asking = Pid, waiting = [], number = 0};
begun(State) ->
    State.

%%% The process that asks

%% Ra would be waited for in vain again, where no majority was there and still is not.
first(true, linearizable, Member, Asked) ->
    case hornbeam_cluster_client:has_quorum() of
        true -> answer(linearizable, Member, Asked);
        false -> failed(linearizable, Member, Asked, false)
    end;
first(_Refused, Kind, Member, Asked) ->
    answer(Kind, Member, Asked).

answer(Kind, Member, Asked) ->
    Questions = [Question || {_, Question, _} <- Asked],
    case asked(Kind, Member, {hornbeam_cluster_machine, ask, [Questions]}) of
        {ok, Answers} ->
            lists:foreach(fun({{From, _, _}, Answer}) -> gen_server:reply(From, {ok, Answer}) end, lists:zip(Asked, Answers));
        error ->
            failed(Kind, Member, Asked, hornbeam_cluster_client:has_quorum())
    end.

failed(Kind, Member, Asked, HasQuorum) ->
    Now = now_ms(),
    {Again, Over} = lists:partition(fun({_, _, Until}) -> HasQuorum andalso Until > Now + ?PAUSE end, Asked),
    lists:foreach(fun({From, _, _}) -> gen_server:reply(From, {error, no_quorum}) end, Over),
    again(Kind, Member, Again).

again(_Kind, _Member, []) ->
    exit({shutdown, refused});
again(Kind, Member, Again) ->
    receive after ?PAUSE -> answer(Kind, Member, Again) end.

%% A member that is not there is an exit or an error, by what is missing of it.
asked(linearizable, Member, Query) ->
    try ra:consistent_query(Member, Query, ?ATTEMPT) of
        {ok, Answers, _Leader} -> {ok, Answers};
        _ -> error
    catch
        exit:_ -> error
    end;
asked(local, Member, Query) ->
    try ra:local_query(Member, Query, ?ATTEMPT) of
        {ok, {_Index, Answers}, _Leader} -> {ok, Answers};
        _ -> error
    catch
        exit:_ -> error
    end.

now_ms() -> erlang:monotonic_time(millisecond).
