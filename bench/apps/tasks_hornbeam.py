"""Spawns tasks when it is asked to: GET /spawn?number&durable&path&threads, in threads."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

from hornbeam_erlang import spawn


def spawn_all(number: int, durable: bool, path: str, threads: int) -> float:
    """How long that took."""

    def some(thread: int) -> None:
        for _ in range(thread, number, threads):
            spawn("tasks_function:note", path, time.time(), durable=durable)

    begun = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(some, range(threads)))
    return time.perf_counter() - begun


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError("there is no lifespan")
    query = {key: values[0] for key, values in parse_qs(scope["query_string"].decode()).items()}
    took = await asyncio.to_thread(
        spawn_all,
        int(query["number"]),
        query["durable"] == "True",
        query["path"],
        int(query["threads"]),
    )
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(took).encode()})
