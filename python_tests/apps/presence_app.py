"""Channels with presence: whoever joins a room is there, by the name of its params; events change
that."""

from __future__ import annotations

import os
from typing import Any

from hornbeam_erlang.channels import Channel, Socket
from hornbeam_erlang.presence import Presence

room = Channel("room:*", presence=True)
channels = [room]


@room.on_join
async def join(topic: str, params: Any, socket: Socket) -> Any:
    await Presence(topic).atrack(socket, params["name"], params.get("meta"))
    return {"pid": os.getpid()}, socket.assign(name=params["name"])


@room.on("status")
async def status(payload: Any, socket: Socket) -> Any:
    return {"ref": await Presence(socket.topic).aupdate(socket, socket.assigns["name"], payload)}


@room.on("worker")
def worker(payload: Any, socket: Socket) -> Any:
    """The worker itself is there, until it ends."""
    return {"ref": Presence(socket.topic).track(None, "worker", {}), "pid": os.getpid()}


@room.on("track")
def track(payload: Any, socket: Socket) -> Any:
    """What is said to a mistake."""
    try:
        return {"ref": Presence(socket.topic).track(socket, payload["key"], payload["meta"])}
    except ValueError as error:
        return {"error": str(error)}


@room.on("state")
async def state(payload: Any, socket: Socket) -> Any:
    return {"there": await Presence(socket.topic).apush_state(socket)}


async def app(scope: Any, receive: Any, send: Any) -> None:
    raise NotImplementedError
