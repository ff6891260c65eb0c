"""`python -m hornbeam`, and the command `hornbeam` that pip installs.

The launcher stays for as long as the server, so it gets a Python without `site` and what that draws
in (launcher.py says what it saves), in place of this one.
"""
# ruff: noqa: PTH120

from __future__ import annotations

import os
import sys
from typing import NoReturn

__all__ = ["command", "main"]

FOLDER = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
# What the launcher imports comes from this installation, wherever it is started.
START = (
    f"import sys; sys.path.insert(0, {FOLDER!r}); "
    "from hornbeam.launcher import main; sys.exit(main(sys.argv[1:]))"
)


def command(arguments: list[str]) -> list[str]:
    """Program and arguments of a launcher for them."""
    return [sys.executable, "-I", "-S", "-c", START, *arguments]


def main() -> NoReturn:
    """Becomes the launcher."""
    os.execv(sys.executable, command(sys.argv[1:]))


if __name__ == "__main__":
    main()
