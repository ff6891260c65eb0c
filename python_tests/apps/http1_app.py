"""An application for attacks on HTTP/1: /NAME runs `NAME`; what it notices is shown by /facts.

`most` is the largest number of requests of one connection that ran at the same time, the facts'
own not counted. /hold answers when /release has been asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from hornbeam_erlang import aio

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

PIECE = bytes(65_536)
running: Counter[str] = Counter()
begun: Counter[str] = Counter()
facts: dict[str, Any] = {"most": 0, "gone": 0, "body": 0, "texts": 0}
released = asyncio.Event()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    name = scope["path"].strip("/")
    if scope["type"] == "websocket":
        await websocket(scope["query_string"].decode(), receive, send)
    elif name in ("facts", "release", "vm"):
        await own(name, send)
    else:
        client = str(scope["client"])
        running[client] += 1
        begun[name] += 1
        facts["most"] = max(facts["most"], running[client])
        try:
            await ROUTES[name](scope["query_string"].decode(), receive, send)
        except OSError:
            facts["gone"] += 1
        finally:
            running[client] -= 1


async def own(name: str, send: Send) -> None:
    if name == "vm":
        # Its first line opens the VM's port to standard error, which then is there for good.
        logging.getLogger("http1_app").warning("looked at")
        await answer(send, json.dumps(await aio.call("vm")).encode())
    elif name == "release":
        released.set()
        await answer(send, b"released")
    else:
        now = {**facts, "running": sum(running.values()), "begun": dict(begun)}
        await answer(send, json.dumps(now).encode())


async def answer(send: Send, body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def take(receive: Receive) -> int:
    """The whole body; OSError when the client leaves before."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise OSError("the client has gone")
        size += len(message["body"])
        facts["body"] = size
        if not message["more_body"]:
            return size


async def hello(query: str, receive: Receive, send: Send) -> None:
    await answer(send, query.encode() or b"hello")


async def hold(query: str, receive: Receive, send: Send) -> None:
    await released.wait()
    await answer(send, b"held")


async def turn(query: str, receive: Receive, send: Send) -> None:
    """How many requests for this there were before."""
    await answer(send, b"%d" % (begun["turn"] - 1))


async def sleep(query: str, receive: Receive, send: Send) -> None:
    """Milliseconds."""
    await asyncio.sleep(int(query) / 1000)
    await answer(send, b"slept")


async def big(query: str, receive: Receive, send: Send) -> None:
    """So many megabytes."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(int(query) * 16):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def read(query: str, receive: Receive, send: Send) -> None:
    await answer(send, str(await take(receive)).encode())


async def later(query: str, receive: Receive, send: Send) -> None:
    """Reads the body after so many milliseconds."""
    await asyncio.sleep(int(query) / 1000)
    await answer(send, str(await take(receive)).encode())


async def unread(query: str, receive: Receive, send: Send) -> None:
    await answer(send, b"unread")


async def early(query: str, receive: Receive, send: Send) -> None:
    """The start and a piece, and the rest when the body is complete."""
    headers = [(b"content-length", query.encode())] if query else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    await take(receive)
    await send({"type": "http.response.body", "body": b"ended"})


async def fails(query: str, receive: Receive, send: Send) -> None:
    """In the middle of its response."""
    headers = [(b"content-length", b"10")] if query == "length" else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    raise LookupError("in the middle")


async def leave(query: str, receive: Receive, send: Send) -> None:
    """Streams until the client has gone."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})


async def wait(query: str, receive: Receive, send: Send) -> None:
    """Until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    facts["gone"] += 1


async def file(query: str, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.pathsend", "path": query})


async def hints(query: str, receive: Receive, send: Send) -> None:
    """Early hints, then a response with trailers."""
    await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
    start = {"type": "http.response.start", "status": 200, "headers": [], "trailers": True}
    await send(start)
    await send({"type": "http.response.body", "body": b"hinted"})
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})


async def websocket(query: str, receive: Receive, send: Send) -> None:
    """Accepts after so many milliseconds and echoes texts."""
    await receive()
    await asyncio.sleep(int(query or "0") / 1000)
    await send({"type": "websocket.accept"})
    with contextlib.suppress(OSError):
        while (message := await receive())["type"] == "websocket.receive":
            facts["texts"] += 1
            await send({"type": "websocket.send", "text": message["text"]})
    facts["gone"] += 1


ROUTES = {
    function.__name__: function
    for function in (
        hello, hold, turn, sleep, big, read, later, unread, early, fails, leave, wait, file, hints,
    )
}  # fmt: skip
