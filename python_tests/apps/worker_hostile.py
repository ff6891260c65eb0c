"""A worker that does not keep to the protocol, and one that is only slow, for python_tests/worker.

The hostile paths write frames into the pipe themselves, past the transport.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import hornbeam_erlang
from hornbeam_erlang import aio
from hornbeam_erlang._operations import OPERATIONS
from hornbeam_worker import frames, values

Scope = dict[str, Any]

# 2.2 MB as a value of the shared state.
LARGE: Final = "x" * 2_200_000


async def app(scope: Scope, receive: Any, send: Any) -> None:
    text = await globals()[scope["path"].strip("/") or "pid"](scope, send)
    if text is not None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(text).encode()})


async def pid(_scope: Scope, _send: Any) -> int:
    return os.getpid()


async def store(_scope: Scope, _send: Any) -> str:
    hornbeam_erlang.state_set("large", LARGE)
    return "stored"


def pipe() -> int:
    """The descriptor that the transport writes to, which blocks from now on."""
    for thing in gc.get_objects():
        if type(thing).__name__ == "Transport" and hasattr(thing, "_write_fd"):
            os.set_blocking(thing._write_fd, True)
            return int(thing._write_fd)
    raise LookupError("there is no transport")


def write_for_ever(data: bytes) -> None:
    fd = pipe()
    while True:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]


async def ask(_scope: Scope, _send: Any) -> None:
    """Asks for a large value again and again, and never reads an answer."""
    get = bytes([OPERATIONS["state_get"]]) + values.pack(["large"])
    write_for_ever(b"".join(frames.encode(frames.CALL, number, get) for number in range(1, 1001)))


async def stream(scope: Scope, send: Any) -> None:
    """A response that does not wait for its client."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x", "more_body": True})
    await asyncio.sleep(0)
    number = max(cycle._stream for cycle in cycles() if cycle._scope is scope)
    write_for_ever(frames.data_head(number, False, 65_536) + bytes(65_536))


async def hints(scope: Scope, _send: Any) -> None:
    """Informational responses without an end."""
    number = max(cycle._stream for cycle in cycles() if cycle._scope is scope)
    payload = (103).to_bytes(2, "big") + b"\x90"
    write_for_ever(frames.flagged(frames.INFORM, number, False, payload) * 1000)


def cycles() -> list[Any]:
    return [thing for thing in gc.get_objects() if type(thing).__name__ == "HTTPCycle"]


# Slow, and honest


async def gather(_scope: Scope, _send: Any) -> int:
    """300 calls at once, and a loop that then stands still: 660 MB of answers."""
    tasks = [asyncio.create_task(aio.state_get("large")) for _ in range(300)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    time.sleep(2)  # noqa: ASYNC251 (that is the point)
    return sum([len(await task) == len(LARGE) for task in tasks])


async def threads(_scope: Scope, _send: Any) -> int:
    """32 threads that each ask 20 times."""

    def ask_20_times() -> int:
        return sum(hornbeam_erlang.state_get("large") == LARGE for _ in range(20))

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(32) as pool:
        tasks = [loop.run_in_executor(pool, ask_20_times) for _ in range(32)]
        return sum(await asyncio.gather(*tasks))


async def many_hints(_scope: Scope, send: Any) -> str:
    """More informational responses than are passed on."""
    for number in range(5000):
        headers = [(b"link", b"<%d>; %s" % (number, b"x" * 100))]
        await send({"type": "http.response.start", "status": 103, "headers": headers})
    return "done"


async def empty(_scope: Scope, send: Any) -> None:
    """100,000 empty pieces."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(100_000):
        await send({"type": "http.response.body", "body": b"", "more_body": True})
    await send({"type": "http.response.body", "body": b"end"})


async def headers(scope: Scope, send: Any) -> None:
    """A response with a header of as many bytes as the query says."""
    size = int(scope["query_string"])
    fields = [(b"x-large", b"x" * size)]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body"})
