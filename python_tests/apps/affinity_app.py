"""Says which process has answered, in every way in which an application can answer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

PID = str(os.getpid()).encode()
Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
OWN = [(b"set-cookie", b"mine=1"), (b"set-cookie", b"mine=2"), (b"x-pid", PID)]


async def start(send: Send, status: int = 200) -> None:
    """The head of a response, with cookies of the application's own."""
    await send({"type": "http.response.start", "status": status, "headers": OWN})


async def http(path: str, send: Send) -> None:
    """The last segment of the path says how."""
    if path.endswith("/file"):
        message = {"type": "http.response.start", "status": 200, "headers": OWN}
        await send(message)
        await send({"type": "http.response.pathsend", "path": __file__})
        return
    if path.endswith("/fail"):
        raise RuntimeError("as asked")
    if path.endswith("/hold"):
        await asyncio.Event().wait()
    await start(send, 404 if path.endswith("/missing") else 200)
    if path.endswith("/stream"):
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": PID, "more_body": True})
        await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})
    else:
        await send({"type": "http.response.body", "body": PID})


async def websocket(path: str, receive: Receive, send: Send) -> None:
    """Accepts and says who it is, or denies."""
    await receive()
    if path.endswith("/denied"):
        await send({"type": "websocket.http.response.start", "status": 401, "headers": OWN})
        await send({"type": "websocket.http.response.body", "body": PID})
    elif path.endswith("/closed"):
        await send({"type": "websocket.close"})
    else:
        await send({"type": "websocket.accept", "headers": OWN})
        await send({"type": "websocket.send", "text": PID.decode()})
        await receive()


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """An ASGI application."""
    if scope["type"] == "http":
        await http(scope["path"], send)
    elif scope["type"] == "websocket":
        await websocket(scope["path"], receive, send)
    else:
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
