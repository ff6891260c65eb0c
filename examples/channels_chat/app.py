"""A chat on channels: who is there and who is typing, and nothing lost when a connection breaks.

cd examples/channels_chat && ../../bin/hornbeam run
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from hornbeam_erlang.channels import (
    Channel,
    Channels,
    Connected,
    Refused,
    Request,
    Socket,
    abroadcast,
    abroadcast_from,
)
from hornbeam_erlang.presence import Presence

PAGE = Path(__file__).with_name("page.html").read_text()

app = FastAPI()
# A client that comes back within the last 100 messages of its room has missed none of them.
room = Channel("room:*", history=100, presence=True)


@app.get("/")
def page() -> HTMLResponse:
    """The chat itself."""
    return HTMLResponse(PAGE)


def connect(request: Request) -> Connected:
    """Once for each connection. Here a session or a token would be looked at."""
    name = request.query.get("name", "").strip()[:30]
    if not name:
        raise Refused("a name is needed")
    return Connected({"name": name}, id=f"user:{name}")


@room.on_join
async def join(topic: str, topic_params: dict[str, str], params: Any, socket: Socket) -> Any:
    """Whoever has joined is there by his name, in as many windows as he likes."""
    if topic_params["room_id"] == "staff":
        raise Refused("this room is closed")
    await Presence(topic).atrack(socket, socket.assigns["name"], {"window": socket.join_ref})
    return {"room": topic_params["room_id"]}


@room.on("say")
async def say(payload: Any, socket: Socket) -> dict[str, Any]:
    """To all, and kept."""
    text = str(payload.get("text", ""))[:1000]
    if not text.strip():
        raise Refused("there is nothing to say")
    await abroadcast(socket.topic, "said", {"name": socket.assigns["name"], "text": text})
    return {}


@room.on("typing")
async def typing(payload: Any, socket: Socket) -> None:
    """To the others."""
    await abroadcast_from(socket, "typing", {"name": socket.assigns["name"]})


channels = Channels(room, connect=connect)
