"""The time, as server-sent events."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError(f"{scope['type']} is not served here")
    await send({
        "type": "http.response.start", "status": 200,
        "headers": [(b"content-type", b"text/event-stream")],
    })  # fmt: skip
    while True:
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        event = f"data: {now}\n\n".encode()
        await send({"type": "http.response.body", "body": event, "more_body": True})
        await asyncio.sleep(1)
