"""Starlette: the routes that test_frameworks asks for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

done: list[str] = []


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, str]]:
    yield {"started": "yes"}


async def item(request: Request) -> Response:
    return JSONResponse(
        {
            "id": request.path_params["number"],
            "q": request.query_params.get("q"),
            "started": request.state.started,
            "url": str(request.url),
        }
    )


async def body(request: Request) -> Response:
    return JSONResponse({"size": len(await request.body())}, status_code=201)


async def upload(request: Request) -> Response:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return JSONResponse({"size": size})


async def stream(_request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d\n" % number
            await asyncio.sleep(0)

    return StreamingResponse(pieces(), media_type="text/plain")


async def background(request: Request) -> Response:
    task = BackgroundTask(done.append, request.query_params["name"])
    return PlainTextResponse("later", background=task)


async def finished(_request: Request) -> Response:
    return JSONResponse(done)


async def file(_request: Request) -> Response:
    return FileResponse(os.environ["FRAMEWORK_FILE"])


async def error(_request: Request) -> Response:
    raise RuntimeError("a mistake in the application")


async def refused(_request: Request) -> Response:
    raise HTTPException(status_code=418, detail="teapot")


async def cookies(_request: Request) -> Response:
    response = PlainTextResponse("two")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


async def room(websocket: WebSocket) -> None:
    """What it is sent, until the client has enough."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/items/{number:int}", item),
        Route("/body", body, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/stream", stream),
        Route("/background", background),
        Route("/finished", finished),
        Route("/file", file),
        Route("/error", error),
        Route("/refused", refused),
        Route("/cookies", cookies),
        WebSocketRoute("/rooms/{name}", room),
    ],
)
