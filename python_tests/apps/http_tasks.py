"""Makes the tasks of its loop itself, if MAKES_TASKS is set, and answers with the name of the
request's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    return asyncio.Task(coroutine, loop=loop, **{**options, "name": "made by the application"})


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        if "MAKES_TASKS" in os.environ:
            asyncio.get_running_loop().set_task_factory(make)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    task = asyncio.current_task()
    assert task is not None
    assert task in asyncio.all_tasks()
    async with asyncio.timeout(10) if hasattr(asyncio, "timeout") else asyncio.Lock():
        await asyncio.sleep(0)
    assert asyncio.current_task() is task
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": task.get_name().encode()})
