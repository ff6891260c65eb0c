"""Routes that are known by more than their own part: included routers, mounts, a mount's parameter;
and metrics of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, FastAPI, WebSocket, WebSocketException
from fastapi.responses import StreamingResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute

inner = APIRouter(prefix="/deep")


@inner.get("/{number}")
async def deep(number: int) -> int:
    """An item of a router in a router."""
    return number


outer = APIRouter(prefix="/nested")
outer.include_router(inner)
app = FastAPI()


@app.get("/items/{number}")
async def item(number: int) -> int:
    """An item."""
    return number


@app.get("/fail")
async def fail() -> int:
    """An exception."""
    raise RuntimeError("this is meant to fail")


@app.get("/sleep")
async def sleep() -> int:
    """Takes 0.2 s."""
    await asyncio.sleep(0.2)
    return 1


@app.get("/stream")
async def stream(rest: float = 0) -> StreamingResponse:
    """A response that goes on, after a rest."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"a" * 1000
        await asyncio.sleep(rest)
        yield b"b" * 1000

    return StreamingResponse(parts())


@outer.websocket("/rooms/{name}")
async def room(socket: WebSocket, name: str) -> None:
    """One that may not be entered, one that fails, and others."""
    if name == "closed":
        raise WebSocketException(code=1008)
    if name == "broken":
        raise RuntimeError("this is meant to fail")
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


async def leaf(request: Request) -> Response:
    """Below two mounts."""
    return PlainTextResponse(str(request.path_params))


async def listen(socket: WebSocket) -> None:
    """A WebSocket below two mounts."""
    await socket.accept()
    await socket.close()


app.include_router(outer)
leaves = Starlette(
    routes=[
        Route("/leaf/{n:int}", leaf),
        Route("/leaf/{n:int}/{m}", leaf),
        WebSocketRoute("/listen/{n:int}", listen),
    ]
)
app.mount("/below/{tenant}", Starlette(routes=[Mount("/more", leaves)]))
