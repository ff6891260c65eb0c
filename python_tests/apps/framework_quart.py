"""Quart: the routes that test_frameworks asks for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from quart import Quart, Response, abort, current_app, request, send_file, websocket

app = Quart(__name__)
done: list[str] = []
state: dict[str, str] = {}


@app.before_serving
async def start() -> None:
    state["started"] = "yes"


@app.get("/items/<int:number>")
async def item(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "q": request.args.get("q"),
        "started": state["started"],
        "url": request.url,
    }


@app.post("/body")
async def body() -> tuple[dict[str, int], int]:
    return {"size": len(await request.get_data())}, 201


@app.post("/upload")
async def upload() -> dict[str, int]:
    size = 0
    async for chunk in request.body:
        size += len(chunk)
    return {"size": size}


@app.get("/stream")
async def stream() -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d\n" % number
            await asyncio.sleep(0)

    return Response(pieces(), content_type="text/plain")


@app.get("/background")
async def background() -> str:
    name = request.args["name"]

    async def later() -> None:
        done.append(name)

    current_app.add_background_task(later)
    return "later"


@app.get("/finished")
async def finished() -> list[str]:
    return done


@app.get("/file")
async def file() -> Any:
    return await send_file(os.environ["FRAMEWORK_FILE"])


@app.get("/error")
async def error() -> str:
    raise RuntimeError("a mistake in the application")


@app.get("/refused")
async def refused() -> str:
    abort(418)


@app.get("/cookies")
async def cookies() -> Response:
    response = Response("two")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


@app.websocket("/rooms/<name>")
async def room(name: str) -> None:
    while True:
        await websocket.send(await websocket.receive())
