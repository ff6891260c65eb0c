"""What is behind the hooks in their tests: paths are behaviours, others say what came."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

PLAIN = [(b"content-type", b"text/plain"), (b"x-app", b"one"), (b"x-app", b"two")]
seen: list[str] = []
left: list[str] = []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await websocket(scope, receive, send)
        return
    assert scope["type"] == "http"
    path = scope["path"].removeprefix(scope["root_path"])
    seen.append(path)
    if path == "/boom":
        raise RuntimeError("on purpose")
    if path == "/hang":
        while (await receive())["type"] != "http.disconnect":
            pass
    elif path == "/stream":
        await stream(receive, send)
    elif path == "/early":
        await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
        await answer(send, b"late")
    elif path == "/file":
        await start(send, 200)
        await send({"type": "http.response.pathsend", "path": __file__})
    elif path.startswith("/status/"):
        await start(send, int(path[8:]))
        await send({"type": "http.response.body", "body": b""})
    elif path == "/whole":
        await answer(send, b"whole")
    elif path == "/facts":
        await answer(send, json.dumps({"seen": seen, "left": left}).encode())
    else:
        await answer(send, json.dumps(await said(scope, receive)).encode())


async def said(scope: Scope, receive: Receive) -> dict[str, Any]:
    body = b""
    while (message := await receive()).get("more_body"):
        body += message["body"]
    about = {key: scope[key] for key in ("method", "path", "scheme", "client", "root_path")}
    fields = [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]]
    query = scope["query_string"].decode()
    return {**about, "query": query, "fields": fields, "body": (body + message["body"]).decode()}


async def stream(receive: Receive, send: Send) -> None:
    await start(send, 200)
    for piece in (b"one,", b"two,", b"three"):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b""})
    if (await receive())["type"] == "http.disconnect":
        left.append("stream")


async def start(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": PLAIN})


async def answer(send: Send, body: bytes) -> None:
    await start(send, 200)
    await send({"type": "http.response.body", "body": body})


async def websocket(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    path = scope["path"].removeprefix(scope["root_path"])
    if path == "/ws/refused":
        await send({"type": "websocket.close", "code": 1000})
        return
    if path == "/ws/denied":
        kind = "websocket.http.response"
        await send({"type": f"{kind}.start", "status": 401, "headers": PLAIN})
        await send({"type": f"{kind}.body", "body": b"denied"})
        return
    await send({"type": "websocket.accept", "headers": [(b"x-app", b"accepted")]})
    user = dict(scope["headers"]).get(b"x-user", b"nobody")
    await send({"type": "websocket.send", "text": user.decode()})
    await receive()
