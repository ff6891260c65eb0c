"""Background jobs with a page that shows how far they are.

    bin/hornbeam run app:app --pythonpath examples/background_jobs --task-workers 2 \\
        --data-dir /tmp/background-jobs

The page begins jobs and follows each by server-sent events. Those that must not be lost are
durable: kill everything, start it again, and they run. README.md says what to try.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jobs
from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse, StreamingResponse

from hornbeam_erlang import TaskNotFoundError, aio

PAGE = Path(__file__).with_name("page.html").read_text()

app = FastAPI()


@app.get("/")
def page() -> HTMLResponse:
    """The page itself."""
    return HTMLResponse(PAGE)


@app.post("/primes/{limit}")
async def primes(limit: int) -> dict[str, str]:
    """A job that computes."""
    return {"id": await aio.spawn(jobs.count_primes, limit, timeout="5m")}


@app.post("/reports")
async def reports() -> dict[str, str]:
    """One that waits for others, tried again when they fail."""
    names = [f"department {number}" for number in range(1, 21)]
    return {"id": await aio.spawn(jobs.fetch_reports, names, retries=3, backoff="2s")}


@app.post("/orders/{order}")
async def charge(order: str) -> dict[str, str]:
    """On disk before the answer; asked for twice, done once."""
    return {
        "id": await aio.spawn(
            jobs.charge,
            order,
            999,
            durable=True,
            unique=f"order:{order}",
            queue="orders",
            retries=5,
        )
    }


@app.post("/cancel/{job}")
async def cancel(job: str) -> dict[str, bool]:
    """Ends it."""
    try:
        return {"cancelled": await aio.cancel_task(job)}
    except TaskNotFoundError:
        raise HTTPException(404) from None


@app.get("/events/{job}")
async def events(job: str) -> StreamingResponse:
    """Server-sent events: a line for each change, and the result with the last one."""
    try:
        await aio.task_status(job)
    except TaskNotFoundError:
        raise HTTPException(404) from None
    return StreamingResponse(follow(job), media_type="text/event-stream")


async def follow(job: str) -> AsyncIterator[str]:
    async for event in aio.task_events(job):
        told: dict[str, Any] = {**event}
        if event["state"] == "done":
            told["result"] = await aio.task_result(job)
        yield f"data: {json.dumps(told)}\n\n"
