"""What bench/realtime.py loads in Hornbeam: rooms, and one who shouts into them."""

from __future__ import annotations

from typing import Any

from hornbeam_erlang.channels import Channel, Reply, Socket, abroadcast
from hornbeam_erlang.presence import Presence

rooms = Channel("room:*")
members = Channel("member:*", presence=True)


@rooms.on("echo")
async def echo(payload: Any, _socket: Socket) -> Reply:
    """To its sender."""
    return Reply(payload)


@rooms.on("shout")
async def shout(payload: Any, _socket: Socket) -> None:
    """To all of a room."""
    await abroadcast(f"room:{payload['room']}", "shout", payload)


@rooms.on("relay")
async def relay(payload: Any, socket: Socket) -> None:
    """To all of its sender's room."""
    await abroadcast(socket.topic, "relay", payload)


@members.on_join
def join(topic: str, _params: Any, socket: Socket) -> None:
    """Each is a member of its own."""
    Presence(topic).track(socket, socket.token.hex()[:32], {"at": 0})


channels = [rooms, members]


async def app(scope: dict[str, Any], _receive: Any, send: Any) -> None:
    """Nothing but channels is asked for."""
    if scope["type"] != "http":
        raise RuntimeError("there is no lifespan")
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body"})
