%%% The access log: one line for each request, in the combined format or as JSON.
%%%
%%% Called by: hornbeam_server (a child), hornbeam_observe (write/6, in the connection's process), hornbeam_metrics_text
%%% (dropped/1). Calls: hornbeam_access_line, hornbeam_bounded, hornbeam_lasting, hornbeam_output (standard output), hornbeam_log (whether in colour).
%%%
%%% A connection's process only picks what the line needs and sends it here; this process makes the text, as many lines as have
%%% come, and writes them at once. Its queue is bounded (?MAX_QUEUE, an atomic counter): what a slow disk
%%% cannot take is dropped and counted, and requests never wait for their line.
%%%
%%% A file that was moved away (logrotate) is made again within ?LOOK ms. It is made with mode 0640, less what the umask
%%% takes: requests are nobody else's business. One that is there keeps its mode. Failure modes: the file cannot be opened: the
%%% server does not start; it cannot be written later (the disk is full, nobody reads standard output): lines are dropped and
%%% counted, it is tried again with each line, and a warning says how many, once in ?LOOK ms at most. A line that a full disk has
%%% cut is taken back: what is in the file are whole lines.
-module(hornbeam_access_log).
-behaviour(gen_server).

-export([start_link/2, ref/2, write/6, dropped/1, forget/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export_type([ref/0]).

-include_lib("kernel/include/file.hrl").

-define(MAX_QUEUE, 10000).
-define(BATCH, 500).
-define(LOOK, 1000).
%% What standard output gets at the end to take what is left.
-define(LAST_MS, 500).
-define(MODE, 8#640).
-define(APPEND, [append, raw, binary]).
%% As hornbeam_bounded has them.
-define(QUEUED, 1).
-define(DROPPED, 2).

-record(ref, {
    writer :: atom(),
    fields :: [hornbeam_option_fields:field()],
    counters :: atomics:atomics_ref()
}).
-opaque ref() :: #ref{}.

-record(state, {
    ref :: ref(),
    format :: combined | coloured | json,
    path :: binary(),
    file :: file:io_device() | hornbeam_output:output() | undefined,
    inode = 0 :: non_neg_integer(),
    size = 0 :: non_neg_integer(),          % of the file, as far as is known
    reason = behind :: behind | file:posix() | badarg | terminated,     % why lines were dropped
    warned = 0 :: non_neg_integer()         % dropped lines that a warning has spoken of
}).

-spec start_link(Name :: atom(), Config :: map()) -> {ok, pid()} | ignore | {error, term()}.
start_link(_Name, #{access_log := off}) ->
    ignore;
start_link(Name, Config) ->
    #ref{writer = Writer} = Ref = ref(Name, Config),
    gen_server:start_link({local, Writer}, ?MODULE, {Ref, Config}, []).

%% @doc What connections need to write. The counters outlive the writer.
-spec ref(Name :: atom(), Config :: map()) -> ref().
ref(Name, #{access_log := Format, access_log_fields := Fields}) ->
    hornbeam_lasting:get({?MODULE, Name}, fun() ->
        %% An atom of the server's name, which is one itself.
        #ref{writer = list_to_atom("hornbeam_access_log." ++ atom_to_list(Name)),
             fields = hornbeam_access_line:fields(Format, Fields), counters = atomics:new(2, [])}
    end).

-spec forget(Name :: atom()) -> ok.
forget(Name) ->
    hornbeam_lasting:forget({?MODULE, Name}).

-spec dropped(Name :: atom()) -> non_neg_integer().
dropped(Name) ->
    case persistent_term:get({?MODULE, Name}, none) of
        none -> 0;
        #ref{counters = Counters} -> atomics:get(Counters, ?DROPPED)
    end.

%% @doc Never blocks and never fails. Duration in native units.
-spec write(ref(), hornbeam_exchange:head(), Status :: pos_integer(), Sent :: non_neg_integer(),
            Duration :: integer(), hornbeam_access_line:ids()) -> ok.
write(#ref{writer = Writer, fields = Fields, counters = Counters}, Head, Status, Sent, Duration, Ids) ->
    hornbeam_bounded:send(Writer, Counters, ?MAX_QUEUE, fun() ->
        {line, os:system_time(millisecond), hornbeam_access_line:values(Fields, Head, Status, Sent, Duration, Ids)}
    end).

-spec init({ref(), map()}) -> {ok, #state{}} | {stop, term()}.
init({#ref{counters = Counters} = Ref, #{access_log := Given, access_log_file := Path, use_colors := Colours}}) ->
    process_flag(trap_exit, true),
    Format = case Given =:= combined andalso Path =:= <<>> andalso hornbeam_log:in_colour(standard_io, Colours) of
        true -> coloured;
        false -> Given
    end,
    atomics:put(Counters, ?QUEUED, 0),
    case open(#state{ref = Ref, format = Format, path = Path, warned = atomics:get(Counters, ?DROPPED)}) of
        {ok, State} -> _ = erlang:send_after(?LOOK, self(), look), {ok, State};
        {error, Reason} -> {stop, {shutdown, {access_log_failed, Path, Reason}}}
    end.

open(#state{path = <<>>, ref = #ref{counters = Counters}} = State) ->
    Output = hornbeam_output:open(1, none, {Counters, ?DROPPED}),
    true = link(hornbeam_output:pid(Output)),
    {ok, State#state{file = Output}};
open(#state{path = Path} = State) ->
    case open_file(Path) of
        {ok, File} ->
            %% Of what is open: another file may stand there already.
            {Inode, Size} = inode(File),
            {ok, State#state{file = File, inode = Inode, size = Size}};
        {error, Reason} ->
            {error, Reason}
    end.

%% A new one is made beside its place, where nobody writes to it nor takes it for another, and put there with the mode that it keeps.
open_file(Path) ->
    case file:read_link_info(Path) of
        {error, enoent} -> make_file(Path, <<Path/binary, $., (binary:encode_hex(rand:bytes(8)))/binary>>);
        _ -> file:open(Path, ?APPEND)
    end.

make_file(Path, New) ->
    case file:open(New, [exclusive | ?APPEND]) of
        {ok, File} ->
            ok = restrict(New),
            placed(file:make_link(New, Path), Path, New, File);
        {error, Reason} ->
            {error, Reason}
    end.

placed(ok, _Path, New, File) ->
    _ = file:delete(New),
    {ok, File};
placed({error, eexist}, Path, New, File) ->
    ok = discard(New, File),
    open_file(Path);
%% A file system without hard links.
placed({error, _}, Path, New, File) ->
    case file:rename(New, Path) of
        ok ->
            {ok, File};
        {error, Reason} ->
            ok = discard(New, File),
            {error, Reason}
    end.

discard(New, File) ->
    _ = file:close(File),
    _ = file:delete(New),
    ok.

restrict(Path) ->
    case file:read_file_info(Path) of
        {ok, #file_info{mode = Mode}} -> _ = file:change_mode(Path, Mode band ?MODE), ok;
        {error, _} -> ok
    end.

inode(PathOrFile) ->
    case file:read_file_info(PathOrFile) of
        {ok, #file_info{inode = Inode, size = Size}} -> {Inode, Size};
        {error, _} -> {0, 0}
    end.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, {error, not_supported}, #state{}}.
handle_call(_Request, _From, State) ->
    {reply, {error, not_supported}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({line, Time, Values}, State) ->
    {noreply, put_lines([{Time, Values} | more(?BATCH)], State)};
handle_info(look, State) ->
    _ = erlang:send_after(?LOOK, self(), look),
    {noreply, warn(look(State))};
handle_info(_Message, State) ->
    {noreply, State}.

look(#state{path = <<>>} = State) ->
    State;
look(#state{path = Path, inode = Inode, file = File} = State) ->
    case inode(Path) of
        {Inode, Size} ->
            %% Somebody may have cut it (logrotate's copytruncate).
            State#state{size = Size};
        _ ->
            _ = file:close(File),
            case open(State) of
                {ok, Opened} -> Opened;
                {error, Reason} -> State#state{reason = Reason}
            end
    end.

more(0) -> [];
more(Left) -> receive {line, Time, Values} -> [{Time, Values} | more(Left - 1)] after 0 -> [] end.

put_lines(Lines, #state{ref = #ref{fields = Fields, counters = Counters}, format = Format} = State) ->
    Texts = [iolist_to_binary(hornbeam_access_line:format(Format, Time, Fields, Values)) || {Time, Values} <- Lines],
    atomics:sub(Counters, ?QUEUED, length(Lines)),
    output(Texts, State).

output(Texts, #state{path = <<>>, file = Output} = State) ->
    ok = hornbeam_output:write(Output, length(Texts), Texts),
    State;
output(Texts, #state{ref = #ref{counters = Counters}, file = File, size = Size} = State) ->
    case file:write(File, Texts) of
        ok ->
            State#state{size = Size + iolist_size(Texts)};
        {error, Reason} ->
            {Written, Whole} = whole(Texts, written(File, Size), 0, Size),
            _ = file:position(File, Whole),
            _ = file:truncate(File),
            atomics:add(Counters, ?DROPPED, length(Texts) - Written),
            State#state{reason = Reason, size = Whole}
    end.

written(File, Size) ->
    case file:position(File, eof) of
        {ok, End} when End >= Size -> End;
        _ -> Size
    end.

whole([Text | Rest], End, Lines, Size) when Size + byte_size(Text) =< End ->
    whole(Rest, End, Lines + 1, Size + byte_size(Text));
whole(_Texts, _End, Lines, Size) ->
    {Lines, Size}.

warn(#state{path = Path, ref = #ref{counters = Counters}, warned = Warned, reason = Reason} = State) ->
    case atomics:get(Counters, ?DROPPED) of
        Warned ->
            State#state{reason = behind};
        Dropped ->
            logger:warning("~b lines of the access log (~ts) were dropped: ~ts",
                           [Dropped - Warned, case Path of <<>> -> "standard output"; _ -> Path end, because(Reason)]),
            State#state{warned = Dropped, reason = behind}
    end.

because(behind) -> "what takes them is too slow, or has gone";
because(Reason) -> file:format_error(Reason).

-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, State) ->
    Left = warn(put_lines(more(?MAX_QUEUE), State)),
    case Left of
        #state{path = <<>>, file = Output} -> _ = hornbeam_output:sync(Output, ?LAST_MS), ok;
        #state{file = File} -> _ = file:close(File), ok
    end.
