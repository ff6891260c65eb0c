%%% The command line: `hornbeam run [APP] [flags]`, `dev` (run with other defaults), `config`, `status`, `metrics`, `reload`, `mount`, `unmount`, `stop`, `tasks`, `cluster`, `trace`, `doctor`, `top`, `requests`, `stack`, `profile`, `memory`, `password`, `help`, `version`.
%%%
%%% Owns the commands, what they print and the exit status: 0 after a graceful stop, 1 when the server could not start
%%% or an option has a bad value, or `doctor` has found something wrong, 2 when the command line itself is wrong, 70 (EX_SOFTWARE of sysexits.h) when a server that served
%%% has ended by itself. Called by the launcher (priv/python/hornbeam) and config/release.sh as
%%% `erl -s hornbeam_cli main`, with the arguments and a configuration file's settings in the environment (launcher.py says why). Calls
%%% hornbeam_options, hornbeam_option_text, hornbeam_discovery, hornbeam_control_client, hornbeam_diagnose_client, hornbeam_top, hornbeam_doctor, hornbeam_cluster_ca, hornbeam_password_command, hornbeam_crash_dump, hornbeam_log, hornbeam_signals,
%%% hornbeam_systemd, hornbeam_vm, hornbeam_watch, hornbeam_code, hornbeam_cores, hornbeam_servers, hornbeam_cluster_node and _report (where there is a cluster) and hornbeam.
%%%
%%% Stopping is not done here: the handler of SIGTERM (hornbeam_signals; OTP's own for other commands) calls init:stop/0,
%%% which stops the applications in order, and with them the servers; the VM then exits with status 0.
-module(hornbeam_cli).

-export([main/0]).

%% The commands for a running server.
-define(REMOTE, ["status", "metrics", "top", "reload", "mount", "unmount", "stop", "tasks", "cluster", "trace" | ?ABOUT_WORKERS]).
-define(ABOUT_WORKERS, ["stack", "profile", "memory", "requests"]).

-define(READY_POLL, 100).

%% What a command ends with: the VM stays up, or exits with a status.
-type outcome() :: stay | {exit, 0..2}.

%% Runs while the VM boots (`-s`): the VM counts as started when the server is up.
-spec main() -> ok.
main() ->
    ok = io:setopts(standard_io, [{encoding, unicode}]),
    ok = io:setopts(standard_error, [{encoding, unicode}]),
    ok = remove_boot_files(os:getenv("HORNBEAM_BOOT_DIR")),
    ok = hornbeam_vm:forget_allocator(),
    Settings = settings(),
    ok = load(),
    case command(arguments(), Settings) of
        stay -> ok;
        {exit, Status} -> erlang:halt(Status, [{flush, true}])
    end.

%% What runs below this VM must not find them: they are taken out of its environment.
arguments() -> numbered("HORNBEAM_ARGUMENT").

%% What the launcher has read in a configuration file (priv/python/hornbeam/configuration.py); its name is "" where there is none.
settings() ->
    File = os:getenv("HORNBEAM_SETTINGS_FILE", ""),
    true = os:unsetenv("HORNBEAM_SETTINGS_FILE"),
    {File, [term(Text) || Text <- numbered("HORNBEAM_SETTING")]}.

numbered(Name) ->
    Number = list_to_integer(os:getenv(Name ++ "S", "0")),
    Names = [Name ++ "_" ++ integer_to_list(N) || N <- lists:seq(1, Number)],
    Texts = [os:getenv(Each, "") || Each <- Names],
    lists:foreach(fun os:unsetenv/1, [Name ++ "S" | Names]),
    Texts.

term(Text) ->
    {ok, Tokens, _} = erl_scan:string(Text ++ "."),
    {ok, Term} = erl_parse:parse_term(Tokens),
    Term.

%% What config/release.sh filled in for the VM: it has been read, and it may hold a cookie.
remove_boot_files(false) ->
    ok;
remove_boot_files(Folder) ->
    true = os:unsetenv("HORNBEAM_BOOT_DIR"),
    _ = [file:delete(filename:join(Folder, File)) || File <- ["sys.config", "vm.args"]],
    _ = file:del_dir(Folder),
    ok.

-spec command([string()], {File :: string(), [{binary(), term()}]}) -> outcome().
command(["run" | Args], Settings) ->
    case wants_help(Args) of
        true -> help();
        false -> serve(Args, Settings, #{})
    end;
command(["dev" | Args], Settings) ->
    case wants_help(Args) of
        true -> help();
        false -> serve(Args, Settings, #{reload => true, access_log => combined, dashboard_bind => "127.0.0.1:0"})
    end;
command(["doctor" | Args], Settings) ->
    case wants_help(Args) of
        true -> help();
        false -> options(Args, Settings, #{}, fun(Options, _Sources) -> doctor(hornbeam_control_client:running(Options), Options) end)
    end;
command(["config" | Args], Settings) ->
    case wants_help(Args) of
        true -> help();
        false ->
            {Which, Others} = changed_only(Args),
            options(Others, Settings, #{}, fun(Options, Sources) -> print(Options, Sources, Which) end)
    end;
command(Args, _) ->
    command(Args).

command([Help | _]) when Help =:= "help"; Help =:= "--help"; Help =:= "-h" ->
    help();
command([Version | _]) when Version =:= "version"; Version =:= "--version" ->
    io:put_chars(["hornbeam ", version(), " (Erlang/OTP ", erlang:system_info(otp_release), ")\n"]),
    {exit, 0};
command(["cluster", "ca" | Args]) ->
    case wants_help(Args) of
        true -> help();
        false -> remote(hornbeam_cluster_ca:command(Args))
    end;
command(["password" | Args]) ->
    case wants_help(Args) of
        true -> help();
        false -> remote(hornbeam_password_command:run(Args))
    end;
command([]) ->
    usage_error("a command is missing");
command([Command | Args]) ->
    case {lists:member(Command, ?REMOTE), wants_help(Args)} of
        {true, true} -> help();
        {true, false} -> remote(asked(lists:member(Command, ?ABOUT_WORKERS), Command, Args));
        {false, _} -> unknown(Command)
    end.

asked(_, "top", Args) -> hornbeam_top:run(Args);
asked(true, Command, Args) -> hornbeam_diagnose_client:run(Command, Args);
asked(false, Command, Args) -> hornbeam_control_client:run(Command, Args).

unknown(Command) ->
    usage_error(["there is no command ", hornbeam_option_text:show(Command),
                 hornbeam_option_text:suggest(Command, ["run", "dev", "config", "doctor", "cluster", "password", "help", "version" | ?REMOTE])]).

wants_help(Args) ->
    Flags = lists:takewhile(fun(Arg) -> Arg =/= "--" end, Args),
    lists:member("--help", Flags) orelse lists:member("-h", Flags).

help() ->
    io:put_chars([
        "Hornbeam serves Python ASGI applications from Erlang.\n\n"
        "Usage:\n"
        "  hornbeam run [APP] [flags]        serve an application until SIGTERM or Ctrl-C\n"
        "  hornbeam dev [APP] [flags]        the same for development: --reload,\n"
        "                                    --access-log combined, and a dashboard on\n"
        "                                    127.0.0.1\n"
        "  hornbeam config [APP] [flags]     show every option's value and where it comes\n"
        "                                    from; --changed: only those that are set\n"
        "  hornbeam status [SERVER]          show a running server and its workers\n"
        "  hornbeam metrics [SERVER]         its figures and the application's, as\n"
        "                                    /metrics has them\n"
        "  hornbeam reload [SERVER] [flags]  start new workers, with other options; no\n"
        "                                    request is lost\n"
        "  hornbeam mount PLACE=APP[;OPTION=VALUE]... [SERVER] [flags]\n"
        "                                    add an application, or replace the one there\n"
        "  hornbeam unmount PLACE [SERVER]   remove it; what it has is finished\n"
        "  hornbeam stop [SERVER]            stop it and wait until it has ended\n"
        "  hornbeam tasks ACTION [flags]     its background tasks: list [STATE], show ID,\n"
        "                                    retry ID, cancel ID, purge [STATE]\n"
        "  hornbeam trace [SERVER] [--path /x] [--slow 200ms] [--status 5xx,404]\n"
        "                 [--method GET] [-n NUMBER]\n"
        "                                    print its requests as they end\n"
        "  hornbeam cluster ACTION [flags]   its cluster: status, join ADDRESS, leave,\n"
        "                                    forget NODE\n"
        "  hornbeam cluster ca DIR [ADDRESS...]\n"
        "                                    make an authority for a cluster, and a\n"
        "                                    certificate for each node's address\n"
        "  hornbeam doctor [APP] [flags]     whether all is well for a server with these options,\n"
        "                                    or in the one that runs with them; what to do\n"
        "  hornbeam top [SERVER] [--once]    what it does, anew each second; --once: one page\n"
        "  hornbeam requests                 the requests that it has in progress\n"
        "  hornbeam stack WORKER             what a worker does: the stacks of its threads and\n"
        "                                    asyncio tasks\n"
        "  hornbeam profile WORKER [--seconds N] [-o FILE]\n"
        "                                    where its time goes; FILE.svg and FILE.html: a\n"
        "                                    flame graph, FILE.json: for speedscope\n"
        "  hornbeam memory WORKER [--seconds N]\n"
        "                                    what it allocates and keeps\n"
        "  hornbeam password                 read a password, print its hash for\n"
        "                                    --dashboard-password-file\n"
        "  hornbeam version                  print the version\n"
        "  hornbeam help                     print this text\n\n"
        "run exits with 0 after a graceful stop, 1 when it could not start, 2 for a wrong command line,\n"
        "70 when the server has ended by itself.\n\n"
        "APP is module:attribute, or a module alone, in which app and application are\n"
        "looked for. Where none is named, app.py, main.py, application.py, asgi.py or\n"
        "app/main.py in the application's folder is taken.\n\n"
        "SERVER, where several run: the name, or the process id, of one; or --control PATH.\n\n"
        "Flags of run and config. Each may also be given as an environment variable\n"
        "(HORNBEAM_MAX_QUEUE for --max-queue) and in a file: hornbeam.toml, or\n"
        "[tool.hornbeam] in pyproject.toml.\n"
        "docs/options.md and docs/configuration.md say more.\n\n"
        "Flags of uvicorn, gunicorn, hypercorn and granian are taken as well:\n"
        "  --host HOST --port PORT, --uds PATH, --fd N, -b ADDRESS\n"
        "  -w N, -k uvicorn.workers.UvicornWorker, --limit-concurrency N\n"
        "  --timeout-keep-alive SECONDS, --timeout-graceful-shutdown SECONDS\n"
        "  --ssl-keyfile FILE, --ssl-certfile FILE, --access-logfile FILE, --app-dir DIR\n"
        "and more, and the variables PORT and WEB_CONCURRENCY: docs/coming-from.md has\n"
        "all, and what is used instead of those that are not taken.\n\n"
        "  -c, --config PATH\n"
        "      Configuration file in place of the one in the current folder; none to\n"
        "      read none.\n",
        hornbeam_options:help_text()]),
    {exit, 0}.

serve(Args, Settings, Defaults) ->
    ok = hornbeam_code:prefetch(),
    ok = start_needed(),
    options(Args, Settings, Defaults, fun run/2).

%% Defaults: of the command, weaker than all that anybody gives. Then is told the options and where each comes from. sys.config is there once
%% the application is loaded.
options(Args, {File, Settings}, Defaults, Then) ->
    ok = hornbeam_log:install(),
    resolve(given(hornbeam_options:from_written_args(Args)), hornbeam_options:from_file(Settings, File), File,
            maps:merge(launcher_defaults(), Defaults), Then).

resolve({ok, Given, Named}, {ok, Settings}, File, Defaults, Then) ->
    case hornbeam_options:resolve(Given, {File, Settings}, Defaults) of
        {ok, Options, Sources} -> Then(Options, maps:merge(Sources, Named));
        {error, Reason} -> failed(hornbeam_options:format_error(Reason))
    end;
resolve({error, {usage, Text}}, _, _, _, _) -> usage_error(Text);
resolve({error, Reason}, _, _, _, _) -> failed(hornbeam_options:format_error(Reason));
resolve(_, {error, Reason}, _, _, _) -> failed(hornbeam_options:format_error(Reason)).

%% And where it stands on the command line.
given({ok, [App], Given, Written}) -> {ok, Given#{app => App}, Written#{app => "argument"}};
given({ok, [], Given, Written}) -> {ok, Given, Written};
given({ok, [_, Second | _], _, _}) ->
    {error, {usage, ["one application is served; what is ", hornbeam_option_text:show(Second), "?"]}};
given(Error) -> Error.

run(#{app := <<>>, mounts := []} = Options, Sources) ->
    case hornbeam_discovery:find(Options) of
        {ok, Module, File} ->
            io:put_chars(["No application is named: taking \"", Module, "\", which is ", File, "\n"]),
            configured(Options#{app := Module}, Sources#{app => ["found: ", File]});
        {error, _} when map_get(static, Options) =/= [] ->
            configured(Options, Sources);
        {error, Text} ->
            usage_error(["run needs the application to serve, such as app:app: none is named, and ", Text])
    end;
run(Options, Sources) ->
    configured(Options, Sources).

configured(#{name := Name} = Options, Sources) ->
    ok = hornbeam_servers:set_sources(Name, Options, Sources),
    ok = hornbeam_log:configure(Options),
    dump_and_start(Options).

%% Without an application, too: what else holds may be looked at before there is one.
print(Options, Sources, Which) ->
    {Shown, From} = case Options of
        #{app := <<>>, mounts := []} -> print_found(hornbeam_discovery:find(Options), Options, Sources);
        #{} -> {Options, Sources}
    end,
    io:put_chars(hornbeam_options:report(Shown, From, Which)),
    {exit, 0}.

print_found({ok, Module, File}, Options, Sources) -> {Options#{app := Module}, Sources#{app => ["found: ", File]}};
print_found({error, _}, Options, Sources) -> {Options, Sources}.

%% Of one that runs all is known, its own limits and links too.
doctor({ok, Path}, _Options) ->
    case hornbeam_control_client:data("doctor", Path) of
        {ok, #{<<"text">> := Text, <<"wrong">> := Wrong}} -> examined(["The server that runs:\n", Text], Wrong);
        {error, Text} -> complain(Text), {exit, 1}
    end;
doctor(none, Options0) ->
    {ok, _} = application:ensure_all_started(ssl),
    {Options, _} = case Options0 of
        #{app := <<>>, mounts := []} -> print_found(hornbeam_discovery:find(Options0), Options0, #{});
        #{} -> {Options0, #{}}
    end,
    Findings = hornbeam_doctor:examine(Options, not_running),
    examined(["No server runs with these options:\n", hornbeam_doctor:text(Findings)], hornbeam_doctor:is_wrong(Findings)).

examined(Text, Wrong) ->
    io:put_chars(Text),
    {exit, case Wrong of true -> 1; false -> 0 end}.

changed_only(Args) ->
    {Flags, Rest} = lists:splitwith(fun(Arg) -> Arg =/= "--" end, Args),
    case lists:member("--changed", Flags) of
        true -> {changed, [Flag || Flag <- Flags, Flag =/= "--changed"] ++ Rest};
        false -> {all, Args}
    end.

%% A wheel's workers run in the interpreter that it is installed in (priv/python/hornbeam/vm.py).
launcher_defaults() ->
    case os:getenv("HORNBEAM_INTERPRETER") of
        false -> #{};
        Interpreter -> true = os:unsetenv("HORNBEAM_INTERPRETER"), #{python => Interpreter}
    end.

dump_and_start(#{crash_dump_dir := Folder, name := Name} = Options) ->
    case hornbeam_crash_dump:allow(Folder, Name) of
        ok -> start(Options);
        {error, Text} -> failed(["bad option crash_dump_dir: ", Text])
    end.

%% The applications that it needs are temporary: the end of one of them would end the VM at once, with status 1. Here the listener
%% notices (hornbeam_listener), and the end is that of a server. What is served is said here: hornbeam_app must not find it as well.
start(Options) ->
    ok = application:unset_env(hornbeam, app),
    true = os:unsetenv("HORNBEAM_APP"),
    ok = prepare_cluster(Options),
    ok = hornbeam_vm:own(),
    ok = hornbeam_signals:install(),
    case application:ensure_all_started(hornbeam) of
        {ok, _} -> attempt(Options);
        {error, {Application, Reason}} ->
            failed(io_lib:format("the application ~ts did not start: ~tp", [Application, Reason]))
    end.

prepare_cluster(#{cluster := <<>>}) -> ok;
prepare_cluster(Options) -> hornbeam_cluster_node:prepare(Options).

attempt(Options) ->
    case hornbeam:serve(Options, vital) of
        {ok, _} -> serving(Options);
        {error, Reason} -> not_served(Reason, Options)
    end.

%% With `reload', what the application does wrong may be mended by the next file that is saved. The text comes when that will be seen.
not_served(Reason, #{reload := true} = Options) ->
    Said = fun() ->
        complain(hornbeam:format_error(Reason)),
        complain("waiting for a change of the application's files")
    end,
    case is_applications(Reason) andalso hornbeam_watch:wait(Options, Said) of
        ok -> attempt(Options);
        _ -> failed(hornbeam:format_error(Reason))
    end;
not_served(Reason, _) ->
    failed(hornbeam:format_error(Reason)).

is_applications({Kind, _}) ->
    lists:member(Kind, [module_not_found, attribute_missing, not_callable, not_asgi, factory_failed, import_failed, lifespan_failed, channels_failed,
                        python_exited, startup_timeout]);
is_applications(_) ->
    false.

%% The applications that Hornbeam needs, while the options are read: a twentieth of a second less. Whether they could be started is asked when
%% Hornbeam is.
start_needed() ->
    ok = set_ranch(),
    {ok, Needed} = application:get_key(hornbeam, applications),
    _ = spawn(fun() -> lists:foreach(fun application:ensure_all_started/1, Needed) end),
    ok.

%% Ranch ends as a whole when one of its listeners has ended twice in five seconds; it need not be stricter than hornbeam_server.
set_ranch() ->
    _ = application:load(ranch),
    application:set_env([{ranch, [{ranch_sup_intensity, 5}, {ranch_sup_period, 30}]}]).

serving(#{app := App, name := Name, mounts := Mounts, static := Static, workers := OwnWorkers, log_format := Format} = Options) ->
    #{binds := Binds, applications := Infos} = hornbeam:info(Name),
    Applications = [[App, interface(<<"/">>, Infos)] || App =/= <<>>]
        ++ [[MountApp, interface(Place, Infos), " at ", Place] || {Place, MountApp, _} <- Mounts]
        ++ [[Folder, " at ", Prefix] || {Prefix, Folder, _} <- Static],
    Settings = [hornbeam_options:for_mount(Options, Overrides) || {_, _, Overrides} <- Mounts],
    Workers = lists:sum([OwnWorkers || App =/= <<>>] ++ [N || #{workers := N} <- Settings]),
    Pythons = lists:usort([Python || #{workers := Each} <- Infos, #{python := Python} <- Each]),
    Number = [integer_to_list(Workers), case Workers of 1 -> " worker"; _ -> " workers" end],
    Versions = [["Python ", Python] || Python <- Pythons] ++ [["Erlang/OTP ", erlang:system_info(otp_release)]],
    Text = ["Hornbeam ", version(), " serving ", lists:join(", ", Applications), " on ", lists:join(", ", Binds),
            " (", lists:join(", ", [Number | Versions]), ")"],
    io:put_chars(hornbeam_log:line(Format, Text)),
    ok = hornbeam_cores:serving(),
    ready(Binds, hornbeam_servers:config(Name)).

%% With cluster_ready that is said once a majority of the cluster is there.
ready(Binds, {ok, #{cluster_ready := true} = Config}) ->
    ok = hornbeam_systemd:waiting("a majority of the cluster"),
    _ = spawn(fun() -> ready_later(Binds, Config) end),
    stay;
ready(Binds, _) ->
    hornbeam_systemd:ready(Binds),
    stay.

ready_later(Binds, Config) ->
    case hornbeam_cluster_report:is_ready(Config) of
        true -> hornbeam_systemd:ready(Binds);
        false -> receive after ?READY_POLL -> ready_later(Binds, Config) end
    end.

interface(Place, Infos) ->
    hornbeam_status:interface(lists:append([Workers || #{place := P, workers := Workers} <- Infos, P =:= Place])).

remote({ok, Text}) -> io:put_chars(Text), {exit, 0};
remote({error, Text}) -> complain(Text), {exit, 1};
remote({usage, Text}) -> usage_error(Text).

%% A start that fails because the VM is being stopped is no failure: the stop goes on and has its own exit status.
failed(Text) ->
    case init:get_status() of
        {stopping, _} -> stay;
        _ ->
            %% What was logged on the way to it stands before it.
            ok = hornbeam_log:sync(),
            complain(Text),
            hornbeam_systemd:failed(Text),
            {exit, 1}
    end.

usage_error(Text) ->
    complain([Text, "\nTry: hornbeam help"]),
    hornbeam_systemd:failed(Text),
    {exit, 2}.

complain(Text) ->
    io:put_chars(standard_error, ["hornbeam: ", string:trim(unicode:characters_to_list(Text), trailing, "\n"), "\n"]).

version() ->
    ok = load(),
    case application:get_key(hornbeam, vsn) of
        {ok, Version} -> Version;
        undefined -> "of unknown version"
    end.

load() ->
    case application:load(hornbeam) of
        ok -> ok;
        {error, {already_loaded, hornbeam}} -> ok
    end.
