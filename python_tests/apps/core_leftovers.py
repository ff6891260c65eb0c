"""An application that leaves things behind: tasks, generators, threads, C code without an end.

`LEAVES` in the environment says what its start-up leaves: names of functions, separated by spaces.
"""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

GENERATOR_ENDED = threading.Event()
kept: list[Any] = []


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        for name in os.environ.get("LEAVES", "").split():
            await LEFT[name]()
        if "FAILS" in os.environ:
            await send({"type": "lifespan.startup.failed", "message": "told to fail"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shutdown in", os.getpid())
        if "CRASHES" in os.environ:
            ctypes.string_at(0)
        await send({"type": "lifespan.shutdown.complete"})
        return
    if block := BLOCKS.get(scope["path"]):
        print("blocked in", os.getpid())
        block()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def leave(coroutine: Awaitable[None], name: str) -> None:
    kept.append(asyncio.ensure_future(coroutine))
    kept[-1].set_name(name)
    await asyncio.sleep(0)  # it begins


async def task() -> None:
    async def sleeps() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.05)
            print("the task ends")

    await leave(sleeps(), "well-behaved")


async def stubborn() -> None:
    async def ignores() -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:  # noqa: PERF203
                print("never mind")

    await leave(ignores(), "stubborn")


async def failing() -> None:
    async def fails() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            raise LookupError("not while I am cancelled") from None

    await leave(fails(), "failing")


async def generator() -> None:
    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            print("the generator ends")
            GENERATOR_ENDED.set()

    kept.append(numbers())
    await anext(kept[-1])


def thread_after(seconds: float) -> Callable[[], Awaitable[None]]:
    """A thread that goes on for so long behind the generator's end, or an hour."""

    async def thread() -> None:
        def sleeps() -> None:
            GENERATOR_ENDED.wait(3600)
            time.sleep(seconds)
            print("the thread ends")

        kept.append(asyncio.get_running_loop().run_in_executor(None, sleeps))

    return thread


def in_c() -> None:
    """Without the interpreter's lock."""
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)


def in_c_with_the_lock() -> None:
    ctypes.PyDLL(None).sleep(3600)


LEFT = {
    "task": task,
    "stubborn": stubborn,
    "failing": failing,
    "generator": generator,
    "thread": thread_after(0.3),
    "hanging_thread": thread_after(3600),
}
BLOCKS = {"/c": in_c, "/c_with_the_lock": in_c_with_the_lock}
