"""What the tests of a full machine ask of an application: to take all there is of something."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any
from urllib.parse import parse_qs

import hornbeam_erlang

logger = logging.getLogger("full_app")
hoard: list[bytes] = []


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError("http only")
    query = {key: values[0] for key, values in parse_qs(scope["query_string"].decode()).items()}
    status = await HANDLERS[scope["path"]](query)
    body = str(os.getpid()).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def nothing(query: dict[str, str]) -> int:
    return 200


async def flood(query: dict[str, str]) -> int:
    """Logs so many MB."""
    line = "x" * 1000
    for _ in range(int(query["mb"]) * 100):
        for _ in range(10):
            logger.warning(line)
        await asyncio.sleep(0)
    return 200


async def hold(query: dict[str, str]) -> int:
    """Takes so many MB and keeps them."""
    hoard.extend(os.urandom(1 << 20) for _ in range(int(query["mb"])))
    return 200


async def state(query: dict[str, str]) -> int:
    """Puts so many MB into the shared state, for a time."""
    for number in range(int(query["mb"]) * 16):
        hornbeam_erlang.state_set(f"big{number}", os.urandom(1 << 16), ttl=float(query["ttl"]))
    return 200


HANDLERS = {"/": nothing, "/flood": flood, "/hold": hold, "/state": state}
