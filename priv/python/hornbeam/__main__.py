"""`python -m hornbeam`, and the command `hornbeam` that pip installs.

The launcher stays for as long as the server, so it gets a Python without `site` and what that draws
in (launcher.py says what it saves), in place of this one; the VM, its child, boots meanwhile.
"""
# ruff: noqa: PTH120  (pathlib is not imported for this)

from __future__ import annotations

import os
import sys

from hornbeam import launcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["command", "main"]

FOLDER = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
# What the launcher imports comes from this installation, wherever it is started.
IMPORT = f"import sys; sys.path.insert(0, {FOLDER!r}); from hornbeam import launcher; "
START = IMPORT + "sys.exit(launcher.main(sys.argv[1:]))"
WAIT = IMPORT + "sys.exit(launcher.Launcher(int(sys.argv[1])).wait())"


def command(arguments: list[str]) -> list[str]:
    """Program and arguments of a launcher for them."""
    return [sys.executable, "-I", "-S", "-c", START, *arguments]


def main() -> NoReturn:
    """Starts the VM, and becomes the launcher that waits for it."""
    child = launcher.start(sys.argv[1:])
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", WAIT, str(child)])


if __name__ == "__main__":
    main()
