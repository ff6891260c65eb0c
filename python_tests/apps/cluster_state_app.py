"""What python_tests/cluster/test_state.py asks of a node; JSON in and out.

POST /call      {"name", "args", "kwargs"}: a method of aio.cluster_state
POST /watch     {"key", "count"}: so many changes of it, with the values that are there first
POST /many      {"key", "count"}: as many increments at once; how many ended how
POST /sizes     {"sizes"}: stores bytes of each; what it was told
GET  /info      cluster_info
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

from hornbeam_erlang import ClusterError, aio

state = aio.cluster_state


async def call(name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Of one method."""
    return await getattr(state, name)(*args, **kwargs)


async def watch(key: str, count: int) -> list[Any]:
    """Until so many were told."""
    found: list[Any] = []
    async with state.watch(key, initial=True) as changes:
        async for change in changes:
            found.append(change)
            if len(found) == count:
                return found
    raise AssertionError("it ended by itself")


async def many(key: str, count: int) -> dict[str, int]:
    """Each is answered once: with a sum, or with an error."""
    results = await asyncio.gather(*(state.incr(key) for _ in range(count)), return_exceptions=True)
    return dict(Counter(type(result).__name__ for result in results))


async def sizes(sizes: list[int]) -> list[str]:
    """A key of three bytes, and values of so many with what they travel in."""
    return [await stored(size) for size in sizes]


async def stored(size: int) -> str:
    """What is there, or why it is not."""
    try:
        await state.set("big", b"x" * size)
    except ValueError as error:
        return str(error)
    return str(len(await state.get("big")))


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The paths above."""
    content = b""
    while True:
        message = await receive()
        content += message.get("body", b"")
        if not message.get("more_body"):
            break
    said = json.loads(content or b"{}")
    status, answer = 200, None
    try:
        match scope["path"]:
            case "/call":
                answer = await call(**said)
            case "/watch":
                answer = await watch(**said)
            case "/many":
                answer = await many(**said)
            case "/sizes":
                answer = await sizes(**said)
            case "/info":
                answer = await aio.cluster_info()
    except (ClusterError, TypeError, ValueError) as error:
        status, answer = 409, f"{type(error).__name__}: {error}"
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
