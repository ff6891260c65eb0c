%%% The last ?LINES lines of the log, for a page that shows them: a second handler of OTP's logger, which is there only while somebody keeps it.
%%%
%%% Called by: the dashboard (keep/1, read/1, subscribe/1, next/1), OTP's logger in the process that logs (log/2). Calls: hornbeam_log_format
%%% (fields/1).
%%%
%%% Whoever logs writes the row by itself; this process owns the table and knows who keeps it, and ends with the last of them. A subscriber
%%% is told once that there is something new ({hornbeam_log_ring, Ref}), and again after its next next/1: so whatever is logged, there is
%%% one message at most in its mailbox.
%%%
%%% Limits: ?LINES rows of at most ?LONGEST bytes of message and as many of an exception; a subscriber that reads less often than ?LINES are
%%% logged misses the oldest, as `seq' shows.
-module(hornbeam_log_ring).
-behaviour(gen_server).

-export([keep/1, read/1, subscribe/1, next/1, unsubscribe/1]).
-export([log/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export_type([line/0, filter/0, subscription/0]).

-define(LINES, 1000).
-define(LONGEST, 4096).
-define(ROWS, hornbeam_log_ring).

-type line() :: #{seq := pos_integer(), time_us := integer(), level := logger:level(), logger := binary(), message := binary(),
                  exception => binary(), worker => pos_integer(), request_id => binary(), trace_id => binary(), span_id => binary()}.
%% level: this one and those that are worse. logger: this one and those below it. text: what message or exception has somewhere.
%% after: newer than this seq. limit: so many of the newest.
-type filter() :: #{level => logger:level(), logger => binary(), text => binary(), worker => pos_integer(), request_id => binary(),
                    trace_id => binary(), 'after' => non_neg_integer(), limit => pos_integer()}.
-record(subscription, {ref :: reference(), filter :: filter(), seq :: non_neg_integer()}).
-opaque subscription() :: #subscription{}.

%% @doc From now on, until the process ends: the lines that are logged are kept.
-spec keep(pid()) -> ok.
keep(Pid) ->
    case gen_server:start({local, ?MODULE}, ?MODULE, Pid, []) of
        {ok, _} -> ok;
        {error, {already_started, Ring}} ->
            try gen_server:call(Ring, {keep, Pid}, infinity)
            catch exit:_ -> keep(Pid)       % it has just ended with the one before
            end
    end.

%% @doc The lines that fit, the oldest first; none where nobody keeps them.
-spec read(filter()) -> [line()].
read(Filter) ->
    {Lines, _} = read_after(maps:get('after', Filter, 0), Filter),
    Lines.

%% @doc Messages {hornbeam_log_ring, Ref} say that next/1 may have something.
-spec subscribe(filter()) -> {ok, reference(), subscription()} | {error, not_kept}.
subscribe(Filter) ->
    Ref = make_ref(),
    try gen_server:call(?MODULE, {subscribe, self(), Ref}, infinity) of
        Seq -> {ok, Ref, #subscription{ref = Ref, filter = Filter, seq = Seq}}
    catch exit:_ -> {error, not_kept}
    end.

%% @doc What has come since.
-spec next(subscription()) -> {[line()], subscription()}.
next(#subscription{ref = Ref, filter = Filter, seq = Before} = Subscription) ->
    ok = gen_server:cast(?MODULE, {again, Ref}),
    {Lines, Seq} = read_after(Before, Filter),
    {Lines, Subscription#subscription{seq = Seq}}.

-spec unsubscribe(subscription()) -> ok.
unsubscribe(#subscription{ref = Ref}) ->
    ok = gen_server:cast(?MODULE, {unsubscribe, Ref}),
    receive {?MODULE, Ref} -> ok after 0 -> ok end.

read_after(After, Filter) ->
    Rows = try ets:select(?ROWS, [{{'$1', '_'}, [{'>', '$1', After}, {is_integer, '$1'}], ['$_']}])
    catch error:badarg -> []
    end,
    Seq = lists:foldl(fun({N, _}, _) -> N end, After, Rows),
    Lines = [Line#{seq => N} || {N, Line} <- Rows, fits(maps:to_list(Filter), Line)],
    {newest(Lines, Filter), Seq}.

newest(Lines, #{limit := Limit}) when length(Lines) > Limit -> lists:nthtail(length(Lines) - Limit, Lines);
newest(Lines, _Filter) -> Lines.

fits([], _Line) -> true;
fits([{Key, Value} | Rest], Line) -> fits(Key, Value, Line) andalso fits(Rest, Line).

fits(level, Wanted, #{level := Level}) -> logger:compare_levels(Level, Wanted) =/= lt;
fits(logger, Wanted, #{logger := Name}) -> Name =:= Wanted orelse string:prefix(Name, <<Wanted/binary, ".">>) =/= nomatch;
fits(text, Wanted, Line) ->
    Text = string:casefold(Wanted),
    lists:any(fun(Key) -> string:find(string:casefold(maps:get(Key, Line, <<>>)), Text) =/= nomatch end, [message, exception]);
fits(Key, _, _) when Key =:= 'after'; Key =:= limit -> true;
fits(Key, Wanted, Line) -> maps:get(Key, Line, none) =:= Wanted.

%%% OTP's logger, in the process that logs

-spec log(logger:log_event(), logger:handler_config()) -> ok.
log(Event, #{config := Waiting}) ->
    try
        Seq = ets:update_counter(?ROWS, seq, 1),
        true = ets:insert(?ROWS, {Seq, line(Event)}),
        true = ets:delete(?ROWS, Seq - ?LINES),
        %% Read after the row is written: whoever is told finds it.
        case atomics:exchange(Waiting, 1, 0) of
            0 -> ok;
            1 -> gen_server:cast(?MODULE, news)
        end
    catch error:badarg -> ok        % the table has just gone
    end.

line(Event) ->
    %% What `crash' says is in the message as well.
    maps:map(fun short/2, maps:remove(crash, maps:from_list(hornbeam_log_format:fields(Event)))).

