"""What bench/websocket.py loads: echo, and one message to all who subscribed.

The same code on both sides but for the way of a published message. In Hornbeam the application
hands it to Erlang; elsewhere it goes to Redis. BENCH_REDIS is Redis's socket, BENCH_PATTERN how its
messages come back: `each`, a subscription for each WebSocket, or `shared`, one for the process,
whose messages are sent to all its WebSockets.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

TOPIC = "bench"
REDIS = os.environ.get("BENCH_REDIS", "")
SHARED = os.environ.get("BENCH_PATTERN") == "shared"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """/echo sends back; /room subscribes, and publishes what it is told."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    if scope["path"] == "/echo":
        await echo(receive, send)
    elif REDIS and SHARED:
        await shared_room(receive, send)
    elif REDIS:
        await own_room(receive, send)
    else:
        await hornbeam_room(receive, send)


async def echo(receive: Receive, send: Send) -> None:
    """The plain loop."""
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


async def hornbeam_room(receive: Receive, send: Send) -> None:
    """The subscription is Erlang's."""
    from hornbeam_erlang import publish

    while (message := await receive())["type"] == "websocket.receive":
        if message["text"] == "subscribe":
            await send({"type": "hornbeam.websocket.subscribe", "topic": TOPIC})
            await send({"type": "websocket.send", "text": "ok"})
        else:
            publish(TOPIC, message["text"])


def connect() -> Any:
    """Redis's client, with as many connections as it likes."""
    from redis.asyncio import Redis

    return Redis(unix_socket_path=REDIS, max_connections=20_000)


room: set[Send] = set()
redis: Any = None
listener: asyncio.Task[None] | None = None


async def listen(ready: asyncio.Event) -> None:
    """Redis -> every connection of this process."""
    pubsub = redis.pubsub()
    await pubsub.subscribe(TOPIC)
    ready.set()
    async for message in pubsub.listen():
        if message["type"] == "message":
            text = message["data"].decode()
            event = {"type": "websocket.send", "text": text}
            await asyncio.gather(*(member(event) for member in list(room)), return_exceptions=True)


async def own_room(receive: Receive, send: Send) -> None:
    """The subscription is this connection's own."""
    global redis
    if redis is None:
        redis = connect()
    pubsub = redis.pubsub()

    async def forward() -> None:
        async for message in pubsub.listen():
            if message["type"] == "message":
                await send({"type": "websocket.send", "text": message["data"].decode()})

    forwarding: asyncio.Task[None] | None = None
    try:
        while (message := await receive())["type"] == "websocket.receive":
            if message["text"] == "subscribe":
                await pubsub.subscribe(TOPIC)
                forwarding = asyncio.create_task(forward())
                await send({"type": "websocket.send", "text": "ok"})
            else:
                await redis.publish(TOPIC, message["text"])
    finally:
        if forwarding is not None:
            forwarding.cancel()
        await pubsub.aclose()


async def shared_room(receive: Receive, send: Send) -> None:
    """The subscription is this process's own."""
    global redis, listener
    if redis is None:
        redis = connect()
        ready = asyncio.Event()
        listener = asyncio.create_task(listen(ready))
        await ready.wait()
    try:
        while (message := await receive())["type"] == "websocket.receive":
            if message["text"] == "subscribe":
                room.add(send)
                await send({"type": "websocket.send", "text": "ok"})
            else:
                await redis.publish(TOPIC, message["text"])
    finally:
        room.discard(send)
