"""Functions to run as tasks, and an application that spawns what it is asked to.

POST / with packed [name, arguments, keywords] calls a function of `hornbeam_erlang`, or "NAME" of
this module below /here, and answers ["ok", value] or ["error", class, text].
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

import hornbeam_erlang
from hornbeam_erlang import aio
from hornbeam_worker import values

LIFESPAN = {"started": False}


def add(a: int, b: int) -> int:
    return a + b


async def slow_add(a: int, b: int) -> int:
    await asyncio.sleep(0)
    return a + b


def append(path: str, line: str) -> None:
    """One write, so lines of several processes do not mix."""
    with Path(path).open("a") as file:
        file.write(f"{line}\n")


def append_here(path: str, line: str, seconds: float = 0) -> str:
    """Twice, before that time and after it, with the node; which one it was."""
    node = os.environ["NODE"]
    append(path, f"{line} {node} begun")
    time.sleep(seconds)
    append(path, f"{line} {node} done")
    return node


def append_when_open(path: str, line: str) -> str:
    """The same, where the second waits for the file `PATH.open`."""
    node = os.environ["NODE"]
    append(path, f"{line} {node} begun")
    while not Path(f"{path}.open").exists():
        time.sleep(0.05)
    append(path, f"{line} {node} done")
    return node


def note_tick() -> None:
    """The time that a schedule was due, and the node, for tests of clusters."""
    task = hornbeam_erlang.current_task()
    assert task is not None
    append(os.environ["TICKS"], f"{task.unique} {os.environ['NODE']}")


def fail(text: str) -> None:
    raise ValueError(text)


def fail_until(attempt: int) -> int:
    task = hornbeam_erlang.current_task()
    assert task is not None
    if task.attempt < attempt:
        raise RuntimeError(f"attempt {task.attempt}")
    return task.attempt


def die() -> None:
    os.kill(os.getpid(), 9)


async def hang(path: str) -> None:
    append(path, "begun")
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        append(path, "cancelled")
        raise


async def hang_here(path: str) -> None:
    """The same with the node."""
    node = os.environ["NODE"]
    append(path, f"{node} begun")
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        append(path, f"{node} cancelled")
        raise


def wait_for(path: str) -> str:
    while not Path(path).exists():
        time.sleep(0.01)
    return "there"


async def report(steps: int) -> str:
    for step in range(steps):
        await aio.task_progress({"step": step + 1, "of": steps})
    return "reported"


async def spawn_range(first: int, end: int, path: str) -> list[int]:
    """Durable tasks with a line each, the even ones in a queue that runs one at a time; those that
    are on disk now. Whoever asks twice gets each once."""

    async def one(number: int) -> int:
        queue = "default" if number % 2 else "serial"
        await aio.spawn(append, path, str(number), durable=True, queue=queue, unique=f"n{number}")
        return number

    return list(await asyncio.gather(*map(one, range(first, end))))


def about() -> dict[str, Any]:
    task = hornbeam_erlang.current_task()
    assert task is not None
    return {
        "id": task.id, "attempt": task.attempt, "unique": task.unique, "queue": task.queue,
        "pid": os.getpid(), "main": threading.current_thread() is threading.main_thread(),
        "lifespan": LIFESPAN["started"],
    }  # fmt: skip


async def events(task: str) -> list[Any]:
    return [event async for event in aio.task_events(task)]


def events_in_thread(task: str) -> list[Any]:
    return list(hornbeam_erlang.task_events(task))


def mark_tick() -> None:
    """What the option `schedules` names in the tests."""


@hornbeam_erlang.scheduled(every=1)
async def decorated() -> None:
    """Declared by every worker."""


@hornbeam_erlang.scheduled(cron="0 3 * * *", tz="Europe/Berlin", name="nightly")
def nightly() -> None:
    """Not while a test runs, most nights."""


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        LIFESPAN["started"] = True
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    content = b""
    while True:
        message = await receive()
        content += message.get("body", b"")
        if not message.get("more_body"):
            break
    answer = await _answer(scope["path"], values.unpack(content) if content else ["pid", [], {}])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": values.pack(answer)})


async def _answer(path: str, request: list[Any]) -> list[Any]:
    name, arguments, keywords = request
    try:
        if name == "pid":
            return ["ok", os.getpid()]
        if path == "/here":
            value = globals()[name](*arguments, **keywords)
        elif path == "/plain":
            value = await asyncio.to_thread(getattr(hornbeam_erlang, name), *arguments, **keywords)
        else:
            value = getattr(aio, name)(*arguments, **keywords)
        return ["ok", await value if asyncio.iscoroutine(value) else value]
    except Exception as error:
        return ["error", type(error).__name__, str(error)]
