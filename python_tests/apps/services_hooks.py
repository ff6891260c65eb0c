"""services_app with hooks that each worker registers when it imports this, for test_hooks.py."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import hornbeam_erlang
from hornbeam_erlang import aio, execute, register_hook, state_incr, state_set, stream

__all__ = ["app"]

services_app: Any = importlib.import_module("services_app")
app = services_app.app


def function(action: str, *args: Any, **kwargs: Any) -> Any:
    """A handler that is a function: what it got, and the thread it runs in."""
    if action == "raise":
        raise KeyError(args[0])
    return [action, list(args), kwargs, threading.current_thread().name.startswith("hornbeam-call")]


async def coroutine(action: str, *args: Any) -> Any:
    await asyncio.sleep(0)
    return [action, *args]


class Thing:
    """A handler that is a class: one object for each process."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1
        self.calls = 0

    def count(self) -> list[int]:
        self.calls += 1
        return [os.getpid(), type(self).made, self.calls]

    async def where(self) -> int:
        return os.getpid()

    def fail(self, text: str) -> None:
        raise ValueError(text)

    def kind(self, value: Any) -> str:
        return f"{type(value).__name__} {len(value)}"

    def big(self, size: int) -> bytes:
        return bytes(size)

    def die(self) -> None:
        os.kill(os.getpid(), 9)

    def _secret(self) -> None: ...

    @property
    def looked_at(self) -> Any:
        raise AssertionError("a property was run")

    def numbers(self, key: str, limit: int) -> Iterator[Any]:
        try:
            for number in range(limit):
                state_set(key, number)
                yield number
        finally:
            state_incr(f"{key}:closed")

    async def anumbers(self, key: str, limit: int) -> AsyncIterator[Any]:
        try:
            for number in range(limit):
                state_set(key, number)
                yield [number, "x" * 10_000]
        finally:
            state_incr(f"{key}:closed")

    def broken(self) -> Iterator[int]:
        yield 1
        raise ValueError("in the middle")

    async def sleeps(self, key: str) -> None:
        state_set(key, "begun")
        try:
            await asyncio.sleep(60)
        finally:
            state_set(key, "over")

    def nests(self, depth: int) -> int:
        """Calls itself, through Erlang and another worker or this one."""
        return 1 + (execute("thing", "nests", depth - 1) if depth else 0)

    def through_erlang(self, depth: int) -> int:
        again = ("thing", "through_erlang", depth - 1)
        return 1 + (execute("erlang", "python", *again) if depth else 0)


class Configured:
    """A handler that is an object."""

    def __init__(self, name: str) -> None:
        self.name = name

    def who(self) -> str:
        return self.name

    def __call__(self, action: str, *args: Any) -> Any:
        return [self.name, action, *args]


register_hook("function", function)
register_hook("coroutine", coroutine)
register_hook("thing", Thing)
register_hook("my.pkg:Configured", Configured("one"))


# Scenarios


async def collect(name: str, action: str, *args: Any, node: str | None = None) -> list[Any]:
    """A stream, in this loop."""
    made = aio.hooks(node=node).stream(name, action, *args)
    return [value async for value in made]


async def collect_in_thread(name: str, action: str, *args: Any) -> list[Any]:
    return await asyncio.to_thread(lambda: list(stream(name, action, *args)))


async def first(count: int, name: str, action: str, *args: Any, node: str | None = None) -> Any:
    """The first values of a stream, the rest of which nobody wants."""
    got: list[Any] = []
    async with contextlib.aclosing(aio.hooks(node=node).stream(name, action, *args)) as values:
        while len(got) < count:
            got.append(await anext(values))
    return got


async def cancelled(name: str, action: str, key: str) -> Any:
    """A call whose await is cancelled when it has begun."""
    task = asyncio.create_task(aio.execute(name, action, key))
    while await aio.state_get(key) is None:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def in_all_ways(name: str, action: str, *args: Any) -> list[Any]:
    """From this loop, an await and a thread."""
    threads = asyncio.to_thread(execute, name, action, *args)
    return [execute(name, action, *args), *await asyncio.gather(
        aio.execute(name, action, *args), threads
    )]  # fmt: skip


async def with_timeout(seconds: float, node: str | None, name: str, action: str, *args: Any) -> Any:
    return await aio.hooks(timeout=seconds, node=node).aexecute(name, action, *args)


async def later(name: str, action: str, *args: Any) -> str:
    return await aio.execute_async(name, action, *args)


async def many(count: int, name: str, action: str, *args: Any) -> list[Any]:
    return await asyncio.gather(*(aio.execute(name, action, *args) for _ in range(count)))


async def own_hook(name: str) -> None:
    """Registers a hook in this worker alone."""
    await aio.register_hook(name, lambda action: [action, os.getpid()])


async def no_hook(name: str) -> None:
    await aio.unregister_hook(name)


async def numpy_there(name: str, action: str) -> Any:
    """Buffers on the way to a hook."""
    return await aio.execute(name, action, bytearray(b"x" * 40_000))


async def too_many() -> str:
    """Registers hooks until no more may be."""
    names = [f"many:{number}" for number in range(1001)]
    try:
        for name in names:
            await aio.register_hook(name, function)
    except ValueError as error:
        return str(error)
    finally:
        for name in names:
            await aio.unregister_hook(name)
    return "all"


services_app.OWN.update({
    made.__name__: made
    for made in (
        collect, collect_in_thread, first, cancelled, in_all_ways, with_timeout, later, many,
        own_hook, no_hook, numpy_there, too_many,
    )
})  # fmt: skip
assert hornbeam_erlang.hook is register_hook
