"""What an application can do besides answering: the shared state, print and logging, threads."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import hornbeam_erlang
from hornbeam_erlang import state_get, state_incr, state_set
from hornbeam_worker import logs

logger = logging.getLogger("core_services")
logger.setLevel(os.environ.get("APP_LOG_LEVEL", "INFO"))
logger.addHandler(logs.handler())
print("printed at import")
logger.info("logged at import")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise RuntimeError("no lifespan here")
    result = await ROUTES[scope["path"]]()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(result).encode()})


def child(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


async def output() -> str:
    print("print, ünïcode")
    print("print to stderr", file=sys.stderr)
    os.write(1, b"write to descriptor 1\n")
    await asyncio.to_thread(child, "print('print of a child')")
    logger.debug("a debug record")
    logger.info("an info record of %s", "a coroutine")
    await asyncio.to_thread(logger.warning, "a warning of a thread")
    try:
        raise LookupError("logged")
    except LookupError:
        logger.exception("a record with a traceback")
    logger.critical("last \ud800 record, ünïcode")
    return "done"


async def descriptors() -> bool:
    """Whether a child could reach the pipes to Erlang."""
    code = "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))"
    command = [sys.executable, "-c", code]
    run = await asyncio.to_thread(subprocess.check_output, command, text=True)
    return all(fd < 4 for fd in json.loads(run))


async def long_log() -> str:
    logger.info("long %s", "x" * 200_000)
    return "done"


async def many_logs() -> str:
    """From several threads at once, more than a pipe holds."""

    def work(number: int) -> None:
        for line in range(100):
            logger.info("thread %d line %d %s", number, line, "y" * 1000)

    await asyncio.gather(*(asyncio.to_thread(work, number) for number in range(4)))
    return "done"


async def values() -> list[Any]:
    state_set("values", {"a": [1, 2.5, None, True, "ü"], "b": (b"bytes", 2**70)})
    value = state_get("values")
    return [
        value == {"a": [1, 2.5, None, True, "ü"], "b": (b"bytes", 2**70)},
        state_get("missing"),
        state_get("missing", "default"),
        state_incr("counter", 5),
        hornbeam_erlang.state_decr("counter"),
        hornbeam_erlang.state_get_multi(["counter", "missing"]),
        hornbeam_erlang.state_keys("counter"),
        hornbeam_erlang.state_delete("counter"),
        hornbeam_erlang.state_delete("counter"),
        [hornbeam_erlang.incr("short", 2), hornbeam_erlang.decr("short")],
        [hornbeam_erlang.get("short"), hornbeam_erlang.set("short", "x")],
        [hornbeam_erlang.get("short"), hornbeam_erlang.delete("short")],
    ]


async def errors() -> list[str]:
    state_set("text", "a text")
    return [
        text_of_error(state_incr, "text"),
        text_of_error(state_set, "a", {1, 2}),
        text_of_error(state_set, "a", 1, 0),
    ]


def text_of_error(function: Callable[..., Any], *arguments: Any) -> str:
    try:
        function(*arguments)
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


async def ttl() -> list[Any]:
    for seconds in (0.05, 0.5, 5):  # the first that a busy machine does not outlast
        state_set("short-lived", 1, ttl=seconds)
        if (first := state_get("short-lived")) is not None:
            break
    while state_get("short-lived") is not None:  # noqa: ASYNC110 (nobody tells when it expires)
        await asyncio.sleep(0.01)
    return [first, state_get("short-lived", "gone")]


async def loop_calls() -> int:
    for _ in range(500):
        state_incr("calls")
    return int(state_get("calls"))


async def thread_calls() -> int:
    """Threads and the loop at the same time."""

    def work() -> None:
        for _ in range(100):
            state_incr("threads")

    tasks = [asyncio.to_thread(work) for _ in range(5)]
    running = asyncio.gather(*tasks)
    while not running.done():
        state_incr("threads", 0)
        await asyncio.sleep(0)
    await running
    return int(state_get("threads"))


async def plain_thread() -> int:
    """A thread that the application made itself, while the loop waits for it without running."""
    result: list[int] = []
    thread = threading.Thread(target=lambda: result.append(state_incr("plain")))
    thread.start()
    await asyncio.to_thread(thread.join)
    return result[0]


async def large() -> int:
    state_set("large", b"z" * 3_000_000)
    return len(state_get("large"))


ROUTES: dict[str, Callable[[], Awaitable[Any]]] = {
    f"/{function.__name__}": function
    for function in (
        output, descriptors, long_log, many_logs, values, errors, ttl, loop_calls, thread_calls,
        plain_thread, large,
    )
}  # fmt: skip
