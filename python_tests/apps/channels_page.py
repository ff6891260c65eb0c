"""An empty page and the clients of channels, beside the channels of channel_protocol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from channel_protocol import answered, connect, room  # type: ignore[import-not-found]

from hornbeam_erlang.channels import Channel, Channels, Refused, Request, Socket, abroadcast
from hornbeam_erlang.presence import Presence

JAVASCRIPT = Path(__file__).resolve().parents[2] / "clients" / "javascript"
FILES = {
    "/hornbeam.js": JAVASCRIPT / "dist" / "hornbeam.js",
    "/phoenix.mjs": JAVASCRIPT / "node_modules" / "phoenix" / "priv" / "static" / "phoenix.mjs",
}
PAGE = b"<!doctype html><title>channels</title>"

lobby = Channel("lobby:*", history=5, presence=True)


@lobby.on_join
async def join(topic: str, params: Any, socket: Socket) -> None:
    """Whoever has a name is there by it."""
    if params.get("name"):
        await Presence(topic).atrack(socket, params["name"], {"status": "here"})


@lobby.on("say")
async def say(payload: Any, socket: Socket) -> dict[str, Any]:
    """To all, and kept."""
    await abroadcast(socket.topic, "said", payload)
    return {}


@lobby.authorize
def authorize(topic: str, request: Request) -> None:
    """Everybody may listen but who says no."""
    if request.query.get("token") == "no":
        raise Refused({"reason": "members only"})


channels = Channels(room, lobby, connect=connect)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """`/`, the two files, and the paths of channel_protocol."""
    if scope["type"] != "http":
        return
    path = scope["path"]
    if path == "/":
        kind, body = b"text/html", PAGE
    elif path in FILES:
        kind, body = b"text/javascript", FILES[path].read_bytes()
    else:
        kind, body = b"application/json", json.dumps(await answered(path.split("/")[1:])).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": body})
