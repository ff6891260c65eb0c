"""A rate limit for all workers together: a counter with a time to live, as a FastAPI dependency.

    bin/hornbeam run app:app --pythonpath examples/rate_limit --venv .venv --workers 4

The first request of a client in a window makes the counter, which then lives for the window's
length; the count is exact whichever worker a request meets, and what has expired takes no memory.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request, Response

from hornbeam_erlang import aio

app = FastAPI()


class RateLimit:
    """At most `limit` requests of a client in `window` seconds, then 429 until they are over."""

    def __init__(self, name: str, limit: int, window: float) -> None:
        self.name = name
        self.limit = limit
        self.window = window

    async def __call__(self, request: Request, response: Response) -> int:
        """How many requests are left."""
        client = request.headers.get("x-api-key") or (request.client.host if request.client else "")
        count = await aio.state_incr(("rate", self.name, client), ttl=self.window)
        left = max(0, self.limit - count)
        headers = {"RateLimit-Limit": str(self.limit), "RateLimit-Remaining": str(left)}
        if count > self.limit:
            headers["Retry-After"] = str(max(1, round(self.window)))
            raise HTTPException(429, "Too many requests", headers)
        response.headers.update(headers)
        return left


@app.get("/hello")
async def hello(
    left: Annotated[int, Depends(RateLimit("hello", limit=5, window=60))],
) -> dict[str, int]:
    """Five times a minute."""
    return {"left": left}


@app.get("/short")
async def short(
    left: Annotated[int, Depends(RateLimit("short", limit=1, window=0.3))],
) -> dict[str, int]:
    """Once in 0.3 seconds."""
    return {"left": left}
