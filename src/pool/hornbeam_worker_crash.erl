%%% What is known of a Python process that has died: one record that a person can read.
%%%
%%% Called by: hornbeam_worker, in its process, from the start of a Python process to its end; hornbeam_worker_life (text/1, fields/1). Calls: hornbeam_worker_rows, hornbeam_worker_health (what the
%%% process last said of itself), hornbeam_crashes (which keeps the record), hornbeam_reason.
%%%
%%% What faulthandler writes when the process crashes must outlive it: the process names a file without a name that it holds open (health.py), in its first
%%% frame, and this one opens the same through /proc and reads it at the end. Where that is not possible (no Linux, another user) the record has none.
%%% What a process is given back by the kernel when it has ended (rusage) goes to the one that starts it, which is not this VM: what stands here
%%% is what it said with its last answer to a ping.
-module(hornbeam_worker_crash).

-export([new/4, told/3, report/4, text/1, fields/1, close/1]).
-export_type([crash/0]).

-include("hornbeam.hrl").
-include_lib("kernel/include/file.hrl").

-define(MAX_FATAL, 16384).
-define(MAX_ROWS, 10).

-record(crash, {
    number :: pos_integer(),
    mount :: hornbeam_mounts:mount(),
    os_pid :: pos_integer() | undefined,
    started :: integer(),               % monotonic ms
    first :: hornbeam_frame:stream_id(),
    file = none :: none | file:fd()
}).
-opaque crash() :: #crash{}.

%% @doc For a process that has been started. LastId: of the streams before it.
-spec new(Number :: pos_integer(), hornbeam_mounts:mount(), OsPid :: pos_integer() | undefined, LastId :: hornbeam_frame:stream_id()) -> crash().
new(Number, Mount, OsPid, LastId) ->
    #crash{number = Number, mount = Mount, os_pid = OsPid, started = erlang:monotonic_time(millisecond), first = LastId}.

