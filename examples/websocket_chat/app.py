"""A chat with rooms, and the names of who is there.

    bin/hornbeam run app:app --pythonpath examples/websocket_chat --workers 2

Each message goes from `publish` to all browsers of the room without passing through Python again,
whichever worker they are connected to. Who is in a room is a counter per name in the shared state:
a name may be there in two windows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI, WebSocket
from fastapi.responses import HTMLResponse

from hornbeam_erlang import publish, state_decr, state_delete, state_incr, state_keys
from hornbeam_erlang.websocket import subscribe

PAGE = Path(__file__).with_name("page.html").read_text()

app = FastAPI()


@app.get("/")
def page() -> HTMLResponse:
    """The chat itself."""
    return HTMLResponse(PAGE)


@app.websocket("/rooms/{room}")
async def chat(websocket: WebSocket, room: str, name: str) -> None:
    """One window: what it says goes to the room."""
    await websocket.accept()
    await subscribe(websocket, f"chat:{room}")
    key = f"present:{room}:{name}"
    state_incr(key)
    tell_presence(room)
    try:
        async for text in websocket.iter_text():
            tell(room, kind="message", name=name, text=text[:1000])
    finally:
        if state_decr(key) <= 0:
            state_delete(key)
        tell_presence(room)


def tell(room: str, **event: Any) -> None:
    """To every window of the room."""
    publish(f"chat:{room}", json.dumps(event))


def tell_presence(room: str) -> None:
    """The names of the room, to every window of it."""
    prefix = f"present:{room}:"
    tell(room, kind="presence", names=sorted(key[len(prefix) :] for key in state_keys(prefix)))
