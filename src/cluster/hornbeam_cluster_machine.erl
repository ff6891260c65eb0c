%%% The state machine that every member of the cluster runs: pure, but for what Ra makes of its effects.
%%%
%%% Called by: Ra (`ra_machine'); hornbeam_cluster_client (command/3 makes what goes into the log) and hornbeam_cluster_reader (ask/2). Calls:
%%% hornbeam_cluster_kv, hornbeam_cluster_leases, hornbeam_cluster_rates, hornbeam_task_part (by its name: it stands with the tasks): the parts, of which it
%%% knows nothing but the behaviour hornbeam_cluster_part.
%%%
%%%     {ops, Session, Low, [{Seq, {Part, Operation}}]}   what a node's client asks: answered with [{Seq, Reply}]
%%%     {forget, Node}                                    a member has left for good
%%%     {timeout, clock}                                  the leader's timer
%%%
%%% Once. A client sends a command again when its leader has gone. Session is {Node, Incarnation}, Seq the command's number there; replies are kept
%%% until Low has passed them, so a command that comes twice is applied once and answered twice. A later incarnation of a node's client ends those before
%%% it: a command of theirs that comes after that is not applied any more. What one session may have unanswered is the client's bound.
%%%
%%% Number. Each operation has one of its own, which only grows: `index' of a part's context, a revision, a fencing token.
%%%
%%% Time. `now' is the cluster's own: while a part waits for something to end, the leader sets a timer of a step (hornbeam_cluster_part) whose timeout is a command, and each
%%% moves `now' by one. So all members agree; a clock that is set does nothing; and time only runs while there is a leader. What is to end in
%%% T ms ends no earlier (a part adds a whole step, since the one in which it begins may be nearly over), and about two steps later, or later by as long
%%% as there was no leader. A new leader begins a whole step.
%%%
%%% Listeners. The events of a part go to one registered process on each node, from the member there, when that has applied them. They are lost when a
%%% member gets a snapshot in place of the commands, when it starts anew, and while it is no follower; for the first two the listener is told `resync' (index 0:
%%% not known); locks and tasks ask from time to time, for the third.
%%%
%%% Versions. What an operation does is the same on all members, so whoever changes it raises ?VERSION, in which case nodes of both versions may be in one cluster. Ra elects a node of the later
%%% one only when a majority has it, and then the members go over, all at the same place in the log, with the command {machine_version, From, To}; a node of the
%%% earlier one applies nothing from there on until it is restarted with the later, and answers what goes through the leader. So: which_module/1 gives for each version a module whose
%%% apply/3 does what it did then (a copy of this one as it is now, if what it does with a state of its own changes), because logs and snapshots of earlier versions are read; machine_version makes a state of To of one of
%%% From, once, here by filling in the parts that are new (of ?PARTS, by their version; init/1 has those of the first); and who sends something new learns whether the members know it from the
%%% answer: what is for a part that they do not have yet, and an operation that a part does not know, is answered with {error, unknown} and changes nothing.
%%%
%%% Snapshots. When ?COMMANDS commands or ?BYTES have come since the last, and half as much as the state holds at least: what is written for snapshots is
%%% of the order of what is written anyway.
-module(hornbeam_cluster_machine).
-behaviour(ra_machine).

-export([command/3, weight/1, forget/1, ask/2]).
-export([init/1, apply/3, state_enter/2, snapshot_installed/4, version/0, which_module/1, overview/1]).
-export_type([session/0, part/0]).

-type part() :: kv | leases | rates | tasks.
-type session() :: {node(), Incarnation :: integer()}.

-define(VERSION, 1).
%% Name, module, listener, since which version.
-define(PARTS, [{kv, hornbeam_cluster_kv, hornbeam_cluster_watch, 1}, {leases, hornbeam_cluster_leases, hornbeam_cluster_locks, 1},
                {tasks, hornbeam_task_part, hornbeam_task_listener, 1}, {rates, hornbeam_cluster_rates, none, 1}]).
-define(COMMANDS, 8192).
-define(BYTES, 67108864).

%% Replies from `low' on; what is smaller was answered, or nobody waits for it.
-record(session, {incarnation :: integer(), low :: pos_integer(), replies = #{} :: #{pos_integer() => term()}}).
-record(machine, {
    parts :: #{part() => term()},
    sessions = #{} :: #{node() => #session{}},
    now = 0 :: non_neg_integer(),
    serial = 0 :: non_neg_integer(),            % of the operation that was applied last
    ticks = false :: boolean(),                 % the clock runs
    commands = 0 :: non_neg_integer(),          % since the last snapshot
    bytes = 0 :: non_neg_integer()
}).
-type machine() :: #machine{}.

%% @doc What goes into the log for operations, each with its number. Low: the smallest number that is not answered.
-spec command(session(), Low :: pos_integer(), [{Seq :: pos_integer(), {part(), Operation :: term()}}]) -> term().
command(Session, Low, Numbered) -> {ops, Session, Low, Numbered}.

%% @doc How many bytes an operation adds to the log, or so.
-spec weight({part(), Operation :: term()}) -> non_neg_integer().
weight({Part, Operation}) -> (module(Part)):weight(Operation).

%% @doc What goes into the log for a member that has left for good.
-spec forget(node()) -> term().
forget(Node) -> {forget, Node}.

%% @doc Answers questions, in their order: {ra, a query of many}.
-spec ask([{part(), Question :: term()}], machine()) -> [term()].
ask(Questions, #machine{parts = Parts, now = Now}) ->
    [case Parts of
         #{Part := State} -> (module(Part)):query(Question, Now, State);
         #{} -> unknown
     end || {Part, Question} <- Questions].

%%% ra_machine

-spec init(map()) -> machine().
init(_Config) ->
    #machine{parts = parts(1)}.

%% Those of a version, as they begin.
parts(Version) -> maps:from_list([{Part, Module:new()} || {Part, Module, _, Since} <- ?PARTS, Since =< Version]).

-spec apply(ra_machine:command_meta_data(), Command :: term(), machine()) ->
    {machine(), term()} | {machine(), term(), ra_machine:effects()}.
apply(Meta, {ops, {Node, Incarnation}, Low, Numbered}, #machine{sessions = Sessions} = Machine) ->
    case Sessions of
        #{Node := #session{incarnation = Incarnation} = Session} -> operate(Meta, Numbered, Node, passed(Low, Session), Machine);
        #{Node := #session{incarnation = Later}} when Later > Incarnation -> {Machine, [{Seq, {error, gone}} || {Seq, _} <- Numbered]};
        #{} -> operate(Meta, Numbered, Node, #session{incarnation = Incarnation, low = Low}, Machine)
    end;
apply(Meta, {timeout, clock}, #machine{now = Now} = Machine) ->
    ended(Meta, Machine#machine{now = Now + hornbeam_cluster_part:step()});
apply(#{index := Index}, {forget, Node}, #machine{sessions = Sessions} = Machine) ->
    noted(Index, 1, 0, Machine#machine{sessions = maps:remove(Node, Sessions)}, ok, []);
apply(_Meta, {machine_version, _From, To}, #machine{parts = Parts} = Machine) ->
    {Machine#machine{parts = maps:merge(parts(To), Parts)}, ok};
apply(_Meta, _Other, Machine) ->
    {Machine, ok}.

%% The replies that were taken are forgotten: each once.
passed(Low, #session{low = Low} = Session) -> Session;
passed(Low, #session{low = Before} = Session) when Low < Before -> Session;
passed(Low, #session{low = Before, replies = Replies} = Session) when Low - Before > map_size(Replies) ->
    Session#session{low = Low, replies = maps:filter(fun(Seq, _) -> Seq >= Low end, Replies)};
passed(Low, #session{low = Before, replies = Replies} = Session) ->
    Session#session{low = Low, replies = lists:foldl(fun maps:remove/2, Replies, lists:seq(Before, Low - 1))}.

operate(#{index := Index} = Meta, Numbered, Node, Session0, #machine{sessions = Sessions, ticks = Ticks} = Machine0) ->
    {Replies, {Session, Machine1, Weight, Events}} =
        lists:mapfoldl(fun(Each, Acc) -> one(Each, time(Meta), Acc) end, {Session0, Machine0, 0, #{}}, Numbered),
    Machine = Machine1#machine{sessions = Sessions#{Node => Session}},
    Effects = maps:fold(fun(Part, Of, Acc) -> told(Part, Index, lists:append(lists:reverse(Of)), Acc) end, [], Events),
    case Machine of
        #machine{ticks = true} when not Ticks -> noted(Index, length(Numbered), Weight, Machine, Replies, [clock() | Effects]);
        _ -> noted(Index, length(Numbered), Weight, Machine, Replies, Effects)
    end.

one({Seq, Asked}, Time, {#session{low = Low, replies = Replies}, _, _, _} = Acc) ->
    case Replies of
        #{Seq := Reply} -> {{Seq, Reply}, Acc};
        #{} when Seq < Low -> {{Seq, {error, gone}}, Acc};
        #{} -> one(Seq, Asked, Time, Acc)
    end.

one(Seq, {Part, _}, _Time, {_, #machine{parts = Parts}, _, _} = Acc) when not is_map_key(Part, Parts) ->
    {{Seq, {error, unknown}}, Acc};
one(Seq, {Part, Operation}, Time, {#session{replies = Replies} = Session, Machine, Weight, Told}) ->
    #machine{parts = Parts, serial = Before, now = Now, ticks = Ticks} = Machine,
    {Module, Serial} = {module(Part), Before + 1},
    {Reply, Events, State} = Module:apply(Operation, #{index => Serial, now => Now, time => Time}, maps:get(Part, Parts)),
    Changed = Machine#machine{parts = Parts#{Part := State}, serial = Serial, ticks = Ticks orelse Module:waits(State)},
    {{Seq, Reply}, {Session#session{replies = Replies#{Seq => Reply}}, Changed, Weight + Module:weight(Operation), together(Part, Events, Told)}}.

%% Of each part, that of the last operation first.
together(_Part, [], Told) -> Told;
together(Part, Events, Told) -> Told#{Part => [Events | maps:get(Part, Told, [])]}.

%% A step is over.
ended(#{index := Index} = Meta, #machine{parts = Parts, now = Now, serial = Before} = Machine) ->
    Serial = Before + 1,
    {Left, Effects, Waits} = lists:foldl(fun({Part, Module, _, _}, {Acc, Told, Waiting}) ->
        {Events, State} = Module:expire(#{index => Serial, now => Now, time => time(Meta)}, maps:get(Part, Acc)),
        {Acc#{Part := State}, told(Part, Index, Events, Told), Waiting orelse Module:waits(State)}
    end, {Parts, [], false}, those_of(Parts)),
    Timer = case Waits of true -> [clock() | Effects]; false -> Effects end,
    noted(Index, 1, 0, Machine#machine{parts = Left, ticks = Waits, serial = Serial}, ok, Timer).

%% The time that the leader's clock had: the same for all members, since it stands in the log.
time(Meta) -> maps:get(system_time, Meta, 0).

clock() -> {timer, clock, hornbeam_cluster_part:step()}.

told(_Part, _Index, [], Effects) -> Effects;
told(Part, Index, Events, Effects) -> [{send_msg, {listener(Part), node()}, {hornbeam_cluster, Part, Index, Events}, [local]} | Effects].

noted(Index, Operations, Weight, #machine{commands = Commands0, bytes = Bytes0} = Machine, Reply, Effects) ->
    {Commands, Bytes} = {Commands0 + Operations, Bytes0 + Weight},
    case (Commands >= ?COMMANDS orelse Bytes >= ?BYTES) andalso is_due(Commands, Bytes, Machine) of
        true ->
            Fresh = Machine#machine{commands = 0, bytes = 0},
            {Fresh, Reply, [{release_cursor, Index, Fresh} | Effects]};
        false when Effects =:= [] ->
            {Machine#machine{commands = Commands, bytes = Bytes}, Reply};
        false ->
            {Machine#machine{commands = Commands, bytes = Bytes}, Reply, Effects}
    end.

is_due(Commands, Bytes, #machine{parts = Parts}) ->
    {Entries, Size} = lists:foldl(fun({Part, Module, _, _}, {E, S}) ->
        {Of, Bytes1} = Module:size(maps:get(Part, Parts)),
        {E + Of, S + Bytes1}
    end, {0, 0}, those_of(Parts)),
    2 * Commands >= Entries orelse 2 * Bytes >= max(2 * ?BYTES, Size).

-spec state_enter(ra_server:ra_state() | eol, machine()) -> ra_machine:effects().
state_enter(leader, #machine{ticks = true}) -> [clock()];
state_enter(recovered, _) -> resync();
state_enter(_, _) -> [].

-spec snapshot_installed(ra_snapshot:meta(), machine(), ra_snapshot:meta(), machine()) -> ra_machine:effects().
snapshot_installed(_Meta, _Machine, _OldMeta, _OldMachine) -> resync().

resync() -> [{send_msg, {Listener, node()}, {hornbeam_cluster, Part, 0, resync}} || {Part, _, Listener, _} <- ?PARTS, Listener =/= none].

-spec version() -> ?VERSION.
version() -> ?VERSION.

-spec which_module(non_neg_integer()) -> module().
which_module(_Version) -> ?MODULE.

-spec overview(machine()) -> map().
overview(#machine{parts = Parts, sessions = Sessions, now = Now, ticks = Ticks}) ->
    #{now => Now, ticks => Ticks, sessions => map_size(Sessions),
      parts => maps:map(fun(Part, State) -> (module(Part)):size(State) end, Parts)}.

those_of(Parts) -> [Row || {Part, _, _, _} = Row <- ?PARTS, is_map_key(Part, Parts)].

module(Part) -> element(2, lists:keyfind(Part, 1, ?PARTS)).

listener(Part) -> element(3, lists:keyfind(Part, 1, ?PARTS)).
