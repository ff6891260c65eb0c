"""What bench/replicated.py measures inside a worker: GET /OPERATION/CLIENTS/SECONDS has figures.

operation  set, get, local (a read that may be old), incr: of the replicated state; state_incr: of
           the node's own
clients    coroutines, each of which waits for its answer before it asks again

And /fill/FIRST/COUNT; /info; /write, which sets one key and is for load from outside.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from hornbeam_erlang import ClusterError, aio, cluster_info, state_incr

KEYS = 1000
VALUE = "x" * 100
numbers = itertools.count()

state = aio.cluster_state
OPERATIONS: dict[str, Callable[[int], Awaitable[Any]]] = {
    "set": lambda n: state.set(f"bench:{n % KEYS}", VALUE),
    "get": lambda n: state.get(f"bench:{n % KEYS}"),
    "local": lambda n: state.get(f"bench:{n % KEYS}", local=True),
    "incr": lambda n: state.incr("bench:count"),
}


async def client(name: str, until: float, took: list[float]) -> int:
    """One that asks again and again; how often it failed."""
    operation, failed = OPERATIONS[name], 0
    clock = time.perf_counter
    begun = clock()
    while begun < until:
        try:
            await operation(next(numbers))
        except ClusterError:
            failed += 1
        ended = clock()
        took.append(ended - begun)
        begun = ended
    return failed


async def measure(name: str, clients: int, seconds: float) -> dict[str, float]:
    """Operations a second and how long they take, in ms; and the CPU seconds of this process."""
    took: list[float] = []
    begun, cpu = time.perf_counter(), sum(os.times()[:2])
    failed = await asyncio.gather(*(client(name, begun + seconds, took) for _ in range(clients)))
    lasted = time.perf_counter() - begun
    took.sort()
    return {
        "rate": len(took) / lasted,
        "p50": took[len(took) // 2] * 1000,
        "p99": took[int(len(took) * 0.99)] * 1000,
        "max": took[-1] * 1000,
        "failed": sum(failed),
        "cpu": (sum(os.times()[:2]) - cpu) / lasted,
    }


def own(seconds: float) -> dict[str, float]:
    """state_incr, which has nothing to do with the cluster."""
    begun, count = time.perf_counter(), 0
    while time.perf_counter() < begun + seconds:
        for _ in range(20):
            state_incr("bench:count")
        count += 20
    return {"rate": count / (time.perf_counter() - begun)}


async def fill(first: int, count: int) -> dict[str, float]:
    """Sees to it that there are so many keys."""
    for start in range(first, first + count, 1000):
        stop = min(start + 1000, first + count)
        await asyncio.gather(*(state.set(f"fill:{n}", VALUE) for n in range(start, stop)))
    return {"keys": count}


async def answer(path: str) -> dict[str, Any]:
    """What a path asks for."""
    match path.split("/")[1:]:
        case ["write"]:
            await OPERATIONS["set"](next(numbers))
            return {}
        case ["info"]:
            return cluster_info()
        case ["fill", first, count]:
            return await fill(int(first), int(count))
        case ["state_incr", _, seconds]:
            return own(float(seconds))
        case [name, clients, seconds]:
            return await measure(name, int(clients), float(seconds))
    return {}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The paths above."""
    found = await answer(scope["path"])
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(found).encode()})
