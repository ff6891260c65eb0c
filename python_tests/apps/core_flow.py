"""Large bodies, taken and sent piece by piece; GET /progress tells how far that has got."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

progress = {"received": 0, "sent": 0, "largest": 0}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    await {"/upload": upload, "/download": download, "/progress": tell}[scope["path"]](
        scope, receive, send
    )


async def tell(scope: Scope, receive: Receive, send: Send) -> None:
    body = json.dumps({**progress, "pid": os.getpid()}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def upload(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body chunk by chunk and forgets it."""
    progress.update(received=0, largest=0)
    more = True
    while more:
        event = await receive()
        progress["received"] += len(event["body"])
        progress["largest"] = max(progress["largest"], len(event["body"]))
        more = event["more_body"]
    await tell(scope, receive, send)


async def download(scope: Scope, receive: Receive, send: Send) -> None:
    """Streams as many bytes as the query says, in pieces of 64 KiB."""
    progress.update(sent=0)
    total = int(scope["query_string"])
    piece = bytes(65536)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while progress["sent"] < total:
        size = min(len(piece), total - progress["sent"])
        await send({"type": "http.response.body", "body": piece[:size], "more_body": True})
        progress["sent"] += size
    await send({"type": "http.response.body"})
