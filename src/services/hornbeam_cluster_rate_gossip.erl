%%% Rate limits over nodes without a round trip: each node counts what it lets through and tells the others, which count it as well.
%%%
%%% Called by: hornbeam_service_rates, in a worker's process (hit/3, reset/1); hornbeam_cluster_sup. Calls: hornbeam_rate_limit (the rows, which are the
%%% node's), hornbeam_cluster_group, hornbeam_cluster_say (send/2). Only where there is a cluster.
%%%
%%%     worker's process                       this process                     those of the other nodes
%%%       hit/3: the node's row decides
%%%       {spent, Row, Cost, Left, Windows} ──▶ adds them up; tells all after
%%%                                             ?PERIOD, sooner when little is left ──▶ {charged, [{Row, Cost, Windows}]}: hornbeam_rate_limit:charge/3
%%%
%%% What is told is charged whether it would have passed or not, so what passed too much at once is a debt that is paid before more passes. With N nodes, and
%%% what one lets through known to all others D ns later, in T ns no more pass than (N + 1) times what may at once and (T + N * D) / Interval; whatever is lost,
%%% N times as much as on one node (test/prop_hornbeam_rate_limit.erl). D is ?PERIOD at most, and ?SOON once what a node has not told is 1 / 2N of what is left.
%%%
%%% Failure: this process ends: what it had not told is lost. A node that comes anew, or back from a partition, has not counted what others let through.
%%% Limit: for a link that is congested ?MOST rows are kept until it is not; beyond that nothing is told there.
-module(hornbeam_cluster_rate_gossip).
-behaviour(gen_server).

-export([start_link/1, hit/3, reset/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(GROUP, {rates, 1}).
%% In ms.
-define(PERIOD, 1000).
-define(SOON, 10).
-define(MOST, 100000).

-type spent() :: #{Row :: binary() => {Cost :: pos_integer(), [hornbeam_gcra:window(), ...]}}.
-record(state, {
    monitor :: reference(),
    spent = #{} :: spent(),
    untold = #{} :: #{pid() => spent()},                     % what others could not be told
    last :: integer(),                                       % when they were told, in ms
    timer = none :: none | {slow | soon, reference()}
}).

-spec start_link(map()) -> {ok, pid()} | {error, term()}.
start_link(_Options) ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, [], []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

%% @doc As hornbeam_rate_limit:hit/3; the other nodes hear of it.
-spec hit(Key :: binary(), Cost :: non_neg_integer(), [hornbeam_gcra:window(), ...]) ->
    {ok, hornbeam_gcra:verdict()} | {error, too_large | not_a_rate_limit}.
hit(Key, Cost, Windows) ->
    case hornbeam_rate_limit:hit(Key, Cost, Windows) of
        {ok, {true, _, Used}} = Passed when Cost > 0 ->
            Left = lists:min([(Tolerance - Ns) div Interval || {{Interval, Tolerance}, Ns} <- lists:zip(Windows, Used)]),
            ok = gen_server:cast(?MODULE, {spent, Key, Cost, Left, Windows}),
            Passed;
        Other ->
            Other
    end.

%% @doc The windows of a key are whole again, on all nodes that can be told now.
-spec reset(Key :: binary()) -> boolean().
reset(Key) ->
    ok = gen_server:cast(?MODULE, {reset, Key}),
    hornbeam_rate_limit:reset(Key).

-spec init([]) -> {ok, #state{}}.
init([]) ->
    {ok, #state{monitor = hornbeam_cluster_group:join(?GROUP), last = now_ms() - ?PERIOD}}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, {error, not_supported}, #state{}}.
handle_call(_Request, _From, State) ->
    {reply, {error, not_supported}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({spent, Row, Cost, Left, Windows}, #state{spent = Spent} = State) ->
    case hornbeam_cluster_group:others(?GROUP) of
        [] ->
            {noreply, State};
        Others ->
            #{Row := {Sum, _}} = Now = added(Row, Cost, Windows, Spent),
            Urgent = 2 * (length(Others) + 1) * Sum >= Left,
            {noreply, timed(case Urgent of true -> soon; false -> slow end, State#state{spent = Now})}
    end;
handle_cast({reset, Row}, #state{spent = Spent, untold = Untold} = State) ->
    lists:foreach(fun(Other) -> hornbeam_cluster_say:send(Other, {reset, Row}) end, hornbeam_cluster_group:others(?GROUP)),
    {noreply, State#state{spent = maps:remove(Row, Spent), untold = maps:map(fun(_, Rows) -> maps:remove(Row, Rows) end, Untold)}};
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, shutdown, #state{}}.
handle_info({charged, Rows}, State) ->
    %% A row that cannot be written is a limit that was forgotten: it begins anew.
    lists:foreach(fun({Row, Cost, Windows}) -> hornbeam_rate_limit:charge(Row, Cost, Windows) end, Rows),
    {noreply, State};
handle_info({reset, Row}, State) ->
    _ = hornbeam_rate_limit:reset(Row),
    {noreply, State};
handle_info({timeout, Timer, tell}, #state{timer = {_, Timer}} = State) ->
    {noreply, tell(State#state{timer = none})};
handle_info({'DOWN', Monitor, process, _, _}, #state{monitor = Monitor} = State) ->
    {stop, shutdown, State};
handle_info(_Message, State) ->
    {noreply, State}.

added(Row, Cost, Windows, Spent) ->
    maps:update_with(Row, fun({Sum, _}) -> {Sum + Cost, Windows} end, {Cost, Windows}, Spent).

%% A slow timer gives way to a soon one; one round each ?SOON ms at most.
timed(slow, #state{timer = none} = State) -> State#state{timer = {slow, erlang:start_timer(?PERIOD, self(), tell)}};
timed(soon, #state{timer = {soon, _}} = State) -> State;
timed(soon, #state{timer = Timer, last = Last} = State) ->
    _ = case Timer of {slow, Slow} -> erlang:cancel_timer(Slow); none -> ok end,
    State#state{timer = {soon, erlang:start_timer(max(0, Last + ?SOON - now_ms()), self(), tell)}};
timed(slow, State) -> State.

tell(#state{spent = Spent, untold = Untold0} = State) ->
    Untold = maps:from_list([{Other, Rows} || Other <- hornbeam_cluster_group:others(?GROUP),
                                              Rows <- told(Other, merged(Spent, maps:get(Other, Untold0, #{})))]),
    Told = State#state{spent = #{}, untold = Untold, last = now_ms()},
    case map_size(Untold) of
        0 -> Told;
        _ -> timed(slow, Told)
    end.

merged(Spent, Before) ->
    maps:fold(fun(Row, {Cost, Windows}, Acc) -> added(Row, Cost, Windows, Acc) end, Before, Spent).

told(_Other, Rows) when map_size(Rows) =:= 0 ->
    [];
told(Other, Rows) ->
    case hornbeam_cluster_say:send(Other, {charged, [{Row, Cost, Windows} || {Row, {Cost, Windows}} <- maps:to_list(Rows)]}) of
        nosuspend when map_size(Rows) =< ?MOST -> [Rows];
        _ -> []
    end.

now_ms() -> erlang:monotonic_time(millisecond).
