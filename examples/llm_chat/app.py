"""A chat with a model in a service pool: its words come as server-sent events.

    bin/hornbeam run app:app --pythonpath examples/llm_chat --workers 2 \
        --service "llm=llm:Model;concurrency=4;queue=20"

Open the page, ask, and close the tab while it talks: the model stops.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, StreamingResponse

from hornbeam_erlang import ServiceError, ServiceOverloadedError, aio, service

PAGE = Path(__file__).with_name("page.html").read_text()

app = FastAPI()


@app.get("/")
async def page() -> HTMLResponse:
    """The page."""
    return HTMLResponse(PAGE)


@app.get("/answer")
async def answer(prompt: str) -> StreamingResponse:
    """The words of the model, as they come."""
    return StreamingResponse(events(prompt), media_type="text/event-stream")


async def events(prompt: str) -> AsyncIterator[str]:
    """One event per token. When the client leaves, this is cancelled, and with it the generator in
    the service."""
    try:
        async for token in service("llm").generate(prompt):
            yield f"data: {json.dumps(token)}\n\n"
        yield "event: end\ndata: done\n\n"
    except ServiceOverloadedError:
        yield "event: end\ndata: busy\n\n"
    except (ServiceError, OSError):
        yield "event: end\ndata: failed\n\n"


@app.get("/generating")
async def generating() -> int:
    """How many answers the model is at work on."""
    return int(await aio.state_get("llm:generating", 0))
