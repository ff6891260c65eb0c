"""One application on three nodes: notes that outlive any of them, a lock, a leader, who is there.

python3 examples/cluster/nodes.py starts three nodes on this machine; README.md says what to try.

GET  /                  this node, who is there, who leads, visits so far
POST /visits            counts one more, exactly
GET  /notes/{name}      the text and its version, which is also its ETag
PUT  /notes/{name}      writes the text; with If-Match only over that version (409 otherwise)
DELETE /notes/{name}    forgets it
POST /reports/{name}    work that one at a time may do, over all nodes
POST /say/{text}        to everybody who listens, on all nodes
GET  /heard             what this worker has heard last
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from hornbeam_erlang import ClusterError, InDoubtError, NoQuorumError, aio, subscription
from hornbeam_erlang.aio import cluster_state, leader, lock
from hornbeam_erlang.channels import Channel
from hornbeam_erlang.presence import Presence

# Presence is a part of channels; this topic takes no clients.
channels = [Channel("nodes")]
heard: deque[Any] = deque(maxlen=100)


async def listen(listening: asyncio.Event) -> None:
    """For as long as the application runs."""
    async with subscription("news") as messages:
        listening.set()
        async for _, message in messages:
            heard.append(message)


@leader("clock")
async def clock() -> None:
    """Runs on one node at a time, and is cancelled where it no longer leads."""
    while True:
        with suppress(ClusterError):
            await cluster_state.incr("ticks")
        await asyncio.sleep(1)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Listens, is there, and stands for election."""
    listening = asyncio.Event()
    tasks = [asyncio.create_task(listen(listening)), asyncio.create_task(clock())]
    await listening.wait()
    await Presence("nodes").atrack(None, await aio.node())
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


app = FastAPI(lifespan=lifespan)


@app.exception_handler(NoQuorumError)
def no_quorum(_request: Request, _error: NoQuorumError) -> JSONResponse:
    """This node reaches no majority. Nothing was done: it is safe to ask again, or elsewhere."""
    return JSONResponse({"detail": "no quorum"}, 503, {"retry-after": "1"})


@app.exception_handler(InDoubtError)
def in_doubt(_request: Request, _error: InDoubtError) -> JSONResponse:
    """Done or not: whoever asked must look."""
    return JSONResponse({"detail": "it may have been done, or may yet be"}, 504)


@app.get("/")
async def about() -> dict[str, Any]:
    """What this node knows."""
    return {
        "node": await aio.node(),
        "there": sorted(await Presence("nodes").alist()),
        "visits": await cluster_state.get("visits", 0),
        "ticks": await cluster_state.get("ticks", 0),
    }


@app.post("/visits")
async def visit() -> int:
    """Counted once if it was answered."""
    total: int = await cluster_state.incr("visits")
    return total


@app.get("/notes/{name}")
async def read(name: str, response: Response) -> dict[str, Any]:
    """Whatever was acknowledged before, by any node, is seen."""
    note: dict[str, Any] | None = await cluster_state.get(f"note:{name}")
    if note is None:
        raise HTTPException(404, "no such note")
    response.headers["etag"] = f'"{note["version"]}"'
    return note


@app.put("/notes/{name}")
async def write(
    name: str, request: Request, if_match: Annotated[str | None, Header()] = None
) -> dict[str, Any]:
    """Of two that have read the same version one wins."""
    text = (await request.body()).decode()
    while True:
        old = await cluster_state.get(f"note:{name}")
        version = old["version"] if old else 0
        if if_match is not None and if_match.strip('"') != str(version):
            raise HTTPException(409, f"it is version {version} now")
        new = {"text": text, "version": version + 1}
        if old is None:
            done = await cluster_state.add(f"note:{name}", new)
        else:
            done = await cluster_state.cas(f"note:{name}", old, new)
        if done:
            return new


@app.delete("/notes/{name}", status_code=204)
async def forget(name: str) -> None:
    """It was there or not."""
    await cluster_state.delete(f"note:{name}")


@app.post("/reports/{name}")
async def report(name: str) -> dict[str, Any]:
    """A later holder has a larger token; a store that compares them refuses who is late."""
    async with lock(f"report:{name}", ttl=5, timeout=10) as token:
        await asyncio.sleep(0.1)
        return {"report": name, "by": await aio.node(), "token": int(token)}


@app.post("/say/{text}")
async def say(text: str) -> int:
    """How many it has reached."""
    return await aio.publish("news", {"text": text, "from": await aio.node()})


@app.get("/heard")
def what_was_heard() -> list[Any]:
    """The last hundred."""
    return list(heard)
