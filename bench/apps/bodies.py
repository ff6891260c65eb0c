"""Bodies of all kinds through a raw ASGI application, for the benchmarks.

/           a hello
/up         POST: how many bytes have come
/down?N     N bytes, in pieces of 64 KiB
/rows?N     N rows of 50 bytes of CSV, each with a send() of its own
/echo       POST: JSON, parsed and written again
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

PIECE = bytes(64 * 1024)
ROW = b"2026-01-01,hornbeam,0000000001,12.50,in stock,abc\n"


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """By the path."""
    assert scope["type"] == "http"
    number = int(scope["query_string"] or 0)
    match scope["path"]:
        case "/up":
            await answer(send, b"%d" % await count(receive))
        case "/down":
            await start(send, (b"content-length", b"%d" % number))
            for begin in range(0, number, len(PIECE)):
                await piece(send, PIECE[: number - begin])
            await piece(send, b"", more=False)
        case "/rows":
            await start(send)
            for _ in range(number):
                await piece(send, ROW)
            await piece(send, b"", more=False)
        case "/echo":
            body = json.dumps(json.loads(await read(receive)), separators=(",", ":"))
            await answer(send, body.encode())
        case _:
            await answer(send, b"Hello, world!")


async def count(receive: Receive) -> int:
    """The length of the body, of which nothing is kept."""
    total, more = 0, True
    while more:
        message = await receive()
        total += len(message.get("body", b""))
        more = message.get("more_body", False)
    return total


async def read(receive: Receive) -> bytes:
    """The body."""
    pieces, more = [], True
    while more:
        message = await receive()
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(pieces)


async def answer(send: Send, body: bytes) -> None:
    """A whole response."""
    await start(send, (b"content-length", b"%d" % len(body)))
    await piece(send, body, more=False)


async def start(send: Send, *fields: tuple[bytes, bytes]) -> None:
    """Its head."""
    headers = [(b"content-type", b"application/octet-stream"), *fields]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def piece(send: Send, body: bytes, more: bool = True) -> None:
    """Some of its body."""
    await send({"type": "http.response.body", "body": body, "more_body": more})