%% @doc What it says in its first frame, and its number, which another had if it was forked.
-spec told(About :: map(), OsPid :: pos_integer() | undefined, crash()) -> crash().
told(#{<<"crash">> := Descriptor}, OsPid, #crash{file = none} = Crash0) when is_integer(Descriptor), Descriptor >= 0, OsPid =/= undefined ->
    Crash = Crash0#crash{os_pid = OsPid},
    Path = ["/proc/", integer_to_list(OsPid), "/fd/", integer_to_list(Descriptor)],
    %% What it names may be anything: a pipe would be waited for.
    case file:read_file_info(Path, [raw]) of
        {ok, #file_info{type = regular}} -> Crash#crash{file = opened(file:open(Path, [raw, read, binary]))};
        _ -> Crash
    end;
told(_About, OsPid, Crash) ->
    Crash#crash{os_pid = OsPid}.

opened({ok, File}) -> File;
opened({error, _}) -> none.

%% @doc Why it has ended, and the rest; kept for those who ask later. Rows: what it had in progress. LastId: of its streams.
-spec report({Reason :: term(), Status :: term()}, {hornbeam_worker_health:health() | undefined, [hornbeam_worker_rows:row()]}, hornbeam_frame:stream_id(), crash()) ->
    hornbeam_crashes:report().
report({Reason, Status}, {Health, Rows}, LastId, #crash{number = Number, mount = Mount, os_pid = OsPid, started = Started, first = First} = Crash) ->
    #mount{app = App, pool = {Server, _} = Pool} = Mount,
    Report = maps:merge(figures(Health),
        #{at => erlang:system_time(millisecond), server => Server, worker => hornbeam_worker_rows:name(Pool, Number), app => App, pid => OsPid,
          reason => unicode:characters_to_binary(hornbeam_reason:format(Reason)), status => status(Status),
          uptime => erlang:monotonic_time(millisecond) - Started, requests => max(0, LastId - First),
          in_progress => lists:sublist(Rows, ?MAX_ROWS), fatal => fatal(Crash), core => core(Crash)}),
    _ = is_start(Reason) orelse hornbeam_crashes:add(Server, Report),
    Report.

%% It has said why it does not start.
is_start({Kind, _}) -> not lists:member(Kind, [python_exited, python_killed, blocked, bad_frame]);
is_start(Backlog) when element(1, Backlog) =:= backlog -> false;
is_start(_) -> true.

status({exit_status, Status}) -> Status;
status(_) -> none.

figures(undefined) ->
    #{max_memory => none, cpu => none, figures_age => none};
figures(Health) ->
    {Figures, Age} = hornbeam_worker_health:last(Health),
    [Memory, Cpu] = [case Figures of #{Key := N} when is_integer(N), N >= 0 -> N; #{} -> none end || Key <- [<<"max_memory">>, <<"cpu">>]],
    #{max_memory => Memory, cpu => Cpu, figures_age => case Memory of none -> none; _ -> Age end}.

%% From the last "Fatal Python error" on: the same file has the stacks that somebody has asked for.
fatal(#crash{file = none}) ->
    none;
fatal(#crash{file = File}) ->
    {ok, Size} = file:position(File, eof),
    case file:pread(File, max(0, Size - ?MAX_FATAL), ?MAX_FATAL) of
        {ok, Text} ->
            case string:find(Text, <<"Fatal Python error">>, trailing) of
                nomatch -> none;
                Fatal -> readable(string:trim(Fatal))
            end;
        _ ->
            none
    end.

readable(Text) ->
    case unicode:characters_to_binary(Text) of
        Good when is_binary(Good) -> Good;
        {_, Good, _} -> Good
    end.

%% Where the kernel has been told to write one, in a file that is named so and newer than the process.
core(#crash{os_pid = OsPid, started = Started, mount = #mount{settings = Settings}}) when OsPid =/= undefined ->
    case file:read_file("/proc/sys/kernel/core_pattern") of
        {ok, <<"|", _/binary>>} -> none;
        {ok, Pattern} ->
            Folder = case Settings of
                #{chdir := Chdir} when Chdir =/= <<>> -> unicode:characters_to_list(Chdir);
                #{} -> {ok, Cwd} = file:get_cwd(), Cwd
            end,
            Since = erlang:system_time(second) - (erlang:monotonic_time(millisecond) - Started) div 1000 - 1,
            newest([Path || Name <- [wanted(string:trim(Pattern), OsPid), wanted(<<(string:trim(Pattern))/binary, ".%p">>, OsPid)],
                            Path <- filelib:wildcard(filename:absname(Name, Folder)), is_newer(Path, Since)]);
        {error, _} -> none
    end;
core(_) ->
    none.

wanted(Pattern, OsPid) ->
    Pid = integer_to_list(OsPid),
    lists:foldl(fun({What, With}, Text) -> re:replace(Text, What, With, [global, {return, list}]) end, Pattern,
                [{"%[pPiI]", Pid}, {"%%", "%"}, {"%[a-zA-Z]", "*"}]).

is_newer(Path, Since) ->
    case file:read_file_info(Path, [raw, {time, posix}]) of
        {ok, #file_info{type = regular, mtime = Time}} -> Time >= Since;
        _ -> false
    end.

newest([]) -> none;
newest([Path | _]) -> unicode:characters_to_binary(Path).

%% @doc The lines behind the one that says that it has ended.
-spec text(hornbeam_crashes:report()) -> unicode:chardata().
text(#{uptime := Uptime, requests := Requests, in_progress := Rows} = Report) ->
    [io_lib:format("\n  it ran for ~.1f s and was given ~b requests and calls", [Uptime / 1000, Requests]), usage(Report),
     [io_lib:format("\n  in progress: ~ts", [lists:join(", ", lists:map(fun row/1, Rows))]) || Rows =/= []],
     [["\n  core file: ", Core] || #{core := Core} <- [Report], Core =/= none],
     [["\n  ", string:replace(Fatal, "\n", "\n  ", all)] || #{fatal := Fatal} <- [Report], Fatal =/= none]].

%% @doc The same as values of JSON, for the log's field `crash': what is not known is not there.
-spec fields(hornbeam_crashes:report()) -> #{atom() => hornbeam_json:value()}.
fields(#{worker := Worker, app := App, pid := Pid, reason := Reason, status := Status, uptime := Uptime, requests := Requests, in_progress := Rows,
         max_memory := Memory, cpu := Cpu, figures_age := Age, fatal := Fatal, core := Core}) ->
    known(#{worker => Worker, app => App, pid => Pid, reason => Reason, status => Status, signal => hornbeam_reason:signal(Status), uptime_ms => Uptime,
            requests => Requests, in_progress => [in_progress(Row) || Row <- Rows],
            rusage => case known(#{max_memory_bytes => Memory, cpu_ms => Cpu, age_ms => Age}) of Usage when Usage =:= #{} -> none; Usage -> Usage end,
            stack => case Fatal of none -> none; _ -> binary:split(Fatal, <<"\n">>, [global]) end, core => Core}).

in_progress(#{method := Method, path := Path, age_us := Age} = Row) ->
    known(#{method => Method, path => Path, age_ms => Age div 1000, request_id => maps:get(request_id, Row, none)}).

known(Map) -> maps:filter(fun(_, Value) -> Value =/= none andalso Value =/= undefined end, Map).

usage(#{max_memory := Memory, cpu := Cpu, figures_age := Age}) when is_integer(Memory), is_integer(Cpu) ->
    io_lib:format("\n  it had used ~.1f MB of memory at most and ~.1f s of CPU, ~.1f s before its end", [Memory / 1.0e6, Cpu / 1000, Age / 1000]);
usage(_) ->
    "".

row(#{method := Method, path := Path, age_us := Age}) ->
    io_lib:format("~ts ~ts (~.1f s)", [Method, Path, Age / 1.0e6]).

%% @doc Nothing more is asked of it.
-spec close(crash() | undefined) -> ok.
close(#crash{file = File}) when File =/= none -> _ = file:close(File), ok;
close(_) -> ok.
