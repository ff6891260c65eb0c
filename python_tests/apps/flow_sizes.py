"""Messages and bodies of given sizes, in the order of the path: `/1,262143` sends two, one after
the other; `/1,262143;5` does so in two tasks at once. The HTTP response to `/1,262143` has these
parts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

# What has been received and not yet been looked at by GET /received.
received: list[int] = []
# Requests to /hold wait for this before they receive anything.
released = asyncio.Event()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Dispatches by the path."""
    if scope["type"] == "websocket":
        await {"/take": take}.get(scope["path"], send_messages)(scope, receive, send)
    elif scope["type"] == "http":
        other = {"/release": release, "/received": tell, "/hold": hold, "/take": take_body}
        await other.get(scope["path"], send_parts)(scope, receive, send)


def sizes(text: str) -> list[int]:
    """Of "1,262143"."""
    return [int(size) for size in text.split(",")]


def content(size: int, task: int, number: int) -> bytes:
    """As much as `size`, with its task and number in front where there is room."""
    return f"{task}.{number} ".encode().ljust(size, b"x")[:size]


async def send_messages(scope: Scope, receive: Receive, send: Send) -> None:
    """The path's messages, then "done"."""
    await receive()
    await send({"type": "websocket.accept"})

    async def one(task: int, text: str) -> None:
        for number, size in enumerate(sizes(text)):
            await send({"type": "websocket.send", "bytes": content(size, task, number)})

    tasks = scope["path"][1:].split(";")
    await asyncio.gather(*(one(task, text) for task, text in enumerate(tasks)))
    await send({"type": "websocket.send", "text": "done"})
    await receive()


async def take(scope: Scope, receive: Receive, send: Send) -> None:
    """Receives until "end", notes the sizes and sends their number."""
    await receive()
    await send({"type": "websocket.accept"})
    if scope["query_string"] == b"late":
        await released.wait()
    got = []
    while (event := await receive()).get("text") != "end":
        assert event["type"] == "websocket.receive", event
        data = event["bytes"] if event.get("bytes") is not None else event["text"]
        got.append(len(data))
    received.extend(got)
    await send({"type": "websocket.send", "text": str(len(got))})
    await receive()


async def send_parts(scope: Scope, _receive: Receive, send: Send) -> None:
    """The path's parts in a row; the last one ends the response if the query says `ends`."""
    parts = sizes(scope["path"][1:])
    ends = scope["query_string"] == b"ends"
    await send({"type": "http.response.start", "status": 200})
    for number, size in enumerate(parts):
        more = not ends or number + 1 < len(parts)
        body = content(size, 0, number)
        await send({"type": "http.response.body", "body": body, "more_body": more})
    if not ends:
        await send({"type": "http.response.body"})


async def take_body(_scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the size of the request's body."""
    size, more = 0, True
    while more:
        event = await receive()
        size += len(event["body"])
        more = event["more_body"]
    await answer(send, str(size))


async def hold(scope: Scope, receive: Receive, send: Send) -> None:
    """As /take, after GET /release."""
    await released.wait()
    await take_body(scope, receive, send)


async def release(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Lets those that wait go on."""
    released.set()
    await answer(send, "")


async def tell(_scope: Scope, _receive: Receive, send: Send) -> None:
    """What was received."""
    await answer(send, ",".join(map(str, received)))
    received.clear()


async def answer(send: Send, text: str) -> None:
    """A small response."""
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": text.encode()})
