"""A Socket.IO server whose clients are in several workers: events tell what the manager does."""

from __future__ import annotations

import os
from typing import Any

import socketio

from hornbeam_erlang import aio, spawn
from hornbeam_erlang.socketio import AsyncManager

sio = socketio.AsyncServer(async_mode="asgi", client_manager=AsyncManager())


async def connect(sid: str, _environ: dict[str, Any], auth: Any) -> None:
    await sio.enter_room(sid, (auth or {}).get("room", "lobby"))


async def disconnect(sid: str, _reason: str) -> None:
    await aio.state_set(f"gone:{sid}", os.getpid())


async def who(sid: str) -> dict[str, Any]:
    return {"sid": sid, "pid": os.getpid()}


async def say(sid: str, room: str, data: Any) -> None:
    """To the room, but not to whoever says it."""
    await sio.emit("said", data, room=room, skip_sid=sid)


async def everybody(_sid: str, data: Any) -> None:
    await sio.emit("said", data)


async def ask(_sid: str, other: str, question: Any) -> Any:
    """The answer of another client."""
    return await sio.call("question", question, to=other, timeout=10)


async def move(_sid: str, other: str, old: str | None, new: str | None) -> None:
    """Another client leaves a room, enters one."""
    if old:
        await sio.leave_room(other, old)
    if new:
        await sio.enter_room(other, new)


async def close(_sid: str, room: str) -> None:
    await sio.close_room(room)


async def kick(_sid: str, other: str) -> None:
    await sio.disconnect(other)


async def publish(_sid: str, topic: str, message: Any) -> int:
    """As Erlang would."""
    return await aio.publish(topic, message)


async def later(_sid: str, room: str, data: Any) -> None:
    spawn("socketio_rooms:report", room, data)


async def report(room: str, data: Any) -> None:
    """A background task."""
    await AsyncManager(write_only=True).emit("said", data, room=room)


async def dropped(_sid: str) -> int:
    return int(sio.manager.dropped)


for handler in (
    connect,
    disconnect,
    who,
    say,
    everybody,
    ask,
    move,
    close,
    kick,
    publish,
    later,
    dropped,
):
    sio.on(handler.__name__, handler)

app = socketio.ASGIApp(sio)
