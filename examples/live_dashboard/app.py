"""What the server does, pushed to every open page once a second.

    bin/hornbeam run app:app --pythonpath examples/live_dashboard --workers 2

Every worker counts its requests in the shared state; one of them, whichever sets the key of the
second first, publishes the figures. The pages get them from Erlang: a thousand open pages cost the
workers nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import HTMLResponse, Response
from starlette.middleware.base import RequestResponseEndpoint

from hornbeam_erlang import publish, state_get, state_incr
from hornbeam_erlang.websocket import subscribe

PAGE = Path(__file__).with_name("page.html").read_text()
TOPIC = "figures"


async def push_figures() -> None:
    """One set of figures per second, from one of the workers."""
    requests_before = 0
    while True:
        await asyncio.sleep(1 - time.time() % 1)
        second = int(time.time())
        requests = state_get("requests", 0)
        # The first of the workers to count this second speaks for all.
        if state_incr(f"second:{second}", ttl=5) == 1:
            figures = {
                "second": second,
                "requests": requests - requests_before,
                "load": os.getloadavg()[0],
                "worker": os.getpid(),
            }
            publish(TOPIC, json.dumps(figures))
        requests_before = requests


@contextlib.asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Each worker keeps the time."""
    pushing = asyncio.create_task(push_figures())
    yield
    pushing.cancel()


app = FastAPI(lifespan=lifespan)


@app.middleware("http")
async def count(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """What the chart shows."""
    state_incr("requests")
    return await call_next(request)


@app.get("/")
def page() -> HTMLResponse:
    """The dashboard itself."""
    return HTMLResponse(PAGE)


@app.websocket("/figures")
async def figures(websocket: WebSocket) -> None:
    """An open page."""
    await websocket.accept()
    await subscribe(websocket, TOPIC)
    async for _ in websocket.iter_text():
        pass
