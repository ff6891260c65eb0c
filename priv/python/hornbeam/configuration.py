"""The configuration file, hornbeam.toml or [tool.hornbeam] in pyproject.toml: which one, and its
settings as the VM reads them.

Called by the launcher for the commands that take options, in the process that is about to become
the VM: what this module and tomllib take is gone with the exec. What the keys and values mean is
the VM's to say (hornbeam_option_toml.erl). They are handed over as the arguments are, in the
environment, which no other user can read: HORNBEAM_SETTINGS (how many), HORNBEAM_SETTING_1 and so
on, each an Erlang term {Key, Value}, and HORNBEAM_SETTINGS_FILE, the file's name for messages.

Which file: --config PATH (or -c PATH), else HORNBEAM_CONFIG, else hornbeam.toml in the current
folder, else a pyproject.toml there that has the table; "none" for no file. One file alone is read.

Limits: a setting has 128 KiB (Linux: the length of one variable). Python 3.10 has no tomllib; tomli
is taken where it is installed.
"""
# ruff: noqa: PTH123, PTH119  (pathlib: see launcher.py)

from __future__ import annotations

import importlib
import math
import os
import sys
from typing import Any, NoReturn

__all__ = ["COMMANDS", "take"]

# Those that look at the options of a server that is to be started.
COMMANDS = ("run", "dev", "config", "doctor")
FILES = ("hornbeam.toml", "pyproject.toml")
FLAGS = ("--config", "-c")


def take(arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """The arguments without --config, and the variables with the file's settings. SystemExit, when
    the message is on standard error, where the file cannot be read."""
    arguments, chosen = _split(arguments)
    flags = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if "--help" in flags or "-h" in flags:
        return arguments, {}
    found = _find(os.environ.get("HORNBEAM_CONFIG", "") if chosen is None else chosen)
    return arguments, {} if found is None else _variables(*found)


def _split(arguments: list[str]) -> tuple[list[str], str | None]:
    left: list[str] = []
    chosen = None
    rest = iter(arguments)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        if argument == "--":
            left += [argument, *rest]
        elif argument in FLAGS or (flag == "--config" and equals):
            chosen = value if equals else next(rest, "")
            if not chosen or chosen.startswith("-"):
                _fail(f"the flag {flag} needs a value\nTry: hornbeam help", 2)
        else:
            left.append(argument)
    return left, chosen


def _find(chosen: str) -> tuple[str, dict[str, Any]] | None:
    """The file's name and its settings."""
    if chosen == "none":
        return None
    if chosen:
        settings = _settings(chosen)
        if settings is None:
            _fail(f"{chosen} has no table [tool.hornbeam]", 1)
        return chosen, settings
    for name in FILES:
        if os.path.lexists(name):
            settings = _settings(name)
            if settings is not None:
                return name, settings
    return None


def _settings(path: str) -> dict[str, Any] | None:
    """None for a pyproject.toml without our table."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        _fail(f"the configuration file {path} cannot be read: {error.strerror}", 1)
    if os.path.basename(path) != "pyproject.toml":
        return _parse(path, content)
    if b"hornbeam" not in content or (_toml() is None and not _seems_ours(content)):
        return None
    tool = _parse(path, content).get("tool")
    table = tool.get("hornbeam") if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        _fail(f"{path}: tool.hornbeam must be a table", 1)
    return table


def _seems_ours(content: bytes) -> bool:
    """The table's head as it is nearly always written, where there is nothing to read TOML with."""
    import re

    head = rb"""^\s*\[+\s*tool\s*\.\s*["']?hornbeam["']?\s*[].]"""
    return re.search(head, content, re.MULTILINE) is not None


def _parse(path: str, content: bytes) -> dict[str, Any]:
    toml = _toml()
    if toml is None:
        version = ".".join(map(str, sys.version_info[:2]))
        _fail(
            f"reading {path} takes Python 3.11 or newer, or the package tomli; this is Python"
            f" {version}, {sys.executable}",
            1,
        )
    try:
        settings: dict[str, Any] = toml.loads(content.decode())
    except (ValueError, RecursionError) as error:
        hint = ""
        if path.endswith(".py"):
            hint = "; a file in Python, as gunicorn has it, is not read (docs/configuration.md)"
        _fail(f"{path} is not TOML: {error}{hint}", 1)
    return settings


def _toml() -> Any:
    """The module that reads TOML, or None."""
    try:
        return importlib.import_module("tomllib")
    except ImportError:
        pass
    import site  # the launcher runs without the folder of installed packages (-S)

    site.main()
    try:
        return importlib.import_module("tomli")
    except ImportError:
        return None


def _variables(file: str, settings: dict[str, Any]) -> dict[str, str]:
    pairs = [f"{{{_term(key)},{_term(value)}}}" for key, value in settings.items()]
    return {
        "HORNBEAM_SETTINGS": str(len(pairs)),
        # As it can be printed, whatever bytes it has.
        "HORNBEAM_SETTINGS_FILE": os.fsencode(file).decode("utf-8", "replace"),
        **{f"HORNBEAM_SETTING_{number}": pair for number, pair in enumerate(pairs, 1)},
    }


def _term(value: Any) -> str:
    """As an Erlang term in ASCII: text as a binary, so that nothing that is written in the file
    becomes an atom; times as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.17e}" if math.isfinite(value) else _term(_unlimited(value))
    if isinstance(value, list):
        return f"[{','.join(map(_term, value))}]"
    if isinstance(value, dict):
        return f"#{{{','.join(f'{_term(key)}=>{_term(item)}' for key, item in value.items())}}}"
    return f'<<"{"".join(map(_character, str(value)))}"/utf8>>'


def _unlimited(value: float) -> str:
    """TOML's `inf` is what the options call infinity."""
    return "infinity" if value > 0 else str(value)


def _character(character: str) -> str:
    if " " <= character <= "~" and character not in '"\\':
        return character
    return f"\\x{{{ord(character):x}}}"


def _fail(text: str, status: int) -> NoReturn:
    sys.stderr.write(f"hornbeam: {text}\n")
    sys.stderr.flush()
    raise SystemExit(status)
