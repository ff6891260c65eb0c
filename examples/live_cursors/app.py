"""Everybody's pointer on one board: by WebSocket for those who move one, by server-sent events for
those who watch.

    cd examples/live_cursors && ../../bin/hornbeam run

A pointer comes to Python once, and goes to all pages without it. A page that only watches needs
nothing but EventSource: `GET /events/board:main`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from hornbeam_erlang.channels import Channel, Refused, Request, Socket, abroadcast

PAGE = Path(__file__).with_name("page.html").read_text()

app = FastAPI()
board = Channel("board:*")


@app.get("/")
@app.get("/watch")
def page() -> HTMLResponse:
    """The board."""
    return HTMLResponse(PAGE)


@board.on_join
def join(topic: str, params: Any, socket: Socket) -> Socket:
    """Whoever moves a pointer has a name and a colour."""
    name, color = params.get("name"), params.get("color")
    if not (isinstance(name, str) and isinstance(color, int)):
        raise Refused("a name and a color are needed")
    return socket.assign(name=name[:20], color=color % 360)


@board.on("move")
async def move(payload: Any, socket: Socket) -> None:
    """To all, in thousandths of the board."""
    x, y = (min(1000, max(0, int(payload[axis]))) for axis in ("x", "y"))
    await abroadcast(socket.topic, "moved", {**socket.assigns, "x": x, "y": y})


@board.on_leave
async def leave(topic: str, socket: Socket) -> None:
    """Nobody moves it any more."""
    await abroadcast(topic, "gone", {"name": socket.assigns["name"]})


@board.authorize
def authorize(topic: str, request: Request) -> bool:
    """Everybody may watch the main board."""
    return topic == "board:main"
