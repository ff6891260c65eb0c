"""What the tests of the cluster ask of a node; JSON in and out.

POST /op         {"kind", "key", "args"}: one operation of cluster_state; {"result"} or {"error"}
POST /hold/NAME  {"seconds", "ttl", "timeout"}: takes the lock, keeps it so long; {"token", "lost"}
GET  /there      the nodes whose workers are there, as presence knows it on this node
GET  /leader     of the cluster's state, as this node knows it
GET  /heard      the messages of "news" that this worker got
POST /publish    a message to "news"; how many subscriptions it reached

What the holder of a lock does is written to the file LOCK_JOURNAL, which all nodes of the machine
share: one line `NAME TOKEN EVENT MONOTONIC_TIME NODE HOLDER` for "asked" (token 0), "acquired",
each "write" while it believes to hold it, and "released" or "lost".

`tick`, for a schedule, writes to the file TICKS: `DUE TASK NODE MONOTONIC_TIME`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections import deque
from typing import Any

from hornbeam_erlang import ClusterError, aio, current_task, subscription
from hornbeam_erlang.aio import cluster_state
from hornbeam_erlang.channels import Channel
from hornbeam_erlang.presence import Presence

channels = [Channel("nodes", presence=True)]
heard: deque[Any] = deque(maxlen=10_000)
JOURNAL = os.environ.get("LOCK_JOURNAL", os.devnull)
TICKS = os.environ.get("TICKS", os.devnull)
NODE = os.environ.get("NODE", "-")
WRITE_EVERY = 0.02
numbers = itertools.count()


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    said = json.loads(await body(receive) or b"null")
    status, answer = 200, None
    try:
        answer = await answered(scope["path"], said)
    except ClusterError as error:
        status, answer = 503, {"error": type(error).__name__, "text": str(error)}
    except TimeoutError as error:
        status, answer = 504, {"error": "TimeoutError", "text": str(error)}
    content = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def answered(path: str, said: Any) -> Any:
    name = path.removeprefix("/hold/")
    match path:
        case "/op":
            return {"result": await operation(said["kind"], said["key"], said["args"])}
        case "/there":
            return sorted(await Presence("nodes").alist())
        case "/heard":
            return list(heard)
        case "/publish":
            return await aio.publish("news", said)
        case "/leader":
            return (await aio.cluster_info())["leader"]
        case "/node":
            return await aio.node()
        case _ if name != path:
            return await hold(name, **said)
    raise ValueError(path)


async def operation(kind: str, key: str, args: list[Any]) -> Any:
    """A key without a value is None."""
    match kind:
        case "get":
            return await cluster_state.get(key)
        case "local":
            return await cluster_state.get(key, local=True)
        case "put":
            await cluster_state.put(key, *args)
        case "delete":
            await cluster_state.delete(key)
        case "add":
            return await cluster_state.add(key, *args)
        case "cas":
            return await cluster_state.cas(key, *args)
        case "incr":
            return await cluster_state.incr(key, *args)
        case "pop":
            return await cluster_state.pop(key)
        case _:
            raise ValueError(kind)
    return None


async def hold(name: str, seconds: float, ttl: float, timeout: float) -> dict[str, Any]:
    """Writes as often as it can, like one who does not look at the time."""
    from hornbeam_erlang.aio import lock

    holder = f"{os.getpid()}-{next(numbers)}"

    def journal(token: int, event: str) -> None:
        write_line(JOURNAL, f"{name} {token} {event} {time.monotonic():.6f} {NODE} {holder}")

    journal(0, "asked")
    async with lock(name, ttl=ttl, timeout=timeout) as token:
        journal(int(token), "acquired")
        end = time.monotonic() + seconds
        while time.monotonic() < end and not token.lost:
            journal(int(token), "write")
            await asyncio.sleep(WRITE_EVERY)
        journal(int(token), "lost" if token.lost else "released")
    return {"token": int(token), "lost": bool(token.lost)}


async def tick() -> None:
    """What is due every second."""
    task = current_task()
    assert task is not None
    due = str(task.unique).rsplit(":", 1)[1]
    write_line(TICKS, f"{due} {task.id} {NODE} {time.monotonic():.6f}")


def write_line(path: str, line: str) -> None:
    """At once, so that lines of others do not part it."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode() + b"\n")
    finally:
        os.close(file)


async def body(receive: Any) -> bytes:
    content = b""
    while True:
        message = await receive()
        content += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return content


async def lifespan(receive: Any, send: Any) -> None:
    """Listens, and is there, while the worker runs."""
    await receive()
    listening = asyncio.Event()

    async def listen() -> None:
        async with subscription("news") as messages:
            listening.set()
            async for _, message in messages:
                heard.append(message)

    task = asyncio.create_task(listen())
    await listening.wait()
    await Presence("nodes").atrack(None, await aio.node())
    await send({"type": "lifespan.startup.complete"})
    await receive()
    task.cancel()
    await send({"type": "lifespan.shutdown.complete"})
