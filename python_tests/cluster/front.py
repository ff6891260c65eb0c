"""HAProxy in front of the nodes, and visitors of examples/cluster who come through it.

Called by bench/cluster_restarts.py and the tests of restarts; calls history.Connection. HAProxy
runs with examples/cluster/haproxy.cfg, where only the addresses are others. Visitors note what
failed, and what they were promised:

- safe requests (GET): each must be answered 200
- `/visits`: an exact count
- `/notes/NAME`, one writer each: a read shows the last version acknowledged, or a later one
- `/reports/NAME`: a lock; tokens only grow
"""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Awaitable
from itertools import pairwise
from types import TracebackType
from typing import Any

from harness import ROOT, wait_until

from cluster.history import Address, Connection
from cluster.judge import Hold, locks
from cluster.nodes import Cluster

__all__ = ["Front", "Visitors", "haproxy"]

CONFIGURATION = ROOT / "examples" / "cluster" / "haproxy.cfg"
# Longer than an operation of the cluster may take, twice.
PATIENCE = 15.0
READERS, COUNTERS, WRITERS, REPORTERS = 6, 3, 3, 2


def haproxy() -> str | None:
    """The program; it may stand where only root looks for commands."""
    return shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy")


class Front:
    """HAProxy, for a cluster, at a port of this machine. `patience`: times those of its own times
    that a busy machine would take for a node's death."""

    def __init__(self, cluster: Cluster, port: int, patience: float = 1) -> None:
        self.patience = patience
        self.cluster, self.address = cluster, ("127.0.0.1", port)
        self.file = cluster.folder / "haproxy.cfg"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Front:
        program = haproxy()
        assert program is not None, "haproxy is not installed"
        self.file.write_text(self._configuration())
        self._process = subprocess.Popen([program, "-q", "-db", "-f", str(self.file)])
        wait_until(self._listens, 60, "HAProxy listens")
        return self

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(self.address) == 0

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def _configuration(self) -> str:
        cluster = self.cluster
        text = CONFIGURATION.read_text()
        text = text.replace("bind :8000", "bind {}:{}".format(*self.address))
        text = text.replace("check port 9000", f"check port {cluster.metrics_port}")
        for timeout in ("connect 1s", "check 2s"):
            assert f"timeout {timeout}\n" in text
            kind, seconds = timeout.removesuffix("s").split()
            longer = f"timeout {kind} {int(float(seconds) * self.patience)}s\n"
            text = text.replace(f"timeout {timeout}\n", longer)
        for number, node in enumerate(cluster.nodes):
            text = re.sub(rf"172\.30\.0\.1{number + 1}:8000", "{}:{}".format(*node.http), text)
        return text


class Visitors:
    """All of them, with what they noted."""

    def __init__(self, front: Address, seed: str, rest: float = 0.02, patience: float = 1) -> None:
        self.front, self.seed, self.rest = front, seed, rest
        self.patience = PATIENCE * patience
        self.problems: list[str] = []
        self.ends: Counter[str] = Counter()
        self.slowest: dict[str, float] = {}
        self.counted: Counter[str] = Counter()
        self.versions: dict[str, int] = {}
        self.reports: list[Hold] = []
        self._stop = asyncio.Event()

    async def run(self, until: Awaitable[object]) -> None:
        """They come until the awaitable ends."""
        visitors = [
            *(self._reader(number) for number in range(READERS)),
            *(self._counter() for _ in range(COUNTERS)),
            *(self._writer(number) for number in range(WRITERS)),
            *(self._reporter(number) for number in range(REPORTERS)),
        ]
        tasks = [asyncio.ensure_future(visitor) for visitor in visitors]
        try:
            await until
        finally:
            self._stop.set()
            await asyncio.gather(*tasks)

    async def last(self) -> None:
        """When all is quiet: nothing that was acknowledged is lost."""
        connection = Connection(self.front)
        _, about = await self._safe(connection, "/")
        visits = about["visits"]
        told, unknown = self.counted["told"], self.counted["unknown"]
        if not told <= visits <= told + unknown:
            self.problems.append(f"{visits} visits: {told} were acknowledged, {unknown} unknown")
        for name in self.versions:
            await self._look(connection, name)
        self.problems += locks(self.reports, {})
        connection.close()

    async def _reader(self, number: int) -> None:
        connection, rng = Connection(self.front), random.Random(f"{self.seed} reader {number}")
        while not self._stop.is_set():
            if self.versions and rng.random() < 0.7:
                await self._look(connection, rng.choice(list(self.versions)))
            else:
                await self._safe(connection, "/")
            await asyncio.sleep(self.rest)
        connection.close()

    async def _look(self, connection: Connection, name: str) -> None:
        version = self.versions[name]
        status, note = await self._safe(connection, f"/notes/{name}")
        if status == 200 and note["version"] < version:
            self.problems.append(f"{name} is {note}, though {version} was acknowledged")

    async def _safe(self, connection: Connection, path: str) -> tuple[int | str, Any]:
        status, answer = await self._asked(connection, "safe", "GET", path)
        if status != 200:
            self.problems.append(f"GET {path}: {status} {answer} at {time.monotonic():.2f}")
        return status, answer

    async def _counter(self) -> None:
        connection = Connection(self.front)
        while not self._stop.is_set():
            status, _ = await self._asked(connection, "count", "POST", "/visits")
            self.counted[
                "told" if status == 200 else "refused" if status == 503 else "unknown"
            ] += 1
            await asyncio.sleep(self.rest)
        connection.close()

    async def _writer(self, number: int) -> None:
        """A write whose answer was lost may be done later, so the next version is not known."""
        connection, name = Connection(self.front), f"n{number}"
        while not self._stop.is_set():
            status, note = await self._asked(connection, "write", "PUT", f"/notes/{name}")
            if status == 200:
                if note["version"] <= self.versions.get(name, 0):
                    self.problems.append(f"{name}: {note} after {self.versions[name]}")
                self.versions[name] = max(note["version"], self.versions.get(name, 0))
            await asyncio.sleep(self.rest)
        connection.close()

    async def _reporter(self, number: int) -> None:
        connection = Connection(self.front)
        while not self._stop.is_set():
            asked = time.monotonic()
            status, answer = await self._asked(connection, "lock", "POST", "/reports/all")
            if status == 200:
                now = time.monotonic()
                self.reports.append(Hold("all", answer["by"], asked, answer["token"], now, now))
            await asyncio.sleep(self.rest)
        connection.close()

    async def _asked(
        self, connection: Connection, kind: str, method: str, path: str
    ) -> tuple[int | str, Any]:
        asked = time.monotonic()
        status: int | str
        try:
            await connection.open(self.patience)
            status, answer = await connection.ask(path, None, self.patience, method)
        except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
            status, answer = type(error).__name__, None
        self.ends[f"{kind}: {status}"] += 1
        self.slowest[kind] = max(self.slowest.get(kind, 0), time.monotonic() - asked)
        return status, answer

    def longest_without_lock(self) -> float:
        """From one report to the next."""
        answered = sorted(report.ended for report in self.reports)
        return max((b - a for a, b in pairwise(answered)), default=0.0)
