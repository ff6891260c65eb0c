%%% The durable tasks of a server on disk: a log of OTP's (disk_log) in the option data_dir.
%%%
%%% Owns the folder. Called by: hornbeam_tasks (write/3), hornbeam_schedules (fired/3, last_fired/2), hornbeam_tasks_sup. Calls: disk_log,
%%% hornbeam_task_table (what the log says becomes rows; what a new log begins with), hornbeam_private_folder.
%%%
%%%     {put, 1, Map}            a task as it is now (hornbeam_task:to_disk/1)
%%%     {del, Id}                it is forgotten
%%%     {fired, Schedule, Ms}    a schedule has run for this time
%%%
%%% Group commit: what has come while the last group was being written is the next one: one write, one fsync, then everybody in it is
%%% told {hornbeam_task_store, Results}. A group that nobody waits for is synced ?IDLE ms after it at the latest: disk_log may have it in
%%% memory until then, so a task that was done in that time is done again after a kill. docs/architecture.md has the figures beside Mnesia and Ra.
%%%
%%% The log grows with every change. When more than ?GARBAGE of it is of the past, at a start, and after a write that failed, a new one is
%%% written from the table beside it, synced, and takes its place by a rename; so whatever ends this in between, one of the two is whole.
%%%
%%% Failure modes. The disk is full, or fails: whoever asked for the write is told so, what was in that group is not on disk, and
%%% the next group begins with a new log: half a write is never followed by another. A log that was cut off in the middle of a write: disk_log
%%% leaves out what is no term, and a warning says how many bytes. What is no log at all, or a folder that cannot be used: the server does not
%%% start, and says why. The same folder twice: the second server does not start (a socket of the kernel's, which ends with its process).
-module(hornbeam_task_store).
-behaviour(gen_server).

-include_lib("kernel/include/file.hrl").
-include("hornbeam_task.hrl").

-export([start_link/2, write/3, fired/3, last_fired/2, describe/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export_type([op/0]).

-type op() :: {put, hornbeam_task:task()} | {del, Id :: binary()} | {fired, Schedule :: binary(), Ms :: non_neg_integer()}.

%% Of one group.
-define(GROUP, 2000).
-define(IDLE, 10).
-define(GARBAGE, 67108864).
%% Tasks read from a table at a time for a new log.
-define(CHUNK, 500).

-record(state, {
    server :: atom(),
    file :: file:filename_all(),
    lock :: gen_tcp:socket() | none,
    log = closed :: closed | open,      % closed: the next write begins a new one
    written = 0 :: non_neg_integer(),   % bytes, nearly, since the log was new
    synced = 0 :: integer(),            % when all of it was (monotonic ms)
    fired = #{} :: #{binary() => non_neg_integer()}
}).

-spec start_link(Server :: atom(), Dir :: binary()) -> {ok, pid()} | {error, term()}.
start_link(Server, Dir) ->
    gen_server:start_link(?MODULE, {Server, Dir}, []).

%% @doc Has an operation written. When it is on disk the calling process gets it in {hornbeam_task_store, [{Id, ok | {error, Text}}]},
%% if it wants to be Told.
-spec write(pid(), op(), Told :: boolean()) -> ok.
write(Store, Op, Told) ->
    gen_server:cast(Store, {write, Op, case Told of true -> self(); false -> none end}).

%% @doc A schedule has run for that time.
-spec fired(pid(), Schedule :: binary(), Ms :: non_neg_integer()) -> ok.
fired(Store, Schedule, Ms) ->
    write(Store, {fired, Schedule, Ms}, false).

-spec last_fired(pid(), Schedule :: binary()) -> {ok, non_neg_integer()} | error.
last_fired(Store, Schedule) ->
    gen_server:call(Store, {last_fired, Schedule}, infinity).

%% @doc Where it is, and how large.
-spec describe(pid()) -> #{file := binary(), bytes := non_neg_integer()}.
describe(Store) ->
    gen_server:call(Store, describe, infinity).

-spec init({atom(), binary()}) -> {ok, #state{}} | {stop, {shutdown, term()}}.
init({Server, Dir}) ->
    process_flag(trap_exit, true),
    case open(Server, Dir) of
        {ok, State} -> ok = hornbeam_task_table:set_store(Server, self()), {ok, State};
        {error, Text} -> {stop, {shutdown, {data_dir, Dir, unicode:characters_to_binary(Text)}}}
    end.

open(Server, Dir) ->
    case hornbeam_private_folder:make(Dir) of
        ok ->
            case lock(Dir) of
                {ok, Lock} -> read(#state{server = Server, file = filename:join(Dir, <<"tasks.log">>), lock = Lock});
                {error, Text} -> {error, Text}
            end;
        {error, Text} ->
            {error, Text}
    end.

%% Linux: an address without a file, of the folder's own number; the kernel frees it when the VM ends, however it does.
lock(Dir) ->
    {ok, #file_info{inode = Inode, major_device = Device}} = file:read_file_info(Dir),
    Address = <<0, (iolist_to_binary(io_lib:format("hornbeam-tasks-~b-~b", [Device, Inode])))/binary>>,
    case os:type() of
        {unix, linux} ->
            case gen_tcp:listen(0, [local, {ifaddr, {local, Address}}]) of
                {ok, Socket} -> {ok, Socket};
                {error, eaddrinuse} -> {error, "another server uses it"};
                {error, Reason} -> {error, inet:format_error(Reason)}
            end;
        _ ->
            {ok, none}
    end.

%% The log's terms become rows; then a new log takes its place.
read(#state{file = File, server = Server} = State) ->
    case filelib:is_regular(File) of
        false ->
            renewed(State);
        true ->
            case disk_log:open([{name, name(State)}, {file, to_list(File)}, {mode, read_write}]) of
                {ok, _} -> fold(State);
                {repaired, _, {recovered, Good}, {badbytes, 0}} when Good >= 0 -> fold(State);
                {repaired, _, {recovered, Good}, {badbytes, Bad}} ->
                    logger:warning("server ~ts: ~b bytes of ~ts could not be read and are left out; ~b entries could",
                                   [Server, Bad, File, Good]),
                    fold(State);
                {error, Reason} -> {error, ["the log of tasks cannot be opened: ", reason(Reason)]}
            end
    end.

fold(State) ->
    case fold(start, State, #{}) of
        {ok, Tasks, Read} ->
            ok = disk_log:close(name(State)),
            lists:foreach(fun hornbeam_task_table:insert/1, maps:values(Tasks)),
            renewed(Read);
        {error, Reason} ->
            _ = disk_log:close(name(State)),
            {error, ["the log of tasks cannot be read: ", reason(Reason)]}
    end.

fold(From, State, Tasks) ->
    case disk_log:chunk(name(State), From) of
        eof -> {ok, Tasks, State};
        {error, Reason} -> {error, Reason};
        {Next, Terms} -> fold_on(Next, Terms, State, Tasks);
        {Next, Terms, Bad} ->
            logger:warning("server ~ts: ~b bytes of its log of tasks are damaged and left out", [State#state.server, Bad]),
            fold_on(Next, Terms, State, Tasks)
    end.

fold_on(Next, Terms, State0, Tasks0) ->
    {Tasks, State} = lists:foldl(fun entry/2, {Tasks0, State0}, Terms),
    fold(Next, State, Tasks).

entry({put, 1, Map}, {Tasks, #state{server = Server} = State}) ->
    case hornbeam_task:from_disk(Server, Map) of
        {ok, Task} -> {Tasks#{maps:get(id, Map) => Task}, State};
        error -> {Tasks, State}
    end;
entry({del, Id}, {Tasks, State}) ->
    {maps:remove(Id, Tasks), State};
entry({fired, Schedule, Ms}, {Tasks, #state{fired = Fired} = State}) ->
    {Tasks, State#state{fired = Fired#{Schedule => Ms}}};
entry(_Unknown, Read) ->
    Read.

renewed(State) ->
    case renew(State) of
        {ok, Renewed} -> {ok, Renewed};
        {error, Reason} -> {error, ["no log of tasks can be written: ", reason(Reason)]}
    end.

%% A log of what is in the table, beside the old one; then in its place.
renew(#state{file = File, server = Server, fired = Fired} = State) ->
    New = <<File/binary, ".new">>,
    _ = disk_log:close(name(State)),
    _ = file:delete(New),
    Ops = [{fired, Schedule, Ms} || {Schedule, Ms} <- maps:to_list(Fired)]
          ++ [{put, Task} || Task <- hornbeam_task_table:durable(Server)],
    case disk_log:open([{name, name(State)}, {file, to_list(New)}]) of
        {ok, _} -> filled(steps([fun() -> append(Ops, State) end, fun() -> disk_log:sync(name(State)) end]), New, State);
        {error, Reason} -> {error, Reason}
    end.

%% The name of an open log may change: it is the same file.
filled(ok, New, #state{file = File} = State) ->
    case steps([fun() -> disk_log:close(name(State)) end, fun() -> file:rename(New, File) end, fun() -> sync_folder(File) end,
                fun() -> reopen(State) end]) of
        ok -> {ok, State#state{log = open, written = 0}};
        Error -> filled(Error, New, State)
    end;
filled({error, Reason}, New, State) ->
    _ = disk_log:close(name(State)),
    _ = file:delete(New),
    {error, Reason}.

reopen(#state{file = File} = State) ->
    case disk_log:open([{name, name(State)}, {file, to_list(File)}]) of
        {ok, _} -> ok;
        {repaired, _, _, _} -> ok;
        {error, Reason} -> {error, Reason}
    end.

%% The rename itself must be on disk before the next entry counts.
sync_folder(File) ->
    case file:open(filename:dirname(File), [read, raw, directory]) of
        {ok, Folder} ->
            _ = file:sync(Folder),
            file:close(Folder);
        {error, _} ->
            ok
    end.

steps([Step | Rest]) ->
    case Step() of
        ok -> steps(Rest);
        {error, Reason} -> {error, Reason}
    end;
steps([]) ->
    ok.

append([], _State) ->
    ok;
append(Ops, State) ->
    {Some, Rest} = lists:split(min(?CHUNK, length(Ops)), Ops),
    case disk_log:log_terms(name(State), [term(Op) || Op <- Some]) of
        ok -> append(Rest, State);
        {error, Reason} -> {error, Reason}
    end.

term({put, Task}) -> {put, 1, hornbeam_task:to_disk(Task)};
term(Op) -> Op.

name(#state{server = Server}) -> {?MODULE, Server}.

to_list(File) -> unicode:characters_to_list(File).

-spec handle_call(describe | {last_fired, binary()}, gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call({last_fired, Schedule}, _From, #state{fired = Fired} = State) ->
    {reply, maps:find(Schedule, Fired), State};
handle_call(describe, _From, #state{file = File} = State) ->
    {reply, #{file => File, bytes => filelib:file_size(File)}, State}.

-spec handle_cast({write, op(), pid() | none}, #state{}) -> {noreply, #state{}, timeout()}.
handle_cast({write, Op, To}, State) ->
    Group = [{Op, To} | more(?GROUP)],
    Ops = [Each || {Each, _} <- Group],
    IsDue = erlang:monotonic_time(millisecond) - State#state.synced >= ?IDLE,
    {Result, Next} = commit(Ops, IsDue orelse lists:any(fun({_, Asker}) -> Asker =/= none end, Group), State),
    _ = Result =:= ok andalso [hornbeam_task_table:stored(Id) || {put, #task{id = Id}} <- Ops],
    tell(Result, Group),
    {noreply, Next, ?IDLE}.

more(0) -> [];
more(Left) -> receive {'$gen_cast', {write, Op, To}} -> [{Op, To} | more(Left - 1)] after 0 -> [] end.

tell(Result, Group) ->
    Told = lists:foldl(fun({{put, #task{id = Id}}, To}, Each) when To =/= none ->
                               maps:update_with(To, fun(Ids) -> [{Id, Result} | Ids] end, [{Id, Result}], Each);
                          (_, Each) -> Each
                       end, #{}, Group),
    maps:foreach(fun(To, Ids) -> To ! {?MODULE, lists:reverse(Ids)} end, Told).

%% The fired times are remembered whether they can be written or not.
commit(Ops, Sync, #state{fired = Fired0} = State0) ->
    Fired = lists:foldl(fun({fired, Schedule, Ms}, Done) -> Done#{Schedule => Ms}; (_, Done) -> Done end, Fired0, Ops),
    case ready(State0#state{fired = Fired}) of
        {ok, State} ->
            Steps = [fun() -> append(Ops, State) end | [fun() -> disk_log:sync(name(State)) end || Sync]],
            committed(steps(Steps), Ops, synced(Sync, State));
        {error, Reason} ->
            failed(Reason, State0#state{fired = Fired})
    end.

ready(#state{log = open, written = Written} = State) when Written < ?GARBAGE -> {ok, State};
ready(State) -> renew(State).

synced(false, State) -> State;
synced(true, State) -> State#state{synced = erlang:monotonic_time(millisecond)}.

committed(ok, Ops, #state{written = Written} = State) ->
    {ok, State#state{written = Written + erlang:external_size(Ops)}};
committed({error, Reason}, _Ops, State) ->
    _ = disk_log:close(name(State)),
    failed(Reason, State).

failed(Reason, #state{server = Server, log = Before} = State) ->
    Text = unicode:characters_to_binary(reason(Reason)),
    _ = Before =:= open andalso logger:error("server ~ts: durable tasks cannot be written: ~ts", [Server, Text]),
    {{error, Text}, State#state{log = closed}}.

reason({file_error, File, Reason}) -> [to_text(File), ": ", file:format_error(Reason)];
reason({not_a_log_file, File}) -> [to_text(File), " is no log of tasks"];
reason({invalid_header, {File, _, _, _}}) -> [to_text(File), " is no log of tasks"];
reason({arg_mismatch, _, _, _}) -> "it is of another kind";
reason(Reason) when is_atom(Reason) -> file:format_error(Reason);
reason(Reason) -> io_lib:format("~0tp", [Reason]).

to_text(File) -> io_lib:format("~ts", [File]).

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info(timeout, #state{log = open} = State) ->
    case disk_log:sync(name(State)) of
        ok -> {noreply, synced(true, State)};
        {error, Reason} -> {noreply, element(2, committed({error, Reason}, [], State))}
    end;
%% The end of a log's process, too, which the next write meets.
handle_info(_Message, State) ->
    {noreply, State}.

-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{lock = Lock} = State) ->
    _ = disk_log:close(name(State)),
    _ = Lock =:= none orelse gen_tcp:close(Lock),
    ok.
