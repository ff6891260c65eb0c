%%% The command line: `hornbeam run APP [flags]`, `dev` (run with other defaults), `status`, `reload`, `stop`, `help`, `version`.
%%%
%%% Owns the commands, what they print and the exit status: 0 after a graceful stop, 1 when the server could not start
%%% or an option has a bad value, 2 when the command line itself is wrong, 70 (EX_SOFTWARE of sysexits.h) when a server that served
%%% has ended by itself. Called by bin/hornbeam and config/release.sh as
%%% `erl -s hornbeam_cli main`, with the arguments in the environment (bin/hornbeam says why). Calls hornbeam_options,
%%% hornbeam_option_text, hornbeam_control_client, hornbeam_crash_dump, hornbeam_log, hornbeam_signals,
%%% hornbeam_systemd, hornbeam_vm and hornbeam.
%%%
%%% Stopping is not done here: the handler of SIGTERM (hornbeam_signals; OTP's own for other commands) calls init:stop/0,
%%% which stops the applications in order, and with them the servers; the VM then exits with status 0.
-module(hornbeam_cli).

-export([main/0]).

%% What a command ends with: the VM stays up, or exits with a status.
-type outcome() :: stay | {exit, 0..2}.

%% Runs while the VM boots (`-s`): the VM counts as started when the server is up.
-spec main() -> ok.
main() ->
    ok = io:setopts(standard_io, [{encoding, unicode}]),
    ok = io:setopts(standard_error, [{encoding, unicode}]),
    ok = remove_boot_files(os:getenv("HORNBEAM_BOOT_DIR")),
    case command(arguments()) of
        stay -> ok;
        {exit, Status} -> erlang:halt(Status, [{flush, true}])
    end.

%% What runs below this VM must not find them: they are taken out of its environment.
arguments() ->
    Number = list_to_integer(os:getenv("HORNBEAM_ARGUMENTS", "0")),
    Names = ["HORNBEAM_ARGUMENT_" ++ integer_to_list(N) || N <- lists:seq(1, Number)],
    Arguments = [os:getenv(Name, "") || Name <- Names],
    lists:foreach(fun os:unsetenv/1, ["HORNBEAM_ARGUMENTS" | Names]),
    Arguments.

%% What config/release.sh filled in for the VM: it has been read, and it may hold a cookie.
remove_boot_files(false) ->
    ok;
remove_boot_files(Folder) ->
    true = os:unsetenv("HORNBEAM_BOOT_DIR"),
    _ = [file:delete(filename:join(Folder, File)) || File <- ["sys.config", "vm.args"]],
    _ = file:del_dir(Folder),
    ok.

-spec command([string()]) -> outcome().
command(["run" | Args]) ->
    case wants_help(Args) of
        true -> help();
        false -> run(Args, #{})
    end;
command(["dev" | Args]) ->
    case wants_help(Args) of
        true -> help();
        false -> run(Args, #{reload => true, access_log => combined})
    end;
command([Help | _]) when Help =:= "help"; Help =:= "--help"; Help =:= "-h" ->
    help();
command([Version | _]) when Version =:= "version"; Version =:= "--version" ->
    io:put_chars(["hornbeam ", version(), " (Erlang/OTP ", erlang:system_info(otp_release), ")\n"]),
    {exit, 0};
command([]) ->
    usage_error("a command is missing");
command([Command | Args]) when Command =:= "status"; Command =:= "reload"; Command =:= "stop" ->
    case wants_help(Args) of
        true -> help();
        false -> remote(hornbeam_control_client:run(Command, Args))
    end;
command([Unknown | _]) ->
    usage_error(["there is no command ", hornbeam_option_text:show(Unknown),
                 hornbeam_option_text:suggest(Unknown, ["run", "dev", "status", "reload", "stop", "help", "version"])]).

wants_help(Args) ->
    Flags = lists:takewhile(fun(Arg) -> Arg =/= "--" end, Args),
    lists:member("--help", Flags) orelse lists:member("-h", Flags).

help() ->
    io:put_chars([
        "Hornbeam serves Python ASGI applications from Erlang.\n\n"
        "Usage:\n"
        "  hornbeam run MODULE:ATTRIBUTE [flags]   serve an application until SIGTERM or Ctrl-C\n"
        "  hornbeam dev MODULE:ATTRIBUTE [flags]   the same for development: --reload, --access-log combined\n"
        "  hornbeam status [SERVER]                show a running server and its workers\n"
        "  hornbeam reload [SERVER] [flags]        start new workers, with other options; no request is lost\n"
        "  hornbeam stop [SERVER]                  stop it and wait until it has ended\n"
        "  hornbeam version                        print the version\n"
        "  hornbeam help                           print this text\n\n"
        "run exits with 0 after a graceful stop, 1 when it could not start, 2 for a wrong command line,\n"
        "70 when the server has ended by itself.\n\n"
        "SERVER, where several run: the name, or the process id, of one; or --control PATH.\n\n"
        "Flags of run. Each may also be given as an environment variable: HORNBEAM_MAX_QUEUE\n"
        "for --max-queue. docs/options.md says more.\n",
        hornbeam_options:help_text()]),
    {exit, 0}.

%% Defaults: what counts where neither a flag nor the environment nor sys.config says anything.
run(Args, Defaults) ->
    case hornbeam_options:from_args(Args) of
        {ok, [App], Given} -> resolve(Given#{app => App}, Defaults);
        {ok, [], Given} -> resolve(Given, Defaults);
        {ok, [_, Second | _], _} ->
            usage_error(["run takes one application; what is ", hornbeam_option_text:show(Second), "?"]);
        {error, {usage, Text}} -> usage_error(Text);
        {error, Reason} -> failed(hornbeam_options:format_error(Reason))
    end.

%% sys.config is there once the application is loaded.
resolve(Given, Defaults) ->
    ok = hornbeam_log:install(),
    ok = load(),
    case hornbeam_options:resolve(Given, Defaults) of
        {ok, #{app := <<>>, mounts := []}} -> usage_error("run needs the application to serve, such as app:app");
        {ok, Options} ->
            ok = hornbeam_log:configure(Options),
            dump_and_start(Options);
        {error, Reason} -> failed(hornbeam_options:format_error(Reason))
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
    ok = hornbeam_vm:own(),
    ok = hornbeam_signals:install(),
    ok = set_ranch(),
    case application:ensure_all_started(hornbeam) of
        {ok, _} ->
            case hornbeam:serve(Options, vital) of
                {ok, _} -> serving(Options);
                {error, Reason} -> failed(hornbeam:format_error(Reason))
            end;
        {error, {Application, Reason}} ->
            failed(io_lib:format("the application ~ts did not start: ~tp", [Application, Reason]))
    end.

%% Ranch ends as a whole when one of its listeners has ended twice in five seconds; it need not be stricter than hornbeam_server.
set_ranch() ->
    _ = application:load(ranch),
    application:set_env([{ranch, [{ranch_sup_intensity, 5}, {ranch_sup_period, 30}]}]).

serving(#{app := App, name := Name, mounts := Mounts, workers := OwnWorkers, log_format := Format} = Options) ->
    #{binds := Binds, applications := Infos} = hornbeam:info(Name),
    Applications = [App || App =/= <<>>] ++ [[MountApp, " at ", Prefix] || {Prefix, MountApp, _} <- Mounts],
    Settings = [hornbeam_options:for_mount(Options, Overrides) || {_, _, Overrides} <- Mounts],
    Workers = lists:sum([OwnWorkers || App =/= <<>>] ++ [N || #{workers := N} <- Settings]),
    Pythons = lists:usort([Python || #{workers := Each} <- Infos, #{python := Python} <- Each]),
    Number = [integer_to_list(Workers), case Workers of 1 -> " worker"; _ -> " workers" end],
    Versions = [["Python ", Python] || Python <- Pythons] ++ [["Erlang/OTP ", erlang:system_info(otp_release)]],
    Text = ["Hornbeam ", version(), " serving ", lists:join(", ", Applications), " on ", lists:join(", ", Binds),
            " (", lists:join(", ", [Number | Versions]), ")"],
    io:put_chars(hornbeam_log:line(Format, Text)),
    hornbeam_systemd:ready(),
    stay.

remote({ok, Text}) -> io:put_chars(Text), {exit, 0};
remote({error, Text}) -> complain(Text), {exit, 1};
remote({usage, Text}) -> usage_error(Text).

%% A start that fails because the VM is being stopped is no failure: the stop goes on and has its own exit status.
failed(Text) ->
    case init:get_status() of
        {stopping, _} -> stay;
        _ -> complain(Text), {exit, 1}
    end.

usage_error(Text) ->
    complain([Text, "\nTry: hornbeam help"]),
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
