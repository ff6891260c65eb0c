"""What spreads over nodes, for python_tests/cluster/test_spread.py.

POST /NAME with JSON arguments runs a function of this module, answered as JSON: {"value": ...} or
{"error": [class, text]}. What computes counts itself in its node's state, and waits until its gate
there is open.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import hornbeam_erlang
from hornbeam_erlang import aio, channels, ratelimit, state_get, state_incr, state_set

_heard: dict[str, list[Any]] = {}
_listening: set[asyncio.Task[None]] = set()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Runs what the path names."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    try:
        answer = {"value": await globals()[scope["path"][1:]](*json.loads(body))}
    except Exception as error:
        answer = {"error": [type(error).__name__, str(error)]}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


async def _computation(name: str) -> str:
    state_incr(f"count:{name}")
    while not (opened := state_get(f"gate:{name}")):  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    if opened == "fail":
        raise ValueError(f"{name} cannot be computed")
    return f"{name} of {hornbeam_erlang.node()}"


def _plain(name: str) -> str:
    state_incr(f"count:{name}")
    while not state_get(f"gate:{name}"):
        time.sleep(0.005)
    return f"{name} of {hornbeam_erlang.node()}"


async def computed(
    name: str, shared: bool = True, ttl: float | None = None, timeout: float | None = None
) -> Any:
    """The result, whoever computes it."""
    return await aio.cached_inference(
        _computation, name, namespace="n", ttl=ttl, timeout=timeout, shared=shared
    )


async def computed_in_thread(name: str) -> Any:
    """The same with a plain function that is called in a thread."""
    return await asyncio.to_thread(
        hornbeam_erlang.cached_inference, _plain, name, namespace="n", shared=True
    )


async def computed_on_the_loop(name: str) -> Any:
    """A synchronous call in a coroutine: holds up the loop while it waits."""
    return hornbeam_erlang.cached_inference(
        lambda _: f"{name} on the loop", name, namespace="n", shared=True
    )


async def opened(name: str, how: str = "open") -> None:
    """Lets this node's computations of the name go on."""
    state_set(f"gate:{name}", how)


async def count(name: str) -> int:
    """How many have begun on this node."""
    return int(state_get(f"count:{name}") or 0)


async def stats(nodes: bool) -> Any:
    return await aio.cache_stats(nodes)


async def cleared(namespace: str | None) -> int:
    return await aio.clear_cache(namespace)


async def hits(
    times: int, key: str, limits: list[str], scope: str, on_failure: str = "node"
) -> int:
    """How many of so many requests pass."""
    limit = ratelimit.RateLimit(*limits, scope=scope, on_failure=on_failure)
    return sum([(await limit.ahit(key)).allowed for _ in range(times)])


async def left(key: str, limits: list[str], scope: str) -> int:
    return (await ratelimit.RateLimit(*limits, scope=scope).ahit(key, 0)).remaining


async def reset(key: str, limits: list[str], scope: str) -> None:
    ratelimit.RateLimit(*limits, scope=scope).reset(key)


async def listen(topic: str) -> None:
    """Collects what is published from now on."""
    begun = asyncio.Event()

    async def collect() -> None:
        async with hornbeam_erlang.subscription(topic) as messages:
            _heard[topic] = []
            begun.set()
            async for _topic, message in messages:
                _heard[topic].append(message[0] if isinstance(message, list) else message)

    _listening.add(asyncio.ensure_future(collect()))
    await begun.wait()


async def heard(topic: str) -> list[Any]:
    return _heard[topic]


async def broadcast(topic: str, first: int, last: int) -> None:
    """The event "n" with each of the numbers, to the clients of a channel."""
    for number in range(first, last + 1):
        await channels.abroadcast(topic, "n", {"n": number})


async def kept(topic: str) -> list[Any]:
    """The ids and numbers of what this node has kept."""
    _whole, messages = await channels.ahistory(topic, "", 100_000)
    return [[message.id, message.payload["n"]] for message in messages]


async def publish(topic: str, first: int, count: int, size: int = 0) -> list[float]:
    """Publishes numbers; how many reached somebody, and the longest that one took in seconds."""
    reached, longest, padding = 0, 0.0, "x" * size
    for number in range(first, first + count):
        before = time.perf_counter()
        message = [number, padding] if size else number
        reached += min(1, hornbeam_erlang.publish(topic, message))
        longest = max(longest, time.perf_counter() - before)
    return [reached, longest]
