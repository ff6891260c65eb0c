"""What bench/chaos.py asks of an application: answers that can be checked, and the faults.

Beside the paths of ops_app and many_app (a WebSocket to /topics/N joins N topics):

GET /              the query, as it came
POST /body         length and CRC of the body
GET /download?N    N bytes, in pieces, that `pattern` knows
GET /numbers       an event stream that counts
WebSocket /        echoes text and bytes
POST /flood?MB     logs so much
POST /frames?SEED  writes bytes into the pipe to the BEAM that are no frames, or not this worker's
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import zlib
from typing import Any

import many_app  # type: ignore[import-not-found]
import ops_app  # type: ignore[import-not-found]
from worker_hostile import pipe  # type: ignore[import-not-found]

logger = logging.getLogger("chaos_app")
PIECE = 50_000


def pattern(size: int) -> bytes:
    """Bytes in which a piece that is lost or comes twice shows."""
    return b"".join(b"%015d\n" % number for number in range(size // 16 + 1))[:size]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "websocket" and scope["path"] == "/":
        await echo(receive, send)
    elif scope["type"] == "websocket" and scope["path"].startswith("/topics/"):
        await many_app.app({**scope, "path": scope["path"][7:]}, receive, send)
    elif scope["type"] == "http" and scope["path"] in HANDLERS:
        await HANDLERS[scope["path"]](scope["query_string"], receive, send)
    else:
        await ops_app.app(scope, receive, send)


async def echo(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", **{k: event.get(k) for k in ("text", "bytes")}})


async def query(text: bytes, receive: Any, send: Any) -> None:
    await ops_app.respond(send, text.decode())


async def body(text: bytes, receive: Any, send: Any) -> None:
    size, check, more = 0, 0, True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        piece, more = event.get("body", b""), event.get("more_body", False)
        size, check = size + len(piece), zlib.crc32(piece, check)
    await ops_app.respond(send, f"{size} {check}")


async def download(text: bytes, receive: Any, send: Any) -> None:
    data = pattern(int(text))
    headers = [(b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for at in range(0, len(data), PIECE):
        piece = data[at : at + PIECE]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


async def numbers(text: bytes, receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    number = 0
    while True:
        event = b"data: %d\n\n" % number
        await send({"type": "http.response.body", "body": event, "more_body": True})
        number += 1
        await asyncio.sleep(0.02)


async def flood(text: bytes, receive: Any, send: Any) -> None:
    line = "x" * 1000
    for _ in range(int(text) * 100):
        for _ in range(10):
            logger.warning(line)
        await asyncio.sleep(0)
    await ops_app.respond(send, "logged")


async def frames(text: bytes, receive: Any, send: Any) -> None:
    """A frame is its length (4 bytes), its type and its stream (4 bytes), then the payload."""
    rng = random.Random(int(text))
    size = rng.choice([5, 6, 1000, 0, 4, 2**26, 2**31])
    head = size.to_bytes(4, "big") + rng.randbytes(1) + rng.randbytes(4)
    os.write(pipe(), rng.choice([head, head + rng.randbytes(size % 2000), rng.randbytes(200)]))
    # What is no whole frame ends with the process, else by what the next frame makes of it.
    await asyncio.sleep(0.2)
    os._exit(1)


HANDLERS = {
    "/": query,
    "/body": body,
    "/download": download,
    "/numbers": numbers,
    "/flood": flood,
    "/frames": frames,
}
