"""Computations for python_tests/services/test_cache.py.

POST /NAME with [args, kwargs], packed, runs a function of this module; the answer is ["ok", value]
or ["error", class, text, attributes], packed (services_app.answer). What is computed counts itself
in the shared state, and a gate there holds it until the test opens it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from apps.services_app import body_of, respond

import hornbeam_erlang
import hornbeam_ml
from hornbeam_erlang import aio, cached, cached_inference, state_get, state_incr, state_set

POOL = ThreadPoolExecutor(64)


class OwnError(Exception):
    """One that takes other arguments than it keeps."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(f"{text} {code}")


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Runs what the path names."""
    arguments, keywords = await body_of(receive)
    await respond(send, globals()[scope["path"][1:]](*arguments, **keywords))


def begin(name: str) -> None:
    """Counts a computation, and says which process runs it."""
    state_set(f"pid:{name}", os.getpid())
    state_incr(f"count:{name}")


async def until(key: str, holds: Callable[[Any], bool]) -> None:
    """Waits for a value of the shared state, which another process may set."""
    while not holds(await aio.state_get(key)):  # noqa: ASYNC110  (no event crosses processes)
        await asyncio.sleep(0.002)


async def gate(name: str) -> None:
    """Waits until the test has opened it."""
    await until(f"gate:{name}", bool)


async def count(name: str) -> int:
    return int(state_get(f"count:{name}") or 0)


async def pid(name: str) -> int:
    """Of the process that began last."""
    return int(state_get(f"pid:{name}") or 0)


async def open_gate(name: str) -> None:
    state_set(f"gate:{name}", True)


# Computations


async def gated(name: str) -> Any:
    """Waits for its gate."""
    begin(name)
    await gate(name)
    return {"name": name, "parts": (1, b"x", None)}


async def large(name: str) -> Any:
    begin(name)
    await gate(name)
    return b"x" * 3_000_000


async def failing(name: str) -> Any:
    begin(name)
    await gate(name)
    if name.startswith("own"):
        raise OwnError("own", 7)
    raise LookupError("nothing", name)


def plain(name: str) -> Any:
    """A function that does not wait."""
    begin(name)
    return [name, 1.0]


def untravelled(name: str) -> Any:
    return {name}


@cached(namespace="decorated", ttl=60)
async def decorated(number: int, *, factor: int = 2) -> int:
    state_incr("count:decorated")
    return number * factor


@cached(key=lambda mark, number: number)
def decorated_plain(mark: str, number: int) -> str:
    return f"{mark}{number}"


@cached()
def recursive(number: int) -> int:
    return 1 if number == 0 else number * recursive(number - 1)


@cached()
def own_result(number: int) -> int:
    return own_result(number)


# What requests do


async def once(name: str, of: str = "gated", **keywords: Any) -> Any:
    return await aio.cached_inference(globals()[of], name, **keywords)


async def in_thread(name: str, of: str = "plain", **keywords: Any) -> Any:
    """The function that waits, as a WSGI application's thread calls it."""
    function = globals()[of]
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(POOL, lambda: cached_inference(function, name, **keywords))


async def in_loop(name: str, of: str = "plain", **keywords: Any) -> Any:
    return cached_inference(globals()[of], name, **keywords)


async def plain_beside_async(name: str) -> Any:
    """While a coroutine of this loop computes, a plain function asks for the same."""
    first = asyncio.create_task(aio.cached_inference(gated, name, namespace="beside"))
    await until(f"count:{name}", bool)
    second = cached_inference(lambda _: "alone", name, namespace="beside")
    await open_gate(name)
    return [second, await first]


async def waiting_for_gates() -> int:
    """How many calls have waited for `gated` so far."""
    return int((await aio.cache_stats())["namespaces"]["apps.cache_app.gated"]["waits"])


async def given_up(name: str) -> Any:
    """One caller leads and is cancelled; another one of this process waits."""
    first = asyncio.create_task(aio.cached_inference(gated, name))
    await until(f"count:{name}", bool)
    waits = await waiting_for_gates()
    waiting = [asyncio.create_task(aio.cached_inference(gated, name)) for _ in range(3)]
    while await waiting_for_gates() < waits + 3:  # noqa: ASYNC110  (what Erlang counts)
        await asyncio.sleep(0.002)
    waiting[0].cancel()
    first.cancel()
    await until(f"count:{name}", lambda count: bool(count == 2))
    await open_gate(name)
    results = await asyncio.gather(first, *waiting, return_exceptions=True)
    return [type(part).__name__ for part in results]


async def decorators() -> Any:
    twice = [await decorated(3), await decorated(3), await decorated(3, factor=3)]
    keyed = [decorated_plain("a", 1), decorated_plain("b", 1), decorated_plain("b", 2)]
    return [twice, state_get("count:decorated"), keyed, recursive(5)]


async def ask_itself() -> Any:
    return own_result(1)


async def fill(numbers: list[int], size: int) -> None:
    for number in numbers:
        await aio.cached_inference(lambda _: b"x" * size, number, namespace="fill")


async def kept(numbers: list[int]) -> list[int]:
    """Those whose results need not be computed."""
    missing: list[int] = []
    for number in numbers:
        await aio.cached_inference(missing.append, number, namespace="fill")
    return [number for number in numbers if number not in missing]


async def stats() -> Any:
    return await aio.cache_stats()


async def clear(namespace: str | None = None) -> int:
    return await aio.clear_cache(namespace)


async def original_names() -> Any:
    """`hornbeam_ml` as applications of the original use it."""

    class Array:
        def tolist(self) -> list[float]:
            return [1.0]

    def encode(_: str) -> Any:
        return {"embedding": Array()}

    results = [hornbeam_ml.cached_inference(encode, "text") for _ in range(2)]
    keyed = hornbeam_ml.cached_inference(lambda _: 1, object(), cache_key="k", cache_prefix="p")
    figures = hornbeam_ml.cache_stats()
    assert hornbeam_ml.clear_cache is hornbeam_erlang.clear_cache
    return [results, keyed, figures["hits"] > 0, 0 < figures["hit_rate"] <= 1]
