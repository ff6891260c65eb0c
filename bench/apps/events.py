"""Server-sent events, for the benchmarks: GET /events?COUNT&SECONDS sends one each so many seconds.

The events are those of a chat completion that is streamed.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    # As everybody does who has nginx in front: it would hold them back otherwise.
    (b"x-accel-buffering", b"no"),
]
CHUNK = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1767225600,
    "model": "bench",
    "choices": [{"index": 0, "delta": {"content": " hornbeam"}, "finish_reason": None}],
}


async def app(
    scope: dict[str, Any], receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]
) -> None:
    """The stream; a short one at every other path, for the warm-up."""
    assert scope["type"] == "http"
    count, interval = 1, 0.0
    if scope["path"] == "/events":
        words = scope["query_string"].decode().split("&")
        count, interval = int(words[0]), float(words[1])
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    for number in range(count):
        if number:
            await asyncio.sleep(interval)
        event = f"data: {json.dumps(CHUNK)}\n\n".encode()
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
