%%% Django's channel layers: where messages of their channels wait, and who is in their groups.
%%%
%%% Owns every layer of the node, in its state: the queues of channels, who waits for one, the members of groups. A layer is a name, so that
%%% several applications do not meet. Called by: hornbeam_service_layer, in a worker's process; hornbeam_services (left/1). Calls: nobody.
%%% Python's side: hornbeam_erlang/django/_layer.py.
%%%
%%% A message leaves its queue by `take', at once or not at all, so exactly one gets it. Who finds nothing waits (wait/4) and is told that
%%% there is something: all who wait for the channel are, since one of them may have given up. So no message is on its way to somebody who
%%% does not want it any more.
%%%
%%% A session (the life of one Python process) owns the prefix of its process-specific channels ("specific.x!"). With it go their queues,
%%% their places in groups, and its waits. If this process fails, everything is lost that waits here: delivery is at most once.
%%%
%%% Limits: the capacity and expiry of each channel, as the layer says with each message; limits() for all together. One more message is
%%% `full'. What has expired goes when its channel is looked at, and every ?SWEEP ms.
-module(hornbeam_layer).
-behaviour(gen_server).

-export([start_link/0, start_link/1, wait/4, forget/3, own/3, left/1, limits/0, counts/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).
-export_type([key/0]).

-type layer() :: binary().
-type key() :: {layer(), Name :: binary()}.     % a channel, or a group
-type limits() :: #{bytes := pos_integer(), members := pos_integer(), waits := pos_integer()}.

-record(waiter, {worker :: pid(), session :: reference(), id :: pos_integer(), token :: integer()}).
-record(state, {
    limits :: limits(),
    queues = #{} :: #{key() => queue:queue({Expires :: integer(), binary()})},
    waiting = #{} :: #{key() => [#waiter{}]},
    groups = #{} :: #{key() => #{Channel :: binary() => {Expires :: integer(), Capacity :: pos_integer()}}},
    owners = #{} :: #{reference() => {Monitor :: reference(), [key()]}},
    bytes = 0 :: non_neg_integer(),
    members = 0 :: non_neg_integer(),
    waits = 0 :: non_neg_integer()
}).

-define(SWEEP, 10000).
%% For each message besides its own bytes.
-define(MESSAGE, 128).

%% @doc What all layers together may take: bytes of messages, places in groups, waits.
-spec limits() -> limits().
limits() -> #{bytes => 134217728, members => 1000000, waits => 200000}.

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() -> start_link(limits()).

-spec start_link(limits()) -> {ok, pid()} | {error, term()}.
start_link(Limits) -> gen_server:start_link({local, ?MODULE}, ?MODULE, Limits, []).

%% @doc Tells the caller, a worker's process, that the channel has a message: {hornbeam_later, Session, Id, {ok, true}}.
-spec wait(key(), reference(), Id :: pos_integer(), Token :: integer()) -> ok.
wait(Key, Session, Id, Token) ->
    gen_server:cast(?MODULE, {wait, Key, #waiter{worker = self(), session = Session, id = Id, token = Token}}).

%% @doc Whoever waits by this token does so no longer.
-spec forget(key(), reference(), Token :: integer()) -> ok.
forget(Key, Session, Token) -> gen_server:cast(?MODULE, {forget, Key, Session, Token}).

%% @doc The caller's session has the channels that begin so.
-spec own(layer(), Prefix :: binary(), reference()) -> ok.
own(Layer, Prefix, Session) -> gen_server:cast(?MODULE, {own, {Layer, Prefix}, Session, self()}).

%% @doc A Python process has ended.
-spec left(reference()) -> ok.
left(Session) -> gen_server:cast(?MODULE, {left, Session}).

%% @doc How much there is now.
-spec counts() -> #{bytes | members | waits | channels | groups => non_neg_integer()}.
counts() -> gen_server:call(?MODULE, counts).

-spec init(limits()) -> {ok, #state{}}.
init(Limits) ->
    _ = erlang:send_after(?SWEEP, self(), sweep),
    {ok, #state{limits = Limits}}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call({send, Key, Message, Capacity, Expiry}, _From, State0) ->
    {Sent, State} = put_message(Key, Message, Capacity, Expiry, now_ms(), State0),
    {reply, Sent, State};
handle_call({take, Key}, _From, #state{queues = Queues} = State0) ->
    #state{queues = Fresh} = State = drop_expired(Key, now_ms(), State0#state{queues = Queues}),
    case Fresh of
        #{Key := Queue} ->
            {{value, {_, Message}}, Rest} = queue:out(Queue),
            {reply, {ok, Message}, keep(Key, Rest, freed(Message, State))};
        #{} ->
            {reply, empty, State}
    end;
handle_call({group_add, Key, Channel, Expiry, Capacity}, _From, State) ->
    add_member(Key, Channel, {now_ms() + Expiry, Capacity}, State);
handle_call({group_discard, Key, Channel}, _From, State) ->
    {reply, ok, drop_member(Key, Channel, State)};
handle_call({group_send, {Layer, _} = Key, Message, Expiry}, _From, #state{groups = Groups} = State0) ->
    Now = now_ms(),
    Members = maps:filter(fun(_, {Until, _}) -> Until > Now end, maps:get(Key, Groups, #{})),
    Answer = maps:fold(fun(Channel, {_, Capacity}, {Full, State}) ->
        case put_message({Layer, Channel}, Message, Capacity, Expiry, Now, State) of
            {ok, Next} -> {Full, Next};
            {full, Next} -> {Full + 1, Next}
        end
    end, {0, State0}, Members),
    {Full, State} = Answer,
    {reply, {map_size(Members), Full}, State};
handle_call({flush, Layer}, _From, State) ->
    {reply, ok, remove(fun({Of, _}) -> Of =:= Layer end, fun({Of, _}, _) -> Of =:= Layer end, State)};
handle_call(counts, _From, #state{bytes = Bytes, members = Members, waits = Waits, queues = Queues, groups = Groups} = State) ->
    {reply, #{bytes => Bytes, members => Members, waits => Waits, channels => map_size(Queues), groups => map_size(Groups)}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({wait, Key, Waiter}, State0) ->
    #state{queues = Queues, waits = Waits, limits = #{waits := Most}} = State = drop_expired(Key, now_ms(), State0),
    case is_map_key(Key, Queues) of
        true -> tell({ok, true}, Waiter), {noreply, State};
        false when Waits < Most -> {noreply, await(Key, Waiter, State)};
        false -> tell({error, value_error, <<"too many wait for messages of channel layers">>}, Waiter), {noreply, State}
    end;
handle_cast({forget, Key, Session, Token}, State) ->
    {noreply, stay(fun(#waiter{session = S, token = T}) -> S =/= Session orelse T =/= Token end, Key, State)};
handle_cast({own, Key, Session, Worker}, #state{owners = Owners} = State) ->
    {Monitor, Keys} = case Owners of
        #{Session := Known} -> Known;
        #{} -> {erlang:monitor(process, Worker, [{tag, {gone, Session}}]), []}
    end,
    {noreply, State#state{owners = Owners#{Session => {Monitor, lists:usort([Key | Keys])}}}};
handle_cast({left, Session}, State) ->
    {noreply, forget_session(Session, State)}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({{gone, Session}, _, process, _, _}, State) ->
    {noreply, forget_session(Session, State)};
handle_info(sweep, #state{queues = Queues, groups = Groups} = State0) ->
    Now = now_ms(),
    State = lists:foldl(fun(Key, State) -> drop_expired(Key, Now, State) end, State0, maps:keys(Queues)),
    Old = [{Key, Channel} || {Key, Members} <- maps:to_list(Groups), {Channel, {Until, _}} <- maps:to_list(Members), Until =< Now],
    _ = erlang:send_after(?SWEEP, self(), sweep),
    {noreply, lists:foldl(fun({Key, Channel}, Left) -> drop_member(Key, Channel, Left) end, State, Old)};
handle_info(_, State) ->
    {noreply, State}.

%%% Queues

put_message(Key, Message, Capacity, Expiry, Now, State0) ->
    #state{queues = Queues, bytes = Bytes, limits = #{bytes := Most}} = State = drop_expired(Key, Now, State0),
    Queue = maps:get(Key, Queues, queue:new()),
    Size = byte_size(Message) + ?MESSAGE,
    case queue:len(Queue) < Capacity andalso Bytes + Size =< Most of
        true ->
            Next = State#state{queues = Queues#{Key => queue:in({Now + Expiry, Message}, Queue)}, bytes = Bytes + Size},
            {ok, wake(Key, Next)};
        false ->
            {full, State}
    end.

%% Those at the front: a layer's messages have one expiry, so they are the oldest.
drop_expired(Key, Now, #state{queues = Queues} = State) ->
    case Queues of
        #{Key := Queue} -> drop_front(queue:peek(Queue), Queue, Key, Now, State);
        #{} -> State
    end.

drop_front({value, {Until, Message}}, Queue, Key, Now, State) when Until =< Now ->
    Rest = queue:drop(Queue),
    drop_front(queue:peek(Rest), Rest, Key, Now, freed(Message, State));
drop_front(_, Queue, Key, _Now, State) ->
    keep(Key, Queue, State).

keep(Key, Queue, #state{queues = Queues} = State) ->
    case queue:is_empty(Queue) of
        true -> State#state{queues = maps:remove(Key, Queues)};
        false -> State#state{queues = Queues#{Key => Queue}}
    end.

freed(Message, #state{bytes = Bytes} = State) ->
    State#state{bytes = Bytes - byte_size(Message) - ?MESSAGE}.

%%% Who waits

await(Key, Waiter, #state{waiting = Waiting, waits = Waits} = State) ->
    Others = maps:get(Key, Waiting, []),
    State#state{waiting = Waiting#{Key => [Waiter | Others]}, waits = Waits + 1}.

wake(Key, #state{waiting = Waiting, waits = Waits} = State) ->
    case maps:take(Key, Waiting) of
        {Waiters, Rest} ->
            lists:foreach(fun(Waiter) -> tell({ok, true}, Waiter) end, Waiters),
            State#state{waiting = Rest, waits = Waits - length(Waiters)};
        error ->
            State
    end.

tell(Answer, #waiter{worker = Worker, session = Session, id = Id}) ->
    Worker ! {hornbeam_later, Session, Id, Answer},
    ok.

stay(Stays, Key, #state{waiting = Waiting, waits = Waits} = State) ->
    Before = maps:get(Key, Waiting, []),
    Left = lists:filter(Stays, Before),
    Now = case Left of
        [] -> maps:remove(Key, Waiting);
        _ -> Waiting#{Key => Left}
    end,
    State#state{waiting = Now, waits = Waits - length(Before) + length(Left)}.

%%% Groups

add_member(Key, Channel, Member, #state{groups = Groups, members = Count, limits = #{members := Most}} = State) ->
    Members = maps:get(Key, Groups, #{}),
    New = not is_map_key(Channel, Members),
    case New andalso Count >= Most of
        true -> {reply, full, State};
        false when New -> {reply, ok, State#state{groups = Groups#{Key => Members#{Channel => Member}}, members = Count + 1}};
        false -> {reply, ok, State#state{groups = Groups#{Key => Members#{Channel => Member}}}}
    end.

drop_member(Key, Channel, #state{groups = Groups, members = Count} = State) ->
    case Groups of
        #{Key := #{Channel := _} = Members} when map_size(Members) =:= 1 ->
            State#state{groups = maps:remove(Key, Groups), members = Count - 1};
        #{Key := #{Channel := _} = Members} ->
            State#state{groups = Groups#{Key => maps:remove(Channel, Members)}, members = Count - 1};
        #{} ->
            State
    end.

%%% What ends

forget_session(Session, #state{owners = Owners, waiting = Waiting} = State0) ->
    State = lists:foldl(fun(Key, State) -> stay(fun(#waiter{session = S}) -> S =/= Session end, Key, State) end,
                        State0, maps:keys(Waiting)),
    case maps:take(Session, Owners) of
        {{Monitor, Keys}, Rest} ->
            _ = erlang:demonitor(Monitor, [flush]),
            Owned = fun(Key) -> is_map_key(prefix(Key), maps:from_keys(Keys, true)) end,
            remove(Owned, fun({Layer, _}, Channel) -> Owned({Layer, Channel}) end, State#state{owners = Rest});
        error ->
            State
    end.

prefix({Layer, Channel}) ->
    {Layer, hd(binary:split(Channel, <<"!">>))}.

remove(IsQueue, IsMember, #state{queues = Queues, groups = Groups} = State0) ->
    State = maps:fold(fun(Key, Queue, #state{queues = Left} = State) ->
        case IsQueue(Key) of
            true ->
                Emptied = State#state{queues = maps:remove(Key, Left)},
                lists:foldl(fun({_, Message}, Less) -> freed(Message, Less) end, Emptied, queue:to_list(Queue));
            false ->
                State
        end
    end, State0, Queues),
    Gone = [{Key, Channel} || {Key, Members} <- maps:to_list(Groups), Channel <- maps:keys(Members), IsMember(Key, Channel)],
    lists:foldl(fun({Key, Channel}, Left) -> drop_member(Key, Channel, Left) end, State, Gone).

now_ms() ->
    erlang:monotonic_time(millisecond).
