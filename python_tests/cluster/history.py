"""Clients of a cluster that write down what they asked and what they were told.

    history = History()
    client = Client(history, addresses)
    await client.ask("incr", "hits", 1)

Owns the notes (`History.operations`, for linearizability.check_all) and one connection for each
client. Called by the tests of the cluster and by bench/chaos_cluster.py; calls cluster_app over
HTTP/1. Nothing is asked twice: a client cannot know whether what failed was done.

How an operation ended:

- ok: there was an answer with a result
- fail: it was certainly not done: NoQuorumError, or nothing could be sent
- unknown: everything else, InDoubtError and broken connections among it
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from math import inf
from typing import Any

from cluster.linearizability import ABSENT, Operation, Outcome

__all__ = ["Client", "History"]

CONNECT, PATIENCE = 2.0, 8.0
TURN = 25
READS = {"get", "pop"}
Address = tuple[str, int]


class History:
    """What all clients were told."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.ends: Counter[str] = Counter()

    def note(self, operation: Operation, end: str) -> None:
        """One more; `end`: in a word, for a person."""
        self.operations.append(operation)
        self.ends[f"{operation.kind}: {end}"] += 1

    def of(self, kind: str, outcome: Outcome) -> list[Operation]:
        """Those of a kind that ended so."""
        return [o for o in self.operations if o.kind == kind and o.outcome == outcome]


class Connection:
    """One connection of HTTP/1, opened when something is asked."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self, patience: float = CONNECT) -> None:
        """OSError or TimeoutError where it cannot be."""
        if self._streams is None or self._streams[0].at_eof() or self._streams[1].is_closing():
            self.close()
            opening = asyncio.open_connection(*self.address)
            self._streams = await asyncio.wait_for(opening, patience)

    async def ask(
        self, path: str, said: Any, patience: float = PATIENCE, method: str = "POST"
    ) -> tuple[int, Any]:
        """Status and answer; `open` was called before. Closed when anything goes wrong."""
        assert self._streams is not None
        content = b"" if said is None else json.dumps(said).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: cluster\r\ncontent-length: {len(content)}"
        request = head.encode() + b"\r\n\r\n" + content
        try:
            return await asyncio.wait_for(_asked(*self._streams, request), patience)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Opened again by the next `open`."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _asked(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, Any]:
    writer.write(request)
    answer = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", answer)
    text = await reader.readexactly(int(length[1])) if length else b""
    if re.search(rb"(?i)\r\nconnection: *close", answer):
        writer.close()
    is_json = b"application/json" in answer.lower()
    return int(answer[9:12]), json.loads(text) if is_json else None


class Client:
    """Asks one node, then the next: after so many operations, or one that did not go well.

    `reads_here`: what is read may be stale, and is noted as if it must not be.
    """

    def __init__(self, history: History, addresses: Sequence[Address], number: int = 0) -> None:
        self.history, self.number, self.reads_here = history, number, False
        self._connections = [Connection(address) for address in addresses]
        self._at, self._asked = number % len(addresses), 0

    async def ask(self, kind: str, key: str, *args: Any) -> Operation:
        """One operation; it has been noted."""
        connection = self._connections[self._at]
        invoked = time.monotonic()
        asked = "local" if kind == "get" and self.reads_here else kind
        said = {"kind": asked, "key": key, "args": list(args)}
        result: Any = None
        outcome: Outcome = "unknown"
        try:
            await connection.open()
        except (OSError, asyncio.TimeoutError) as error:
            outcome, end = "fail", f"not connected ({type(error).__name__})"
        else:
            try:
                status, answer = await connection.ask("/op", said)
                outcome, end, result = judged(kind, status, answer)
            except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
                end = f"no answer ({type(error).__name__})"
        self._asked += 1
        if outcome != "ok" or self._asked % TURN == 0:
            self._at = (self._at + 1) % len(self._connections)
        returned = time.monotonic() if outcome == "ok" else inf
        operation = Operation(self.number, kind, key, args, result, invoked, returned, outcome)
        self.history.note(operation, end)
        return operation

    def close(self) -> None:
        """Lets all connections go."""
        with suppress(OSError):
            for connection in self._connections:
                connection.close()


def judged(kind: str, status: int, answer: Any) -> tuple[Outcome, str, Any]:
    """How it ended, that in a word, and the result."""
    if status == 200:
        result = answer["result"]
        return "ok", "ok", ABSENT if result is None and kind in READS else result
    error = (answer or {}).get("error", status)
    if error == "NoQuorumError":
        return "fail", "no quorum", None
    return "unknown", str(error), None
