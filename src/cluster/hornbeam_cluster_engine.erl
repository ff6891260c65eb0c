%%% This node as a member of the cluster: founds it with others or joins it, keeps its Ra server, leaves, has others forgotten.
%%%
%%% Called by: hornbeam_cluster_sup; hornbeam_cluster (info/0, leave/0, forget/1); hornbeam_cluster_links ({discovered, Nodes}: all that there should be, this node
%%% among them, each time it has looked); its like on other nodes (the calls below). Calls: hornbeam_cluster_forming (what is next), hornbeam_cluster_mending, hornbeam_cluster_replica (Ra),
%%% hornbeam_cluster_folder, hornbeam_cluster_client and _reader (who is a member).
%%%
%%%            data ┌───────────────────────────────────────────────────────────────┐
%%%     start ──────┤                                                               ▼
%%%                 └▶ empty ─▶ promised ─▶ founded ─▶ settled ───────▶ joined: a member ──▶ left
%%%                      └────▶ joining: its server runs, a leader adds it ──▲
%%%
%%% Founding. A node without data asks all that are discovered and connected who they are (who). When none is a member and so many are empty as cluster_size says,
%%% the one with the smallest name makes an id, and has each promise to be a founder (promise: written down before it says yes, for one founding at a time). When all
%%% have, it begins, and tells them to (begin). One that has promised and does not hear it hears from any member (who), and begins; a promise whose founder has not begun
%%% is over after ?PROMISE ms. The founders are more than half of those that are discovered, too: so nodes that discover the same do not found two clusters.
%%% After ?SAVED ms a founder's log is on its disk for sure (settled). When all founders say that they are, the one that made the id has itself elected: so who comes back
%%% without a log before has not voted and may begin again (founded becomes promised), and who comes back without one after that may have (settled, joined).
%%%
%%% Joining. A node without data that finds a member starts a server and asks that one to add it (admit), as one that votes when it has caught up. If it was a member before
%%% and has lost its data, it has itself removed first (remove), since it may have voted in what it has forgotten. One that has data, but was forgotten while it was
%%% away, hears so from a majority of the members, drops what it has and joins.
%%%
%%% The name of the Ra servers has the cluster's id in it: what another cluster's servers say reaches nobody.
%%%
%%% Failure. Ra's server ends for good when its log cannot be written: the disk is full. It, and what of Ra has ended with it, is started anew every two seconds until it
%%% runs; meanwhile this node is as one that is away. A log that has a hole then (Ra 2.14 can leave one where the disk was full) ends each new server: after
%%% five of them (hornbeam_cluster_mending) the node has itself removed by the others, so that it finds that it was forgotten, and joins anew.
%%%
%%% Stopping hands the leadership over, and leaves the membership as it is. leave/0 and forget/1 change it.
%%% The calls between the nodes are answered from this process's state, or in a process of their own: nobody waits for Ra in here but at the start and the stop.
-module(hornbeam_cluster_engine).
-behaviour(gen_server).

