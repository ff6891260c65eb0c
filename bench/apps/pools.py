"""The application, and the services that it calls, for bench/service_pools.py."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import numpy as np

from hornbeam_erlang import batched, service
from hornbeam_worker import envelope

# What one run of the model costs, and each item in it, in seconds: a small network on a device.
RUN = 0.004
ITEM = 0.0001


class Bench:
    """Small methods, and a model with a fixed cost."""

    def __init__(self) -> None:
        self._device = threading.Lock()

    def plain(self, number: int) -> int:
        return number

    async def quick(self, number: int) -> int:
        return number

    def total(self, value: Any) -> float:
        """Looks at all of it."""
        return float(np.frombuffer(value, "f4").sum())

    def single(self, text: str) -> int:
        with self._device:
            time.sleep(RUN + ITEM)
        return len(text)

    @batched(max_size=32, max_wait_ms=2)
    def batch(self, texts: list[str]) -> list[int]:
        with self._device:
            time.sleep(RUN + ITEM * len(texts))
        return [len(text) for text in texts]

    def tokens(self, count: int) -> Iterator[str]:
        for _ in range(count):
            yield "token"

    async def atokens(self, count: int) -> AsyncIterator[str]:
        for _ in range(count):
            yield "token"


async def rate(seconds: float, width: int, call: Callable[[], Awaitable[Any]]) -> dict[str, float]:
    """Calls per second, `width` at a time, and how long one takes, in ms."""
    times: list[float] = []
    started = time.perf_counter()

    async def caller() -> None:
        while time.perf_counter() < started + seconds:
            before = time.perf_counter()
            await call()
            times.append(time.perf_counter() - before)

    await asyncio.gather(*(caller() for _ in range(width)))
    took = time.perf_counter() - started
    times.sort()
    return {"rate": len(times) / took, "p50": times[len(times) // 2] * 1000}


async def measure(asked: dict[str, Any]) -> dict[str, float]:
    bench, seconds = service("bench"), asked["seconds"]
    what, width = asked["what"], asked.get("width", 1)
    if what in ("plain", "quick"):
        method = getattr(bench, what)
        return await rate(seconds, width, lambda: method(1))
    if what in ("single", "batch"):
        method = getattr(bench, what)
        return await rate(seconds, width, lambda: method("a text"))
    if what in ("tokens", "atokens"):
        started, count = time.perf_counter(), 50_000
        async for _ in getattr(bench, what)(count):
            pass
        return {"rate": count / (time.perf_counter() - started)}
    large = bytes(asked["size"])
    before = envelope.LARGE
    try:
        if what == "packed":
            envelope.LARGE = 1 << 62  # type: ignore[misc]
        return await rate(seconds, 1, lambda: bench.total(large))
    finally:
        envelope.LARGE = before  # type: ignore[misc]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """POST: what to measure; the answer are figures."""
    message = await receive()
    figures = await measure(json.loads(message["body"]))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(figures).encode()})
