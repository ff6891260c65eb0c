"""python-socketio as an ASGI application: attachments, acknowledgements, in both directions."""

from __future__ import annotations

from typing import Any

import socketio

sio = socketio.AsyncServer(async_mode="asgi", max_http_buffer_size=10_000_000)
app = socketio.ASGIApp(sio)


async def attachment(_sid: str, size: int) -> bytes:
    """The acknowledgement has an attachment of that size."""
    return b"x" * size


async def echo(_sid: str, data: Any) -> Any:
    """The acknowledgement is what came."""
    return data


async def ask(sid: str, size: int) -> int:
    """Calls the client with an attachment; the acknowledgement is the size that it has seen."""
    seen: int = await sio.call("question", b"y" * size, to=sid, timeout=20)
    return seen


for handler in (attachment, echo, ask):
    sio.on(handler.__name__, handler)
