%%% The page docs/coming-from.md: the flags of uvicorn, gunicorn, hypercorn and granian against those here.
%%%
%%% Called by: hornbeam_options. Calls hornbeam_option_alias_table (what the flags are), hornbeam_option_table and hornbeam_option_sources
%%% (the names of our own). Pure.
-module(hornbeam_option_coming_from).

-export([markdown/0]).

-spec markdown() -> binary().
markdown() ->
    unicode:characters_to_binary([introduction(), [section(Tool) || Tool <- [uvicorn, gunicorn, hypercorn, granian]]]).

introduction() ->
    "# Coming from uvicorn, gunicorn, hypercorn or granian\n\n"
    "<!-- Generated from src/options/hornbeam_option_alias_table.erl by `make docs`. -->\n\n"
    "`hornbeam run` takes the flags of these servers beside its own ([options](options.md)):\n\n"
    "```sh\n"
    "hornbeam run app:app --host 0.0.0.0 --port 8000 --workers 4 --timeout-keep-alive 5\n"
    "hornbeam run app:app -b 0.0.0.0:8000 -w 4 -k uvicorn.workers.UvicornWorker\n"
    "```\n\n"
    "A flag that cannot be had here is an error that says what to use instead (exit status 2). The tables below have all of them.\n\n"
    "**Mind the units.** Where a flag exists here under the same name, it is the one here, and its times are in milliseconds: `--timeout`,\n"
    "`--graceful-timeout` and `--websocket-ping-interval`. Flags that are only another server's have that server's unit; seconds may\n"
    "have a fraction (`--timeout-keep-alive 2.5`).\n\n"
    "**Variables.** `WEB_CONCURRENCY` is the number of workers, `PORT` a port to bind at 0.0.0.0. `HORNBEAM_WORKERS` and `HORNBEAM_BIND` are\n"
    "stronger, and flags more so; sys.config is weaker.\n\n"
    "**Given twice.** `-b`, `--bind`, `--uds` and `--fd` add addresses; `--host` and `--port` make one together, and are not taken beside those.\n"
    "Of other flags that mean the same the last one counts.\n\n"
    "**Defaults that differ.** No access log, nobody's `X-Forwarded-*` is believed, idle connections stay open for 75 seconds, messages on\n"
    "WebSockets are not compressed, a response must begin within 60 seconds (`--timeout`), a body has at most 1 GiB (`--max-body-size`).\n".

section(Tool) ->
    Rows = [Alias || {_, Tools, _, _} = Alias <- hornbeam_option_alias_table:all(), lists:member(Tool, Tools)],
    ["\n## ", atom_to_list(Tool), "\n\n| ", atom_to_list(Tool), " | here | |\n| --- | --- | --- |\n",
     [row(Flags, Rule, Note) || {Flags, _, Rule, Note} <- Rows]].

row(Flags, Rule, Note) ->
    {Here, Text} = here(Rule),
    Cells = [lists:join(", ", [["`", Flag, "`"] || Flag <- Flags]), Here, lists:join("; ", [T || T <- [Text, Note], T =/= []])],
    [[["| ", string:trim(escape(Cell)), " "] || Cell <- Cells], "|\n"].

%% What stands for a flag, and what there is to say of it.
here(same) -> {"the same", []};
here(unlike) -> {"**unlike**", []};
here({to, Key}) -> {own(Key), []};
here({to, Key, _}) -> {own(Key), []};
here({by, [], _}) -> {"nothing", []};
here({by, Keys, _}) -> {lists:join(", ", [own(Key) || Key <- Keys]), []};
here({words, Words}) -> {lists:join("; ", [[names(Names), ": ", does(Does)] || {Names, Does} <- Words]), []};
here({optional, Alone, Words}) ->
    {Here, Text} = here(Words),
    {["alone: ", does(Alone), "; ", Here], Text};
here({sets, Settings}) -> {does(Settings), []};
here({part, ping_timeout}) -> {own(websocket_timeout), []};
here({part, _}) -> {own(bind), []};
here({more, {optional, _, _} = Rule}) -> here(Rule);
here({more, _}) -> {"the same, and more", []};
here({refuse, Instead}) -> {"not taken", Instead}.

names(Names) -> lists:join(", ", [["`", Name, "`"] || Name <- Names]).

does([]) -> "nothing";
does({refuse, Instead}) -> ["not taken (", Instead, ")"];
does(Settings) -> lists:join(" ", [setting(Setting) || Setting <- Settings]).

setting({implied, Key, Text}) -> setting({Key, Text});
setting({empty, Key}) -> ["none of ", own(Key)];
setting({Key, Text}) ->
    {ok, #{type := Type} = Spec} = hornbeam_option_table:find(Key),
    Flag = hornbeam_option_sources:flag(Spec),
    case {Type, Text} of
        {boolean, "true"} -> ["`--", Flag, "`"];
        {boolean, "false"} -> ["`--no-", Flag, "`"];
        _ -> ["`--", Flag, " ", Text, "`"]
    end.

own(Key) ->
    {ok, Spec} = hornbeam_option_table:find(Key),
    ["`--", hornbeam_option_sources:flag(Spec), "`"].

escape(Cell) ->
    unicode:characters_to_list(string:replace(unicode:characters_to_list(Cell), "|", "\\|", all)).
