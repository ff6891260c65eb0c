%%% What the shared state has to have done now and then, every ?SWEEP ms, and what takes long: that no writer waits for it.
%%%
%%% Called by: hornbeam_sup, which says what (hornbeam_state_store:remove_expired/0, hornbeam_state_limits:look/0); hornbeam_state_limits
%%% (run/1). A read never returns what has expired, so nothing waits for this process; a sweep costs what is removed, however large the
%%% table is.
-module(hornbeam_state_sweeper).
-behaviour(gen_server).

-export([start_link/1, run/1, init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(SWEEP, 1000).

-type work() :: fun(() -> term()).

-spec start_link(EachSweep :: [work()]) -> {ok, pid()} | {error, term()}.
start_link(EachSweep) ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, EachSweep, []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

%% @doc Has this done once, soon: a walk through the table.
-spec run(work()) -> ok.
run(Work) ->
    gen_server:cast(?MODULE, {run, Work}).

-spec init([work()]) -> {ok, [work()]}.
init(EachSweep) ->
    _ = erlang:send_after(?SWEEP, self(), sweep),
    {ok, EachSweep}.

-spec handle_call(term(), gen_server:from(), [work()]) -> {reply, {error, not_supported}, [work()]}.
handle_call(_Request, _From, State) ->
    {reply, {error, not_supported}, State}.

-spec handle_cast(term(), [work()]) -> {noreply, [work()]}.
handle_cast({run, Work}, EachSweep) ->
    _ = Work(),
    {noreply, EachSweep};
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), [work()]) -> {noreply, [work()]}.
handle_info(sweep, EachSweep) ->
    lists:foreach(fun(Work) -> Work() end, EachSweep),
    _ = erlang:send_after(?SWEEP, self(), sweep),
    {noreply, EachSweep};
handle_info(_Message, State) ->
    {noreply, State}.
