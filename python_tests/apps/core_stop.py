"""An application for stops: says when it ends, and has slow and endless answers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["path"] == "/slow":
        await slow(send)
    else:
        await endless(send)


async def lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print(f"shutdown in {os.getpid()}")
    await send({"type": "lifespan.shutdown.complete"})


async def slow(send: Send) -> None:
    """Answers after three quarters of a second."""
    print("slow begins")
    await asyncio.sleep(0.75)
    print("slow ends")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"slow"})


async def endless(send: Send) -> None:
    """Ticks until `send` says that the client has gone."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    try:
        while True:
            await send({"type": "http.response.body", "body": b"tick\n", "more_body": True})
            await asyncio.sleep(0.02)
    except OSError:
        print("the stream ends")
        raise
