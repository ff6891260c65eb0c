"""Servers side by side: starts them, loads them in turn, and reports medians and ratios.

Two shared cores are noisy: only what was measured in the same run, in interleaved rounds, is
compared, and as a ratio of medians. Every server listens on a free port of 127.0.0.1 and is ended
by its own process id.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
APPS = ROOT / "bench" / "apps"
RESULTS = ROOT / "bench" / "results"
START_SECONDS = 30.0


@dataclass
class Candidate:
    """A server to measure: its command, with {port} where the port goes."""

    name: str
    command: Sequence[str]
    rates: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Requests per second."""
        return statistics.median(self.rates)


def hornbeam(app: str, *flags: str, root: Path = ROOT) -> list[str]:
    """The command of a Hornbeam with one worker; `root`: the checkout that it is started from."""
    return [
        str(root / "bin" / "hornbeam"), "run", app, "--bind", "127.0.0.1:{port}",
        "--pythonpath", str(APPS), "--python", sys.executable, *flags,
    ]  # fmt: skip


def uvicorn(app: str, *flags: str) -> list[str]:
    """The command of a uvicorn with uvloop and httptools, without an access log."""
    return [
        sys.executable, "-m", "uvicorn", app, "--app-dir", str(APPS), "--port", "{port}",
        "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning",
        *flags,
    ]  # fmt: skip


@contextmanager
def running(command: Sequence[str]) -> Iterator[int]:
    """Runs a server on a free port for the time of the block."""
    with started(command) as (port, _):
        yield port


@contextmanager
def started(command: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The same; the port, and the id of the process."""
    port = free_port()
    process = subprocess.Popen(
        [part.replace("{port}", str(port)) for part in command],
        stdout=subprocess.DEVNULL, cwd=ROOT,
    )  # fmt: skip
    try:
        await_port(port, process)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Waits until the server accepts connections."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"{process.args!r} ended with status {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    sys.exit(f"{process.args!r} did not listen in {START_SECONDS} s")


def wrk(port: int, seconds: float, connections: int = 64) -> float:
    """Requests per second that wrk measures; it must see no error."""
    binary = shutil.which("wrk")
    if binary is None:
        sys.exit("wrk is missing: python3 tools/setup.py bench")
    text = subprocess.run(
        [binary, "-t1", f"-c{connections}", f"-d{seconds:g}s", f"http://127.0.0.1:{port}/"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(f"the load met errors:\n{text}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    assert rate is not None, text
    return float(rate.group(1))


def interleave(
    candidates: Sequence[Candidate], rounds: int, measure: Callable[[int], float]
) -> None:
    """Measures all candidates once per round, in an order that alternates."""
    with running_all(candidates) as ports:
        for candidate in candidates:  # warm-up, not counted
            measure(ports[candidate.name])
        for number in range(rounds):
            order = candidates if number % 2 == 0 else list(reversed(candidates))
            for candidate in order:
                candidate.rates.append(measure(ports[candidate.name]))


@contextmanager
def running_all(candidates: Sequence[Candidate]) -> Iterator[dict[str, int]]:
    """Runs all candidates for the time of the block; their ports by name."""
    if not candidates:
        yield {}
        return
    with (
        running(candidates[0].command) as port,
        running_all(candidates[1:]) as others,
    ):
        yield {candidates[0].name: port, **others}


def machine() -> str:
    """The machine's shape, for a report."""
    cpu = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({cpu}), {memory:.0f} GiB, "
        f"Linux {platform.release()}, Python {platform.python_version()}"
    )
