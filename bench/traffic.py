"""What chaos.py and soak.py share: clients that count how each exchange ended, and gauges.

A client is a coroutine with one connection: raw HTTP/1.1, so that the load costs little of the two
cores that the server shares. A connection that the server closes between two requests is opened
anew; one that ends within an answer is a failure. `python_tests` must be on PYTHONPATH.
"""

from __future__ import annotations

import asyncio
import re
import urllib.request
from collections import Counter
from dataclasses import dataclass, field

from harness import Hornbeam, memory, open_files

__all__ = ["Gauges", "Tally", "ask_again_and_again", "exchange", "gauges", "metrics", "settled"]

PATIENCE = 60.0


@dataclass
class Tally:
    """How exchanges of each kind ended: a status, or what went wrong."""

    ends: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, kind: str, end: str) -> None:
        """Counts one."""
        self.ends.setdefault(kind, Counter())[end] += 1

    def other_than(self, kind: str, *expected: str) -> dict[str, int]:
        """Those that nothing explains."""
        return {end: n for end, n in self.ends.get(kind, Counter()).items() if end not in expected}

    def __str__(self) -> str:
        return "; ".join(f"{kind}: {dict(ends)}" for kind, ends in sorted(self.ends.items()))


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def ask_again_and_again(
    server: Hornbeam, kind: str, request: bytes, tally: Tally, stop: asyncio.Event
) -> None:
    """One client: the same request until `stop`."""
    connection: Connection | None = None
    while not stop.is_set():
        end, connection = await exchange(server, request, connection)
        tally.add(kind, end)
    if connection is not None:
        connection[1].close()


async def exchange(
    server: Hornbeam, request: bytes, connection: Connection | None
) -> tuple[str, Connection | None]:
    """Sends a request and reads its answer: how it ended, and the connection if it can be kept.

    A kept connection that closes before it answers is no failure (RFC 9112, 9.3.1): once more on a
    fresh one.
    """
    try:
        return await asyncio.wait_for(_exchange(server, request, connection), PATIENCE)
    except asyncio.TimeoutError:
        return "timeout", None
    except (OSError, asyncio.IncompleteReadError) as error:
        return type(error).__name__, None


async def _exchange(
    server: Hornbeam, request: bytes, connection: Connection | None
) -> tuple[str, Connection | None]:
    reader, writer = connection or await asyncio.open_connection(*server.address)
    writer.write(request)
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        writer.close()
        partial = getattr(error, "partial", b"")
        if connection is not None and not partial:
            return await _exchange(server, request, None)
        return f"closed ({partial[:20]!r})", None
    status = head[9:12].decode()
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    if length is None:
        writer.close()
        return f"{status} without a length", None
    await reader.readexactly(int(length.group(1)))
    if re.search(rb"(?i)\r\nconnection: *close", head):
        writer.close()
        return status, None
    return status, (reader, writer)


@dataclass(frozen=True)
class Gauges:
    """What must be the same before and after."""

    in_flight: int
    waiting: int
    websockets: int
    connections: int
    processes: int
    workers: int
    vm_files: int
    vm_memory: int

    def leaks(self, before: Gauges) -> list[str]:
        """What is not back; a few processes of the VM come and go, and memory breathes."""
        found = [
            f"{name}: {getattr(self, name)}, was {getattr(before, name)}"
            for name in ("in_flight", "waiting", "websockets", "connections", "workers", "vm_files")
            if getattr(self, name) != getattr(before, name)
        ]
        if self.processes > before.processes + 5:
            found.append(f"processes of the VM: {self.processes}, were {before.processes}")
        if self.vm_memory > before.vm_memory + 64_000_000:
            found.append(f"memory of the VM: {self.vm_memory}, was {before.vm_memory}")
        return found


def metrics(server: Hornbeam) -> dict[str, float]:
    """/metrics of a server with metrics_bind, where its log says."""
    address = server.wait_for_output(r"metrics on (http://\S+)").group(1)
    with urllib.request.urlopen(address + "/metrics", timeout=30) as answer:
        text = answer.read().decode()
    pairs = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def gauges(server: Hornbeam) -> Gauges:
    """Now."""
    now = metrics(server)
    return Gauges(
        in_flight=int(now['hornbeam_requests_in_flight{mount="/"}']),
        waiting=int(now['hornbeam_requests_waiting{mount="/"}']),
        websockets=int(now["hornbeam_websockets"]),
        connections=int(now["hornbeam_connections"]),
        processes=int(now["hornbeam_beam_processes"]),
        workers=len(server.workers()),
        vm_files=open_files(server.beam()),
        vm_memory=memory(server.beam()),
    )


async def settled(server: Hornbeam, before: Gauges, seconds: float = 30) -> list[str]:
    """The leaks that are left when everything has had time to end."""
    for _ in range(int(seconds / 0.5)):
        if not (leaks := gauges(server).leaks(before)):
            return []
        await asyncio.sleep(0.5)
    return leaks
