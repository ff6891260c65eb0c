%%% `hornbeam stack', `profile', `memory', `requests' as the control socket of a running server has them.
%%%
%%% Called by: hornbeam_control, in a process of the client's own, which waits. Calls: hornbeam_diagnose_workers, hornbeam_worker_stack, _profile, _memory_top,
%%% hornbeam_in_progress, hornbeam_option_text.
-module(hornbeam_diagnose_command).

-export([run/3]).

-define(SECONDS, "10").

%% @doc Arguments: what follows the command. A profile is told in the collapsed form, behind a line of figures; what else is made of it is made by who asks.
-spec run(Server :: atom(), Command :: string(), Arguments :: [string()]) -> {ok | error, unicode:chardata()}.
run(Server, "requests", []) ->
    {ok, hornbeam_in_progress:text(Server)};
run(Server, "stack", [Name]) ->
    with_worker(Server, Name, fun(Worker) -> said(hornbeam_worker_stack:take(Worker)) end);
run(Server, "memory", [Name | Rest]) ->
    with_worker(Server, Name, fun(Worker) -> for(Rest, fun(Seconds) -> said(hornbeam_worker_memory_top:take(Worker, Seconds)) end) end);
run(Server, "profile", [Name | Rest]) ->
    with_worker(Server, Name, fun(Worker) -> for(Rest, fun(Seconds) -> profiled(hornbeam_worker_profile:take(Worker, Seconds, collapsed)) end) end);
run(_Server, "requests", _) ->
    {error, "requests takes no argument"};
run(_Server, Command, _) ->
    {error, [Command, " takes a worker as `hornbeam status' names it: its number, or PLACE/NUMBER where several applications run"]}.

with_worker(Server, Name, Then) ->
    case hornbeam_diagnose_workers:find(Server, Name) of
        {ok, #{pid := Worker}} -> Then(Worker);
        Error -> Error
    end.

for([], Then) -> for([?SECONDS], Then);
for([Text], Then) ->
    case string:to_integer(Text) of
        {Seconds, ""} ->
            case hornbeam_worker_profile:seconds(Seconds) of
                true -> Then(Seconds);
                false -> {error, "--seconds is from 1 to 300"}
            end;
        _ ->
            {error, ["--seconds is a number, and not ", hornbeam_option_text:show(Text)]}
    end;
for(_, _) ->
    {error, "one worker and one number of seconds"}.

profiled({ok, #{stacks := Stacks, samples := Samples, busy := Busy}}) ->
    {ok, [io_lib:format("# ~b samples, in ~b of which a thread did something~n", [Samples, Busy]), Stacks]};
profiled(Error) ->
    said(Error).

said({ok, Text}) -> {ok, Text};
said({error, {python, Text}}) -> {error, Text};
said({error, not_ready}) -> {error, "the worker is starting, or ends"};
said({error, busy}) -> {error, "too many have asked this worker already"};
said({error, ended}) -> {error, "the worker has ended meanwhile"};
said({error, timeout}) -> {error, "the worker does not answer"};
said({error, blocked}) -> {error, "its event loop is blocked, and no answer comes from it: `hornbeam stack' shows where it stands"};
said({error, {stopped, State, OsPid}}) -> {error, stopped(State, OsPid)};
said({error, no_stacks}) -> {error, "the worker does not answer, and this platform has no other way to its stacks"};
said({error, Posix}) -> {error, ["its stacks cannot be read: ", file:format_error(Posix)]}.

stopped($T, OsPid) -> io_lib:format("the process is stopped (T), as by SIGSTOP, and can tell nothing: `kill -CONT ~b' lets it go on", [OsPid]);
stopped($t, OsPid) -> io_lib:format("the process ~b is stopped (t) by a debugger, and can tell nothing", [OsPid]).
