"""Subscribes to very many topics, for python_tests/services/test_many_topics.py.

WebSocket /N?PREFIX   subscribes to PREFIX0 ... of N topics, says "joined", and leaves them all at
                      once when the client goes
GET /publish?TOPIC    how many subscriptions it reached
GET /                 the worker's process id
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import hornbeam_erlang

# Topics of one task.
PART = 500


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The paths above."""
    if scope["type"] == "websocket":
        await websocket(scope, receive, send)
        return
    text = str(os.getpid())
    if scope["path"] == "/publish":
        text = str(hornbeam_erlang.publish(scope["query_string"].decode(), None))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})


async def websocket(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Lives as long as its client, and so do its subscriptions."""
    await receive()
    await send({"type": "websocket.accept"})
    prefix = scope["query_string"].decode()
    topics = [f"{prefix}{number}" for number in range(int(scope["path"][1:]))]
    joined = asyncio.Semaphore(0)
    # Side by side, which is far quicker than one after the other.
    tasks = [
        asyncio.create_task(hold(topics[at : at + PART], joined))
        for at in range(0, len(topics), PART)
    ]
    for _ in tasks:
        await joined.acquire()
    await send({"type": "websocket.send", "text": "joined"})
    while (await receive())["type"] != "websocket.disconnect":
        pass
    for task in tasks:
        task.cancel()


async def hold(topics: list[str], joined: asyncio.Semaphore) -> None:
    """Subscribes until it is cancelled."""
    async with hornbeam_erlang.subscription(*topics):
        joined.release()
        await asyncio.Event().wait()
