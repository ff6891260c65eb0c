"""What spreads over nodes, timed inside a worker, for bench/spread.py.

POST /NAME with JSON arguments runs a function of this module, answered with JSON.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import hornbeam_erlang
from hornbeam_erlang import aio, ratelimit


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Runs what the path names."""
    body = (await receive())["body"]
    answer = await globals()[scope["path"][1:]](*json.loads(body))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


async def _timed(
    run: Callable[[int], Awaitable[Any]], times: int, at_once: int
) -> dict[str, float]:
    took: list[float] = []

    async def row(first: int) -> None:
        for number in range(first, times, at_once):
            before = time.perf_counter()
            await run(number)
            took.append(time.perf_counter() - before)

    began = time.perf_counter()
    await asyncio.gather(*(row(first) for first in range(at_once)))
    rate = times / (time.perf_counter() - began)
    p99 = statistics.quantiles(took, n=100)[98]
    return {"rate": rate, "p50": statistics.median(took) * 1e6, "p99": p99 * 1e6}


async def _computed(number: int) -> int:
    return number


async def cached(name: str, times: int, shared: bool, at_once: int) -> dict[str, float]:
    """Results of so many keys."""

    async def run(number: int) -> None:
        await aio.cached_inference(
            _computed, number, key=[name, number], namespace="bench", shared=shared
        )

    return await _timed(run, times, at_once)


async def limited(scope: str, times: int, at_once: int) -> dict[str, float]:
    """Requests of 100 clients, all of which pass."""
    limit = ratelimit.RateLimit("1000000/hour", name=scope, scope=scope, on_failure="raise")

    async def run(number: int) -> None:
        assert (await limit.ahit(f"client {number % 100}")).allowed

    return await _timed(run, times, at_once)


async def publish(topic: str, count: int, size: int) -> dict[str, float]:
    """Messages, one after the other; how many reached somebody."""
    message, reached, took = "x" * size, 0, []
    for _ in range(count):
        before = time.perf_counter()
        reached += min(1, hornbeam_erlang.publish(topic, message))
        took.append(time.perf_counter() - before)
    return {"reached": reached, "longest": max(took), "median": statistics.median(took)}


_listening: set[asyncio.Task[None]] = set()


async def listen(topic: str) -> None:
    """Takes what is published."""
    begun = asyncio.Event()

    async def take() -> None:
        async with hornbeam_erlang.subscription(topic) as messages:
            begun.set()
            async for _ in messages:
                pass

    _listening.add(asyncio.ensure_future(take()))
    await begun.wait()
