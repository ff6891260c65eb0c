"""Routes that are known by more than their own part: included routers, mounts, a mount's parameter;
and metrics of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, FastAPI
from fastapi.responses import StreamingResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

inner = APIRouter(prefix="/deep")


@inner.get("/{number}")
async def deep(number: int) -> int:
    """An item of a router in a router."""
    return number


outer = APIRouter(prefix="/nested")
outer.include_router(inner)
app = FastAPI()
app.include_router(outer)


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


async def leaf(request: Request) -> Response:
    """Below two mounts."""
    return PlainTextResponse(str(request.path_params))


leaves = Starlette(routes=[Route("/leaf/{n:int}", leaf), Route("/leaf/{n:int}/{m}", leaf)])
app.mount("/below/{tenant}", Starlette(routes=[Mount("/more", leaves)]))
