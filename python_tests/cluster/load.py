"""Clients that go on until they are told to stop: registers, counters, locks.

Called by the tests of the cluster and by bench/chaos_cluster.py; calls history.py. Keys change
every few seconds, which keeps the history of each short enough to be checked. Every value is
written once in a run, so that a read tells which write it has seen.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from cluster.history import Address, Client, Connection, History
from cluster.linearizability import ABSENT

__all__ = ["Load"]

REGISTERS, COUNTERS, LOCKS = 6, 4, 4
KEYS, LOCK_NAMES = 3, 2
# How long a key is used.
SECONDS = 4.0
TTL = 2.0


class Load:
    """All clients of a cluster; each rests so long after an operation."""

    def __init__(
        self,
        addresses: Sequence[Address],
        seed: str,
        *,
        rest: float = 0.01,
        reads_here: bool = False,
    ) -> None:
        self.addresses, self.seed, self.rest, self.reads_here = addresses, seed, rest, reads_here
        self.history = History()
        self.locks: Counter[str] = Counter()
        self._values = itertools.count(1)
        self._began = time.monotonic()
        self._stop = asyncio.Event()

    async def run(self, until: Awaitable[object]) -> None:
        """Clients ask until the awaitable ends, and to the end of what they are at."""
        kinds: list[tuple[Callable[[int], Awaitable[None]], int]] = [
            (self._register, REGISTERS),
            (self._counter, COUNTERS),
            (self._lock, LOCKS),
        ]
        tasks = [
            asyncio.ensure_future(client(number))
            for client, many in kinds
            for number in range(many)
        ]
        try:
            await until
        finally:
            self._stop.set()
            await asyncio.gather(*tasks)

    async def finals(self) -> dict[str, int | None]:
        """What every counter holds in the end; each read is in the history."""
        client = Client(self.history, self.addresses)
        found: dict[str, int | None] = {}
        for key in sorted({o.key for o in self.history.operations if o.key.startswith("c:")}):
            operation = await client.ask("get", key)
            while operation.outcome != "ok":
                await asyncio.sleep(0.1)
                operation = await client.ask("get", key)
            found[key] = None if operation.result is ABSENT else operation.result
        client.close()
        return found

    def _client(self, number: int) -> Client:
        client = Client(self.history, self.addresses, number)
        client.reads_here = self.reads_here
        return client

    def _rng(self, kind: str, number: int) -> random.Random:
        return random.Random(f"{self.seed} {kind} {number}")

    def _key(self, kind: str, rng: random.Random) -> str:
        epoch = int((time.monotonic() - self._began) / SECONDS)
        return f"{kind}:{epoch}:{rng.randrange(KEYS)}"

    async def _register(self, number: int) -> None:
        client, rng = self._client(number), self._rng("register", number)
        seen: dict[str, object] = {}
        while not self._stop.is_set():
            key, chance = self._key("r", rng), rng.random()
            if chance < 0.4 or (chance < 0.7 and key not in seen):
                operation = await client.ask("get", key)
                if operation.outcome == "ok" and operation.result is not ABSENT:
                    seen[key] = operation.result
            elif chance < 0.7:
                await client.ask("cas", key, seen[key], next(self._values))
            elif chance < 0.95:
                seen[key] = next(self._values)
                await client.ask("put", key, seen[key])
            else:
                await client.ask("add" if chance < 0.97 else "pop", key, *self._value(chance))
            await asyncio.sleep(self.rest)
        client.close()

    def _value(self, chance: float) -> list[int]:
        return [next(self._values)] if chance < 0.97 else []

    async def _counter(self, number: int) -> None:
        client = self._client(100 + number)
        rng = self._rng("counter", number)
        while not self._stop.is_set():
            key = self._key("c", rng)
            if rng.random() < 0.8:
                await client.ask("incr", key, 1)
            else:
                await client.ask("get", key)
            await asyncio.sleep(self.rest)
        client.close()

    async def _lock(self, number: int) -> None:
        rng = self._rng("lock", number)
        connections = [Connection(address) for address in self.addresses]
        while not self._stop.is_set():
            connection = rng.choice(connections)
            name = f"lock{rng.randrange(LOCK_NAMES)}"
            said = {"seconds": rng.uniform(0, 0.6), "ttl": TTL, "timeout": 3.0}
            try:
                await connection.open()
                status, answer = await connection.ask(f"/hold/{name}", said)
                self.locks["held" if status == 200 else str((answer or {}).get("error"))] += 1
            except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
                self.locks[type(error).__name__] += 1
            await asyncio.sleep(self.rest)
        for connection in connections:
            connection.close()
