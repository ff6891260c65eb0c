"""What bench/realtime.py loads in python-socketio: the same on its rooms."""

from __future__ import annotations

import os
from typing import Any

import socketio

sio = socketio.AsyncServer(
    async_mode="asgi",
    client_manager=socketio.AsyncRedisManager(f"unix://{os.environ['BENCH_REDIS']}"),
    ping_interval=3600,  # the load client answers no pings
    cors_allowed_origins="*",
)
app = socketio.ASGIApp(sio)


async def join(sid: str, room: str) -> str:
    """Answered when it holds."""
    await sio.enter_room(sid, room)
    return "joined"


async def echo(_sid: str, message: Any) -> Any:
    """To its sender."""
    return message


async def shout(_sid: str, message: dict[str, Any]) -> None:
    """To all of a room."""
    await sio.emit("shout", message, to=message["room"])


for handler in (join, echo, shout):
    sio.on(handler.__name__, handler)
