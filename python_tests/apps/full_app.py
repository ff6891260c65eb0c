"""What the tests of a full machine ask of an application: to take all there is of something."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import Any
from urllib.parse import parse_qs

import hornbeam_erlang

logger = logging.getLogger("full_app")
hoard: list[bytes] = []
tasks: list[asyncio.Task[None]] = []


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError("http only")
    query = {key: values[0] for key, values in parse_qs(scope["query_string"].decode()).items()}
    status = await HANDLERS[scope["path"]](query)
    body = str(os.getpid()).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def nothing(query: dict[str, str]) -> int:
    return 200


async def flood(query: dict[str, str]) -> int:
    """Logs so many MB, in turns of the loop; or without a pause (`burst`), there or in threads."""
    number = int(query["mb"]) * 125
    if "threads" in query:
        threads = int(query["threads"])
        await asyncio.gather(
            *(asyncio.to_thread(_flood, number // threads) for _ in range(threads))
        )
        return 200
    size = number if "burst" in query else 10
    for _ in range(number // size):
        _flood(size)
        await asyncio.sleep(0)
    return 200


def _flood(lines: int) -> None:
    line = "x" * 8000
    for _ in range(lines):
        logger.warning(line)


async def hold(query: dict[str, str]) -> int:
    """Takes so many MB and keeps them."""
    hoard.extend(os.urandom(1 << 20) for _ in range(int(query["mb"])))
    return 200


async def state(query: dict[str, str]) -> int:
    """Puts so many MB into the shared state; takes them out again once a file is there."""
    pieces = range(int(query["mb"]) * 16)
    for number in pieces:
        hornbeam_erlang.state_set(f"big{number}", os.urandom(1 << 16))

    async def clear() -> None:
        while not os.access(query["until"], os.F_OK):  # noqa: ASYNC110  (a file tells)
            await asyncio.sleep(0.05)
        for number in pieces:
            hornbeam_erlang.state_delete(f"big{number}")

    if "until" in query:
        tasks.append(asyncio.create_task(clear()))
    return 200


async def keep(query: dict[str, str]) -> int:
    """Stores a value that lasts for so many seconds."""
    hornbeam_erlang.state_set("kept", "value", ttl=float(query["ttl"]))
    return 200


async def kept(query: dict[str, str]) -> int:
    return 404 if hornbeam_erlang.state_get("kept") is None else 200


async def sleep(query: dict[str, str]) -> int:
    await asyncio.sleep(float(query["s"]))
    return 200


async def names(query: dict[str, str]) -> int:
    """Everything that a worker can send with a name of its own choice in it."""
    name = query["name"]
    logging.getLogger(name).warning("logged by %s", name)
    hornbeam_erlang.state_set(name, {name: name}, ttl=1)
    hornbeam_erlang.state_keys(name)
    hornbeam_erlang.subscribe(name)
    hornbeam_erlang.publish(name, [name])
    hornbeam_erlang.unsubscribe(name)
    for wrong in (
        lambda: hornbeam_erlang.call(name, name),
        lambda: hornbeam_erlang.cast(name),
        lambda: hornbeam_erlang.rpc_call(f"{name}@localhost", name, name, [name]),
        lambda: hornbeam_erlang.connect(f"{name}@localhost"),
        lambda: hornbeam_erlang.ping(f"{name}@localhost"),
    ):
        with contextlib.suppress(hornbeam_erlang.ErlangError, PermissionError):
            wrong()
    return 200


HANDLERS = {
    "/keep": keep,
    "/kept": kept,
    "/sleep": sleep,
    "/names": names,
    "/": nothing,
    "/flood": flood,
    "/hold": hold,
    "/state": state,
}
