"""One application on several Erlang nodes: they publish to all and call each other.

run.py starts three nodes.

GET  /                 the node, those it is connected to, and what it has received
POST /publish/{text}   publishes on all nodes
GET  /ask/{node}       runs erlang:node() and lists:sum() on another node
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException

from hornbeam_erlang import aio, subscription

received: deque[Any] = deque(maxlen=100)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Listens for as long as the application runs."""
    listening = asyncio.Event()

    async def listen() -> None:
        async with subscription("news") as messages:
            listening.set()
            async for _, message in messages:
                received.append(message)

    task = asyncio.create_task(listen())
    await listening.wait()
    yield
    task.cancel()


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def about() -> dict[str, Any]:
    """This node."""
    return {"node": await aio.node(), "nodes": await aio.nodes(), "received": list(received)}


@app.post("/connect/{node}")
async def connect(node: str) -> bool:
    """Connects to a node of the option cluster_nodes."""
    return await aio.connect(node)


@app.post("/publish/{text}")
async def publish(text: str) -> int:
    """How many subscriptions it has reached, on all nodes."""
    return await aio.publish("news", {"text": text, "from": await aio.node()})


@app.get("/ask/{node}")
async def ask(node: str) -> dict[str, Any]:
    """Two calls at once."""
    try:
        name, total = await asyncio.gather(
            aio.rpc_call(node, "erlang", "node", []),
            aio.rpc_call(node, "lists", "sum", [[1, 2, 3]], timeout_ms=2000),
        )
    except ConnectionError as error:
        raise HTTPException(502, str(error)) from error
    return {"node": name, "sum": total}
