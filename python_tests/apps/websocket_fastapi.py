"""FastAPI with topics: what the documentation shows."""

from __future__ import annotations

from fastapi import FastAPI, WebSocket

from hornbeam_erlang import publish
from hornbeam_erlang.websocket import subscribe, unsubscribe

app = FastAPI()


@app.websocket("/rooms/{room}")
async def room(websocket: WebSocket, room: str) -> None:
    """Publishes what it is sent; "leave" ends the subscription."""
    await websocket.accept()
    await subscribe(websocket, f"room:{room}")
    await websocket.send_text("joined")
    async for text in websocket.iter_text():
        if text == "leave":
            await unsubscribe(websocket, f"room:{room}")
            await websocket.send_text("left")
        elif text == "bytes":
            publish(f"room:{room}", b"\x00\x01")
        else:
            publish(f"room:{room}", text)


@app.websocket("/all")
async def every_room(websocket: WebSocket) -> None:
    """Hears all rooms."""
    await websocket.accept()
    await subscribe(websocket, "room:*")
    await websocket.send_text("joined")
    await websocket.receive_text()


@app.get("/publish/{room}/{size}")
async def publish_size(room: str, size: int) -> int:
    """A message of so many bytes."""
    return publish(f"room:{room}", "x" * size)
