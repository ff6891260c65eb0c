"""The part of the site that is not a file: a plain ASGI application below /api."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def app(scope: Scope, _receive: Receive, send: Send) -> None:
    """Says which path was asked for."""
    if scope["type"] != "http":
        raise RuntimeError(f"{scope['type']} is not served")
    body = json.dumps({"path": scope["path"]}).encode()
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
