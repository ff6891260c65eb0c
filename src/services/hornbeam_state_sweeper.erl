%%% Removes from the shared state what has expired, every ?SWEEP ms, and counts what is there when it may be much.
%%%
%%% Called by: hornbeam_state_limits (tighten/0). Calls: hornbeam_state_store, hornbeam_state_limits. A read never returns what has expired, so nothing waits for
%%% this process; a sweep costs what is removed, however large the table is.
-module(hornbeam_state_sweeper).
-behaviour(gen_server).

-export([start_link/0, tighten/0, init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(SWEEP, 1000).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, [], []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

%% @doc Has hornbeam_state_limits:tighten/0 run here: a walk through the table.
-spec tighten() -> ok.
tighten() ->
    gen_server:cast(?MODULE, tighten).

-spec init([]) -> {ok, []}.
init([]) ->
    _ = erlang:send_after(?SWEEP, self(), sweep),
    {ok, []}.

-spec handle_call(term(), gen_server:from(), []) -> {reply, {error, not_supported}, []}.
handle_call(_Request, _From, State) ->
    {reply, {error, not_supported}, State}.

-spec handle_cast(term(), []) -> {noreply, []}.
handle_cast(tighten, State) ->
    ok = hornbeam_state_limits:tighten(),
    {noreply, State};
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), []) -> {noreply, []}.
handle_info(sweep, State) ->
    _ = hornbeam_state_store:remove_expired(),
    ok = hornbeam_state_limits:look(),
    _ = erlang:send_after(?SWEEP, self(), sweep),
    {noreply, State};
handle_info(_Message, State) ->
    {noreply, State}.
