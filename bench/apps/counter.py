"""A FastAPI route that counts its calls across all workers, for the benchmarks.

In Hornbeam the counter is Erlang's. Elsewhere it is Redis's, by redis-py, on the
socket BENCH_REDIS.
"""

import os
from collections.abc import Awaitable, Callable

from fastapi import FastAPI

app = FastAPI()


def counter() -> Callable[[], Awaitable[int]]:
    """Adds one and returns the sum."""
    if path := os.environ.get("BENCH_REDIS"):
        import redis.asyncio

        client = redis.asyncio.from_url(f"unix://{path}")
        return lambda: client.incr("views")
    from hornbeam_erlang import aio

    return lambda: aio.state_incr("views")


increment = counter()


@app.get("/")
async def root() -> dict[str, str]:
    """The sum; as long however large it is, so that the answers' length can be checked."""
    return {"views": f"{await increment():012}"}
