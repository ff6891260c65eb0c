"""What bench/state.py measures inside a worker: GET /OPERATION/HOW/SECONDS answers with figures.

operation  get or incr; hit or lru: what cached_inference or functools.lru_cache has kept
how        loop (one coroutine), threads (32 of them), aio (100 awaits at a time)
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from hornbeam_erlang import aio, cached_inference, state_get, state_incr, state_set

THREADS = 32
AWAITS = 100


def text(_: str) -> str:
    """What is computed once."""
    return "x" * 32


remembered = functools.lru_cache(text)
KEYS: dict[str, Callable[[], Any]] = {
    "get": lambda: state_get("bench:value"),
    "incr": lambda: state_incr("bench:count"),
    "hit": lambda: cached_inference(text, "bench:value"),
    "lru": lambda: remembered("bench:value"),
}
TWINS: dict[str, Callable[[], Any]] = {
    "get": lambda: aio.state_get("bench:value"),
    "incr": lambda: aio.state_incr("bench:count"),
    "hit": lambda: aio.cached_inference(text, "bench:value"),
}


def repeat(operation: Callable[[], Any], until: float) -> int:
    """How often an operation is done until a point in time."""
    count = 0
    while time.perf_counter() < until:
        for _ in range(20):
            operation()
        count += 20
    return count


def in_threads(operation: Callable[[], Any], until: float) -> int:
    """As `repeat`, in 32 threads at once."""
    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda: counts.append(repeat(operation, until)))
        for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


async def pipelined(operation: Callable[[], Any], until: float) -> int:
    """As `repeat`, 100 awaits at a time."""
    count = 0
    while time.perf_counter() < until:
        await asyncio.gather(*(operation() for _ in range(AWAITS)))
        count += AWAITS
    return count


async def measure(name: str, how: str, seconds: float) -> dict[str, float]:
    """Operations per second, and seconds of this process's CPU time for each second."""
    started, cpu = time.perf_counter(), sum(os.times()[:2])
    until = started + seconds
    if how == "loop":
        count = repeat(KEYS[name], until)
    elif how == "threads":
        count = await asyncio.to_thread(in_threads, KEYS[name], until)
    else:
        count = await pipelined(TWINS[name], until)
    took = time.perf_counter() - started
    return {"rate": count / took, "cpu": (sum(os.times()[:2]) - cpu) / took}


async def fill(count: int) -> dict[str, float]:
    """Sees to it that there are so many keys."""
    for start in range(0, count, 1000):
        await asyncio.gather(
            *(aio.state_set(f"fill:{n}", n) for n in range(start, min(start + 1000, count)))
        )
    state_set("bench:value", "x" * 32)
    return {"keys": count}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The paths above, and /fill/COUNT."""
    _, name, *rest = scope["path"].split("/")
    found = await (fill(int(rest[0])) if name == "fill" else measure(name, rest[0], float(rest[1])))
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(found).encode()})
