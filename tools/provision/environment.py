"""Owns `.venv`: made with the python3 that runs the set-up, filled from `requirements/*.txt`.

A stamp in the environment holds the interpreter's version and a hash of each requirements file
that was installed; a second run compares and is done. Called by `tools/setup.py`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from typing import TYPE_CHECKING

from provision.machine import ROOT, Apt, SetupError, run, say

if TYPE_CHECKING:
    from collections.abc import Iterable

REQUIREMENTS = ROOT / "requirements"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "setup.json"
OLDEST_PYTHON = (3, 10)

# "cpython 3.11": packages with compiled parts do not outlive a change of either.
INTERPRETER = f"{sys.implementation.name} {sys.version_info[0]}.{sys.version_info[1]}"


def ensure(apt: Apt, files: Iterable[str]) -> None:
    """Make sure that `.venv` exists and holds what the requirements ``files`` ask for."""
    if sys.version_info < OLDEST_PYTHON:
        have = f"{sys.executable} is Python {sys.version.split()[0]}"
        raise SetupError(f"{have}: {'.'.join(map(str, OLDEST_PYTHON))} is the oldest that works")
    wanted = {name: _fingerprint(name) for file in files for name in _with_included(file)}
    installed = _installed()
    stale = [name for name, digest in wanted.items() if installed.get(name) != digest]
    if not stale:
        return
    if not installed:
        _make(apt)
    # Together with what is there already, so that one resolution satisfies every file.
    together = {**{name: _fingerprint(name) for name in installed}, **wanted}
    say(f"Python: installing {', '.join(stale)} into {VENV.name}")
    pip = (PYTHON, "-m", "pip", "--disable-pip-version-check", "--no-input")
    arguments = [item for name in together for item in ("-r", REQUIREMENTS / name)]
    failure = f"pip could not install {', '.join(stale)}"
    run((*pip, "install", "--progress-bar=off", *arguments), log="pip", failure=failure)
    _stamp(together)


def _installed() -> dict[str, str]:
    """The requirements files in the environment and their hashes; empty if it must be made anew."""
    try:
        stamp = json.loads(STAMP.read_text())
        files = {str(name): str(digest) for name, digest in stamp["files"].items()}
    except (OSError, ValueError, KeyError, AttributeError):
        return {}  # no environment yet, or one whose making was interrupted
    if stamp.get("interpreter") != INTERPRETER or not PYTHON.exists():
        return {}
    return {name: digest for name, digest in files.items() if (REQUIREMENTS / name).exists()}


def _make(apt: Apt) -> None:
    if importlib.util.find_spec("ensurepip") is None:
        apt.install(
            ("python3-venv",), missing=f"the modules venv and ensurepip of {sys.executable}"
        )
    say(f"Python: making {VENV.name} with {sys.executable} ({INTERPRETER})")
    run((sys.executable, "-m", "venv", "--clear", VENV), log="venv", failure=f"cannot make {VENV}")


def _stamp(files: dict[str, str]) -> None:
    partial = STAMP.with_suffix(".new")
    partial.write_text(json.dumps({"interpreter": INTERPRETER, "files": files}, indent=2) + "\n")
    partial.replace(STAMP)


def _with_included(name: str) -> list[str]:
    """A requirements file after those that it includes with `-r`."""
    lines = [line.split() for line in (REQUIREMENTS / name).read_text().splitlines()]
    included = [words[1] for words in lines if words[:1] == ["-r"]]
    return [*(inner for file in included for inner in _with_included(file)), name]


def _fingerprint(name: str) -> str:
    return hashlib.sha256((REQUIREMENTS / name).read_bytes()).hexdigest()
