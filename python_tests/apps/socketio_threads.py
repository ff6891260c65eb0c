"""A Socket.IO server of threads, by WSGI."""

from __future__ import annotations

import os
from typing import Any

import socketio

from hornbeam_erlang.socketio import Manager

sio = socketio.Server(async_mode="threading", client_manager=Manager())


def connect(sid: str, _environ: dict[str, Any], _auth: Any) -> None:
    sio.enter_room(sid, "lobby")


def who(sid: str) -> dict[str, Any]:
    return {"sid": sid, "pid": os.getpid()}


def say(_sid: str, room: str, data: Any) -> None:
    sio.emit("said", data, room=room)


def ask(_sid: str, other: str, question: Any) -> Any:
    return sio.call("question", question, to=other, timeout=10)


def kick(_sid: str, other: str) -> None:
    sio.disconnect(other)


def _not_found(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("404 Not Found", [])
    return [b""]


for handler in (connect, who, say, ask, kick):
    sio.on(handler.__name__, handler)

app = socketio.WSGIApp(sio, _not_found)
