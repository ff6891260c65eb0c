"""Says what reached the application: the scope and the body of the request, as JSON.

/seen says how many other requests came; /slow takes its time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


_seen = 0


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise RuntimeError(scope["type"])
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if scope["path"] == "/seen":
        await _answer(send, str(_seen).encode(), b"text/plain")
        return
    _count()
    if scope["path"] == "/slow":
        await asyncio.sleep(0.3)
    said = {key: _plain(value) for key, value in scope.items() if key not in ("state", "app")}
    said["body"] = body.decode("latin-1")
    await _answer(send, json.dumps(said).encode(), b"application/json")


async def _answer(send: Send, text: bytes, kind: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


def _count() -> None:
    global _seen
    _seen += 1


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
