%%% Requests that take long: the option slow_request.
%%%
%%% A child of its server (hornbeam_server), behind a hornbeam_keeper; none without the option. Calls: hornbeam_diagnose_workers, hornbeam_worker_rows,
%%% hornbeam_worker_stack, logger.
%%%
%%% A request costs nothing for it. Four times in that span this process reads which streams of each worker are older, asks the worker once where those are
%%% that it has not told of, and logs them with that. Where the worker's loop is blocked the stacks of its threads are had by a signal; they stand with the first of
%%% its requests. A request is told of once. It counts from when a worker is given it: what waits for one is not seen here.
%%%
%%% Limits: ?MOST lines in ?SPAN ms; how many were left out is said when there is room again. A worker that does not answer holds up the others for ?PATIENCE and
%%% what a signal takes.
-module(hornbeam_slow).
-behaviour(gen_server).

-export([start_link/2, init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(LEAST_TICK, 20).
-define(MOST_TICK, 1000).
-define(PATIENCE, 500).
-define(MOST, 20).
-define(SPAN, 10000).

-record(state, {
    name :: atom(),
    limit :: pos_integer(),                     % ms
    told = #{} :: #{{pid(), hornbeam_frame:stream_id()} => true},   % of those that are in progress
    room = ?MOST :: non_neg_integer(),
    since :: integer(),                         % of this span, monotonic ms
    left_out = 0 :: non_neg_integer()
}).

-spec start_link(Name :: atom(), Config :: map()) -> {ok, pid()} | ignore | {error, term()}.
start_link(_Name, #{slow_request := 0}) -> ignore;
start_link(Name, #{slow_request := Limit}) -> gen_server:start_link(?MODULE, {Name, Limit}, []).

-spec init({atom(), pos_integer()}) -> {ok, #state{}}.
init({Name, Limit}) ->
    {ok, later(#state{name = Name, limit = Limit, since = now_ms()})}.

later(#state{limit = Limit} = State) ->
    _ = erlang:send_after(max(?LEAST_TICK, min(?MOST_TICK, Limit div 4)), self(), look),
    State.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, {error, not_supported}, #state{}}.
handle_call(_Request, _From, State) ->
    {reply, {error, not_supported}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info(look, #state{name = Name} = State0) ->
    State = refilled(State0),
    Workers = [{Worker, rows(Worker, State)} || Worker <- hornbeam_diagnose_workers:all(Name)],
    Told = maps:with([{Pid, Id} || {#{pid := Pid}, Rows} <- Workers, #{id := Id} <- Rows], State#state.told),
    {noreply, later(lists:foldl(fun worker/2, State#state{told = Told}, Workers))};
handle_info(_Message, State) ->
    {noreply, State}.

rows(#{pid := Pid}, #state{limit = Limit}) ->
    [Row || #{kind := Kind} = Row <- hornbeam_worker_rows:ask(Pid, Limit * 1000), Kind =/= call].

refilled(#state{since = Since, left_out = LeftOut} = State) ->
    case now_ms() - Since >= ?SPAN of
        true ->
            _ = LeftOut > 0 andalso logger:warning("~b more slow requests were not logged", [LeftOut]),
            State#state{since = now_ms(), room = ?MOST, left_out = 0};
        false ->
            State
    end.

worker({#{pid := Pid} = Worker, Rows}, #state{told = Told, room = Room, left_out = LeftOut} = State) ->
    New = [Row || #{id := Id} = Row <- Rows, not is_map_key({Pid, Id}, Told)],
    {Logged, Others} = lists:split(min(Room, length(New)), New),
    ok = tell(Worker, Logged, State),
    State#state{told = maps:merge(Told, maps:from_keys([{Pid, Id} || #{id := Id} <- New], true)), room = Room - length(Logged),
                left_out = LeftOut + length(Others)}.

tell(_Worker, [], _State) ->
    ok;
tell(#{pid := Pid} = Worker, Rows, State) ->
    case hornbeam_worker_stack:of_streams(Pid, [Id || #{id := Id} <- Rows], ?PATIENCE) of
        {streams, Texts} ->
            lists:foreach(fun(#{id := Id} = Row) -> log(Worker, Row, where(maps:get(Id, Texts, none)), State) end, Rows);
        {blocked, Text} ->
            [First | Others] = Rows,
            log(Worker, First, ["; the event loop is blocked. The stack of every thread, the innermost line first:\n", string:trim(Text)], State),
            lists:foreach(fun(Row) -> log(Worker, Row, "; the event loop is blocked, as was said before", State) end, Others);
        {error, {stopped, _, _}} ->
            lists:foreach(fun(Row) -> log(Worker, Row, "; its process is stopped", State) end, Rows);
        {error, _} ->
            lists:foreach(fun(Row) -> log(Worker, Row, "; where it is cannot be told", State) end, Rows)
    end.

where(none) -> "; it has ended meanwhile";
where(<<>>) -> "; it waits for a thread";
where(Text) -> [". Where it is:\n", Text].

log(#{name := Name, number := Number}, #{method := Method, path := Path, age_us := Age, request_id := Id}, Where, #state{limit = Limit}) ->
    Meta = maps:from_list([{hornbeam_worker, Number} | [{request_id, binary_to_list(Id)} || Id =/= none]]),
    logger:warning("slow request: ~ts ~ts has been in worker ~ts for ~b ms (slow_request: ~b)~ts", [Method, Path, Name, Age div 1000, Limit, Where], Meta).

now_ms() ->
    erlang:monotonic_time(millisecond).
