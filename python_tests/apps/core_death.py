"""An application whose requests can be held up, and whose worker can be ended in the middle."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

from hornbeam_erlang import state_get, state_incr

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    await ROUTES[scope["path"]](scope, receive, send)


async def answer(send: Send, text: str) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})


async def pid(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, str(os.getpid()))


async def held(scope: Scope, receive: Receive, send: Send) -> None:
    """Counts itself, then waits for the key `release` of the shared state."""
    state_incr("held")
    while state_get("release") is None:  # noqa: ASYNC110 (another process sets it)
        await asyncio.sleep(0.02)
    await answer(send, str(os.getpid()))


async def held_in_stream(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    await held(scope, receive, send)


async def count(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, str(state_get("held", 0)))


async def release(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, str(state_incr("release")))


async def dies(scope: Scope, receive: Receive, send: Send) -> None:
    """Ends each worker that is asked, so a second try ends the second worker."""
    state_incr("deaths")
    os._exit(1)


async def deaths(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, str(state_get("deaths", 0)))


ROUTES: dict[str, Callable[[Scope, Receive, Send], Awaitable[None]]] = {
    f"/{function.__name__}": function
    for function in (pid, held, held_in_stream, count, release, dies, deaths)
}
