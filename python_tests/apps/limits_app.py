"""Rate limits in a FastAPI application of several workers."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response, WebSocket

from hornbeam_erlang.ratelimit import Hit, RateLimit, rate_limit

app = FastAPI()


@app.middleware("http")
async def tell_worker(
    request: Request, answer: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await answer(request)
    response.headers["x-worker"] = str(os.getpid())
    return response


MESSAGES = RateLimit("3/hour", name="messages")


@app.get("/depends", dependencies=[Depends(RateLimit("20/hour"))])
async def depends() -> None: ...


@app.get("/header")
def header(
    hit: Annotated[Hit, Depends(RateLimit("2/hour", key="header:x-api-key", fields=["draft-8"]))],
) -> int:
    return hit.remaining


@app.get("/path/{number}")
@rate_limit("4/hour")
def decorated(request: Request, number: int) -> int:
    return number


@app.websocket("/messages")
async def messages(socket: WebSocket) -> None:
    await socket.accept()
    async for key in socket.iter_text():
        hit = await MESSAGES.ahit(key)
        await socket.send_json([hit.allowed, hit.remaining, hit.wait])


@app.websocket("/handshake", dependencies=[Depends(RateLimit("1/hour"))])
async def handshake(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()
