"""Runs servers: each on a free port of 127.0.0.1, its output in a file, ended by its process id.

Owns ports, start and end; which servers there are, and their commands, is in peers.py. What cannot
be started raises Trouble.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from figures import Trouble
from processes import Cpu, cpu, pss, tree

__all__ = [
    "APPS", "RESULTS", "ROOT", "Command", "Recipe", "Server", "await_listener", "free_port",
    "program", "redis", "started",
]  # fmt: skip

ROOT = Path(__file__).resolve().parent.parent
APPS = ROOT / "bench" / "apps"
RESULTS = ROOT / "bench" / "results"
START_SECONDS = 30.0
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Command:
    """A process; with a path where it listens, if that is not the port."""

    words: Sequence[str]
    socket: Path | None = None


# The processes of a server, in the order of their start; the last one listens on the port. They may
# write into the folder.
Recipe = Callable[[int, Path], Sequence[Command]]


@dataclass(frozen=True)
class Server:
    """One that runs: where, the processes that it began with, and when that was."""

    name: str
    port: int
    pids: tuple[int, ...]
    begun: float

    def cpu(self) -> Cpu:
        """What all its processes have used so far."""
        return sum(map(cpu, self.pids), Cpu())

    def pss(self) -> int:
        """Bytes of memory of all its processes."""
        return sum(map(pss, self.pids))


@contextmanager
def started(
    name: str, recipe: Recipe, env: Mapping[str, str] | None = None, beside: Sequence[int] = ()
) -> Iterator[Server]:
    """Runs a server for the time of the block; `beside`: further processes that work for it."""
    port = free_port()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        begun = time.monotonic()
        pids = [
            stack.enter_context(_process(command, port, folder / f"{number}.log", env or {}))
            for number, command in enumerate(recipe(port, folder))
        ]
        yield Server(name, port, (*pids, *beside), begun)


@contextmanager
def redis() -> Iterator[tuple[Path, int]]:
    """A Redis of its own that keeps nothing; its socket, and its process."""
    words = [program("redis-server"), "--port", "0", "--save", "", "--maxclients", "10000"]
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        path = Path(name) / "redis.sock"
        command = Command([*words, "--unixsocket", str(path)], path)
        with _process(command, 0, Path(name) / "log", {}) as pid:
            yield path, pid


def program(name: str) -> str:
    """The path of a program that the set-up installs."""
    if (path := shutil.which(name) or shutil.which(f"/usr/sbin/{name}")) is None:
        raise Trouble(f"{name} is missing: python3 tools/setup.py bench")
    return path


@contextmanager
def _process(command: Command, port: int, log: Path, env: Mapping[str, str]) -> Iterator[int]:
    """A process that listens, for the time of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command.words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(APPS), **env},
        )  # fmt: skip
    try:
        try:
            await_listener(command.socket or port, process)
        except Trouble as trouble:
            last = log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise Trouble(f"{trouble}: {last}") from trouble
        yield process.pid
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Asks it to end; kills it with all below it when it does not."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        for pid in list(tree(process.pid)):
            os.kill(pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def await_listener(where: int | Path, process: subprocess.Popen[bytes]) -> None:
    """Waits until a port, or the socket of a path, takes connections."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Trouble(f"ended with status {process.returncode}")
        if _listens(where):
            return
        time.sleep(0.005)
    raise Trouble(f"did not listen in {START_SECONDS:g} s")


def _listens(where: int | Path) -> bool:
    local = isinstance(where, Path)
    with socket.socket(socket.AF_UNIX if local else socket.AF_INET) as probe:
        try:
            probe.connect(str(where) if local else ("127.0.0.1", where))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
    return True
