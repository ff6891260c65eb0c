"""One ASGI application for each thing that a lifespan can do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    text = f"hello, state {sorted(scope['state'])}"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})


def with_lifespan(lifespan: Application) -> Application:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (lifespan if scope["type"] == "lifespan" else hello)(scope, receive, send)

    return app


@with_lifespan
async def complete(scope: Scope, receive: Receive, send: Send) -> None:
    """Startup and shutdown, told by prints."""
    assert (await receive())["type"] == "lifespan.startup"
    loop = id(asyncio.get_running_loop())
    scope["state"]["loop"] = loop
    print(f"startup in {os.getpid()}, {scope['asgi']}")
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    print(f"shutdown in {os.getpid()}")
    assert loop == id(asyncio.get_running_loop())
    await send({"type": "lifespan.shutdown.complete"})


async def without(scope: Scope, receive: Receive, send: Send) -> None:
    """Knows HTTP only, as the specification's own examples do."""
    assert scope["type"] == "http", "only HTTP is spoken here"
    await hello(scope, receive, send)


@with_lifespan
async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    return


@with_lifespan
async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    raise LookupError("raised at start-up")


@with_lifespan
async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "the database is not there"})


@with_lifespan
async def fails_without_message(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed"})


@with_lifespan
async def returns_after_startup(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})


@with_lifespan
async def raises_after_startup(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    raise LookupError("raised after start-up")


@with_lifespan
async def raises_at_shutdown(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    raise LookupError("raised at shutdown")


@with_lifespan
async def fails_at_shutdown(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.failed", "message": "could not say goodbye"})


@with_lifespan
async def wrong_message(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.nonsense"})


@with_lifespan
async def never_ready(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await asyncio.sleep(3600)


@with_lifespan
async def never_ends(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await asyncio.sleep(3600)
