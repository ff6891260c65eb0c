"""Applications that are slow, block, allocate and crash, for python_tests/ops/test_diagnose.py."""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

_kept: list[bytes] = []


async def app(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    """/wait/FILE waits until there is such a file; /block/FILE so, in the loop itself."""
    assert scope["type"] == "http"
    action, _, argument = scope["path"].strip("/").partition("/")
    if action == "wait":
        await outer(Path("/" + argument))
    elif action == "block":
        blocked(Path("/" + argument))
    elif action == "work":
        working(Path("/" + argument))
    elif action == "keep":
        keeping()
    elif action == "crash":
        ctypes.string_at(0)
    elif action == "exit":
        os._exit(int(argument))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


async def outer(file: Path) -> None:
    """A coroutine that waits for another one."""
    await asyncio.gather(waiting_for(file))


async def waiting_for(file: Path) -> None:
    """Returns once the file is there."""
    while not await asyncio.to_thread(file.exists):  # noqa: ASYNC110
        await asyncio.sleep(0.05)


def blocked(file: Path) -> None:
    """Holds the thread until the file is there."""
    while not file.exists():
        time.sleep(0.02)


def working(file: Path) -> None:
    """Holds the processor until the file is there, in a thread of its own."""

    def spinning() -> None:
        while not file.exists():
            sum(range(20_000))

    threading.Thread(target=spinning, name="spinner").start()


def keeping() -> None:
    """Allocates what is never given back."""
    _kept.append(bytes(3_000_000))


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The same of /block and /keep."""
    action, _, argument = environ["PATH_INFO"].strip("/").partition("/")
    if action == "block":
        blocked(Path("/" + argument))
    start_response("200 OK", [])
    return [b"done"]
