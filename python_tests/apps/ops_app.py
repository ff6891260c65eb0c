"""What the tests of operation ask of an application: to be slow, to block, to grow, to fail."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import hornbeam_erlang
from hornbeam_worker import logs

logger = logging.getLogger("ops_app")
logger.setLevel(logging.INFO)
logger.addHandler(logs.handler())
hoard: list[bytearray] = []


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    if scope["type"] == "websocket":
        await (subscriber if scope["path"] == "/topic" else echo)(receive, send)
        return
    query = {key: values[0] for key, values in parse_qs(scope["query_string"].decode()).items()}
    handler = HANDLERS.get(scope["path"], pid)
    await handler(scope, query, receive, send)


async def lifespan(receive: Any, send: Any) -> None:
    await receive()
    if (marker := os.environ.get("OPS_FAIL_WHEN")) and os.access(marker, os.F_OK):
        await send({"type": "lifespan.startup.failed", "message": "told to fail"})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    if folder := os.environ.get("OPS_SHUTDOWN_DIR"):
        (Path(folder) / f"shutdown-{os.getpid()}").touch()
    await send({"type": "lifespan.shutdown.complete"})


async def echo(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event.get("text") or ""})
    if folder := os.environ.get("OPS_SHUTDOWN_DIR"):
        (Path(folder) / f"disconnect-{event.get('code')}-{time.monotonic_ns()}").touch()


async def subscriber(receive: Any, send: Any) -> None:
    """Erlang writes what is published to the client; nothing of it passes here."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "hornbeam.websocket.subscribe", "topic": "news"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def count(scope: Any, query: dict[str, str], receive: Any, send: Any) -> None:
    await respond(send, str(hornbeam_erlang.state_incr("count")))


async def publish(scope: Any, query: dict[str, str], receive: Any, send: Any) -> None:
    reached = hornbeam_erlang.publish("news", "news")
    await asyncio.sleep(0.01)
    await respond(send, str(reached))


async def respond(send: Any, text: str) -> None:
    body = text.encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def pid(scope: Any, query: dict[str, str], receive: Any, send: Any) -> None:
    await respond(send, str(os.getpid()))


async def version(scope: Any, query: dict[str, str], receive: Any, send: Any) -> None:
    await respond(send, os.environ.get("OPS_VERSION", "none"))


async def sleep(scope: Any, query: dict[str, str], receive: Any, send: Any) -> None:
    await asyncio.sleep(float(query["s"]))
    await respond(send, str(os.getpid()))


async def wait(scope: Any, query: dict[str, str], receive: Any, send: Any) -> None:
    """Until there is a file."""
    while not os.access(query["until"], os.F_OK):  # noqa: ASYNC110  (a file tells)
        await asyncio.sleep(0.02)
    await respond(send, str(os.getpid()))


async def block(scope: Any, query: dict[str, str], receive: Any, send: Any) -> None:
    time.sleep(float(query["s"]))  # noqa: ASYNC251  (blocking the loop is the purpose)
    await respond(send, str(os.getpid()))


async def burn(scope: Any, query: dict[str, str], receive: Any, send: Any) -> None:
    """CPU time in threads: the loop shares the interpreter's lock with them."""
    until = time.monotonic() + float(query["s"])

    def spin() -> int:
        count = 0
        while time.monotonic() < until:
            count += 1
        return count

    await asyncio.gather(*(asyncio.to_thread(spin) for _ in range(8)))
    await respond(send, str(os.getpid()))


async def grow(scope: Any, query: dict[str, str], receive: Any, send: Any) -> None:
    hoard.append(bytearray(os.urandom(1024) * int(query["kib"])))
    await respond(send, str(os.getpid()))


async def log(scope: Any, query: dict[str, str], receive: Any, send: Any) -> None:
    logger.info("note %s", query["text"])
    await respond(send, str(scope["extensions"].get("hornbeam.request_id", {}).get("id")))


async def headers(scope: Any, query: dict[str, str], receive: Any, send: Any) -> None:
    await respond(send, "\n".join(f"{k.decode()}: {v.decode()}" for k, v in scope["headers"]))


async def upload(scope: Any, query: dict[str, str], receive: Any, send: Any) -> None:
    size = 0
    while True:
        event = await receive()
        size += len(event.get("body", b""))
        if not event.get("more_body"):
            break
    await respond(send, str(size))


async def events(scope: Any, query: dict[str, str], receive: Any, send: Any) -> None:
    """Server-sent events without an end; it never looks for a disconnect."""
    content = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": content})
    try:
        while True:
            body = f"data: {os.getpid()}\n\n".encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})
            await asyncio.sleep(0.05)
    except OSError:
        if folder := os.environ.get("OPS_SHUTDOWN_DIR"):
            (Path(folder) / f"gone-{os.getpid()}-{time.monotonic_ns()}").touch()


async def garbage(scope: Any, query: dict[str, str], receive: Any, send: Any) -> None:
    """Writes what is no frame into the pipe to the BEAM."""
    for thing in gc.get_objects():
        if type(thing).__name__ == "Transport" and hasattr(thing, "_write_fd"):
            os.write(thing._write_fd, b"\xff" * 64)
    await asyncio.sleep(60)


async def fail(scope: Any, query: dict[str, str], receive: Any, send: Any) -> None:
    raise RuntimeError("on demand")


HANDLERS = {
    "/count": count,
    "/publish": publish,
    "/version": version,
    "/sleep": sleep,
    "/wait": wait,
    "/block": block,
    "/burn": burn,
    "/grow": grow,
    "/log": log,
    "/headers": headers,
    "/upload": upload,
    "/events": events,
    "/fail": fail,
    "/garbage": garbage,
}
