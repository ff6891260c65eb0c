"""A FastAPI application with shared state in Erlang.

GET  /                 counts views, across all workers
GET  /items/{item_id}  reads an item from ETS, fetching and storing it the first time
POST /items/           stores an item under the next id
GET  /events           server-sent events
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from hornbeam_erlang import state_get, state_incr, state_set

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
logger = logging.getLogger("fastapi_app")


class Item(BaseModel):
    """What a client sends to make an item."""

    name: str
    price: float


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Loads a catalogue at the start and releases it at the end."""
    catalogue = {
        number: {"name": f"item {number}", "price": number * 1.5} for number in range(1, 101)
    }
    logger.info("catalogue loaded: %d items", len(catalogue))
    yield {"catalogue": catalogue}
    catalogue.clear()
    logger.info("catalogue released")


app = FastAPI(title="Hornbeam example", lifespan=lifespan)


@app.middleware("http")
async def response_time(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Adds `x-response-time` in seconds."""
    start = time.perf_counter()
    response = await call_next(request)
    response.headers["x-response-time"] = f"{time.perf_counter() - start:.6f}"
    return response


@app.get("/")
async def root() -> dict[str, Any]:
    """Counts this view; the counter is shared by all workers."""
    return {"message": "Hello from Hornbeam", "views": state_incr("api_views")}


@app.get("/items/{item_id}")
async def read_item(item_id: int, request: Request) -> dict[str, Any]:
    """An item from ETS, or from the catalogue the first time."""
    item = state_get(f"item:{item_id}")
    if item is not None:
        return {"item_id": item_id, "source": "ets", **item}
    fetched = request.state.catalogue.get(item_id)
    if fetched is None:
        raise HTTPException(status_code=404, detail="no such item")
    state_set(f"item:{item_id}", fetched)
    return {"item_id": item_id, "source": "catalogue", **fetched}


@app.post("/items/", status_code=201)
def create_item(item: Item) -> dict[str, Any]:
    """Stores an item. A plain function: FastAPI runs it in a thread."""
    item_id = 1000 + state_incr("item_id_seq")
    state_set(f"item:{item_id}", item.model_dump())
    return {"item_id": item_id, **item.model_dump()}


@app.get("/events")
async def events(count: int = 5, interval: float = 0.2) -> StreamingResponse:
    """Server-sent events: `count` of them, `interval` seconds apart."""

    async def stream() -> AsyncIterator[str]:
        for number in range(count):
            data = json.dumps({"number": number, "views": state_get("api_views", 0)})
            yield f"event: tick\ndata: {data}\n\n"
            await asyncio.sleep(interval)

    return StreamingResponse(stream(), media_type="text/event-stream")
