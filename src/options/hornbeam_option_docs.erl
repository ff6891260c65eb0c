%%% The documentation that the table of options gives: the flags in `hornbeam --help`, the page docs/options.md, the types of the keyword
%%% arguments in Python (priv/python/hornbeam/options.py).
%%%
%%% Pure functions of a table. Called by hornbeam_options; calls hornbeam_option_table for the groups, and
%%% hornbeam_option_types, _sources and _text.
-module(hornbeam_option_docs).

-export([help_text/1, markdown/1, python/1]).

-type spec() :: hornbeam_option_types:spec().

-define(WIDTH, 80).
-define(INDENT, "      ").

-spec help_text([spec()]) -> unicode:chardata().
help_text(Specs) ->
    [["\n", Heading, ":\n", [help(Spec) || Spec <- InGroup]] || {Heading, InGroup} <- grouped(Specs)].

help(#{doc := Doc, type := Type} = Spec) ->
    Repeat = case hornbeam_option_types:is_multiple(Type) of true -> "Repeatable. "; false -> "" end,
    Words = string:lexemes(unicode:characters_to_list([Doc, " ", Repeat, per_mount(Spec)]), " "),
    Default = unicode:characters_to_list(["[default: ", default(Spec), "]"]),
    ["  ", usage(Spec), "\n", wrap(Words ++ [Default], ?INDENT)].

%% The words in lines that each begin with Indent.
wrap(Words, Indent) -> wrap(Words, [], 0, Indent).

wrap([Word | Words], Line, Length, Indent) when Line =/= [], Length + 1 + length(Word) > ?WIDTH - length(Indent) ->
    [line(Line, Indent), wrap([Word | Words], [], 0, Indent)];
wrap([Word | Words], Line, Length, Indent) ->
    wrap(Words, [Word | Line], Length + 1 + length(Word), Indent);
wrap([], Line, _, Indent) ->
    line(Line, Indent).

line(Reversed, Indent) -> [Indent, lists:join(" ", lists:reverse(Reversed)), "\n"].

usage(#{type := Type} = Spec) when Type =:= boolean; Type =:= {auto, boolean} ->
    Flag = hornbeam_option_sources:flag(Spec),
    ["--", Flag, ", --no-", Flag];
usage(#{type := Type} = Spec) ->
    Value = case Spec of
        #{metavar := Own} -> Own;
        #{} -> metavar(Type, maps:get(unit, Spec, none))
    end,
    ["--", hornbeam_option_sources:flag(Spec), " ", Value].

metavar(_, ms) -> "MS";
metavar(_, us) -> "MICROSECONDS";
metavar(_, bytes) -> "BYTES";
metavar({list, Type}, Unit) -> metavar(Type, Unit);
metavar({optional, Type}, Unit) -> metavar(Type, Unit);
metavar({enum, Values}, _) -> lists:join("|", hornbeam_option_text:names(Values));
metavar(directory, _) -> "DIR";
metavar(venv, _) -> "DIR";
metavar(interpreter, _) -> "PROGRAM";
metavar(environment, _) -> "NAME=VALUE";
metavar(name, _) -> "NAME";
metavar(text, _) -> "TEXT";
metavar({custom, _}, _) -> "VALUE";
metavar(_, _) -> "N".

default(#{default := [], type := Type}) ->
    case hornbeam_option_types:is_multiple(Type) of
        true -> "none";
        false -> "\"\""
    end;
default(#{default := [First | _] = Default}) when is_atom(First) ->
    lists:join(", ", hornbeam_option_text:names(Default));
default(#{default := Default}) when is_list(Default) ->
    case hornbeam_option_text:is_text(Default) of
        true -> Default;
        false -> lists:join(", ", Default)
    end;
default(#{default := Default}) -> io_lib:format("~tp", [Default]).

-spec markdown([spec()]) -> binary().
markdown(Specs) ->
    unicode:characters_to_binary([introduction(), [section(Group) || Group <- grouped(Specs)]]).

introduction() ->
    "# Options\n\n"
    "<!-- Generated from src/options/hornbeam_option_table.erl by `make docs`. -->\n\n"
    "Every option can be given in five ways. From the strongest to the weakest:\n\n"
    "1. in the call or as a flag: `hornbeam:start(\"app:app\", #{max_queue => 10})`,\n"
    "   `hornbeam run app:app --max-queue 10`;\n"
    "2. as an environment variable: `HORNBEAM_MAX_QUEUE=10` (the key in upper case; set to nothing counts as not set;\n"
    "   lists are separated by commas, `HORNBEAM_PYTHONPATH` by colons);\n"
    "   on the command line, `WEB_CONCURRENCY` (workers) and `PORT` (bind, at 0.0.0.0) are read where those are not set;\n"
    "3. in a configuration file of `hornbeam run`, [hornbeam.toml or pyproject.toml](configuration.md):\n"
    "   `max_queue = 10`;\n"
    "4. in `sys.config`: `[{hornbeam, [{max_queue, 10}]}]`;\n"
    "5. the default.\n\n"
    "A value replaces that of a weaker source as a whole: lists are not joined. Unknown options and bad values are\n"
    "refused by name, with `{error, {bad_option, Key, Reason}}`, wherever they come from. Strings may be Erlang\n"
    "strings or binaries. A flag whose option takes a list is repeated; `--flag value` and `--flag=value` are the\n"
    "same; a boolean option is `--flag` or `--no-flag`. [Flags of other servers](coming-from.md) are taken as well.\n"
    "`hornbeam config` prints what holds and where it comes from.\n\n"
    "Relative paths start from `chdir`, which starts from the directory that Erlang runs in.\n\n"
    "A mount takes its own value of every option marked \"per mount\", for instance\n"
    "`{\"/api\", \"api:app\", #{workers => 2, lifespan => off}}`, or as text `/api=api:app;workers=2;lifespan=off`.\n".

section({Heading, Specs}) ->
    ["\n## ", Heading, "\n\n| option | flag | values | default | |\n| --- | --- | --- | --- | --- |\n",
     [row(Spec) || Spec <- Specs]].

row(#{key := Key, doc := Doc, type := Type} = Spec) ->
    Cells = [["`", atom_to_list(Key), "`"],
             ["`", usage(Spec), "`"],
             [hornbeam_option_types:describe(Type), unit(Spec)],
             ["`", default(Spec), "`"],
             [Doc, " ", per_mount(Spec)]],
    [[["| ", string:trim(escape(Cell)), " "] || Cell <- Cells], "|\n"].

per_mount(#{scope := mount}) -> "Per mount.";
per_mount(#{}) -> "".

unit(#{unit := ms}) -> " (milliseconds)";
unit(#{unit := us}) -> " (microseconds)";
unit(#{unit := bytes}) -> " (bytes)";
unit(#{}) -> "".

%% A bar would end the cell, also inside backquotes.
escape(Cell) ->
    unicode:characters_to_list(string:replace(unicode:characters_to_list(Cell), "|", "\\|", all)).

%% [{Heading, Specs}] in the order of the groups; a group without options is left out.
grouped(Specs) ->
    [{Heading, InGroup} || {Group, Heading} <- hornbeam_option_table:groups(),
                           InGroup <- [[Spec || #{group := G} = Spec <- Specs, G =:= Group]], InGroup =/= []].

%%% Python

%% @doc A module with the keyword arguments of hornbeam.run and hornbeam.Server, and the flag of each.
-spec python([spec()]) -> binary().
python(AllSpecs) ->
    Specs = [Spec || #{key := Key} = Spec <- AllSpecs, Key =/= app],    % an argument of its own
    unicode:characters_to_binary([
        "\"\"\"The options as keyword arguments. Generated from the table of options by `make docs`.\"\"\"\n\n"
        "from __future__ import annotations\n\n"
        "from collections.abc import Mapping, Sequence\n"
        "from os import PathLike\n"
        "from typing import Literal, TypedDict\n\n"
        "__all__ = [\"FLAGS\", \"Options\"]\n\n\n"
        "class Options(TypedDict, total=False):\n"
        "    \"\"\"Of docs/options.md, with its units; None is the default. A list may be one item.\"\"\"\n",
        [python_field(Spec) || Spec <- Specs],
        "\n\nFLAGS = {\n",
        [["    \"", atom_to_list(Key), "\": \"", hornbeam_option_sources:flag(Spec), "\",\n"] || #{key := Key} = Spec <- Specs],
        "}\n"]).

python_field(#{key := Key, type := Type, doc := Doc} = Spec) ->
    Words = string:lexemes(unicode:characters_to_list([Doc, unit(Spec)]), " "),
    Types = python_types(Type) ++ ["None"],
    ["\n", wrap(Words, "    # "), "    ", atom_to_list(Key), ": ", lists:join(" | ", Types), "\n"].

python_types({integer, _, _}) -> ["int"];
python_types({limit, _, _}) -> ["int", "Literal[\"infinity\"]"];
python_types({timeout, _}) -> ["int", "Literal[\"infinity\"]"];
python_types({enum, Values}) -> [["Literal[", lists:join(", ", [["\"", Name, "\""] || Name <- hornbeam_option_text:names(Values)]), "]"]];
python_types(boolean) -> ["bool"];
python_types(environment) -> ["Mapping[str, str]"];
python_types(Path) when Path =:= directory; Path =:= venv; Path =:= interpreter -> ["str", "PathLike[str]"];
python_types({custom, hornbeam_option_file}) -> ["str", "PathLike[str]"];
python_types({optional, Type}) -> python_types(Type);
python_types({auto, Type}) -> python_types(Type) ++ ["Literal[\"auto\"]"];
python_types({list, {custom, hornbeam_option_static}}) ->
    ["str", "Sequence[str]", "Mapping[str, str]"];
python_types({list, Type}) ->
    Item = python_types(Type),
    Item ++ [["Sequence[", lists:join(" | ", Item), "]"]];
python_types(_) -> ["str"].