-export([start_link/1, info/0, leave/0, forget/1, changed/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-define(LOOK, 500).
-define(ASK, 2000).
-define(PROMISE, 30000).
%% An election that has been asked for has as long.
-define(ELECTION, 5000).
%% After so long Ra's directory of servers is on disk (a dets table with auto_save of half a second, measured: a second). A server that was killed before would come
%% back without its log.
-define(SAVED, 1500).

-record(state, {
    folder :: file:filename_all(),
    size :: pos_integer(),
    forget_after :: timeout(),
    discovered = [] :: [node()],
    phase :: hornbeam_cluster_forming:phase(),
    promised_at = none :: none | integer(),
    looking = none :: none | pid(),
    mending = hornbeam_cluster_mending:new() :: hornbeam_cluster_mending:mending(),
    members = [] :: [node()],                       % as they were told to the client
    gone = #{} :: #{node() => Since :: integer()}   % members that are not connected
}).

-spec start_link(map()) -> {ok, pid()} | {error, term()}.
start_link(Options) ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, Options, []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

%% @doc How far this node is, the cluster's id, and what Ra says of its member.
-spec info() -> #{phase := atom(), id := binary() | none, members := [node()], atom() => term()}.
info() -> gen_server:call(?MODULE, info).

%% @doc This node is a member no longer, and does not join again before it is started anew.
-spec leave() -> ok | {error, term()}.
leave() -> gen_server:call(?MODULE, leave, 30000).

%% @doc Another node, which is gone for good, is a member no longer.
-spec forget(node()) -> ok | {error, not_member | term()}.
forget(Node) -> gen_server:call(?MODULE, {forget, Node}, 30000).

%% @doc The options that may change.
-spec changed(map()) -> ok.
changed(#{cluster_forget_after := After}) -> gen_server:cast(?MODULE, {forget_after, After}).

-spec init(map()) -> {ok, #state{}} | {stop, term()}.
init(#{cluster_dir := Folder, cluster_size := Size} = Options) ->
    process_flag(trap_exit, true),
    State = #state{folder = Folder, size = Size, forget_after = maps:get(cluster_forget_after, Options, infinity), phase = empty},
    case hornbeam_cluster_folder:open(Folder) of
        ok ->
            case hornbeam_cluster_folder:read(Folder) of
                {ok, Phase} -> started(State#state{phase = Phase, promised_at = now_ms()});
                empty -> started(State);
                {error, Text} -> {stop, {shutdown, {cluster, Text}}}
            end;
        {error, Text} ->
            {stop, {shutdown, {cluster, Text}}}
    end.

started(#state{folder = Folder} = State) ->
    case hornbeam_cluster_replica:start(hornbeam_cluster_folder:ra(Folder)) of
        ok ->
            self() ! look,
            {ok, resumed(State)};
        {error, Reason} ->
            {stop, {shutdown, {cluster, io_lib:format("Ra does not start: ~0tp", [Reason])}}}
    end.

%% What Ra has no files of was not begun, or they are lost.
resumed(#state{phase = {Kind, Id, _, _}} = State) when Kind =/= promised ->
    case hornbeam_cluster_replica:resume(Id) of
        ok -> settled(State);
        {error, not_there} -> again(State);
        {error, Reason} -> exit({shutdown, {cluster, io_lib:format("this node's member does not start: ~0tp", [Reason])}})
    end;
resumed(State) ->
    State.

again(#state{phase = Phase} = State) ->
    case hornbeam_cluster_forming:resumed(Phase) of
        empty -> cleared(State);
        Promised -> kept(Promised, State)
    end.

cleared(#state{folder = Folder} = State) ->
    ok = hornbeam_cluster_folder:clear(Folder),
    State#state{phase = empty}.

%% A founder's files were there at a start, or are there for long enough.
settled(#state{phase = {founded, Id, By, Founders}} = State) -> kept({settled, Id, By, Founders}, State);
settled(State) -> State.

kept(Phase, #state{folder = Folder} = State) ->
    ok = hornbeam_cluster_folder:write(Folder, Phase),
    State#state{phase = Phase, promised_at = now_ms()}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}} | {noreply, #state{}}.
handle_call(who, _From, State) ->
    {reply, hornbeam_cluster_forming:who(State#state.phase, fun hornbeam_cluster_replica:members/1), State};
handle_call({promise, Id, By, Founders}, _From, #state{} = State) ->
    case is_free(State) of
        true -> {reply, ok, kept({promised, Id, By, Founders}, State)};
        false -> {reply, refused, State}
    end;
handle_call({Change, Node}, From, #state{phase = {_, Id, _, _} = Phase} = State) when Change =:= remove; Change =:= forget ->
    aside(From, hornbeam_cluster_forming:is_member(Phase), fun() -> hornbeam_cluster_replica:remove(Id, Node) end),
    {noreply, State};
handle_call({admit, Node, Uid}, From, #state{phase = {_, Id, _, _} = Phase} = State) ->
    aside(From, hornbeam_cluster_forming:is_member(Phase), fun() -> hornbeam_cluster_replica:add(Id, Node, Uid) end),
    {noreply, State};
handle_call(leave, From, #state{phase = {_, Id, _, _} = Phase, folder = Folder} = State) ->
    case hornbeam_cluster_forming:is_member(Phase) of
        true ->
            Engine = self(),
            aside(From, true, fun() ->
                case hornbeam_cluster_replica:leave(Id) of
                    ok -> gen_server:call(Engine, {left, Folder});
                    Error -> Error
                end
            end),
            {noreply, State};
        false ->
            {reply, {error, not_member}, State}
    end;
handle_call({left, Folder}, _From, #state{folder = Folder} = State) ->
    ok = hornbeam_cluster_folder:clear(Folder),
    {reply, ok, told(State#state{phase = left})};
handle_call({settled, Id}, _From, #state{phase = Phase} = State) ->
    {reply, hornbeam_cluster_forming:is_settled(Id, Phase), State};
handle_call(info, _From, State) ->
    {reply, describe(State), State};
handle_call(_Request, _From, State) ->
    {reply, {error, not_member}, State}.

is_free(#state{phase = empty}) -> true;
is_free(#state{phase = {promised, _, _, _}} = State) -> is_over(State);
is_free(_) -> false.

is_over(#state{phase = {promised, _, _, _}, promised_at = At}) -> now_ms() - At > ?PROMISE;
is_over(_) -> false.

aside(From, true, Fun) ->
    _ = spawn(fun() -> gen_server:reply(From, Fun()) end),
    ok;
aside(From, false, _Fun) ->
    gen_server:reply(From, {error, not_member}).

describe(#state{phase = {Kind, Id, _, _}, members = Members}) ->
    maps:merge(#{phase => Kind, id => Id, members => Members}, hornbeam_cluster_replica:figures(Id));
describe(#state{phase = Phase}) ->
    #{phase => Phase, id => none, members => []}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({'begin', Id, By, Founders}, #state{phase = {promised, Id, _, _}} = State) ->
    {noreply, founded(Id, By, Founders, State)};
handle_cast({abort, Id}, #state{phase = {promised, Id, _, _}} = State) ->
    {noreply, cleared(State)};
handle_cast(member, State) ->
    %% One that has started has not heard yet who is a member.
    {noreply, told(State#state{members = []})};
handle_cast({forget_after, After}, State) ->
    {noreply, State#state{forget_after = After}};
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({discovered, Nodes}, State) ->
    {noreply, State#state{discovered = Nodes}};
handle_info(look, State) ->
    _ = erlang:send_after(?LOOK, self(), look),
    {noreply, looked(elected(forgotten(told(mended(State)))))};
handle_info({seen, Pid, Seen}, #state{looking = Pid} = State) ->
    Next = hornbeam_cluster_forming:next(Seen, State#state.phase, founding(State)),
    {noreply, step(Next, State#state{looking = none})};
handle_info({'EXIT', Pid, _}, #state{looking = Pid} = State) ->
    {noreply, State#state{looking = none}};
handle_info({'begin', Pid, Id, Founders}, #state{looking = Pid} = State) ->
    Begun = founded(Id, node(), Founders, State),
    _ = gen_server:abcast(lists:delete(node(), Founders), ?MODULE, {'begin', Id, node(), Founders}),
    {noreply, Begun};
handle_info({settled, Id}, #state{phase = {founded, Id, _, _}} = State) ->
    {noreply, settled(State)};
handle_info({joined, Pid, Id}, #state{looking = Pid, phase = {joining, Id, Uid, Members}} = State) ->
    {noreply, kept({joined, Id, Uid, Members}, State)};
handle_info(_Message, State) ->
    {noreply, State}.

-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{phase = {_, Id, _, _} = Phase}) ->
    case hornbeam_cluster_forming:is_member(Phase) of
        true -> hornbeam_cluster_replica:hand_over(Id);
        false -> ok
    end,
    hornbeam_cluster_replica:stop();
terminate(_Reason, _State) ->
    hornbeam_cluster_replica:stop().

%% A server that has ended is started again, for as long as it takes.
mended(#state{phase = {Kind, Id, _, _}, mending = Mending, folder = Folder} = State) when Kind =/= promised ->
    case hornbeam_cluster_mending:look(hornbeam_cluster_replica:is_running(Id), now_ms(), Mending) of
        wait -> State;
        first ->
            logger:error("cluster: this node's member has ended (the disk of ~ts may be full); it is started anew until it runs", [Folder]),
            mend(Id, State);
        again -> mend(Id, State);
        mended ->
            logger:notice("cluster: this node's member runs again"),
            State#state{mending = hornbeam_cluster_mending:new()}
    end;
mended(State) ->
    State.

mend(Id, #state{folder = Folder, mending = Mending, discovered = Discovered} = State) ->
    IsStarted = hornbeam_cluster_replica:start(hornbeam_cluster_folder:ra(Folder)) =:= ok andalso hornbeam_cluster_replica:resume(Id) =:= ok,
    Now = hornbeam_cluster_mending:started(IsStarted, now_ms(), Mending),
    case IsStarted andalso hornbeam_cluster_mending:is_in_vain(Now) of
        now ->
            logger:error("cluster: this node's member ends each time it is started: it is removed, to join anew"),
            _ = spawn(fun() -> ask([Node || Node <- Discovered, lists:member(Node, nodes())], {remove, node()}) end),
            State#state{mending = Now};
        _ ->
            State#state{mending = Now}
    end.

%% The client and the readers hear who is a member, as this node's member has it.
told(#state{phase = {Kind, Id, _, _}, members = Before} = State) when Kind =/= promised ->
    case hornbeam_cluster_replica:members(Id) of
        Before ->
            State;
        Members ->
            Member = hornbeam_cluster_replica:id(Id, node()),
            ok = hornbeam_cluster_client:member(hornbeam_cluster_replica:name(Id), Member, Members),
            ok = hornbeam_cluster_reader:member(Member),
            State#state{members = Members}
    end;
told(#state{members = []} = State) ->
    State;
told(State) ->
    ok = hornbeam_cluster_client:member(none, none, []),
    ok = hornbeam_cluster_reader:member(none),
    State#state{members = []}.

%% Members that are gone for long, and are not to be there any more, are forgotten: by the leader.
forgotten(#state{forget_after = infinity} = State) ->
    State#state{gone = #{}};
forgotten(#state{members = Members, discovered = Discovered, gone = Before, forget_after = After, phase = Phase} = State) ->
    Now = now_ms(),
    Gone = maps:from_list([{Node, maps:get(Node, Before, Now)} || Node <- Members -- [node() | nodes()], not lists:member(Node, Discovered)]),
    Long = [Node || {Node, Since} <- maps:to_list(Gone), Now - Since >= After],
    case Long =/= [] andalso hornbeam_cluster_forming:is_member(Phase) andalso hornbeam_cluster_replica:leads(element(2, Phase)) of
        true ->
            logger:notice("cluster: ~0tp are forgotten: gone for ~b s, and not discovered any more", [Long, After div 1000]),
            _ = spawn(fun() -> [hornbeam_cluster_replica:remove(element(2, Phase), Node) || Node <- Long] end),
            State#state{gone = maps:without(Long, Gone)};
        false ->
            State#state{gone = Gone}
    end.

%%% Founding and joining

looked(#state{looking = none, phase = {joining, Id, Uid, Members}, promised_at = At} = State) ->
    Engine = self(),
    Wait = max(0, At + ?SAVED - now_ms()),
    State#state{looking = spawn_link(fun() -> receive after Wait -> ask_to_join(Engine, Id, Uid, Members) end end)};
looked(#state{looking = none, phase = Phase, discovered = [_ | _] = Discovered} = State) when Phase =:= empty; element(1, Phase) =:= promised ->
    asking(Discovered, State);
looked(#state{looking = none, phase = {joined, Id, _, _}, discovered = Discovered, members = Members, mending = Mending} = State) ->
    %% It may have been forgotten while it was away.
    case hornbeam_cluster_mending:is_in_vain(Mending) =/= no orelse hornbeam_cluster_replica:leader(Id) =:= none orelse not lists:member(node(), Members) of
        true -> asking(Discovered, State);
        false -> State
    end;
looked(#state{looking = none, phase = {settled, Id, By, Founders}} = State) when By =:= node() ->
    State#state{looking = spawn_link(fun() -> elect(Id, lists:delete(node(), Founders)) end)};
looked(State) ->
    State.

elect(Id, Others) ->
    case [true || {_, true} <- ask(Others, {settled, Id})] of
        All when length(All) =:= length(Others) ->
            ok = hornbeam_cluster_replica:elect(Id),
            receive after ?ELECTION -> ok end;
        _ ->
            ok
    end.

%% A founder that has heard of a leader.
elected(#state{phase = {settled, Id, _, Founders}} = State) ->
    case hornbeam_cluster_replica:leader(Id) of
        none -> State;
        _ -> kept({joined, Id, <<>>, Founders}, State)
    end;
elected(State) ->
    State.

asking(Discovered, State) ->
    Engine = self(),
    Others = [Node || Node <- Discovered, Node =/= node(), lists:member(Node, nodes())],
    State#state{looking = spawn_link(fun() -> Engine ! {seen, self(), ask(Others, who)} end)}.

ask(Nodes, Request) ->
    {Answers, _} = gen_server:multi_call(Nodes, ?MODULE, Request, ?ASK),
    Answers.

founding(#state{size = Size, discovered = Discovered} = State) ->
    #{is_over => is_over(State), size => Size, discovered => Discovered}.

step(wait, State) -> State;
step(unpromise, State) -> cleared(State);
step({begin_as, Id, By, Founders}, State) -> founded(Id, By, Founders, State);
step({join, Id, Members}, State) -> joins(Id, Members, State);
step({ask_removal, Node}, State) ->
    _ = spawn(fun() -> ask([Node], {remove, node()}) end),
    State;
step(begin_anew, #state{phase = {_, Id, _, _}} = State) ->
    logger:notice("cluster: ~ts was forgotten by the others, and joins anew", [node()]),
    ok = hornbeam_cluster_replica:delete(Id),
    Empty = cleared(State),
    told(Empty#state{mending = hornbeam_cluster_mending:new()});
step({found, Founders}, State) ->
    Id = binary:encode_hex(crypto:strong_rand_bytes(4)),
    Engine = self(),
    Asking = spawn_link(fun() -> found(Engine, Id, Founders) end),
    (kept({promised, Id, node(), Founders}, State))#state{looking = Asking}.

found(Engine, Id, Founders) ->
    Others = lists:delete(node(), Founders),
    Answers = ask(Others, {promise, Id, node(), Founders}),
    case [Node || {Node, ok} <- Answers] of
        All when length(All) =:= length(Others) ->
            Engine ! {'begin', self(), Id, Founders};
        _ ->
            abcast = gen_server:abcast(Founders, ?MODULE, {abort, Id})
    end.

founded(Id, By, Founders, State) ->
    Begun = kept({founded, Id, By, Founders}, State),
    ok = hornbeam_cluster_replica:found(Id, Founders),
    _ = erlang:send_after(?SAVED, self(), {settled, Id}),
    logger:notice("cluster: ~ts is a founding member of ~ts: ~0tp", [node(), Id, Founders]),
    told(Begun).

joins(Id, Members, State) ->
    Uid = hornbeam_cluster_replica:uid(Id),
    Joining = kept({joining, Id, Uid, Members}, State),
    ok = hornbeam_cluster_replica:join(Id, Uid, Members),
    logger:notice("cluster: ~ts joins ~ts: ~0tp", [node(), Id, Members]),
    Joining.

ask_to_join(Engine, Id, Uid, Members) ->
    Reachable = [Node || Node <- Members, lists:member(Node, nodes())],
    Admitted = [ok || {_, ok} <- ask(lists:sublist(Reachable, 1), {admit, node(), Uid})],
    case Admitted of
        [ok] -> Engine ! {joined, self(), Id};
        [] -> ok
    end.

now_ms() -> erlang:monotonic_time(millisecond).
