"""Litestar: the routes that test_frameworks asks for."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from litestar import Litestar, Request, WebSocket, get, post, websocket
from litestar.background_tasks import BackgroundTask
from litestar.exceptions import HTTPException
from litestar.response import File, Response, Stream

done: list[str] = []


async def start(app: Litestar) -> None:
    app.state.started = "yes"


async def remember(name: str) -> None:
    done.append(name)


@get("/items/{number:int}")
async def item(
    number: int, request: Request[Any, Any, Any], q: str | None = None
) -> dict[str, Any]:
    return {"id": number, "q": q, "started": request.app.state.started, "url": str(request.url)}


@post("/body")
async def body(request: Request[Any, Any, Any]) -> dict[str, int]:
    return {"size": len(await request.body())}


@post("/upload", status_code=200)
async def upload(request: Request[Any, Any, Any]) -> dict[str, int]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return {"size": size}


@get("/stream")
async def stream() -> Stream:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d\n" % number
            await asyncio.sleep(0)

    return Stream(pieces(), media_type="text/plain")


@get("/background")
async def background(name: str) -> Response[str]:
    return Response("later", background=BackgroundTask(remember, name))


@get("/finished")
async def finished() -> list[str]:
    return done


@get("/file")
async def file() -> File:
    return File(Path(os.environ["FRAMEWORK_FILE"]))


@get("/error")
async def error() -> None:
    raise RuntimeError("a mistake in the application")


@get("/refused")
async def refused() -> None:
    raise HTTPException(status_code=418, detail="teapot")


@get("/cookies")
async def cookies() -> Response[str]:
    response = Response("two")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


@websocket("/rooms/{name:str}")
async def room(name: str, socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    async for text in socket.iter_data("text"):
        await socket.send_text(text)


app = Litestar(
    [room, item, body, upload, stream, background, finished, file, error, refused, cookies],
    on_startup=[start],
    request_max_body_size=None,
)
