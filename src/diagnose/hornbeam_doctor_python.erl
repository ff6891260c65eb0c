%%% The interpreters, for `hornbeam doctor': of the application, of each mount and of each service, whether a worker could run in them.
%%%
%%% Called by: hornbeam_doctor. Calls: hornbeam_python, hornbeam_options (for_mount/2). Runs each interpreter once.
-module(hornbeam_doctor_python).

-export([examine/1]).

-define(PATIENCE, 30000).
-define(ASK, "import sys\n"
             "def of(name):\n"
             "    try:\n"
             "        return getattr(__import__(name), '__version__', None) or str(getattr(__import__(name), 'version', 'there'))\n"
             "    except Exception:\n"
             "        return '-'\n"
             "print('.'.join(map(str, sys.version_info[:3])), of('msgpack').replace(' ', ''), of('uvloop'))\n").
-define(OLDEST, [3, 10]).

-spec examine(Config :: map()) -> [hornbeam_doctor:finding()].
examine(#{app := App, mounts := Mounts} = Config) ->
    Settings = [Config || App =/= <<>>] ++ [hornbeam_options:for_mount(Config, Overrides) || {_, _, Overrides} <- Mounts],
    Places = lists:usort([{hornbeam_python:interpreter(Each), maps:get(loop, Each)} || Each <- Settings]),
    lists:append([interpreter(Interpreter, Loop) || {Interpreter, Loop} <- Places]).

interpreter({error, {python_not_found, Name}}, _Loop) ->
    [{wrong, ["Python: there is no interpreter ", Name], "Say with `python` or `venv` which one workers run in."}];
interpreter({ok, Path}, Loop) ->
    case ask(Path) of
        {ok, [Version, Msgpack, Uvloop]} ->
            What = ["Python ", Version, " (", Path, "), msgpack ", Msgpack, ", uvloop ", Uvloop],
            [judged(What, [element(1, string:to_integer(Part)) || Part <- string:lexemes(Version, ".")], Msgpack, Uvloop, Loop, Path)];
        _ ->
            [{wrong, ["Python: ", Path, " does not run"], ["Try: ", Path, " -c 'import sys'"]}]
    end.

judged(What, Version, _, _, _, _) when Version < ?OLDEST ->
    {wrong, What, "Hornbeam needs Python 3.10 or newer."};
judged(What, _, "-", _, _, Path) ->
    {wrong, What, ["msgpack is missing: ", Path, " -m pip install msgpack"]};
judged(What, _, _, "-", uvloop, Path) ->
    {wrong, What, ["loop is uvloop, which is not there: ", Path, " -m pip install uvloop, or loop auto"]};
judged(What, _, _, "-", _, Path) ->
    {ok, [What, " (asyncio's loop is used; ", Path, " -m pip install uvloop: a faster one)"], ""};
judged(What, _, _, _, _, _) ->
    {ok, What, ""}.

ask(Path) ->
    Port = erlang:open_port({spawn_executable, Path}, [{args, ["-c", ?ASK]}, exit_status, in, stderr_to_stdout, hide]),
    answer(Port, []).

answer(Port, Said) ->
    receive
        {Port, {data, More}} -> answer(Port, [Said | More]);
        {Port, {exit_status, 0}} -> {ok, string:lexemes(string:trim(lists:flatten(Said)), " ")};
        {Port, {exit_status, _}} -> error
    after ?PATIENCE ->
        true = erlang:port_close(Port),
        error
    end.