short(Key, Text) when Key =:= message; Key =:= exception ->
    case byte_size(Text) of
        Size when Size > ?LONGEST -> <<(whole(unicode:characters_to_binary(binary:part(Text, 0, ?LONGEST))))/binary, " [cut]">>;
        _ -> binary:copy(Text)
    end;
short(_Key, Value) ->
    Value.

%% Without the part of a character.
whole({_, Good, _}) -> Good;
whole(Text) -> Text.

%%% The process

-record(state, {
    keepers :: #{pid() => reference()},
    waiting :: atomics:atomics_ref(),                           % 1: somebody wants to be told
    told = #{} :: #{reference() => {pid(), told | waits}}       % subscribers
}).

-spec init(pid()) -> {ok, #state{}}.
init(Pid) ->
    process_flag(trap_exit, true),
    ?ROWS = ets:new(?ROWS, [named_table, public, ordered_set, {write_concurrency, true}]),
    true = ets:insert(?ROWS, {seq, 0}),
    Waiting = atomics:new(1, []),
    _ = logger:remove_handler(?MODULE),     % of one that was killed
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => Waiting}),
    {ok, kept(Pid, #state{keepers = #{}, waiting = Waiting})}.

kept(Pid, #state{keepers = Keepers} = State) when is_map_key(Pid, Keepers) -> State;
kept(Pid, #state{keepers = Keepers} = State) -> State#state{keepers = Keepers#{Pid => monitor(process, Pid)}}.

-spec handle_call({keep, pid()} | {subscribe, pid(), reference()}, gen_server:from(), #state{}) -> {reply, ok | non_neg_integer(), #state{}}.
handle_call({keep, Pid}, _From, State) ->
    {reply, ok, kept(Pid, State)};
handle_call({subscribe, Pid, Ref}, _From, #state{told = Told} = State) ->
    _ = monitor(process, Pid, [{tag, {gone, Ref}}]),
    {reply, ets:lookup_element(?ROWS, seq, 2), wants(Ref, State#state{told = Told#{Ref => {Pid, told}}})}.

-spec handle_cast(news | {again | unsubscribe, reference()}, #state{}) -> {noreply, #state{}}.
handle_cast(news, #state{told = Told} = State) ->
    _ = [Pid ! {?MODULE, Ref} || {Ref, {Pid, waits}} <- maps:to_list(Told)],
    {noreply, State#state{told = maps:map(fun(_, {Pid, _}) -> {Pid, told} end, Told)}};
handle_cast({again, Ref}, State) ->
    {noreply, wants(Ref, State)};
handle_cast({unsubscribe, Ref}, #state{told = Told} = State) ->
    {noreply, State#state{told = maps:remove(Ref, Told)}}.

wants(Ref, #state{told = Told, waiting = Waiting} = State) ->
    ok = atomics:put(Waiting, 1, 1),
    case Told of
        #{Ref := {Pid, _}} -> State#state{told = Told#{Ref := {Pid, waits}}};
        #{} -> State
    end.

-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({'DOWN', _, process, Pid, _}, #state{keepers = Keepers} = State) ->
    case maps:remove(Pid, Keepers) of
        Left when map_size(Left) =:= 0 -> {stop, normal, State};
        Left -> {noreply, State#state{keepers = Left}}
    end;
handle_info({{gone, Ref}, _, process, _, _}, #state{told = Told} = State) ->
    {noreply, State#state{told = maps:remove(Ref, Told)}};
handle_info({'EXIT', _From, Reason}, State) ->
    {stop, Reason, State};
handle_info(_Message, State) ->
    {noreply, State}.

-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, _State) ->
    _ = logger:remove_handler(?MODULE),
    ok.
