"""Owns how the set-up touches the machine: commands and their logs, Debian packages, the lock.

Called by every step of the set-up; knows nothing of Erlang, libraries or Python environments.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
DEPS = ROOT / ".deps"
LOGS = DEPS / "log"
TAIL_LINES = 15


class SetupError(Exception):
    """The set-up cannot go on; the message is one line for a person, ``log`` what led to it."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log

    def tail(self) -> list[str]:
        """The last lines of the log of the command that failed."""
        if self.log is None:
            return []
        return self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]


@dataclass(frozen=True)
class Tool:
    """A command that must be on PATH under one of its names, and its Debian package."""

    names: tuple[str, ...]
    package: str

    def present(self) -> bool:
        return any(shutil.which(name) for name in self.names)


def say(line: str) -> None:
    """One short line of progress."""
    print(f"setup: {line}", flush=True)


def run(
    argv: Sequence[str | Path],
    *,
    log: str,
    failure: str,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> None:
    """Run a command, its output into ``.deps/log/LOG.log``; ``SetupError(failure)`` if it fails."""
    LOGS.mkdir(parents=True, exist_ok=True)
    path = LOGS / f"{log}.log"
    with path.open("wb") as sink:
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                timeout=timeout,
                check=False,
            )
        except OSError as error:
            raise SetupError(f"{failure}: {error}") from error
        except subprocess.TimeoutExpired as error:
            raise SetupError(f"{failure}: no answer in {timeout:g} s", path) from error
    if done.returncode != 0:
        raise SetupError(failure, path)


def output(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> str:
    """The standard output of a short command; ``""`` if it fails."""
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
        check=False,
    )
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


class Apt:
    """Installs Debian packages, where the machine has apt and the user is root."""

    def __init__(self) -> None:
        self._updated = False

    def usable(self) -> bool:
        return shutil.which("apt-get") is not None and os.geteuid() == 0

    def install(self, packages: Iterable[str], *, missing: str) -> None:
        """Install ``packages``; ``SetupError`` naming what is ``missing`` where that cannot be."""
        names = sorted(set(packages))
        if not self.usable():
            why = "not root" if shutil.which("apt-get") else "no apt-get here"
            hint = (
                f"apt-get install {' '.join(names)}" if shutil.which("apt-get") else "install them"
            )
            raise SetupError(f"missing: {missing} ({why}; please {hint})")
        # The time limit is for another apt-get that holds dpkg's lock.
        get = ("apt-get", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300")
        env = {"DEBIAN_FRONTEND": "noninteractive"}
        if not self._updated:
            say("apt-get update")
            # Not fatal: one list that is out of reach must not matter when the packages are found.
            with contextlib.suppress(SetupError):
                run((*get, "update"), log="apt-update", failure="apt-get update failed", env=env)
            self._updated = True
        say(f"apt-get install {' '.join(names)}")
        run((*get, "install", *names), log="apt-install", failure="apt-get install failed", env=env)

    def ensure(self, tools: Iterable[Tool]) -> None:
        """Install the tools that are not on PATH."""
        absent = [tool for tool in tools if not tool.present()]
        if absent:
            self.install(
                (tool.package for tool in absent),
                missing=", ".join(tool.names[0] for tool in absent),
            )


@contextlib.contextmanager
def lock(path: Path = DEPS / "lock") -> Iterator[None]:
    """One set-up at a time in this folder: a second one waits, then finds everything done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another one that holds {path}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
