"""What the pages of the dashboard show: state, topics, tasks, requests; some of it hostile."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from hornbeam_erlang import aio

HOSTILE = "<script>window.hacked = 1</script>\"'><img src=x onerror='window.hacked = 1'>"


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        async with aio.subscribe(f"news-{HOSTILE}"):
            for _ in range(2):
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
        return
    if scope["type"] == "websocket":
        scope["path_template"] = "/rooms/{name}"
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})
        return
    status = 200
    scope["path_template"] = scope["path"] if len(scope["path"]) < 10 else f"/long/{HOSTILE}"
    match scope["path"].removesuffix(HOSTILE):
        case "/fill":
            await aio.state_set(f"user:{HOSTILE}", {"name": HOSTILE, "secret": "a value"})
            for number in range(20):
                await aio.state_set(f"session:{number}", "x" * number * 10)
            await aio.spawn(work, HOSTILE)
        case "/busy":
            until = time.monotonic() + 0.2
            while time.monotonic() < until:
                pass
        case "/items":
            scope["path_template"] = "/items/{id}"
            await asyncio.sleep(0.03)
        case "/wait":
            async with aio.subscribe("go") as messages:
                await anext(aiter(messages))
        case "/go":
            await aio.publish("go", None)
        case "/log":
            logging.getLogger("shop").error("said: %s", HOSTILE)
        case "/series":
            await aio.call("series", scope["query_string"].decode())
        case "/fail":
            status = 500
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def work(text: str) -> str:
    """A task."""
    return text
